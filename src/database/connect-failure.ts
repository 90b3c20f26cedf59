import { type TenantryError, UnavailableError } from '../core/errors.js'
import type { Address } from './driver.js'
import { type DriverError, isServerError, refusal } from './sqlstate.js'

/** Error codes of system calls and of name resolution. The message shows the code after these words. */
const reasons: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'the connection was refused'],
  ['ENOTFOUND', 'there is no host of that name'],
  ['EAI_AGAIN', 'the name service does not answer'],
  ['ETIMEDOUT', 'there was no answer in time'],
  ['ECONNRESET', 'the connection was reset'],
  ['EPIPE', 'the connection was closed'],
  ['EHOSTUNREACH', 'there is no route to the host'],
  ['ENETUNREACH', 'there is no route to the network'],
  ['ENOENT', 'there is no such socket'],
  ['EACCES', 'the socket may not be used'],
])

/** Errors of pg without a code. Their own messages are never passed on: they may hold a value of the url. */
const messages: readonly (readonly [RegExp, string])[] = [
  [/does not support SSL/, 'the server does not support TLS'],
  [/client password must be/, 'the server asks for a password, and none is given'],
  [/^Connection terminated/, 'the server ended the connection before it was ready'],
]

const certificate = /CERT|SIGNATURE|ISSUER|ALTNAME|TLS|SSL/

/** SQLSTATEs with which the server refuses a login. */
const refusals: ReadonlyMap<string, string> = new Map([
  ['28P01', 'the server refused the login: wrong name or password'],
  ['28000', 'the server refused the login'],
  ['3D000', 'there is no such database on the server'],
  ['55000', 'the database does not accept connections'],
  ['57P03', 'the server is starting, stopping or recovering'],
])

/** Also refused with this SQLSTATE: a setting of the url or of the login, and a catalog that the proof reads. */
const missingRight = ({ routine }: DriverError): string =>
  routine === 'CheckMyDatabase'
    ? 'the login may not connect to the database: grant it CONNECT'
    : 'the login lacks a right that a setting or a check of the new connection needs; `debug: true` adds the reason of the server'

export interface Attempt {
  /** Host and port. Never the url, which holds the password. */
  readonly place: string
  /** How many milliseconds an attempt may take; 0 is for ever. */
  readonly patience: number
}

/** The error that tells why no connection was made, without a password, a user name, or the name of a database. */
export function connectFailure(error: unknown, { place, patience }: Attempt): TenantryError {
  const unreachable = (why: string): UnavailableError =>
    new UnavailableError(`the database at ${place} cannot be reached: ${why}`, 'the database cannot be reached')
  if (!(error instanceof Error)) return unreachable('the reason is unknown')
  if (!isServerError(error)) return unreachable(reasonOf(error, patience))
  if (isRefusedParameter(error)) {
    return unreachable('the connection pooler refuses timeouts in the startup message; pass `transactionPooler: true`')
  }
  const why = error.code === '42501' ? missingRight(error) : refusals.get(error.code ?? '')
  if (why !== undefined) return unreachable(why)
  const told = refusal(error)
  return told instanceof UnavailableError ? unreachable('the server refused the connection') : told
}

/** `host:port`, or the file of a socket. */
export function placeOf({ host, port }: Address): string {
  if (host === undefined || port === undefined) return 'an unknown address'
  if (host.startsWith('/')) return `${host}/.s.PGSQL.${port}`
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The error for a url that pg cannot read. It may name a file of the url, but never the url, which holds the password. */
export function unreadableUrl(error: unknown): UnavailableError {
  const { code, path } = (error ?? {}) as { code?: unknown; path?: unknown }
  return new UnavailableError(
    typeof code === 'string' && typeof path === 'string'
      ? `the file ${path}, which the url of the database names, cannot be read (${code})`
      : 'the url of the database, or a certificate that it names, cannot be read',
    'the url of the database cannot be read',
  )
}

function reasonOf(error: Error, patience: number): string {
  if (error.message === 'Connection terminated due to connection timeout') {
    return `there was no answer within ${patience} ms`
  }
  const code = codeOf(error)
  if (code === undefined) {
    return messages.find(([pattern]) => pattern.test(error.message))?.[1] ?? 'the reason is unknown'
  }
  const words =
    reasons.get(code) ?? (certificate.test(code) ? 'the certificate of the server is not accepted' : 'it failed')
  return `${words} (${code})`
}

/** The code of the error. A host with several addresses gives several errors: the first one counts. */
function codeOf(error: Error): string | undefined {
  const { code } = error as NodeJS.ErrnoException
  if (code !== undefined) return /^[A-Z][A-Z0-9_]{2,60}$/.test(code) ? code : undefined
  const inner: unknown = error instanceof AggregateError ? error.errors[0] : undefined
  return inner instanceof Error ? codeOf(inner) : undefined
}

const isRefusedParameter = ({ code, message }: DriverError): boolean =>
  code === '08P01' && message.includes('startup parameter')
