import { aborted, onAbort } from '../core/abort.js'
import { PoolTimeoutError } from '../core/errors.js'
import type { Connection } from './connection.js'
import type { ConnectionPool } from './connection-pool.js'
import { FairQueue } from './fair-queue.js'

interface Waiter {
  /** The id of the organization or the person. */
  readonly owner: string
  readonly calls: number
  readonly since: number
  readonly resolve: (connection: Connection) => void
  readonly reject: (error: Error) => void
}

/** How many calls a connection may have at once before it takes no more. */
const mostCalls = 32
/** Up to here it takes of those who wait: what it takes too early, no other one can take. */
const enoughCalls = 8
/** With so many calls in the line, an organization or a person adds no more. */
const mostOfOne = 8

/**
 * Connections that several short reads use at once, each of them in a transaction of its own: it is sent before those in front of it
 * are answered. Where a connection is free, a read has it to itself; a call that writes, or that may take long, always has one to itself.
 */
export class SharedConnections {
  /** How many calls each of those has that are lent for short reads. */
  private readonly lent = new Map<Connection, number>()
  private readonly queue = new FairQueue<Waiter>(mostOfOne)
  /** How many connections were asked for on behalf of those who wait. */
  private asked = 0
  /** How many calls wait for a connection of their own. */
  private apart = 0
  /** One for each of these calls: they take nothing more, so that they soon are free. */
  private readonly leaving = new Set<Connection>()
  private sweep: NodeJS.Timeout | undefined

  /** `limit`: nothing is sent behind a call on which the server has worked for so many milliseconds. */
  constructor(
    private readonly pool: ConnectionPool,
    private readonly limit: number,
  ) {
    pool.countBeside(() => Math.max(0, this.queue.size - this.asked))
  }

  /** A connection for one call alone. Give it back to the pool. */
  async takeApart(signal: AbortSignal | undefined): Promise<Connection> {
    this.apart++
    this.leaveSome()
    try {
      return await this.pool.take(signal)
    } finally {
      this.apart--
      this.leaveSome()
    }
  }

  /** A connection for so many short reads of this owner, which are one transaction. Give it back here. */
  take(owner: string, calls: number, signal: AbortSignal | undefined): Connection | Promise<Connection> {
    if (this.pool.isTraced)
      return this.pool.traceAcquire(async () => this.find(calls) ?? (await this.wait(owner, calls, signal)))
    return this.find(calls) ?? this.wait(owner, calls, signal)
  }

  give(connection: Connection, calls: number): void {
    this.lent.set(connection, this.callsOf(connection) - calls)
    this.fill(connection)
    this.release(connection)
  }

  private find(calls: number): Connection | undefined {
    if (this.queue.size > 0) return undefined
    const connection = this.pool.idle() ?? this.leastUsed()
    if (connection !== undefined) this.use(connection, calls)
    return connection
  }

  private leastUsed(): Connection | undefined {
    if (this.lent.size === 0 || this.pool.mayGrow || this.pool.isClosing) return undefined
    const now = performance.now()
    let found: Connection | undefined
    let fewest = mostCalls
    for (const [connection, calls] of this.lent) {
      if (calls >= fewest || !this.takesMore(connection, now)) continue
      found = connection
      fewest = calls
    }
    return found
  }

  private use(connection: Connection, calls: number): void {
    this.lent.set(connection, this.callsOf(connection) + calls)
  }

  private callsOf(connection: Connection): number {
    return this.lent.get(connection) ?? 0
  }

  private wait(owner: string, calls: number, signal: AbortSignal | undefined): Promise<Connection> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(aborted())
        return
      }
      const unlisten =
        signal &&
        onAbort(signal, () => {
          if (this.queue.delete(waiter)) reject(aborted())
        })
      const waiter: Waiter = {
        owner,
        calls,
        since: performance.now(),
        resolve: (connection) => {
          unlisten?.()
          resolve(connection)
        },
        reject: (error) => {
          unlisten?.()
          reject(error)
        },
      }
      this.queue.add(waiter)
      this.sweepLater(this.pool.patience)
      this.ask()
    })
  }

  /** Asks for a connection as any other call does, on behalf of those who wait: for several where there may be more than there are. */
  private ask(): void {
    while (this.asked < Math.min(this.queue.size, this.pool.mayGrow ? this.pool.most : 1)) {
      this.asked++
      this.pool.takeUntraced(undefined).then(
        (connection) => {
          this.asked--
          this.serve(connection)
        },
        (error: unknown) => {
          this.asked--
          // How long each has waited is told by the sweep.
          if (!(error instanceof PoolTimeoutError)) this.queue.next()?.reject(error as Error)
          this.ask()
        },
      )
    }
  }

  private serve(connection: Connection): void {
    this.lent.set(connection, 0)
    // One has it in any case: not every connection may be shared.
    this.letIn(connection)
    this.fill(connection)
    this.leaveSome()
    this.release(connection)
    this.ask()
  }

  private letIn(connection: Connection): void {
    const waiter = this.queue.next()
    if (waiter === undefined) return
    this.use(connection, waiter.calls)
    waiter.resolve(connection)
  }

  /** Lets some of those who wait use the connection. */
  private fill(connection: Connection): void {
    if (this.queue.size === 0) return
    const now = performance.now()
    const share = Math.min(mostCalls, Math.max(enoughCalls, this.queue.size / this.pool.most))
    while (this.queue.size > 0 && this.callsOf(connection) < share && this.takesMore(connection, now))
      this.letIn(connection)
  }

  private release(connection: Connection): void {
    if (this.callsOf(connection) > 0) return
    this.lent.delete(connection)
    this.leaving.delete(connection)
    this.pool.give(connection)
  }

  private takesMore(connection: Connection, now: number): boolean {
    return !this.leaving.has(connection) && connection.takesMore(now, this.limit)
  }

  /** Lets as many connections become free as there are calls that wait for one of their own. */
  private leaveSome(): void {
    while (this.leaving.size < Math.min(this.apart, this.lent.size)) {
      let found: Connection | undefined
      let fewest = Infinity
      for (const [connection, calls] of this.lent) {
        if (calls >= fewest || this.leaving.has(connection)) continue
        found = connection
        fewest = calls
      }
      if (found === undefined) return
      this.leaving.add(found)
    }
    for (const connection of this.leaving) {
      if (this.leaving.size <= this.apart) return
      this.leaving.delete(connection)
    }
  }

  /** One timer for all who wait. */
  private sweepLater(time: number): void {
    this.sweep ??= setTimeout(() => {
      this.sweep = undefined
      this.giveUp(performance.now() - this.pool.patience)
    }, time).unref()
  }

  /** Ends the waiting of those who came before that time. */
  private giveUp(latest: number): void {
    let oldest = Infinity
    for (const waiter of this.queue) {
      if (waiter.since > latest) oldest = Math.min(oldest, waiter.since)
      else if (this.queue.delete(waiter)) waiter.reject(this.pool.timeout())
    }
    if (oldest < Infinity) this.sweepLater(oldest - latest)
  }
}
