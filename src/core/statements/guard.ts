import type { TenantryError } from '../errors.js'

/** A state that the row must be in to be changed. */
export interface Guard {
  /** A predicate over the row as it is, such as `"status" = 'queued'`. In a put, with the table's name before each column. */
  readonly when: string
  /** The error for a row in another state. It gets the values that `ask` selected. */
  readonly refuse: (found: readonly unknown[]) => TenantryError
  /** The columns for `refuse`, as SQL. */
  readonly ask: string
}
