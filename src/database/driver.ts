import type { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import pg from 'pg'
import { UnavailableError } from '../core/errors.js'

// All uses of pg's undocumented parts. The tests of this file tell what to check before the range below is changed; package.json has
// the same range.

/** The versions of pg that the tests of the connections were run with: the first, and the last. */
export const testedPg = { from: '8.22.0', to: '8.23.1' }

/** Throws for an untested version of pg: its internals may have changed, and an answer could go to the wrong caller. */
export function assertTestedPg(version: string): void {
  const { from, to } = testedPg
  if (isRelease(version) && compare(from, version) <= 0 && compare(version, to) <= 0) return
  throw new UnavailableError(
    `pg ${version} is installed, and this version of tenantry works with pg ${from} to ${to}: npm install pg@${to}`,
  )
}

const isRelease = (version: string): boolean => /^\d+\.\d+\.\d+$/.test(version)
const { compare } = new Intl.Collator('en', { numeric: true })

/** The protocol of one connection. */
export interface DriverConnection extends EventEmitter {
  readonly stream: Duplex
  connect(portOrPath: number | string, host?: string): void
  requestSsl(): void
  cancel(processId: number, secretKey: number): void
}

/**
 * A physical connection. Its `connection` emits each message by its name, `readyForQuery` with the transaction status, and `end`
 * when the socket is gone.
 */
export interface DriverClient {
  readonly connection: DriverConnection
  readonly host: string
  readonly port: number
  readonly ssl: unknown
  readonly sslNegotiation: string
  /** Null when the server, or a pooler, gave none. */
  readonly processID: number | null
  readonly secretKey: number
  /** Pipeline mode came with pg 8.23. */
  readonly pipeline: boolean | undefined
  /** The server waits for the next query. False from the moment a query is written until pg has read its ReadyForQuery. */
  readonly readyForQuery: boolean
  getTransactionStatus(): string | null
  query(query: Submittable): void
  on(event: 'error', listener: (error: Error) => void): void
  release(destroy?: boolean): void
}

/** The methods that pg calls on a submitted query while it is the active one. */
export interface Submittable {
  callback(): void
  submit(connection: DriverConnection): Error | null
  handleRowDescription(message: { fields: readonly Field[] }): void
  handleDataRow(message: { fields: unknown[] }): void
  handleCommandComplete(message: { text: string }): void
  handleEmptyQuery(): void
  handlePortalSuspended(): void
  handleCopyInResponse(): void
  handleCopyData(): void
  /** An ErrorResponse of the server, after which pg forgets the query; or the loss of the connection. */
  handleError(error: Error): void
  /** Only when no error came before: hence the listener on the connection. */
  handleReadyForQuery(): void
}

export interface Field {
  readonly name: string
  readonly dataTypeID: number
}

/** Messages that answer no query on an open connection. pg ignores or obeys them. */
export const neverAsked = [
  'parameterDescription',
  'copyOutResponse',
  'copyDone',
  'replicationStart',
  'backendKeyData',
  'authenticationOk',
  'authenticationCleartextPassword',
  'authenticationMD5Password',
  'authenticationSASL',
  'authenticationSASLContinue',
  'authenticationSASLFinal',
]

/** pg's error for a message that came without a query, or that it does not know. */
export const isUnaskedMessage = ({ message }: Error): boolean =>
  /^(?:Received unexpected|received invalid response)/.test(message)

type TextParser = (text: string) => unknown

const require = createRequire(import.meta.url)
const requireOfPg = createRequire(require.resolve('pg'))

// Checked before any other file of pg is loaded: another version may not have these files.
assertTestedPg((requireOfPg('pg/package.json') as { version: string }).version)

const { init } = requireOfPg('pg-types/lib/textParsers') as {
  init: (register: (oid: number, parse: TextParser) => void) => void
}

/** pg's original parsers. The shared table `pg.types` may have parsers of the host's, such as bigint as a number. */
export function textParsers(): Map<number, TextParser> {
  const parsers = new Map<number, TextParser>()
  init((oid, parse) => parsers.set(oid, parse))
  return parsers
}

/** The address that pg uses for these options, defaults and environment included. Empty where pg cannot read the url. */
export function addressOf(options: pg.PoolConfig): Address {
  try {
    const { host, port } = new pg.Client(options)
    return { host, port }
  } catch {
    return { host: undefined, port: undefined }
  }
}

export interface Address {
  readonly host: string | undefined
  readonly port: number | undefined
}

export function rawConnection(options: { ssl: unknown; sslNegotiation: string }): DriverConnection {
  const Connection = pg.Connection as unknown as new (options: object) => DriverConnection
  return new Connection(options)
}
