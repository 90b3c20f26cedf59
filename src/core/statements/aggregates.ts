import { DefinitionError, InvalidInputError } from '../errors.js'
import { type Planned, planned } from '../planned.js'
import { type ColumnPlan, holdsNumbers } from './column-plan.js'
import { filteredCall } from './reads.js'
import type { TablePlan } from './table-plan.js'
import type { Target } from './target.js'

type NamesOf<Row, Type> = {
  [Name in keyof Row]-?: [NonNullable<Row[Name]>] extends [Type] ? Name : never
}[keyof Row] &
  string

/** The fields by which rows can be counted: those of a filter. */
export type CountableField<Row> = Exclude<NamesOf<Row, string | number | bigint | boolean | Date>, 'count'>

/** One value of the field, `null` too, and how many rows have it. */
export type CountOf<Row, Name extends keyof Row> = Pick<Row, Name> & { readonly count: number }

/** The fields that hold numbers. A decimal is text in TypeScript, so that it keeps its digits; other text is refused at run time. */
export type SummableField<Row> =
  | NamesOf<Row, number | bigint>
  | ({ [Name in keyof Row]-?: string extends NonNullable<Row[Name]> ? Name : never }[keyof Row] & string)

/** The fields that have a smallest and a greatest value. A uuid has none; TypeScript cannot tell it from other text. */
export type RangedField<Row> = NamesOf<Row, string | number | bigint | Date>

const maxCounts = 1000

/** `select "status", count(*) … group by "status"`, the most frequent value first. */
export function planCountBy(target: Target<unknown>, field: unknown, filter: object | undefined): Planned<object[]> {
  const { plan } = target
  const column = fieldOf(plan, field, 'counted by', isCountable)
  const { sql, property, decode } = column
  const call = filteredCall(
    target,
    `count by ${property}`,
    filter,
    (where) =>
      `select ${sql}, count(*)::int from ${plan.sql} where ${where} group by ${sql} order by count(*) desc, ${sql} limit ${maxCounts}`,
  )
  return planned(call, ({ rows }) =>
    rows.map(([value, count]) => ({
      [property]: decode === undefined ? value : decode(value),
      count: count as number,
    })),
  )
}

/** `select sum("amount") …`: null where no row has a value. */
export function planSum<T>(target: Target<unknown>, field: unknown, filter: object | undefined): Planned<T | null> {
  const { plan } = target
  const column = fieldOf(plan, field, 'summed', holdsNumbers)
  const call = filteredCall(
    target,
    `sum ${column.property}`,
    filter,
    (where) => `select pg_catalog.sum(${column.sql})::text from ${plan.sql} where ${where}`,
  )
  return planned(call, ({ rows }) => sumOf(plan, column, rows[0]?.[0] ?? null) as T | null)
}

/** `select min("created_at") …`: null where no row has a value. */
export function planExtreme<T>(
  target: Target<unknown>,
  extreme: 'min' | 'max',
  field: unknown,
  filter: object | undefined,
): Planned<T | null> {
  const { plan } = target
  const { property, sql, decode } = fieldOf(plan, field, 'searched for its smallest and greatest value', isRanged)
  const call = filteredCall(
    target,
    `${extreme} ${property}`,
    filter,
    (where) => `select pg_catalog.${extreme}(${sql}) from ${plan.sql} where ${where}`,
  )
  return planned(call, ({ rows }) => {
    const value = rows[0]?.[0] ?? null
    return (decode === undefined ? value : decode(value)) as T | null
  })
}

const isCountable = ({ comparedAs, property }: ColumnPlan): boolean => comparedAs !== undefined && property !== 'count'
// Postgres knows no smallest uuid before version 18.
const isRanged = (column: ColumnPlan): boolean =>
  holdsNumbers(column) || (column.comparedAs !== undefined && !['uuid', 'boolean'].includes(column.comparedAs))

/** Refuses a hidden or sealed column as one that is not there: an aggregate tells what it holds. */
function fieldOf(plan: TablePlan, field: unknown, use: string, fits: (column: ColumnPlan) => boolean): ColumnPlan {
  const column = typeof field === 'string' ? plan.byProperty.get(field) : undefined
  if (column !== undefined && plan.columns.includes(column) && fits(column)) return column
  const names = plan.columns.filter((one) => fits(one) && one !== plan.owner?.column).map(({ property }) => property)
  const named = typeof field === 'string' ? `"${field.slice(0, 60)}"` : 'this'
  throw new InvalidInputError('field', `${named} is not a field that can be ${use}; these can: ${names.join(', ')}`)
}

/** A sum has the type of its column: decimal text for numeric. */
function sumOf({ resource }: TablePlan, { property, decode }: ColumnPlan, text: unknown): unknown {
  if (text === null) return null
  const sum = decode === undefined ? Number(text) : decode(text)
  if (typeof sum === 'number' && Number.isInteger(sum) && !Number.isSafeInteger(sum))
    throw new DefinitionError(
      `${resource}.${property} adds up to more than 2^53, beyond which a number loses digits: give the column mode 'bigint'`,
    )
  return sum
}
