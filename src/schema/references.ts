import { getTableColumns } from 'drizzle-orm'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'

/** A nullable column elsewhere that may refer to a row of a table. */
export interface NullableReference {
  readonly table: PgTable
  readonly property: string
}

/**
 * The nullable references to a table, among `tables`. They are NO ACTION, since SET NULL would empty the organization too: whoever
 * deletes a row empties them first.
 */
export function referencesTo(target: PgTable, tables: readonly PgTable[]): NullableReference[] {
  return tables.flatMap((table) =>
    getTableConfig(table).foreignKeys.flatMap((key) => {
      const { columns, foreignTable } = key.reference()
      if (key.onDelete !== 'no action' && key.onDelete !== undefined) return []
      if (getTableConfig(foreignTable).name !== getTableConfig(target).name) return []
      const nullable = columns.find((column) => !column.notNull)
      // By name, for a key holds copies of its table's columns.
      const property = Object.entries(getTableColumns(table)).find(([, { name }]) => name === nullable?.name)?.[0]
      return property === undefined ? [] : [{ table, property }]
    }),
  )
}
