import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { analysePlatform } from '../../src/adoption/carrying/analyse-platform.js'
import { findEarlierPlatform } from '../../src/adoption/carrying/earlier-platform.js'
import { assertMayEmpty } from '../../src/adoption/carrying/secrets-in-clear.js'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { ownerSession, rowsOf } from '../support/adopting.js'
import {
  addFreePlan,
  carrying,
  carryingKeys,
  dataKeysFor,
  earlierPlatform,
  type EarlierOptions,
} from '../support/carrying.js'
import { watched } from '../support/mortal-session.js'

const database = useDatabase()

beforeAll(() => addFreePlan(database.admin))

const earlier = (schema: string, options?: EarlierOptions) => earlierPlatform(database.adminUrl, schema, options)

const isProved = { isProved: true, unplaced: [] }

const oneOf = async (session: Session, text: string): Promise<Record<string, unknown>> => {
  const [row] = await session.query(text)
  return row ?? {}
}

const countOf = async (session: Session, text: string): Promise<number> =>
  Number((await oneOf(session, `select count(*)::int as count ${text}`)).count)

/** An organization that tenantry has of its own, and its id. */
async function ownOrganization(session: Session, slug: string): Promise<string> {
  const { id } = await oneOf(
    session,
    `with made as (insert into platform.organizations (id, name, slug, temporal_namespace)
       values (gen_random_uuid(), '${slug}', '${slug}', '${slug}') returning id),
     role as (insert into platform.roles (org_id, id, key, name, applies_to) select id, gen_random_uuid(), 'member', 'Member', 'organization' from made)
     select id from made`,
  )
  return String(id)
}

test('a person stays who belongs to an organization of tenantry too, and is known to another expand', async () => {
  const { session, expand, backfill, prove, downAll } = await earlier('sharing', { isLarge: true })
  await expand()
  await backfill()
  const org = await ownOrganization(session, 'their-own')
  const { id: gone } = await oneOf(session, 'select id from sharing.users order by email limit 1')
  const { id: kept } = await oneOf(session, 'select id from sharing.users order by email offset 1 limit 1')
  await session.query(
    `insert into platform.organization_members (org_id, id, user_id, email, role)
     select $1, gen_random_uuid(), u.id, u.email, 'member' from platform.users u where u.id = any ($2::uuid[])`,
    [org, [gone, kept]],
  )
  const members = () => countOf(session, `from platform.organization_members where org_id = '${org}'`)
  await session.query('delete from sharing.organization_invitations')
  await session.query('delete from sharing.users where id = $1', [gone])
  expect(await prove()).toMatchObject(isProved)
  expect(await members()).toBe(2)
  await downAll()
  expect(await members()).toBe(2)
  expect(await countOf(session, `from platform.users where email like '%@sharing.example.com'`)).toBe(2)

  await expand()
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  await session.query('delete from platform.organizations where id = $1', [org])
  await downAll()
  expect(await countOf(session, `from platform.users where id = '${String(kept)}'`)).toBe(0)
  expect(await oneOf(session, `select to_regnamespace('tenantry_carry_sharing') as home`)).toEqual({ home: null })
})

test('an organization that tenantry refuses by now stays as it was until its table is named', async () => {
  const { session, expand, backfill, prove } = await earlier('refused')
  await expand()
  await backfill()
  const { id } = await oneOf(session, 'select id from refused.organizations order by slug limit 1')
  const projects = () => countOf(session, `from platform.projects where org_id = '${String(id)}'`)
  const before = await projects()
  expect(before).toBeGreaterThan(0)
  const { name } = await oneOf(session, `select name from refused.organizations where id = '${String(id)}'`)
  await session.query(
    `update refused.organizations set name = (select name from refused.organizations order by slug desc limit 1) where id = $1`,
    [id],
  )
  const refused = {
    isProved: false,
    unplaced: ['organizations has rows that repeat the values of another row in tenantry (organizations_name_key): 1'],
  }
  expect(await prove()).toMatchObject(refused)
  expect(await projects()).toBe(before)
  await backfill({ again: true })
  expect(await prove()).toMatchObject(refused)
  expect(await projects()).toBe(before)
  await session.query('update refused.organizations set name = $1 where id = $2', [name, id])
  expect(await prove()).toMatchObject(isProved)

  await session.query(
    `update refused.organizations set name = (select name from refused.organizations order by slug desc limit 1) where id = $1`,
    [id],
  )
  expect(await prove()).toMatchObject(refused)
  await expand('organizations')
  expect((await prove()).isProved).toBe(false)
  expect(await countOf(session, `from platform.organizations where id = '${String(id)}'`)).toBe(0)
  // What belonged to it went with it.
  await backfill({ again: true })
  expect(await prove()).toMatchObject(isProved)
  expect(await projects()).toBe(0)
})

test('an earlier table that changed since expand stops every step but the way back', async () => {
  const { session, expand, backfill, prove, swap, downAll } = await earlier('reshaped')
  const before = await rowsOf(session, 'reshaped')
  await expand()
  const steps = { backfill, prove, swap }
  const refuseEach = async (message: string) => {
    for (const take of Object.values(steps)) await expect(take()).rejects.toThrow(message)
  }
  await backfill()
  await prove()
  await session.query('alter table reshaped.credentials drop constraint credentials_pkey')
  await refuseEach('credentials needs a primary key of one column, id')
  await session.query('alter table reshaped.credentials add primary key (id)')
  await session.query('alter table reshaped.tax_ids rename to fiscal_ids')
  await refuseEach('earlier tables are gone since expand: tax_ids')
  await session.query(
    'create table reshaped.feature_flags (id uuid primary key, flag_key text not null, flag_name text not null)',
  )
  await session.query('alter table reshaped.fiscal_ids rename to tax_ids')
  await refuseEach('feature_flags can be carried by now, and what is written there is not noted')
  await session.query('drop table reshaped.feature_flags')
  expect(await prove()).toMatchObject(isProved)
  await session.query('alter table reshaped.tax_ids rename to fiscal_ids')
  await session.query('alter table reshaped.credentials drop constraint credentials_pkey')
  await downAll()
  const triggers = await session.query(
    `select t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid
     where c.relnamespace = 'reshaped'::regnamespace and t.tgname like 'zz_tenantry%'`,
  )
  expect(triggers).toEqual([])
  const { tax_ids: taxIds, ...others } = before
  expect(await rowsOf(session, 'reshaped')).toEqual({ ...others, fiscal_ids: taxIds })
})

test('secrets of a table that was not carried are never emptied, also where it could be by now', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('unwatched', {
    changes: ['alter table unwatched.credentials drop constraint credentials_pkey'],
  })
  await expand('credentials')
  await backfill()
  await prove()
  await session.query('alter table unwatched.credentials add primary key (id)')
  expect(await swap()).toMatchObject({ isProved: true })
  await session.query('alter table unwatched.projects drop constraint projects_pkey cascade')
  await expect(contract()).rejects.toThrow('projects needs a primary key of one column, id')
  await expect(down()).rejects.toThrow('projects needs a primary key of one column, id')
  await session.query('alter table unwatched.projects add primary key (id)')
  expect(await contract()).toMatchObject({
    tables: [
      { table: 'projects', inClear: 0 },
      { table: 'credentials', emptied: 0, inClear: 4 },
    ],
  })
  expect(await countOf(session, `from unwatched.credentials where anon_key not like 'sealed%'`)).toBe(4)
})

test('contract waits for a transaction that may still read the secrets, so that no file of a table keeps one', async () => {
  const { session, expand, backfill, prove, swap } = await earlier('readers', {
    changes: [`update readers.projects set database_password = 'marked-secret-' || ref`],
  })
  await expand()
  await backfill()
  await prove()
  await swap()
  const reader = await ownerSession(database.adminUrl)
  await reader.query('begin isolation level repeatable read')
  await reader.query('select from readers.projects')
  const found: number[] = []
  const patient = await watched(database.adminUrl, async (text, params) => {
    if (!text.includes('pg_prepared_xacts')) return
    found.push((await session.query(text, params)).length)
    // The one that is running is still there when this one looks.
    if (found.length === 2) await reader.query('commit')
  })
  await carrying(patient, 'readers').contract()
  expect(found.length).toBeGreaterThanOrEqual(2)
  await session.query('checkpoint')
  const { clear } = await oneOf(
    session,
    `select position('marked-secret-'::bytea in pg_read_binary_file(pg_relation_filepath('readers.projects'))) as clear`,
  )
  expect(clear).toBe(0)
})

test('contract empties nothing where the organizations are gone from tenantry', async () => {
  const { session, expand, backfill, prove, swap, contract } = await earlier('vanished')
  const before = await rowsOf(session, 'vanished')
  await expand()
  await backfill()
  await prove()
  await swap()
  const { id } = await oneOf(
    session,
    `delete from platform.organizations where id = (select id from vanished.organizations order by slug limit 1) returning id`,
  )
  await expect(contract()).rejects.toThrow('organizations that were carried are not in tenantry any more: 1')
  expect(await rowsOf(session, 'vanished')).toEqual(before)
  await session.query('delete from tenantry_carry_vanished.roots where id = $1', [id])
  expect((await contract()).tables.map(({ inClear }) => inClear)).toEqual([0, 0])
})

test('contract asks for the owner of the tables, whom vacuum would only warn', async () => {
  const { session } = await earlier('owned')
  const carrier = 'tenantry_owned_carrier'
  await session.query(`create role ${carrier}`)
  onTestFinished(async () => {
    await database.admin.query(`drop owned by ${carrier}`)
    await database.admin.query(`drop role ${carrier}`)
  })
  await session.query(`grant usage on schema owned to ${carrier}`)
  await session.query(`grant all on all tables in schema owned to ${carrier}`)
  await session.query(`grant set on parameter session_replication_role to ${carrier}`)
  await session.query(`grant execute on function set_config to ${carrier}`)
  const { home, tables } = await findEarlierPlatform(session, 'owned')
  const asCarrier = { session, home, tables, dataKeys: dataKeysFor(carryingKeys) }
  await assertMayEmpty(asCarrier)
  await session.query(`set role ${carrier}`)
  await expect(assertMayEmpty(asCarrier)).rejects.toThrow(
    'credentials of postgres, projects of postgres must be written anew, which only the owner may',
  )
  await expect(analysePlatform(session, 'owned')).rejects.toThrow('permission denied for schema platform_migrations')
  await session.query('reset role')
  await session.query(`grant pg_read_all_data to ${carrier}`)
  await session.query(`set role ${carrier}`)
  const { findings } = await analysePlatform(session, 'owned')
  await session.query('reset role')
  expect(findings.filter(({ kind }) => kind === 'right')).toMatchObject([
    { message: expect.stringContaining('credentials of postgres, projects of postgres') as unknown },
  ])
})

test('going over all rows again begins with those that were written meanwhile', async () => {
  const { session, expand, backfill, prove } = await earlier('unread', {
    changes: ['alter table unread.disk_config alter size_gb drop default, alter size_gb type text using size_gb::text'],
  })
  await expand()
  await backfill()
  await session.query(
    `update unread.disk_config set size_gb = 'big' where id = (select id from unread.disk_config order by id limit 1)`,
  )
  const { tables } = await backfill({ again: true })
  expect(tables.find(({ name }) => name === 'disk_config')?.left).toEqual([
    { reason: 'have a value that tenantry cannot hold (22P02)', rows: 1 },
  ])
  expect((await prove()).isProved).toBe(false)
})

test('the swap counts no invoices of an organization that was not carried', async () => {
  const { session, expand, backfill, prove, swap } = await earlier('miscounted')
  const org = await ownOrganization(session, 'counts-itself')
  await session.query(
    `insert into platform.subscriptions (org_id, id, plan_id, plan_name, current_period_start, current_period_end, next_invoice_number)
     values ($1, gen_random_uuid(), 'tier_free', 'Free', now(), now() + interval '1 month', 3)`,
    [org],
  )
  await session.query(
    `insert into platform.invoices (org_id, id, number, subtotal, tax, total, amount_due, amount_paid, currency, status, finalized_at)
     values ($1, gen_random_uuid(), 7, 1, 0, 1, 1, 0, 'USD', 'open', now())`,
    [org],
  )
  await expand('organizations')
  await backfill()
  await session.query(`insert into miscounted.organizations (id, name, slug) values ($1, 'Earlier', 'earlier-one')`, [
    org,
  ])
  await prove()
  expect(await swap()).toMatchObject(isProved)
  expect(
    await oneOf(session, `select next_invoice_number as next from platform.subscriptions where org_id = '${org}'`),
  ).toEqual({
    next: 3,
  })
})

test('rows that miss their plan do not stay because organizations may', async () => {
  const { session, expand, backfill, prove } = await earlier('planless', { isLarge: true })
  await expand('organizations')
  await backfill()
  await session.query(
    `update planless.subscriptions set plan_id = 'none' where id = (select id from planless.subscriptions order by id limit 1)`,
  )
  expect(await prove()).toMatchObject({
    isProved: false,
    unplaced: ['subscriptions has rows that refer to a row that is not carried (subscriptions_plan_fkey): 1'],
  })
})
