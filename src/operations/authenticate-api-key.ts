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
}

/** One write: the key is looked up, its use is counted, and the moment is noted. */
export async function authenticateApiKey(executor: Executor, tokens: Tokens, token: unknown): Promise<AcceptedKey> {
  const read = tokens.readKey(token)
  if (read === undefined) throw new UnauthorizedError()
  const { orgId, hashes, pepperId } = read
  const calls = [
    { statement: find, values: [orgId, hashes] },
    { statement: count, values: [orgId, hashes] },
    { statement: note, values: [orgId, hashes, hashes[0], pepperId] },
  ]
  const [found, counted] = await executor.run({ kind: 'org', id: parseOrgId(orgId) }, calls).catch(refused)
  const [row] = found?.rows ?? []
  if (row === undefined) throw new UnauthorizedError()
  const [id, name, epoch, limit, permissions, projects, left, resetAt] = row as FoundKey
  const [use] = counted?.rows ?? []
  if (limit !== null && use === undefined) throw new RateLimitedError(left)
  const actor = makeActor({ kind: 'api_key', id, orgId, label: name, permissions, projects, epoch })
  const rateLimit =
    limit === null ? undefined : { limit, remaining: limit - (use?.[0] as number), resetAt: new Date(resetAt) }
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
]

/** An organization that cannot be entered, and a key that was removed meanwhile, are no other answer than an unknown key. */
function refused(error: unknown): never {
  if ([NotFoundError, OrganizationSuspendedError, BrokenReferenceError].some((one) => error instanceof one))
    throw new UnauthorizedError()
  throw error
}

// The end of the key, of its grace period and of its hour are compared with the clock of the database.
const hour = `date_bin('1 hour', statement_timestamp(), timestamptz '2000-01-01 00:00:00+00')`

/** `$2` are the hashes of the token under every pepper. */
const live = `from platform.api_keys k
  join platform.organization_members m on m.org_id = $1 and m.user_id = k.user_id
  where k.org_id = $1 and k.key_hash = any($2::bytea[]) and k.deleted_at is null and k.status = 'active'
    and (k.expires_at is null or k.expires_at > statement_timestamp())
    and (k.grace_until is null or k.grace_until > statement_timestamp())
    and m.status = 'active' and m.deleted_at is null and m.auth_epoch = k.auth_epoch`

/** The rights are the key's scopes that the member still holds through their role, or through their role in a project. */
const find = statement(
  `select k.id, k.name, k.auth_epoch, k.rate_limit_per_hour,
     array(
       select p.permission from platform.role_permissions p
       join platform.roles r on r.org_id = $1 and r.key = p.role_key and r.deleted_at is null and r.applies_to <> 'project'
       where p.org_id = $1 and p.role_key = m.role and p.permission = any(k.scopes)
     ),
     (
       select coalesce(jsonb_object_agg(g.project_id, g.permissions), '{}')
       from (
         select a.project_id, jsonb_agg(p.permission) as permissions
         from platform.project_members a
         join platform.roles r on r.org_id = $1 and r.key = a.role and r.deleted_at is null and r.applies_to <> 'organization'
         join platform.role_permissions p on p.org_id = $1 and p.role_key = a.role
         where a.org_id = $1 and a.user_id = k.user_id and p.permission = any(k.scopes)
         group by a.project_id
       ) g
     ),
     ceil(extract(epoch from ${hour} + interval '1 hour' - statement_timestamp()))::int,
     ${hour} + interval '1 hour'
   ${live}`,
  'read',
)

/** Nothing is counted for a key that is not live, has no limit, or has reached it. */
const count = statement(
  `insert into platform.api_key_windows as w (org_id, api_key_id, window_start, used, allowed)
   select $1, k.id, ${hour}, 1, k.rate_limit_per_hour ${live} and k.rate_limit_per_hour > 0
   on conflict (org_id, api_key_id, window_start) do update
     set used = w.used + 1, allowed = excluded.allowed, updated_at = statement_timestamp()
     where w.used < excluded.allowed
   returning w.used`,
  'change',
)

/** Once a minute at most. A key that was hashed under an older pepper is stored under the active one. */
const note = statement(
  `update platform.api_keys u set last_used_at = statement_timestamp(), key_hash = $3, pepper_id = $4
   from (select k.id ${live}) l
   where u.org_id = $1 and u.id = l.id
     and (u.last_used_at is null or u.last_used_at < statement_timestamp() - interval '1 minute' or u.pepper_id <> $4)`,
  'change',
)
