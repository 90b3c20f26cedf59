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
import { statement } from '../core/statement.js'

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

/** One write: the key is looked up, its use is counted, and the moment is noted. */
export async function authenticateApiKey(
  executor: Executor,
  tokens: Tokens,
  token: unknown,
  signal: AbortSignal | undefined,
): Promise<AcceptedKey> {
  const read = tokens.readKey(token)
  if (read === undefined) throw new UnauthorizedError()
  const { orgId, hashes, pepperId } = read
  const calls = [{ statement: authenticate, values: [orgId, hashes, hashes[0], pepperId] }]
  const [found] = await executor.run({ kind: 'org', id: parseOrgId(orgId) }, calls, { signal }).catch(refused)
  const [row] = found?.rows ?? []
  if (row === undefined) throw new UnauthorizedError()
  const [id, name, epoch, limit, permissions, projects, left, resetAt, used] = row as FoundKey
  if (limit !== null && used === null) throw new RateLimitedError(left, limit)
  const actor = makeActor({ kind: 'api_key', id, orgId, label: name, permissions, projects, epoch })
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
]

/** An organization that cannot be entered, and a key that was removed meanwhile, are no other answer than an unknown key. */
function refused(error: unknown): never {
  if ([NotFoundError, OrganizationSuspendedError, BrokenReferenceError].some((one) => error instanceof one))
    throw new UnauthorizedError()
  throw error
}

// The end of the key, of its grace period and of its hour are compared with the clock of the database.
const hour = `date_bin('1 hour', statement_timestamp(), timestamptz '2000-01-01 00:00:00+00')`

/**
 * One statement, so that the key is looked up once. `$2` are the hashes of the token under every pepper. The use is counted, unless the
 * key has no limit or has reached it. The moment is noted once a minute at most, and a key that was hashed under an older pepper is
 * stored under the active one. The rights are the key's scopes that the member still holds through their role, or through their role in
 * a project.
 */
const authenticate = statement(
  `with live as materialized (
     select k.id, k.user_id, k.name, k.scopes, k.auth_epoch, k.rate_limit_per_hour, k.last_used_at, k.pepper_id, m.role
     from platform.api_keys k
     join platform.organization_members m on m.org_id = $1 and m.user_id = k.user_id
     where k.org_id = $1 and k.key_hash = any($2::bytea[]) and k.deleted_at is null and k.status = 'active'
       and (k.expires_at is null or k.expires_at > statement_timestamp())
       and (k.grace_until is null or k.grace_until > statement_timestamp())
       and m.status = 'active' and m.deleted_at is null and m.auth_epoch = k.auth_epoch
   ), counted as (
     insert into platform.api_key_windows as w (org_id, api_key_id, window_start, used, allowed)
     select $1, live.id, ${hour}, 1, live.rate_limit_per_hour from live where live.rate_limit_per_hour > 0
     on conflict (org_id, api_key_id, window_start) do update
       set used = w.used + 1, allowed = excluded.allowed, updated_at = excluded.updated_at
       where w.used < excluded.allowed
     returning w.used
   ), noted as (
     update platform.api_keys u set last_used_at = statement_timestamp(), key_hash = $3, pepper_id = $4
     from live
     where u.org_id = $1 and u.id = live.id
       and (live.last_used_at is null or live.last_used_at < statement_timestamp() - interval '1 minute' or live.pepper_id <> $4)
   )
   select live.id, live.name, live.auth_epoch, live.rate_limit_per_hour,
     array(
       select p.permission from platform.role_permissions p
       join platform.roles r on r.org_id = $1 and r.key = p.role_key and r.deleted_at is null and r.applies_to <> 'project'
       where p.org_id = $1 and p.role_key = live.role and p.permission = any(live.scopes)
     ),
     (
       select coalesce(jsonb_object_agg(g.project_id, g.permissions), '{}')
       from (
         select a.project_id, jsonb_agg(p.permission) as permissions
         from platform.project_members a
         join platform.roles r on r.org_id = $1 and r.key = a.role and r.deleted_at is null and r.applies_to <> 'organization'
         join platform.role_permissions p on p.org_id = $1 and p.role_key = a.role
         where a.org_id = $1 and a.user_id = live.user_id and p.permission = any(live.scopes)
         group by a.project_id
       ) g
     ),
     ceil(extract(epoch from ${hour} + interval '1 hour' - statement_timestamp()))::int,
     ${hour} + interval '1 hour',
     (select counted.used from counted)
   from live`,
  'change',
)
