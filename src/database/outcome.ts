import { aborted } from '../core/abort.js'
import { CommitUnknownError, type TenantryError, UnavailableError } from '../core/errors.js'
import type { Pipeline } from './pipeline.js'
import { withDebug } from './error-debug.js'
import { type FactsLookup, refusal, wrongNumberOfValues } from './sqlstate.js'

interface Circumstances {
  readonly lookup: FactsLookup | undefined
  readonly signal: AbortSignal | undefined
  /** Whether errors say what the server said. */
  readonly debug: boolean
  /** With fewer steps done, nothing can have been committed. Undefined when the batch does not commit. */
  readonly commitsAfter?: number
  readonly mayWrite?: () => boolean
}

/** Why the batch failed; undefined when it went through. */
export function failureOf(batch: Pipeline, circumstances: Circumstances): TenantryError | undefined {
  const { error, status, done } = batch
  const { lookup, signal, debug, commitsAfter = Infinity, mayWrite } = circumstances
  const mayBeWritten = (): boolean => batch.sent && commitsAfter !== Infinity && mayWrite?.() !== false
  if (!batch.isUnderstood) return mayBeWritten() ? new CommitUnknownError() : misunderstood()
  if (error !== undefined && (status !== undefined || done < commitsAfter)) {
    if (error.code === '57014' && signal?.aborted) return aborted()
    const refused = batch.steps[done]
    const failure = (refused && wrongNumberOfValues(error, refused)) ?? refusal(error, lookup)
    return debug ? withDebug(failure, error, refused?.statement.text) : failure
  }
  if (status !== undefined) return undefined
  if (mayBeWritten()) return new CommitUnknownError()
  return signal?.aborted ? aborted() : new UnavailableError('the connection to the database was lost')
}

const misunderstood = (): UnavailableError =>
  new UnavailableError('the database sent something else than the answer to this call; the connection was ended')
