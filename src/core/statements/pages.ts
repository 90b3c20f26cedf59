import { InvalidInputError } from '../errors.js'
import { type Planned, planned } from '../planned.js'
import type { CursorKeys } from '../scope.js'
import { ownProperties } from '../values.js'
import type { ColumnPlan } from './column-plan.js'
import { type CursorBinding, openCursor, sealCursor } from './cursor.js'
import { type ComparedField, type Condition, compileFilter, type Filter } from './filters.js'
import {
  behind,
  nullsOf,
  type Order,
  orderByFilled,
  placedValues,
  type Position,
  readOrder,
  reversed,
  sortText,
} from './orders.js'
import type { Selection } from './row-reader.js'
import { readSelection, type SelectOptions, withColumns } from './selections.js'
import type { TablePlan } from './table-plan.js'
import { callOf, readStatement, type Target } from './target.js'

/** A part of a list. `next` and `previous` go into `after` and `before`; undefined means there is nothing there. */
export interface Page<Row> {
  readonly items: Row[]
  readonly next: string | undefined
  readonly previous: string | undefined
}

/** A page of a list with `total: true`. */
export interface CountedPage<Row> extends Page<Row> {
  /** The number of rows on all pages. */
  readonly total: number
}

export interface PageOptions<Row> {
  /** 1 to 1,000; by default 50, and 500 for `stream`. */
  readonly limit?: number | undefined
  readonly after?: string | undefined
  readonly before?: string | undefined
  /** A field, ascending, or `-field`, descending; several in a list. By default newest first. Ascending puts nulls last, descending first. */
  readonly orderBy?: OrderBy<Row> | readonly OrderBy<Row>[] | undefined
}

export type OrderBy<Row> = `${'' | '-'}${Extract<ComparedField<Row>, string>}`

/** Fields to filter by, beside which page to return. What is undefined counts as not given: `list({ status: query.status })`. */
export type ListOptions<Row> = Filter<Row> & PageOptions<Row>

/** What a page holds beside its rows, and which fields of them. */
export interface PageContent<Name extends string, Total extends boolean> extends SelectOptions<Name> {
  /** Also counts the rows of all pages, in the same round trip. */
  readonly total?: Total | undefined
}

/** The page of a list whose `total` a condition of the caller decides about. */
export interface PerhapsCountedPage<Row> extends Page<Row> {
  readonly total?: number
}

/** The page that a list gives, with or without its total. */
export type PageOf<Row, Total extends boolean> = boolean extends Total
  ? PerhapsCountedPage<Row>
  : Total extends true
    ? CountedPage<Row>
    : Page<Row>

/** `limit` is the size of a page. */
export type StreamOptions<Row, Name extends string> = Omit<ListOptions<Row>, 'after' | 'before'> & SelectOptions<Name>

const defaultLimit = 50
const maxLimit = 1000
const pageKeys = ['limit', 'after', 'before', 'orderBy', 'select', 'total'] as const

/** A requested page: the statement, and how a page is made of its rows. */
interface ListRequest<Row> {
  readonly condition: Condition
  readonly order: Order
  readonly limit: number
  /** Whether the page ends before the cursor. The statement then sorts the other way round. */
  readonly backwards: boolean
  /** The sort key that the page starts after. */
  readonly position: Position | undefined
  readonly binding: CursorBinding
  readonly selection: Selection<Row>
  /** The selected columns, and behind them those of the sort. */
  readonly columns: readonly ColumnPlan[]
  readonly counted: boolean
}

/** `by` is a column that may be null, for a repository with a filter that leaves those rows out. Ascending. */
export function planList<Row>(
  target: Target<Row>,
  cursorKeys: CursorKeys,
  options: unknown,
  by?: string,
): Planned<Page<Row>> {
  const request = readListOptions(target, cursorKeys, options, by)
  const { condition, order, backwards, position, limit, selection, counted } = request
  const literal = usualLimits.has(limit)
  const place = position === undefined ? '' : nullsOf(position)
  const statement = readStatement(
    target,
    `list ${order.name} ${backwards} ${place} ${literal ? limit : ''} ${counted} ${selection.shape} ${condition.sql}`,
    () => listText(target.plan, request, literal),
  )
  const values = [...condition.values, ...placedValues(position ?? []), ...(literal ? [] : [limit + 1])]
  return planned(callOf(target, statement, values), ({ rows }) => readPage(cursorKeys, request, rows))
}

function readListOptions<Row>(
  target: Target<Row>,
  cursorKeys: CursorKeys,
  options: unknown,
  by: string | undefined,
): ListRequest<Row> {
  const { plan, owner } = target
  const given = ownProperties(options ?? {}, 'options')
  const { limit, after, before, orderBy, select, total = false } = given
  for (const key of pageKeys) Reflect.deleteProperty(given, key)
  const rows = readLimit(limit)
  if (after !== undefined && before !== undefined)
    throw new InvalidInputError('before', 'cannot be combined with after')
  if (typeof total !== 'boolean') throw new InvalidInputError('total', 'must be true or false')
  const order = by === undefined ? readOrder(plan, orderBy) : orderByFilled(plan, by)
  const selection = readSelection(target, select)
  const condition = compileFilter(plan, given, plan.ownerPlaces, 'read')
  const binding: CursorBinding = {
    owner: owner.join(' '),
    resource: plan.resource,
    order: order.name,
    filter: condition.sql === '' ? '' : JSON.stringify([condition.sql, condition.values], bigintAsText),
  }
  const cursor = after ?? before
  return {
    condition,
    order,
    limit: rows,
    backwards: before !== undefined,
    position: cursor === undefined ? undefined : openCursor(cursorKeys, binding, cursor, order.keys.length),
    binding,
    selection,
    // A cursor is made of the columns of the sort.
    columns: withColumns(
      selection.columns,
      order.keys.map(({ column }) => column),
    ),
    counted: total,
  }
}

export function readLimit(limit: unknown = defaultLimit, field = 'limit'): number {
  if (Number.isInteger(limit) && (limit as number) >= 1 && (limit as number) <= maxLimit) return limit as number
  throw new InvalidInputError(field, `must be an integer from 1 to ${maxLimit}`)
}

const bigintAsText = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)

/**
 * These limits are literals: with a parameter, Postgres plans for a tenth of the table, finds a plan with the actual limit cheaper
 * each time, and so re-plans every call. Other limits are parameters, because each text takes memory on the server.
 */
export const usualLimits = new Set([10, 20, 25, 50, 100, 200, 500, 1000])

/** The primary key serves the default order. */
function listText(
  plan: TablePlan,
  { condition, order, backwards, position, limit, columns, counted }: ListRequest<unknown>,
  literal: boolean,
): string {
  const sort = backwards ? reversed(order) : order
  const place = plan.ownerPlaces + condition.values.length
  const matches = condition.sql === '' ? plan.visible : `${plan.visible} and (${condition.sql})`
  const where = position === undefined ? matches : `${matches} and ${behind(sort, position, place)}`
  const rows = literal ? String(limit + 1) : `$${place + placedValues(position ?? []).length + 1}`
  const page = (selected: string) =>
    `select ${selected} from ${plan.sql} where ${where} order by ${sortText(sort)} limit ${rows}`
  const selected = columns.map(({ sql }) => sql).join(', ')
  if (!counted) return page(selected)
  // Also where the page is empty there is one row, with the total. The second sort is that of a page.
  const shown = columns.map(({ sql }) => `page.${sql}`).join(', ')
  const total = `select count(*)::int as "all rows" from ${plan.sql} where ${matches}`
  return `select ${shown}, counted."all rows" from (${total}) counted left join (${page(selected)}) page on true
    order by ${sortText(sort, 'page.')}`
}

/** Makes the page. The statement returns one row more than the limit when there are more pages. */
function readPage<Row>(
  cursorKeys: CursorKeys,
  { order, columns, selection, limit, backwards, position, binding, counted }: ListRequest<Row>,
  answered: readonly unknown[][],
): Page<Row> {
  // A row has a primary key, which the sort reads.
  const isRow = (row: readonly unknown[]) => columns.some((_, index) => row[index] !== null)
  const rows = counted ? answered.filter(isRow) : answered
  const more = rows.length > limit
  const shown = rows.slice(0, limit)
  if (backwards) shown.reverse()
  const cursor = (row: unknown[] | undefined) =>
    row === undefined ? undefined : sealCursor(cursorKeys, binding, positionOf(columns, order, row))
  const page = {
    items: shown.map(selection.readRow),
    next: backwards || more ? cursor(shown.at(-1)) : undefined,
    previous: (backwards ? more : position !== undefined) ? cursor(shown[0]) : undefined,
  }
  return counted ? Object.assign(page, { total: answered[0]?.[columns.length] as number }) : page
}

// The server's text: a Date would lose the microseconds.
const positionOf = (columns: readonly ColumnPlan[], { keys }: Order, row: readonly unknown[]): Position =>
  keys.map(({ column }) => {
    const value = row[columns.indexOf(column)] as string | number | boolean | null
    return value === null ? null : String(value)
  })
