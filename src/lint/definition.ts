import { getTableColumns, is, SQL } from 'drizzle-orm'
import {
  type AnyPgColumn,
  type ForeignKey,
  getTableConfig,
  IndexedColumn,
  PgArray,
  type PgColumn,
  PgDialect,
  type PgPolicy,
  type PgTable,
} from 'drizzle-orm/pg-core'
import { factsOf, type TableFacts } from '../schema/shared/kinds.js'
import { platformTables } from '../schema/tables.js'

/** A table in the form that the rules read: Drizzle's definition with SQL names in place of objects. */
export interface Definition {
  /** The name with its Postgres schema, for messages. */
  readonly fullName: string
  readonly name: string
  readonly facts: TableFacts
  readonly owner: OwnerColumn | undefined
  readonly columns: readonly PgColumn[]
  /** The columns by their TypeScript names. */
  readonly properties: Readonly<Record<string, PgColumn>>
  /** The primary key, uniques and indexes. */
  readonly keys: readonly Key[]
  readonly references: readonly Reference[]
  readonly checks: readonly { readonly name: string; readonly predicate: SqlText }[]
  readonly policies: readonly PgPolicy[]
  readonly rowSecurity: boolean
}

/** The column of the owner's id. Tables without an owner, and the tables of the owners themselves, have none. */
export type OwnerColumn = 'org_id' | 'user_id'

export interface Key {
  readonly kind: 'primary key' | 'unique' | 'unique index' | 'index'
  readonly name: string | undefined
  /** Undefined for an expression. */
  readonly columns: readonly (string | undefined)[]
  /** Whether it has columns alone, of which some may have `collate "C"`. */
  readonly isPlain: boolean
  readonly ascending: boolean
  readonly method: string
  readonly where: SqlText | undefined
}

export interface Reference {
  readonly name: string | undefined
  /** The name in messages: its own, or its columns. */
  readonly label: string
  readonly columns: readonly string[]
  readonly target: string
  readonly targetTable: PgTable
  /** Undefined when the table that it refers to was never declared. */
  readonly targetFacts: TableFacts | undefined
  readonly targetOwner: OwnerColumn | undefined
  readonly targetColumns: readonly string[]
  readonly onDelete: string
  readonly onUpdate: string
}

/** SQL text as the migration will contain it. */
export interface SqlText {
  readonly text: string
  /** Whether it has bound values, which a migration would contain as `$1`. */
  readonly bound: boolean
}

export const organizationsTable = 'platform.organizations'
export const usersTable = 'platform.users'

export const fullNameOf = (table: PgTable): string => {
  const { schema, name } = getTableConfig(table)
  return `${schema ?? 'public'}.${name}`
}

/** Facts by full name, of the library's tables and the given ones: a foreign key may refer to a stand-in of the same name. */
export function registerFacts(tables: Iterable<PgTable>): ReadonlyMap<string, TableFacts> {
  const registry = new Map<string, TableFacts>()
  for (const table of [...platformTables, ...tables]) {
    const facts = factsOf(table)
    if (facts !== undefined) registry.set(fullNameOf(table), facts)
  }
  return registry
}

export function define(table: PgTable, facts: TableFacts, registry: ReadonlyMap<string, TableFacts>): Definition {
  const config = getTableConfig(table)
  const fullName = fullNameOf(table)
  return {
    fullName,
    name: config.name,
    facts,
    owner: ownerOf(fullName, facts),
    columns: config.columns,
    properties: getTableColumns(table),
    keys: keysOf(table),
    references: config.foreignKeys.map((key) => referenceOf(key, registry)),
    checks: config.checks.map((check) => ({ name: check.name, predicate: sqlText(check.value) })),
    policies: config.policies,
    rowSecurity: config.enableRLS || config.policies.length > 0,
  }
}

export const columnOf = (table: Definition, name: string): PgColumn | undefined =>
  table.columns.find((column) => column.name === name)

export const primaryKeyOf = (table: Definition): Key | undefined => table.keys.find((key) => key.kind === 'primary key')

/** The element type of an array column, or the column itself. */
export const elementOf = (column: PgColumn): PgColumn => (is(column, PgArray) ? elementOf(column.baseColumn) : column)

export const isUuid = (column: PgColumn): boolean => column.getSQLType() === 'uuid'

export const isInstant = (column: PgColumn): boolean => /^timestamp.* with time zone$/.test(column.getSQLType())

/**
 * Whether the column records who did something, by its name: `created_by`. As part of a composite key it is an ordinary reference.
 */
export const isAttribution = (table: Definition, column: PgColumn): boolean =>
  column.name.endsWith('_by') &&
  isUuid(column) &&
  table.facts.outlives !== true &&
  table.facts.loose?.includes(column.name) !== true &&
  !table.references.some(({ columns }) => columns.length > 1 && columns.includes(column.name))

const dialect = new PgDialect()

export function sqlText(value: SQL): SqlText {
  const { sql, params } = dialect.sqlToQuery(value)
  return { text: sql.replace(/\s+/g, ' ').trim(), bound: params.length > 0 }
}

/** Whether an expression is a column and `collate "C"`. */
const isSortedByBytes = (expression: object): boolean =>
  is(expression, SQL) && /^(?:"?\w+"?\.)*"?\w+"? collate "C"$/i.test(sqlText(expression).text)

function ownerOf(fullName: string, facts: TableFacts | undefined): OwnerColumn | undefined {
  if (fullName === organizationsTable) return undefined
  if (facts?.kind === 'tenant' || facts?.kind === 'control') return 'org_id'
  return facts?.kind === 'user' ? 'user_id' : undefined
}

const names = (columns: readonly AnyPgColumn[]) => columns.map((column) => column.name)

function keysOf(table: PgTable): Key[] {
  const { name, columns, primaryKeys, uniqueConstraints, indexes } = getTableConfig(table)
  const constraint = (kind: Key['kind'], constraintName: string | undefined, on: readonly AnyPgColumn[]): Key => {
    return {
      kind,
      name: constraintName,
      columns: names(on),
      isPlain: true,
      ascending: true,
      method: 'btree',
      where: undefined,
    }
  }
  return [
    // Postgres names the key of a column that is marked as primary.
    ...columns.filter((column) => column.primary).map((column) => constraint('primary key', `${name}_pkey`, [column])),
    ...primaryKeys.map((key) => constraint('primary key', key.name, key.columns)),
    ...columns.filter((column) => column.isUnique).map((column) => constraint('unique', column.uniqueName, [column])),
    ...uniqueConstraints.map((key) => constraint('unique', key.name, key.columns)),
    ...indexes.map(({ config }): Key => {
      const plain = config.columns.map((column) => (is(column, IndexedColumn) ? column : undefined))
      return {
        kind: config.unique ? 'unique index' : 'index',
        name: config.name,
        columns: plain.map((column) => column?.name),
        isPlain: config.columns.every((column) => is(column, IndexedColumn) || isSortedByBytes(column)),
        ascending: plain.every(
          (column) => column?.indexConfig.order !== 'desc' && column?.indexConfig.nulls !== 'first',
        ),
        method: config.method ?? 'btree',
        where: config.where && sqlText(config.where),
      }
    }),
  ]
}

function referenceOf(key: ForeignKey, registry: ReadonlyMap<string, TableFacts>): Reference {
  const { name, columns, foreignTable, foreignColumns } = key.reference()
  const target = fullNameOf(foreignTable)
  const targetFacts = registry.get(target) ?? factsOf(foreignTable)
  return {
    name,
    label: name ?? `(${names(columns).join(', ')})`,
    columns: names(columns),
    target,
    targetTable: foreignTable,
    targetFacts,
    targetOwner: ownerOf(target, targetFacts),
    targetColumns: names(foreignColumns),
    onDelete: key.onDelete ?? 'no action',
    onUpdate: key.onUpdate ?? 'no action',
  }
}
