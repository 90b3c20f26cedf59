import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Declarations } from '../../src/access/rights.js'
import { openSession, type Session } from '../../src/database/session.js'
import { proveStartup } from '../../src/access/startup-proof.js'
import { bootstrap, bootstrapGrants, bootstrapRoles } from '../../src/access/bootstrap.js'
import { declarationsOf } from '../../src/migrations/declarations.js'
import { migrateUp, platformMigrations } from '../../src/migrations/migrator.js'
import { platformTables } from '../../src/schema/tables.js'
import { useDatabase } from '../../src/testing/vitest.js'

// As on a managed server: the owner is no superuser and may not make roles.
const database = useDatabase()
const org = '0190a000-0000-7000-8000-00000000000a'
const nothing = { done: [], remaining: [], advised: [], extensions: [] }
let sessions: Session[] = []
let declarations: Declarations
let owner: string
let password: string
let superuser: Session
let session: Session

beforeAll(async () => {
  declarations = await declarationsOf(platformTables, [platformMigrations])
  owner = `${new URL(database.adminUrl).pathname.slice(1)}owner`
  password = randomBytes(16).toString('hex')
  await database.admin.query(`create role ${owner} login password '${password}'`)
})

beforeEach(async () => {
  await database.admin.query(`create database ${owner} owner ${owner} template template0`)
  superuser = await connect(database.adminUrl)
  session = await connect(database.adminUrl, { name: owner, password })
})

afterEach(async () => {
  await Promise.all(sessions.map((open) => open.close()))
  sessions = []
  await database.admin.query(`drop database ${owner}`)
})

afterAll(async () => {
  await database.admin.query(`drop role ${owner}`)
})

async function connect(to: string, as?: { name: string; password: string }): Promise<Session> {
  const url = new URL(to)
  url.pathname = `/${owner}`
  if (as !== undefined) Object.assign(url, { username: as.name, password: as.password })
  const opened = await openSession({ url: url.href })
  sessions.push(opened)
  return opened
}

async function prove(): Promise<{ faults: string[]; notes: string[] }> {
  const app = await connect(database.appUrl)
  const { faults, notes } = await proveStartup(app, declarations, { role: 'tenantry_app' })
  const names = (found: typeof faults) => found.map(({ fault, detail }) => `${fault}: ${detail}`)
  return { faults: names(faults), notes: names(notes) }
}

const largeObjects = [
  'lo_close(integer)',
  'lo_creat(integer)',
  'lo_create(oid)',
  'lo_from_bytea(oid, bytea)',
  'lo_get(oid)',
  'lo_get(oid, bigint, integer)',
  'lo_lseek(integer, integer, integer)',
  'lo_lseek64(integer, bigint, integer)',
  'lo_open(oid, integer)',
  'lo_put(oid, bigint, bytea)',
  'lo_tell(integer)',
  'lo_tell64(integer)',
  'lo_truncate(integer, integer)',
  'lo_truncate64(integer, bigint)',
  'lo_unlink(oid)',
  'loread(integer, integer)',
  'lowrite(integer, bytea)',
].map((name) => `pg_catalog.${name}`)

const advised = [
  () => `grant execute on function pg_catalog.set_config(text, text, boolean) to ${owner}`,
  () => 'revoke execute on function pg_catalog.set_config(text, text, boolean) from public',
  () => `revoke execute on function ${largeObjects.join(', ')} from public`,
]

async function setUp(): Promise<void> {
  await bootstrapRoles(session)
  await migrateUp(session, [platformMigrations])
  await bootstrap(session, declarations)
}

async function setUpAsAdvised(): Promise<void> {
  await setUp()
  for (const statement of advised) await superuser.query(statement())
}

test('an owner who is no superuser sets up all that is needed', async () => {
  const roles = await bootstrapRoles(session)
  expect(roles).toEqual({
    done: [`alter default privileges for role ${owner} revoke execute on functions from public`],
    remaining: [],
    advised: advised.map((statement) => statement()),
    extensions: [],
  })
  await migrateUp(session, [platformMigrations])
  expect((await bootstrapGrants(session, declarations)).remaining).toEqual([])

  expect(await bootstrap(session, declarations)).toEqual({ ...nothing, advised: roles.advised })
  expect(await prove()).toEqual({
    faults: [],
    notes: [
      `SQL text can make large objects: ${['lo_creat(integer)', 'lo_create(oid)', 'lo_from_bytea(oid,bytea)']
        .map((name) => `${new URL(database.appUrl).username} may execute ${name}`)
        .join('; ')}`,
      `SQL text can move the binding: ${new URL(database.appUrl).username} may execute set_config(text,text,boolean)`,
      `may make temporary tables: ${owner} by public`,
    ],
  })
})

test('temporary tables are the affair of whoever owns the database', async () => {
  await setUp()
  const { done } = await bootstrap(session, declarations, { exclusiveDatabase: true })
  expect(done).toEqual([`revoke temporary on database ${owner} from public`])
  expect((await prove()).notes.map((note) => note.split(':')[0])).not.toContain('may make temporary tables')
})

test('what a superuser is advised to run closes the binding, and scopes still open', async () => {
  await setUp()
  const { advised } = await bootstrap(session, declarations, { exclusiveDatabase: true })
  for (const statement of advised) await superuser.query(statement)

  expect(await bootstrap(session, declarations)).toEqual(nothing)
  expect(await prove()).toEqual({ faults: [], notes: [] })
  await session.query(
    `insert into platform.organizations (id, name, slug, temporal_namespace) values ('${org}', 'A', 'a', 'a')`,
  )
  const app = await connect(database.appUrl)
  await app.query('begin')
  await app.query('select platform.enter_org($1)', [org])
  expect(await app.query('select id from platform.organizations')).toEqual([{ id: org }])
  await expect(app.query("select set_config('tenantry.org_id', '', true)")).rejects.toThrow('permission denied')
  await app.query('rollback')
  await expect(app.query("select lo_from_bytea(0, 'x')")).rejects.toThrow('permission denied')
})

test('an owner without the right to bind gets an error with the SQL that grants it', async () => {
  await setUpAsAdvised()
  await superuser.query(`revoke execute on function pg_catalog.set_config(text, text, boolean) from ${owner}`)
  expect((await prove()).faults).toEqual([`the owner may not bind: ${owner}`])

  const { remaining } = await bootstrap(session, declarations)
  expect(remaining).toEqual([advised[0]?.()])
  for (const statement of remaining) await superuser.query(statement)
  expect((await prove()).faults).toEqual([])
})

test('a right that another role granted is not revoked, and is reported', async () => {
  await setUpAsAdvised()
  await superuser.query('create view platform.planted as select 1 as one')
  await superuser.query('grant select on platform.planted to tenantry_app')
  await superuser.query('grant create on schema public to tenantry_app')
  await superuser.query(`alter schema public owner to ${new URL(database.adminUrl).username}`)

  const { done, remaining } = await bootstrap(session, declarations)
  expect(done).toEqual([])
  expect(remaining).toEqual([
    'revoke create on schema public from tenantry_app',
    'revoke select on table platform.planted from tenantry_app cascade',
  ])
  for (const statement of remaining) await superuser.query(statement)
  expect(await bootstrap(session, declarations)).toEqual(nothing)
})

test('the statements that the owner may run are run, although others are refused', async () => {
  await setUp()
  await superuser.query('create view platform.planted as select 1 as one')
  await superuser.query('grant select on platform.planted to tenantry_app')
  await session.query('revoke select on platform.agents from tenantry_app')

  expect(await bootstrapGrants(session, declarations)).toEqual({
    done: ['grant select on table platform.agents to tenantry_app'],
    remaining: ['revoke select on table platform.planted from tenantry_app cascade'],
  })
})
