import type pg from 'pg'
import { aborted, onAbort } from '../core/abort.js'
import { PoolTimeoutError, ScopeClosedError, TenantryError, UnavailableError } from '../core/errors.js'
import { acquireChannel, type ConnectionEvent, connectChannel, publish } from '../core/tracing.js'
import { isClusterSql } from './cluster.js'
import { connectFailure, placeOf, unreadableUrl } from './connect-failure.js'
import type { Connection } from './connection.js'
import { type ConnectionSource, waitedTooLong } from './connection-source.js'
import { type Address, addressOf } from './driver.js'
import { HostPool } from './host-pool.js'
import { OwnPool } from './own-pool.js'
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

interface Waiter {
  giveUp(error: TenantryError): void
}

/** Lends connections. One is proved before it serves, and goes back only when it is idle. */
export class ConnectionPool {
  private readonly source: ConnectionSource
  /** For the address, which pg reads out of them. */
  private readonly options: pg.PoolConfig
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
  /** How many calls wait for a connection without having asked the source for one. */
  private beside: () => number = () => 0

  constructor({ pool, isPooled, grace, onConnect, debug = false }: ConnectionPoolOptions) {
    const given = isPool(pool) ? pool.options : pool
    this.isPlain = given.pipeline === false
    this.isPooled = isPooled ?? (isPool(pool) || !saysPooled(pool) ? undefined : true)
    this.options = isPool(pool) ? pool.options : poolConfig(pool, this.isPooled === true)
    this.source = isPool(pool) ? new HostPool(pool) : new OwnPool(this.options)
    this.grace = grace
    this.onConnect = onConnect
    this.debug = debug
  }

  get most(): number {
    return this.source.counts.most
  }

  /** Whether there may be one more connection than there are. */
  get mayGrow(): boolean {
    const { open, most } = this.source.counts
    return open < most
  }

  get isClosing(): boolean {
    return this.closing !== undefined
  }

  /** Whether several calls may use a connection at once. */
  get mayShare(): boolean {
    return this.source.mayShare
  }

  /** Whether somebody wants to be told how long calls wait for a connection. */
  get isTraced(): boolean {
    return acquireChannel.hasSubscribers
  }

  countBeside(count: () => number): void {
    this.beside = count
  }

  /** A connection that is free and proved; undefined where `take` is needed, which may wait. */
  takeIdle(): Connection | undefined {
    return this.isTraced ? undefined : this.idle()
  }

  /** As `takeIdle`, but told to nobody. */
  idle(): Connection | undefined {
    if (this.isClosing) return undefined
    const connection = this.source.takeIdle()
    if (connection === undefined) return undefined
    if (this.proved.has(connection)) {
      this.busy.add(connection)
      return connection
    }
    this.source.give(connection)
    return undefined
  }

  take(signal?: AbortSignal): Promise<Connection> {
    return this.isTraced ? this.traceAcquire(() => this.takeUntraced(signal)) : this.takeUntraced(signal)
  }

  traceAcquire<T>(work: () => Promise<T>): Promise<T> {
    return publish(acquireChannel, this.event('acquire'), work)
  }

  async takeUntraced(signal: AbortSignal | undefined): Promise<Connection> {
    if (this.isClosing) throw closed()
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
    if (!connection.isIdle) connection.destroy()
    this.source.give(connection)
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
    await this.source.end()
  }

  /** How long a call waits for a connection, and how long a new one may take to be made, and then to be proved. */
  get patience(): number {
    return this.source.patience > 0 ? this.source.patience : patience
  }

  private get isIdle(): boolean {
    return this.busy.size === 0 && this.waiters.size === 0
  }

  /** Read only after a failure or for tracing, because pg has to make a client for it. */
  private get address(): Address {
    this.knownAddress ??= addressOf(this.options)
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
    if (error instanceof Error && error.message === waitedTooLong) return this.timeout()
    if (error instanceof TenantryError) return error
    const failure = connectFailure(error, { place: placeOf(this.address), patience: this.patience })
    this.lastFailure = failure.message
    return this.debug && error instanceof Error && isServerError(error) ? withDebug(failure, error, undefined) : failure
  }

  /** Why a call that waited for too long has no connection. */
  timeout(): PoolTimeoutError {
    const { open, most, waiting } = this.source.counts
    const others = waiting + this.beside()
    const found = `${open} of at most ${most} to ${placeOf(this.address)} are open, and ${others} more calls wait`
    return new PoolTimeoutError(this.lastFailure === undefined ? found : `${found}; ${this.lastFailure}`)
  }

  private acquire(signal: AbortSignal | undefined, start: number | undefined): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const leave = (): boolean => {
        clearTimeout(timer)
        unlisten?.()
        stop?.()
        return this.waiters.delete(waiter)
      }
      const waiter: Waiter = {
        giveUp: (error) => {
          if (leave()) reject(error)
        },
      }
      // A pool of the host's may wait for ever; ours has a time of its own.
      const timer =
        this.source.patience > 0
          ? undefined
          : setTimeout(() => {
              waiter.giveUp(this.timeout())
            }, patience)
      this.waiters.add(waiter)
      const unlisten =
        signal &&
        onAbort(signal, () => {
          waiter.giveUp(aborted())
        })
      let stop: (() => void) | undefined
      try {
        stop = this.source.take((error, connection) => {
          if (!leave()) {
            if (connection !== undefined) this.source.give(connection)
          } else if (connection === undefined) reject(this.failedConnect(error, start))
          else resolve(connection)
        })
      } catch (error) {
        // pg reads the url, and the certificates that it names, only here.
        waiter.giveUp(unreadableUrl(error))
      }
    })
  }

  private async prove(connection: Connection): Promise<void> {
    const timer = setTimeout(() => {
      connection.destroy()
    }, this.patience)
    const query = <Row>(text: string, params?: readonly unknown[]): Promise<Row[]> =>
      connection.query<Row>(text, params)
    try {
      const [found] = (await query<Inspection>(inspection)) as [Inspection]
      const reason = unreadable(found)
      if (reason !== undefined) throw new UnavailableError(reason)
      connection.watch(Object.fromEntries(reportedSettings.map((name) => [name, found[name]])))
      // A pooler gives clients process numbers of its own.
      const isPooled = this.isPooled ?? found.pid !== connection.processID
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

const ignore = (): void => undefined

export const isPool = (pool: pg.PoolConfig | pg.Pool): pool is pg.Pool =>
  typeof (pool as pg.Pool).connect === 'function'

const closed = (): ScopeClosedError => new ScopeClosedError('the tenancy was closed; nothing was sent')
