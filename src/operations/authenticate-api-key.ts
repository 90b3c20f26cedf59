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
import { acceptedRights } from './accepted-rights.js'

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
  const calls = [{ statement: accept, values: [hashes, pepperId] }]
  const [found] = await executor.run({ kind: 'org', id: parseOrgId(orgId) }, calls, { signal }).catch(refused)
  const text = found?.rows[0]?.[0] as string | null | undefined
  if (text === null || text === undefined) throw new UnauthorizedError()
  const [id, userId, epoch, permissions = '', projects, limit, used, resetAt = '', left, ...name] = text.split('\n')
  if (limit !== '' && used === '') throw new RateLimitedError(Number(left), Number(limit))
  const actor = makeActor({
    kind: 'api_key',
    id,
    onBehalfOf: userId,
    orgId,
    label: name.join('\n'),
    epoch: Number(epoch),
    ...acceptedRights(permissions, projects),
  })
  const rateLimit =
    limit === ''
      ? undefined
      : {
          limit: Number(limit),
          remaining: Number(limit) - Number(used),
          resetAt: new Date(resetAt),
          resetAfter: Number(left),
        }
  return { orgId, actor, rateLimit }
}

/** An organization that cannot be entered, and a key that was removed meanwhile, are no other answer than an unknown key. */
function refused(error: unknown): never {
  if ([NotFoundError, OrganizationSuspendedError, BrokenReferenceError].some((one) => error instanceof one))
    throw new UnauthorizedError()
  throw error
}

const accept = unguardedStatement('select platform.accept_api_key($1, $2)', 'change')
