import { pgTable, text } from 'drizzle-orm/pg-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { proveConnection } from '../../src/access/connection-proof.js'
import type { Declarations } from '../../src/access/rights.js'
import { openSession } from '../../src/database/session.js'
import { proveStartup, searchPathOf, type StartupProofOptions } from '../../src/access/startup-proof.js'
import { declarationsOf } from '../../src/migrations/declarations.js'
import { platformMigrations } from '../../src/migrations/migrator.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { orgId } from '../../src/schema/shared/columns.js'
import { orgIsolation, systemAccess } from '../../src/schema/shared/isolation.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { loginPlants } from './login-plants.js'
import { canBeRun, isFoundAndMended, namesOf, usePlants } from './planted.js'
import { appPlants, databasePlants, notePlants, type Plant, systemPlants } from './plants.js'

const database = useDatabase()
const { withPlant, urlOf } = usePlants(database)
let declarations: Declarations
let version: number
let available: ReadonlySet<string>

beforeAll(async () => {
  declarations = await declarationsOf(platformTables, [platformMigrations])
  const [row] = await database.admin.query<{ version: number }>(
    "select current_setting('server_version_num')::int / 10000 as version",
  )
  version = row?.version ?? 0
  const extensions = await database.admin.query<{ name: string }>('select name from pg_available_extensions')
  available = new Set(extensions.map(({ name }) => name))
})

describe.each(['tenantry_app', 'tenantry_system'] as const)('%s', (role) => {
  test('nothing is found on a clean install', async () => {
    const session = await openSession({ url: urlOf(role) })
    const proof = await proveStartup(session, declarations, { role })
    const connection = await proveConnection(session, { role, schemas: searchPathOf(declarations) })
    await session.close()

    expect(proof).toEqual({ faults: [], notes: [] })
    expect(connection).toEqual({ faults: [], notes: [] })
  })

  test('nothing is found while the server quotes every name', async () => {
    const session = await openSession({ url: urlOf(role) })
    await session.query('set quote_all_identifiers = on')
    const proof = await proveStartup(session, declarations, { role })
    const connection = await proveConnection(session, { role, schemas: searchPathOf(declarations) })
    await session.close()

    expect(proof).toEqual({ faults: [], notes: [] })
    expect(connection).toEqual({ faults: [], notes: [] })
  })

  test.each([
    ['a wider policy', 'alter policy org_isolation on platform.agents using (true)', 'policies differ'],
    ['a lost function', 'drop function platform.user_id_by_email(text)', 'a function is missing'],
    ['a lost right', 'revoke select on platform.agents from {role}', 'a right is missing'],
  ])('%s is found while the server quotes every name', async (_, sql, fault) => {
    await withPlant(
      { sql: [sql], as: ['set local quote_all_identifiers = on'], faults: [fault] },
      role,
      async (planted) => {
        expect(namesOf(await planted.prove())).toEqual([fault])
      },
    )
  })

  test.for(named(loginPlants))('found on every connection, and mended: %s', async ([, plant], { skip }) => {
    if (!fits(plant)) skip()
    await withPlant(plant, role, async (planted) => {
      expect(namesOf(await planted.proveConnection())).toEqual(plant.faults)
      await isFoundAndMended(plant, planted)
    })
  })

  const plants = role === 'tenantry_app' ? [...databasePlants, ...appPlants] : systemPlants
  test.for(named(plants))('found, and mended: %s', async ([, plant], { skip }) => {
    if (!fits(plant)) skip()
    await withPlant(plant, role, async (planted) => {
      expect(namesOf(await planted.proveConnection())).toEqual([])
      await isFoundAndMended(plant, planted)
    })
  })
})

test.for(named(notePlants))('noted, and mended: %s', async ([, plant]) => {
  await withPlant(plant, 'tenantry_app', async ({ prove, mend }) => {
    const { faults, notes } = await prove()
    expect(faults).toEqual([])
    expect(notes.map(({ fault }) => fault)).toEqual(plant.faults)
    expect(notes.map((note) => canBeRun(note.mend))).toEqual([plant.advice === undefined])
    if (plant.advice !== undefined) return
    for (const note of notes) await mend(note.mend)
    expect(await prove()).toEqual({ faults: [], notes: [] })
  })
})

const hosts: readonly (Plant & { options?: Partial<StartupProofOptions> })[] = [
  // Postgres 15 to 17 are delivered with it as leakproof: without arguments it sees no row.
  { sql: ['alter function pg_catalog.gen_random_uuid() leakproof'], faults: [] },
  {
    sql: [
      'create schema host',
      'grant usage on schema host to public',
      'create table host.countries (code text) partition by list (code)',
      "create table host.de partition of host.countries for values in ('de')",
      'grant select on host.countries, host.de to public',
    ],
    options: { allowRelations: ['host.countries'] },
    faults: [],
  },
  {
    sql: [
      'create function public.slugify(text, integer) returns text security definer return $1',
      'grant execute on function public.slugify(text, integer) to public',
    ],
    options: { allowFunctions: ['public.slugify(text, integer)'] },
    faults: [],
  },
  {
    sql: [
      "create function public.length_of(text) returns integer language internal as 'textlen'",
      'grant execute on function public.length_of(text) to public',
      'create extension citext',
    ],
    options: { allowFunctions: ['public.length_of(text)'] },
    faults: [],
  },
  // Out of reach without the use of its schema.
  {
    sql: [
      'create schema host',
      'create table host.notes ()',
      'grant select on host.notes to public',
      'create function host.slugify() returns int security definer return 1',
      'grant execute on function host.slugify() to public',
    ],
    faults: [],
  },
  {
    sql: [
      'create view public.mine with (security_invoker) as select id from platform.agents',
      'grant select on public.mine to {role}',
    ],
    faults: [],
  },
  {
    sql: [
      'create function public.touch() returns trigger language plpgsql security definer as $$ begin return new; end $$',
      'grant execute on function public.touch() to public',
    ],
    faults: [],
  },
  {
    sql: [
      'create table public.host ()',
      'create function public.touch() returns trigger language plpgsql as $$ begin return new; end $$',
      'create trigger touch before insert on public.host for each row execute function public.touch()',
    ],
    faults: [],
  },
  // A temporary table of another session belongs to the login too.
  { sql: ['grant temporary on database {database} to public'], as: ['create temporary table mine ()'], faults: [] },
  { sql: ['create extension pg_stat_statements'], faults: [] },
  {
    sql: ['create table public.host (id int primary key)', 'create publication host for table public.host'],
    faults: [],
  },
]

test.for(named(hosts))("the host's own, and no fault: %s", async ([, plant], { skip }) => {
  const options = hosts.find(({ sql }) => sql === plant.sql)?.options
  if (!fits(plant)) skip()
  await withPlant(plant, 'tenantry_app', async ({ prove }) => {
    const { faults, notes } = await prove(options)
    expect(faults).toEqual([])
    expect(notes.filter(({ fault }) => fault === 'is published')).toEqual([])
  })
})

const newer = [
  "insert into platform_migrations.migrations (hash, created_at) values ('newer', 99999999999999)",
  'create table platform.newer (org_id uuid)',
  'grant select, insert on platform.newer to {role}',
  'alter table platform.agents add column newer text',
  'grant update (newer) on platform.agents to {role}',
  'create function platform.newer() returns int security definer return 1',
  'grant execute on function platform.newer() to {role}',
  'alter function platform.user_id_by_email(text) cost 7 volatile',
]

test('what no build has recorded is refused, with or without a newer migration', async () => {
  for (const sql of [newer, newer.slice(1)]) {
    await withPlant({ sql, faults: [] }, 'tenantry_app', async ({ prove }) => {
      expect(namesOf(await prove())).toEqual([
        'a function differs',
        'a right is not declared',
        'has rights on an undeclared relation',
        'may execute an undeclared definer function',
      ])
    })
  }
})

test('what a newer build recorded counts only beside a migration that this build does not know', async () => {
  const without: Declarations = {
    ...declarations,
    tables: declarations.tables.filter(({ name }) => name !== 'agent_tools'),
  }
  await withPlant({ sql: [], faults: [] }, 'tenantry_app', async ({ prove }) => {
    expect(namesOf(await prove({}, without))).toEqual(['has rights on an undeclared relation'])
  })
  await withPlant({ sql: newer.slice(0, 1), faults: [] }, 'tenantry_app', async ({ prove }) => {
    expect(namesOf(await prove({}, without))).toEqual([])
  })
})

test('a database that was never migrated has one finding only', async () => {
  const url = new URL(database.adminUrl)
  url.pathname = '/postgres'
  const session = await openSession({ url: url.href })
  const { faults, notes } = await proveStartup(session, declarations, { role: 'tenantry_app' })
  await session.close()

  expect(faults).toEqual([
    { fault: 'the database was never migrated', detail: 'postgres', mend: 'npx tenantry migrate up' },
  ])
  expect(notes).toEqual([])
})

test.for(['tenantry_app', 'tenantry_system'] as const)(
  "the owner's own login is told to be another one of %s, and nothing that follows from it",
  async (role) => {
    const { faults } = await proveStartup(database.admin, declarations, { role })

    const login = role === 'tenantry_system' ? 'system_login --system' : 'app_login'
    const mend = `npx tenantry login create ${login} # where there is none yet; connect with the url of that login`
    expect(faults).toEqual([{ fault: 'is a superuser', detail: new URL(database.adminUrl).username, mend }])
  },
)

test('a trigger of an adoption is not to be dropped: the adoption is to be completed', async () => {
  const sql = [
    'create function public.planted() returns trigger language plpgsql as $$ begin return new; end $$',
    'create trigger zz_tenantry_org_id before insert on platform.agents for each row execute function public.planted()',
  ]
  await withPlant({ sql, faults: [] }, 'tenantry_app', async ({ prove }) => {
    const { faults } = await prove()
    expect(faults).toMatchObject([{ fault: 'a trigger is on a table', mend: 'npx tenantry adopt contract' }])
  })
})

test('a connection that is known to be to no cluster is proved in one round trip', async () => {
  let queries = 0
  const login = await openSession({ url: database.appUrl })
  const counted = {
    query: <Row>(text: string, params?: readonly unknown[]) => {
      queries += 1
      return login.query<Row>(text, params)
    },
  }
  const { faults } = await proveStartup(counted, declarations, { role: 'tenantry_app', isCluster: false })
  await login.close()
  expect({ faults, queries }).toEqual({ faults: [], queries: 1 })
})

test('one function that the host allows does not allow another', async () => {
  const sql = ['slugify', 'planted'].flatMap((name) => [
    `create function public.${name}(text) returns text security definer return $1`,
    `grant execute on function public.${name}(text) to public`,
  ])
  await withPlant({ sql, faults: [] }, 'tenantry_app', async ({ prove }) => {
    const { faults } = await prove({ allowFunctions: ['public.slugify(text)'] })
    expect(faults.map(({ detail }) => detail)).toEqual([expect.stringContaining('planted(text)')])
  })
})

test('the estimated cost of the proof is too low for the server to compile it (JIT), which would take seconds', async () => {
  await withPlant({ sql: [], faults: [] }, 'tenantry_app', async ({ explain }) => {
    const [, cost] = /cost=[\d.]+\.\.([\d.]+)/.exec(await explain()) ?? []
    // jit_above_cost is 100,000.
    expect(Number(cost)).toBeLessThan(40_000)
  })
})

test("the user's own tables are proved like the library's", async () => {
  const notes = pgTable('notes', { orgId: orgId(), text: text('text') }, () => [orgIsolation(), systemAccess()])
  declareTable(notes, { kind: 'tenant' })
  const own = await declarationsOf([...platformTables, notes], [platformMigrations])
  const made = [
    'create table public.notes (org_id uuid not null, text text)',
    'alter table public.notes enable row level security',
    'create policy org_isolation on public.notes to tenantry_app using (org_id = platform.current_org()) with check (org_id = platform.current_org())',
    'create policy system_access on public.notes to tenantry_system using (true) with check (true)',
    'grant select, insert, delete, update (text) on public.notes to tenantry_app',
  ]
  const found = (more: readonly string[]) =>
    withPlant({ sql: [...made, ...more], faults: [] }, 'tenantry_app', async ({ prove }) =>
      namesOf(await prove({}, own)),
    )

  expect(await found([])).toEqual([])
  expect(await found(['grant update on public.notes to tenantry_app'])).toEqual(['a right is not declared'])
  expect(await found(['drop policy org_isolation on public.notes'])).toEqual(['policies differ'])
  expect(await found(['alter table public.notes disable row level security'])).toEqual(['row security is not enabled'])
  expect(await found(['alter table public.notes drop column text'])).toEqual(['a column is missing'])
  expect(await found(['create temporary table notes ()', 'set local search_path to public'])).toEqual([
    'is hidden by another relation',
  ])
})

test('PGlite is set up and proved alike, each role under its session authorization', async () => {
  const session = await openSession({ embedded: true })
  const project = { sets: [platformMigrations], tables: platformTables }
  const first = await upgrade(session, project, { exclusiveDatabase: true })
  expect(first.bootstrap).toMatchObject({ remaining: [], advised: [] })
  expect((await upgrade(session, project, { exclusiveDatabase: true })).bootstrap.done).toEqual([])

  for (const role of ['tenantry_app', 'tenantry_system'] as const) {
    await session.query(`set session authorization ${role}`)
    expect(await proveStartup(session, declarations, { role })).toEqual({ faults: [], notes: [] })
    await session.query('set session authorization postgres')
  }
  expect(namesOf(await proveStartup(session, declarations, { role: 'tenantry_app' }))).toContain('is a superuser')
  await session.close()
})

/** For test.for, which shortens what it prints of an object. */
function named(plants: readonly Plant[]): [string, Plant][] {
  return plants.map((plant) => [[...plant.sql, ...(plant.as ?? [])].join('; '), plant])
}

/** The server may be too old or too new for the statement, or lack the extension. */
function fits({ sql, from = 0, until = Infinity }: Plant): boolean {
  const extensions = sql.flatMap((statement) => /^create extension (\w+)/.exec(statement)?.[1] ?? [])
  return version >= from && version <= until && extensions.every((name) => available.has(name))
}
