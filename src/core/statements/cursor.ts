import { createHmac, timingSafeEqual } from 'node:crypto'
import { InvalidCursorError } from '../errors.js'
import type { CursorKeys } from '../scope.js'

/** What a cursor was made for: it opens nothing else. */
export interface CursorBinding {
  readonly owner: string
  readonly resource: string
  readonly order: string
  /** The predicate with its values. */
  readonly filter: string
}

const macBytes = 16
/** A list may be ordered by a long text, which is then in the cursor. What is longer was not made here, and is not read. */
const maxLength = 2 ** 20

/** The sort key of a row, signed: base64url of the MAC and the key's values as JSON. */
export function sealCursor(keys: CursorKeys, binding: CursorBinding, position: readonly string[]): string {
  const payload = Buffer.from(JSON.stringify(position))
  return Buffer.concat([mac(keys.keys[0], binding, payload), payload]).toString('base64url')
}

/** Throws InvalidCursorError unless every bit is as it was made, for this owner, list, order and filter. */
export function openCursor(keys: CursorKeys, binding: CursorBinding, cursor: unknown, length: number): string[] {
  if (typeof cursor !== 'string' || cursor.length > maxLength) throw new InvalidCursorError()
  const bytes = Buffer.from(cursor, 'base64url')
  // Base64 has several spellings of the same bytes, and only one is a cursor.
  if (bytes.length <= macBytes || bytes.toString('base64url') !== cursor) throw new InvalidCursorError()
  const payload = bytes.subarray(macBytes)
  const given = bytes.subarray(0, macBytes)
  if (!keys.keys.some((key) => timingSafeEqual(given, mac(key, binding, payload)))) throw new InvalidCursorError()
  const position = JSON.parse(payload.toString()) as string[]
  if (position.length !== length) throw new InvalidCursorError()
  return position
}

function mac(key: Uint8Array, binding: CursorBinding, payload: Buffer): Buffer {
  const parts = [binding.owner, binding.resource, binding.order, binding.filter]
  const hmac = createHmac('sha256', key)
  // Lengths first, so that no text of one part can pass for the beginning of the next.
  hmac.update(parts.map((part) => `${part.length}:${part}`).join(''))
  return hmac.update(payload).digest().subarray(0, macBytes)
}
