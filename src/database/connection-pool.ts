import pg from 'pg'
import { aborted, onAbort } from '../core/abort.js'
import { PoolTimeoutError, ScopeClosedError, TenantryError, UnavailableError } from '../core/errors.js'
import { Connection } from './connection.js'
import type { DriverClient } from './driver.js'
import { poolConfig, reportedSettings, saysPooled, settingNames, type Settings, unreadable } from './pool-config.js'
import { isServerError, refusal } from './sqlstate.js'

/** A physical connection that has just been made, for whoever has to prove it before it serves. */
export interface NewConnection {
  /** Its statements go to whichever server connection the pooler picks: what is proved of one says little about the next. */
  readonly isPooled: boolean
  query<Row>(text: string, params?: readonly unknown[]): Promise<Row[]>
}

export interface ConnectionPoolOptions {
  /** pg's own options, with the url as `connectionString`; or a pool of the host's, whose timeouts are the host's. */
  readonly pool: pg.PoolConfig | pg.Pool
  /** Whether a transaction pooler, such as PgBouncer, is in between. Left out, it is found out. */
  readonly isPooled?: boolean | undefined
  /**
   * How many milliseconds beyond its own statement_timeout a server may be silent before its connection is given up: as many
   * again unless told, from one second to five.
   */
  readonly grace?: number | undefined
  /** Called once for each physical connection. When it rejects, the connection is ended and its caller gets the error. */
  readonly onConnect?: ((connection: NewConnection) => Promise<void>) | undefined
}

/**
 * A server that is busy or far away tells of its timeout late, but hardly by more than that timeout. Whoever set a short one does
 * not want to wait five seconds for a server that is gone.
 */
const graceFor = (statementTimeout: number): number => Math.min(Math.max(statementTimeout, 1_000), 5_000)
/** Milliseconds for a free connection where the pool itself would wait for ever, and for the proof of a new one. */
const patience = 5_000

const inspection = `select pg_catalog.pg_backend_pid() as pid,
  extract(epoch from pg_catalog.current_setting('statement_timeout')::interval)::float8 * 1000 as "statementTimeout",
  ${settingNames.map((name) => `pg_catalog.current_setting('${name}') as "${name}"`).join(', ')}`

interface Inspection extends Settings {
  readonly pid: number
  readonly statementTimeout: number
}

// Of all pools, so that two tenancies over one pool of the host's agree on what a connection has prepared.
const connections = new WeakMap<DriverClient, Connection>()

interface Waiter {
  giveUp(error: TenantryError): void
}

/** pg's pool, whose connections are proved before they serve and go back idle or not at all. */
export class ConnectionPool {
  private readonly pool: pg.Pool
  private readonly isOurs: boolean
  private readonly isPooled: boolean | undefined
  private readonly grace: number | undefined
  private readonly onConnect: ConnectionPoolOptions['onConnect']
  private readonly proved = new WeakSet<Connection>()
  private readonly waiters = new Set<Waiter>()
  private readonly busy = new Set<Connection>()
  private closing: Promise<void> | undefined
  private onIdle: (() => void) | undefined

  constructor({ pool, isPooled, grace, onConnect }: ConnectionPoolOptions) {
    this.isOurs = !isPool(pool)
    this.isPooled = isPooled ?? (isPool(pool) || !saysPooled(pool) ? undefined : true)
    this.pool = isPool(pool) ? pool : new pg.Pool(poolConfig(pool, this.isPooled === true))
    this.grace = grace
    this.onConnect = onConnect
    // An idle connection that breaks is pg's to remove; without a listener the process would end.
    this.pool.on('error', ignore)
  }

  async take(signal?: AbortSignal): Promise<Connection> {
    if (this.closing !== undefined) throw closed()
    if (signal?.aborted) throw aborted()
    for (;;) {
      const connection = await this.acquire(signal)
      this.busy.add(connection)
      try {
        if (!this.proved.has(connection) && !connection.hasChanged) await this.prove(connection)
      } catch (error) {
        this.give(connection)
        throw error
      }
      if (connection.isIdle) return connection
      // The host left a transaction open on it, or changed a setting.
      this.give(connection)
    }
  }

  /** More than once does no harm. */
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

  private get isIdle(): boolean {
    return this.busy.size === 0 && this.waiters.size === 0
  }

  private acquire(signal: AbortSignal | undefined): Promise<Connection> {
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
              waiter.giveUp(new PoolTimeoutError())
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
          else if (client === undefined) reject(connectFailure(error))
          // Not after an await: the news that the server ends it may be in the bytes being read now.
          else resolve(connectionOf(client as unknown as DriverClient))
        })
      } catch {
        // Only now does pg read the url, and the certificates that it names.
        waiter.giveUp(new UnavailableError('the url of the database, or a certificate that it names, cannot be read'))
      }
    })
  }

  private async prove(connection: Connection): Promise<void> {
    const { client } = connection
    const timer = setTimeout(
      () => {
        connection.destroy()
      },
      this.poolPatience > 0 ? this.poolPatience : patience,
    )
    const query = async <Row>(text: string, params: readonly unknown[] = []): Promise<Row[]> => {
      return (await client.query<Row>({ text, values: [...params], queryMode: 'extended' })).rows
    }
    try {
      if (client.pipeline) throw new UnavailableError('a pool in pipeline mode cannot serve scopes')
      const [found] = (await query<Inspection>(inspection)) as [Inspection]
      const reason = unreadable(found)
      if (reason !== undefined) throw new UnavailableError(reason)
      connection.watch(Object.fromEntries(reportedSettings.map((name) => [name, found[name]])))
      // A pooler hands out process numbers of its own.
      const isPooled = this.isPooled ?? found.pid !== client.processID
      const { statementTimeout } = found
      connection.limit({ isPooled, statementTimeout, grace: this.grace ?? graceFor(statementTimeout) })
      await this.onConnect?.({ isPooled, query })
      this.proved.add(connection)
    } catch (error) {
      connection.destroy()
      throw error instanceof TenantryError ? error : connectFailure(error)
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

function connectFailure(error: unknown): TenantryError {
  if (!(error instanceof Error)) return new UnavailableError()
  if (!isServerError(error)) {
    return error.message === 'timeout exceeded when trying to connect' ? new PoolTimeoutError() : new UnavailableError()
  }
  if (error.code === '08P01' && error.message.includes('startup parameter')) {
    return new UnavailableError('the connection pooler in between refuses timeouts; say that there is one')
  }
  return refusal(error)
}
