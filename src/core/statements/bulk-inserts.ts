import { BrokenReferenceError, InvalidInputError } from '../errors.js'
import type { Result } from '../executor.js'
import { newId } from '../ids.js'
import { unwritable, type Values } from '../values.js'
import type { ChangeText } from './change-text.js'
import type { ColumnPlan } from './column-plan.js'
import { changeCall, keyOf, type PlannedChange } from './inserts.js'
import { givenParents, type Parents } from './parent-locks.js'
import { columnOf, givenColumn, planOf, type TablePlan } from './table-plan.js'
import type { Target } from './target.js'

export interface BulkOptions {
  /** `nothing` for rows that nobody reads back at once. */
  readonly returned: 'rows' | 'nothing'
  /** The name of a unique key. Rows that conflict with it are skipped. */
  readonly unless: string | undefined
}

/** Inserts many rows in one statement with one parameter for each column: nothing grows with the rows but the arrays. */
export function planInsertMany(
  target: Target<unknown>,
  rows: readonly Values[],
  options: BulkOptions,
): PlannedChange<Result> {
  const { plan, parents } = target
  const { columns, lists } = columnsOf(plan, rows)
  const locked = columns.filter(({ property }) => parents.has(property))
  const statement = plan.statements.change(
    `insert many ${options.returned} ${options.unless ?? ''} ${shapeOf(columns)} ${shapeOf(locked)}`,
    () => insertManyText(plan, columns, parents, options),
  )
  return {
    call: changeCall(target, statement, lists),
    diagnose: options.unless === undefined || locked.length === 0 ? undefined : areParentsThere(target, columns, lists),
    read(result, diagnosis) {
      const isRefused = options.unless === undefined ? result.rowCount !== rows.length : diagnosis?.rowCount === 0
      if (isRefused) throw missingParent(target, rows)
      return result
    },
  }
}

/** Tells rows that were there already from rows that have no parent: nothing is inserted in both cases. It returns no row for the latter. */
function areParentsThere(
  { plan, parents, owner }: Target<unknown>,
  columns: readonly ColumnPlan[],
  lists: readonly string[],
) {
  const locked = columns.flatMap((column, index) => {
    const parent = parents.get(column.property)
    return parent === undefined ? [] : [{ parent, column, list: lists[index] ?? '' }]
  })
  const statement = plan.statements.get(
    `are parents there ${shapeOf(locked.map(({ column }) => column))}`,
    'read',
    () => {
      const there = locked.map(({ parent, column }, index) => {
        const { sql, visible } = planOf(parent.table)
        const found = `array(select "${parent.target}" from ${sql} where ${visible} and "${parent.target}" = any($${index + plan.ownerPlaces + 1}::${column.writtenAs}[]))`
        return noneMissing(`$${index + plan.ownerPlaces + 1}::${column.writtenAs}[]`, found)
      })
      return `select where ${there.join(' and ')}`
    },
  )
  return { statement, values: [...owner, ...locked.map(({ list }) => list)] }
}

/** The error for fewer rows than were given: the parent of one of them is missing or deleted. */
function missingParent({ plan, parents }: Target<unknown>, rows: readonly Values[]): BrokenReferenceError {
  return new BrokenReferenceError(plan.resource, [...new Set(rows.flatMap((row) => givenParents(parents, row)))])
}

/** The columns that the rows have in common, and for each the list of its values. */
function columnsOf(plan: TablePlan, rows: readonly Values[]): { columns: ColumnPlan[]; lists: string[] } {
  const [first = {}] = rows
  const properties = Object.keys(first).filter((property) => first[property] !== undefined)
  if (!rows.every((row) => hasExactly(row, properties))) {
    throw new InvalidInputError('', 'every row must have the same fields')
  }
  const columns = properties.map((property) => givenColumn(plan, property))
  const lists = columns.map((column) => listOf(column, rows))
  if (plan.hasId && !properties.includes('id')) {
    columns.push(columnOf(plan, 'id'))
    lists.push(`{${rows.map(newId).join()}}`)
  }
  // Without rows no column is named, and an insert needs one.
  if (columns.length === 0) return { columns: [...plan.key], lists: plan.key.map(() => '{}') }
  return { columns, lists }
}

const shapeOf = (columns: readonly ColumnPlan[]): string => columns.map(({ property }) => property).join()

function hasExactly(row: Values, properties: readonly string[]): boolean {
  let count = 0
  for (const property of Object.keys(row)) if (row[property] !== undefined) count++
  return count === properties.length && properties.every((property) => row[property] !== undefined)
}

function insertManyText(
  plan: TablePlan,
  columns: readonly ColumnPlan[],
  parents: Parents,
  { returned, unless }: BulkOptions,
): ChangeText {
  const owner = plan.owner === undefined ? [] : [plan.owner.column.sql]
  const names = columns.map(({ sql }) => sql)
  const first = plan.ownerPlaces + 1
  // Values that are arrays are sent as texts: `unnest` would take a list of lists apart to its last item.
  const values = columns.map(({ sql, writtenAs }) => (isList(writtenAs) ? `${sql}::${writtenAs}` : sql))
  const lists = columns.map(({ writtenAs }, index) => `$${index + first}::${isList(writtenAs) ? 'text' : writtenAs}[]`)
  const rows = `select ${[...owner.map(() => '$1::uuid'), ...values].join(', ')} from ${unnested(lists)} as given(${names.join(', ')})`
  const locks = columns.flatMap(({ property }, index) => {
    const parent = parents.get(property)
    return parent === undefined ? [] : [lockOf(planOf(parent.table), parent.target, index + first, lists[index] ?? '')]
  })
  const conditions = locks.length === 0 ? '' : ` where ${locks.map(({ condition }) => condition).join(' and ')}`
  const conflict = unless === undefined ? '' : ` on conflict ${keyOf(plan, unless).conflict} do nothing`
  return {
    verb: 'insert',
    ctes: locks.map(({ cte }) => cte),
    head: `insert into ${plan.sql} (${[...owner, ...names].join(', ')}) ${rows}${conditions}${conflict}`,
    where: '',
    // Without `returning` a cluster turns it into a COPY, which row security refuses.
    returning: returned === 'rows' ? plan.selected : '1',
  }
}

/** Locks all parents of the list in one order. If one is missing, no row is inserted. */
function lockOf({ sql, visible }: TablePlan, target: string, place: number, list: string) {
  const cte = `parent_${place} as (select "${target}" as id from ${sql} where ${visible} and "${target}" = any(${list}) order by "${target}" for share)`
  const found = `array(select id from parent_${place})`
  return {
    cte,
    condition: noneMissing(list, found),
  }
}

/** The condition that none of the list is missing from what was found. */
const noneMissing = (list: string, found: string): string =>
  `not exists (select from pg_catalog.unnest(${list}) as wanted(id) where id is not null and id <> all(${found}))`

/** `text[]`, and `text[3]`. */
const isList = (type: string): boolean => type.endsWith(']')

/** The values of one column, as an array that Postgres reads. */
function listOf(column: ColumnPlan, rows: readonly Values[]): string {
  try {
    return `{${rows.map((row) => itemOf(column.encode(row[column.property]))).join()}}`
  } catch (error) {
    // A JavaScript string has at most half a gigabyte.
    if (error instanceof RangeError && error.message.includes('string length')) {
      throw new InvalidInputError('', 'are too large for one statement')
    }
    throw unwritable(column.property, error)
  }
}

function itemOf(value: unknown): string {
  if (value === null) return 'NULL'
  if (typeof value === 'string') return textItem(value)
  if (value instanceof Uint8Array) return `"\\\\x${Buffer.from(value).toString('hex')}"`
  if (typeof value === 'object') return itemOf(value instanceof Date ? value.toISOString() : JSON.stringify(value))
  return `${value as number}`
}

// JSON escapes quotes and backslashes as an array does, faster than a replacement. Texts with its other escapes are replaced.
const textItem = (text: string): string =>
  otherInJson.test(text) ? `"${text.replaceAll(/["\\]/g, '\\$&')}"` : JSON.stringify(text)

const otherInJson = /[\0-\x1f\ud800-\udfff]/

/** Only without its schema does `unnest` take several lists; Postgres then takes its own function, whatever else has the name. */
const unnested = (lists: readonly string[]): string =>
  `${lists.length === 1 ? 'pg_catalog.' : ''}unnest(${lists.join(', ')})`
