import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { proveConnection } from '../../src/access/connection-proof.js'
import { openSession } from '../../src/database/session.js'
import { createLogin } from '../../src/access/logins.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { undone } from '../support/nested-session.js'

const database = useDatabase()
const proven = { role: 'tenantry_app', schemas: ['platform'] } as const
let login: string
let url: URL

// A login of its own: what is set on one is set for all who use it.
beforeEach(async () => {
  login = `tenantry_proof_${randomBytes(6).toString('hex')}`
  const { password = '' } = await createLogin(database.admin, login)
  url = new URL(database.appUrl)
  url.username = login
  url.password = password
})

afterEach(async () => {
  await database.admin.query(`drop role ${login}`)
})

async function faults(): Promise<{ fault: string; detail: string; mend: string }[]> {
  const session = await openSession({ url: url.href })
  const proof = await proveConnection(session, proven)
  await session.close()
  return [...proof.faults]
}

test('a login that was just made is proved', async () => {
  expect(await faults()).toEqual([])
})

test.for([
  ['a binding is ambient', 'tenantry.org_id', '0190a000-0000-7000-8000-00000000000a'],
  ['a binding is ambient', 'tenantry.user_id', 'x'],
  ['a setting is unsafe', 'row_security', 'off'],
  ['a setting is unsafe', 'standard_conforming_strings', 'off'],
  ['a setting is unsafe', 'default_transaction_read_only', 'on'],
] as const)('%s: %s, from the role, the database and the connection', async ([fault, name, value]) => {
  const { admin } = database
  await admin.query(`alter role ${login} set ${name} = '${value}'`)
  const [found, ...others] = await faults()
  expect(found).toEqual({ fault, detail: `${name} = ${value}`, mend: `alter role ${login} reset ${name}` })
  expect(others).toEqual([])

  await admin.query(found?.mend ?? '')
  expect(await faults()).toEqual([])

  url.searchParams.set('options', `-c ${name}=${value}`)
  expect(await faults()).toEqual([
    { fault, detail: `${name} = ${value}`, mend: `remove ${name} from the connection options or from postgresql.conf` },
  ])
})

test('the more specific of two settings is the one that counts', async () => {
  const { admin } = database
  const name = new URL(database.adminUrl).pathname.slice(1)
  await admin.query(`alter database ${name} set row_security = off`)
  await admin.query(`alter role ${login} set row_security = on`)
  expect(await faults()).toEqual([])

  await admin.query(`alter role ${login} in database ${name} set row_security = off`)
  const [found] = await faults()
  expect(found?.mend).toBe(`alter role ${login} in database ${name} reset row_security`)

  await admin.query(found?.mend ?? '')
  await admin.query(`alter role ${login} reset row_security`)
  const [other] = await faults()
  expect(other?.mend).toBe(`alter database ${name} reset row_security`)
  await admin.query(other?.mend ?? '')
  expect(await faults()).toEqual([])
})

test('a role of the connection options is another role', async () => {
  await database.admin.query(`alter role ${login} set role = tenantry_app`)
  const [found] = await faults()
  expect(found).toEqual({
    fault: 'acts as another role',
    detail: `${login} logged in, but acts as tenantry_app`,
    mend: `alter role ${login} reset role`,
  })

  await database.admin.query(found?.mend ?? '')
  expect(await faults()).toEqual([])
})

test('a schema that nobody declared is not on the search_path', async () => {
  const { admin } = database
  await admin.query('create schema host')
  await admin.query(`grant usage on schema host to ${login}`)
  await admin.query(`alter role ${login} set search_path = host, public`)
  const [found] = await faults()
  expect(found?.fault).toBe('search_path is unsafe')

  const session = await openSession({ url: url.href })
  expect((await proveConnection(session, { ...proven, schemas: ['host'] })).faults).toEqual([])
  await session.close()

  await admin.query(found?.mend ?? '')
  expect(await faults()).toEqual([])
  await admin.query('drop schema host')
})

test('a missing role is a fault', async () => {
  await undone(database.admin, async (session) => {
    await session.query('alter role tenantry_app rename to tenantry_planted')
    const { faults } = await proveConnection(session, proven)
    expect(faults).toContainEqual({
      fault: 'the role is missing',
      detail: 'tenantry_app',
      mend: 'npx tenantry bootstrap',
    })
  })
})

test('the faults come in one order, whatever the plan', async () => {
  await undone(database.admin, async (session) => {
    await session.query(`alter role ${login} bypassrls createdb`)
    await session.query(`grant pg_read_all_data, pg_write_all_data to ${login}`)
    await session.query(`set local session authorization ${login}`)
    const { faults } = await proveConnection(session, proven)
    expect(faults.map(({ fault, detail }) => [fault, detail])).toEqual([
      ['bypasses row security', login],
      ['is a member of another role', `${login} is a member of pg_read_all_data`],
      ['is a member of another role', `${login} is a member of pg_write_all_data`],
      ['may create roles or databases, or replicate', login],
    ])
  })
})
