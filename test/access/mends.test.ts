import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createJiti } from 'jiti'
import { type PgTable, pgTable, text } from 'drizzle-orm/pg-core'
import { afterAll, expect, inject, test, vi } from 'vitest'
import { loginFindings } from '../../src/access/connection-proof.js'
import { migrationFindings } from '../../src/access/migration-findings.js'
import { partitionFindings } from '../../src/access/partition-findings.js'
import { functionFindings, placeFindings } from '../../src/access/schema-findings.js'
import { tableFindings } from '../../src/access/table-findings.js'
import { startEmbeddedServer } from '../../src/testing/embedded-server.js'
import { loadDefinitions } from '../../src/cli/config-file.js'
import { type ProofFault, UnsafeRoleError } from '../../src/core/errors.js'
import { openSession, type Session } from '../../src/database/session.js'
import { migrateDown, platformMigrations } from '../../src/migrations/migrator.js'
import { orgId } from '../../src/schema/shared/columns.js'
import { orgIsolation, systemAccess } from '../../src/schema/shared/isolation.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { platformTables, tablesOf } from '../../src/schema/tables.js'
import { proveStartup } from '../../src/access/startup-proof.js'
import { declarationsOf } from '../../src/migrations/declarations.js'
import { createLogin } from '../../src/access/logins.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { openTenancy } from '../../src/tenancy.js'
import type { TenancyOptions } from '../../src/tenancy-options.js'
import { createTestDatabase, type TestDatabase, type TestTemplate } from '../../src/testing/template.js'
import { example, root, tenantry } from '../cli/command-line.js'
import { useEmptyDatabases } from '../migrations/empty-database.js'
import { canBeRun } from './planted.js'
import { loginPlants } from './login-plants.js'
import { appPlants, databasePlants, notePlants, systemPlants } from './plants.js'

// The faults of plants.ts are planted into a transaction. These need a database, a login or a process of their own.
const emptyDatabase = useEmptyDatabases()
const opened: TestDatabase[] = []
afterAll(() => Promise.all(opened.map((database) => database.close())))
const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
const password = 'a password of the tests'
const migrations = join(example, 'drizzle')
const schemaFile = join(example, 'src', 'schema.ts')

interface Place {
  readonly session: Session
  readonly url: string
  /** Its name is taken by no other test; it is made by the test, or by a mend. */
  readonly login: string
  readonly loginUrl: string
  readonly command: (line: string, cwd?: string) => Promise<string>
}

const place = async () => placeIn(await emptyDatabase())

function placeIn({ session, url }: { session: Session; url: string }): Place {
  const login = `${new URL(url).pathname.slice(1)}login`
  const loginUrl = Object.assign(new URL(url), { username: login, password }).href
  const command = async (line: string, cwd?: string) => {
    const around = { env: { DATABASE_ADMIN_URL: url }, stdin: `${password}\n`, ...(cwd !== undefined && { cwd }) }
    const { code, stdout, stderr } = await tenantry(line.split(' '), around)
    expect({ code, stderr: code === 0 ? '' : stderr }, line).toEqual({ code: 0, stderr: '' })
    return stdout
  }
  return { session, url, login, loginUrl, command }
}

/** Migrated, with a login of the application. With `cwd` its migrations are applied too. */
async function served(cwd?: string): Promise<Place> {
  const migrated = await createTestDatabase(inject('tenantry') as TestTemplate)
  opened.push(migrated)
  const made = placeIn({ session: migrated.admin, url: migrated.adminUrl })
  if (cwd !== undefined) await made.command('migrate up', cwd)
  await made.command(`login create ${made.login} --password-stdin`, cwd)
  return made
}

/** What is said when it is opened: nothing when it is. */
async function faultsOf(options: TenancyOptions): Promise<readonly ProofFault[]> {
  try {
    await (await openTenancy({ keys, ...options })).close()
    return []
  } catch (error) {
    if (!(error instanceof UnsafeRoleError)) throw error
    error.faults.forEach(({ fault }) => seen.add(fault))
    return error.faults
  }
}

const commandOf = ({ mend }: ProofFault) => /^npx tenantry ([^#]+?)(?: #.*)?$/.exec(mend)?.[1] ?? ''
const only = (faults: readonly ProofFault[]): ProofFault => {
  expect(faults).toHaveLength(1)
  return faults[0] ?? { fault: '', detail: '', mend: '' }
}

/** A case of these findings: it fails where one of them does not come up. */
function mended(findings: readonly string[], title: string, work: () => Promise<void>): void {
  findings.forEach((finding) => beyondPlants.add(finding))
  test(title, { timeout: 120_000 }, async () => {
    seen.clear()
    await work()
    expect([...seen]).toEqual(expect.arrayContaining([...findings]))
  })
}
const beyondPlants = new Set<string>()
const seen = new Set<string>()

test('each finding is planted and mended, or has a case here', async () => {
  const lists = [loginFindings, placeFindings, tableFindings, partitionFindings, functionFindings, migrationFindings]
  const named = lists.flat().flatMap(namesIn)
  const folder = join(root, 'src', 'access')
  const sources = await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')))
  const inCode = sources.flatMap((source) => [...source.matchAll(/\bfault: '([^']+)'/g)].map(([, name = '']) => name))
  const plants = [loginPlants, databasePlants, appPlants, systemPlants, notePlants]
    .flat()
    .flatMap(({ faults }) => faults)
  const covered = new Set([...plants, ...beyondPlants])
  expect(inCode).not.toEqual([])
  expect([...named, ...inCode].filter((finding) => !covered.has(finding))).toEqual([])
})

/** The names that the first column of a finding can have. */
function namesIn(finding: string): string[] {
  const [, name, cases = ''] = /^\s*select (?:distinct )?(?:'([^']+)'|(case .+? end))/s.exec(finding) ?? []
  const names = name === undefined ? [...cases.matchAll(/(?:then|else) '([^']+)'/g)].map(([, one = '']) => one) : [name]
  expect(names, finding).not.toEqual([])
  return names
}

mended(
  ['the database was never migrated', 'does not have the rights of its role'],
  'never migrated: one line, and its command',
  async () => {
    const { session, login, loginUrl, command } = await place()
    await session.query(`create role ${login} login password '${password}'`)
    const fault = only(await faultsOf({ url: loginUrl }))
    expect(fault).toMatchObject({ fault: 'the database was never migrated', mend: 'npx tenantry migrate up' })
    await command(commandOf(fault))

    const next = only(await faultsOf({ url: loginUrl }))
    expect(next.mend).toBe(`npx tenantry login create ${login}`)
    await command(commandOf(next))
    expect(await faultsOf({ url: loginUrl })).toEqual([])
  },
)

mended(['migrations are not applied'], 'a new build on an old database: migrate up, and nothing else', async () => {
  const { session, loginUrl, command } = await served()
  await migrateDown(session, [platformMigrations], { to: 7 })
  const fault = only(await faultsOf({ url: loginUrl }))
  expect(fault).toMatchObject({ fault: 'migrations are not applied', mend: 'npx tenantry migrate up' })
  expect(fault.detail).toContain('0008_agents_and_work')
  await command(commandOf(fault))
  expect(await faultsOf({ url: loginUrl })).toEqual([])
})

mended(['migrations are not applied'], 'own migrations that were never applied: migrate up', async () => {
  const { loginUrl, command } = await served()
  const own = { schema: await loadDefinitions(schemaFile), migrations }
  const fault = only(await faultsOf({ url: loginUrl, own }))
  expect(fault).toMatchObject({ detail: '0000_tickets', mend: 'npx tenantry migrate up' })
  await command(commandOf(fault), example)
  expect(await faultsOf({ url: loginUrl, own })).toEqual([])
})

mended(
  ['tables of your own are not declared'],
  '`own` is forgotten: it says to pass it, and that is enough',
  async () => {
    const { loginUrl } = await served(example)
    const fault = only(await faultsOf({ url: loginUrl }))
    expect(fault.fault).toBe('tables of your own are not declared')
    expect(fault.detail).toContain('helpdesk.tickets')
    expect(fault.mend).toContain('pass `own` to openTenancy')
    // Advice: only the host's code can pass it.
    expect(canBeRun(fault.mend)).toBe(false)
    expect(await faultsOf({ url: loginUrl, own: { schema: await loadDefinitions(schemaFile), migrations } })).toEqual(
      [],
    )
  },
)

mended(['a table is not declared'], 'a table is not declared: it says to declare it, and that is enough', async () => {
  const { loginUrl } = await served(example)
  const { tickets } = await loadDefinitions(schemaFile)
  // The same table, as it is before anybody declares it.
  const copy = Object.create(
    Object.getPrototypeOf(tickets) as object,
    Object.getOwnPropertyDescriptors(tickets as object),
  ) as PgTable
  const own = { schema: { tickets: copy }, migrations }
  const fault = only(await faultsOf({ url: loginUrl, own }))
  expect(fault).toMatchObject({ fault: 'a table is not declared', detail: 'helpdesk.tickets' })
  expect(fault.mend).toContain('call declareTable')
  // Advice: a change of the host's code.
  expect(canBeRun(fault.mend)).toBe(false)
  declareTable(copy, { kind: 'tenant' })
  expect(await faultsOf({ url: loginUrl, own })).toEqual([])
})

mended(
  ['a table is not declared'],
  'a second copy of tenantry/schema: it says so, and the one copy is enough',
  async () => {
    const { loginUrl } = await served(example)
    vi.resetModules()
    const copy = await import('../../src/schema/index.js')
    const jiti = createJiti(import.meta.url, { virtualModules: { 'tenantry/schema': copy }, moduleCache: false })
    const schema = { ...(await jiti.import<Record<string, unknown>>(schemaFile)) }
    expect(tablesOf(schema)).toHaveLength(1)
    const fault = only(await faultsOf({ url: loginUrl, own: { schema, migrations } }))
    expect(fault.mend).toContain('two copies of `tenantry/schema` are loaded (`npm ls tenantry`)')
    // Advice: which copies are installed is for the host to say.
    expect(canBeRun(fault.mend)).toBe(false)
    expect(await faultsOf({ url: loginUrl, own: { schema: await loadDefinitions(schemaFile), migrations } })).toEqual(
      [],
    )
  },
)

mended(['is a superuser'], 'connected as a superuser: a login first', async () => {
  const { url, login, loginUrl, command } = await place()
  await command('migrate up')
  const fault = only(await faultsOf({ url }))
  expect(fault.fault).toBe('is a superuser')
  await command(`${commandOf(fault).replace('app_login', login)} --password-stdin`)
  expect(await faultsOf({ url: loginUrl })).toEqual([])
})

mended(
  ['owns something'],
  'connected as the owner: a login first, and nothing that would change the owner',
  async () => {
    const { session, url, login, loginUrl, command } = await place()
    const owner = `${login}owner`
    await session.query(`create role ${owner} login createrole createdb bypassrls password '${password}'`)
    await session.query(`alter database ${new URL(url).pathname.slice(1)} owner to ${owner}`)
    const ownerUrl = Object.assign(new URL(url), { username: owner, password }).href
    const asOwner = await openSession({ url: ownerUrl })
    await tenantry(['migrate', 'up'], { env: { DATABASE_ADMIN_URL: ownerUrl } })
    await asOwner.close()

    const fault = only(await faultsOf({ url: ownerUrl }))
    expect(fault.fault).toBe('owns something')
    expect(fault.mend).toBe(
      'npx tenantry login create app_login # where there is none yet; connect with the url of that login',
    )
    await command(`${commandOf(fault).replace('app_login', login)} --password-stdin`)
    expect(await faultsOf({ url: loginUrl })).toEqual([])
  },
)

mended(
  ['has rights on an undeclared relation'],
  'a foreign grant: revoke it, or name it in allowRelations',
  async () => {
    const { session, loginUrl } = await served()
    await session.query('create table public.countries (code text)')
    await session.query('grant select on public.countries to public')
    const fault = only(await faultsOf({ url: loginUrl }))
    const [, allowed] = /allowRelations: \['(.+)'\]$/.exec(fault.mend) ?? []
    expect(await faultsOf({ url: loginUrl, allowRelations: [allowed ?? ''] })).toEqual([])
    await session.query(fault.mend)
    expect(await faultsOf({ url: loginUrl })).toEqual([])
  },
)

mended(
  ['may execute an undeclared definer function'],
  'a foreign definer function: revoke it, or name it in allowFunctions',
  async () => {
    const { session, loginUrl } = await served()
    await session.query('create function public.slugify(text, int) returns text security definer return $1')
    await session.query('grant execute on function public.slugify to public')
    const fault = only(await faultsOf({ url: loginUrl }))
    const [, allowed] = /allowFunctions: \['(.+)'\]$/.exec(fault.mend) ?? []
    expect(await faultsOf({ url: loginUrl, allowFunctions: [allowed ?? ''] })).toEqual([])
    await session.query(fault.mend)
    expect(await faultsOf({ url: loginUrl })).toEqual([])
  },
)

mended(
  ['search_path is unsafe', 'a setting is unsafe', 'acts as another role', 'a binding is ambient'],
  'settings of a login: reset where they were set',
  async () => {
    const { session, url, login, loginUrl } = await served()
    await session.query('create schema planted')
    await session.query('grant usage on schema planted to public')
    const here = `${login} in database ${new URL(url).pathname.slice(1)}`
    for (const setting of [
      `alter role ${login} set search_path to planted, public`,
      `alter role ${here} set search_path to planted, public`,
      `alter role ${here} set row_security to off`,
      `alter role ${login} set role to tenantry_app`,
      `alter role ${here} set tenantry.org_id to planted`,
    ]) {
      await session.query(setting)
      const [fault, ...more] = await faultsOf({ url: loginUrl })
      expect({ fault: typeof fault?.mend, more }, setting).toEqual({ fault: 'string', more: [] })
      await session.query(fault?.mend ?? '')
      expect(await faultsOf({ url: loginUrl }), setting).toEqual([])
    }

    // Advice: what the url says comes before what the login was given, and only the host can change it.
    const pinned = `${loginUrl}?options=-csearch_path%3Dplanted`
    const fault = only(await faultsOf({ url: pinned }))
    expect(fault.mend).toBe('remove search_path from the connection options or from postgresql.conf')
  },
)

mended(['is hidden by another relation'], 'a table of public is hidden: the search_path is set', async () => {
  const { session, login, loginUrl } = await served()
  const notes = pgTable('notes', { orgId: orgId(), text: text('text') }, () => [orgIsolation(), systemAccess()])
  declareTable(notes, { kind: 'tenant' })
  const declarations = await declarationsOf([...platformTables, notes], [platformMigrations])
  const found = async () => {
    const opened = await openSession({ url: loginUrl })
    const { faults } = await proveStartup(opened, declarations, { role: 'tenantry_app' })
    await opened.close()
    faults.forEach(({ fault }) => seen.add(fault))
    return faults
  }
  await session.query('create table public.notes (org_id uuid not null, text text)')
  await session.query('alter table public.notes enable row level security')
  const policy = 'using (org_id = platform.current_org()) with check (org_id = platform.current_org())'
  await session.query(`create policy org_isolation on public.notes to tenantry_app ${policy}`)
  await session.query('create policy system_access on public.notes to tenantry_system using (true) with check (true)')
  await session.query('grant select, insert, delete, update (text) on public.notes to tenantry_app')
  expect(await found()).toEqual([])

  await session.query('create view platform.notes as select 1 as one')
  await session.query(`alter role ${login} set search_path to platform, public`)
  await session.query(only(await found()).mend)
  expect(await found()).toEqual([])
})

mended(['the owner may not bind'], 'an owner who may not bind: the grant, of a superuser', async () => {
  const { session, login, loginUrl } = await served()
  const owner = `${login}owner`
  await session.query(`create role ${owner}`)
  await session.query(`grant usage on schema platform to ${owner}`)
  const owned = await session.query<{ statement: string }>(
    `select format('alter %s %s owner to ${owner}', what, name) as statement from (
       select 'schema', 'platform' union all
       select 'table', oid::regclass::text from pg_class
         where relnamespace in ('platform'::regnamespace, 'platform_migrations'::regnamespace) and relkind in ('r', 'p', 'v') union all
       select 'function', oid::regprocedure::text from pg_proc where pronamespace = 'platform'::regnamespace
     ) owned(what, name)`,
  )
  for (const { statement } of owned) await session.query(statement)
  const fault = only(await faultsOf({ url: loginUrl }))
  await session.query(fault.mend)
  expect(await faultsOf({ url: loginUrl })).toEqual([])
})

mended(['the server is a standby'], 'a standby: connect to the primary', async () => {
  const server = await startEmbeddedServer()
  try {
    const admin = await openSession({ url: server.url })
    await upgrade(admin, { sets: [platformMigrations], tables: platformTables })
    const { password: made = '' } = await createLogin(admin, 'app_login')
    const [row] = await admin.query<{ data: string }>("select current_setting('data_directory') as data")
    await admin.close()
    const url = Object.assign(new URL(server.url), { username: 'app_login', password: made }).href
    await server.halt('fast')
    await writeFile(join(row?.data ?? '', 'standby.signal'), '', { mode: 0o666 })
    await server.resume()
    const fault = only(await faultsOf({ url }))
    expect(fault.mend).toBe('connect to the primary server')

    const standby = await openSession({ url: server.url })
    await standby.query('select pg_promote()')
    await standby.close()
    expect(await faultsOf({ url })).toEqual([])
  } finally {
    await server.stop()
  }
})
