import { type Actor, makeActor } from '../core/actor.js'
import { UnauthorizedError } from '../core/errors.js'
import type { Executor } from '../core/executor.js'
import { newId } from '../core/ids.js'
import type { Tokens } from '../core/scope.js'
import type { RequestContext } from '../core/request-context.js'
import { statement, unguardedStatement } from '../core/statement.js'
import { isLivePerson } from '../schema/users.js'
import { acceptedRights } from './accepted-rights.js'
import type { SessionPolicy } from './session-policy.js'

/** A session that was accepted. */
export interface AcceptedSession {
  readonly userId: string
  readonly session: SessionFacts
  /** The person in their active organization. Undefined when none is chosen, or they may not act there any more. */
  readonly actor: Actor | undefined
}

export interface SessionFacts {
  readonly id: string
  /** The end, which use does not extend. */
  readonly expiresAt: Date
}

/** The tokens of a session. Both are replaced by each refresh. */
export interface IssuedSession {
  readonly session: SessionFacts
  /** For the requests: `tenancy.authenticateSession(token)`. */
  readonly token: string
  /** For `tenancy.refreshSession(refreshToken)` alone. */
  readonly refreshToken: string
}

/** What authentication works with. */
export interface SessionWork {
  readonly executor: Executor
  readonly tokens: Tokens
  readonly policy: SessionPolicy
}

/** In one round trip: checks the session and its person, reads their rights and notes the use. */
export async function authenticateSession(
  { executor, tokens, policy }: SessionWork,
  token: unknown,
  signal: AbortSignal | undefined,
): Promise<AcceptedSession> {
  const read = tokens.readSession(token)
  if (read === undefined) throw new UnauthorizedError()
  const { userId, sessionId, hashes } = read
  const calls = [{ statement: accept, values: [sessionId, hashes, `${policy.maxIdle} seconds`] }]
  const [found] = await executor.run({ kind: 'user', id: userId }, calls, { signal })
  const text = found?.rows[0]?.[0] as string | null | undefined
  if (text === null || text === undefined) throw new UnauthorizedError()
  const [expiresAt = '', orgId, epoch, permissions = '', projects] = text.split('\n')
  const actor =
    orgId === undefined
      ? undefined
      : makeActor({ kind: 'user', id: userId, orgId, epoch: Number(epoch), ...acceptedRights(permissions, projects) })
  return { userId, session: { id: sessionId, expiresAt: new Date(expiresAt) }, actor }
}

/**
 * Replaces both tokens of the session. An authentic refresh token of an older generation is one that was used twice: it ends the
 * session and is noted in the person's log. Throws UnauthorizedError.
 */
export async function refreshSession(
  { executor, tokens, policy }: SessionWork,
  refreshToken: unknown,
  request: RequestContext | undefined,
): Promise<IssuedSession> {
  const read = tokens.readRefresh(refreshToken)
  if (read === undefined) throw new UnauthorizedError()
  const { userId, sessionId, generation, hashes } = read
  // Another instance may have another active key while the keys are replaced, and may have made the successor under that one.
  const successors = tokens.makeSession(userId, sessionId, generation + 1)
  const [{ tokenHash, refreshHash, pepperId }] = successors
  const successorHashes = successors.map((one) => one.refreshHash)
  const session = [userId, sessionId, generation]
  const [rotated, , same] = await executor.run({ kind: 'user', id: userId }, [
    { statement: rotate, values: [...session, hashes, tokenHash, refreshHash, pepperId, policy.maxIdle] },
    {
      statement: endReused,
      values: [
        ...session,
        successorHashes,
        policy.refreshGrace,
        newId(),
        request?.ip ?? null,
        request?.userAgent ?? null,
      ],
    },
    { statement: sameSuccessor, values: [...session, successorHashes] },
  ])
  const [row] = [...(rotated?.rows ?? []), ...(same?.rows ?? [])]
  if (row === undefined) throw new UnauthorizedError()
  const [expiresAt, stored] = row as [string, string]
  const successor = successors.find((one) => Buffer.from(one.refreshHash).toString('hex') === stored)
  if (successor === undefined) throw new UnauthorizedError()
  return {
    session: { id: sessionId, expiresAt: new Date(expiresAt) },
    token: successor.token,
    refreshToken: successor.refreshToken,
  }
}

// Every moment is compared with the clock of the database, at the statement: a transaction may have begun before the end.
const live = `s.user_id = $1 and s.id = $2 and s.revoked_at is null
  and s.expires_at > statement_timestamp() and s.idle_expires_at > statement_timestamp()`

const person = `u.id = $1 and ${isLivePerson('u')}`

const accept = unguardedStatement('select platform.accept_session($1, $2, $3)', 'change')

/**
 * `rotated_at` is the start of the transaction, by which the next statement knows its own rotation. The person is in a sub-select that is not
 * pulled up: with EXISTS, the generic plan of a cluster asks every shard.
 */
const rotate = statement(
  `update platform.user_sessions s
   set generation = s.generation + 1, token_hash = $5, refresh_hash = $6, pepper_id = $7, rotated_at = now(),
     last_activity_at = statement_timestamp(), updated_at = statement_timestamp(),
     idle_expires_at = least(s.expires_at, statement_timestamp() + $8 * interval '1 second')
   from (select u.id from platform.users u where ${person} offset 0) person
   where ${live} and s.generation = $3 and s.refresh_hash = any($4::bytea[])
   returning s.expires_at, pg_catalog.encode(s.refresh_hash, 'hex'::text)`,
  'change',
)

const endReused = statement(
  `with ended as (
     update platform.user_sessions s
     set revoked_at = statement_timestamp(), revoked_reason = 'refresh_reused', updated_at = statement_timestamp()
     where ${live} and s.generation > $3
       and not (
         s.generation = $3 + 1 and s.refresh_hash = any($4::bytea[])
         and (s.rotated_at = now() or s.rotated_at > statement_timestamp() - $5 * interval '1 second')
       )
     returning s.id
   )
   insert into platform.user_audit_logs (user_id, id, event_type, session_id, ip_address, user_agent)
   select $1, $6, 'session.refresh_reused', ended.id, $7, $8 from ended returning 1`,
  'change',
)

const sameSuccessor = statement(
  `select s.expires_at, pg_catalog.encode(s.refresh_hash, 'hex'::text) from platform.user_sessions s join platform.users u on ${person}
   where ${live} and s.generation = $3 + 1 and s.refresh_hash = any($4::bytea[])`,
  'read',
)
