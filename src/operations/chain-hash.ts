import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Query } from '../core/query.js'
import type { ChainKey, ChainKeys } from '../core/scope.js'
import type { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import type { AuditSeal } from '../schema/audit-logs.js'

/**
 * The columns that a hash covers, as text that no setting of a session changes. A column that is added later has to be left out while
 * it is null, so that older hashes stay valid.
 */
const columns = [
  '"id"::text',
  'extract(epoch from "created_at")::text',
  '"project_id"::text',
  '"actor_kind"::text',
  '"actor_id"::text',
  '"actor_label"::text',
  '"on_behalf_of"::text',
  '"event_type"::text',
  '"action"::text',
  '"resource_type"::text',
  '"resource_id"::text',
  '"changes"::text',
  '"metadata"::text',
  '"severity"::text',
  '"ip_address"::text',
  '"user_agent"::text',
  '"request_id"::text',
]

/**
 * The SHA-256 of an entry, computed by the server, so that sealing and verifying take 32 bytes of an entry whatever its size. The
 * length stands before each value, so that no value can pass for the beginning of the next. Every function is named with its schema and
 * every literal has a type: otherwise an overload in `public` could fit a call better than that of Postgres, and hash something else.
 */
export const contentHash = `pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat(${columns
  .map((column) => `coalesce(pg_catalog.octet_length(${column})::text || ':'::text || ${column}, '-'::text)`)
  .join(', ')}), 'UTF8'::name))`

/** A number in a chain, and the hash of the entry that has it. */
export interface Link {
  readonly seq: number
  readonly hash: Uint8Array
}

export interface Sealable {
  readonly orgId: string
  readonly seq: number
  /** The hash of the entry before it. Empty for the first one. */
  readonly previous: Uint8Array
  readonly content: Uint8Array
}

const version = 'tenantry audit entry 1'

/** The length of the key's id, the id, and the HMAC-SHA256 of the entry and the hash before it. */
export function sealOf({ id, secret }: ChainKey, { orgId, seq, previous, content }: Sealable): Buffer {
  const hmac = createHmac('sha256', secret)
  for (const part of [version, orgId, String(seq), previous, content]) {
    const bytes = Buffer.from(part)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hmac.update(length).update(bytes)
  }
  return Buffer.concat([keyName({ id }), hmac.digest()])
}

/** The beginning of each hash that a key makes. */
export function keyName({ id }: Pick<ChainKey, 'id'>): Buffer {
  const name = Buffer.from(id)
  return Buffer.concat([Buffer.from([name.length]), name])
}

/** The key that a hash names. Undefined where the keyring does not have it. */
export function keyOf({ keys }: ChainKeys, hash: Uint8Array): ChainKey | undefined {
  const id = keyIdOf(hash)
  return keys.find((key) => key.id === id)
}

/** The id of the key that a hash names. Undefined where that is not the id of a key: whoever forges a hash may write anything there. */
export function keyIdOf(hash: Uint8Array): string | undefined {
  const id = Buffer.from(hash.subarray(1, 1 + (hash[0] ?? 0))).toString()
  return /^[A-Za-z0-9_-]{1,16}$/.test(id) ? id : undefined
}

export const isSame = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && timingSafeEqual(one, other)

export const noHash: Uint8Array = Buffer.alloc(0)

/** The head and the base of an organization's chain. */
export interface Seal {
  readonly head: Link
  /** The last of the entries that were dropped with their month. */
  readonly base: Link
}

/** Undefined for an organization of which nothing was ever sealed. */
export function readSeal(seals: ScopedTable<AuditSeal>): Query<Seal | undefined> {
  const statement = ownStatement(
    seals.plan,
    readSeal,
    'seal',
    false,
    ({ sql, visible }) => `select "seq", "hash", "base_seq", "base_hash" from ${sql} where ${visible}`,
  )
  return seals.run(
    statement,
    () => [],
    ({ rows: [row] }) => {
      if (row === undefined) return undefined
      const [seq, hash, baseSeq, baseHash] = row as [string, Uint8Array, string, Uint8Array | null]
      return { head: { seq: Number(seq), hash }, base: { seq: Number(baseSeq), hash: baseHash ?? noHash } }
    },
  )
}
