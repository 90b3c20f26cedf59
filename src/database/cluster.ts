import type { Session } from './session.js'

/**
 * A Citus cluster refuses a second change of a schema in one transaction where the first went to its shards side by side. A plain
 * server takes any setting with a dot in its name, and nothing reads this one.
 */
export const oneShardAfterTheOther = `set local citus.multi_shard_modify_mode = 'sequential'`

/** Whether the database is one of a Citus cluster, as a condition in SQL. */
export const isClusterSql = `exists (select from pg_catalog.pg_extension e where e.extname = 'citus')`

export async function isCluster(session: Pick<Session, 'query'>): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>(`select ${isClusterSql} as found`)
  return row?.found === true
}

/** What each connection to a cluster needs. `tenantry distribute` sets it for the database. */
export const clusterSettings: Readonly<Record<string, string>> = {
  // Without it no binding reaches a worker, and every statement is refused there.
  'citus.propagate_set_commands': 'local',
  // Otherwise a transaction that has read or changed several shards side by side may not change a table that is on every node.
  'citus.multi_shard_modify_mode': 'sequential',
  // Otherwise a write to a table that is on every node asks a worker to lock the tables that it refers to, which needs the right to change them.
  'citus.allow_modifications_from_workers_to_replicated_tables': 'off',
}
