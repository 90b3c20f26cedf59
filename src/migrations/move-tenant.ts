import type { PgTable } from 'drizzle-orm/pg-core'
import pg from 'pg'
import type { CarriedOut } from '../access/carry-out.js'
import { failed } from '../database/session-failure.js'
import { withMigrationLock } from '../database/session-lock.js'
import type { Session } from '../database/session.js'
import { retriedStatement } from './lock-retries.js'
import type { MigrateOptions } from './progress.js'
import { type ClusterNode, nameOf, type TenantShards, tenantShards } from './tenant-shards.js'

export interface TenantMoved extends CarriedOut {
  readonly tenant: TenantShards
}

export interface MoveOptions extends MigrateOptions {
  /** Nothing is changed: the statements are in `done`. */
  readonly dryRun?: boolean
}

/** Gives an organization shards of its own, on the node where it is. Does nothing where it has them. */
export const isolateTenant = (
  session: Session,
  declared: readonly PgTable[],
  organization: string,
  options: MoveOptions = {},
): Promise<TenantMoved> => changed(session, declared, organization, options, (tenant) => isolation(tenant))

/** Moves the shards of an organization to another node, after it has shards of its own. Does nothing where it is there. */
export const moveTenant = (
  session: Session,
  declared: readonly PgTable[],
  organization: string,
  to: ClusterNode,
  options: MoveOptions = {},
): Promise<TenantMoved> =>
  changed(session, declared, organization, options, (tenant) =>
    nameOf(tenant.node) === nameOf(to) ? [] : [...isolation(tenant), move(tenant, to)],
  )

/** How far a move is that another session has begun, in bytes. Undefined before and after it. */
export async function moveProgress(
  session: Session,
  tenant: { readonly id: string; readonly table: string },
): Promise<{ readonly done: number; readonly total: number } | undefined> {
  const [found] = await session.query<{ done: string | null; total: string | null }>(`
    with moves as materialized (select * from pg_catalog.get_rebalance_progress())
    select pg_catalog.sum(source_shard_size) as total, pg_catalog.sum(least(source_shard_size, target_shard_size)) as done
    from moves where sessionid in (select sessionid from moves where shardid = ${shardOf(tenant)})`)
  const total = Number(found?.total ?? 0)
  return total === 0 ? undefined : { done: Number(found?.done ?? 0), total }
}

type Located = TenantShards & { readonly table: string }

interface Step {
  readonly statement: string
  /** How many milliseconds it may wait for a lock before it is tried again. */
  readonly lockTimeout?: number
}

// The form that lets writers go on hangs in Citus 13.2.
const isolation = ({ id, table, bytes }: Located): Step[] =>
  bytes !== null
    ? []
    : [
        {
          statement: `select pg_catalog.isolate_tenant_to_new_shard(${pg.escapeLiteral(table)}, '${id}'::uuid, 'CASCADE', shard_transfer_mode => 'block_writes')`,
          lockTimeout: 5000,
        },
      ]

// Without a limit for locks: it takes the last one after all rows are copied.
function move({ id, table, node }: Located, to: ClusterNode): Step {
  const [from, there] = [node, to].map(({ host, port }) => `${pg.escapeLiteral(host)}, ${port}`)
  return {
    statement: `select pg_catalog.citus_move_shard_placement(${shardOf({ id, table })}, ${from}, ${there}, shard_transfer_mode => 'auto')`,
  }
}

/** Known only when the organization has shards of its own, so each statement asks for it. */
const shardOf = ({ id, table }: Pick<Located, 'id' | 'table'>): string =>
  `pg_catalog.get_shard_id_for_distribution_column(${pg.escapeLiteral(table)}, '${id}'::uuid)`

function changed(
  session: Session,
  declared: readonly PgTable[],
  organization: string,
  { dryRun = false, ...options }: MoveOptions,
  plan: (tenant: Located) => readonly Step[],
): Promise<TenantMoved> {
  return withMigrationLock(session, options, async () => {
    const tenant = await tenantShards(session, declared, organization)
    const steps = plan(tenant)
    const statements = steps.map(({ statement }) => statement)
    if (dryRun) return { tenant, done: statements, remaining: [] }
    const done: string[] = []
    for (const { statement, lockTimeout } of steps) {
      if (!(await attempt(asking(session, tenant.slug), statement, lockTimeout))) break
      done.push(statement)
    }
    return {
      tenant: await tenantShards(session, declared, tenant.id),
      done,
      remaining: statements.slice(done.length),
    }
  })
}

/** False when this role may not call the function of the cluster. */
async function attempt(session: Session, statement: string, lockTimeout: number | undefined): Promise<boolean> {
  try {
    if (lockTimeout === undefined) await session.query(statement)
    else await retriedStatement(session, { lockTimeout, attempts: 5 }, statement)
    return true
  } catch (error) {
    if (isDenied(error)) return false
    throw error
  }
}

const asking = (session: Session, slug: string): Session => ({
  ...session,
  query: <Row>(text: string, params?: readonly unknown[]) =>
    session.query<Row>(text, params).catch((error: unknown) => {
      throw isDenied(error) ? error : failed(`the shards of ${slug}`, error)
    }),
})

const isDenied = (error: unknown): boolean =>
  (error as { code?: unknown }).code === '42501' &&
  (error as Error).message.startsWith('permission denied for function ')
