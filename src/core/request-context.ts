import { isIP } from 'node:net'
import { InvalidInputError } from './errors.js'
import { readOptions, touch } from './values.js'

/** Where the request came from, for the audit log. */
export interface RequestContext {
  /** At most 255 characters. */
  readonly id?: string | undefined
  /** An IP address without a zone. */
  readonly ip?: string | undefined
  /** Only its first 1,000 characters are stored. */
  readonly userAgent?: string | undefined
}

const longestId = 255
const longestUserAgent = 1000
const names = ['id', 'ip', 'userAgent'] as const

/** The caller's description of a request, each field read once, with values that the audit log can store. */
export function readRequestContext(given: unknown): RequestContext | undefined {
  if (given === undefined) return undefined
  const { id, ip, userAgent } = touch('request', () => readOptions(given, names, 'request'))
  return { id: idOf(id), ip: addressOf(ip), userAgent: userAgentOf(userAgent) }
}

/** Postgres has no addresses with a zone, such as `fe80::1%eth0`. */
export const isAddress = (ip: unknown): ip is string => typeof ip === 'string' && isIP(ip) > 0 && !ip.includes('%')

/** The beginning of the text that is stored. Half of a surrogate pair at its end is left out. */
export const shortUserAgent = (text: string): string =>
  text.length <= longestUserAgent ? text : text.slice(0, longestUserAgent).replace(/[\uD800-\uDBFF]$/, '')

function idOf(id: unknown): string | undefined {
  if (id === undefined) return undefined
  const text = storable(id, 'request.id')
  // Cut, two ids could become one.
  if (text.length > longestId) throw new InvalidInputError('request.id', `is longer than ${longestId} characters`)
  return text
}

function addressOf(ip: unknown): string | undefined {
  if (ip === undefined || isAddress(ip)) return ip
  throw new InvalidInputError(
    'request.ip',
    'must be an IP address without a zone, such as "192.0.2.7" or "2001:db8::1"',
  )
}

/** Cut, because a client sends any length. */
function userAgentOf(userAgent: unknown): string | undefined {
  if (userAgent === undefined) return undefined
  return shortUserAgent(storable(userAgent, 'request.userAgent'))
}

function storable(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new InvalidInputError(field, 'must be text')
  if (!value.includes('\0') && value.isWellFormed()) return value
  throw new InvalidInputError(field, 'contains NUL or half of a surrogate pair')
}
