import { expect } from 'vitest'
import { isCluster } from '../../src/database/cluster.js'
import type { Session } from '../../src/database/session.js'

/**
 * Runs statements of the owner in a transaction, starts `work`, which has to wait for a lock that they took, and then commits.
 * Gives what came of the work.
 */
export async function behindChange<T>(
  admin: Session,
  change: () => Promise<unknown>,
  work: () => Promise<T>,
): Promise<T> {
  await admin.query('begin')
  try {
    await change()
    const waiting = work()
    waiting.catch(() => undefined)
    await expect.poll(() => isWaitedFor(admin), { interval: 5, timeout: 20_000 }).toBe(true)
    await admin.query('commit')
    return await waiting
  } catch (error) {
    await admin.query('rollback')
    throw error
  }
}

/** Whether anybody waits for the transaction of this session to end. */
async function isWaitedFor(session: Session): Promise<boolean> {
  const waiting = await session.query(
    (await isCluster(session))
      ? 'select from citus_lock_waits where blocking_gpid = citus_backend_gpid()'
      : `select from pg_locks where not granted and locktype = 'transactionid' and transactionid = pg_current_xact_id()::xid`,
  )
  return waiting.length > 0
}
