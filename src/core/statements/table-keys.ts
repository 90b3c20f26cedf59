import { is, SQL } from 'drizzle-orm'
import { type AnyPgColumn, getTableConfig, PgDialect, type PgTable } from 'drizzle-orm/pg-core'
import type { ColumnPlan } from './column-plan.js'

/** A reference to a row that may be soft-deleted: the owner's column and one other, to a row of the same owner. */
export interface ParentKey {
  readonly property: string
  readonly table: PgTable
  /** The column that the key refers to, by its SQL name. */
  readonly target: string
}

/** A unique key of the owner's rows, without the owner's column. */
export interface UniqueKey {
  readonly columns: readonly ColumnPlan[]
  /** What stands behind `on conflict`, the owner's column included. */
  readonly conflict: string
  /** The predicate of a partial index, as SQL; undefined for a key of all rows. */
  readonly predicate: string | undefined
  readonly isPrimary: boolean
  /** Whether two nulls in it are equal. */
  readonly nullsAreEqual: boolean
}

type Named = (column: string) => ColumnPlan | undefined

const dialect = new PgDialect()

/** The composite foreign keys of a table into tables with `deleted_at`, by the property that refers. */
export function parentsOf(table: PgTable, named: Named, owner: ColumnPlan | undefined): Map<string, ParentKey> {
  const parents = new Map<string, ParentKey>()
  for (const foreignKey of getTableConfig(table).foreignKeys) {
    const { columns, foreignColumns, foreignTable } = foreignKey.reference()
    if (!getTableConfig(foreignTable).columns.some(({ name }) => name === 'deleted_at')) continue
    const others = columns.flatMap((column, index) => {
      const own = named(column.name)
      const target = foreignColumns[index]?.name
      return own === undefined || own === owner || target === undefined ? [] : [{ property: own.property, target }]
    })
    const [only] = others
    if (only !== undefined && others.length === 1 && columns.length === 2) {
      parents.set(only.property, { ...only, table: foreignTable })
    }
  }
  return parents
}

/** Every unique key of a table that begins with the owner's column, by the name of its index or constraint. */
export function keysOf(table: PgTable, named: Named, owner: ColumnPlan | undefined): Map<string, UniqueKey> {
  const { name, columns, primaryKeys, uniqueConstraints, indexes } = getTableConfig(table)
  const keys = new Map<string, UniqueKey>()
  const add = (
    name: string | undefined,
    columns: readonly { name?: string }[],
    {
      isPrimary = false,
      nullsAreEqual = false,
      where,
    }: { isPrimary?: boolean; nullsAreEqual?: boolean; where?: SQL | undefined },
  ) => {
    const all = columns.flatMap((column) => named(column.name ?? '') ?? [])
    if (name === undefined || all.length !== columns.length || (owner !== undefined && all[0] !== owner)) return
    const predicate = where === undefined ? undefined : dialect.sqlToQuery(where).sql
    const conflict = `(${all.map(({ sql }) => sql).join(', ')})${predicate === undefined ? '' : ` where ${predicate}`}`
    keys.set(name, { columns: all.filter((column) => column !== owner), conflict, predicate, isPrimary, nullsAreEqual })
  }
  // A primary key that is written beside its column gets this name from Postgres.
  if (owner === undefined)
    for (const column of columns) if (column.primary) add(`${name}_pkey`, [column], { isPrimary: true })
  for (const key of primaryKeys) add(key.getName(), key.columns, { isPrimary: true })
  for (const key of uniqueConstraints) add(key.getName(), key.columns, { nullsAreEqual: key.nullsNotDistinct })
  for (const { config } of indexes) {
    // An index over an expression has no columns that an input could hold.
    if (config.unique && !config.columns.some((column) => is(column, SQL))) {
      add(config.name, config.columns as AnyPgColumn[], { where: config.where })
    }
  }
  return keys
}
