import { TenantryError } from '../../core/errors.js'
import { refuseFilteredRows } from '../../database/row-security.js'
import { failed, withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { retriedTransaction } from '../../migrations/lock-retries.js'

export const carryingRetries = { lockTimeout: 500, attempts: 30 }

/** No operator or function of somebody else is called, and days begin at midnight of UTC. */
const settings = ['set local search_path = pg_catalog, pg_temp', `set local timezone = 'UTC'`]

/** A transaction of a step. A lock that is not free in time is tried again. */
export const carryingTransaction = <T>(direct: Session, where: string, work: () => Promise<T>): Promise<T> =>
  retriedTransaction(withContext(direct, where), carryingRetries, async () => {
    await direct.query('set transaction isolation level read committed')
    return explained(direct, where, work)
  })

/** A read-only transaction of which all statements see the same rows. */
export async function carryingSnapshot<T>(direct: Session, where: string, work: () => Promise<T>): Promise<T> {
  await withContext(direct, where).query('begin isolation level repeatable read read only')
  try {
    await direct.query(refuseFilteredRows)
    return await explained(direct, where, work)
  } finally {
    await direct.query('rollback').catch(() => undefined)
  }
}

async function explained<T>(direct: Session, where: string, work: () => Promise<T>): Promise<T> {
  try {
    for (const setting of settings) await direct.query(setting)
    return await work()
  } catch (error) {
    throw error instanceof TenantryError ? error : failed(where, error)
  }
}
