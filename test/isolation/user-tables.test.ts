import { getTableColumns } from 'drizzle-orm'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { quoted } from '../../src/core/table-plan.js'
import { grantsOf } from '../../src/schema/grants.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { fillEveryTable, nameOf, type Rows, sqlOf, userTables } from '../support/every-table.js'

// Row security alone: no repository is between these statements and the database.
const database = useDatabase()
let app: pg.Client
let mine: Rows
let theirs: Rows

beforeAll(async () => {
  mine = await fillEveryTable(database.admin)
  theirs = await fillEveryTable(database.admin)
  app = new pg.Client({ connectionString: database.appUrl })
  await app.connect()
})
afterAll(() => app.end())

const personOf = (rows: Rows) => rows.get('users')?.id as string

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

describe.each(userTables.map((table) => ({ name: nameOf(table), table })))('$name', ({ name, table }) => {
  const owner = name === 'users' ? 'id' : 'user_id'
  const [column = ''] = grantsOf(table).tenantry_app.update
  const noChange = `update ${sqlOf(table)} set ${quoted(column)} = ${quoted(column)}`

  test('nothing can be done while no person is bound', async () => {
    const refusal = { code: '42501', error: 'no user is bound' }
    expect(await outcome(undefined, `select ${owner} from ${sqlOf(table)}`)).toMatchObject(refusal)
    if (column !== '') expect(await outcome(undefined, noChange)).toMatchObject(refusal)
    expect(await outcome(undefined, `delete from ${sqlOf(table)}`)).toMatchObject({ code: '42501' })
  })

  test('only the bound person’s rows are seen and changed', async () => {
    const { rows } = await outcome(personOf(mine), `select ${owner} as owner from ${sqlOf(table)}`)
    expect(rows).toEqual([{ owner: personOf(mine) }])
    if (column === '') return
    expect(await outcome(personOf(mine), noChange)).toMatchObject({ rowCount: 1 })
    expect(await outcome(personOf(mine), `${noChange} where ${owner} = $1`, [personOf(theirs)])).toMatchObject({
      rowCount: 0,
    })
  })

  test('a row for another person cannot be inserted', async () => {
    const row: Record<string, unknown> = { ...theirs.get(name), id: newId() }
    if (name === 'users') row.email = 'another@example.com'
    const columns = Object.keys(row)
    const places = columns.map((_, index) => `$${index + 1}`).join(', ')
    const insert = `insert into ${sqlOf(table)} (${columns.map(quoted).join(', ')}) values (${places})`
    expect(await outcome(personOf(mine), insert, Object.values(row))).toMatchObject({
      code: '42501',
      error: `new row violates row-level security policy for table "${name}"`,
    })
  })

  test('the columns that only the system may write are closed', async () => {
    const open = new Set(grantsOf(table).tenantry_app.update)
    for (const { name: closed } of Object.values(getTableColumns(table))) {
      if (open.has(closed)) continue
      const text = `update ${sqlOf(table)} set ${quoted(closed)} = null`
      expect(await outcome(personOf(mine), text), closed).toMatchObject({ code: '42501' })
    }
  })
})

test('a password hash can never be read', async () => {
  expect(await outcome(personOf(mine), 'select password_hash from platform.users')).toMatchObject({
    code: '42501',
    error: 'permission denied for table users',
  })
})

test('a person is told of their organizations and invitations, and of nobody else’s', async () => {
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
