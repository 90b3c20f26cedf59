import type { Definition } from './definition.js'

/** One convention. It checks one table, and returns each fault with its mend. */
export interface Rule {
  readonly name: string
  /** The reason for the convention. */
  readonly reason: string
  /** A convention for tables that are made with tenantry: one that was adopted keeps its ids, defaults, names and actions. */
  readonly sparesAdopted?: boolean
  check(table: Definition): Iterable<Fault>
}

export interface Fault {
  readonly message: string
  /** The column, key, check or policy at fault. Undefined where the table itself is. */
  readonly object?: string
}

/** A fault with its table and its rule. */
export interface Finding extends Fault {
  readonly rule: string
  /** With its Postgres schema. */
  readonly table: string
}
