import type pg from 'pg'
import { UnavailableError } from '../core/errors.js'
import { Connection } from './connection.js'
import type { ConnectionSource } from './connection-source.js'
import type { DriverClient } from './driver.js'
import { PgWire } from './pg-wire.js'

// One map for all pools: two tenancies over one pool of the host's must agree on what a connection has prepared.
const connections = new WeakMap<DriverClient, Connection>()
const clients = new WeakMap<Connection, DriverClient>()

/** A pool of the host's, which lends its clients. */
export class HostPool implements ConnectionSource {
  readonly mayShare = false

  constructor(private readonly pool: pg.Pool) {
    // pg removes a broken idle connection itself. Without a listener its error would end the process.
    pool.on('error', ignore)
  }

  get counts() {
    const { options, totalCount, waitingCount } = this.pool
    return { most: options.max, open: totalCount, waiting: waitingCount }
  }

  get patience(): number {
    return this.pool.options.connectionTimeoutMillis ?? 0
  }

  /** Only its pool knows. */
  takeIdle(): undefined {
    return undefined
  }

  take(done: (error: unknown, connection?: Connection) => void): () => void {
    this.pool.connect((error, lent) => {
      const client = lent as unknown as DriverClient | undefined
      // Without an await in between: the bytes being read may already say that the server ends the connection.
      if (client === undefined) done(error)
      else if (client.pipeline) {
        client.release()
        done(new UnavailableError('a pool in pipeline mode cannot be used; make it without pipeline: true'))
      } else done(undefined, connectionOf(client))
    })
    // What comes too late is given back.
    return ignore
  }

  give(connection: Connection): void {
    clients.get(connection)?.release(connection.isEnded)
  }

  /** Its connections are the host's. */
  end(): Promise<void> {
    this.pool.off('error', ignore)
    return Promise.resolve()
  }
}

function connectionOf(client: DriverClient): Connection {
  let connection = connections.get(client)
  if (connection === undefined) {
    connection = new Connection(new PgWire(client))
    connections.set(client, connection)
    clients.set(connection, client)
  }
  return connection
}

const ignore = (): void => undefined
