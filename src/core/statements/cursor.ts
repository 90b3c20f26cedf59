import { createHmac, timingSafeEqual } from 'node:crypto'
import { InvalidCursorError } from '../errors.js'
import type { CursorKeys } from '../scope.js'
import type { Position } from './orders.js'

/** The list that a cursor belongs to. It is refused for any other. */
export interface CursorBinding {
  readonly owner: string
  readonly resource: string
  readonly order: string
  /** The predicate with its values. */
  readonly filter: string
}

const macBytes = 16
/** The cursor holds the values that the list is ordered by, which may be long texts. No cursor of ours is longer than this. */
const maxLength = 2 ** 20

/** The sort key of a row, signed: base64url of the MAC and the key's values as JSON. */
export function sealCursor(keys: CursorKeys, binding: CursorBinding, position: Position): string {
  const payload = Buffer.from(JSON.stringify(position))
  return Buffer.concat([mac(keys.keys[0], binding, payload), payload]).toString('base64url')
}

/** Throws InvalidCursorError for a cursor that was altered, or made for another owner, list, order or filter. */
export function openCursor(keys: CursorKeys, binding: CursorBinding, cursor: unknown, length: number): Position {
  if (typeof cursor !== 'string' || cursor.length > maxLength) throw new InvalidCursorError()
  const bytes = Buffer.from(cursor, 'base64url')
  // Base64 has several spellings of the same bytes, and only one is a cursor.
  if (bytes.length <= macBytes || bytes.toString('base64url') !== cursor) throw new InvalidCursorError()
  const payload = bytes.subarray(macBytes)
  const given = bytes.subarray(0, macBytes)
  if (!keys.keys.some((key) => timingSafeEqual(given, mac(key, binding, payload)))) throw new InvalidCursorError()
  const position = JSON.parse(payload.toString()) as Position
  if (position.length !== length) throw new InvalidCursorError()
  return position
}

function mac(key: Uint8Array, binding: CursorBinding, payload: Buffer): Buffer {
  const parts = [binding.owner, binding.resource, binding.order, binding.filter]
  const hmac = createHmac('sha256', key)
  // The length stands before each part, so that no part can pass for the beginning of the next.
  hmac.update(parts.map((part) => `${part.length}:${part}`).join(''))
  return hmac.update(payload).digest().subarray(0, macBytes)
}
