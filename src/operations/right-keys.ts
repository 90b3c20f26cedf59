import { DecryptError, InvalidInputError, UnavailableError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { ChainKey, ChainKeys, Scope } from '../core/scope.js'
import type { DataKeys } from '../core/sealing.js'
import { statement } from '../core/statement.js'
import { contentHash, isSame, keyName, type Sealable, sealOf } from './chain-hash.js'
import { ask, type StoredKey } from './stored-keys.js'
import type { SystemWork } from './system-operation.js'

export type KeysOfProcess = Pick<SystemWork, 'dataKeys' | 'chainKeys' | 'hasKeyProvider'>

/** What a master key does: it wraps data keys, or hashes the entries of audit logs. */
type Use = 'wrap' | 'seal'

/** The keys that a process has shown to be right. They do not change while it runs. */
const known = new WeakMap<DataKeys, Set<string>>()

/** Throws for a wrong key. */
export async function assertRightKey(scope: Scope, keys: KeysOfProcess, use: Use, id: string): Promise<void> {
  if (await isWrongKey(scope, keys, use, id)) throw wrongKey(keys, use, id)
}

/**
 * Whether a master key has the id of one that this database was used with, and another secret: what is wrapped or sealed with it would
 * be lost.
 */
export async function isWrongKey(scope: Scope, keys: KeysOfProcess, use: Use, id: string): Promise<boolean> {
  const name = `${use} ${id}`
  if (known.get(keys.dataKeys)?.has(name) === true) return false
  const isRight = verdict(await findingsOf(scope, keys, use, id))
  if (isRight === true) known.set(keys.dataKeys, (known.get(keys.dataKeys) ?? new Set()).add(name))
  return isRight === false
}

export const wrongKey = (keys: KeysOfProcess, use: Use, id: string): InvalidInputError =>
  new InvalidInputError(
    use === 'wrap' && keys.hasKeyProvider ? 'keyProvider' : 'TENANTRY_KEYS',
    `the key ${id} is not the one that this database was used with`,
  )

/** Whether the key is right for all that it does: false where it fails one of its uses, undefined where there is too little to compare. */
export async function isRightKey(scope: Scope, keys: KeysOfProcess, id: string): Promise<boolean | undefined> {
  const wraps = verdict(await findingsOf(scope, keys, 'wrap', id))
  if (!keys.hasKeyProvider || wraps === false) return wraps
  return verdict(await findingsOf(scope, keys, 'seal', id)) ?? wraps
}

/** One row that fits is enough, and one that does not is too few: it may be damaged, or somebody has tampered with it. */
function verdict(findings: readonly boolean[]): boolean | undefined {
  if (findings.includes(true)) return true
  return findings.length < 2 ? undefined : false
}

/**
 * For some rows that were made under the id, whether the key fits them. To seal, a data key that opens or a hash that fits is enough. To
 * wrap, hashes count only where fewer than two data keys were tried.
 */
async function findingsOf(scope: Scope, keys: KeysOfProcess, use: Use, id: string): Promise<boolean[]> {
  const opened = use === 'wrap' || !keys.hasKeyProvider ? await opensDataKeys(scope, keys, id) : []
  if (opened.includes(true) || (use === 'wrap' && (keys.hasKeyProvider || opened.length > 1))) return opened
  return [...opened, ...(await madeHashes(scope, keys.chainKeys, id))]
}

/** Ends with the first that opens. A keyring opens them in memory, up to a hundred; a key service is asked over the network, five times. */
async function opensDataKeys(
  scope: Scope,
  { dataKeys, hasKeyProvider }: KeysOfProcess,
  id: string,
): Promise<boolean[]> {
  if (!dataKeys.provider.ids.includes(id)) return []
  const wrapped = await ask(scope, findWrapped, [id, hasKeyProvider ? 5 : 100], ({ rows }) =>
    rows.map(([orgId, keyId, bytes]) => ({ orgId, keyId, masterKeyId: id, wrapped: bytes }) as StoredKey),
  )
  const findings: boolean[] = []
  for (const key of wrapped) {
    try {
      await dataKeys.unwrap(key, key)
      return [true]
    } catch (error) {
      // A key service that does not answer says nothing about its key.
      if (error instanceof UnavailableError) return []
      if (!(error instanceof DecryptError)) throw error
      findings.push(false)
    }
  }
  return findings
}

async function madeHashes(scope: Scope, chainKeys: ChainKeys | undefined, id: string): Promise<boolean[]> {
  const key = chainKeys?.keys.find((one) => one.id === id)
  if (key === undefined) return []
  return (await lastSealed(scope, key)).map((entry) => isSame(entry.hash, sealOf(key, entry)))
}

interface SealedEntry extends Sealable {
  readonly hash: Uint8Array
}

const lastSealed = (scope: Scope, key: ChainKey): Query<SealedEntry[]> =>
  ask(scope, findLastSealed, [keyName(key)], ({ rows }) =>
    rows.map((row) => {
      const [orgId, seq, hash, previous, content] = row as [string, string, Uint8Array, Uint8Array, Uint8Array]
      return { orgId, seq: Number(seq), hash, previous, content }
    }),
  )

const findWrapped = statement(
  `select org_id, id, wrapped from platform.org_keys where wrapped is not null and kek_id = $1::text limit $2::bigint`,
  'read',
)

const isUnder = (hash: string) => `pg_catalog.substring(${hash}, 1, pg_catalog.octet_length($1::bytea)) = $1::bytea`

/** The last three entries of the three chains that were sealed last. */
const findLastSealed = statement(
  `select s.org_id, a.seq, a.hash, a.previous, a.content
   from (select org_id, seq from platform.audit_seals
     where seq > base_seq and ${isUnder('hash')} order by updated_at desc limit 3) s
   cross join lateral (select "seq", "hash", coalesce("prev_hash", ''::bytea) as previous, ${contentHash} as content
     from platform.audit_logs where "org_id" = s.org_id and "seq" between s.seq - 2 and s.seq and ${isUnder('"hash"')}) a`,
  'read',
)
