import type { z } from 'zod'
import type { OwnStatement } from './statements/statement-cache.js'
import type { Call } from './executor.js'
import type { Guard } from './statements/guard.js'
import type { UpdateOptions } from './statements/update-options.js'
import type { TablePlan } from './statements/table-plan.js'
import type { Values } from './values.js'

export interface ManagedValues {
  /** Values that the library sets. */
  readonly managed?: Values | undefined
}

export interface InsertOptions extends ManagedValues {
  /** The name of a unique key: a row that has it already is returned, unchanged, instead of a second one. */
  readonly existing?: string | undefined
  /** The domain's word for it in the audit log. Default: `create`. */
  readonly event?: string | undefined
}

export interface PutOptions extends ManagedValues {
  /** A state that an existing row must be in to be changed. Its `when` is over the row as it is and `excluded`, the given one. */
  readonly guard?: Guard | undefined
  /** The domain's word for it in the audit log. Default: `put`. */
  readonly event?: string | undefined
}

export interface RestoreOptions {
  /** Calls that reserve room for what comes back with the row, in front of the change. */
  readonly reserves?: ((id: string) => readonly Call[]) | undefined
}

export interface UpdateRowOptions {
  /** The caller's options. */
  readonly options?: UpdateOptions | undefined
  /** Values that the library sets. */
  readonly managed?: Values | undefined
  /** A state that the row must be in. */
  readonly guard?: Guard | undefined
  /** The domain's word for it in the audit log. Default: `update`. */
  readonly event?: string | undefined
}

export interface RevealOptions {
  /** The permission to ask for. Default: `<resource>:reveal`. */
  readonly permission?: string | undefined
}

/** The query that tells why a statement of a repository's own returned no row and changed none. It is sent only in that case. */
export interface Why {
  readonly statement: OwnStatement
  /** How many of the statement's values it takes, from the first. */
  readonly takes: number
}

/** A schema whose fields are all columns of the row. Sealed columns are not: a row that is put has no id to seal them for. */
export type PutSchema<Row, Schema extends z.ZodType> = [Exclude<keyof z.output<Schema>, keyof Row>] extends [never]
  ? Schema
  : never

/** What one use of a table differs in. */
export interface TableUse {
  /** The resource in permissions where the table's options have none. */
  readonly permission?: string | undefined
  /** `planOfAllOwners(table)` in a scope of the system. */
  readonly plan?: TablePlan | undefined
  /** The project that the rows belong to: the rights of a role in it count too. */
  readonly project?: string | undefined
}
