import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ConflictError, InvalidInputError, MigrationError } from '../../src/core/errors.js'
import { proveConnection } from '../../src/access/connection-proof.js'
import { openSession, type Session } from '../../src/database/session.js'
import { createLogin, type LoginOptions } from '../../src/access/logins.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { undone } from '../support/nested-session.js'

const database = useDatabase()
let name: string

beforeEach(() => {
  name = `tenantry_login_${randomBytes(6).toString('hex')}`
})

afterEach(async () => {
  await database.admin.query(`drop owned by "${name}"`).catch(() => undefined)
  await database.admin.query(`drop role if exists "${name}"`)
})

/** Connects as the login, with its password, and proves it. */
async function proven(password: string | undefined, options: LoginOptions = {}, as = name): Promise<unknown> {
  const url = new URL(database.appUrl)
  url.username = encodeURIComponent(as)
  url.password = encodeURIComponent(password ?? '')
  const session = await openSession({ url: url.href })
  const role = options.system === true ? 'tenantry_system' : 'tenantry_app'
  const { faults } = await proveConnection(session, { role, schemas: [] })
  await session.close()
  return faults
}

test.for([{ system: false }, { system: true }])(
  'a new login serves, with a password made for it: %o',
  async (options) => {
    const login = await createLogin(database.admin, name, options)

    expect(login.role).toBe(options.system ? 'tenantry_system' : 'tenantry_app')
    expect(login.remaining).toEqual([])
    expect(login.password).toMatch(/^[\w-]{32}$/)
    expect(await proven(login.password, options)).toEqual([])
  },
)

test('the server gets only a hash of the password, and accepts that password and no other', async () => {
  const password = 'correct horse, battery & staple'
  const login = await createLogin(database.admin, name, { password })

  expect(login.password).toBeUndefined()
  expect(JSON.stringify(login)).not.toContain('SCRAM')
  const [row] = await database.admin.query<{ kept: string }>(
    'select rolpassword as kept from pg_authid where rolname = $1',
    [name],
  )
  expect(row?.kept).toMatch(/^SCRAM-SHA-256\$4096:/)
  expect(await proven(password)).toEqual([])
  if (await asksForPasswords()) await expect(proven('another')).rejects.toThrow('password authentication failed')
})

test('again, it changes nothing, and the password stays', async () => {
  const { password } = await createLogin(database.admin, name)
  const again = await createLogin(database.admin, name)

  expect(again).toMatchObject({ done: [], remaining: [], password: undefined })
  expect(await proven(password)).toEqual([])
})

test('a new password is taken over', async () => {
  const { password } = await createLogin(database.admin, name)
  await createLogin(database.admin, name, { password: 'the next one' })

  expect(await proven('the next one')).toEqual([])
  if (await asksForPasswords()) await expect(proven(password)).rejects.toThrow('password authentication failed')
})

test.for([
  'alter role {name} nologin',
  'alter role {name} noinherit',
  'revoke tenantry_app from {name}',
  'grant tenantry_app to {name} with admin option',
])('what a login lacks or has too much is put right: %s', async (sql) => {
  const { password } = await createLogin(database.admin, name)
  await database.admin.query(sql.replace('{name}', name))
  const repaired = await createLogin(database.admin, name)

  expect(repaired.done).toHaveLength(1)
  expect(repaired.remaining).toEqual([])
  expect(await proven(password)).toEqual([])
  expect((await createLogin(database.admin, name)).done).toEqual([])
})

test('a login that does not inherit gets the rights of its role', async () => {
  const [row] = await database.admin.query<{ is16: boolean }>(
    "select current_setting('server_version_num')::int >= 160000 as is16",
  )
  await database.admin.query(`create role ${name} login noinherit password 'x'`)
  await database.admin.query(`grant tenantry_app to ${name}${row?.is16 === true ? ' with inherit false' : ''}`)
  await createLogin(database.admin, name, { password: 'known' })

  expect(await proven('known')).toEqual([])
})

test.for([
  ['create role {name} superuser', 'is a superuser'],
  ['create role {name} login bypassrls', 'bypasses row security'],
  ['create role {name} login createrole', 'may create roles'],
  ['create role {name} login createdb', 'may create databases'],
  ['create role {name} login replication', 'may replicate'],
  ['create role {name} in role tenantry_system', 'is a member of tenantry_system'],
  ['create role {name} in role tenantry_app, pg_monitor', 'is a member of pg_monitor'],
  ['create role {name}; create schema {name} authorization {name}', 'owns schema {name}'],
])('a role that can do more is refused: %s', async ([sql, why]) => {
  for (const statement of filled(sql).split('; ')) await database.admin.query(statement)

  const refused = createLogin(database.admin, name)
  await expect(refused).rejects.toThrow(ConflictError)
  await expect(refused).rejects.toThrow(`the role ${name} is more than a login: it ${filled(why)}. Choose another name`)
})

const filled = (text = '') => text.replaceAll('{name}', name)

test('a role of the other kind is refused', async () => {
  await createLogin(database.admin, name)
  await expect(createLogin(database.admin, name, { system: true })).rejects.toThrow('is a member of tenantry_app')
})

test.for([
  '',
  'pg_mine',
  'public',
  'none',
  'tenantry_app',
  'tenantry_system',
  '1st',
  'a b',
  'a"b',
  "a'b",
  'a;b',
  'a\n',
  'a\0',
  'x'.repeat(64),
])('a name that is none is refused: %j', async (wrong) => {
  await expect(createLogin(database.admin, wrong)).rejects.toThrow(InvalidInputError)
})

test('a name is taken as it is written', async () => {
  const odd = `${name}_Web.a@b-c$d`
  const { password } = await createLogin(database.admin, odd)
  expect(await proven(password, {}, odd)).toEqual([])
  await database.admin.query(`drop role "${odd}"`)
})

test.for(['', 'pässword', 'a\0b', 'tab\t'])(
  'a password that drivers would not agree on is refused: %j',
  async (password) => {
    await expect(createLogin(database.admin, name, { password })).rejects.toThrow(InvalidInputError)
  },
)

test('who may not make roles gets the SQL for one who may, and it works', async () => {
  const maker = `${name}_maker`
  const login = await undone(database.admin, async (session) => {
    await session.query(`create role ${maker}`)
    await session.query(`set local session authorization ${maker}`)
    return createLogin(session, name)
  })
  expect(login.done).toEqual([])
  expect(login.remaining).toHaveLength(2)

  for (const statement of login.remaining) await database.admin.query(statement)
  expect(await proven(login.password)).toEqual([])
})

test('who may not change a password gets the SQL for it', async () => {
  await createLogin(database.admin, name)
  const changed = await undone(database.admin, async (session) => {
    await session.query(`create role ${name}_maker`)
    await session.query(`set local session authorization ${name}_maker`)
    return createLogin(session, name, { password: 'the next one' })
  })
  expect(changed.done).toEqual([])

  for (const statement of changed.remaining) await database.admin.query(statement)
  expect(await proven('the next one')).toEqual([])
})

test('before bootstrap there is no role to be a member of', async () => {
  await undone(database.admin, async (session) => {
    await session.query('alter role tenantry_app rename to tenantry_planted')
    await expect(createLogin(session, name)).rejects.toThrow(MigrationError)
    await expect(createLogin(session, name)).rejects.toThrow('run npx tenantry migrate up first')
  })
})

test('several at once make one login', async () => {
  const sessions = await Promise.all(Array.from({ length: 5 }, () => openSession({ url: database.adminUrl })))
  const logins = await Promise.all(sessions.map((session: Session) => createLogin(session, name)))
  await Promise.all(sessions.map((session) => session.close()))

  const passwords = logins.flatMap(({ password }) => password ?? [])
  expect(passwords).toHaveLength(1)
  expect(await proven(passwords[0])).toEqual([])
})

/** A server may trust everybody who comes from this machine. */
async function asksForPasswords(): Promise<boolean> {
  return proven('certainly not').then(
    () => false,
    () => true,
  )
}
