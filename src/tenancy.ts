import type pg from 'pg'
import { InvalidInputError, UnsafeRoleError } from './core/errors.js'
import type { Binding, Executor } from './core/executor.js'
import { parseOrgId } from './core/ids.js'
import { trusted } from './core/rules.js'
import { DirectScope } from './core/scopes/direct-scope.js'
import { DebugScope } from './core/scopes/debug-scope.js'
import { readScopeOptions } from './core/scopes/scope-options.js'
import type { Actor, CursorKeys, RequestContext } from './core/scope.js'
import { isPool, type NewConnection } from './database/connection-pool.js'
import { assertUrl } from './database/pool-config.js'
import { proveConnection } from './access/connection-proof.js'
import { type OnQuery, traced } from './core/tracing.js'
import { ownItems, readOptions } from './core/values.js'
import { openNodePostgres } from './database/node-postgres.js'
import { proveStartup, searchPathOf } from './access/startup-proof.js'
import { type Declared, declare, type OwnTables } from './declared.js'
import { openEmbeddedDatabase } from './embedded.js'
import { derivedKeys, loadKeyring, passingKeyring } from './encryption/keyring.js'
import { Org } from './org.js'

export interface TenancyOptions {
  /** The url of the application's login, by convention in `DATABASE_URL`. `tenantry login create` creates the login. */
  readonly url?: string | undefined
  /**
   * pg's own pool options, or a pool of yours instead of a url. `connectionTimeoutMillis` is how long a call waits for a connection
   * (default 5,000), `statement_timeout` how long a statement may take (default 30,000). When a server stays silent for that time
   * and as long again, from one second to five, its connection is closed. A pool of yours keeps its own timeouts.
   */
  readonly pool?: pg.PoolConfig | pg.Pool | undefined
  /** PGlite instead of a server, migrated and ready: in memory, or in a directory. For trials and quick tests. */
  readonly embedded?: true | string | undefined
  /**
   * The master keys: `<id>:<32 bytes in base64>`, several with commas between, the active one first. Default: those of
   * `TENANTRY_KEYS`. When that is missing too, it is an error in production, and otherwise a key file in `.tenantry` is used.
   */
  readonly keys?: string | undefined
  /** Your own tables, as in your tenantry.config.ts. */
  readonly own?: OwnTables | undefined
  /**
   * Whether there is a transaction pooler such as PgBouncer; `pgbouncer=true` in the url means the same. By default it is detected,
   * unless the pooler refuses the settings of a new connection. Timeouts must then be set on the login: `alter role ... set
   * statement_timeout`.
   */
  readonly transactionPooler?: boolean | undefined
  /**
   * Called after each call and each transaction with the texts of its statements, its duration and its row counts, never with
   * parameters. The channels `tenantry:call`, `:transaction`, `:acquire` and `:connect` of `node:diagnostics_channel` publish more.
   */
  readonly onQuery?: OnQuery | undefined
  /**
   * For development: errors get `debug` with SQLSTATE, position, SQL text and the server's message, and a stack that begins at the
   * caller's line. The SQL text includes its literals. Only then may SQL text use `explain`, which estimates from the rows of every
   * organization.
   */
  readonly debug?: boolean | undefined
  /** Whether the database is a Citus cluster, which needs BEGIN and COMMIT around each call. */
  readonly citus?: boolean | undefined
  /** Your own relations, outside of the tables above, that the login may use: `public.countries`. */
  readonly allowRelations?: readonly string[] | undefined
  /** Your own functions that the login may execute although they are SECURITY DEFINER or written in C. */
  readonly allowFunctions?: readonly string[] | undefined
}

export interface OrgOptions {
  /** The authenticated user, service or key. Default: trusted code of the backend. Its permissions are not checked yet. */
  readonly actor?: Actor | undefined
  /** The origin of the request, for the audit log, which is not written yet. */
  readonly request?: RequestContext | undefined
  /** Cancels running calls when it is aborted, for example with the request. */
  readonly signal?: AbortSignal | undefined
  /** The server refuses every write of this scope. */
  readonly readOnly?: boolean | undefined
}

const maxTimer = 2_147_483_647
const defaultDrain = 10_000
const noOptions = readScopeOptions(undefined)

/** Creates the scopes. Its connections are proved unable to bypass row security. */
export class Tenancy {
  private readonly executor: Executor
  private readonly debug: boolean

  constructor(
    executor: Executor,
    private readonly cursorKeys: CursorKeys,
    { onQuery, debug = false }: Pick<TenancyOptions, 'onQuery' | 'debug'> = {},
  ) {
    this.executor = traced(executor, onQuery)
    this.debug = debug
  }

  /** The scope of one organization. It costs nothing, so open one for each request. Throws InvalidOrgIdError. */
  forOrg(orgId: string, options?: OrgOptions): Org {
    const { actor, request, signal, readOnly } = options === undefined ? noOptions : readScopeOptions(options)
    const binding: Binding = { kind: 'org', id: parseOrgId(orgId) }
    const { cursorKeys } = this
    const context = { binding, actor, request, signal, readOnly, cursorKeys, rules: trusted }
    const scope = new DirectScope(context, this.executor)
    return new Org(this.debug ? new DebugScope(scope) : scope)
  }

  /** Resolves when the database answers. */
  ping(): Promise<void> {
    return this.executor.ping()
  }

  /** Waits up to `drain` milliseconds (default 10,000) for running work, then ends every connection. */
  async close(options?: { drain?: number | undefined }): Promise<void> {
    const { drain = defaultDrain } = readOptions(options, ['drain'])
    // A longer time would overflow the timer, which would then fire at once.
    if (!Number.isInteger(drain) || (drain as number) < 0 || (drain as number) > maxTimer) {
      throw new InvalidInputError('drain', 'must be an integer of milliseconds, 0 or more')
    }
    return this.executor.close({ drain: drain as number })
  }
}

/** Opens the database and proves the connection. Throws UnsafeRoleError, which lists each fault with its mend. */
export async function openTenancy(options: TenancyOptions): Promise<Tenancy> {
  return open(checkedOptions(options))
}

async function open(options: TenancyOptions): Promise<Tenancy> {
  const declared = await declare(options.own)
  if (options.embedded !== undefined) {
    if (options.url || options.pool) throw new InvalidInputError('embedded', 'cannot be combined with url or pool')
    const keyring =
      options.embedded === true && options.keys === undefined ? passingKeyring() : loadKeyring(options.keys)
    const executor = await openEmbeddedDatabase(options.embedded, declared, options.debug)
    return new Tenancy(executor, { keys: derivedKeys(keyring, 'cursor') }, options)
  }
  const cursorKeys = { keys: derivedKeys(loadKeyring(options.keys), 'cursor') }
  return new Tenancy(await openServer(options, declared), cursorKeys, options)
}

/** Runs before anything is opened. */
function checkedOptions(options: unknown): TenancyOptions {
  const given = readOptions(options, [...optionRules.keys()])
  for (const [name, { what, isOne }] of optionRules) {
    const value = given[name]
    if (value !== undefined && !isOne(value)) throw new InvalidInputError(name, `must be ${what}`)
  }
  return given as TenancyOptions
}

interface OptionRule {
  readonly what: string
  readonly isOne: (value: unknown) => boolean
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
const text: OptionRule = { what: 'text', isOne: (value) => typeof value === 'string' }
const flag: OptionRule = { what: 'true or false', isOne: (value) => typeof value === 'boolean' }
const names: OptionRule = {
  what: 'a list of names',
  isOne: (value) => ownItems(value, 'names', 10_000).every((name) => typeof name === 'string'),
}

const optionRules: ReadonlyMap<keyof TenancyOptions, OptionRule> = new Map<keyof TenancyOptions, OptionRule>([
  ['url', text],
  ['pool', { what: 'a pool or pool options', isOne: isObject }],
  [
    'embedded',
    { what: 'true, or a directory', isOne: (value) => value === true || (typeof value === 'string' && value !== '') },
  ],
  ['keys', text],
  ['own', { what: 'an object with schema and migrations, the folder of its migrations', isOne: isOwnTables }],
  ['onQuery', { what: 'a function', isOne: (value) => typeof value === 'function' }],
  ['debug', flag],
  ['transactionPooler', flag],
  ['citus', flag],
  ['allowRelations', names],
  ['allowFunctions', names],
])

function isOwnTables(value: unknown): boolean {
  const { schema, migrations } = readOptions(value, ['schema', 'migrations', 'bookkeeping'], 'own')
  return isObject(schema) && typeof migrations === 'string'
}

async function openServer(options: TenancyOptions, declared: Declared): Promise<Executor> {
  const executor = openNodePostgres({
    pool: poolOf(options),
    isPooled: options.transactionPooler,
    blocks: options.citus,
    lookup: declared.lookup,
    debug: options.debug,
    onConnect: prover(options, declared),
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
function prover(options: TenancyOptions, declared: Declared): (connection: NewConnection) => Promise<void> {
  let whole: Promise<void> | undefined
  const { allowRelations = [], allowFunctions = [] } = options
  const allowed = { allowRelations, allowFunctions }
  return async (connection) => {
    if (whole === undefined) {
      whole = proveStartup(connection, declared.declarations, { role: 'tenantry_app', ...allowed }).then(refuse)
      // A failure must not be cached: the next attempt repeats the proof.
      whole.catch(() => (whole = undefined))
      return whole
    }
    await whole
    if (connection.isPooled) return
    const schemas = searchPathOf(declared.declarations, allowed)
    refuse(await proveConnection(connection, { role: 'tenantry_app', schemas }))
  }
}

function refuse({ faults }: { faults: UnsafeRoleError['faults'] }): void {
  if (faults.length > 0) throw new UnsafeRoleError(faults)
}
