import { getTableColumns } from 'drizzle-orm'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'

/**
 * The owner of a table's rows. `tenant`: one organization. `control`: one organization, small and rarely written (a reference table
 * on Citus). `user`: one person. `catalog`: no owner, read-only to the application. `global`: none of these.
 */
export type TableKind = 'tenant' | 'control' | 'user' | 'catalog' | 'global'

/** The facts about a table that the checks, the grants, the proof, the export and Citus use. */
export interface TableFacts {
  readonly kind: TableKind
  /**
   * It was there before, and `tenantry adopt` brought it under organizations: its ids, defaults and names may be others than those of new
   * tables. What isolates its rows may not.
   */
  readonly adopted?: boolean
  /** Its writes are recorded in the audit log, in the same transaction. */
  readonly audited?: boolean
  /**
   * The resource in the permissions of its repositories, `<resource>:read` and `<resource>:write`, where it is not the name of the
   * table. A repository may name another one.
   */
  readonly permission?: string
  /** Rows are inserted and read, never changed. */
  readonly appendOnly?: boolean
  /** The only columns, by SQL name, that change once a row is written. Such a table has no `updated_at`. */
  readonly changes?: readonly string[]
  /** Partitioned by month on this column. */
  readonly partitionedBy?: string
  /** Rows outlive the rows that they name, so the table has no foreign keys. */
  readonly outlives?: boolean
  /** `..._id` columns, by SQL name, that are not foreign keys, because the row outlives the row that they name. */
  readonly loose?: readonly string[]
  /** Columns, by SQL name, that default reads leave out: hashes of secrets. */
  readonly hidden?: readonly string[]
  /** Columns, by SQL name, with personal data. The audit log says only that they were changed. */
  readonly personal?: readonly string[]
  /** Its rows are projects: whoever has a role in one of them may read it without rights in the whole organization. */
  readonly isProject?: boolean
  /** Unique keys across owners. Only the system writes their columns, so that nobody learns from a conflict what another one has. */
  readonly systemKeys?: readonly string[]
  /** Indexes for searches across organizations, which therefore do not begin with the organization. */
  readonly sweeps?: readonly string[]
}

const facts = new WeakMap<PgTable, TableFacts>()
const auditedNames = new Set<string>()

/** Declares a table's kind. Called once, directly below the table. */
export function declareTable(table: PgTable, what: TableFacts): void {
  assertColumns(table, what)
  if (Object.hasOwn(what, 'audited') && what.audited === true) {
    const { schema = 'public', name } = getTableConfig(table)
    auditedNames.add(`${schema}.${name}`).add(name)
  }
  // Without a prototype, so that an undeclared option is not inherited.
  facts.set(table, Object.assign(Object.create(null) as object, what))
}

const columnLists = ['hidden', 'personal'] as const

/** A name that is no column would hide nothing. Throws TypeError. */
function assertColumns(table: PgTable, what: TableFacts): void {
  const columns = Object.entries(getTableColumns(table))
  for (const list of columnLists) {
    for (const name of (Object.hasOwn(what, list) ? what[list] : undefined) ?? []) {
      if (columns.some(([, column]) => column.name === name)) continue
      const meant = columns.find(([property]) => property === name)?.[1].name
      const hint = meant === undefined ? 'name columns as in SQL' : `name columns as in SQL: ${meant}`
      throw new TypeError(`declareTable(${getTableConfig(table).name}): ${list}: there is no column ${name}; ${hint}`)
    }
  }
}

/** Undefined for a table that was never declared: the checks then report it. */
export const factsOf = (table: PgTable): TableFacts | undefined => facts.get(table)

/** Whether a table of this name is audited. Without a schema the search path decides, so any table of that name counts. */
export const isAuditedName = ({
  schema,
  name,
}: {
  readonly schema: string | undefined
  readonly name: string
}): boolean => auditedNames.has(schema === undefined ? name : `${schema}.${name}`)

/** Whether `tenantry partitions` serves the table: it has a partition for each month. */
export const isPartitioned = (table: PgTable): boolean => factsOf(table)?.partitionedBy !== undefined

/** The columns that identify a row and its owner never change. */
export const fixedColumns: readonly string[] = ['org_id', 'id', 'user_id', 'created_at']

/** In an adopted table `user_id` and `created_at` may be ordinary columns. */
export const fixedWhereAdopted: readonly string[] = ['org_id', 'id']

/** The columns, by SQL name, that the application may change where the table is not an exception: none of the primary key. */
export function changeableColumns(table: PgTable): string[] {
  const facts = factsOf(table)
  if (facts?.appendOnly === true) return []
  const fixed = facts?.adopted === true ? fixedWhereAdopted : fixedColumns
  const { primaryKeys } = getTableConfig(table)
  const inPrimaryKey = new Set(primaryKeys.flatMap((key) => key.columns.map((column) => column.name)))
  return Object.values(getTableColumns(table))
    .filter((column) => !fixed.includes(column.name) && !inPrimaryKey.has(column.name))
    .filter((column) => !column.primary && column.generated === undefined)
    .map((column) => column.name)
}
