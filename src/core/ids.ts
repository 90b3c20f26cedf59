import { v7 } from 'uuid'
import { InvalidInputError, InvalidOrgIdError } from './errors.js'

declare const organization: unique symbol

/** The id of an organization after validation. Only such an id can be bound. */
export type OrgId = string & { readonly [organization]: true }

/** Before every other id. */
export const nilId = '00000000-0000-0000-0000-000000000000'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A UUID as Postgres prints it. Upper case is refused: one organization must not have two spellings. */
export const isUuid = (value: unknown): value is string => typeof value === 'string' && uuid.test(value)

export function parseOrgId(value: unknown): OrgId {
  if (!isUuid(value)) throw new InvalidOrgIdError()
  return value as OrgId
}

export function parseId(value: unknown, field = 'id'): string {
  if (!isUuid(value)) throw new InvalidInputError(field, 'must be a UUID in lower case')
  return value
}

const pool = new Uint8Array(16 * 256)
const words = new DataView(pool.buffer)
let spent = pool.length
let millisecond = 0
let sequence = 0

/**
 * Ordered by time, and within this process by creation. Random bytes are drawn for 256 ids at a time: drawing them for each id
 * takes longer than everything else.
 */
export function newId(): string {
  if (spent === pool.length) {
    crypto.getRandomValues(pool)
    spent = 0
  }
  const now = Date.now()
  if (now > millisecond) {
    millisecond = now
    // v7 uses only the last six of the sixteen bytes. The sequence starts below 2^31, so that it has room to count up.
    sequence = words.getUint32(spent) >>> 1
  } else {
    sequence++
  }
  const random = pool.subarray(spent, spent + 16)
  spent += 16
  return v7({ random, msecs: millisecond, seq: sequence })
}
