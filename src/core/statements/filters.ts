import { z } from 'zod'
import { InvalidInputError } from '../errors.js'
import { isUuid } from '../ids.js'
import type { ColumnPlan } from './column-plan.js'
import type { TablePlan } from './table-plan.js'
import { momentOf, ownItems, ownProperties, touch } from '../values.js'

type Comparable = string | number | bigint | boolean | Date

/** The conditions on one field. A bare value means equal; `null` matches NULL. */
export type FieldFilter<Value> =
  | Value
  | { readonly not: Value }
  | { readonly in: readonly NonNullable<Value>[] }
  | (NonNullable<Value> extends boolean
      ? never
      : {
          readonly gt?: NonNullable<Value> | undefined
          readonly gte?: NonNullable<Value> | undefined
          readonly lt?: NonNullable<Value> | undefined
          readonly lte?: NonNullable<Value> | undefined
        })
  | (NonNullable<Value> extends string
      ? { readonly prefix: string } | { readonly contains: string; readonly ignoreCase?: boolean | undefined }
      : never)

/** The fields of a row with values that can be compared. */
export type ComparedField<Row> = keyof {
  [Name in keyof Row as NonNullable<Row[Name]> extends Comparable ? Name : never]: true
}

/** The values of a unique key's fields. A key has values only: no ranges, lists or prefixes. */
export type KeyValues<Row> = {
  readonly [Name in ComparedField<Row>]?: NonNullable<Row[Name]>
}

/**
 * Conditions on rows: every named field must match. `and`, `or` and `not` combine conditions. In a read, a field that is undefined
 * counts as not named. Inside of a group, and where rows are changed or deleted, it is refused.
 */
export type Filter<Row> = {
  readonly [Name in keyof Row as NonNullable<Row[Name]> extends Comparable ? Name : never]?:
    | FieldFilter<Row[Name]>
    | undefined
} & {
  readonly and?: readonly Filter<Row>[] | undefined
  readonly or?: readonly Filter<Row>[] | undefined
  readonly not?: Filter<Row> | undefined
}

/** A filter as SQL: its predicate, and the values of its parameters. */
export interface Condition {
  /** Empty for an empty filter; otherwise it can follow `and`. */
  readonly sql: string
  readonly values: readonly unknown[]
}

const maxDepth = 8
const maxTerms = 200
const maxList = 100_000
const maxText = 10_000

/**
 * Compiles a filter. Its parameters are numbered from `offset + 1`; the caller puts parentheses around it. In a change, a field that
 * is undefined is refused: leaving it out would change more rows than were meant. Only a key, which the repository itself names, may be
 * of hidden columns: whoever filters by one learns what it holds.
 */
export function compileFilter(
  plan: TablePlan,
  filter: unknown,
  offset: number,
  use: 'read' | 'change' | 'key',
): Condition {
  const compiler = new FilterCompiler(plan, offset, use)
  const sql = compiler.all(ownProperties(filter, 'filter'), 0)
  return { sql, values: compiler.values }
}

/** The rows that a change is for. A filter that asks for nothing is refused. */
export function changeCondition(plan: TablePlan, filter: unknown): Condition {
  const condition = compileFilter(plan, filter, plan.ownerPlaces, 'change')
  if (condition.sql === '') throw new InvalidInputError('filter', 'is empty, which would change every row')
  return condition
}

/** A copy that reads each property once, so that the audit log tells of the filter that was compiled. */
export function copyFilter<Given>(filter: Given): Given {
  let left = 3 * maxTerms
  const copy = (value: unknown, field: string, depth: number): unknown => {
    // What is nested deeper is refused when it is compiled.
    if (typeof value !== 'object' || value === null || depth > 3 * maxDepth) return value
    const moment = momentOf(value)
    if (moment !== undefined) return new Date(moment)
    if (left-- === 0) throw new InvalidInputError('filter', `has more than ${maxTerms} terms`)
    if (touch(field, () => Array.isArray(value)))
      return ownItems(value, field, maxList).map((item) => copy(item, field, depth + 1))
    const own = ownProperties(value, field)
    for (const [name, item] of Object.entries(own)) own[name] = copy(item, name.slice(0, 60), depth + 1)
    return own
  }
  return copy(filter, 'filter', 0) as Given
}

/** The caller's filter or list options with a further condition of the library's. */
export function withCondition<Given extends object>(given: Given | undefined, condition: object): Given {
  const { and, ...others } = ownProperties(given ?? {}, 'filter')
  return { ...others, and: [condition, ...(and === undefined ? [] : [{ and }])] } as unknown as Given
}

class FilterCompiler {
  readonly values: unknown[] = []
  private terms = 0

  constructor(
    private readonly plan: TablePlan,
    private readonly offset: number,
    private readonly use: 'read' | 'change' | 'key',
  ) {}

  /** The conjunction of an object's fields. */
  all(filter: Record<string, unknown>, depth: number): string {
    if (depth > maxDepth) throw new InvalidInputError('filter', `is nested deeper than ${maxDepth}`)
    const parts: string[] = []
    for (const key in filter) {
      const part = this.part(key, filter[key], depth)
      if (part !== '') parts.push(part)
    }
    return parts.join(' and ')
  }

  private part(key: string, value: unknown, depth: number): string {
    if (++this.terms > maxTerms) throw new InvalidInputError('filter', `has more than ${maxTerms} terms`)
    if (value === undefined) return this.undefinedPart(key, depth)
    if (key === 'not') return `not ${this.group('not', value, depth)}`
    if (key === 'and' || key === 'or') return this.groups(key, value, depth)
    return this.field(key, value, depth)
  }

  /** Reads leave out what is undefined at the top of the filter. Inside groups it is always refused. */
  private undefinedPart(key: string, depth: number): string {
    if (depth === 0 && this.use !== 'change') return ''
    throw new InvalidInputError(key.slice(0, 60), 'is undefined; leave the field out, or pass null to match NULL')
  }

  private groups(key: 'and' | 'or', value: unknown, depth: number): string {
    const items = ownItems(value, key, maxTerms)
    if (items.length === 0) throw new InvalidInputError(key, 'must hold at least one filter')
    return `(${items.map((item) => this.group(key, item, depth)).join(` ${key} `)})`
  }

  // An empty group is refused: it could mean everything, or nothing.
  private group(key: string, value: unknown, depth: number): string {
    const sql = this.all(ownProperties(value, key), depth + 1)
    if (sql === '') throw new InvalidInputError(key, 'contains an empty filter')
    return `(${sql})`
  }

  private field(key: string, value: unknown, depth: number): string {
    const column = this.plan.byProperty.get(key)
    if (column === undefined || (this.use !== 'key' && this.plan.isHidden(column)))
      throw new InvalidInputError(key.slice(0, 60), 'is not a field that can be filtered by')
    if (column.comparedAs === undefined) {
      throw new InvalidInputError(key, 'has a type that filters cannot compare; write a statement of your own')
    }
    if (typeof value !== 'object' || momentOf(value) !== undefined) return this.compare(column, '=', value)
    if (value === null) return `${column.sql} is null`
    return this.operators(column, ownProperties(value, key), depth)
  }

  private operators(column: ColumnPlan, operators: Record<string, unknown>, depth: number): string {
    const { ignoreCase = false, ...named } = operators
    if (typeof ignoreCase !== 'boolean')
      throw new InvalidInputError(column.property, 'ignoreCase must be true or false')
    if (ignoreCase && !Object.hasOwn(named, 'contains'))
      throw new InvalidInputError(column.property, 'has ignoreCase, which belongs to contains')
    const all = Object.entries(named)
    if (all.length === 0) throw new InvalidInputError(column.property, 'has an empty condition')
    const parts = all.map(([name, value]) => this.operator(column, name, value, depth, ignoreCase))
    return parts.filter((part) => part !== '').join(' and ')
  }

  private operator(column: ColumnPlan, name: string, value: unknown, depth: number, ignoreCase: boolean): string {
    if (++this.terms > maxTerms) throw new InvalidInputError('filter', `has more than ${maxTerms} terms`)
    if (value === undefined) return this.undefinedPart(column.property, depth)
    if (name === 'in') return this.list(column, value)
    if (name === 'not') {
      if (value === null) return `${column.sql} is not null`
      return `${column.sql} is distinct from ${this.place(column, value)}`
    }
    const isText = texts.has(column.comparedAs ?? '')
    if (name === 'prefix' && isText) return this.prefix(column, value)
    if (name === 'contains' && isText) {
      // No index serves this, as none serves LIKE under row security. Unlike LIKE, strpos has no pattern to escape, and the estimate
      // for it does not depend on the text, so that the plan is the same for a rare one: the index of the order, walked until the
      // page is full.
      if (!ignoreCase) return `pg_catalog.strpos(${column.sql}, ${this.piece(column, value)}) > 0`
      // A column that is sorted by bytes would fold A to Z alone.
      const [whole, part] = [`${column.sql} collate "default"`, this.piece(column, value)]
      return `pg_catalog.strpos(pg_catalog.lower(${whole}), pg_catalog.lower(${part})) > 0`
    }
    const comparison = comparisons.get(name)
    if (comparison === undefined || column.comparedAs === 'boolean') {
      const ranges = column.comparedAs === 'boolean' ? '' : ', gt, gte, lt, lte'
      const all = `in, not${ranges}${isText ? ', prefix, contains' : ''}`
      throw new InvalidInputError(column.property, `has no such operator; the operators are ${all}`)
    }
    return this.compare(column, comparison, value)
  }

  /**
   * The two bounds let an index `collate "C"` find the rows in a database of any collation. Postgres derives them from `^@` only in a
   * custom plan, and not in a generic one.
   */
  private prefix(column: ColumnPlan, value: unknown): string {
    const begins = `${column.sql} ^@ ${this.piece(column, value)}`
    const bytes = `${column.sql} collate "C"`
    const end = textBehind(String(value))
    const bounds = [`${bytes} >= $${this.offset + this.values.length}::${column.comparedAs}`]
    if (end !== undefined) bounds.push(`${bytes} < ${this.piece(column, end)}`)
    return [begins, ...bounds].join(' and ')
  }

  /** A part of a text. For a column that takes certain words alone: a part of one is none of them. */
  private piece(column: ColumnPlan, value: unknown): string {
    if (value === '' && this.use === 'change')
      throw new InvalidInputError(column.property, 'is compared with an empty text, which would match every row')
    return this.place({ ...column, words: undefined }, value)
  }

  private compare(column: ColumnPlan, operator: string, value: unknown): string {
    return `${column.sql} ${operator} ${this.place(column, value)}`
  }

  /** One array parameter for all values: the protocol allows 65,535 parameters. */
  private list(column: ColumnPlan, value: unknown): string {
    this.values.push(ownItems(value, column.property, maxList).map((item) => comparableValue(column, item)))
    return `${column.sql} = any($${this.offset + this.values.length}::${column.comparedAs}[])`
  }

  private place(column: ColumnPlan, value: unknown): string {
    this.values.push(comparableValue(column, value))
    return `$${this.offset + this.values.length}::${column.comparedAs}`
  }
}

const comparisons = new Map([
  ['gt', '>'],
  ['gte', '>='],
  ['lt', '<'],
  ['lte', '<='],
])

/**
 * A text that is greater, by bytes, than every text with this prefix, in databases of any encoding: the prefix up to its last ASCII
 * character, which is one higher. Undefined where it has none.
 */
function textBehind(text: string): string | undefined {
  let end = text.length - 1
  while (end >= 0 && text.charCodeAt(end) >= 0x7f) end--
  return end < 0 ? undefined : text.slice(0, end) + String.fromCharCode(text.charCodeAt(end) + 1)
}

/** The types that `prefix` works on. `char` is padded with blanks. */
const texts = new Set(['text', 'varchar', 'character varying'])

/** The value as it is sent. Refuses one of another type than the column's, so that the server never has to guess. */
export function comparableValue(column: ColumnPlan, value: unknown): unknown {
  const reason = faultOf(column, value)
  if (reason !== undefined) throw new InvalidInputError(column.property, reason)
  const moment = momentOf(value)
  return moment === undefined ? value : new Date(moment).toISOString()
}

const integerRange = { smallint: 32_767, integer: 2_147_483_647 }

function faultOf({ comparedAs, isText, words }: ColumnPlan, value: unknown): string | undefined {
  switch (comparedAs) {
    case 'uuid':
      return isUuid(value) ? undefined : 'must be a UUID in lower case'
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'must be true or false'
    case 'smallint':
    case 'integer': {
      const max = integerRange[comparedAs]
      const fits = Number.isInteger(value) && (value as number) <= max && (value as number) >= -max - 1
      return fits ? undefined : `must be an integer from ${-max - 1} to ${max}`
    }
    case 'bigint':
      return Number.isSafeInteger(value) || isBigint(value) ? undefined : 'must be an integer'
    case 'double precision':
      return Number.isFinite(value) ? undefined : 'must be a number'
    case 'date':
      if (isText) return isDay(value) ? undefined : 'must be a day of the years 1 to 9999, such as 2026-11-20'
      return isMoment(value) ? undefined : 'must be a Date of the years 1 to 9999'
    case 'timestamp with time zone':
      if (isText) return isInstant(value) ? undefined : 'must be a moment of the years 1 to 9999 with its time zone'
      return isMoment(value) ? undefined : 'must be a Date of the years 1 to 9999'
    default:
      if (words !== undefined) return words.includes(value as string) ? undefined : `must be one of ${words.join(', ')}`
      return isPlainText(value) ? undefined : `must be text without NUL, at most ${maxText} characters`
  }
}

const isBigint = (value: unknown): boolean => typeof value === 'bigint' && BigInt.asIntN(64, value) === value
const isMoment = (value: unknown): boolean => {
  const moment = momentOf(value) ?? Number.NaN
  return moment >= -62_135_596_800_000 && moment < 253_402_300_800_000
}
const isPlainText = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= maxText && !value.includes('\0') && value.isWellFormed()

const day = z.iso.date()
const isDay = (value: unknown): boolean => isPlainText(value) && day.safeParse(value).success && !isYearZero(value)

const instant = z.iso.datetime({ offset: true })
/** ISO text as in JSON, or the server's own form, which rows hold: `2026-11-20 23:07:01.123456+00`. */
const isInstant = (value: unknown): boolean =>
  isPlainText(value) && !isYearZero(value) && instant.safeParse(asIso(value)).success

const asIso = (text: string): string => text.replace(' ', 'T').replace(/[+-]\d\d$/, '$&:00')

const isYearZero = (value: string): boolean => value.startsWith('0000')
