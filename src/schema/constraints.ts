import { getTableColumns, getTableName, is, SQL } from 'drizzle-orm'
import { type AnyPgColumn, getTableConfig, PgDialect, type PgTable } from 'drizzle-orm/pg-core'

/** The table and fields of an error of the database, by the names that callers use. */
export interface ConstraintFacts {
  /** The table. */
  readonly resource: string
  /** The properties that callers pass: without the organization's, and for a generated column those that it is computed from. */
  readonly fields: readonly string[]
  /** The table that a foreign key refers to. */
  readonly refersTo: string | undefined
}

/** The names in an error of the database. On a Citus cluster the schema is missing. */
export interface ErrorNames {
  readonly schema: string | undefined
  readonly table: string | undefined
  readonly constraint: string | undefined
  readonly column: string | undefined
}

/** Finds the table and fields of an error by its constraint, or else by its table and column. */
export function factsLookup(tables: readonly PgTable[]): (names: ErrorNames) => ConstraintFacts | undefined {
  const constraints = new Map<string, { readonly schema: string; readonly facts: ConstraintFacts }[]>()
  const columns = new Map<string, ConstraintFacts>()
  for (const table of tables) {
    // Asked once for each table, because Drizzle evaluates the whole definition at every call.
    const config = getTableConfig(table)
    const { schema = 'public', name } = config
    const about = factsAbout(table, name)
    for (const [constraint, facts] of constraintsOf(config, about)) {
      constraints.set(constraint, [...(constraints.get(constraint) ?? []), { schema, facts }])
    }
    for (const column of config.columns) columns.set(`${schema}.${name}.${column.name}`, about([column.name]))
  }
  return ({ schema = 'platform', table = '', constraint, column }) => {
    // When two tables have a constraint of the same name, the one in the schema of the error.
    const named = constraints.get(constraint ?? '') ?? []
    const found = named.find((one) => one.schema === schema && one.facts.resource === table) ?? named[0]
    if (found !== undefined || column === undefined) return found?.facts
    return columns.get(`${schema}.${table}.${column}`) ?? columns.get(`${schema}.${partitioned(table)}.${column}`)
  }
}

/** `usage_metrics_2026_02` and `usage_metrics_default` are partitions of `usage_metrics`. */
const partitioned = (table: string): string => table.replace(/_(?:default|\d{4}_\d{2})$/, '')

type TableConfig = ReturnType<typeof getTableConfig>
type FactsAbout = (columns: readonly string[]) => ConstraintFacts

function constraintsOf(config: TableConfig, about: FactsAbout): [string, ConstraintFacts][] {
  const { name: resource, primaryKeys, uniqueConstraints, foreignKeys, indexes, checks } = config
  const of = (columns: readonly AnyPgColumn[]) => about(columns.map((column) => column.name))
  return [
    ...primaryKeys.map((key): [string, ConstraintFacts] => [key.getName(), of(key.columns)]),
    ...uniqueConstraints.map((key): [string, ConstraintFacts] => [key.name ?? '', of(key.columns)]),
    ...foreignKeys.map((key): [string, ConstraintFacts] => {
      const { columns, foreignTable } = key.reference()
      return [key.getName(), { ...of(columns), refersTo: getTableName(foreignTable) }]
    }),
    ...indexes.map(({ config: { name, columns } }): [string, ConstraintFacts] => [
      name ?? '',
      about(columns.flatMap((column) => ('name' in column && column.name !== undefined ? [column.name] : []))),
    ]),
    // `<table>_<column>_check`
    ...checks.map(({ name }): [string, ConstraintFacts] => [
      name,
      about([name.slice(resource.length + 1, -'_check'.length)]),
    ]),
  ]
}

function factsAbout(table: PgTable, resource: string): FactsAbout {
  const ofCallers = Object.entries(getTableColumns(table)).filter(([, { name }]) => name !== 'org_id')
  const fieldsOf = new Map(
    ofCallers.map(([property, column]) => {
      const sources = sourcesOf(column)
      const computedFrom = ofCallers.flatMap(([key, { name }]) => (sources.includes(name) ? [key] : []))
      return [column.name, computedFrom.length > 0 ? computedFrom : [property]]
    }),
  )
  return (columns) => ({
    resource,
    fields: columns.flatMap((name) => fieldsOf.get(name) ?? []),
    refersTo: undefined,
  })
}

/** The names in the expression of a generated column. Callers cannot write that column, only those it is computed from. */
function sourcesOf({ generated }: AnyPgColumn): readonly string[] {
  const as = typeof generated?.as === 'function' ? (generated.as as () => unknown)() : generated?.as
  if (!is(as, SQL)) return []
  const code = dialect.sqlToQuery(as).sql.replaceAll(/'[^']*'/g, "''")
  return code.match(/[\p{L}_][\p{L}\p{N}_$]*/gu) ?? []
}

const dialect = new PgDialect()
