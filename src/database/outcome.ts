import { aborted } from '../core/abort.js'
import { CommitUnknownError, QueryError, type TenantryError, UnavailableError } from '../core/errors.js'
import type { Pipeline } from './pipeline.js'
import { type FactsLookup, refusal, wrongNumberOfValues } from './sqlstate.js'

interface Circumstances {
  readonly lookup: FactsLookup | undefined
  readonly signal: AbortSignal | undefined
  /** With fewer steps done, nothing can have been committed. Undefined when the batch does not commit. */
  readonly commitsAfter?: number
  readonly mayWrite?: () => boolean
}

/** Why the batch failed; undefined when it went through. */
export function failureOf(batch: Pipeline, circumstances: Circumstances): TenantryError | undefined {
  const { error, status, done } = batch
  const { lookup, signal, commitsAfter = Infinity, mayWrite } = circumstances
  if (error !== undefined && (status !== undefined || done < commitsAfter)) {
    if (error.code === '57014' && signal?.aborted) return aborted()
    const refused = batch.steps[done]
    return (refused && wrongNumberOfValues(error, refused)) ?? refusal(error, lookup)
  }
  if (status === undefined) {
    if (batch.sent && commitsAfter !== Infinity && mayWrite?.() !== false) return new CommitUnknownError()
    return signal?.aborted ? aborted() : new UnavailableError('the connection to the database was lost')
  }
  const isUnderstood = batch.fault === undefined && done === batch.steps.length
  return isUnderstood ? undefined : new QueryError(undefined)
}
