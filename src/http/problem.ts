import { STATUS_CODES } from 'node:http'
import {
  type ErrorStatus,
  ForbiddenError,
  InsufficientCreditError,
  type InputFault,
  InvalidInputError,
  PlanLimitError,
  RateLimitedError,
  RetryableError,
  TenantryError,
  UnauthorizedError,
} from '../core/errors.js'
import { readOptions } from '../core/values.js'
import { rateLimitHeaders } from './rate-limit-headers.js'

/** What a client is told of an error: the body of an `application/problem+json` answer (RFC 9457). */
export interface Problem {
  readonly type: string
  /** The same for every problem of this status. */
  readonly title: string
  readonly status: ErrorStatus
  /** Left out from status 500 on: those messages are for the log. */
  readonly detail?: string
  readonly instance?: string
  /** The `code` of the error, or `internal` for an error that is not of this library. */
  readonly code: string
  /** The refused field, where it is one. */
  readonly field?: string
  /** Every fault of an input that was refused. */
  readonly faults?: readonly InputFault[]
  /** The permission that is missing, where it is one. */
  readonly permission?: string
  /** In seconds. */
  readonly retryAfter?: number
  /** The limit of the plan that the write would exceed, such as `max_members`. */
  readonly limitName?: string
  /** What the plan allows, and what is in use. */
  readonly limit?: number
  readonly current?: number
  /** The credit that is missing: its currency, and how much was needed and is left, as decimals. */
  readonly currency?: string
  readonly needed?: string
  readonly available?: string
}

/** An answer for any framework. `body` is to be sent as JSON, under the content type that `headers` has. */
export interface ProblemAnswer {
  readonly status: ErrorStatus
  readonly headers: Record<string, string>
  readonly body: Problem
}

export interface ProblemOptions {
  /** Identifies this occurrence in the answer and in your log, such as the id of the request. */
  readonly instance?: string | undefined
  /** `type` is this url followed by the code, such as `https://acme.example/problems/`. Default: `about:blank`. */
  readonly types?: string | undefined
  /** Receives every error that is answered with a status from 500 on, for your log: the answer says nothing about its cause. */
  readonly onUnexpected?: ((error: unknown, problem: Problem) => void) | undefined
}

/** The answer that tells a client of an error. An error that is not of this library is a 500 without its message. */
export function problemOf(error: unknown, options?: ProblemOptions): ProblemAnswer {
  const { instance, types, onUnexpected } = readOptions(options, [
    'instance',
    'types',
    'onUnexpected',
  ]) as ProblemOptions
  const known = error instanceof TenantryError ? error : undefined
  const status = known?.status ?? 500
  const { code, message } = known?.toJSON() ?? { code: 'internal', message: undefined }
  const retryAfter = retryAfterOf(error)
  const body: Problem = {
    type: types === undefined ? 'about:blank' : types + code,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    ...(message !== undefined && status < 500 && { detail: message }),
    ...(instance !== undefined && { instance }),
    code,
    ...factsOf(error),
    ...(retryAfter !== undefined && { retryAfter }),
  }
  if (status >= 500) onUnexpected?.(error, body)
  return { status, headers: headersOf(error, retryAfter), body }
}

type Facts = 'field' | 'faults' | 'permission' | 'limitName' | 'limit' | 'current' | 'currency' | 'needed' | 'available'

function factsOf(error: unknown): Pick<Problem, Facts> {
  if (error instanceof InvalidInputError) {
    const { faults } = error
    const [{ field } = { field: '' }, second] = faults
    return second === undefined && field !== '' ? { field, faults } : { faults }
  }
  if (error instanceof ForbiddenError && error.permission !== undefined) return { permission: error.permission }
  if (error instanceof PlanLimitError) {
    const { limitName, limit, current } = error
    return { limitName, limit, current }
  }
  if (error instanceof InsufficientCreditError) {
    const { currency, needed, available } = error
    return { currency, needed, available }
  }
  return {}
}

/** Undefined where it is not known, and for CommitUnknownError: what it failed to confirm must not simply be repeated. */
function retryAfterOf(error: unknown): number | undefined {
  if (error instanceof RateLimitedError) return error.retryAfter
  return error instanceof RetryableError ? 1 : undefined
}

function headersOf(error: unknown, retryAfter: number | undefined): Record<string, string> {
  // Shared caches keep a 404 for a while by default, also one that depends on a cookie.
  const headers: Record<string, string> = { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store' }
  if (error instanceof UnauthorizedError) headers['WWW-Authenticate'] = 'Bearer'
  if (retryAfter !== undefined) headers['Retry-After'] = String(retryAfter)
  if (error instanceof RateLimitedError && error.limit !== undefined) {
    Object.assign(headers, rateLimitHeaders({ limit: error.limit, remaining: 0, resetAfter: error.retryAfter }))
  }
  return headers
}
