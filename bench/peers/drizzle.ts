import { and, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { tasks } from 'tenantry/schema'
import type { BenchDatabase } from '../database.js'
import type { Peer } from './peer.js'

export function openDrizzle({ bindingUrl }: BenchDatabase): Peer {
  const db = drizzle({ connection: { connectionString: bindingUrl, max: 1 } })
  return {
    name: 'drizzle, transaction() with set_config',
    goal: 5.1,
    goalOfFive: 10,
    read: (bound, { orgId, id }) =>
      db.transaction(async (tx) => {
        await tx.execute(sql`select set_config('tenantry.org_id', ${bound}, true)`)
        const [task] = await tx
          .select()
          .from(tasks)
          .where(and(eq(tasks.orgId, orgId), eq(tasks.id, id)))
        return task
      }),
    close: () => db.$client.end(),
  }
}
