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

/** Waits until so many sessions wait for a lock in a statement like that. On a cluster also in what it sends in front of one. */
export async function waitersFor(admin: Session, statement: string, count: number): Promise<void> {
  const find = (await isCluster(admin)) ? waitersOnCluster : waitersHere
  for (;;) {
    const [row] = await admin.query<{ waiting: number }>(find, [statement])
    if ((row?.waiting ?? 0) >= count) return
  }
}

const waitersHere = `
  select count(*)::int as waiting from pg_stat_activity
  where datname = current_database() and wait_event_type = 'Lock' and query like $1`

/** Most of them wait on a worker. */
const waitersOnCluster = `
  select count(*)::int as waiting from (
    select waiting_gpid from citus_lock_waits where blocked_statement like $1
    union
    select citus_calculate_gpid((select nodeid from pg_dist_node where groupid = 0), pid) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and (query like $1 or query like '%pg_advisory_xact_lock%')
  ) as found`
