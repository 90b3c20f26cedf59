import type { PgTable } from 'drizzle-orm/pg-core'

/**
 * A table of an earlier platform, and where its rows go. In each text `s` is the row, and `{schema}` the schema of the earlier platform. Where
 * there are several texts for a column, the first counts of which the earlier table has all columns: the platform was built in several ways.
 */
export interface KnownTable {
  /** Its name in the earlier platform. */
  readonly from: string
  readonly to: PgTable
  /** Joins to what the values need beside the row. */
  readonly joins?: string
  /** Rows for which this does not hold stay where they are. */
  readonly where?: { readonly holds: string; readonly otherwise: string }
  /** The values of our columns, by their names in SQL. Any other column gets that of the same name, or else its default. */
  readonly values: Readonly<Record<string, string | readonly string[]>>
  /** Our sealed columns, with the earlier columns that hold the secrets in clear. */
  readonly sealed?: Readonly<Record<string, string>>
}

/** The project of a row, with its organization. */
export const inProject = 'join {schema}.projects p on p.id = s.project_id'

/** The instant of a number of seconds, or of a column that is an instant already. */
export const instantOf = (column: string): string =>
  `case when pg_catalog.pg_typeof(s.${column})::text in ('bigint', 'integer', 'numeric', 'double precision')
    then pg_catalog.to_timestamp(s.${column}::text::double precision) else s.${column}::text::timestamptz end`
