import { DecryptError, InvalidInputError, UnavailableError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { ChainKey, Scope } from '../core/scope.js'
import type { DataKeys, WrappedKey } from '../core/sealing.js'
import { statement } from '../core/statement.js'
import { contentHash, isSame, keyName, type Sealable, sealOf } from './chain-hash.js'
import { ask } from './stored-keys.js'
import type { SystemWork } from './system-operation.js'

type KeysOfProcess = Pick<SystemWork, 'dataKeys' | 'chainKeys'>

/** The keys that a process has shown to be right. They do not change while it runs. */
const known = new WeakMap<DataKeys, Set<string>>()

/**
 * Throws for a master key that has the id of one that this database was used with, and another secret: what is wrapped or sealed with
 * it would be lost. Nothing can be compared where that id has neither wrapped a data key nor sealed an entry.
 */
export async function assertRightKey(scope: Scope, keys: KeysOfProcess, id: string): Promise<void> {
  if (known.get(keys.dataKeys)?.has(id) === true) return
  const isRight = await isRightKey(scope, keys, id)
  if (isRight === false) {
    const from = chainKeyOf(keys, id) === undefined ? 'keyProvider' : 'TENANTRY_KEYS'
    throw new InvalidInputError(from, `the key ${id} is not the one that this database was used with`)
  }
  if (isRight === true) known.set(keys.dataKeys, (known.get(keys.dataKeys) ?? new Set()).add(id))
}

/**
 * Whether the master key opens a data key that its id has wrapped; where there is none, whether it made the hash of an entry at the head
 * of a chain. Of three one is enough, because a row may have been tampered with. Undefined where there is nothing to compare.
 */
export async function isRightKey(scope: Scope, keys: KeysOfProcess, id: string): Promise<boolean | undefined> {
  return (await opensDataKey(scope, keys.dataKeys, id)) ?? (await hasSealed(scope, chainKeyOf(keys, id)))
}

const chainKeyOf = ({ chainKeys }: KeysOfProcess, id: string): ChainKey | undefined =>
  chainKeys?.keys.find((key) => key.id === id)

async function opensDataKey(scope: Scope, dataKeys: DataKeys, id: string): Promise<boolean | undefined> {
  if (!dataKeys.provider.ids.includes(id)) return undefined
  const wrapped = await ask(scope, findWrapped, [id], ({ rows }) =>
    rows.map(([orgId, keyId, bytes]) => ({ orgId, keyId, masterKeyId: id, wrapped: bytes }) as StoredKey),
  )
  for (const key of wrapped) {
    try {
      await dataKeys.unwrap(key, key)
      return true
    } catch (error) {
      // A key service that does not answer says nothing about its key.
      if (error instanceof UnavailableError) return undefined
      if (!(error instanceof DecryptError)) throw error
    }
  }
  return wrapped.length === 0 ? undefined : false
}

interface StoredKey extends WrappedKey {
  readonly orgId: string
  readonly keyId: string
}

async function hasSealed(scope: Scope, key: ChainKey | undefined): Promise<boolean | undefined> {
  if (key === undefined) return undefined
  const heads = await headsUnder(scope, key)
  return heads.length === 0 ? undefined : heads.some((head) => isSame(head.hash, sealOf(key, head)))
}

interface SealedHead extends Sealable {
  readonly hash: Uint8Array
}

const headsUnder = (scope: Scope, key: ChainKey): Query<SealedHead[]> =>
  ask(scope, findHeads, [keyName(key)], ({ rows }) =>
    rows.map((row) => {
      const [orgId, seq, hash, previous, content] = row as [string, string, Uint8Array, Uint8Array, Uint8Array]
      return { orgId, seq: Number(seq), hash, previous, content }
    }),
  )

const findWrapped = statement(
  `select org_id, id, wrapped from platform.org_keys where wrapped is not null and kek_id = $1::text limit 3`,
  'read',
)

const findHeads = statement(
  `select s.org_id, a.seq, a.hash, a.previous, a.content
   from (select org_id, seq from platform.audit_seals
     where seq > base_seq and pg_catalog.substring(hash, 1, pg_catalog.octet_length($1::bytea)) = $1::bytea
     order by updated_at desc limit 3) s
   cross join lateral (select "seq", "hash", coalesce("prev_hash", ''::bytea) as previous, ${contentHash} as content
     from platform.audit_logs where "org_id" = s.org_id and "seq" = s.seq limit 1) a`,
  'read',
)
