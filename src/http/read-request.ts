import { InvalidInputError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import { isAddress, shortUserAgent } from '../core/request-context.js'
import type { RequestContext } from '../core/request-context.js'
import { readOptions } from '../core/values.js'

/** Those of the web standard, or those of Node with names in lower case. */
export type RequestHeaders = WebHeaders | Readonly<Record<string, string | readonly string[] | undefined>>

interface WebHeaders {
  get(name: string): string | null
}

export interface ReadRequestOptions {
  /** The name of the cookie that holds a session token. Default: cookies are not read. */
  readonly cookie?: string | undefined
  /** The address of the client, from your server or your proxy. Left out where it is not an IP address. */
  readonly ip?: string | undefined
  /** The id of the request. Default: the header `x-request-id`. Where neither is well-formed, a new one is made. */
  readonly id?: string | undefined
}

/** The origin of a request that has an id. */
export interface IdentifiedRequest extends RequestContext {
  readonly id: string
}

/** What `tenancy.authenticate` needs of a request. */
export interface IncomingRequest {
  /** Of the header `Authorization: Bearer`, else of the cookie. Not checked yet. */
  readonly token: string | undefined
  readonly isFromCookie: boolean
  readonly request: IdentifiedRequest
}

const cookieName = /^[\w!#$%&'*+.^`|~-]+$/
const requestId = /^[\w=.-]{1,255}$/

/** Reads the token and the origin of a request from its headers. `X-Forwarded-For` is not read: anybody can send it. */
export function readRequest(headers: RequestHeaders, options?: ReadRequestOptions): IncomingRequest {
  const { cookie, ip, id } = readOptions(options, ['cookie', 'ip', 'id']) as ReadRequestOptions
  const bearer = bearerOf(headerOf(headers, 'authorization'))
  const name = cookie === undefined ? undefined : checkedCookie(cookie)
  const kept = bearer === undefined && name !== undefined ? cookieOf(headers, name) : undefined
  const userAgent = headerOf(headers, 'user-agent')
  return {
    token: bearer ?? kept,
    isFromCookie: kept !== undefined,
    request: {
      id: readRequestId(headers, id),
      ip: isAddress(ip) ? ip : undefined,
      userAgent: userAgent === undefined ? undefined : shortUserAgent(userAgent),
    },
  }
}

/** The given id or that of the header `x-request-id`, the first that is well-formed; else a new one. */
export const readRequestId = (headers: RequestHeaders, id: string | undefined): string =>
  [id, headerOf(headers, 'x-request-id')].find((one) => one !== undefined && requestId.test(one)) ?? newId()

/** Refuses what could never be the name of a cookie. */
export function checkedCookie(name: unknown): string {
  if (typeof name === 'string' && cookieName.test(name)) return name
  throw new InvalidInputError('cookie', 'must be the name of a cookie')
}

function headerOf(headers: RequestHeaders, name: string): string | undefined {
  const value = isWeb(headers) ? headers.get(name) : Object.hasOwn(headers, name) ? headers[name] : undefined
  return typeof value === 'string' && value !== '' ? value : undefined
}

const isWeb = (headers: RequestHeaders): headers is WebHeaders => typeof headers.get === 'function'

/** Anything after the scheme is a token, so that a malformed one is refused instead of ignored. */
const bearerOf = (authorization: string | undefined): string | undefined =>
  authorization === undefined
    ? undefined
    : /^bearer(?:[ \t]+(.*))?$/is.exec(authorization)?.slice(1).map(trimmed).join('')

/** Without spaces and tabs at both ends, as HTTP has it: `trim` takes a no-break space for one too. */
function trimmed(text = ''): string {
  let [start, end] = [0, text.length]
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (start < end && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

const isBlank = (character: number): boolean => character === 32 || character === 9

/** An empty cookie counts as none: that is how some applications sign a browser out. */
function cookieOf(headers: RequestHeaders, name: string): string | undefined {
  for (const pair of headerOf(headers, 'cookie')?.split(';') ?? []) {
    const at = pair.indexOf('=')
    if (at < 0 || trimmed(pair.slice(0, at)) !== name) continue
    const value = trimmed(pair.slice(at + 1))
    return value === '' ? undefined : value
  }
  return undefined
}
