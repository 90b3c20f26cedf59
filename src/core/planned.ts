import type { Call, Result } from './executor.js'

/** A call of a repository before it is sent: its statements, and how the result is made from their answer. */
export interface Planned<T> {
  /** Sent before the call, in the same round trip: locks, reservations, references to be emptied. Their results are ignored. */
  readonly before: readonly Call[]
  readonly call: Call
  /** The query that tells why the call returned and changed no row. It is sent only in that case, as one more round trip. */
  readonly diagnose: Call | undefined
  /** Makes the result. Throws the typed error when there is no row. */
  readonly read: (result: Result, diagnosis: Result | undefined) => T
}

const none: readonly Call[] = []

export const planned = <T>(
  call: Call,
  read: Planned<T>['read'],
  diagnose?: Call,
  before: readonly Call[] = none,
): Planned<T> => ({ before, call, diagnose, read })
