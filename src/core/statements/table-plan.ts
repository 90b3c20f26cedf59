import { getTableColumns, is } from 'drizzle-orm'
import { getTableConfig, PgColumn, PgJson, PgJsonb, type PgTable } from 'drizzle-orm/pg-core'
import { isSealed } from '../../schema/shared/ciphertext.js'
import { jsonText } from '../../schema/shared/json.js'
import { factsOf } from '../../schema/shared/kinds.js'
import { DefinitionError, InvalidInputError } from '../errors.js'
import { unwritable } from '../values.js'
import { rowReader } from './row-reader.js'
import { StatementCache } from './statement-cache.js'

/** One column as statements and rows know it. */
export interface ColumnPlan {
  /** The name in TypeScript. */
  readonly property: string
  /** Quoted, for SQL. */
  readonly sql: string
  /** The type that it is written as: without a length, to which a cast would cut the value. */
  readonly writtenAs: string
  readonly notNull: boolean
  /**
   * The SQL type that it is compared in, without a length as well. Undefined where the operators may not run before row security: such
   * a column would lose its index under it.
   */
  readonly comparedAs: string | undefined
  /** A row holds text, as it does of dates, too, where the table says `mode: 'string'`. */
  readonly isText: boolean
  /** From what the executor gives to what a row holds; undefined where they are the same. */
  readonly decode: ((value: unknown) => unknown) | undefined
  /** From what a row holds to what the executor takes. */
  readonly encode: (value: unknown) => unknown
}

/** All that a repository has to know of its table, worked out once. */
export interface TablePlan {
  readonly table: PgTable
  /** What errors, cursors and permissions call it: the SQL name. */
  readonly resource: string
  readonly sql: string
  /** What a default read gives: everything but the sealed columns. */
  readonly columns: readonly ColumnPlan[]
  readonly byProperty: ReadonlyMap<string, ColumnPlan>
  /** The columns of a default read, for `select` and `returning`. */
  readonly selected: string
  /** The column of the organization, quoted. */
  readonly owner: string
  /** The predicate of every read: the bound organization's rows that are not deleted. */
  readonly visible: string
  /** The same, with the deleted ones. */
  readonly owned: string
  readonly statements: StatementCache
  /** Makes a row of what a default read gives. */
  readonly readRow: (values: readonly unknown[]) => Record<string, unknown>
  readonly hasId: boolean
  readonly audited: boolean
  readonly softDelete: boolean
  readonly revised: boolean
  readonly touched: boolean
}

const plans = new WeakMap<PgTable, TablePlan>()

export function planOf(table: PgTable): TablePlan {
  let plan = plans.get(table)
  if (plan === undefined) {
    plan = makePlan(table)
    plans.set(table, plan)
  }
  return plan
}

/** Named by the library, so that an unknown name is a fault of the repository, not of its caller. */
export function columnOf(plan: TablePlan, property: string): ColumnPlan {
  const column = plan.byProperty.get(property)
  if (column === undefined) throw new DefinitionError(`${plan.resource} has no column ${property}`)
  return column
}

/** The column of an input's field. Refuses the owner's column: only the scope sets it, whatever a schema of the host's lets through. */
export function givenColumn(plan: TablePlan, property: string): ColumnPlan {
  const column = plan.byProperty.get(property)
  if (column === undefined) throw new InvalidInputError(property.slice(0, 60), `is not a field of ${plan.resource}`)
  if (column.sql === plan.owner) throw new InvalidInputError(property, 'is not a field that can be given')
  return column
}

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

function makePlan(table: PgTable): TablePlan {
  const { name, schema } = getTableConfig(table)
  const all = Object.entries(getTableColumns(table)).map(([property, column]) => ({ property, column }))
  const names = new Set(all.map(({ column }) => column.name))
  const byProperty = new Map(all.map(({ property, column }) => [property, planColumn(property, column)]))
  const columns = all
    .filter(({ column }) => !isSealed(column))
    .flatMap(({ property }) => byProperty.get(property) ?? [])
  const owner = quoted(names.has('org_id') ? 'org_id' : 'id')
  const owned = `${owner} = $1`
  return {
    table,
    resource: name,
    sql: schema === undefined ? quoted(name) : `${quoted(schema)}.${quoted(name)}`,
    columns,
    byProperty,
    selected: columns.map((column) => column.sql).join(', '),
    owner,
    owned,
    visible: names.has('deleted_at') ? `${owned} and "deleted_at" is null` : owned,
    statements: new StatementCache(),
    readRow: rowReader(columns),
    hasId: names.has('org_id') && names.has('id'),
    audited: factsOf(table)?.audited ?? false,
    softDelete: names.has('deleted_at'),
    revised: names.has('revision'),
    touched: names.has('updated_at'),
  }
}

function planColumn(property: string, column: PgColumn): ColumnPlan {
  const type = column.getSQLType()
  return {
    property,
    sql: quoted(column.name),
    writtenAs: withoutLength(type),
    notNull: column.notNull,
    comparedAs: comparedType(type),
    isText: column.dataType === 'string',
    decode: decoderOf(column, type),
    encode: encoderOf(property, column),
  }
}

const withoutLength = (type: string): string =>
  type
    .replace(/^(?:bpchar|(?:var)?char|character(?: varying)?)\b(?: ?\(\d+\))?/, 'varchar')
    .replace(/^(?:varbit|bit(?: varying)?)\b(?: ?\(\d+\))?/, 'varbit')

function comparedType(type: string): string | undefined {
  const bare = type.replace(/ ?\([\d, ]+\)/, '')
  // To compare it as text would take its index away; `char` by itself is a character.
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

// A driver reads these as Drizzle's rows hold them.
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

// The server's ISO text, such as `2026-11-20 23:07:01.123456+00`. Date reads it as it is, at half the cost of the driver's own
// parser, but takes a year below 100 for one of the 1900s.
function readInstant(text: string): Date {
  if (!text.startsWith('00')) return new Date(text)
  const [day = '', time = ''] = text.split(' ')
  return new Date(`${day}T${/[+-]\d\d$/.test(time) ? `${time}:00` : time}`)
}
