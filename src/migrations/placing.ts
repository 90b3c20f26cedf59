import type { PgTable } from 'drizzle-orm/pg-core'
import { readPlacements } from '../access/distribution.js'
import { isCluster } from '../database/cluster.js'
import { withContext } from '../database/session-failure.js'
import type { Session } from '../database/session.js'
import { assertUnfiltered, distributeAll, distributeWithin } from './distribute.js'
import { type DistributedTable, planNewTables } from './distribution-plan.js'
import type { MigrateOptions } from './progress.js'

/** Places the tables that migrations create, each as its kind asks for, in a database that `distribute` has distributed. */
export interface Placing {
  /** For the run of the migrations. */
  readonly options: Pick<MigrateOptions, 'beforeForeignKey'>
  /** Places what is left, and returns every table that was placed since the start. */
  finish(): Promise<readonly DistributedTable[]>
}

/** On one server, and on a cluster before the first `distribute`, nothing is placed. */
export async function startPlacing(direct: Session, tables: readonly PgTable[]): Promise<Placing> {
  const own = withContext(direct, 'the placement of new tables')
  const due = async (session: Session) => planNewTables(await readPlacements(session), tables)
  if (!(await isCluster(own)) || (await due(own)) === undefined) {
    return { options: {}, finish: () => Promise.resolve([]) }
  }
  // By name, because a file that waits for a lock is rolled back and run again.
  const placed = new Map<string, DistributedTable>()
  const place = async (session: Session, distribute: typeof distributeWithin): Promise<void> => {
    const found = (await due(session)) ?? []
    if (found.length === 0) return
    await assertUnfiltered(session, found)
    await distribute(session, found)
    for (const table of found) placed.set(table.name, table)
  }
  return {
    // The cluster refuses a foreign key from a table of the coordinator alone to one in shards.
    options: { beforeForeignKey: (session) => place(session, distributeWithin) },
    async finish() {
      await place(own, distributeAll)
      return [...placed.values()]
    },
  }
}
