import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openSession, type Session } from '../../src/database/session.js'
import { dumpCatalog, fingerprint } from '../../scripts/catalog/fingerprint.js'
import { migrateDown, migrateUp } from '../../src/migrations/migrator.js'
import { useEmptyDatabases } from './empty-database.js'
import { asSet, writeFolder } from './migrations-folder.js'
import { shop } from './shop.js'

const emptyDatabase = useEmptyDatabases()
const schemas = ['shop']

async function shopIn(session: Session): Promise<Session> {
  await migrateUp(session, [asSet(await writeFolder(shop))])
  return session
}

test('the catalog is the same text on every version', { timeout: 240_000 }, async () => {
  const expected = await readFile(join(import.meta.dirname, 'shop.sql'), 'utf8')
  const { session } = await emptyDatabase()
  expect(await dumpCatalog(await shopIn(session), { schemas })).toBe(expected)

  const embedded = await openSession({ embedded: true })
  await embedded.query('create role tenantry_app')
  await embedded.query('create role tenantry_system')
  expect(await dumpCatalog(await shopIn(embedded), { schemas })).toBe(expected)
  await migrateDown(embedded, [asSet(await writeFolder(shop))], { all: true })
  expect(await dumpCatalog(await shopIn(embedded), { schemas })).toBe(expected)
  await embedded.close()
})

const changes = `
alter table shop.customers alter column email_key drop expression
alter table shop.customers alter column email type varchar(99)
alter table shop.customers alter column email drop not null
alter table shop.customers alter column code set default 'some'
alter table shop.customers alter column code type text collate "default"
alter table shop.customers alter column number set generated always
alter table shop.customers add column extra int
alter table shop.customers rename column extra to other
alter table shop.customers add constraint other_check check (other > 0) not valid
alter table shop.customers validate constraint other_check
alter table shop.customers add constraint other_key unique (other)
alter table shop.visits drop constraint visits_customer_fkey
alter table shop.visits add constraint visits_customer_fkey foreign key (shop_id, customer_id) references shop.customers
alter table shop.customers set (fillfactor = 70)
alter table shop.customers force row level security
alter table shop.customers disable row level security
alter policy isolation on shop.customers to tenantry_app, tenantry_system
alter policy isolation on shop.customers to public
alter policy isolation on shop.customers using (true)
alter policy isolation on shop.customers with check (true)
alter policy isolation on shop.customers rename to openness
drop policy everything on shop.customers
create policy everything on shop.customers for select to tenantry_system using (true)
create index visits_idx on only shop.visits (customer_id)
update pg_index set indisvalid = false where indexrelid = 'shop.customers_code_idx'::regclass
drop index shop.customers_email_key
create unique index customers_email_key on shop.customers (shop_id, email) where notes is not null
create or replace function shop.current_shop() returns uuid language sql stable as 'select null::uuid'
alter function shop.current_shop() immutable
alter function shop.current_shop() security definer
alter function shop.current_shop() set search_path = shop
grant execute on function shop.current_shop() to public
revoke usage on schema shop from tenantry_app
grant usage on schema shop to public
grant select on shop.visits to tenantry_app
grant delete on shop.visits to public
grant update (at) on shop.visits to tenantry_app
grant update (at) on shop.visits to tenantry_app with grant option
grant usage on sequence shop.customers_number_seq to tenantry_app
comment on schema shop is 'A shop'
comment on function shop.current_shop() is 'Bound'
comment on index shop.customers_code_idx is 'By code'
comment on constraint other_check on shop.customers is 'Positive'
comment on table shop.customers is null
create table shop.nothing ()
alter table shop.nothing set unlogged
create view shop.everybody as select id from shop.customers
alter view shop.everybody set (security_invoker = true)
create materialized view shop.frozen as select id from shop.customers
create type shop.size as enum ('small', 'large')
alter type shop.size add value 'larger'
create domain shop.short as text check (length(value) < 9)
create type shop.pair as (a int, b int)
create sequence shop.tickets
alter sequence shop.tickets increment 2
create function shop.changed() returns trigger language plpgsql as 'begin return new; end'
create trigger customers_changed before update on shop.customers for each row execute function shop.changed()
alter table shop.customers disable trigger customers_changed
create rule visits_rule as on delete to shop.visits do instead nothing
create aggregate shop.total(int) (sfunc = int4pl, stype = int)`

test('every change of the catalog changes the fingerprint', async () => {
  const { session } = await emptyDatabase()
  await shopIn(session)
  const seen = new Set([await fingerprint(session, { schemas })])
  for (const change of changes.trim().split('\n')) {
    await session.query(change)
    const print = await fingerprint(session, { schemas })
    expect(seen, change).not.toContain(print)
    seen.add(print)
  }
})

test('owners, partitions, rows, other schemas, other roles, and the order of columns do not', async () => {
  const { session } = await emptyDatabase()
  await shopIn(session)
  const print = await fingerprint(session, { schemas })
  const role = `shopkeeper_${(await session.query<{ oid: number }>('select oid from pg_database where datname = current_database()'))[0]?.oid}`
  const [version] = await session.query<{ number: string }>("select current_setting('server_version_num') as number")
  await session.query(`create role ${role}`)
  const harmless = [
    `alter table shop.customers owner to ${role}`,
    `alter function shop.current_shop() owner to ${role}`,
    `alter schema shop owner to ${role}`,
    `grant select on shop.visits to ${role}`,
    `create table shop.visits_2031 partition of shop.visits for values from ('2031-01-01') to ('2032-01-01')`,
    'grant select on shop.visits_2031 to tenantry_app',
    'create table public.other ()',
    'delete from shop.customers',
    'alter table shop.customers drop constraint customers_short, drop column code',
    `alter table shop.customers add column code text collate "C" default 'none' not null`,
    'alter table shop.customers add constraint customers_code_key unique nulls not distinct (shop_id, code)',
    'alter table shop.customers add constraint customers_short check (length(code) < 9)',
    'create index customers_code_idx on shop.customers (shop_id, code)',
    'grant update (code) on shop.customers to tenantry_app',
    ...(Number(version?.number) >= 170_000 ? ['grant maintain on shop.customers to tenantry_app'] : []),
  ]
  for (const statement of harmless) await session.query(statement)
  expect(await fingerprint(session, { schemas })).toBe(print)
  // The text for people shows the order.
  const text = await dumpCatalog(session, { schemas })
  expect(text.indexOf('  code text')).toBeGreaterThan(text.indexOf('  number bigint'))
  await session.query(`reassign owned by ${role} to current_user`)
  await session.query(`drop owned by ${role}`)
  await session.query(`drop role ${role}`)
})

test('what an extension brought is left out', async () => {
  const { session } = await emptyDatabase()
  await shopIn(session)
  const [available] = await session.query("select from pg_available_extensions where name = 'pgcrypto'")
  const print = await fingerprint(session, { schemas })
  if (available !== undefined) await session.query('create extension pgcrypto schema shop')
  expect(await fingerprint(session, { schemas })).toBe(print)
})

test('the session is as it was, also after a failure', async () => {
  const { session } = await emptyDatabase()
  const path = () => session.query('show search_path')
  const before = await path()
  await dumpCatalog(session, { schemas })
  const broken: Session = {
    ...session,
    query: (text, params) =>
      text.includes('pg_policy') ? Promise.reject(new Error('lost')) : session.query(text, params),
  }
  await expect(dumpCatalog(broken, { schemas })).rejects.toThrow('lost')
  expect(await path()).toEqual(before)
  await session.query('create table afterwards ()')
})
