import { aborted } from '../core/abort.js'
import { CommitUnknownError, type TenantryError, UnavailableError } from '../core/errors.js'
import type { Call } from '../core/executor.js'
import type { Pipeline } from './pipeline.js'
import { withDebug } from './error-debug.js'
import { type DriverError, type FactsLookup, leavesCommitOpen, refusal, wrongNumberOfValues } from './sqlstate.js'

interface Circumstances {
  readonly lookup: FactsLookup | undefined
  readonly signal: AbortSignal | undefined
  /** Whether errors say what the server said. */
  readonly debug: boolean
  /** The number of steps before which nothing can have been committed. Undefined when the pipeline does not commit. */
  readonly commitsAfter?: number
  readonly mayWrite?: () => boolean
}

/** The error of a failed pipeline; undefined when it succeeded. */
export function failureOf(pipeline: Pipeline, circumstances: Circumstances): TenantryError | undefined {
  const { error, status, done } = pipeline
  const { lookup, signal, debug, commitsAfter = Infinity, mayWrite } = circumstances
  const mayBeWritten = (): boolean => pipeline.sent && commitsAfter !== Infinity && mayWrite?.() !== false
  if (!pipeline.isUnderstood) return mayBeWritten() ? new CommitUnknownError() : misunderstood()
  if (error !== undefined && (status !== undefined || done < commitsAfter)) {
    if (error.code === '57014' && signal?.aborted) return aborted()
    const refused = pipeline.steps[done]
    const isOpen = done >= commitsAfter && mayBeWritten() && leavesCommitOpen(error)
    const failure = isOpen
      ? new CommitUnknownError()
      : ((refused && (provoked(error, refused) ?? wrongNumberOfValues(error, refused))) ?? refusal(error, lookup))
    return debug ? withDebug(failure, error, refused?.statement.text) : failure
  }
  if (status !== undefined) return undefined
  if (mayBeWritten()) return new CommitUnknownError()
  return signal?.aborted ? aborted() : new UnavailableError('the connection to the database was lost')
}

/** The error that the statement has for this refusal. */
const provoked = ({ code }: DriverError, { statement }: Call): TenantryError | undefined =>
  Object.hasOwn(statement, 'refusal') ? statement.refusal?.(code) : undefined

const misunderstood = (): UnavailableError =>
  new UnavailableError('the database sent an answer that does not fit this call; the connection was ended')

const shared = new WeakSet<object>()

/** Notes that the error is about no single call: those that are sent beside it would fail too. */
export function ofAll<Failure extends TenantryError>(error: Failure): Failure {
  shared.add(error)
  return error
}

export const concernsAll = (error: unknown): boolean => typeof error === 'object' && error !== null && shared.has(error)
