import type { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import pg from 'pg'

/**
 * What is used of pg beyond its documented surface, in one place. pg is pinned to one version for it, and the tests of this
 * file say what to look at before the pin is moved.
 */
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
  readonly pipeline: boolean
  /** The server waits for the next query. False from the moment a query is written until pg has read its ReadyForQuery. */
  readonly readyForQuery: boolean
  getTransactionStatus(): string | null
  query(query: Submittable): void
  query<Row>(query: { text: string; values: unknown[]; queryMode: 'extended' }): Promise<{ rows: Row[] }>
  on(event: 'error', listener: (error: Error) => void): void
  release(destroy?: boolean): void
}

/** What pg calls on a query of one's own while it is the active one. */
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

/** Messages that nothing asks for once a connection stands, and that pg passes over or obeys. */
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

/** pg's own words for a message that came while it had asked for nothing, or that it does not know. */
export const isUnaskedMessage = ({ message }: Error): boolean =>
  /^(?:Received unexpected|received invalid response)/.test(message)

type TextParser = (text: string) => unknown

const require = createRequire(import.meta.url)
const requireOfPg = createRequire(require.resolve('pg'))

const { init } = requireOfPg('pg-types/lib/textParsers') as {
  init: (register: (oid: number, parse: TextParser) => void) => void
}

/** pg's parsers as they were made. The shared table `pg.types` may hold the host's own, such as bigint as a number. */
export function textParsers(): Map<number, TextParser> {
  const parsers = new Map<number, TextParser>()
  init((oid, parse) => parsers.set(oid, parse))
  return parsers
}

/** A message of the server's, as far as its name says what else it has. */
export interface ServerMessage {
  readonly name: string
  readonly text?: string
  readonly fields?: readonly unknown[]
}

const { Parser } = requireOfPg('pg-protocol/dist/parser') as {
  Parser: new () => { parse(bytes: Buffer, onMessage: (message: ServerMessage | Error) => void): void }
}

/** The messages in bytes that hold nothing but whole ones. An ErrorResponse is an Error. */
export function messagesIn(bytes: Uint8Array): (ServerMessage | Error)[] {
  const messages: (ServerMessage | Error)[] = []
  new Parser().parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), (message) => messages.push(message))
  return messages
}

export function rawConnection(options: { ssl: unknown; sslNegotiation: string }): DriverConnection {
  const Connection = pg.Connection as unknown as new (options: object) => DriverConnection
  return new Connection(options)
}
