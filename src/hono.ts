import type { Context, ErrorHandler, MiddlewareHandler, Next } from 'hono'
import type { Actor } from './core/actor.js'
import { InvalidInputError, NoActiveOrganizationError, TimeoutError, UnauthorizedError } from './core/errors.js'
import { readOptions } from './core/values.js'
import { type Problem, problemOf, type ProblemOptions } from './http/problem.js'
import { rateLimitHeaders } from './http/rate-limit-headers.js'
import { checkedCookie, type IncomingRequest, readRequest, readRequestId } from './http/read-request.js'
import type { SessionFacts } from './operations/authenticate-session.js'
import type { Org } from './org.js'
import type { Authenticated, OrgOptions, Tenancy } from './tenancy.js'
import type { User } from './user.js'

export interface AuthenticationOptions {
  /** The name of the cookie that holds a session token. Default: the header `Authorization: Bearer` alone is read. */
  readonly cookie?: string | undefined
  /** The address of the client, for the log, such as `(c) => getConnInfo(c).remote.address`. `X-Forwarded-For` is not read. */
  readonly ip?: ((c: Context) => string | undefined) | undefined
}

/** The variables behind `authenticated`. `user` and `session` are undefined for an API key. */
export interface AuthenticatedEnv {
  Variables: {
    org: Org
    actor: Actor
    user: User | undefined
    session: SessionFacts | undefined
    requestId: string
  }
}

/** The variables behind `signedIn`. `org` and `actor` are undefined while the session has no active organization. */
export interface SignedInEnv {
  Variables: {
    user: User
    session: SessionFacts
    org: Org | undefined
    actor: Actor | undefined
    requestId: string
  }
}

/** The variables behind `anyone`. All but the id of the request are undefined for a request without credentials. */
export interface AnyoneEnv {
  Variables: {
    org: Org | undefined
    actor: Actor | undefined
    user: User | undefined
    session: SessionFacts | undefined
    requestId: string
  }
}

/**
 * Accepts an API key, or a session with an active organization. `c.var.org` is that organization's scope; its actor is the key or the
 * person. Throws UnauthorizedError, NoActiveOrganizationError and RateLimitedError.
 */
export function authenticated(tenancy: Tenancy, options?: AuthenticationOptions): MiddlewareHandler<AuthenticatedEnv> {
  const authenticate = authenticator(tenancy, options)
  return async (c, next) => {
    const { found } = await authenticate(c, (token, given) => tenancy.authenticate(token, given))
    if (found === undefined) throw new UnauthorizedError()
    if (found.org === undefined) throw new NoActiveOrganizationError()
    await proceed(c, next, found)
  }
}

/**
 * Lets people through, with or without an active organization: for choosing one, and for their own profile and sessions. An API key is
 * no person: it throws UnauthorizedError without a query.
 */
export function signedIn(tenancy: Tenancy, options?: AuthenticationOptions): MiddlewareHandler<SignedInEnv> {
  const authenticate = authenticator(tenancy, options)
  return async (c, next) => {
    const { found } = await authenticate(c, async (token, given) => ({
      ...(await tenancy.authenticateSession(token, given)),
      rateLimit: undefined,
    }))
    if (found?.user === undefined) throw new UnauthorizedError()
    await proceed(c, next, found)
  }
}

/**
 * For public routes: lets every request through, except one with a bearer token that is not accepted (UnauthorizedError) or with a key
 * over its hourly limit (RateLimitedError). A cookie that is not accepted counts as none, because browsers keep those of sessions that
 * have ended.
 */
export function anyone(tenancy: Tenancy, options?: AuthenticationOptions): MiddlewareHandler<AnyoneEnv> {
  const authenticate = authenticator(tenancy, options)
  return async (c, next) => {
    const { found } = await authenticate(c, (token, given, { isFromCookie }) =>
      tenancy.authenticate(token, given).catch((error: unknown) => {
        if (isFromCookie && error instanceof UnauthorizedError) return undefined
        throw error
      }),
    )
    await proceed(c, next, found)
  }
}

export interface ProblemsOptions extends Pick<ProblemOptions, 'types'> {
  /**
   * Receives every error that is answered with a status from 500 on. Default: `console.error`, as Hono does. Left out are calls that
   * ended because the client went away.
   */
  readonly onUnexpected?: ((error: unknown, problem: Problem, c: Context) => void) | undefined
}

/** For `app.onError`: answers errors with `application/problem+json`. Hono's own HTTPException keeps its own response. */
export function problems(options?: ProblemsOptions): ErrorHandler {
  const { types, onUnexpected = report } = readOptions(options, ['types', 'onUnexpected']) as ProblemsOptions
  return (error, c) => {
    if ('getResponse' in error) {
      const response = error.getResponse()
      return c.newResponse(response.body, response)
    }
    const hasLeft = error instanceof TimeoutError && c.req.raw.signal.aborted
    const { status, headers, body } = problemOf(error, {
      types,
      instance: readRequestId(c.req.raw.headers, requestIdOf(c)),
      onUnexpected: hasLeft
        ? undefined
        : (unexpected, problem) => {
            onUnexpected(unexpected, problem, c)
          },
    })
    return c.body(JSON.stringify(body), status, headers)
  }
}

function report(error: unknown): void {
  // oxlint-disable-next-line no-console -- without an error handler, Hono prints the error too
  console.error(error)
}

/** The result of authenticating one token in one request. */
interface Authentication {
  readonly tenancy: Tenancy
  readonly token: string | undefined
  readonly found: Authenticated | undefined
}

type Authenticate = (
  token: string,
  options: Pick<OrgOptions, 'request' | 'signal'>,
  incoming: IncomingRequest,
) => Promise<Authenticated | undefined>

/** Two of these in a row, such as `anyone` before `authenticated`, authenticate once: a key counts each use. */
const authentications = new WeakMap<Context, Authentication>()

function authenticator(tenancy: Tenancy, options: AuthenticationOptions | undefined) {
  const { cookie, ip } = readOptions(options, ['cookie', 'ip']) as AuthenticationOptions
  if (cookie !== undefined) checkedCookie(cookie)
  if (ip !== undefined && typeof ip !== 'function') {
    throw new InvalidInputError('ip', 'must be a function, such as `(c) => getConnInfo(c).remote.address`')
  }
  return async (c: Context, authenticate: Authenticate): Promise<Authentication> => {
    const incoming = readRequest(c.req.raw.headers, { cookie, ip: ip?.(c), id: requestIdOf(c) })
    const { token, request } = incoming
    c.set('requestId', request.id)
    const before = authentications.get(c)
    if (before?.tenancy === tenancy && before.token === token) return before
    const given = { request, signal: c.req.raw.signal }
    const found = token === undefined ? undefined : await authenticate(token, given, incoming)
    const now = { tenancy, token, found }
    authentications.set(c, now)
    return now
  }
}

/** That of hono/request-id, or of one of these before. */
function requestIdOf(c: Context): string | undefined {
  const id: unknown = c.get('requestId')
  return typeof id === 'string' ? id : undefined
}

async function proceed(c: Context, next: Next, found: Authenticated | undefined): Promise<void> {
  for (const name of ['org', 'actor', 'user', 'session'] as const) c.set(name, found?.[name])
  await next()
  for (const [name, value] of Object.entries(rateLimitHeaders(found?.rateLimit))) c.header(name, value)
}
