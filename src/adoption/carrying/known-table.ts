import type { PgTable } from 'drizzle-orm/pg-core'

/** Rows for which `holds` is not true stay in the earlier table. */
export interface Condition {
  readonly holds: string
  /** What is said of the other rows, after their number. Nothing is said of them where it is missing. */
  readonly otherwise?: string
  /** Whether such rows are a fault: they have to be mended, or left there by name. */
  readonly isFault?: boolean
}

/**
 * A table of an earlier platform, and where its rows go. In each text `s` is the row, and `{schema}` the schema of the earlier platform. Where
 * there are several texts, the first counts of which the earlier platform has all columns and tables: it was built in several ways.
 */
export interface KnownTable {
  /** Its name in the earlier platform. */
  readonly from: string
  readonly to: PgTable
  /** Joins to what the values need beside the row. */
  readonly joins?: string
  readonly conditions?: readonly (Condition & { readonly instead?: readonly string[] })[]
  /** The values of our columns, by their names in SQL. Any other column gets that of the same name, or else its default. */
  readonly values: Readonly<Record<string, string | readonly string[]>>
  /** Our sealed columns, with the earlier columns that hold the secrets in clear. */
  readonly sealed?: Readonly<Record<string, string>>
  /** The columns by which a row of ours is the same, where it is not the primary key. */
  readonly identity?: readonly string[]
  /** A condition on other rows `o` that have to be carried again when row `{row}` changes. */
  readonly siblings?: readonly string[]
}

/** The project of a row, with its organization. */
export const inProject = 'join {schema}.projects p on p.id = s.project_id'
