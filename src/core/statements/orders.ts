import { InvalidInputError } from '../errors.js'
import { ownItems, touch } from '../values.js'
import type { ColumnPlan } from './column-plan.js'
import { columnOf, type TablePlan } from './table-plan.js'

/** A column of the sort. */
export interface OrderKey {
  readonly column: ColumnPlan
  readonly descending: boolean
  readonly nullable: boolean
}

/** The sort of a list. Its last keys are the primary key, so that no two rows have the same place. */
export interface Order {
  readonly name: string
  readonly keys: readonly OrderKey[]
}

/** The values of a row's keys, as the server's text. */
export type Position = readonly (string | null)[]

const maxFields = 8

/** Newest first where a row has an id, which rises with time; the links of a table without one in the order of their key. */
const usualOrder = ({ hasId, key }: TablePlan): Order => ({
  name: hasId ? '-id' : '',
  keys: key.map((column) => ({ column, descending: hasId, nullable: false })),
})

/** The order that a list asks for: one field or several, each with `-` in front when it is descending. */
export function readOrder(plan: TablePlan, orderBy: unknown): Order {
  if (orderBy === undefined) return usualOrder(plan)
  if (typeof orderBy === 'string') return orderOf(plan, orderBy, [keyOf(plan, orderBy)])
  if (!touch('orderBy', () => Array.isArray(orderBy)))
    throw new InvalidInputError('orderBy', `must be text or a list; ${ordersOf(plan)}`)
  const names = ownItems(orderBy, 'orderBy', maxFields)
  const keys = names.map((name) => keyOf(plan, name))
  if (keys.length === 0) throw new InvalidInputError('orderBy', `is empty; ${ordersOf(plan)}`)
  const columns = keys.map(({ column }) => column)
  const twice = columns.find((column, index) => columns.indexOf(column) !== index)
  if (twice !== undefined) throw new InvalidInputError('orderBy', `names ${twice.property} twice`)
  return orderOf(plan, names.length === 1 ? String(names[0]) : JSON.stringify(names), keys)
}

/** Ascending by a column of which the list holds no null. */
export const orderByFilled = (plan: TablePlan, property: string): Order =>
  orderOf(plan, property, [{ column: columnOf(plan, property), descending: false, nullable: false }])

function orderOf(plan: TablePlan, name: string, keys: readonly OrderKey[]): Order {
  const descending = keys.at(-1)?.descending ?? false
  const others = plan.key.filter((column) => !keys.some((key) => key.column === column))
  return { name, keys: [...keys, ...others.map((column) => ({ column, descending, nullable: false }))] }
}

function keyOf(plan: TablePlan, name: unknown): OrderKey {
  if (typeof name !== 'string') throw new InvalidInputError('orderBy', `must hold text; ${ordersOf(plan)}`)
  const descending = name.startsWith('-')
  const column = plan.byProperty.get(descending ? name.slice(1) : name)
  if (column === undefined || plan.isHidden(column) || !canOrder(column)) {
    throw new InvalidInputError('orderBy', `"${name.slice(0, 60)}" is not a field to order by; ${ordersOf(plan)}`)
  }
  return { column, descending, nullable: !column.notNull }
}

/** Some types lose their index under row security. */
const canOrder = ({ comparedAs }: ColumnPlan): boolean => comparedAs !== undefined

function ordersOf({ columns, owner }: TablePlan): string {
  const names = columns.filter((column) => canOrder(column) && column !== owner?.column).map(({ property }) => property)
  return `a list can be ordered by ${names.join(', ')}; with - in front, descending`
}

/** The same order the other way round, for a page that ends before a row. */
export const reversed = ({ name, keys }: Order): Order => ({
  name,
  keys: keys.map((key) => ({ ...key, descending: !key.descending })),
})

/** Nulls are last, and first in a descending order: the server's own placement, which its indexes have. */
export const sortText = ({ keys }: Order, prefix = ''): string =>
  keys.map(({ column, descending }) => `${prefix}${column.sql} ${descending ? 'desc' : 'asc'}`).join(', ')

/** Which keys of the position are null: the text of the predicate depends on it. */
export const nullsOf = (position: Position): string => position.map((value) => (value === null ? '0' : '1')).join('')

/** The parameters of a position. A null takes none. */
export const placedValues = (position: Position): string[] => position.filter((value) => value !== null)

/** The predicate of the rows behind a position. Its parameters are numbered from `offset + 1`. */
export function behind({ keys }: Order, position: Position, offset: number): string {
  let place = offset
  const bounds = keys.map(({ column, descending, nullable }, index): Bound => {
    const isNull = position[index] === null
    const value = isNull ? 'null' : `$${++place}::${column.comparedAs}`
    return { sql: column.sql, descending, nullable, isNull, value }
  })
  return behindBounds(bounds)
}

interface Bound {
  readonly sql: string
  readonly descending: boolean
  readonly nullable: boolean
  readonly isNull: boolean
  readonly value: string
}

function behindBounds(bounds: readonly Bound[]): string {
  const [first, ...rest] = bounds
  if (first === undefined) return 'false'
  if (isRowComparison(bounds)) return rowComparison(bounds)
  const { sql, descending, nullable, isNull, value } = first
  const same = isNull ? `${sql} is null` : `${sql} = ${value}`
  const tied = `${same} and ${behindBounds(rest)}`
  // Behind a null that is last nothing else follows.
  if (isNull && !descending) return `(${tied})`
  if (isNull) return `(${sql} is not null or (${tied}))`
  const beyond = `${sql} ${descending ? '<' : '>'} ${value}`
  if (nullable && !descending) return `(${beyond} or ${sql} is null or (${tied}))`
  // The bound in front is what an index finds the place by.
  return `(${sql} ${descending ? '<=' : '>='} ${value} and (${beyond} or (${tied})))`
}

/**
 * Whether one row comparison tells what is behind. It leaves out every row with a null that it has to compare, which is right where
 * nulls are first.
 */
function isRowComparison(bounds: readonly Bound[]): boolean {
  const descending = bounds[0]?.descending
  return bounds.every((bound) => bound.descending === descending && !bound.isNull && (descending || !bound.nullable))
}

function rowComparison(bounds: readonly Bound[]): string {
  const columns = bounds.map(({ sql }) => sql).join(', ')
  const values = bounds.map(({ value }) => value).join(', ')
  return `(${columns}) ${bounds[0]?.descending === true ? '<' : '>'} (${values})`
}
