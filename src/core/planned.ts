import type { Call, Result } from './executor.js'

/** One method of a repository before it is sent: its statements, and how their answer becomes what the caller gets. */
export interface Planned<T> {
  /** Sent in front of the call, in the same round trip: locks, reservations, references to be emptied. Nobody reads their results. */
  readonly before: readonly Call[]
  readonly call: Call
  /** The query that tells why the call returned and changed no row. It costs a round trip of its own, and only then. */
  readonly diagnose: Call | undefined
  /** Throws the error that fits when there is no row to give. */
  readonly read: (result: Result, diagnosis: Result | undefined) => T
}

const none: readonly Call[] = []

export const planned = <T>(
  call: Call,
  read: Planned<T>['read'],
  diagnose?: Call,
  before: readonly Call[] = none,
): Planned<T> => ({ before, call, diagnose, read })
