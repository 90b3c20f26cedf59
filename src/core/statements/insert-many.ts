import { BrokenReferenceError, InvalidInputError } from '../errors.js'
import type { Call, Result, Statement } from '../executor.js'
import { newId } from '../ids.js'
import { type ColumnPlan, columnOf, givenColumn, planOf, type TablePlan } from './table-plan.js'
import { unwritable, type Values } from '../values.js'
import type { Parents } from './writes.js'

/** Many rows in one statement, a parameter for each column: no VALUES list has to be parsed, and no limit on parameters is near. */
export function insertManyCall(
  plan: TablePlan,
  orgId: string,
  rows: readonly Values[],
  parents: Parents,
  returned: 'rows' | 'nothing',
): Call {
  const [first] = rows
  if (first === undefined) return { statement: nothing(plan), values: [orgId] }
  const properties = Object.keys(first).filter((property) => first[property] !== undefined)
  if (!rows.every((row) => hasExactly(row, properties))) {
    throw new InvalidInputError('', 'every row must have the same fields')
  }
  const columns = properties.map((property) => givenColumn(plan, property))
  const lists = columns.map((column) => listOf(column, rows))
  if (plan.hasId && first.id === undefined) {
    columns.push(columnOf(plan, 'id'))
    lists.push(`{${rows.map(newId).join()}}`)
  }
  const returning = returned === 'rows' ? ` returning ${plan.selected}` : ''
  const locked = columns.filter(({ property }) => parents[property] !== undefined)
  const statement = plan.statements.get(
    `insert many ${returned} ${shapeOf(columns)} ${shapeOf(locked)}`,
    () => insertManyText(plan, columns, parents) + returning,
  )
  return { statement, values: [orgId, ...lists] }
}

/** Without any, a parent of one of the rows was not there, or not alive any more. */
export function insertedAll(plan: TablePlan, parents: Parents, rows: readonly Values[], result: Result): Result {
  if (result.rowCount === rows.length) return result
  throw new BrokenReferenceError(
    plan.resource,
    Object.keys(parents).filter((property) => rows.some((row) => (row[property] ?? null) !== null)),
  )
}

const shapeOf = (columns: readonly ColumnPlan[]): string => columns.map(({ property }) => property).join()

function hasExactly(row: Values, properties: readonly string[]): boolean {
  let given = 0
  for (const property of Object.keys(row)) if (row[property] !== undefined) given++
  return given === properties.length && properties.every((property) => row[property] !== undefined)
}

function insertManyText(plan: TablePlan, columns: readonly ColumnPlan[], parents: Parents): string {
  const names = columns.map(({ sql }) => sql).join(', ')
  // A list of lists would be taken apart to its last item, so that lists go as texts.
  const values = columns.map(({ sql, writtenAs }) => (isList(writtenAs) ? `${sql}::${writtenAs}` : sql)).join(', ')
  const lists = columns.map(({ writtenAs }, index) => `$${index + 2}::${isList(writtenAs) ? 'text' : writtenAs}[]`)
  const rows = `select $1::uuid, ${values} from unnest(${lists.join(', ')}) as given(${names})`
  const locks = columns.flatMap(({ property }, index) => {
    const parent = parents[property]
    return parent === undefined ? [] : [lockOf(planOf(parent), index + 2)]
  })
  const ctes = locks.length === 0 ? '' : `with ${locks.map(({ cte }) => cte).join(', ')} `
  const conditions = locks.length === 0 ? '' : ` where ${locks.map(({ condition }) => condition).join(' and ')}`
  return `${ctes}insert into ${plan.sql} ("org_id", ${names}) ${rows}${conditions}`
}

/** Of all parents in one list: each is locked, in one order, and without one of them no row is made. */
function lockOf({ sql, visible }: TablePlan, place: number) {
  const list = `$${place}::uuid[]`
  const cte = `parent_${place} as (select "id" from ${sql} where ${visible} and "id" = any(${list}) order by "id" for share)`
  const missing = `select from unnest(${list}) as wanted(id) where id is not null and id not in (select "id" from parent_${place})`
  return { cte, condition: `not exists (${missing})` }
}

/** `text[]`, and `text[3]`. */
const isList = (type: string): boolean => type.endsWith(']')

/** A list of nothing, asked for like any other, so that it may stand in a batch. */
const nothing = (plan: TablePlan): Statement =>
  plan.statements.get('nothing', () => `select ${plan.selected} from ${plan.sql} where ${plan.owned} and false`)

/** The values of one column, as an array that Postgres reads. */
function listOf(column: ColumnPlan, rows: readonly Values[]): string {
  try {
    return `{${rows.map((row) => itemOf(column.encode(row[column.property]))).join()}}`
  } catch (error) {
    // A string of JavaScript ends at half a gigabyte.
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

// JSON writes what needs a backslash as an array does, and faster than a replacement, but for what it has words of its own.
const textItem = (text: string): string =>
  otherInJson.test(text) ? `"${text.replaceAll(/["\\]/g, '\\$&')}"` : JSON.stringify(text)

const otherInJson = /[\0-\x1f\ud800-\udfff]/
