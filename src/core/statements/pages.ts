import { InvalidInputError } from '../errors.js'
import { type Planned, planned } from '../planned.js'
import type { CursorKeys } from '../scope.js'
import { ownProperties } from '../values.js'
import type { ColumnPlan } from './column-plan.js'
import { type CursorBinding, openCursor, sealCursor } from './cursor.js'
import { type Condition, compileFilter, type Filter } from './filters.js'
import { columnOf, type TablePlan } from './table-plan.js'
import { callOf, type Target } from './target.js'

/** A part of a list. `next` and `previous` go into `after` and `before`; undefined means there is nothing there. */
export interface Page<Row> {
  readonly items: Row[]
  readonly next: string | undefined
  readonly previous: string | undefined
}

export interface PageOptions<Row> {
  /** 1 to 1,000; by default 50, and 500 for `stream`. */
  readonly limit?: number | undefined
  readonly after?: string | undefined
  readonly before?: string | undefined
  /** A field, ascending, or `-field`, descending. By default newest first. */
  readonly orderBy?: OrderBy<Row> | undefined
}

export type OrderBy<Row> = `${'' | '-'}${Extract<keyof Row, string>}`

/** Fields to filter by, beside which page to return. What is undefined counts as not given: `list({ status: query.status })`. */
export type ListOptions<Row> = Filter<Row> & PageOptions<Row>

const defaultLimit = 50
const maxLimit = 1000
const pageKeys = ['limit', 'after', 'before', 'orderBy'] as const

/** A requested page: the statement, and how a page is made of its rows. */
interface ListRequest {
  readonly condition: Condition
  readonly order: Order
  readonly limit: number
  /** Whether the page ends before the cursor. The statement then sorts the other way round. */
  readonly backwards: boolean
  /** The sort key that the page starts after. */
  readonly position: readonly string[] | undefined
  readonly binding: CursorBinding
}

interface Order {
  readonly name: string
  /** The columns of the sort: the field, and the key that makes it unique. All in one direction, so that a row comparison finds the place. */
  readonly columns: readonly ColumnPlan[]
  readonly descending: boolean
}

/** `by` is a column that may be null, for a repository with a filter that leaves those rows out. Ascending. */
export function planList<Row>(
  target: Target<Row>,
  cursorKeys: CursorKeys,
  options: unknown,
  by?: string,
): Planned<Page<Row>> {
  const { plan } = target
  const request = readListOptions(target, cursorKeys, options, by)
  const { condition, order, backwards, position, limit } = request
  const literal = usualLimits.has(limit)
  const statement = plan.statements.get(
    `list ${order.name} ${backwards} ${position !== undefined} ${literal ? limit : ''} ${condition.sql}`,
    'read',
    () => listText(plan, request, literal),
  )
  const values = [...condition.values, ...(position ?? []), ...(literal ? [] : [limit + 1])]
  return planned(callOf(target, statement, values), ({ rows }) => readPage(target, cursorKeys, request, rows))
}

function readListOptions(
  { plan, owner }: Target<unknown>,
  cursorKeys: CursorKeys,
  options: unknown,
  by: string | undefined,
): ListRequest {
  const given = ownProperties(options ?? {}, 'options')
  const { limit = defaultLimit, after, before, orderBy } = given
  for (const key of pageKeys) Reflect.deleteProperty(given, key)
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > maxLimit) {
    throw new InvalidInputError('limit', `must be an integer from 1 to ${maxLimit}`)
  }
  if (after !== undefined && before !== undefined)
    throw new InvalidInputError('before', 'cannot be combined with after')
  const order = by === undefined ? readOrder(plan, orderBy) : orderOf(plan, by, columnOf(plan, by))
  const condition = compileFilter(plan, given, plan.ownerPlaces, 'read')
  const binding: CursorBinding = {
    owner: owner[0] ?? '',
    resource: plan.resource,
    order: order.name,
    filter: condition.sql === '' ? '' : JSON.stringify([condition.sql, condition.values], bigintAsText),
  }
  const cursor = after ?? before
  return {
    condition,
    order,
    limit: limit as number,
    backwards: before !== undefined,
    position: cursor === undefined ? undefined : openCursor(cursorKeys, binding, cursor, order.columns.length),
    binding,
  }
}

const bigintAsText = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)

/** Newest first where a row has an id, which rises with time; the links of a table without one in the order of their key. */
const usualOrder = ({ hasId, key }: TablePlan): Order => ({
  name: hasId ? '-id' : 'key',
  columns: key,
  descending: hasId,
})

function readOrder(plan: TablePlan, orderBy: unknown): Order {
  if (orderBy === undefined) return usualOrder(plan)
  if (typeof orderBy !== 'string') throw new InvalidInputError('orderBy', `must be text; ${ordersOf(plan)}`)
  const column = plan.byProperty.get(orderBy.startsWith('-') ? orderBy.slice(1) : orderBy)
  if (column === undefined || plan.isHidden(column) || !canOrder(column)) {
    throw new InvalidInputError('orderBy', `"${orderBy.slice(0, 60)}" is not a field to order by; ${ordersOf(plan)}`)
  }
  return orderOf(plan, orderBy, column)
}

const orderOf = ({ key }: TablePlan, name: string, column: ColumnPlan): Order => ({
  name,
  columns: [column, ...key.filter((other) => other !== column)],
  descending: name.startsWith('-'),
})

/** A nullable column cannot be in a row comparison, and some types lose their index under row security. */
const canOrder = ({ comparedAs, notNull }: ColumnPlan): boolean => comparedAs !== undefined && notNull

function ordersOf({ columns, owner }: TablePlan): string {
  const names = columns.filter((column) => canOrder(column) && column !== owner?.column).map(({ property }) => property)
  return `a list can be ordered by ${names.join(', ')}; with - in front, descending`
}

/**
 * These limits are literals: with a parameter, Postgres plans for a tenth of the table, finds a plan with the actual limit cheaper
 * each time, and so re-plans every call. Other limits are parameters, because each text takes memory on the server.
 */
const usualLimits = new Set([10, 20, 25, 50, 100, 200, 500, 1000])

/** A row comparison finds where the page starts. The primary key serves the default order. */
function listText(
  plan: TablePlan,
  { condition, order, backwards, position, limit }: ListRequest,
  literal: boolean,
): string {
  const direction = order.descending === backwards ? 'asc' : 'desc'
  const keys = order.columns.map((column) => column.sql)
  let place = plan.ownerPlaces + condition.values.length
  const parts = [plan.visible]
  if (condition.sql !== '') parts.push(`(${condition.sql})`)
  if (position !== undefined) {
    const places = order.columns.map((column) => `$${++place}::${column.comparedAs}`)
    parts.push(`(${keys.join(', ')}) ${direction === 'asc' ? '>' : '<'} (${places.join(', ')})`)
  }
  const sort = keys.map((column) => `${column} ${direction}`).join(', ')
  const rows = literal ? String(limit + 1) : `$${place + 1}`
  return `select ${plan.selected} from ${plan.sql} where ${parts.join(' and ')} order by ${sort} limit ${rows}`
}

/** Makes the page. The statement returns one row more than the limit when there are more pages. */
function readPage<Row>(
  { plan, readRow }: Target<Row>,
  cursorKeys: CursorKeys,
  request: ListRequest,
  rows: readonly unknown[][],
): Page<Row> {
  const more = rows.length > request.limit
  const shown = rows.slice(0, request.limit)
  if (request.backwards) shown.reverse()
  const cursor = (row: unknown[] | undefined) =>
    row === undefined ? undefined : sealCursor(cursorKeys, request.binding, positionOf(plan, request.order, row))
  return {
    items: shown.map(readRow),
    next: request.backwards || more ? cursor(shown.at(-1)) : undefined,
    previous: (request.backwards ? more : request.position !== undefined) ? cursor(shown[0]) : undefined,
  }
}

// The server's text: a Date would lose the microseconds.
const positionOf = (plan: TablePlan, order: Order, row: readonly unknown[]): string[] =>
  order.columns.map((column) => String(row[plan.columns.indexOf(column)]))
