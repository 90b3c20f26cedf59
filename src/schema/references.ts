import { getTableColumns } from 'drizzle-orm'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'

/** A nullable column of another table that may refer to a row of this one. */
export interface NullableReference {
  readonly table: PgTable
  readonly property: string
}

/**
 * The nullable references to a table, among `tables`. They are NO ACTION, because SET NULL would empty the organization too. A
 * delete sets them to null first.
 */
export function referencesTo(target: PgTable, tables: readonly PgTable[]): NullableReference[] {
  return tables.flatMap((table) =>
    getTableConfig(table).foreignKeys.flatMap((key) => {
      const { columns, foreignTable } = key.reference()
      if (key.onDelete !== 'no action' && key.onDelete !== undefined) return []
      if (getTableConfig(foreignTable).name !== getTableConfig(target).name) return []
      const nullable = columns.find((column) => !column.notNull)
      // By name, because a key has copies of its table's columns.
      const property = Object.entries(getTableColumns(table)).find(([, { name }]) => name === nullable?.name)?.[0]
      return property === undefined ? [] : [{ table, property }]
    }),
  )
}
