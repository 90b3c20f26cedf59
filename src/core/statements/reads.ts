import { DefinitionError, InvalidInputError, NotFoundError } from '../errors.js'
import type { Call, Statement } from '../executor.js'
import { parseId } from '../ids.js'
import { type Planned, planned } from '../planned.js'
import { ownItems, ownProperties } from '../values.js'
import { comparableValue, compileFilter } from './filters.js'
import { referenceOf } from './relations.js'
import type { Selection } from './row-reader.js'
import { readSelection } from './selections.js'
import { columnOf } from './table-plan.js'
import { callOf, firstPlace, firstRow, onlyRow, readStatement, type Target } from './target.js'

const maxIds = 100_000

/** `select … where org_id = $1 and id = $2`. */
export function planFind<Row>(target: Target<Row>, id: string, select?: unknown): Planned<Row | undefined> {
  const selection = readSelection(target, select)
  const call = callOf(target, findStatement(target, selection), [parseId(id)])
  return planned(call, (result) => firstRow(selection, result))
}

export function planGet<Row>(target: Target<Row>, id: string, select?: unknown): Planned<Row> {
  const selection = readSelection(target, select)
  const call = callOf(target, findStatement(target, selection), [parseId(id)])
  return planned(call, (result) => onlyRow(target.plan, selection, result))
}

/** The row of an owner that has one at most. */
export function planFindOnly<Row>(target: Target<Row>): Planned<Row | undefined> {
  return planned(onlyCall(target), (result) => firstRow(target, result))
}

export function planGetOnly<Row>(target: Target<Row>): Planned<Row> {
  return planned(onlyCall(target), (result) => onlyRow(target.plan, target, result))
}

function onlyCall(target: Target<unknown>): Call {
  const { sql, selected, visible, statements } = target.plan
  return callOf(
    target,
    statements.get('only row', 'read', () => `select ${selected} from ${sql} where ${visible}`),
    [],
  )
}

/** The row, locked against changes until the transaction ends. */
export function planLock<Row>(target: Target<Row>, id: string): Planned<Row> {
  const { plan } = target
  const text = () =>
    `select ${plan.selected} from ${plan.sql} where ${plan.visible} and "id" = $${firstPlace(plan)} for no key update`
  const statement = plan.statements.get('lock row', 'read', text)
  return planned(callOf(target, statement, [parseId(id)]), (result) => onlyRow(target.plan, target, result))
}

/** Locks the row that a column of this table refers to. */
export function planLockReferred(target: Target<unknown>, property: string, value: unknown): Planned<void> {
  const { plan } = target
  const column = columnOf(plan, property)
  const { parent, foreign } = referenceOf(plan, column)
  const place = `$${firstPlace(plan)}::${column.comparedAs ?? column.writtenAs}`
  const text = () =>
    `select pg_catalog.current_setting('transaction_isolation') from ${parent.sql} where ${parent.visible} and ${foreign} = ${place} for no key update`
  const statement = plan.statements.get(`lock referred ${property}`, 'read', text)
  return planned(callOf(target, statement, [comparableValue(column, value)]), ({ rows: [row] }) => {
    if (row === undefined) throw new NotFoundError(parent.resource)
    // It would not see the links that somebody made before it got the lock.
    if (row[0] === 'read committed') return
    throw new DefinitionError(
      `${plan.resource}: links cannot be set at isolation ${String(row[0])}: use read committed, the default`,
    )
  })
}

/** The row with that unique key. Its values are compared as they are: an object from a request is not read as a filter. */
export function planFindBy<Row>(target: Target<Row>, key: object): Planned<Row | undefined> {
  const { plan } = target
  const given = ownProperties(key, 'key')
  const values = Object.entries(given)
  if (values.length === 0) throw new InvalidInputError('key', 'is empty; give the fields of a unique key')
  for (const [property, value] of values) comparableValue(columnOf(plan, property), value)
  const text = (where: string) => `select ${plan.selected} from ${plan.sql} where ${where} limit 1`
  return planned(filteredCall(target, 'find by', given, text, 'key'), (result) => firstRow(target, result))
}

export function planGetBy<Row extends object>(target: Target<Row>, key: object): Planned<Row> {
  const { call } = planFindBy(target, key)
  return planned(call, (result) => onlyRow(target.plan, target, result))
}

/** The rows with these ids, in the order of the ids; undefined for an id without a row. */
export function planByIds<Row>(target: Target<Row>, ids: readonly string[]): Planned<(Row | undefined)[]> {
  const { plan, readRow } = target
  const wanted = ownItems(ids, 'ids', maxIds).map((id) => parseId(id, 'ids'))
  const text = () => {
    if (!plan.hasId) throw new DefinitionError(`${plan.resource} has no id to find rows by: use list and exists`)
    return `select ${plan.selected} from ${plan.sql} where ${plan.visible} and "id" = any($${firstPlace(plan)}::uuid[])`
  }
  const call = callOf(target, plan.statements.get('find many', 'read', text), [wanted])
  const position = plan.columns.findIndex(({ property }) => property === 'id')
  return planned(call, ({ rows }) => {
    const found = new Map(rows.map((row) => [row[position], row]))
    return wanted.map((id) => {
      const row = found.get(id)
      return row === undefined ? undefined : readRow(row)
    })
  })
}

/** The same, with NotFoundError when one of them is missing. */
export function planAllByIds<Row>(target: Target<Row>, ids: readonly string[]): Planned<Row[]> {
  const { call, read } = planByIds(target, ids)
  return planned(call, (result, diagnosis) =>
    read(result, diagnosis).map((row) => {
      if (row === undefined) throw new NotFoundError(target.plan.resource)
      return row
    }),
  )
}

export function planCount(target: Target<unknown>, filter: object | undefined): Planned<number> {
  const text = (where: string) => `select count(*)::int from ${target.plan.sql} where ${where}`
  return planned(filteredCall(target, 'count', filter, text), ({ rows }) => rows[0]?.[0] as number)
}

export function planExists(target: Target<unknown>, filter: object | undefined): Planned<boolean> {
  const { plan } = target
  // Ordered by the primary key: without an order, a server that expects to find a row soon scans the whole table.
  const order = plan.key.length === 0 ? '' : ` order by ${plan.key.map(({ sql }) => sql).join(', ')}`
  const text = (where: string) => `select from ${plan.sql} where ${where}${order} limit 1`
  return planned(filteredCall(target, 'exists', filter, text), ({ rowCount }) => rowCount === 1)
}

export function filteredCall(
  target: Target<unknown>,
  name: string,
  filter: object = {},
  text: (where: string) => string,
  use: 'read' | 'key' = 'read',
) {
  const { plan } = target
  const { sql, values } = compileFilter(plan, filter, plan.ownerPlaces, use)
  const where = sql === '' ? plan.visible : `${plan.visible} and (${sql})`
  return callOf(
    target,
    plan.statements.get(`${name} ${sql}`, 'read', () => text(where)),
    values,
  )
}

function findStatement(target: Target<unknown>, { shape, sql }: Selection<unknown>): Statement {
  return readStatement(target, shape === '' ? 'find' : `find ${shape}`, () => {
    const { plan } = target
    if (!plan.hasId) throw new DefinitionError(`${plan.resource} has no id to find a row by: use list and exists`)
    return `select ${sql} from ${plan.sql} where ${plan.visible} and "id" = $${firstPlace(plan)}`
  })
}
