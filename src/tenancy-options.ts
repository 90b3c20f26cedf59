import type pg from 'pg'
import { InvalidInputError } from './core/errors.js'
import type { KeyProvider } from './core/sealing.js'
import type { OnQuery } from './core/tracing.js'
import { ownItems, readOptions } from './core/values.js'
import type { OwnTables } from './declared.js'
import type { TokenFormat } from './encryption/tokens.js'
import { flagAge, type FlagCacheOptions } from './operations/flag-states.js'
import { type SessionOptions, sessionPolicy } from './operations/session-policy.js'

export interface TenancyOptions {
  /** The url of the application's login, by convention in `DATABASE_URL`. `tenantry login create` creates the login. */
  readonly url?: string | undefined
  /**
   * The url of the login for `system()`, by convention in `SYSTEM_DATABASE_URL`. `tenantry login create <name> --system` creates the
   * login. It has a pool of its own.
   */
  readonly systemUrl?: string | undefined
  /**
   * pg's own pool options, or a pool of yours instead of a url. `connectionTimeoutMillis` is how long a call waits for a connection
   * (default 5,000), `statement_timeout` how long a statement may take (default 30,000). When a server stays silent for that time
   * and as long again, from one second to five, its connection is closed. A pool of yours keeps its own timeouts. With `pipeline: false`
   * the reads of one tick are not sent together.
   */
  readonly pool?: pg.PoolConfig | pg.Pool | undefined
  /** PGlite instead of a server, migrated and ready: in memory, or in a directory. For trials and quick tests. */
  readonly embedded?: true | string | undefined
  /**
   * The master keys: `<id>:<32 bytes in base64>`, several with commas between, the active one first; `{ file }` reads them from a
   * file. Default: those of `TENANTRY_KEYS`. When that is missing too, it is an error in production, and otherwise a key file in `.tenantry` is used.
   */
  readonly keys?: string | { readonly file: string } | undefined
  /**
   * Wraps the organizations' data keys under a master key elsewhere, such as a key service. Default: the master keys of `keys` wrap
   * them.
   */
  readonly keyProvider?: KeyProvider | undefined
  /**
   * How tokens begin, those of API keys, sessions and invitations: `{ prefix: 'acme', env: 'test' }`. Default: `tk` and `live`.
   */
  readonly tokens?: TokenFormat | undefined
  /** How long sessions last: `{ maxAge, maxIdle, refreshGrace }`, in seconds. */
  readonly sessions?: SessionOptions | undefined
  /**
   * The id of the billing plan whose limits count while a subscription has ended or is incomplete, after a trial has ended, and for an
   * organization without a subscription. Default: the limits of its own plan stay, and without a subscription there are no limits.
   */
  readonly fallbackPlan?: string | undefined
  /** How old an answer of `org.flags` may be: `{ maxAge }` in seconds, 30 by default. 0 reads each time. */
  readonly flags?: FlagCacheOptions | undefined
  /** Your own tables and permissions, as in your tenantry.config.ts. */
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
  /** Your own relations, outside of the tables above, that the login may use: `public.countries`. */
  readonly allowRelations?: readonly string[] | undefined
  /** Your own functions that the login may execute although they are SECURITY DEFINER or written in C. */
  readonly allowFunctions?: readonly string[] | undefined
}

/** Runs before anything is opened. */
export function checkedOptions(options: unknown): TenancyOptions {
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
  ['systemUrl', text],
  ['pool', { what: 'a pool or pool options', isOne: isObject }],
  [
    'embedded',
    { what: 'true, or a directory', isOne: (value) => value === true || (typeof value === 'string' && value !== '') },
  ],
  ['keys', { what: 'text, or an object with file', isOne: isKeys }],
  ['keyProvider', { what: 'an object with activeId, ids, wrap and unwrap', isOne: isKeyProvider }],
  ['tokens', { what: 'an object with prefix and env', isOne: isTokenFormat }],
  ['own', { what: 'an object with schema and migrations, the folder of its migrations', isOne: isOwnTables }],
  ['sessions', { what: 'an object with maxAge, maxIdle and refreshGrace', isOne: isSessionOptions }],
  ['fallbackPlan', text],
  ['flags', { what: 'an object with maxAge', isOne: isFlagCacheOptions }],
  ['onQuery', { what: 'a function', isOne: (value) => typeof value === 'function' }],
  ['debug', flag],
  ['transactionPooler', flag],
  ['allowRelations', names],
  ['allowFunctions', names],
])

function isKeys(value: unknown): boolean {
  return typeof value === 'string' || (isObject(value) && typeof readOptions(value, ['file'], 'keys').file === 'string')
}

/** It may be an instance of a class, so that its properties need not be its own. */
function isKeyProvider(value: unknown): boolean {
  if (!isObject(value)) return false
  const { activeId, ids, wrap, unwrap } = value as Partial<Record<keyof KeyProvider, unknown>>
  const isId = (id: unknown) => typeof id === 'string' && id !== '' && id.length <= 255
  const methods = typeof wrap === 'function' && typeof unwrap === 'function'
  return methods && isId(activeId) && Array.isArray(ids) && ids.every(isId) && ids.includes(activeId)
}

function isSessionOptions(value: unknown): boolean {
  sessionPolicy(value)
  return true
}

function isFlagCacheOptions(value: unknown): boolean {
  flagAge(value)
  return true
}

function isTokenFormat(value: unknown): boolean {
  const { env } = readOptions(value, ['prefix', 'env'], 'tokens')
  return env === undefined || env === 'live' || env === 'test'
}

const ownNames = ['schema', 'migrations', 'bookkeeping', 'permissions', 'roles'] as const

function isOwnTables(value: unknown): boolean {
  const { schema, migrations } = readOptions(value, ownNames, 'own')
  return isObject(schema) && typeof migrations === 'string'
}
