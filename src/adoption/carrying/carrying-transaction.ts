import { TenantryError } from '../../core/errors.js'
import { refuseFilteredRows } from '../../database/row-security.js'
import { failed, LockNotFree, withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import type { Reader } from '../read-only.js'
import { retriedTransaction } from '../../migrations/lock-retries.js'

export const carryingRetries = { lockTimeout: 500, attempts: 30 }

/**
 * No operator or function of somebody else is called, days begin at midnight of UTC, the text of a number has all its digits, and a text is
 * read as a time by no order of day and month that a login has chosen.
 */
const settings = [
  'set local search_path = pg_catalog, pg_temp',
  `set local timezone = 'UTC'`,
  `set local datestyle = 'ISO, YMD'`,
  'set local extra_float_digits = 1',
]

/** A transaction of a step. A lock that is not free in time is tried again. */
export const carryingTransaction = <T>(direct: Session, where: string, work: () => Promise<T>): Promise<T> =>
  retriedTransaction(withContext(direct, where), carryingRetries, async () => {
    await direct.query('set transaction isolation level read committed')
    return explained(direct, where, work)
  })

/**
 * Takes a lock on all of these tables, or on none: writers wait behind the first as long as the last is waited for. In the transaction of the
 * caller.
 */
export async function lockTogether(
  session: Session,
  sources: readonly string[],
  mode: 'share row exclusive' | 'access exclusive' = 'share row exclusive',
): Promise<void> {
  await inTime(session, () => session.query(`lock table ${sources.join(', ')} in ${mode} mode`))
}

/** No statement of `work` takes longer than writers may wait. In the transaction of the caller, which is tried again where one would. */
export async function inTime(session: Session, work: () => Promise<unknown>): Promise<void> {
  await session.query(`set local statement_timeout = ${carryingRetries.lockTimeout}`)
  try {
    await work()
  } catch (error) {
    // query_canceled
    if ((error as { code?: unknown }).code !== '57014') throw error
    throw new LockNotFree('the earlier tables: a lock was not free in time')
  }
  await session.query('set local statement_timeout = 0')
}

/**
 * The planner takes the many conditions of a row for rare, and would look through all rows of one table for each of the other. What is compared
 * as a whole is joined by hashes.
 */
export const asWhole = 'set local enable_nestloop = off'

/** A read-only transaction of which all statements see the same rows. */
export async function carryingSnapshot<T>(direct: Session, where: string, work: () => Promise<T>): Promise<T> {
  await withContext(direct, where).query('begin isolation level repeatable read read only')
  try {
    await direct.query(refuseFilteredRows)
    await direct.query(asWhole)
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

/** Reads each statement in such a transaction of its own. */
export const wholeReader = (session: Session): Reader => ({
  query: <Row>(text: string, params?: readonly unknown[]) =>
    carryingSnapshot(session, 'the earlier tables', () => session.query<Row>(text, params)),
})
