import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import type { BenchDatabase } from '../database.js'
import type { Peer } from './peer.js'

interface Tables {
  'platform.tasks': Record<'org_id' | 'id', string>
}

export function openKysely({ bindingUrl }: BenchDatabase): Peer {
  const pool = new pg.Pool({ connectionString: bindingUrl, max: 1 })
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  return {
    name: 'Kysely, transaction() with set_config',
    goal: 3.9,
    goalOfFive: 8,
    read: (bound, { orgId, id }) =>
      db.transaction().execute(async (tx) => {
        await sql`select set_config('tenantry.org_id', ${bound}, true)`.execute(tx)
        return tx
          .selectFrom('platform.tasks')
          .selectAll()
          .where('org_id', '=', orgId)
          .where('id', '=', id)
          .executeTakeFirst()
      }),
    close: () => db.destroy(),
  }
}
