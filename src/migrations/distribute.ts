import type { PgTable } from 'drizzle-orm/pg-core'
import { type CarriedOut, carryOut, type Plan } from '../access/carry-out.js'
import { planClusterRights, planClusterSettings } from '../access/cluster-settings.js'
import { readPlacements } from '../access/distribution.js'
import { manifestOf } from '../access/manifest.js'
import { closeFunctions, planNodeFunctions, planNodeLogins } from '../access/node-objects.js'
import { MigrationError } from '../core/errors.js'
import { isCluster } from '../database/cluster.js'
import { withContext } from '../database/session-failure.js'
import { withMigrationLock } from '../database/session-lock.js'
import type { Session } from '../database/session.js'
import { type DistributedTable, type DistributionPlan, planDistribution } from './distribution-plan.js'
import { retriedTransaction } from './lock-retries.js'
import type { MigrateOptions } from './progress.js'

export interface DistributeOptions extends MigrateOptions {
  /** Nothing is changed: the result is what would be done. */
  readonly dryRun?: boolean
}

export interface Distributed extends DistributionPlan, CarriedOut {
  /** How many other nodes take shards. With none, every row stays on the coordinator. */
  readonly workers: number
  /** SQL that closes one more way around row security. Only a superuser may run it. */
  readonly advised: readonly string[]
}

/**
 * Distributes the tables over the nodes of a Citus cluster, each as its kind asks for: all of them, or none. Tables that are
 * distributed already stay as they are, so a second run changes nothing.
 */
export function distribute(
  direct: Session,
  tables: readonly PgTable[],
  { dryRun = false, ...options }: DistributeOptions = {},
): Promise<Distributed> {
  const session = withContext(direct, 'distribute')
  return withMigrationLock(session, options, async () => {
    await assertCoordinator(session)
    await assertOpenExtension(session)
    const plan = planDistribution(await readPlacements(session), tables)
    await assertUnfiltered(session, plan.tables)
    const workers = await countWorkers(session)
    const planObjects: Plan = async (session) => [
      ...(await planNodeFunctions(session)),
      ...(await planNodeLogins(session)),
    ]
    if (dryRun) {
      const due: string[] = []
      for (const planOne of [planObjects, planClusterSettings, planClusterRights]) due.push(...(await planOne(session)))
      return { ...plan, workers, done: due, remaining: [], advised: [] }
    }
    if (plan.tables.length > 0) {
      const schemas = [...new Set(manifestOf(tables).tables.map(({ schema }) => schema))]
      await retriedTransaction(session, retries, async () => {
        await distributeWithin(session, plan.tables)
        await closeFunctions(session, schemas)
      })
    }
    const objects = await carryOut(direct, 'distribute', planObjects)
    const settings = await carryOut(direct, 'distribute', planClusterSettings)
    const rights = await carryOut(direct, 'distribute', planClusterRights)
    return {
      ...plan,
      workers,
      done: [...objects.done, ...settings.done, ...rights.done],
      remaining: [...objects.remaining, ...settings.remaining],
      advised: rights.remaining,
    }
  })
}

async function countWorkers(session: Session): Promise<number> {
  const [row] = await session.query<{ count: number }>(
    `select pg_catalog.count(*)::int as count from pg_catalog.pg_dist_node where isactive and shouldhaveshards and noderole = 'primary' and groupid <> 0`,
  )
  return row?.count ?? 0
}

const retries = { lockTimeout: 5000, attempts: 5 }

export const distributeAll = (session: Session, tables: readonly DistributedTable[]): Promise<void> =>
  retriedTransaction(session, retries, () => distributeWithin(session, tables))

/** Distributes the tables in the transaction of the session, and moves their rows. */
export async function distributeWithin(session: Session, tables: readonly DistributedTable[]): Promise<void> {
  // Otherwise each table that refers to one of them would be changed too, into a kind of the cluster's own.
  await session.query('set local citus.enable_local_reference_table_foreign_keys = off')
  for (const { statement } of tables) await session.query(statement)
  // The rows from which the shards were filled are still on the coordinator, where no purge would find them.
  await session.query(
    'select pg_catalog.truncate_local_data_after_distributing_table(name::pg_catalog.regclass) from pg_catalog.unnest($1::text[]) name',
    [tables.map(({ name }) => name)],
  )
}

export async function assertCoordinator(session: Session): Promise<void> {
  if (!(await isCluster(session))) {
    throw new MigrationError(
      'this database is no Citus cluster: it has no extension citus. Where one machine is enough, nothing has to be distributed. ' +
        'Otherwise run `create extension citus` on every node, and add the workers on the coordinator: select citus_add_node(host, port)',
    )
  }
  const [here] = await session.query<{ isCoordinator: boolean }>(
    'select groupid = 0 as "isCoordinator" from pg_catalog.pg_dist_local_group',
  )
  if (here?.isCoordinator === true) return
  throw new MigrationError('this is a worker of the cluster. The url of its coordinator belongs in DATABASE_ADMIN_URL')
}

/** The functions that the role that migrates makes are closed to others, those of an extension too. Each read of a catalog calls this one. */
async function assertOpenExtension(session: Session): Promise<void> {
  const [row] = await session.query<{ owner: string }>(
    `select p.proowner::pg_catalog.regrole::text as owner from pg_catalog.pg_proc p join pg_catalog.pg_roles r on r.rolname = 'tenantry_app'
     where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace and p.proname = 'relation_is_a_known_shard'
       and not pg_catalog.has_function_privilege(r.oid, p.oid, 'execute')`,
  )
  if (row === undefined) return
  throw new MigrationError(
    `the functions of the extension citus are closed to the application, because ${row.owner}, who created it, also runs the migrations, and the ` +
      'functions that it makes are closed. On this node run drop extension citus, let another superuser create it, and add the nodes again',
  )
}

/** A role that row security binds would copy only the rows that it sees. */
export async function assertUnfiltered(session: Session, tables: readonly DistributedTable[]): Promise<void> {
  const [bound] = await session.query<{ name: string }>(
    'select name from pg_catalog.unnest($1::text[]) name where pg_catalog.row_security_active(name::pg_catalog.regclass) limit 1',
    [tables.map(({ name }) => name)],
  )
  if (bound === undefined) return
  throw new MigrationError(
    `row security binds this role in ${bound.name}: it would copy only a part of the rows. Distribute as the owner of the tables, with its ` +
      'url in DATABASE_ADMIN_URL; where a table has FORCE, run `alter table <name> no force row level security` first',
  )
}
