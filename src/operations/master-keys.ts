import { DefinitionError, InvalidInputError } from '../core/errors.js'
import type { Scope } from '../core/scope.js'
import type { WrappedKey } from '../core/sealing.js'
import { statement } from '../core/statement.js'
import { ask } from './stored-keys.js'
import { operate, type SystemWork } from './system-operation.js'

/** What still needs a master key. Tokens that have ended, and keys that are revoked, need none. */
export interface MasterKeyNeeds {
  /** Data keys of organizations that it wraps. Without it their secrets are lost. */
  readonly dataKeys: number
  readonly apiKeys: number
  readonly sessions: number
  readonly invitations: number
  /** Entries of audit logs that it signed. Without it they cannot be verified. */
  readonly auditEntries: number
}

export interface MasterKeyStatus extends MasterKeyNeeds {
  readonly id: string
  /** Whether it wraps what is new. */
  readonly isActive: boolean
  /** Whether this process has it. */
  readonly isKnown: boolean
  /** When one of its API keys or sessions was used last. */
  readonly lastUsedAt: Date | null
}

/** What `retire` ended. */
export interface RetiredMasterKey {
  readonly id: string
  readonly apiKeys: readonly { readonly orgId: string; readonly id: string; readonly name: string }[]
  readonly sessions: number
  readonly invitations: number
  /** Entries of audit logs that cannot be verified without it. */
  readonly auditEntries: number
}

const isLiveKey = `k.status = 'active' and k.revoked_at is null and k.deleted_at is null
  and (k.expires_at is null or k.expires_at > statement_timestamp())`
const isLiveSession = `s.revoked_at is null and s.expires_at > statement_timestamp()`
const isLiveInvitation = `i.accepted_at is null and i.declined_at is null and i.revoked_at is null
  and i.expires_at > statement_timestamp()`

/** The id of the key in front of the 32 bytes of a signature. */
const signer = `substring(encode(substring(a.hash from 1 for length(a.hash) - 32), 'escape') from '^[A-Za-z0-9_-]+')`

const findNeeds = statement(
  `select n.id, sum(n.wrapped)::int, sum(n.api_keys)::int, sum(n.sessions)::int, sum(n.invitations)::int,
     sum(n.entries)::int, max(n.used)
   from (
     select o.kek_id as id, count(*) as wrapped, 0 as api_keys, 0 as sessions, 0 as invitations, 0 as entries,
       null::timestamptz as used from platform.org_keys o where o.wrapped is not null group by 1
     union all
     select k.pepper_id, 0, count(*), 0, 0, 0, max(k.last_used_at) from platform.api_keys k where ${isLiveKey} group by 1
     union all
     select s.pepper_id, 0, 0, count(*), 0, 0, max(s.last_activity_at) from platform.user_sessions s
     where ${isLiveSession} group by 1
     union all
     select i.pepper_id, 0, 0, 0, count(*), 0, null from platform.organization_invitations i
     where ${isLiveInvitation} group by 1
     union all
     select ${signer}, 0, 0, 0, 0, count(*), null from platform.audit_logs a
     where a.seq is not null and length(a.hash) > 32 group by 1
   ) n where n.id is not null group by n.id order by n.id`,
  'read',
)

/** What still needs each master key: those of this process, and those that rows name. */
export async function masterKeys({ scopeAbout, dataKeys }: Pick<SystemWork, 'scopeAbout' | 'dataKeys'>) {
  const { activeId, ids } = dataKeys.provider
  const found = await ask(scopeAbout(undefined), findNeeds, [], ({ rows }) => rows.map(statusOf))
  const unused = ids
    .filter((id) => !found.some((one) => one.id === id))
    .map((id) => statusOf([id, 0, 0, 0, 0, 0, null]))
  return [...found, ...unused]
    .map((one): MasterKeyStatus => ({ ...one, isActive: one.id === activeId, isKnown: ids.includes(one.id) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

function statusOf(row: readonly unknown[]): Omit<MasterKeyStatus, 'isActive' | 'isKnown'> {
  const [id, dataKeys, apiKeys, sessions, invitations, auditEntries, used] = row as [
    string,
    number,
    number,
    number,
    number,
    number,
    string | null,
  ]
  const lastUsedAt = used === null ? null : new Date(used)
  return { id, dataKeys, apiKeys, sessions, invitations, auditEntries, lastUsedAt }
}

/** Ends what was hashed under a master key. Throws unless nothing needs it, or `dropKeys` is set. */
export async function retireMasterKey(work: SystemWork, id: string, dropKeys: boolean): Promise<RetiredMasterKey> {
  if (id === work.dataKeys.provider.activeId)
    throw new InvalidInputError('id', `${id} is the active master key: put another one in front of it first`)
  const needs = (await masterKeys(work)).find((one) => one.id === id)
  if (needs === undefined) throw new InvalidInputError('id', `there is no master key ${id}`)
  if (needs.dataKeys > 0)
    throw new DefinitionError(
      `${needs.dataKeys} data keys are wrapped by ${id}, and their secrets would be lost: run \`tenantry keys rotate --master\` first`,
    )
  const { apiKeys, sessions, invitations, auditEntries } = needs
  if (apiKeys + sessions + invitations + auditEntries > 0 && !dropKeys)
    throw new DefinitionError(
      `${id} is still needed by ${apiKeys} API keys, ${sessions} sessions, ${invitations} invitations and ${auditEntries} entries of audit logs: wait until they have ended, or end them with --drop-keys`,
    )
  return operate(
    work,
    'keys.retire',
    undefined,
    async (scope) => {
      const dropped = await ask(scope, dropApiKeys, [id], ({ rows }) =>
        rows.map(([orgId, key, name]) => ({ orgId: orgId as string, id: key as string, name: name as string })),
      )
      const counted = {
        sessions: await drop(scope, dropSessions, id),
        invitations: await drop(scope, dropInvitations, id),
      }
      return { id, apiKeys: dropped, ...counted, auditEntries }
    },
    { metadata: (retired) => ({ ...retired, apiKeys: retired.apiKeys.length }) },
  )
}

const drop = (scope: Scope, text: ReturnType<typeof statement>, id: string) =>
  ask(scope, text, [id], ({ rowCount }) => rowCount)

const now = 'statement_timestamp()'
const dropApiKeys = statement(
  `update platform.api_keys k set status = 'revoked', revoked_at = ${now}, updated_at = ${now}
   where k.pepper_id = $1 and ${isLiveKey} returning k.org_id, k.id, k.name`,
  'change',
)
const dropSessions = statement(
  `update platform.user_sessions s set revoked_at = ${now}, revoked_reason = 'master key retired', updated_at = ${now}
   where s.pepper_id = $1 and ${isLiveSession}`,
  'change',
)
const dropInvitations = statement(
  `update platform.organization_invitations i set revoked_at = ${now}, updated_at = ${now}
   where i.pepper_id = $1 and ${isLiveInvitation}`,
  'change',
)

interface StoredKey extends WrappedKey {
  readonly orgId: string
  readonly keyId: string
}

const batchSize = 100

/**
 * Wraps the next data keys again, those that another master key than the active one has wrapped, in the order of their ids. Returns the
 * last one, or undefined when there are no more.
 */
export async function rewrapBatch(
  { scopeAbout, dataKeys }: SystemWork,
  after: readonly [orgId: string, keyId: string],
): Promise<{ keys: number; last: readonly [string, string] | undefined }> {
  const scope = scopeAbout(undefined)
  const { activeId } = dataKeys.provider
  const found = await ask(scope, findOthers, [...after, activeId, batchSize], ({ rows }) =>
    rows.map(([orgId, keyId, masterKeyId, wrapped]) => ({ orgId, keyId, masterKeyId, wrapped }) as StoredKey),
  )
  const fresh = await Promise.all(found.map((key) => dataKeys.rewrap(key, key)))
  const columns = [
    found.map(({ orgId }) => orgId),
    found.map(({ keyId }) => keyId),
    found.map(({ wrapped }) => wrapped),
    fresh.map(({ masterKeyId }) => masterKeyId),
    fresh.map(({ wrapped }) => wrapped),
  ]
  const keys = found.length === 0 ? 0 : await ask(scope, replaceWrapped, columns, ({ rowCount }) => rowCount)
  const last = found.length < batchSize ? undefined : found.at(-1)
  return { keys, last: last === undefined ? undefined : [last.orgId, last.keyId] }
}

const others = `from platform.org_keys where wrapped is not null and kek_id <> `
export const countOthers = statement(`select count(*)::int ${others}$1`, 'read')
const findOthers = statement(
  `select org_id, id, kek_id, wrapped ${others}$3 and (org_id, id) > ($1::uuid, $2::uuid)
   order by org_id, id limit $4::int`,
  'read',
)
/** Only if it still is what was read. */
const replaceWrapped = statement(
  `update platform.org_keys k set kek_id = given.kek_id, wrapped = given.fresh, updated_at = statement_timestamp()
   from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::bytea[]) as given(org_id, key_id, stale, kek_id, fresh)
   where k.org_id = given.org_id and k.id = given.key_id and k.wrapped = given.stale`,
  'change',
)
