import type { PgTable } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { readPlacements } from '../access/distribution.js'
import { manifestOf } from '../access/manifest.js'
import { InvalidInputError, MigrationError } from '../core/errors.js'
import { withContext } from '../database/session-failure.js'
import type { Session } from '../database/session.js'
import { assertCoordinator } from './distribute.js'

export interface ClusterNode {
  readonly host: string
  readonly port: number
}

/** An organization on a cluster. The shards that hold its rows, one of each table, are on one node. */
export interface TenantShards {
  readonly id: string
  readonly slug: string
  readonly node: ClusterNode
  /** The bytes of its shards where no other organization has rows in them, and null where it shares them. */
  readonly bytes: number | null
}

export interface SizedTenant extends TenantShards {
  /** In all sharded tables that are declared. */
  readonly rows: number
}

/** Its tables that are sharded by organization. They share one group, so the first stands for all of them. */
interface ShardedTables {
  readonly first: string
  readonly all: readonly string[]
}

/** The organizations with the most rows, the largest first. Reads every sharded table. */
export async function largestTenants(
  direct: Session,
  declared: readonly PgTable[],
  limit: number,
): Promise<{ readonly tenants: readonly SizedTenant[]; readonly hasMore: boolean }> {
  if (!Number.isSafeInteger(limit) || limit < 1) throw new InvalidInputError('--limit', 'must be a whole number from 1')
  const session = withContext(direct, 'the sizes of organizations')
  const tables = await shardedTables(session, declared)
  const organizations = await session.query<Organization>('select id, slug from platform.organizations')
  const rows = new Map(organizations.map(({ id }) => [id, 0]))
  for (const table of tables.all) {
    const counted = await session.query<{ id: string; rows: string }>(
      `select org_id as id, pg_catalog.count(*) as rows from ${table} group by org_id`,
    )
    for (const { id, rows: more } of counted) rows.set(id, (rows.get(id) ?? 0) + Number(more))
  }
  const sorted = organizations
    .map((organization) => ({ ...organization, rows: rows.get(organization.id) ?? 0 }))
    .sort((one, other) => other.rows - one.rows || (one.slug < other.slug ? -1 : 1))
  const shown = sorted.slice(0, limit)
  const shards = await shardsOf(session, tables, shown)
  return {
    tenants: shards.map((shard, at) => ({ ...shard, rows: shown[at]?.rows ?? 0 })),
    hasMore: sorted.length > limit,
  }
}

/** One organization by its slug or its id, and the table in which its shards are found. */
export async function tenantShards(
  direct: Session,
  declared: readonly PgTable[],
  organization: string,
): Promise<TenantShards & { readonly table: string }> {
  const session = withContext(direct, 'the shards of an organization')
  const tables = await shardedTables(session, declared)
  // The id comes first, because another organization may have it as its slug. A slug is free again when its organization is deleted, so
  // then the live one comes first.
  const found = await session.query<Organization>(
    `select id, slug from platform.organizations where slug = $1 or id::text = $1
     order by id::text <> $1, deleted_at is not null, deleted_at desc limit 1`,
    [organization.toLowerCase()],
  )
  const [shards] = await shardsOf(session, tables, found)
  if (shards === undefined) {
    throw new MigrationError(`no organization has the slug or the id ${organization}: see \`tenantry tenant list\``)
  }
  return { ...shards, table: tables.first }
}

/** The nodes that take shards. */
export const shardNodes = (session: Session): Promise<ClusterNode[]> =>
  session.query<ClusterNode>(`
    select nodename as host, nodeport as port from pg_catalog.pg_dist_node
    where isactive and shouldhaveshards and noderole = 'primary' order by nodename, nodeport`)

export const nameOf = ({ host, port }: ClusterNode): string => `${host}:${port}`

interface Organization {
  readonly id: string
  readonly slug: string
}

async function shardedTables(session: Session, declared: readonly PgTable[]): Promise<ShardedTables> {
  await assertCoordinator(session)
  const known = new Set(manifestOf(declared).tables.map(({ schema, name }) => `${schema}.${name}`))
  const all = (await readPlacements(session))
    .filter(({ schema, name, placement }) => placement === 'org_id' && known.has(`${schema}.${name}`))
    .map(({ label }) => label)
  const [first] = all
  if (first === undefined) {
    throw new MigrationError('the tables are not distributed over the nodes yet: run tenantry distribute')
  }
  return { first, all }
}

/** In the order of the organizations. */
async function shardsOf(
  session: Session,
  { first }: ShardedTables,
  organizations: readonly Organization[],
): Promise<TenantShards[]> {
  const table = pg.escapeLiteral(first)
  const rows = await session.query<ClusterNode & { id: string; bytes: string | null }>(
    `with wanted as materialized (
       select id, at, pg_catalog.get_shard_id_for_distribution_column(${table}, id) as shard
       from pg_catalog.unnest($1::uuid[]) with ordinality as ids(id, at)),
     sizes as materialized (select shardid, shard_size from pg_catalog.citus_shards)
     select w.id, n.nodename as host, n.nodeport as port,
       -- A shard of its own holds one value of the hash.
       case when s.shardminvalue = s.shardmaxvalue then (
         select pg_catalog.sum(size.shard_size)
         from pg_catalog.pg_dist_partition p
         join pg_catalog.pg_dist_shard twin on twin.logicalrelid = p.logicalrelid and twin.shardminvalue = s.shardminvalue
         join sizes size on size.shardid = twin.shardid
         where p.colocationid = (select colocationid from pg_catalog.pg_dist_partition where logicalrelid = ${table}::pg_catalog.regclass)) end as bytes
     from wanted w
     join pg_catalog.pg_dist_shard s on s.shardid = w.shard
     join pg_catalog.pg_dist_placement placement on placement.shardid = w.shard and placement.shardstate = 1
     join pg_catalog.pg_dist_node n on n.groupid = placement.groupid and n.noderole = 'primary'
     order by w.at`,
    [organizations.map(({ id }) => id)],
  )
  const slugs = new Map(organizations.map(({ id, slug }) => [id, slug]))
  return rows.map(({ id, host, port, bytes }) => ({
    id,
    slug: slugs.get(id) ?? '',
    node: { host, port },
    bytes: bytes === null ? null : Number(bytes),
  }))
}
