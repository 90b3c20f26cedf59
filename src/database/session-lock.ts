import { setTimeout as pause } from 'node:timers/promises'
import { MigrationError } from '../core/errors.js'
import type { Session } from './session.js'
import { withContext } from './session-failure.js'

export interface LockOptions {
  /** How long to wait for another migrator, in milliseconds. Default: 5 minutes. */
  readonly patience?: number
  /** Called once while another migrator is at work on this database, and awaited. */
  readonly onProgress?: (waiting: { readonly kind: 'waiting'; readonly holder: string }) => void | Promise<void>
}

// One lock for the whole database, because the sets refer to each other's tables. A 32-bit hash could collide.
const key = "pg_catalog.hashtextextended('tenantry migrations', 0)"

const holders = `
  from pg_catalog.pg_locks lock
  where lock.locktype = 'advisory' and lock.objsubid = 1 and lock.granted
    and lock.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
    and (lock.classid::bigint << 32 | lock.objid::bigint) = ${key}`

/**
 * Runs `work` while no other migrator works on this database. It can be nested. The lock belongs to one physical connection and ends
 * with it, so the session must be a direct one, not through a transaction pooler.
 */
export async function withMigrationLock<T>(direct: Session, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const session = withContext(direct, 'the lock of the migrator')
  await takeLock(session, options)
  let result: T
  try {
    result = await work()
  } catch (error) {
    // If the connection has failed, its end has freed the lock.
    await release(session).catch(() => undefined)
    throw error
  }
  await release(session)
  return result
}

/** Called inside each transaction: behind a transaction pooler it may run on a connection that does not have the lock. */
export async function assertLockHeld(session: Session): Promise<void> {
  const held = await session.query(`select ${holders} and lock.pid = pg_catalog.pg_backend_pid()`)
  if (held.length > 0) return
  throw new MigrationError(
    'this connection does not keep its advisory lock: it goes through a transaction pooler. Migrate over a direct connection',
  )
}

async function takeLock(session: Session, { patience = 300_000, onProgress }: LockOptions): Promise<void> {
  const end = performance.now() + patience
  let told = false
  // Polled: a statement that waits for the lock would hold a snapshot, for which CREATE INDEX CONCURRENTLY waits in turn.
  while (!(await tryLock(session))) {
    if (performance.now() >= end) {
      throw new MigrationError(
        `another migrator is still at work on this database: ${await holder(session)}. Nothing was done`,
      )
    }
    if (!told) await onProgress?.({ kind: 'waiting', holder: await holder(session) })
    told = true
    await pause(50 + Math.random() * 100)
  }
}

async function tryLock(session: Session): Promise<boolean> {
  const [row] = await session.query<{ locked: boolean }>(`select pg_catalog.pg_try_advisory_lock(${key}) as locked`)
  return row?.locked === true
}

async function release(session: Session): Promise<void> {
  await session.query(`select pg_catalog.pg_advisory_unlock(${key})`)
}

async function holder(session: Session): Promise<string> {
  const [row] = await session.query<{ pid: number; name: string | null; since: string | null }>(`
    select held.pid, activity.application_name as name, activity.backend_start::timestamptz(0)::text as since
    from (select lock.pid ${holders}) held left join pg_catalog.pg_stat_activity activity using (pid)`)
  if (row === undefined) return 'it has just ended'
  return `server process ${row.pid}${row.name ? ` (${row.name})` : ''}${row.since ? `, connected since ${row.since}` : ''}`
}
