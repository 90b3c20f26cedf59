import type { Definition } from './definition.js'

/** One convention. It looks at one table, and says what is wrong there and what to do about it. */
export interface Rule {
  readonly name: string
  /** Why there is such a convention. */
  readonly reason: string
  check(table: Definition): Iterable<Fault>
}

export interface Fault {
  readonly message: string
  /** The column, key, check or policy that is wrong. None where the table itself is. */
  readonly object?: string
}

/** A fault, where it was found and by which rule. */
export interface Finding extends Fault {
  readonly rule: string
  /** With its Postgres schema. */
  readonly table: string
}
