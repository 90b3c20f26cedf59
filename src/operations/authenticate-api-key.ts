import { type Actor, makeActor } from '../core/actor.js'
import {
  BrokenReferenceError,
  NotFoundError,
  OrganizationSuspendedError,
  RateLimitedError,
  UnauthorizedError,
} from '../core/errors.js'
import type { Executor } from '../core/executor.js'
import { parseOrgId } from '../core/ids.js'
import type { Tokens } from '../core/scope.js'
import { unguardedStatement } from '../core/statement.js'

/** A key that was accepted. */
export interface AcceptedKey {
  readonly orgId: string
  readonly actor: Actor
  readonly rateLimit: RateLimit | undefined
}

/** What is left of the key's hourly limit, for the RateLimit headers of the response. */
export interface RateLimit {
  readonly limit: number
  readonly remaining: number
  readonly resetAt: Date
  /** The seconds until then, by the clock of the database. */
  readonly resetAfter: number
}

/** In one round trip: finds the key, reads its rights, counts the use and, once a minute, sets `last_used_at`. */
export async function authenticateApiKey(
  executor: Executor,
  tokens: Tokens,
  token: unknown,
  signal: AbortSignal | undefined,
): Promise<AcceptedKey> {
  const read = tokens.readKey(token)
  if (read === undefined) throw new UnauthorizedError()
  const { orgId, hashes, pepperId } = read
  const calls = [{ statement: authenticate, values: [hashes, pepperId, orgId] }]
  const [found] = await executor.run({ kind: 'org', id: parseOrgId(orgId) }, calls, { signal }).catch(refused)
  const [row] = found?.rows ?? []
  if (row === undefined) throw new UnauthorizedError()
  const [id, name, epoch, limit, permissions, projects, left, resetAt, used, userId] = row as FoundKey
  if (limit !== null && used === null) throw new RateLimitedError(left, limit)
  const onBehalfOf = userId ?? undefined
  const actor = makeActor({ kind: 'api_key', id, orgId, label: name, onBehalfOf, permissions, projects, epoch })
  const rateLimit =
    limit === null
      ? undefined
      : { limit, remaining: limit - (used ?? limit), resetAt: new Date(resetAt), resetAfter: left }
  return { orgId, actor, rateLimit }
}

type FoundKey = [
  id: string,
  name: string,
  epoch: number,
  limit: number | null,
  permissions: string[],
  projects: Record<string, string[]>,
  left: number,
  resetAt: string,
  used: number | null,
  userId: string | null,
]

/** An organization that cannot be entered, and a key that was removed meanwhile, are no other answer than an unknown key. */
function refused(error: unknown): never {
  if ([NotFoundError, OrganizationSuspendedError, BrokenReferenceError].some((one) => error instanceof one))
    throw new UnauthorizedError()
  throw error
}

const authenticate = unguardedStatement(
  `select a.id, a.name, a.auth_epoch, a.allowed, a.permissions, a.projects, a.retry_after, a.reset_at, a.used, k.user_id
   from platform.authenticate_api_key($1, $2) a
   left join platform.api_keys k on k.org_id = $3 and k.id = a.id`,
  'change',
)
