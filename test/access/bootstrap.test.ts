import { randomBytes } from 'node:crypto'
import { pgTable, text } from 'drizzle-orm/pg-core'
import { beforeAll, expect, test } from 'vitest'
import type { Declarations } from '../../src/access/rights.js'
import { openSession, type Session } from '../../src/database/session.js'
import { bootstrap, bootstrapGrants, bootstrapRoles } from '../../src/access/bootstrap.js'
import { carryOut, statements } from '../../src/access/carry-out.js'
import { declarationsOf } from '../../src/migrations/declarations.js'
import { platformMigrations } from '../../src/migrations/migrator.js'
import { requireRoles } from '../../src/access/roles.js'
import { orgId } from '../../src/schema/shared/columns.js'
import { orgIsolation, systemAccess } from '../../src/schema/shared/isolation.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { undone } from '../support/nested-session.js'

const database = useDatabase()
const setConfig = 'function pg_catalog.set_config(text, text, boolean)'
const nothing = { done: [], remaining: [], advised: [], extensions: [] }
let declarations: Declarations

beforeAll(async () => {
  declarations = await declarationsOf(platformTables, [platformMigrations])
})

test('on a database that has everything it does nothing', async () => {
  expect(await bootstrap(database.admin, declarations, { exclusiveDatabase: true })).toEqual(nothing)
})

test('it revokes nothing that is declared while the server quotes every name', async () => {
  await undone(database.admin, async (session) => {
    await session.query('set local quote_all_identifiers = on')
    expect(await bootstrap(session, declarations, { exclusiveDatabase: true })).toEqual(nothing)
  })
})

test('a session for administration prints names without quotes, whatever the login is set to', async () => {
  const url = new URL(database.adminUrl)
  url.searchParams.set('options', '-c quote_all_identifiers=on')
  const session = await openSession({ url: url.href })
  const rows = await session.query('select current_setting($1) as setting', ['quote_all_identifiers'])
  await session.close()
  expect(rows).toEqual([{ setting: 'off' }])
})

test('faults of the two roles are corrected', async () => {
  await undone(database.admin, async (session) => {
    await session.query('alter role tenantry_app superuser createdb')
    await session.query('alter role tenantry_system bypassrls createrole replication')
    await session.query('grant pg_read_all_data, tenantry_system to tenantry_app')

    expect((await bootstrapRoles(session)).done).toEqual([
      'alter role tenantry_app nosuperuser nocreatedb',
      'alter role tenantry_system nobypassrls nocreaterole noreplication',
      'revoke pg_read_all_data from tenantry_app',
      'revoke tenantry_system from tenantry_app',
    ])
    expect(await bootstrapRoles(session)).toEqual(nothing)
  })
})

test('roles that are missing are made, and without them nothing is migrated', async () => {
  await undone(database.admin, async (session) => {
    await session.query('alter role tenantry_app rename to planted_app')
    await session.query('alter role tenantry_system rename to planted_system')
    const login = decodeURIComponent(new URL(database.adminUrl).username)
    await expect(requireRoles(session)).rejects.toThrow(`(alter role ${login} createrole)`)
    await expect(requireRoles(session)).rejects.toThrow('create role tenantry_app;\ncreate role tenantry_system;')

    await session.query('create role planted')
    await session.query('set local session authorization planted')
    expect((await bootstrapRoles(session)).remaining).toEqual([
      'create role tenantry_app',
      'create role tenantry_system',
    ])
    await session.query('set local session authorization default')
    expect((await bootstrapRoles(session)).done.slice(0, 2)).toEqual([
      'create role tenantry_app',
      'create role tenantry_system',
    ])
    await requireRoles(session)
  })
})

test('rights that the database grants to PUBLIC are revoked', async () => {
  const { admin } = database
  const [row] = await admin.query<{ name: string; owner: string }>(
    'select current_database() as name, quote_ident(current_user) as owner',
  )
  await undone(admin, async (session) => {
    await session.query('alter default privileges grant execute on functions to public')
    await session.query('grant create on schema public to public')
    await session.query(`grant create, temporary on database ${row?.name} to tenantry_app, public`)
    await session.query(`grant execute on ${setConfig} to public`)
    await session.query('grant execute on function lo_create(oid), lo_get(oid), lo_get(oid, bigint, integer) to public')
    const closed = [
      `alter default privileges for role ${row?.owner} revoke execute on functions from public`,
      `revoke create on database ${row?.name} from public`,
      `revoke create on database ${row?.name} from tenantry_app`,
      'revoke create on schema public from public',
      `revoke execute on ${setConfig} from public`,
      'revoke execute on function pg_catalog.lo_create(oid), pg_catalog.lo_get(oid), pg_catalog.lo_get(oid, bigint, integer) from public',
      `revoke temporary on database ${row?.name} from tenantry_app`,
    ]

    expect([...(await bootstrapRoles(session)).done].sort()).toEqual(closed.sort())
    expect((await bootstrapRoles(session, { exclusiveDatabase: true })).done).toEqual([
      `revoke temporary on database ${row?.name} from public`,
    ])
    await session.query(`revoke connect on database ${row?.name} from public`)
    expect([...(await bootstrapRoles(session)).done].sort()).toEqual([
      `grant connect on database ${row?.name} to tenantry_app`,
      `grant connect on database ${row?.name} to tenantry_system`,
    ])
  })
})

test.for([
  ['revoke select on platform.agents from tenantry_app', 'grant select on table platform.agents to tenantry_app'],
  [
    'revoke update (name, status) on platform.agents from tenantry_system',
    'grant update (name, status) on table platform.agents to tenantry_system',
  ],
  [
    'grant truncate, update (org_id) on platform.agents to tenantry_app',
    'revoke truncate, update (org_id) on table platform.agents from tenantry_app cascade',
  ],
  ['grant select on platform.agents to public', 'revoke select on table platform.agents from public cascade'],
  [
    'grant delete on platform.agents to tenantry_app with grant option',
    'revoke grant option for delete on table platform.agents from tenantry_app cascade',
  ],
  [
    'grant select on platform.audit_logs_default to tenantry_app',
    'revoke all on table platform.audit_logs_default from tenantry_app cascade',
  ],
  [
    'create view platform.planted as select 1 as one; grant select on platform.planted to tenantry_system',
    'revoke select on table platform.planted from tenantry_system cascade',
  ],
  [
    'create sequence platform.planted; grant usage on sequence platform.planted to public',
    'revoke usage on sequence platform.planted from public cascade',
  ],
  [
    'grant execute on function platform.enter_org(uuid) to public, tenantry_system',
    'revoke execute on function platform.enter_org(uuid) from public cascade',
    'revoke execute on function platform.enter_org(uuid) from tenantry_system cascade',
  ],
  [
    'revoke execute on function platform.current_org() from tenantry_app',
    'grant execute on function platform.current_org() to tenantry_app',
  ],
  [
    'create function platform.planted(text) returns int security definer return 1; grant execute on function platform.planted(text) to public',
    'revoke execute on function platform.planted(text) from public cascade',
  ],
  ['revoke usage on schema platform from tenantry_app', 'grant usage on schema platform to tenantry_app'],
  [
    'revoke select (hash) on platform_migrations.migrations from tenantry_app',
    'grant select (hash) on table platform_migrations.migrations to tenantry_app',
  ],
])('rights are set as declared, and nothing else is: %s', async ([sql = '', ...done]) => {
  await undone(database.admin, async (session) => {
    for (const statement of sql.split('; ')) await session.query(statement)

    expect(await bootstrapGrants(session, declarations)).toEqual({ done, remaining: [] })
    expect(await bootstrapGrants(session, declarations)).toEqual({ done: [], remaining: [] })
  })
})

test('revoking a right on a whole table keeps the declared ones on its columns', async () => {
  await undone(database.admin, async (session) => {
    await session.query('grant update on platform.organizations to tenantry_app')

    expect(await bootstrapGrants(session, declarations)).toEqual({
      done: [
        'revoke update on table platform.organizations from tenantry_app cascade',
        'grant update (billing_email, name, settings, slug, updated_at) on table platform.organizations to tenantry_app',
      ],
      remaining: [],
    })
  })
})

test('rights that were passed on with a grant option are revoked with it', async () => {
  await undone(database.admin, async (session) => {
    await session.query('create role planted')
    await session.query('grant delete on platform.agents to tenantry_app with grant option')
    await session.query('set local role tenantry_app')
    await session.query('grant delete on platform.agents to planted')
    await session.query('set local role none')
    await bootstrapGrants(session, declarations)

    expect(await session.query("select has_table_privilege('planted', 'platform.agents', 'delete') as may")).toEqual([
      { may: false },
    ])
  })
})

test("the host's own tables are left alone, unless they are declared", async () => {
  const notes = pgTable('my Notes', { orgId: orgId(), text: text('Text') }, () => [orgIsolation(), systemAccess()])
  declareTable(notes, { kind: 'tenant' })
  await undone(database.admin, async (session) => {
    await session.query('create table public.countries (code text)')
    await session.query('grant all on public.countries to public, tenantry_app')
    await session.query('create table public."my Notes" (org_id uuid, "Text" text)')
    expect((await bootstrapGrants(session, declarations)).done).toEqual([])

    const own = await declarationsOf([...platformTables, notes], [platformMigrations])
    expect((await bootstrapGrants(session, own)).done).toEqual([
      'grant delete, insert, select, update ("Text") on table public."my Notes" to tenantry_app',
      'grant delete, insert, select, update ("Text") on table public."my Notes" to tenantry_system',
    ])
  })
})

test("partitions of the user's own tables are closed, wherever they are", async () => {
  const visits = pgTable('visits', { orgId: orgId() }, () => [orgIsolation(), systemAccess()])
  declareTable(visits, { kind: 'tenant', partitionedBy: 'org_id' })
  const own = await declarationsOf([...platformTables, visits], [platformMigrations])
  await undone(database.admin, async (session) => {
    await session.query('create schema elsewhere')
    await session.query('create table public.visits (org_id uuid) partition by list (org_id)')
    await session.query('create table elsewhere.visits_default partition of public.visits default')
    await session.query('grant select on elsewhere.visits_default to tenantry_app')

    expect((await bootstrapGrants(session, own)).done).toEqual([
      'grant delete, insert, select on table public.visits to tenantry_app',
      'grant delete, insert, select on table public.visits to tenantry_system',
      'revoke all on table elsewhere.visits_default from tenantry_app cascade',
      'alter table elsewhere.visits_default enable row level security',
      'create policy org_isolation on elsewhere.visits_default to tenantry_app using (org_id = platform.current_org()) with check (org_id = platform.current_org())',
      'create policy system_access on elsewhere.visits_default to tenantry_system using (true) with check (true)',
    ])
  })
})

test('roles made in two databases at once are made once', async () => {
  const role = `tenantry_planted_${randomBytes(6).toString('hex')}`
  const plan = (session: Session) =>
    statements(
      session,
      `select 'create role ${role}' as statement where not exists (select from pg_roles where rolname = '${role}')
       union all select 'alter role ${role} createdb' where not exists (select from pg_roles where rolname = '${role}' and rolcreatedb)`,
    )
  const elsewhere = new URL(database.adminUrl)
  elsewhere.pathname = '/postgres'
  const sessions = await Promise.all(
    Array.from({ length: 8 }, (_, n) => openSession({ url: n % 2 === 0 ? database.adminUrl : elsewhere.href })),
  )
  const results = await Promise.all(sessions.map((session) => carryOut(session, 'planted', plan)))
  await Promise.all(sessions.map((session) => session.close()))
  await database.admin.query(`drop role ${role}`)

  expect(results.flatMap(({ done }) => done).sort()).toEqual([`alter role ${role} createdb`, `create role ${role}`])
  expect(results.flatMap(({ remaining }) => remaining)).toEqual([])
})

test('bootstraps of one database wait for each other', async () => {
  await database.admin.query('grant truncate on platform.agents, platform.tasks, platform.projects to public')
  const sessions = await Promise.all(Array.from({ length: 4 }, () => openSession({ url: database.adminUrl })))
  const results = await Promise.all(sessions.map((session) => bootstrap(session, declarations)))
  await Promise.all(sessions.map((session) => session.close()))

  expect(results.flatMap(({ done }) => done)).toHaveLength(3)
  expect(await bootstrap(database.admin, declarations)).toEqual(nothing)
})
