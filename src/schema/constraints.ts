import { getTableColumns } from 'drizzle-orm'
import { type AnyPgColumn, getTableConfig, type PgTable } from 'drizzle-orm/pg-core'

/** What an error of the database is about, in the words of the caller. */
export interface ConstraintFacts {
  /** The table. */
  readonly resource: string
  /** Properties, without the organization, which no caller gives. */
  readonly fields: readonly string[]
}

/** Every constraint and unique index of these tables, by its name in the database. */
export function constraintsOf(tables: readonly PgTable[]): ReadonlyMap<string, ConstraintFacts> {
  return new Map(tables.flatMap(constraintsOfTable))
}

function constraintsOfTable(table: PgTable): [string, ConstraintFacts][] {
  const { name: resource, primaryKeys, uniqueConstraints, foreignKeys, indexes, checks } = getTableConfig(table)
  const properties = new Map(
    Object.entries(getTableColumns(table)).map(([property, column]) => [column.name, property]),
  )
  const facts = (names: readonly string[]): ConstraintFacts => ({
    resource,
    fields: names.filter((name) => name !== 'org_id').flatMap((name) => properties.get(name) ?? []),
  })
  const of = (columns: readonly AnyPgColumn[]) => facts(columns.map((column) => column.name))
  return [
    ...primaryKeys.map((key): [string, ConstraintFacts] => [key.getName(), of(key.columns)]),
    ...uniqueConstraints.map((key): [string, ConstraintFacts] => [key.name ?? '', of(key.columns)]),
    ...foreignKeys.map((key): [string, ConstraintFacts] => [key.getName(), of(key.reference().columns)]),
    ...indexes.map(({ config }): [string, ConstraintFacts] => [
      config.name ?? '',
      facts(config.columns.flatMap((column) => ('name' in column && column.name !== undefined ? [column.name] : []))),
    ]),
    // `<table>_<column>_check`
    ...checks.map(({ name }): [string, ConstraintFacts] => [
      name,
      facts([name.slice(resource.length + 1, -'_check'.length)]),
    ]),
  ]
}
