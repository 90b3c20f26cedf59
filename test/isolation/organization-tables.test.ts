import type { PgTable } from 'drizzle-orm/pg-core'
import { getTableColumns } from 'drizzle-orm'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { quoted } from '../../src/core/table-plan.js'
import { grantsOf } from '../../src/schema/grants.js'
import { useDatabase } from '../../src/testing/vitest.js'
import {
  fillEveryTable,
  foreignKeysOf,
  nameOf,
  organizationTables,
  type Rows,
  sqlOf,
  twinIds,
} from '../support/every-table.js'

// Row security alone: no repository is between these statements and the database.
const database = useDatabase()
let app: pg.Client
/** Theirs are ours to the last id; the stranger's ids are nobody else's. */
let ours: Rows
let theirs: Rows
let strangers: Rows

beforeAll(async () => {
  const twins = twinIds()
  ours = await fillEveryTable(database.admin, twins())
  theirs = await fillEveryTable(database.admin, twins())
  strangers = await fillEveryTable(database.admin)
  app = await connect()
})
afterAll(() => app.end())

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.appUrl })
  await client.connect()
  return client
}

const orgOf = (rows: Rows) => rows.get('organizations')?.id as string
const rowOf = (rows: Rows, table: PgTable) => rows.get(nameOf(table)) ?? {}

/** The message of the error, or what the statement gave. Takes back whatever it did. */
async function outcome(client: pg.Client, org: string | undefined, text: string, values: unknown[] = []) {
  await client.query('begin')
  try {
    if (org !== undefined) await client.query('select platform.enter_org($1)', [org])
    const { rows, rowCount } = await client.query<Record<string, unknown>>(text, values)
    return { rows, rowCount }
  } catch (error) {
    return { error: (error as Error).message, code: (error as { code?: string }).code }
  } finally {
    await client.query('rollback')
  }
}

const insertOf = (table: PgTable, row: Readonly<Record<string, unknown>>) => {
  const columns = Object.keys(row)
  return {
    text: `insert into ${sqlOf(table)} (${columns.map(quoted).join(', ')}) values (${columns.map((_, index) => `$${index + 1}`).join(', ')})`,
    values: Object.values(row),
  }
}

/** All rows of an organization, as the owner sees them, in one text. */
async function photograph(table: PgTable, org: string): Promise<string> {
  const [row] = await database.admin.query<{ all: string | null }>(
    `select string_agg(t::text, e'\\n' order by t::text) as all from ${sqlOf(table)} t where org_id = $1`,
    [org],
  )
  return row?.all ?? ''
}

const may = (table: PgTable, what: 'insert' | 'delete'): boolean => {
  const grant = grantsOf(table).tenantry_app
  return what === 'delete' ? grant.delete : grant.insert !== '*' ? grant.insert.length > 0 : true
}
const changeable = (table: PgTable) => grantsOf(table).tenantry_app.update

/** A right that the role has not may be denied before anybody asks for an organization, or after: planning asks too. */
const unboundRefusal = (allowed: boolean, table: PgTable) => ({
  code: '42501',
  error: allowed
    ? 'no organization is bound'
    : (expect.stringMatching(`no organization is bound|permission denied for table ${nameOf(table)}`) as string),
})

describe.each(organizationTables.map((table) => ({ name: nameOf(table), table })))('$name', ({ table }) => {
  test('nothing can be done while no organization is bound', async () => {
    const fresh = await connect()
    const used = await connect()
    await outcome(used, orgOf(ours), 'select 1')
    for (const client of [fresh, used]) {
      const { text, values } = insertOf(table, rowOf(ours, table))
      const [column] = changeable(table)
      expect(await outcome(client, undefined, `select * from ${sqlOf(table)}`)).toMatchObject(
        unboundRefusal(true, table),
      )
      expect(await outcome(client, undefined, text, values)).toMatchObject(unboundRefusal(may(table, 'insert'), table))
      expect(await outcome(client, undefined, `delete from ${sqlOf(table)}`)).toMatchObject(
        unboundRefusal(may(table, 'delete'), table),
      )
      if (column !== undefined) {
        const update = `update ${sqlOf(table)} set ${quoted(column)} = ${quoted(column)}`
        expect(await outcome(client, undefined, update)).toMatchObject(unboundRefusal(true, table))
      }
    }
    await Promise.all([fresh.end(), used.end()])
  })

  test('only the bound organization’s rows are seen', async () => {
    const { rows } = await outcome(app, orgOf(ours), `select * from ${sqlOf(table)}`)
    expect(rows?.map((row) => row.org_id)).toEqual([orgOf(ours)])
    const theirRow = await outcome(app, orgOf(ours), `select * from ${sqlOf(table)} where org_id = $1`, [orgOf(theirs)])
    expect(theirRow.rows).toEqual([])
  })

  test('another organization’s row is neither changed, deleted, inserted, nor moved', async () => {
    const before = await photograph(table, orgOf(theirs))
    const [column] = changeable(table)
    if (column !== undefined) {
      const update = `update ${sqlOf(table)} set ${quoted(column)} = ${quoted(column)} where org_id = $1`
      expect(await outcome(app, orgOf(ours), update, [orgOf(theirs)])).toMatchObject({ rowCount: 0 })
    }
    if (may(table, 'delete')) {
      const text = `delete from ${sqlOf(table)} where org_id = $1`
      expect(await outcome(app, orgOf(ours), text, [orgOf(theirs)])).toMatchObject({ rowCount: 0 })
    }
    if (may(table, 'insert')) {
      const { text, values } = insertOf(table, rowOf(theirs, table))
      expect(await outcome(app, orgOf(ours), text, values)).toMatchObject({
        code: '42501',
        error: `new row violates row-level security policy for table "${nameOf(table)}"`,
      })
    }
    const move = await outcome(app, orgOf(ours), `update ${sqlOf(table)} set org_id = $1`, [orgOf(theirs)])
    expect(move).toMatchObject({ code: '42501', error: `permission denied for table ${nameOf(table)}` })
    expect(await photograph(table, orgOf(theirs))).toBe(before)
  })

  test('its own row is changed and deleted by the same statements', async () => {
    const [column] = changeable(table)
    if (column !== undefined) {
      const update = `update ${sqlOf(table)} set ${quoted(column)} = ${quoted(column)} where org_id = $1`
      expect(await outcome(app, orgOf(ours), update, [orgOf(ours)])).toMatchObject({ rowCount: 1 })
    }
    if (may(table, 'delete')) {
      // A row that is referred to cannot go, which is a refusal by another wall than the one that is tested.
      const result = await outcome(app, orgOf(ours), `delete from ${sqlOf(table)} where org_id = $1`, [orgOf(ours)])
      expect(result.code === '23503' || result.rowCount === 1).toBe(true)
    }
  })

  test('no foreign key leads into another organization', async () => {
    if (!may(table, 'insert')) return
    const references = foreignKeysOf(table).filter(({ columns, target }) => columns.length === 2 && target !== '')
    for (const { columns, target, targetColumns } of references) {
      const foreign = strangers.get(target)?.[targetColumns[1] ?? '']
      const row: Record<string, unknown> = { ...otherNames(rowOf(ours, table)), [columns[1] ?? '']: foreign }
      const result = await intoEmpty(table, row)
      // Both refer by a word that every organization has, such as a role's key: then it is the organization's own.
      if (foreign === rowOf(ours, table)[columns[1] ?? '']) continue
      expect(result, `${nameOf(table)}.${columns[1] ?? ''}`).toMatchObject({ code: '23503' })
    }
  })

  test('the columns that only the system may write are closed', async () => {
    const open = new Set(changeable(table))
    for (const column of Object.values(getTableColumns(table))) {
      if (open.has(column.name) || column.generated !== undefined) continue
      const text = `update ${sqlOf(table)} set ${quoted(column.name)} = ${quoted(column.name)}`
      expect(await outcome(app, orgOf(ours), text), column.name).toMatchObject({ code: '42501' })
    }
  })
})

/** The row under another id and other names, so that no unique key speaks before the foreign key. */
function otherNames(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const others = { id: newId(), name: 'another', slug: 'another', username: 'another', ref: 'another' }
  return { ...row, ...Object.fromEntries(Object.entries(others).filter(([name]) => name in row)) }
}

/** Without the twin, if nothing holds it. */
async function intoEmpty(table: PgTable, row: Record<string, unknown>) {
  await app.query('begin')
  try {
    await app.query('select platform.enter_org($1)', [orgOf(ours)])
    await app.query('savepoint twin')
    if (may(table, 'delete')) await app.query(`delete from ${sqlOf(table)}`).catch(() => app.query('rollback to twin'))
    const { text, values } = insertOf(table, row)
    await app.query(text, values)
    return { code: undefined }
  } catch (error) {
    return { code: (error as { code?: string }).code }
  } finally {
    await app.query('rollback')
  }
}

test('partitions can only be reached through their table', async () => {
  const partitions = await database.admin.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relispartition and c.relkind = 'r' and n.nspname = 'platform'`,
  )
  expect(partitions.length).toBeGreaterThanOrEqual(16)
  for (const { name } of partitions) {
    for (const text of [`select from ${name}`, `insert into ${name} default values`, `delete from ${name}`]) {
      expect(await outcome(app, orgOf(ours), text), name).toMatchObject({ code: '42501' })
    }
  }
})

test('a suspended, a deleted and an unknown organization cannot be entered', async () => {
  const { admin } = database
  const suspended = orgOf(await fillEveryTable(admin))
  const deleted = orgOf(await fillEveryTable(admin))
  await admin.query(`update platform.organizations set status = 'suspended' where id = $1`, [suspended])
  await admin.query('update platform.organizations set deleted_at = now() where id = $1', [deleted])
  expect(await outcome(app, suspended, 'select 1')).toMatchObject({ code: 'TN002' })
  expect(await outcome(app, deleted, 'select 1')).toMatchObject({ code: 'TN001' })
  expect(await outcome(app, newId(), 'select 1')).toMatchObject({ code: 'TN001' })
})

test('one transaction serves one organization, and an organization or a person', async () => {
  const enter = 'select platform.enter_org($1)'
  expect(await outcome(app, orgOf(ours), enter, [orgOf(ours)])).toMatchObject({ rowCount: 1 })
  expect(await outcome(app, orgOf(ours), enter, [orgOf(theirs)])).toMatchObject({
    error: 'another organization is bound',
  })
  expect(await outcome(app, orgOf(ours), enter, [null])).toMatchObject({ code: '22004' })
  expect(await outcome(app, orgOf(ours), 'select platform.enter_user($1)', [newId()])).toMatchObject({
    error: 'an organization is bound',
  })
})
