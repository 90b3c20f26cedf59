import pg from 'pg'
import { Connection } from './connection.js'
import { connectedTooLong, type ConnectionSource, waitedTooLong } from './connection-source.js'
import { unreadableUrl } from './connect-failure.js'
import type { DriverClient } from './driver.js'
import { OwnWire } from './own-wire.js'
import { StreamTap } from './stream-tap.js'

type Done = (error: unknown, connection?: Connection) => void

/** What the pool knows of one of its connections. */
interface Member {
  readonly wire: OwnWire
  uses: number
  idleSince: number
  lifetime: NodeJS.Timeout | undefined
}

interface Waiter {
  readonly done: Done
  timer: NodeJS.Timeout | undefined
}

/**
 * The pool of a tenancy that was opened with a url or with options. The options mean what they mean to a pool of pg, of which a
 * checkout takes longer than to read a short answer.
 */
export class OwnPool implements ConnectionSource {
  private readonly members = new Map<Connection, Member>()
  /** The one that was used last is at the end, and is used first. */
  private readonly idle: Connection[] = []
  /** In the order in which they came. */
  private readonly waiting = new Set<Waiter>()
  private connecting = 0
  private sweep: NodeJS.Timeout | undefined
  private isEnding = false
  /** Sockets that have not closed. */
  private sockets = 0
  private onAllClosed: (() => void) | undefined

  constructor(private readonly options: pg.PoolConfig) {}

  get counts() {
    return { most: this.most, open: this.members.size + this.connecting, waiting: this.waiting.size }
  }

  get patience(): number {
    return this.options.connectionTimeoutMillis ?? 0
  }

  /** Where a connection ends after a number of uses, each call is one. */
  get mayShare(): boolean {
    return this.options.maxUses === undefined
  }

  private get most(): number {
    const { max = 0 } = this.options
    return max > 0 ? max : 10
  }

  private get isFull(): boolean {
    return this.members.size + this.connecting >= this.most
  }

  takeIdle(): Connection | undefined {
    for (;;) {
      const connection = this.idle.pop()
      if (connection === undefined) return undefined
      if (!connection.isIdle) {
        this.remove(connection)
        continue
      }
      if (this.options.allowExitOnIdle) this.members.get(connection)?.wire.hold(true)
      return connection
    }
  }

  take(done: Done): () => void {
    const idle = this.takeIdle()
    if (idle !== undefined) {
      done(undefined, idle)
      return ignore
    }
    if (!this.isFull) {
      this.connect(done)
      return ignore
    }
    const waiter: Waiter = { done, timer: undefined }
    if (this.patience > 0) {
      waiter.timer = setTimeout(() => {
        this.leave(waiter)
        done(new Error(waitedTooLong))
      }, this.patience).unref()
    }
    this.waiting.add(waiter)
    return () => {
      this.leave(waiter)
    }
  }

  give(connection: Connection): void {
    const member = this.members.get(connection)
    if (member === undefined) return
    member.uses++
    const isSpent = connection.isRetiring || member.uses === this.options.maxUses
    if (this.isEnding || isSpent || connection.isEnded) {
      this.remove(connection)
      this.serve()
      return
    }
    const waiter = this.nextWaiter()
    if (waiter !== undefined) {
      waiter.done(undefined, connection)
      return
    }
    member.idleSince = performance.now()
    if (this.options.allowExitOnIdle) member.wire.hold(false)
    this.idle.push(connection)
    this.sweepLater()
  }

  async end(): Promise<void> {
    this.isEnding = true
    clearTimeout(this.sweep)
    for (const connection of this.idle.splice(0)) this.remove(connection)
    await new Promise<void>((resolve) => {
      this.onAllClosed = resolve
      this.tellWhenEmpty()
    })
  }

  private tellWhenEmpty(): void {
    if (this.sockets + this.connecting === 0) this.onAllClosed?.()
  }

  /** Lets the next call that waits have a new connection, where there is room for one. */
  private serve(): void {
    if (this.isFull) return
    const waiter = this.nextWaiter()
    if (waiter !== undefined) this.connect(waiter.done)
  }

  private nextWaiter(): Waiter | undefined {
    for (const waiter of this.waiting) {
      this.leave(waiter)
      return waiter
    }
    return undefined
  }

  private leave(waiter: Waiter): void {
    clearTimeout(waiter.timer)
    this.waiting.delete(waiter)
  }

  private connect(done: Done): void {
    this.connecting++
    this.open().then(
      (connection) => {
        this.connecting--
        done(undefined, connection)
      },
      (error: unknown) => {
        this.connecting--
        done(error)
        this.serve()
        this.tellWhenEmpty()
      },
    )
  }

  private async open(): Promise<Connection> {
    const { options } = this
    const tap = new StreamTap()
    const client = newClient({ stream: tap.open, ...options, connectionTimeoutMillis: 0 })
    await connected(client, this.patience)
    try {
      // pg's types leave out that it may return a promise.
      await (options.onConnect as ((client: pg.Client) => unknown) | undefined)?.(client)
      await verified(client, options.verify)
      return this.adopt(client as unknown as DriverClient, tap)
    } catch (error) {
      client.end().catch(ignore)
      throw error
    }
  }

  private adopt(client: DriverClient, tap: StreamTap): Connection {
    const wire = new OwnWire(client, tap, () => {
      this.closed(connection)
    })
    const connection = new Connection(wire)
    this.sockets++
    const lifetime = this.lifetimeOf(connection)
    this.members.set(connection, { wire, uses: 0, idleSince: 0, lifetime })
    return connection
  }

  private lifetimeOf(connection: Connection): NodeJS.Timeout | undefined {
    const seconds = this.options.maxLifetimeSeconds ?? 0
    if (seconds === 0) return undefined
    return setTimeout(() => {
      connection.isRetiring = true
      const place = this.idle.indexOf(connection)
      if (place === -1) return
      this.idle.splice(place, 1)
      this.remove(connection)
    }, seconds * 1_000).unref()
  }

  private remove(connection: Connection): void {
    const member = this.members.get(connection)
    if (member === undefined) return
    this.members.delete(connection)
    clearTimeout(member.lifetime)
    member.wire.end()
  }

  private closed(connection: Connection): void {
    this.sockets--
    const place = this.idle.indexOf(connection)
    if (place !== -1) {
      this.idle.splice(place, 1)
      this.remove(connection)
      this.serve()
    }
    this.tellWhenEmpty()
  }

  /** One timer for all, which looks when the one that is idle for longest has been so for long enough. */
  private sweepLater(): void {
    const { idleTimeoutMillis = 10_000 } = this.options
    // pg takes null for 0.
    const time = idleTimeoutMillis ?? 0
    if (time === 0 || this.sweep !== undefined || this.members.size <= (this.options.min ?? 0)) return
    const [first] = this.idle
    const since = first === undefined ? undefined : this.members.get(first)?.idleSince
    if (since === undefined) return
    this.sweep = setTimeout(
      () => {
        this.sweep = undefined
        this.endIdle(time)
        this.sweepLater()
      },
      Math.max(since + time - performance.now(), 1),
    )
    if (this.options.allowExitOnIdle) this.sweep.unref()
  }

  private endIdle(time: number): void {
    const now = performance.now()
    while (this.members.size > (this.options.min ?? 0)) {
      const [connection] = this.idle
      const member = connection === undefined ? undefined : this.members.get(connection)
      if (connection === undefined || member === undefined || now - member.idleSince < time) return
      this.idle.shift()
      this.remove(connection)
    }
  }
}

function newClient(config: pg.PoolConfig): pg.Client {
  const Client = (config.Client ?? pg.Client) as typeof pg.Client
  try {
    const client = new Client(config)
    // Without a listener the process would die with the backend. The wire tells what is to be told.
    client.on('error', ignore)
    return client
  } catch (error) {
    throw unreadableUrl(error)
  }
}

/** pg's own timer leaves it open whether the server or the network was slow. */
function connected(client: pg.Client, patience: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer =
      patience > 0
        ? setTimeout(() => {
            isLate = true
            ;(client as unknown as DriverClient).connection.stream.destroy()
          }, patience)
        : undefined
    client.connect((error: Error | null) => {
      clearTimeout(timer)
      if (!error) resolve()
      else reject(isLate ? new Error(connectedTooLong, { cause: error }) : error)
    })
  })
}

/** The host's own check of a new connection. */
function verified(client: pg.Client, verify: pg.PoolConfig['verify']): Promise<void> {
  return new Promise((resolve, reject) => {
    if (verify === undefined) resolve()
    else
      verify(client as unknown as pg.PoolClient, (error) => {
        if (error) reject(error)
        else resolve()
      })
  })
}

const ignore = (): void => undefined
