import type { PgTable } from 'drizzle-orm/pg-core'
import { InvalidInputError } from './errors.js'
import type { Call } from './executor.js'
import type { Values } from './values.js'

/** A change of an audited table, as the audit log names it. */
export interface Change {
  /** What was done, in the domain's own word: `agents.activate`. */
  readonly event: string
  readonly action: 'create' | 'update' | 'delete' | 'restore'
  readonly resource: string
  /** Undefined where the call does not name one row. */
  readonly id: string | undefined
}

/**
 * The checks and additions of every scope: permissions, audit entries, plan limits, sealed columns. The core only calls them;
 * whoever makes a scope provides them. For now every scope has `trusted`.
 */
export interface Rules {
  /** Throws ForbiddenError when the actor lacks the permission. `on` is the id of the row, where the call names one. */
  authorize(permission: string, on: string | undefined): void
  /** Returns the same change with its audit entry in the same statement. The statement returns the same rows. */
  audit(change: Change, call: Call): Call
  /** Calls to send in front of an insert, in the same round trip. They fail when the limit leaves no room for `rows` more. */
  reserve(limit: string, rows: number): readonly Call[]
  /** Encrypts the values of sealed columns for the row with that id. */
  seal(table: PgTable, rowId: string, values: Values): Promise<Values>
}

const nothing: readonly Call[] = []

/** Everything is allowed, nothing is counted or recorded, and nothing can be sealed. */
export const trusted: Rules = {
  authorize: () => undefined,
  audit: (_change, call) => call,
  reserve: () => nothing,
  seal: () =>
    Promise.reject(
      new InvalidInputError('', 'a column of this table is sealed, and there are no keys to seal it with'),
    ),
}
