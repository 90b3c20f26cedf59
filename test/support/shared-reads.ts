import type pg from 'pg'
import { afterEach, beforeEach } from 'vitest'
import type { Call, Executor } from '../../src/core/executor.js'
import { statement, unguardedStatement } from '../../src/core/statement.js'
import type { NodePostgresOptions } from '../../src/database/node-postgres.js'
import { type ProxiedConnection, type Proxy, startProxy } from './proxy.js'
import { A, useToySchema, valueOf } from './toy-schema.js'

export const read = (text: string, ...values: unknown[]): Call => ({ statement: statement(text, 'read'), values })

export const count = read('select count(*)::int from platform.items')
export const backendOf = read('select pg_backend_pid()')
/** Waits for a lock that a test may hold. */
export const blocked: Call = {
  statement: unguardedStatement('select 1 from pg_advisory_xact_lock_shared($1)', 'read'),
  values: [7],
}

const ending = unguardedStatement('select pg_terminate_backend(pg_backend_pid()) where $1', 'read')
/** Ends its own session, or does not. */
export const end = (isMeant: boolean): Call => ({ statement: ending, values: [isMeant] })

/** So that the executor has measured them, and the connection has them prepared. */
export async function known(executor: Executor, ...calls: readonly Call[]): Promise<void> {
  for (const one of calls) await valueOf(executor, A, one)
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve))
}

/** What the server answers is kept until `release`. */
export interface HeldAnswers {
  /** How many transactions were sent to the server since. */
  readonly sent: number
  /** How many of their answers have come. */
  readonly answered: number
  /** Passes on what was kept, all of a connection in one piece. */
  release(change?: (bytes: Buffer) => Buffer): void
}

type Options = Omit<Partial<NodePostgresOptions>, 'pool'>

/** Executors over a proxy, with one connection unless told otherwise, for which each read that was measured is a short one. */
export function useSharedReads() {
  const { database, open } = useToySchema()
  let proxy: Proxy
  beforeEach(async () => {
    proxy = await startProxy(database.appUrl)
  })
  afterEach(async () => {
    await database.admin.query('select pg_advisory_unlock_all()')
    await proxy.close()
  })
  const block = () => database.admin.query('select pg_advisory_lock(7)')
  const isBlocked = async (): Promise<boolean> => {
    // The server lists those of all its databases.
    const waiting = await database.admin.query(
      `select from pg_locks l join pg_database d on d.oid = l.database
       where d.datname = current_database() and l.locktype = 'advisory' and l.objid = 7 and not l.granted`,
    )
    return waiting.length > 0
  }
  return {
    database,
    get proxy() {
      return proxy
    },
    open: (pool: pg.PoolConfig = {}, options: Options = {}): Executor =>
      open({ pool: { connectionString: proxy.url, max: 1, ...pool }, slowAfter: 60_000, ...options }),
    block,
    isBlocked,
    unblock: () => database.admin.query('select pg_advisory_unlock(7)'),
    /** A read of A that waits until `unblock`: the server has begun with it. */
    async startBlocked(executor: Executor): Promise<{ readonly running: Promise<unknown> }> {
      await block()
      const running = valueOf(executor, A, blocked)
      await until(isBlocked)
      return { running }
    },
    /** What was sent before this has arrived at the proxy after it: each statement lets the sockets of the process have their turn. */
    async arrived(): Promise<void> {
      for (let turn = 0; turn < 20; turn++) await database.admin.query('select 1')
    },
    /** How many transactions were sent to the server since. */
    countSent(): () => number {
      let sent = Buffer.alloc(0)
      proxy.filter = (bytes, direction) => {
        if (direction === 'to server') sent = Buffer.concat([sent, bytes])
        return bytes
      }
      return () => occurrences(sent, sync)
    },
    holdAnswers(): HeldAnswers {
      const held = new Map<ProxiedConnection, Buffer>()
      let sent = Buffer.alloc(0)
      proxy.filter = (bytes, direction, connection) => {
        if (direction === 'to server') {
          sent = Buffer.concat([sent, bytes])
          return bytes
        }
        held.set(connection, Buffer.concat([held.get(connection) ?? Buffer.alloc(0), bytes]))
        return undefined
      }
      return {
        get sent() {
          return occurrences(sent, sync)
        },
        get answered() {
          let answered = 0
          for (const bytes of held.values()) answered += occurrences(bytes, readyForQuery)
          return answered
        },
        release(change = (bytes) => bytes) {
          proxy.filter = (bytes) => bytes
          for (const [connection, bytes] of held) connection.sendToClient(change(bytes))
        },
      }
    },
  }
}

const sync = Buffer.from([0x53, 0, 0, 0, 4])
const readyForQuery = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])

function occurrences(bytes: Buffer, part: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(part); at !== -1; at = bytes.indexOf(part, at + 1)) count++
  return count
}
