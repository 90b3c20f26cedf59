import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { DecryptError } from '../core/errors.js'
import type { DataKey, SealedPlace } from '../core/sealing.js'

// 0x01 | algorithm | key id (16) | nonce (12) | ciphertext | tag (16)
const version = 0x01
const aes256Gcm = 0x01
const cipher = 'aes-256-gcm'
const headerBytes = 18
const nonceBytes = 12
const tagBytes = 16
const keyBytes = 32
const noSalt = new Uint8Array(0)

/** Encrypts a text for one cell: the ciphertext opens in no other organization, column or row. */
export function seal(key: DataKey, place: SealedPlace, text: string): Uint8Array {
  const header = Buffer.concat([Buffer.of(version, aes256Gcm), idBytes(key.id)])
  const nonce = randomBytes(nonceBytes)
  const encryption = createCipheriv(cipher, columnKey(key, place), nonce, { authTagLength: tagBytes })
  encryption.setAAD(authenticated(header, place))
  const body = [encryption.update(text, 'utf8'), encryption.final()]
  return Buffer.concat([header, nonce, ...body, encryption.getAuthTag()])
}

/**
 * The text of a ciphertext. Throws DecryptError for one that was changed, cut, moved from another cell, or made under another key. No
 * other key is tried, and nothing of the text is used before all of it is verified.
 */
export function open(key: DataKey, place: SealedPlace, sealed: Uint8Array): string {
  if (keyIdOf(sealed) !== key.id) throw new DecryptError()
  const tagAt = sealed.length - tagBytes
  const header = sealed.subarray(0, headerBytes)
  const nonce = sealed.subarray(headerBytes, headerBytes + nonceBytes)
  const decryption = createDecipheriv(cipher, columnKey(key, place), nonce, { authTagLength: tagBytes })
  decryption.setAAD(authenticated(header, place))
  decryption.setAuthTag(sealed.subarray(tagAt))
  const body = decryption.update(sealed.subarray(headerBytes + nonceBytes, tagAt))
  try {
    return Buffer.concat([body, decryption.final()]).toString('utf8')
  } catch {
    throw new DecryptError()
  } finally {
    body.fill(0)
  }
}

/** The id of the data key that a ciphertext names. Throws DecryptError for what is none of this version. */
export function keyIdOf(sealed: unknown): string {
  if (!(sealed instanceof Uint8Array) || sealed.length < headerBytes + nonceBytes + tagBytes) throw new DecryptError()
  if (sealed[0] !== version || sealed[1] !== aes256Gcm) throw new DecryptError()
  const hex = Buffer.from(sealed.subarray(2, headerBytes)).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

export const newDataKey = (id: string): DataKey => dataKeyOf(id, randomBytes(keyBytes))

/** Throws DecryptError for a key of another length. The secret is not enumerable, so that no logger prints it. */
export function dataKeyOf(id: string, secret: Uint8Array): DataKey {
  if (secret.length !== keyBytes) throw new DecryptError()
  return Object.defineProperty({ id }, 'secret', { value: secret }) as DataKey
}

/** Deriving takes as long as sealing. The columns of a build are few. */
const derived = new WeakMap<DataKey, Map<string, Uint8Array>>()

/** A key for each column, so that no two columns share nonces. */
function columnKey(key: DataKey, { column }: SealedPlace): Uint8Array {
  const known = derived.get(key) ?? new Map<string, Uint8Array>()
  let found = known.get(column)
  if (found === undefined) {
    found = new Uint8Array(hkdfSync('sha256', key.secret, noSalt, `tenantry column ${column}`, keyBytes))
    derived.set(key, known.set(column, found))
  }
  return found
}

const authenticated = (header: Uint8Array, { orgId, column, rowId }: SealedPlace): Buffer =>
  lengthPrefixed([header, Buffer.from(orgId), Buffer.from(column), Buffer.from(rowId)])

/** Each part behind its length, so that no two lists of parts have the same bytes. */
export function lengthPrefixed(parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      return [length, part]
    }),
  )
}

const idBytes = (id: string): Buffer => Buffer.from(id.replaceAll('-', ''), 'hex')
