import { TenantryError } from '../../core/errors.js'
import { failed, withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { retriedTransaction } from '../../migrations/lock-retries.js'

/**
 * A transaction in which no operator or function of somebody else is called, and in which days begin at midnight of UTC. A lock that is not
 * free in time is tried again.
 */
export const carryingTransaction = <T>(direct: Session, where: string, work: () => Promise<T>): Promise<T> =>
  retriedTransaction(withContext(direct, where), { lockTimeout: 500, attempts: 30 }, async () => {
    try {
      await direct.query('set transaction isolation level read committed')
      await direct.query('set local search_path = pg_catalog, pg_temp')
      await direct.query(`set local timezone = 'UTC'`)
      return await work()
    } catch (error) {
      throw error instanceof TenantryError ? error : failed(where, error)
    }
  })
