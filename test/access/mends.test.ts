import { join } from 'node:path'
import { createJiti } from 'jiti'
import type { PgTable } from 'drizzle-orm/pg-core'
import { expect, test, vi } from 'vitest'
import { loadDefinitions } from '../../src/cli/config-file.js'
import { type RoleFault, UnsafeRoleError } from '../../src/core/errors.js'
import { openSession, type Session } from '../../src/database/session.js'
import { migrateDown, platformMigrations } from '../../src/migrations/migrator.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { tablesOf } from '../../src/schema/tables.js'
import { openTenancy, type TenancyOptions } from '../../src/tenancy.js'
import { example, tenantry } from '../cli/command-line.js'
import { useEmptyDatabases } from '../migrations/empty-database.js'
import { canBeRun } from './planted.js'

// The faults of plants.ts are planted into a transaction. These need a database, a login or a process of their own.
const emptyDatabase = useEmptyDatabases()
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

async function place(): Promise<Place> {
  const { session, url } = await emptyDatabase()
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

/** Migrated, with a login of the application. */
async function served(cwd?: string): Promise<Place> {
  const made = await place()
  await made.command('migrate up', cwd)
  await made.command(`login create ${made.login} --password-stdin`)
  return made
}

/** What is said when it is opened: nothing when it is. */
async function faultsOf(options: TenancyOptions): Promise<readonly RoleFault[]> {
  try {
    await (await openTenancy({ keys, ...options })).close()
    return []
  } catch (error) {
    if (!(error instanceof UnsafeRoleError)) throw error
    return error.faults
  }
}

const commandOf = ({ mend }: RoleFault) => /npx tenantry (.+)$/.exec(mend)?.[1] ?? ''
const only = (faults: readonly RoleFault[]): RoleFault => {
  expect(faults).toHaveLength(1)
  return faults[0] ?? { fault: '', detail: '', mend: '' }
}

test('never migrated: one line, and its command', async () => {
  const { session, login, loginUrl, command } = await place()
  await session.query(`create role ${login} login password '${password}'`)
  const fault = only(await faultsOf({ url: loginUrl }))
  expect(fault).toMatchObject({ fault: 'the database was never migrated', mend: 'npx tenantry migrate up' })
  await command(commandOf(fault))

  const next = only(await faultsOf({ url: loginUrl }))
  expect(next.mend).toBe(`npx tenantry login create ${login}`)
  await command(commandOf(next))
  expect(await faultsOf({ url: loginUrl })).toEqual([])
})

test('a new build on an old database: migrate up, and nothing else', async () => {
  const { session, loginUrl, command } = await served()
  await migrateDown(session, [platformMigrations], { to: 7 })
  const fault = only(await faultsOf({ url: loginUrl }))
  expect(fault).toMatchObject({ fault: 'migrations are not applied', mend: 'npx tenantry migrate up' })
  expect(fault.detail).toContain('0008_agents_and_work')
  await command(commandOf(fault))
  expect(await faultsOf({ url: loginUrl })).toEqual([])
})

test('own migrations that were never applied: migrate up', async () => {
  const { loginUrl, command } = await served()
  const own = { schema: await loadDefinitions(schemaFile), migrations }
  const fault = only(await faultsOf({ url: loginUrl, own }))
  expect(fault).toMatchObject({ detail: '0000_tickets', mend: 'npx tenantry migrate up' })
  await command(commandOf(fault), example)
  expect(await faultsOf({ url: loginUrl, own })).toEqual([])
})

test('`own` is forgotten: it says to pass it, and that is enough', async () => {
  const { loginUrl } = await served(example)
  const fault = only(await faultsOf({ url: loginUrl }))
  expect(fault.fault).toBe('tables of your own are not declared')
  expect(fault.detail).toContain('helpdesk.tickets')
  expect(fault.mend).toContain('pass `own` to openTenancy')
  // Advice: only the host's code can pass it.
  expect(canBeRun(fault.mend)).toBe(false)
  expect(await faultsOf({ url: loginUrl, own: { schema: await loadDefinitions(schemaFile), migrations } })).toEqual([])
})

test('a table is not declared: it says to declare it, and that is enough', async () => {
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

test('a second copy of tenantry/schema: it says so, and the one copy is enough', async () => {
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
  expect(await faultsOf({ url: loginUrl, own: { schema: await loadDefinitions(schemaFile), migrations } })).toEqual([])
})

test('connected as a superuser: a login first', async () => {
  const { url, login, loginUrl, command } = await place()
  await command('migrate up')
  const fault = only(await faultsOf({ url }))
  expect(fault.fault).toBe('is a superuser')
  await command(`${commandOf(fault).replace('<name>', login)} --password-stdin`)
  expect(await faultsOf({ url: loginUrl })).toEqual([])
})

test('connected as the owner: a login first, and nothing that would change the owner', async () => {
  const { session, url, login, loginUrl, command } = await place()
  const owner = `${login}owner`
  await session.query(`create role ${owner} login createrole createdb bypassrls password '${password}'`)
  await session.query(`alter database ${new URL(url).pathname.slice(1)} owner to ${owner}`)
  const ownerUrl = Object.assign(new URL(url), { username: owner, password }).href
  const asOwner = await openSession({ url: ownerUrl })
  await tenantry(['migrate', 'up'], { env: { DATABASE_ADMIN_URL: ownerUrl } })
  await asOwner.close()

  const fault = only(await faultsOf({ url: ownerUrl }))
  expect(fault.mend).toBe('connect with a login of its own: npx tenantry login create <name>')
  await command(`${commandOf(fault).replace('<name>', login)} --password-stdin`)
  expect(await faultsOf({ url: loginUrl })).toEqual([])
})

test('a foreign grant: revoke it, or name it in allowRelations', async () => {
  const { session, loginUrl } = await served()
  await session.query('create table public.countries (code text)')
  await session.query('grant select on public.countries to public')
  const fault = only(await faultsOf({ url: loginUrl }))
  const [, allowed] = /allowRelations: \['(.+)'\]$/.exec(fault.mend) ?? []
  expect(await faultsOf({ url: loginUrl, allowRelations: [allowed ?? ''] })).toEqual([])
  await session.query(fault.mend)
  expect(await faultsOf({ url: loginUrl })).toEqual([])
})

test('a foreign definer function: revoke it, or name it in allowFunctions', async () => {
  const { session, loginUrl } = await served()
  await session.query('create function public.slugify(text, int) returns text security definer return $1')
  await session.query('grant execute on function public.slugify to public')
  const fault = only(await faultsOf({ url: loginUrl }))
  const [, allowed] = /allowFunctions: \['(.+)'\]$/.exec(fault.mend) ?? []
  expect(await faultsOf({ url: loginUrl, allowFunctions: [allowed ?? ''] })).toEqual([])
  await session.query(fault.mend)
  expect(await faultsOf({ url: loginUrl })).toEqual([])
})

test('settings of a login: reset where they were set', async () => {
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
  expect(fault.mend).toBe('take search_path out of the connection options, or of postgresql.conf')
})
