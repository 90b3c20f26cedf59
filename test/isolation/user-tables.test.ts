import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { fillEveryTable, nameOf, type Rows, userTables } from '../support/every-table.js'
import { connectionsOf, personOf } from './attempts.js'
import { ownershipFaults, type Setting, unboundFaults } from './behaviour.js'

// Row security alone: no repository is between these statements and the database.
const database = useDatabase()
let app: pg.Client
let mine: Rows
let theirs: Rows
let setting: Setting
let end: () => Promise<unknown>

beforeAll(async () => {
  mine = await fillEveryTable(database.admin)
  theirs = await fillEveryTable(database.admin)
  const connections = connectionsOf(database, mine)
  end = connections.end
  setting = { attempt: connections.attempt, ours: mine, theirs, strangers: theirs }
  app = new pg.Client({ connectionString: database.appUrl })
  await app.connect()
})
afterAll(() => Promise.all([app.end(), end()]))

async function outcome(person: string | undefined, text: string, values: unknown[] = []) {
  await app.query('begin')
  try {
    if (person !== undefined) await app.query('select platform.enter_user($1)', [person])
    const { rows, rowCount } = await app.query<Record<string, unknown>>(text, values)
    return { rows, rowCount }
  } catch (error) {
    return { error: (error as Error).message, code: (error as { code?: string }).code }
  } finally {
    await app.query('rollback')
  }
}

describe.each(userTables.map((table) => ({ name: nameOf(table), table })))('$name', ({ table }) => {
  test('nothing can be done while no person is bound', async () => {
    expect(await unboundFaults(setting, table)).toEqual([])
  })

  test('only the bound person’s rows are seen, changed and inserted', async () => {
    expect(await ownershipFaults(setting, table)).toEqual([])
  })
})

test('a password hash can never be read', async () => {
  expect(await outcome(personOf(mine), 'select password_hash from platform.users')).toMatchObject({
    code: '42501',
    error: 'permission denied for table users',
  })
})

test('a person sees their own organizations and invitations, and no others', async () => {
  const { admin } = database
  await admin.query('update platform.users set email_confirmed_at = now() where id = $1', [personOf(mine)])
  await admin.query(
    `update platform.organization_invitations set email = (select email from platform.users where id = $1), expires_at = now() + interval '1 day' where org_id = $2`,
    [personOf(mine), theirs.get('organizations')?.id],
  )
  const organizations = await outcome(personOf(mine), 'select id from platform.my_organizations()')
  expect(organizations.rows).toEqual([{ id: mine.get('organizations')?.id }])
  const invitations = await outcome(personOf(mine), 'select org_id from platform.my_invitations()')
  expect(invitations.rows).toEqual([{ org_id: theirs.get('organizations')?.id }])
  expect((await outcome(personOf(theirs), 'select org_id from platform.my_invitations()')).rows).toEqual([])
})

test('an address leads to an id and to nothing else of a person', async () => {
  const email = theirs.get('users')?.email
  const { rows } = await outcome(undefined, 'select platform.user_id_by_email($1) as id', [email])
  expect(rows).toEqual([{ id: personOf(theirs) }])
})
