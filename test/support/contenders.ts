import { test } from 'vitest'
import { isCluster } from '../../src/database/cluster.js'
import type { Session } from '../../src/database/session.js'

const rounds = Number(process.env.TENANTRY_ROUNDS ?? 1)

/** A test of what happens at once. `TENANTRY_ROUNDS=200` repeats it so often, each time with rows of its own. */
export function race(title: string, work: () => Promise<void>): void {
  test(title, { repeats: rounds - 1 }, work)
}

/** Runs the same work `contenders` times at once, and gives what came of each. */
export async function contend<T>(
  work: (contender: number) => Promise<T>,
  contenders = 20,
): Promise<{ won: T[]; lost: unknown[] }> {
  const settled = await Promise.allSettled(Array.from({ length: contenders }, (_, contender) => work(contender)))
  return {
    won: settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])),
    lost: settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : [])),
  }
}

/** A sort key, for lists whose order does not matter. */
export const ids = (rows: readonly { readonly id: string }[]): string[] => rows.map(({ id }) => id).sort()

/** The errors of calls that must all be refused. */
export async function refusalsOf(calls: readonly Promise<unknown>[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(calls)
  return settled.map((one) => (one.status === 'rejected' ? (one.reason as unknown) : 'not refused'))
}

/** Waits until so many sessions wait for a lock in a statement like that. */
export async function waitersFor(admin: Session, statement: string, count: number): Promise<void> {
  // On a cluster they wait on a worker.
  const find = (await isCluster(admin))
    ? 'select count(distinct waiting_gpid)::int as waiting from citus_lock_waits where blocked_statement like $1'
    : `select count(*)::int as waiting from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock' and query like $1`
  for (;;) {
    const [row] = await admin.query<{ waiting: number }>(find, [statement])
    if ((row?.waiting ?? 0) >= count) return
  }
}
