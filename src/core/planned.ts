import type { Call, Result } from './executor.js'

/** A call of a repository before it is sent: its statements, and how the result is made from their answer. */
export interface Planned<T> {
  /** Sent before the call, in the same round trip: locks, reservations, references to be emptied. Their results are ignored. */
  readonly before: readonly Call[]
  readonly call: Call
  /**
   * Sent only when the call returned no row and changed none, as one more round trip: the query that tells why, or the call once more
   * where a row may have come between.
   */
  readonly diagnose: Call | undefined
  /** Makes the result. Throws the typed error when there is no row. */
  readonly read: (result: Result, diagnosis: Result | undefined) => T
  /** Plans it again after a refusal because the data key that it sealed with was rotated meanwhile. */
  readonly again?: () => Unplanned<T>
}

/** A call that cannot be planned without the answer to another query, such as that for the key of a sealed column. */
export interface Unplanned<T> {
  /** Undefined where the answer is known. */
  readonly ask: Call | undefined
  readonly plan: (answer: Result | undefined) => Promise<Planned<T>>
}

export type Plan<T> = Planned<T> | Promise<Planned<T>> | Unplanned<T>

export const isPlanned = <T>(plan: Plan<T>): plan is Planned<T> => Object.hasOwn(plan, 'read')
export const isUnplanned = <T>(plan: Plan<T>): plan is Unplanned<T> => Object.hasOwn(plan, 'ask')

const none: readonly Call[] = []

export const planned = <T>(
  call: Call,
  read: Planned<T>['read'],
  diagnose?: Call,
  before: readonly Call[] = none,
): Planned<T> => ({ before, call, diagnose, read })
