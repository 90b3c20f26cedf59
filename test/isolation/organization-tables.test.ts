import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { organizations } from '../../src/schema/organizations.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { fillEveryTable, nameOf, organizationTables, twinIds } from '../support/every-table.js'
import { connectionsOf, orgOf } from './attempts.js'
import { ownershipFaults, partitionFaults, referenceFaults, type Setting, unboundFaults } from './behaviour.js'

// Row security alone: no repository is between these statements and the database.
const database = useDatabase()
let setting: Setting
let end: () => Promise<unknown>
let app: pg.Client

beforeAll(async () => {
  const twins = twinIds()
  const ours = await fillEveryTable(database.admin, twins())
  const theirs = await fillEveryTable(database.admin, twins())
  const strangers = await fillEveryTable(database.admin)
  const connections = connectionsOf(database, ours)
  end = connections.end
  setting = { attempt: connections.attempt, ours, theirs, strangers }
  app = new pg.Client({ connectionString: database.appUrl })
  await app.connect()
})
afterAll(() => Promise.all([app.end(), end()]))

/** The message of the error, or what the statement gave. Takes back whatever it did. */
async function outcome(org: string | undefined, text: string, values: unknown[] = [], setUp = 'select') {
  await app.query('begin')
  try {
    await app.query(setUp)
    if (org !== undefined) await app.query('select platform.enter_org($1)', [org])
    const { rows, rowCount } = await app.query<Record<string, unknown>>(text, values)
    return { rows, rowCount }
  } catch (error) {
    return { error: (error as Error).message, code: (error as { code?: string }).code }
  } finally {
    await app.query('rollback')
  }
}

const tables = [organizations, ...organizationTables]

describe.each(tables.map((table) => ({ name: nameOf(table), table })))('$name', ({ table }) => {
  test('nothing can be done while no organization is bound', async () => {
    const fresh = connectionsOf(database, setting.ours)
    expect(await unboundFaults({ ...setting, attempt: fresh.attempt }, table)).toEqual([])
    await fresh.attempt('org', { text: 'select 1' })
    expect(await unboundFaults({ ...setting, attempt: fresh.attempt }, table)).toEqual([])
    await fresh.end()
  })

  test('only the bound organization’s rows are seen, changed, deleted and inserted', async () => {
    expect(await ownershipFaults(setting, table)).toEqual([])
  })

  test('no foreign key leads into another organization', async () => {
    expect(await referenceFaults(setting, table)).toEqual([])
  })
})

test('partitions can only be reached through their table', async () => {
  const partitions = await database.admin.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relispartition and c.relkind = 'r' and n.nspname = 'platform'`,
  )
  expect(partitions.length).toBeGreaterThanOrEqual(16)
  for (const { name } of partitions) expect(await partitionFaults(setting, name), name).toEqual([])
})

// enter_org and enter_user bind in another way where the setting of a Citus cluster is there.
describe.each([
  ['without the setting of a Citus cluster', 'select'],
  ['with the setting of a Citus cluster', "set local citus.shard_count = '32'"],
])('%s', (_, setUp) => {
  const outcomeWith = (org: string | undefined, text: string, values: unknown[] = []) =>
    outcome(org, text, values, setUp)

  test('a suspended, a deleted and an unknown organization cannot be entered', async () => {
    const { admin } = database
    const suspended = orgOf(await fillEveryTable(admin))
    const deleted = orgOf(await fillEveryTable(admin))
    await admin.query(`update platform.organizations set status = 'suspended' where id = $1`, [suspended])
    await admin.query('update platform.organizations set deleted_at = now() where id = $1', [deleted])
    expect(await outcomeWith(suspended, 'select 1')).toMatchObject({ code: 'TN002' })
    expect(await outcomeWith(deleted, 'select 1')).toMatchObject({ code: 'TN001' })
    expect(await outcomeWith(newId(), 'select 1')).toMatchObject({ code: 'TN001' })
  })

  test('one transaction serves one organization, and an organization or a person', async () => {
    const [ours, theirs, person] = [orgOf(setting.ours), orgOf(setting.theirs), newId()]
    const enter = 'select platform.enter_org($1)'
    const enterUser = 'select platform.enter_user($1)'
    expect(await outcomeWith(ours, 'select platform.current_org() as org')).toMatchObject({ rows: [{ org: ours }] })
    expect(await outcomeWith(ours, enter, [ours])).toMatchObject({ rowCount: 1 })
    expect(await outcomeWith(ours, enter, [theirs])).toMatchObject({ error: 'another organization is bound' })
    expect(await outcomeWith(ours, enter, [null])).toMatchObject({ code: '22004' })
    expect(await outcomeWith(ours, enterUser, [person])).toMatchObject({ error: 'an organization is bound' })
    expect(
      await outcomeWith(undefined, 'select platform.current_user_id() as person from platform.enter_user($1)', [
        person,
      ]),
    ).toMatchObject({ rows: [{ person }] })
  })

  test('the binding ends with its transaction', async () => {
    expect(await outcomeWith(orgOf(setting.ours), 'select')).toMatchObject({ rowCount: 1 })
    expect(await outcomeWith(undefined, 'select platform.current_org()')).toMatchObject({
      error: 'no organization is bound',
    })
  })
})
