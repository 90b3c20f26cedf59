import { and, eq, sql as part } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { tasks } from 'tenantry/schema'
import type { BenchDatabase } from '../database.js'
import type { Peer } from './peer.js'

/** The driver alone, with nothing that keeps organizations apart but the predicate: what a read costs at least. */
export function openPostgres({ database }: BenchDatabase): Peer {
  const sql = postgres(database.adminUrl, { max: 1 })
  return {
    name: 'postgres.js, no isolation',
    isIsolated: false,
    async read(_, { orgId, id }) {
      const [task] = await sql<object[]>`select * from platform.tasks where org_id = ${orgId} and id = ${id}`
      return task
    },
    close: () => sql.end(),
  }
}

export function openIsolatedPostgres({ bindingUrl }: BenchDatabase): Peer {
  const sql = postgres(bindingUrl, { max: 1 })
  return {
    name: 'postgres.js, begin() with set_config',
    async read(bound, { orgId, id }) {
      const [, [task]] = await sql.begin((tx) => [
        tx`select set_config('tenantry.org_id', ${bound}, true)`,
        tx<object[]>`select * from platform.tasks where org_id = ${orgId} and id = ${id}`,
      ])
      return task
    },
    close: () => sql.end(),
  }
}

export function openDrizzleOverPostgres({ bindingUrl }: BenchDatabase): Peer {
  const client = postgres(bindingUrl, { max: 1 })
  const db = drizzle(client)
  return {
    name: 'drizzle over postgres.js, transaction() with set_config',
    read: (bound, { orgId, id }) =>
      db.transaction(async (tx) => {
        await tx.execute(part`select set_config('tenantry.org_id', ${bound}, true)`)
        const [task] = await tx
          .select()
          .from(tasks)
          .where(and(eq(tasks.orgId, orgId), eq(tasks.id, id)))
        return task
      }),
    close: () => client.end(),
  }
}
