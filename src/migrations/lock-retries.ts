import { setTimeout as pause } from 'node:timers/promises'
import { MigrationError } from '../core/errors.js'
import { refuseFilteredRows } from '../database/row-security.js'
import { oneShardAfterTheOther } from '../database/cluster.js'
import { LockNotFree } from '../database/session-failure.js'
import type { Session } from '../database/session.js'

export interface LockRetries {
  /** Milliseconds that each attempt waits for a table lock. */
  readonly lockTimeout: number
  readonly attempts: number
  /** Called before the pause that precedes the next attempt. */
  readonly onRetry?: (attempt: number) => Promise<void>
}

/**
 * Runs one transaction. While ALTER TABLE waits for its lock, all later statements on the table wait behind it. So an attempt that
 * does not get a lock in time is rolled back, and repeated after a pause. The error after the last one says so.
 */
export function retriedTransaction<T>(session: Session, retries: LockRetries, work: () => Promise<T>): Promise<T> {
  return retried(retries, async (lockTimeout) => {
    try {
      await session.query('begin')
      await session.query(refuseFilteredRows)
      await session.query(oneShardAfterTheOther)
      await session.query(`set local lock_timeout = ${lockTimeout}`)
      const result = await work()
      await session.query('commit')
      return result
    } catch (error) {
      await session.query('rollback').catch(() => undefined)
      throw error
    }
  })
}

/** The same for a statement that must not be in a transaction. */
export function retriedStatement(session: Session, retries: LockRetries, text: string): Promise<void> {
  return retried(retries, async (lockTimeout) => {
    await session.query(`set lock_timeout = ${lockTimeout}`)
    try {
      await session.query(text)
    } finally {
      await session.query('reset lock_timeout').catch(() => undefined)
    }
  })
}

/** Repeats what throws `LockNotFree`, after a pause each time. */
export async function retried<T>(
  { lockTimeout, attempts, onRetry }: LockRetries,
  work: (lockTimeout: number) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work(Math.max(1, Math.trunc(lockTimeout)))
    } catch (error) {
      if (!(error instanceof LockNotFree)) throw error
      if (attempt >= attempts) {
        throw new MigrationError(`${error.message}. Gave up after ${attempts} attempts, ${error.reason}`)
      }
      await onRetry?.(attempt)
      await pause(lockTimeout * Math.min(2 ** (attempt - 1), 8) * (0.75 + Math.random() / 2))
    }
  }
}
