import type { Connection } from './connection.js'

/** Where connections come from, and where they go when nobody needs them. */
export interface ConnectionSource {
  /** How many connections there may be, how many there are, and how many calls wait for one. */
  readonly counts: { readonly most: number; readonly open: number; readonly waiting: number }
  /** How many milliseconds a call waits for a free connection, and then for a new one; 0 is for ever. */
  readonly patience: number
  /** Whether several calls may use a connection at once. */
  readonly mayShare: boolean
  /** A free connection; undefined where one can only be waited for. */
  takeIdle(): Connection | undefined
  /** Calls back with a connection or with an error, at most once. Returns what gives up waiting. */
  take(done: (error: unknown, connection?: Connection) => void): () => void
  give(connection: Connection): void
  end(): Promise<void>
}

/** The error of a call that waited too long for a free connection, as a pool of pg words it. */
export const waitedTooLong = 'timeout exceeded when trying to connect'
/** The error of a connection that took too long to make, as a pool of pg words it. */
export const connectedTooLong = 'Connection terminated due to connection timeout'
