import type pg from 'pg'
import { proveConnection } from './access/connection-proof.js'
import { proveStartup, searchPathOf, type StartupProofOptions } from './access/startup-proof.js'
import { InvalidInputError, UnsafeRoleError } from './core/errors.js'
import type { Executor } from './core/executor.js'
import { isPool, type NewConnection } from './database/connection-pool.js'
import { openNodePostgres } from './database/node-postgres.js'
import { assertUrl } from './database/pool-config.js'
import type { Declared } from './declared.js'
import type { TenancyOptions } from './tenancy-options.js'

/** The pool of the application's login and, where its url is given, that of the system's. */
export async function openServers(
  options: TenancyOptions,
  declared: Declared,
): Promise<{ app: Executor; system: Executor | undefined }> {
  const app = await openServer('tenantry_app', poolOf(options), options, declared)
  const { systemUrl } = options
  if (systemUrl === undefined) return { app, system: undefined }
  try {
    return { app, system: await openServer('tenantry_system', systemPool(systemUrl), options, declared) }
  } catch (error) {
    await app.close({ drain: 0 })
    throw error
  }
}

/** A few connections: its operations are rare, and the server's connections are the application's. */
export function systemPool(systemUrl: string): pg.PoolConfig {
  assertUrl('systemUrl', systemUrl)
  return { max: 2, connectionString: systemUrl }
}

type Role = StartupProofOptions['role']

export async function openServer(
  role: Role,
  pool: pg.PoolConfig | pg.Pool,
  options: TenancyOptions,
  declared: Declared,
): Promise<Executor> {
  const executor = openNodePostgres({
    pool,
    isPooled: options.transactionPooler,
    lookup: declared.lookup,
    onEveryNode: declared.onEveryNode,
    debug: options.debug,
    onConnect: prover(role, options, declared),
  })
  try {
    await executor.ping()
    return executor
  } catch (error) {
    await executor.close({ drain: 0 })
    throw error
  }
}

function poolOf({ url, pool }: TenancyOptions): pg.PoolConfig | pg.Pool {
  if (url !== undefined) {
    assertUrl('url', url)
    if (pool !== undefined && isPool(pool))
      throw new InvalidInputError('pool', 'must be pool options, not a pool, when a url is given')
    return { ...pool, connectionString: url }
  }
  if (pool === undefined || !(isPool(pool) || saysWhere(pool))) {
    throw new InvalidInputError('url', 'is missing; set DATABASE_URL and pass it, or pass embedded: true')
  }
  const { connectionString } = pool as pg.PoolConfig
  if (connectionString !== undefined) assertUrl('pool.connectionString', connectionString)
  return pool
}

/** With `pool: { max: 5 }` and an undefined url, pg would connect to the local machine. */
const saysWhere = (pool: pg.PoolConfig): boolean =>
  (['connectionString', 'host', 'port', 'user', 'database'] as const).some((name) => pool[name] !== undefined) ||
  ['PGHOST', 'PGUSER', 'PGDATABASE'].some((name) => process.env[name])

/** The whole proof on the first connection, the short one on each further one. Behind a pooler only one proof is made. */
function prover(role: Role, options: TenancyOptions, declared: Declared): (connection: NewConnection) => Promise<void> {
  let whole: Promise<void> | undefined
  const { allowRelations = [], allowFunctions = [] } = options
  const allowed = { allowRelations, allowFunctions }
  return async (connection) => {
    if (whole === undefined) {
      whole = proveStartup(connection, declared.declarations, {
        role,
        ...allowed,
        isCluster: connection.isCluster,
      }).then(refuse)
      // A failure must not be cached: the next attempt repeats the proof.
      whole.catch(() => (whole = undefined))
      return whole
    }
    await whole
    if (connection.isPooled) return
    const schemas = searchPathOf(declared.declarations, allowed)
    refuse(await proveConnection(connection, { role, schemas }))
  }
}

function refuse({ faults }: { faults: UnsafeRoleError['faults'] }): void {
  if (faults.length > 0) throw new UnsafeRoleError(faults)
}
