import pg from 'pg'
import { aborted, onAbort } from '../core/abort.js'
import { PoolTimeoutError, ScopeClosedError, TenantryError, UnavailableError } from '../core/errors.js'
import { acquireChannel, type ConnectionEvent, connectChannel, publish } from '../core/tracing.js'
import { isClusterSql } from './cluster.js'
import { connectFailure, placeOf, unreadableUrl } from './connect-failure.js'
import { Connection } from './connection.js'
import { type Address, addressOf, type DriverClient } from './driver.js'
import { withDebug } from './error-debug.js'
import { poolConfig, reportedSettings, saysPooled, settingNames, type Settings, unreadable } from './pool-config.js'
import { isServerError } from './sqlstate.js'

/** A new physical connection, which is proved before it serves. */
export interface NewConnection {
  /** Behind a pooler each transaction may run on another server connection, so a proof of one says little about the next. */
  readonly isPooled: boolean
  readonly isCluster: boolean
  query<Row>(text: string, params?: readonly unknown[]): Promise<Row[]>
}

export interface ConnectionPoolOptions {
  /** pg's own options, with the url as `connectionString`; or a pool of the host's, whose timeouts are the host's. */
  readonly pool: pg.PoolConfig | pg.Pool
  /** Whether a transaction pooler, such as PgBouncer, is in between. Detected when left out. */
  readonly isPooled?: boolean | undefined
  /**
   * How many milliseconds after its statement_timeout a silent server is given up. Default: the statement_timeout again, at least one
   * second and at most five.
   */
  readonly grace?: number | undefined
  /** Called once for each physical connection. When it rejects, the connection is ended and its caller gets the error. */
  readonly onConnect?: ((connection: NewConnection) => Promise<void>) | undefined
  /** Whether errors have `debug`: SQLSTATE, position, SQL text, message. */
  readonly debug?: boolean | undefined
}

/**
 * A server that is busy or far away reports its timeout late, but hardly by more than that timeout. With a short timeout, nobody
 * waits five seconds for a server that is gone.
 */
const graceFor = (statementTimeout: number): number => Math.min(Math.max(statementTimeout, 1_000), 5_000)
/** Milliseconds for a free connection where the pool itself would wait for ever, and for the proof of a new one. */
const patience = 5_000

const inspection = `select pg_catalog.pg_backend_pid() as pid,
  extract(epoch from pg_catalog.current_setting('statement_timeout')::interval)::float8 * 1000 as "statementTimeout",
  ${isClusterSql} as "isCluster",
  ${settingNames.map((name) => `pg_catalog.current_setting('${name}') as "${name}"`).join(', ')}`

interface Inspection extends Settings {
  readonly pid: number
  readonly statementTimeout: number
  readonly isCluster: boolean
}

// One map for all pools: two tenancies over one pool of the host's must agree on what a connection has prepared.
const connections = new WeakMap<DriverClient, Connection>()

interface Waiter {
  giveUp(error: TenantryError): void
}

/** pg's pool. A connection is proved before it serves, and goes back to the pool only when it is idle. */
export class ConnectionPool {
  private readonly pool: pg.Pool
  private readonly isOurs: boolean
  private readonly isPooled: boolean | undefined
  /** Whether each call goes by itself, as `pipeline: false` asks. */
  readonly isPlain: boolean
  private readonly grace: number | undefined
  private readonly onConnect: ConnectionPoolOptions['onConnect']
  private readonly debug: boolean
  private readonly proved = new WeakSet<Connection>()
  private readonly waiters = new Set<Waiter>()
  private readonly busy = new Set<Connection>()
  private closing: Promise<void> | undefined
  private onIdle: (() => void) | undefined
  /** Why the latest attempt to make a connection failed; undefined after one that went well. */
  private lastFailure: string | undefined
  private knownAddress: Address | undefined

  constructor({ pool, isPooled, grace, onConnect, debug = false }: ConnectionPoolOptions) {
    this.isOurs = !isPool(pool)
    this.isPlain = (isPool(pool) ? pool.options : pool).pipeline === false
    this.isPooled = isPooled ?? (isPool(pool) || !saysPooled(pool) ? undefined : true)
    this.pool = isPool(pool) ? pool : new pg.Pool(poolConfig(pool, this.isPooled === true))
    this.grace = grace
    this.onConnect = onConnect
    this.debug = debug
    // pg removes a broken idle connection itself. Without a listener its error would end the process.
    this.pool.on('error', ignore)
  }

  take(signal?: AbortSignal): Promise<Connection> {
    if (!acquireChannel.hasSubscribers) return this.takeOne(signal)
    return publish(acquireChannel, this.event('acquire'), () => this.takeOne(signal))
  }

  private async takeOne(signal: AbortSignal | undefined): Promise<Connection> {
    if (this.closing !== undefined) throw closed()
    if (signal?.aborted) throw aborted()
    for (;;) {
      const start = connectChannel.hasSubscribers ? performance.now() : undefined
      const connection = await this.acquire(signal, start)
      this.busy.add(connection)
      try {
        if (!this.proved.has(connection) && !connection.hasChanged) {
          await this.tracedConnect(() => this.prove(connection), start)
        }
      } catch (error) {
        this.give(connection)
        throw error
      }
      if (connection.isIdle) return connection
      // The host left a transaction open on it, or changed a setting.
      this.give(connection)
    }
  }

  /** Can be called more than once. */
  give(connection: Connection): void {
    if (!this.busy.delete(connection)) return
    connection.release()
    if (this.isIdle) this.onIdle?.()
  }

  close(drain: number): Promise<void> {
    this.closing ??= this.drain(drain)
    return this.closing
  }

  private async drain(time: number): Promise<void> {
    if (!this.isIdle) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, time)
        this.onIdle = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    for (const waiter of this.waiters) waiter.giveUp(closed())
    for (const connection of this.busy) {
      connection.destroy()
      this.give(connection)
    }
    if (this.isOurs) await this.pool.end()
    else this.pool.off('error', ignore)
  }

  /** How long the pool itself waits; 0 is for ever. */
  private get poolPatience(): number {
    return this.pool.options.connectionTimeoutMillis ?? 0
  }

  /** How long a new connection may take to be made, and then to be proved. */
  private get patience(): number {
    return this.poolPatience > 0 ? this.poolPatience : patience
  }

  private get isIdle(): boolean {
    return this.busy.size === 0 && this.waiters.size === 0
  }

  /** Read only after a failure or for tracing, because pg has to make a client for it. */
  private get address(): Address {
    this.knownAddress ??= addressOf(this.pool.options)
    return this.knownAddress
  }

  private event(kind: ConnectionEvent['kind']): ConnectionEvent {
    return { kind, ...this.address, duration: 0, error: undefined }
  }

  private async tracedConnect<T>(work: () => Promise<T>, start: number | undefined): Promise<T> {
    return connectChannel.hasSubscribers ? publish(connectChannel, this.event('connect'), work, start) : work()
  }

  /** Publishes the failed attempt, which no other place sees. */
  private failedConnect(error: unknown, start: number | undefined): TenantryError {
    const failure = this.failure(error)
    if (!(failure instanceof PoolTimeoutError)) {
      this.tracedConnect(() => Promise.reject(failure), start).catch(ignore)
    }
    return failure
  }

  private failure(error: unknown): TenantryError {
    if (error instanceof Error && error.message === 'timeout exceeded when trying to connect') return this.poolTimeout()
    const failure = connectFailure(error, { place: placeOf(this.address), patience: this.patience })
    this.lastFailure = failure.message
    return this.debug && error instanceof Error && isServerError(error) ? withDebug(failure, error, undefined) : failure
  }

  private poolTimeout(): PoolTimeoutError {
    const { totalCount, waitingCount, options } = this.pool
    const found = `${totalCount} of at most ${options.max} to ${placeOf(this.address)} are open, and ${waitingCount} more calls wait`
    return new PoolTimeoutError(this.lastFailure === undefined ? found : `${found}; ${this.lastFailure}`)
  }

  private acquire(signal: AbortSignal | undefined, start: number | undefined): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const leave = (): boolean => {
        clearTimeout(timer)
        unlisten?.()
        return this.waiters.delete(waiter)
      }
      const waiter: Waiter = {
        giveUp: (error) => {
          if (leave()) reject(error)
        },
      }
      // A pool of the host's may wait for ever; ours has a time of its own.
      const timer =
        this.poolPatience > 0
          ? undefined
          : setTimeout(() => {
              waiter.giveUp(this.poolTimeout())
            }, patience)
      this.waiters.add(waiter)
      const unlisten =
        signal &&
        onAbort(signal, () => {
          waiter.giveUp(aborted())
        })
      try {
        this.pool.connect((error, client) => {
          if (!leave()) client?.release()
          else if (client === undefined) reject(this.failedConnect(error, start))
          // Without an await in between: the bytes being read may already say that the server ends the connection.
          else resolve(connectionOf(client as unknown as DriverClient))
        })
      } catch (error) {
        // pg reads the url, and the certificates that it names, only here.
        waiter.giveUp(unreadableUrl(error))
      }
    })
  }

  private async prove(connection: Connection): Promise<void> {
    const { client } = connection
    const timer = setTimeout(() => {
      connection.destroy()
    }, this.patience)
    const query = async <Row>(text: string, params: readonly unknown[] = []): Promise<Row[]> => {
      return (await client.query<Row>({ text, values: [...params], queryMode: 'extended' })).rows
    }
    try {
      if (client.pipeline)
        throw new UnavailableError('a pool in pipeline mode cannot be used; make it without pipeline: true')
      const start = performance.now()
      const [found] = (await query<Inspection>(inspection)) as [Inspection]
      connection.beyondFastest(performance.now() - start)
      const reason = unreadable(found)
      if (reason !== undefined) throw new UnavailableError(reason)
      connection.watch(Object.fromEntries(reportedSettings.map((name) => [name, found[name]])))
      // A pooler gives clients process numbers of its own.
      const isPooled = this.isPooled ?? found.pid !== client.processID
      const { statementTimeout, isCluster } = found
      connection.limit({ isPooled, isCluster, statementTimeout, grace: this.grace ?? graceFor(statementTimeout) })
      await this.onConnect?.({ isPooled, isCluster, query })
      this.proved.add(connection)
      this.lastFailure = undefined
    } catch (error) {
      connection.destroy()
      throw error instanceof TenantryError ? error : this.failure(error)
    } finally {
      clearTimeout(timer)
    }
  }
}

function connectionOf(client: DriverClient): Connection {
  let connection = connections.get(client)
  if (connection === undefined) {
    connection = new Connection(client)
    connections.set(client, connection)
  }
  return connection
}

const ignore = (): void => undefined

export const isPool = (pool: pg.PoolConfig | pg.Pool): pool is pg.Pool =>
  typeof (pool as pg.Pool).connect === 'function'

const closed = (): ScopeClosedError => new ScopeClosedError('the tenancy was closed; nothing was sent')
