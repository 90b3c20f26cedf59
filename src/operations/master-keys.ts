import { DecryptError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import type { DataKeys, WrappedKey } from '../core/sealing.js'
import { statement } from '../core/statement.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { isLiveKey } from '../schema/api-keys.js'
import { isPendingInvitation } from '../schema/invitations.js'
import { type OrgKey, orgKeys } from '../schema/org-keys.js'
import { isLiveSession } from '../schema/sessions.js'
import { isRightKey, type KeysOfProcess } from './right-keys.js'
import { ask, type StoredKey } from './stored-keys.js'
import { operate, type SystemWork } from './system-operation.js'

/** What still needs a master key. Tokens that have ended, and keys that are revoked, need none. */
export interface MasterKeyNeeds {
  /** Data keys of organizations that it wraps. Without it their secrets are lost. */
  readonly dataKeys: number
  readonly apiKeys: number
  readonly sessions: number
  readonly invitations: number
  /** Entries of audit logs that were numbered under it. Without it they cannot be verified. */
  readonly auditEntries: number
}

interface CountedKey extends MasterKeyNeeds {
  readonly id: string
  /** When one of its API keys or sessions was used last. */
  readonly lastUsedAt: Date | null
}

export interface MasterKeyStatus extends CountedKey {
  /** Whether it wraps new data keys, or hashes new tokens and numbers new audit entries. */
  readonly isActive: boolean
  /** Whether this process has it. */
  readonly isKnown: boolean
  /**
   * Whether the key of this process is the one that this database was used with: it opens a data key, or, where there are fewer than two,
   * has made the hash of a sealed entry. Null where fewer than two rows were made under its id and none of them fits, or this process
   * does not have it.
   */
  readonly isRight: boolean | null
}

/** The id of the key: it stands in the hash of an entry, behind its length. */
const signer = `pg_catalog.encode(substring(a.hash from 2 for pg_catalog.get_byte(a.hash, 0)), 'escape')`

const findNeeds = statement(
  `select n.id, pg_catalog.sum(n.wrapped)::int, pg_catalog.sum(n.api_keys)::int, pg_catalog.sum(n.sessions)::int, pg_catalog.sum(n.invitations)::int,
     pg_catalog.sum(n.entries)::int, pg_catalog.max(n.used)
   from (
     select o.kek_id as id, count(*) as wrapped, 0 as api_keys, 0 as sessions, 0 as invitations, 0 as entries,
       null::timestamptz as used from platform.org_keys o where o.wrapped is not null group by 1
     union all
     select k.pepper_id, 0, count(*), 0, 0, 0, pg_catalog.max(k.last_used_at) from platform.api_keys k where ${isLiveKey('k')} group by 1
     union all
     select s.pepper_id, 0, 0, count(*), 0, 0, pg_catalog.max(s.last_activity_at) from platform.user_sessions s
     where ${isLiveSession('s')} group by 1
     union all
     select i.pepper_id, 0, 0, 0, count(*), 0, null from platform.organization_invitations i
     where ${isPendingInvitation('i')} group by 1
     union all
     select ${signer}, 0, 0, 0, 0, count(*), null from platform.audit_logs a
     where a.seq is not null and pg_catalog.length(a.hash) > 32 group by 1
   ) n where n.id is not null group by n.id order by n.id`,
  'read',
)

/** The ids of the keyring, which hashes tokens and numbers audit entries. The first one is active. */
const keyringIds = ({ chainKeys }: KeysOfProcess): readonly string[] => (chainKeys?.keys ?? []).map(({ id }) => id)

/** The one that wraps data keys, and the one that hashes tokens: the same, unless the host has a KeyProvider of its own. */
export const activeMasterKeys = (process: KeysOfProcess): readonly string[] => [
  process.dataKeys.provider.activeId,
  ...keyringIds(process).slice(0, 1),
]

const idsOf = (process: KeysOfProcess): readonly string[] => [
  ...new Set([...process.dataKeys.provider.ids, ...keyringIds(process)]),
]

/** What still needs each master key: those of this process, and those that rows name. */
export async function countNeeds(scope: Scope, process: KeysOfProcess): Promise<CountedKey[]> {
  const found = await ask(scope, findNeeds, [], ({ rows }) => rows.map(countedKey))
  const unused = idsOf(process)
    .filter((id) => !found.some((one) => one.id === id))
    .map((id) => countedKey([id, 0, 0, 0, 0, 0, null]))
  return [...found, ...unused].sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** What still needs each master key, and whether this process has it and it is right. */
export async function masterKeys(work: SystemWork): Promise<MasterKeyStatus[]> {
  const needs = await operate(work, 'keys.status', undefined, (scope) => countNeeds(scope, work))
  const activeIds = activeMasterKeys(work)
  const ids = idsOf(work)
  const all: MasterKeyStatus[] = []
  for (const one of needs) {
    const isRight = (await isRightKey(work.scopeAbout(undefined), work, one.id)) ?? null
    all.push({ ...one, isActive: activeIds.includes(one.id), isKnown: ids.includes(one.id), isRight })
  }
  return all
}

function countedKey(row: readonly unknown[]): CountedKey {
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

const batchSize = 100

/**
 * Wraps the next data keys again, those that another master key than the active one has wrapped, in the order of their ids. It stores those of
 * one organization after the other, because a cluster refuses to change several organizations in one statement. Returns the last key, or
 * undefined when there are no more. Keys that do not open are left.
 */
export async function rewrapBatch(
  { scopeAbout, dataKeys }: SystemWork,
  after: readonly [orgId: string, keyId: string],
  onKeys: (wrapped: number, left: number) => void,
): Promise<readonly [orgId: string, keyId: string] | undefined> {
  const { activeId } = dataKeys.provider
  const found = await ask(scopeAbout(undefined), findOthers, [...after, activeId, batchSize], ({ rows }) =>
    rows.map(([orgId, keyId, masterKeyId, wrapped]) => ({ orgId, keyId, masterKeyId, wrapped }) as StoredKey),
  )
  const fresh = (await Promise.all(found.map((key) => wrappedAgain(dataKeys, key)))).filter((key) => key !== undefined)
  onKeys(0, found.length - fresh.length)
  for (const orgId of new Set(fresh.map(({ before }) => before.orgId))) {
    const keys = fresh.filter(({ before }) => before.orgId === orgId)
    onKeys(await replaceWrapped(scopeAbout({ kind: 'org', id: orgId }), keys), 0)
  }
  const last = found.length < batchSize ? undefined : found.at(-1)
  return last === undefined ? undefined : [last.orgId, last.keyId]
}

interface RewrappedKey {
  readonly before: StoredKey
  readonly after: WrappedKey
}

async function wrappedAgain(dataKeys: DataKeys, key: StoredKey): Promise<RewrappedKey | undefined> {
  try {
    return { before: key, after: await dataKeys.rewrap(key, key) }
  } catch (error) {
    if (error instanceof DecryptError) return undefined
    throw error
  }
}

/** Keys of the scope's organization: only those that still are what was read. */
function replaceWrapped(scope: Scope, keys: readonly RewrappedKey[]): Query<number> {
  const rows = new ScopedTable<OrgKey>(scope, orgKeys)
  const replace = ownStatement(rows.plan, replaceWrapped, 'rewrap', true, ({ sql, visible }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set "kek_id" = given.fresh_kek, "wrapped" = given.fresh, "updated_at" = statement_timestamp()`,
    from: `unnest($2::uuid[], $3::bytea[], $4::text[], $5::bytea[]) as given(row_key, stale, fresh_kek, fresh)`,
    where: `${visible} and "id" = given.row_key and "wrapped" = given.stale`,
    returning: '',
  }))
  const values = () => [
    keys.map(({ before }) => before.keyId),
    keys.map(({ before }) => before.wrapped),
    keys.map(({ after }) => after.masterKeyId),
    keys.map(({ after }) => after.wrapped),
  ]
  return rows.run(replace, values, ({ rowCount }) => rowCount)
}

const others = `from platform.org_keys where wrapped is not null and kek_id <> `
export const countOthers = statement(`select count(*)::int ${others}$1`, 'read')
const findOthers = statement(
  `select org_id, id, kek_id, wrapped ${others}$3 and (org_id, id) > ($1::uuid, $2::uuid)
   order by org_id, id limit $4::int`,
  'read',
)
