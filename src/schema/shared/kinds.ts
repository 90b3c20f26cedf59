import type { PgTable } from 'drizzle-orm/pg-core'

/**
 * Who a table's rows belong to. `tenant`: one organization. `control`: one organization, small and rarely written (a reference
 * table on Citus). `user`: one person. `catalog`: everybody, read-only to the application. `global`: none of these.
 */
export type TableKind = 'tenant' | 'control' | 'user' | 'catalog' | 'global'

/** What a table is to the checks, the grants, the proof, the export and Citus. */
export interface TableFacts {
  readonly kind: TableKind
  /** Its writes belong into the audit log, in the same transaction. */
  readonly audited?: boolean
  /** Rows are inserted and read, never changed. */
  readonly appendOnly?: boolean
  /** The only columns, by SQL name, that change once a row is written. Such a table has no `updated_at`. */
  readonly changes?: readonly string[]
  /** Partitioned by month on this column. */
  readonly partitionedBy?: string
  /** Rows outlive what they speak of, so nothing here is a foreign key. */
  readonly outlives?: boolean
  /** `..._id` columns, by SQL name, that are no foreign keys because the row outlives what they name. */
  readonly loose?: readonly string[]
  /** Indexes that serve a search across organizations, so that they do not begin with the organization. */
  readonly sweeps?: readonly string[]
}

const facts = new WeakMap<PgTable, TableFacts>()

/** Declares a table's kind. Stands right below the table, once. */
export function declareTable(table: PgTable, what: TableFacts): void {
  // Without a prototype: what is not declared must not be inherited.
  facts.set(table, Object.assign(Object.create(null) as object, what))
}

/** Undefined for a table that was never declared: the checks then say so. */
export const factsOf = (table: PgTable): TableFacts | undefined => facts.get(table)
