import type { PgTable } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { type Actor, makeActor } from './core/actor.js'
import { ForbiddenError, InvalidInputError, UnauthorizedError } from './core/errors.js'
import type { NamedAuthor } from './core/author.js'
import type { Binding, Executor } from './core/executor.js'
import { type OrgId, parseId, parseOrgId } from './core/ids.js'
import { type Rules, rulesOf, trusted } from './core/rules.js'
import { openScope } from './core/scopes/open-scope.js'
import { readScopeOptions, type ScopeOptions } from './core/scopes/scope-options.js'
import type { Scope, Secrets } from './core/scope.js'
import type { RequestContext } from './core/request-context.js'
import type { SharedReads } from './core/shared-reads.js'
import type { KeyProvider } from './core/sealing.js'
import { traced } from './core/tracing.js'
import { parseInput, readOptions } from './core/values.js'
import { declare } from './declared.js'
import { openEmbeddedDatabase } from './embedded.js'
import { type Keyring, loadKeyring, passingKeyring } from './encryption/keyring.js'
import { lateProvider } from './encryption/key-providers.js'
import { secretsOf } from './encryption/secrets.js'
import { authenticateApiKey, type RateLimit } from './operations/authenticate-api-key.js'
import { auditTrail } from './operations/audit-trail.js'
import {
  authenticateSession,
  type IssuedSession,
  refreshSession,
  type SessionFacts,
  type SessionWork,
} from './operations/authenticate-session.js'
import { type InvitationPreview, previewInvitation } from './operations/my-invitations.js'
import { Directory, findIdBySlug } from './operations/directory.js'
import { type FlagStates, sharedFlags } from './operations/flag-states.js'
import { assertFallbackPlan, planLimits } from './operations/plan-limits.js'
import { Plans } from './operations/plans.js'
import { sealing } from './operations/sealed-columns.js'
import { sessionPolicy, type SessionPolicy } from './operations/session-policy.js'
import { Org } from './org.js'
import { permissionCatalog } from './schema/built-in-roles.js'
import * as shape from './schema/shared/shapes.js'
import { platformTables } from './schema/tables.js'
import { User } from './user.js'
import { openServer, openServers, systemPool } from './open-servers.js'
import { checkedOptions, type TenancyOptions } from './tenancy-options.js'
import { type System, systemOf } from './system.js'
import type { SystemOptions } from './operations/system-operation.js'

export interface OrgOptions {
  /** Who acts, from `org.actorFor` or `tenancy.job`: every call is checked. Default: trusted code of the backend. */
  readonly actor?: Actor | undefined
  /** The origin of the request, for the audit log. */
  readonly request?: RequestContext | undefined
  /** Cancels running calls when it is aborted, for example with the request. */
  readonly signal?: AbortSignal | undefined
  /** The server refuses every write of this scope. */
  readonly readOnly?: boolean | undefined
}

/** The scope that an API key opened. */
export interface AuthenticatedKey {
  readonly org: Org
  readonly actor: Actor
  /** Undefined for a key without a limit. */
  readonly rateLimit: RateLimit | undefined
}

/**
 * The scopes that a session token opened. `org` and `actor` are undefined when the session has chosen no organization, when the person may
 * not act there any more, and while the organization is suspended.
 */
export type AuthenticatedSession = { readonly user: User; readonly session: SessionFacts } & (
  | { readonly org: Org; readonly actor: Actor }
  | { readonly org: undefined; readonly actor: undefined }
)

/** What either kind of token opened. `user` and `session` are undefined for an API key, `rateLimit` for a session. */
export type Authenticated =
  | (AuthenticatedKey & { readonly user: undefined; readonly session: undefined })
  | (AuthenticatedSession & { readonly rateLimit: undefined })

/** Organizations by what a request says of them. */
export interface OrganizationDirectory {
  /** The id of the live organization with that slug. */
  findIdBySlug(slug: string): Promise<string | undefined>
}

/** Invitations by their token. */
export interface InvitationPreviews {
  /** What the page behind the link shows. Undefined for a token that opens nothing. */
  preview(token: string): Promise<InvitationPreview | undefined>
}

interface TenancySettings extends Pick<TenancyOptions, 'onQuery' | 'debug' | 'sessions' | 'fallbackPlan' | 'flags'> {
  /** Every table that there is. Default: those of the library. */
  readonly tables?: readonly PgTable[]
  /** Every permission that there is. Default: those of the library. */
  readonly allPermissions?: ReadonlySet<string>
}

const libraryPermissions: ReadonlySet<string> = new Set(Object.keys(permissionCatalog))
const jobName = z.strictObject({ label: shape.label(200) })
const maxTimer = 2_147_483_647
const defaultDrain = 10_000
const noOptions = readScopeOptions(undefined)

/** Creates the scopes. Its connections are proved unable to bypass row security. */
export class Tenancy {
  private readonly executor: Executor
  private readonly systemExecutor: Executor | undefined
  private readonly debug: boolean
  /** A function: tables refer to each other, and JSON cannot be written of them. */
  private readonly tables: () => readonly PgTable[]
  private readonly allPermissions: ReadonlySet<string>
  private readonly policy: SessionPolicy
  /** Undefined where each evaluation reads. */
  private readonly flags: SharedReads<FlagStates> | undefined
  /** The rules of a scope without an actor. */
  private readonly backend: Rules

  /** `system` may be the same executor: the embedded database has one session for both roles. */
  constructor(
    executor: Executor,
    private readonly secrets: Secrets,
    settings: TenancySettings = {},
    system?: Executor,
  ) {
    const { onQuery, debug = false, sessions, fallbackPlan, flags } = settings
    const { tables = platformTables, allPermissions = libraryPermissions } = settings
    this.executor = traced(executor, onQuery)
    this.systemExecutor = system === executor ? this.executor : system && traced(system, onQuery)
    this.debug = debug
    this.tables = () => tables
    this.allPermissions = allPermissions
    this.policy = sessionPolicy(sessions)
    this.flags = sharedFlags(this.executor, flags)
    this.backend = {
      ...trusted,
      ...planLimits(fallbackPlan),
      ...sealing(secrets.dataKeys),
      audit: auditTrail,
      flags: this.flags,
    }
  }

  /** The scope of one organization. It costs nothing, so open one for each request. Throws InvalidOrgIdError. */
  forOrg(orgId: string, options?: OrgOptions): Org {
    return this.orgScope(parseOrgId(orgId), options === undefined ? noOptions : readScopeOptions(options))
  }

  private orgScope(id: OrgId, options: ScopeOptions): Org {
    const { actor } = options
    const binding: Binding = { kind: 'org', id }
    if (actor?.orgId !== undefined && actor.orgId !== binding.id) {
      throw new ForbiddenError(undefined, 'this actor belongs to another organization')
    }
    return new Org(this.scopeOf(binding, options))
  }

  private scopeOf(binding: Binding, options: ScopeOptions, author?: NamedAuthor): Scope {
    const { actor, request, signal, readOnly } = options
    const { cursorKeys, tokens } = this.secrets
    const rules = rulesOf(actor, this.backend, this.allPermissions)
    // Each property by its name: spreading the options and the secrets took 11 µs.
    const context = {
      actor,
      author,
      request,
      signal,
      readOnly,
      binding,
      cursorKeys,
      tokens,
      rules,
      isolation: undefined,
    }
    return openScope(context, this.executor, this.debug)
  }

  /** The actor for a job of yours: it has every permission in every organization. Its name is in the audit log. */
  job(name: string): Actor {
    const { label } = parseInput(jobName, { label: name })
    return makeActor({ kind: 'system', label, permissions: [], isTrusted: true })
  }

  /**
   * The scope of the organization that an API key belongs to, with the key as its actor. It counts towards the key's hourly limit.
   * Throws UnauthorizedError, always the same, and RateLimitedError. Text that is no token sends nothing.
   */
  async authenticateApiKey(token: string, options?: Omit<OrgOptions, 'actor'>): Promise<AuthenticatedKey> {
    const given = readScopeOptions(options)
    const { tokens } = this.secrets
    const { orgId, actor, rateLimit } = await authenticateApiKey(this.executor, tokens, token, given.signal)
    return { org: this.orgScope(parseOrgId(orgId), { ...given, actor }), actor, rateLimit }
  }

  /**
   * The scopes that an API key or a session token opens: the first characters of a token say which of the two it is. Throws as
   * `authenticateApiKey` and `authenticateSession` do, and UnauthorizedError where there is no token.
   */
  async authenticate(token: string | undefined, options?: Omit<OrgOptions, 'actor'>): Promise<Authenticated> {
    if (token === undefined) throw new UnauthorizedError()
    if (this.secrets.tokens.isSession(token)) {
      return { ...(await this.authenticateSession(token, options)), rateLimit: undefined }
    }
    return { ...(await this.authenticateApiKey(token, options)), user: undefined, session: undefined }
  }

  /** The scope of one person: their own row, sessions, organizations, invitations and log. It costs nothing. */
  forUser(userId: string, options?: Omit<OrgOptions, 'actor'>): User {
    return this.userOf(userId, options === undefined ? noOptions : readScopeOptions(options))
  }

  private userOf(userId: string, options: ScopeOptions): User {
    const author: NamedAuthor = { actorKind: 'user', actorId: userId, actorLabel: undefined }
    const openOrg = (orgId: string) =>
      this.scopeOf({ kind: 'org', id: parseOrgId(orgId) }, { ...options, actor: undefined }, author)
    return new User(this.userScope(userId, options), this.policy, openOrg)
  }

  private userScope(userId: string, options: ScopeOptions = noOptions): Scope {
    return this.scopeOf({ kind: 'user', id: parseId(userId, 'userId') }, { ...options, actor: undefined })
  }

  /** People by their address or by the host's own id, and registering them. */
  get users(): Directory {
    return new Directory(this.executor, (userId) => this.userScope(userId))
  }

  /** `findIdBySlug(slug)` looks up the id of an organization, for a request to its subdomain. */
  get organizations(): OrganizationDirectory {
    return { findIdBySlug: (slug) => findIdBySlug(this.executor, slug) }
  }

  /** `list()` gives the plans that an organization can subscribe to, for a page of prices. */
  get plans(): Plans {
    return new Plans(this.executor)
  }

  /** `preview(token)` shows an invitation to whoever has its token, before they sign in. */
  get invitations(): InvitationPreviews {
    return { preview: (token) => previewInvitation(this.executor, this.secrets.tokens, token) }
  }

  /**
   * The person whom a session token belongs to, in the scope of the organization that the session has chosen. Throws UnauthorizedError,
   * always the same. Text that is no token sends nothing.
   */
  async authenticateSession(token: string, options?: Omit<OrgOptions, 'actor'>): Promise<AuthenticatedSession> {
    const given = readScopeOptions(options)
    const { userId, session, actor } = await authenticateSession(this.sessionWork, token, given.signal)
    const user = this.userOf(userId, given)
    if (actor?.orgId === undefined) return { user, session, org: undefined, actor: undefined }
    return { user, session, org: this.orgScope(parseOrgId(actor.orgId), { ...given, actor }), actor }
  }

  /**
   * Replaces both tokens of a session. A refresh token that was used before ends the session, because two have it. Throws
   * UnauthorizedError, always the same.
   */
  refreshSession(refreshToken: string, request?: RequestContext): Promise<IssuedSession> {
    return refreshSession(this.sessionWork, refreshToken, readScopeOptions({ request }).request)
  }

  private get sessionWork(): SessionWork {
    return { executor: this.executor, tokens: this.secrets.tokens, policy: this.policy }
  }

  /**
   * Named operations across organizations, such as provisioning one. Each is recorded with the actor and the reason. Needs
   * `openTenancy({ systemUrl })`, or an embedded database.
   */
  system(operator: SystemOptions): System {
    const executor = this.systemExecutor
    if (executor === undefined) {
      throw new InvalidInputError(
        'systemUrl',
        'is missing: create a login with `tenantry login create <name> --system`, set SYSTEM_DATABASE_URL, and pass it to openTenancy',
      )
    }
    const { secrets, tables, debug, flags } = this
    return systemOf({ executor, secrets, tables, debug, flags }, operator)
  }

  /** Resolves when the database answers. */
  ping(): Promise<void> {
    return this.both((executor) => executor.ping())
  }

  /** Waits up to `drain` milliseconds (default 10,000) for running work, then ends every connection. */
  async close(options?: { drain?: number | undefined }): Promise<void> {
    const { drain = defaultDrain } = readOptions(options, ['drain'])
    // A longer time would overflow the timer, which would then fire at once.
    if (!Number.isInteger(drain) || (drain as number) < 0 || (drain as number) > maxTimer) {
      throw new InvalidInputError('drain', 'must be an integer of milliseconds, 0 or more')
    }
    this.flags?.forgetAll()
    return this.both((executor) => executor.close({ drain: drain as number }))
  }

  private async both(ask: (executor: Executor) => Promise<void>): Promise<void> {
    const executors = new Set([this.executor, this.systemExecutor ?? this.executor])
    await Promise.all([...executors].map(ask))
  }
}

/** Opens the database and proves the connection. Throws UnsafeRoleError, which lists each fault with its mend. */
export async function openTenancy(options: TenancyOptions): Promise<Tenancy> {
  return open(checkedOptions(options))
}

async function open(options: TenancyOptions): Promise<Tenancy> {
  const declared = await declare(options.own)
  const settings = { ...options, tables: declared.tables, allPermissions: declared.allPermissions }
  if (options.embedded !== undefined) {
    if (options.url || options.systemUrl || options.pool)
      throw new InvalidInputError('embedded', 'cannot be combined with url, systemUrl or pool')
    const keyring =
      options.embedded === true && options.keys === undefined ? passingKeyring() : loadKeyring(options.keys)
    const executor = await openEmbeddedDatabase(options.embedded, declared, options.debug)
    return openWith(executor, secretsOf(keyring, options.tokens, options.keyProvider), settings, executor)
  }
  const secrets = secretsOf(loadKeyring(options.keys), options.tokens, options.keyProvider)
  const { app, system } = await openServers(options, declared)
  return openWith(app, secrets, settings, system)
}

async function openWith(
  app: Executor,
  secrets: Secrets,
  settings: TenancySettings,
  system?: Executor,
): Promise<Tenancy> {
  const tenancy = new Tenancy(app, secrets, settings, system)
  try {
    if (settings.fallbackPlan !== undefined) await assertFallbackPlan(app, settings.fallbackPlan)
    return tenancy
  } catch (error) {
    await tenancy.close({ drain: 0 })
    throw error
  }
}

/** The operations across organizations without the application's login, for the command line. */
export interface OpenSystem {
  system(operator: SystemOptions): System
  close(): Promise<void>
}

/** The master keys of a command. */
export interface CommandKeys {
  /** Undefined where there is none: then the audit log is not sealed, because other keys than the application's would break the chains. */
  readonly keyring: Keyring | undefined
  /** Called where a data key is wrapped or unwrapped. */
  readonly provider: () => KeyProvider
}

export async function openSystem(
  place: { readonly url: string } | { readonly embedded: string },
  options: Pick<TenancyOptions, 'own' | 'allowRelations' | 'allowFunctions'>,
  { keyring, provider }: CommandKeys,
): Promise<OpenSystem> {
  const declared = await declare(options.own)
  const executor =
    'embedded' in place
      ? await openEmbeddedDatabase(place.embedded, declared)
      : await openServer('tenantry_system', systemPool(place.url), options, declared)
  const made = secretsOf(keyring ?? passingKeyring(), undefined, lateProvider(provider))
  // The command line knows no provider of the host's: what a key of TENANTRY_KEYS does not open, it did not wrap.
  const secrets = { ...made, chainKeys: keyring && made.chainKeys, hasKeyProvider: false }
  return {
    system: (operator) =>
      systemOf({ executor, secrets, tables: () => declared.tables, debug: false, flags: undefined }, operator),
    close: () => executor.close({ drain: 0 }),
  }
}
