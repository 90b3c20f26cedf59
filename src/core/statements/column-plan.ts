import { is } from 'drizzle-orm'
import { PgArray, PgColumn, PgEnumColumn, PgEnumObjectColumn, PgJson, PgJsonb } from 'drizzle-orm/pg-core'
import { jsonText } from '../../schema/shared/json.js'
import { readInstant } from '../instant.js'
import { unwritable } from '../values.js'

/** One column, as statements and rows use it. */
export interface ColumnPlan {
  /** The name in TypeScript. */
  readonly property: string
  /** Quoted, for SQL. */
  readonly sql: string
  /** The type that it is written as: without a length or a precision, to which a cast would cut the value. */
  readonly writtenAs: string
  /** The type that it is stored as, which rounds a number to its scale. */
  readonly storedAs: string
  readonly notNull: boolean
  /** Whether an insert without a value for it may fill it: by a default, or because it is computed. */
  readonly isFilled: boolean
  /** Whether it is computed from others of its row. */
  readonly isGenerated: boolean
  /**
   * The SQL type that it is compared as, without a length too. Undefined for types whose operators Postgres does not run before row
   * security: under it such a column would not use its index.
   */
  readonly comparedAs: string | undefined
  /** Whether a row holds text. Dates are text too where the table says `mode: 'string'`. */
  readonly isText: boolean
  /** The texts that the table says the column holds; undefined where it names none. */
  readonly words: readonly string[] | undefined
  /** Turns the executor's value into that of a row; undefined where they are the same. */
  readonly decode: ((value: unknown) => unknown) | undefined
  /** Turns the value of a row into the executor's. */
  readonly encode: (value: unknown) => unknown
}

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

export function planColumn(property: string, column: PgColumn): ColumnPlan {
  const type = typeOf(column)
  return {
    property,
    sql: quoted(column.name),
    writtenAs: withoutLength(type),
    storedAs: type,
    notNull: column.notNull,
    isFilled: column.hasDefault || column.generated !== undefined || column.generatedIdentity !== undefined,
    isGenerated: column.generated !== undefined,
    comparedAs: comparedType(type),
    isText: column.dataType === 'string',
    words: column.enumValues,
    decode: decoderOf(column, type),
    encode: encoderOf(property, column),
  }
}

export const holdsNumbers = ({ storedAs }: ColumnPlan): boolean =>
  /^(?:smallint|integer|bigint|numeric|real|double precision)(?: ?\([\d, ]+\))?$/.test(storedAs)

/** Drizzle writes the name of an enum without its schema and without quotes, so that a cast would not find it. */
function typeOf(column: PgColumn): string {
  if (is(column, PgArray)) return `${typeOf(column.baseColumn)}[]`
  if (!is(column, PgEnumColumn) && !is(column, PgEnumObjectColumn)) return column.getSQLType()
  const { schema, enumName } = column.enum
  return schema === undefined ? quoted(enumName) : `${quoted(schema)}.${quoted(enumName)}`
}

const withoutLength = (type: string): string =>
  type
    .replace(/^(?:bpchar|(?:var)?char|character(?: varying)?)\b(?: ?\(\d+\))?/, 'varchar')
    .replace(/^(?:varbit|bit(?: varying)?)\b(?: ?\(\d+\))?/, 'varbit')
    // The column may have become wider since this build was made.
    .replace(/^real\b/, 'double precision')

function comparedType(type: string): string | undefined {
  const bare = type.replace(/ ?\([\d, ]+\)/, '')
  // Compared as text it would not use its index. `char` alone is bpchar(1).
  if (bare === 'char' || bare === 'character') return 'bpchar'
  return comparableTypes.has(bare) ? bare : undefined
}

const comparableTypes = new Set([
  'uuid',
  'text',
  'varchar',
  'character varying',
  'bpchar',
  'boolean',
  'smallint',
  'integer',
  'bigint',
  'double precision',
  'date',
  'timestamp with time zone',
])

// The executor returns these as Drizzle's rows hold them.
const asRead = new Set(['uuid', 'text', 'boolean', 'smallint', 'integer', 'jsonb', 'bytea', 'inet', 'double precision'])

function encoderOf(property: string, column: PgColumn): ColumnPlan['encode'] {
  // Most columns write what they are given.
  if (column.mapToDriverValue === PgColumn.prototype.mapToDriverValue) return (value) => value ?? null
  const write = is(column, PgJsonb) || is(column, PgJson) ? jsonText : column.mapToDriverValue.bind(column)
  return (value) => {
    if (value === null || value === undefined) return null
    try {
      return write(value)
    } catch (error) {
      throw unwritable(property, error)
    }
  }
}

function decoderOf(column: PgColumn, type: string): ColumnPlan['decode'] {
  if (asRead.has(type)) return undefined
  if (comparedType(type) === 'timestamp with time zone' && column.dataType === 'date') {
    return (value) => (value === null ? null : readInstant(value as string))
  }
  return (value) => (value === null ? null : column.mapFromDriverValue(value))
}
