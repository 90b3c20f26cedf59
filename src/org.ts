import { type ScopedDatabase, scopedDatabase } from './core/scoped-database.js'
import { InvalidInputError } from './core/errors.js'
import { schemaExtender, type SchemaModule } from './core/relational-schema.js'
import type { Batched, Query } from './core/query.js'
import { ownerId } from './core/owner-id.js'
import { DebugScope } from './core/scopes/debug-scope.js'
import type { BatchResults, Scope, TransactionOptions } from './core/scope.js'
import type { ScopedRepository } from './core/scoped-repository.js'
import { Agents } from './repositories/agents.js'
import { Llms } from './repositories/llms.js'
import { AuditLog } from './repositories/audit-logs.js'
import { Credits } from './repositories/credits.js'
import { BillingProfile, TaxIds } from './repositories/billing-profiles.js'
import { OrganizationProfile } from './repositories/organization.js'
import type { Actor } from './core/actor.js'
import { actorFor, type ImpersonationOptions } from './operations/actors.js'
import { Entitlements } from './operations/entitlements.js'
import { idempotent, type IdempotentOptions, type JsonOf } from './operations/idempotency.js'
import { Flags } from './operations/flags.js'
import { OrgInvoices } from './operations/finalize-invoice.js'
import { OrgSchedules } from './operations/fire-schedule.js'
import { ManagedApiKeys } from './operations/manage-api-keys.js'
import { ManagedInvitations } from './operations/manage-invitations.js'
import { ManagedMembers } from './operations/manage-members.js'
import { ManagedRoles } from './operations/manage-roles.js'
import { OrgProjects } from './operations/org-projects.js'
import { OrgUsage } from './operations/usage-summary.js'
import { PaymentMethods } from './repositories/payment-methods.js'
import { OrganizationSubscription } from './repositories/subscriptions.js'
import { Tasks } from './repositories/tasks.js'
import { Tools } from './repositories/tools.js'
import { Workflows } from './repositories/workflows.js'
import { readOptions } from './core/values.js'
import type { PermissionKey } from './schema/built-in-roles.js'
import * as schema from './schema/index.js'

const withOwn = schemaExtender(schema)

/**
 * The permissions, for the type of `org.can`. Add your own, one by one or those of your config (`PermissionsOf<typeof config>`):
 *
 *     declare module 'tenantry' {
 *       interface Permissions { 'tickets:read': true }
 *     }
 */
export interface Permissions extends Record<PermissionKey, true> {}
export type PermissionName = Extract<keyof Permissions, string>

type RepositoryClass<Repository> = new (scope: Scope) => Repository

/** One organization: its scope reaches no other organization's rows. */
export class Org {
  private readonly made = new Map<RepositoryClass<unknown>, unknown>()
  private databases: Map<SchemaModule, unknown> | undefined

  private readonly orgId: string

  constructor(private readonly scope: Scope) {
    this.orgId = ownerId(scope, 'org')
  }

  get id(): string {
    return this.orgId
  }

  get agents(): Agents {
    return this.repository(Agents)
  }

  get apiKeys(): ManagedApiKeys {
    return this.repository(ManagedApiKeys)
  }

  get audit(): AuditLog {
    return this.repository(AuditLog)
  }

  /** The recipient of the invoices. */
  get billingProfile(): BillingProfile {
    return this.repository(BillingProfile)
  }

  /** Money granted to the organization, and what is left of it. */
  get credits(): Credits {
    return this.repository(Credits)
  }

  /** The limits of the plan beside what is in use. */
  get entitlements(): Entitlements {
    return this.repository(Entitlements)
  }

  /** The platform's feature flags, as they are for this organization. */
  get flags(): Flags {
    return this.repository(Flags)
  }

  get invitations(): ManagedInvitations {
    return this.repository(ManagedInvitations)
  }

  get invoices(): OrgInvoices {
    return this.repository(OrgInvoices)
  }

  /** The language models that the organization has configured. */
  get llms(): Llms {
    return this.repository(Llms)
  }

  get members(): ManagedMembers {
    return this.repository(ManagedMembers)
  }

  /** The organization's own row. */
  get organization(): OrganizationProfile {
    return this.repository(OrganizationProfile)
  }

  get paymentMethods(): PaymentMethods {
    return this.repository(PaymentMethods)
  }

  get projects(): OrgProjects {
    return this.repository(OrgProjects)
  }

  get roles(): ManagedRoles {
    return this.repository(ManagedRoles)
  }

  get schedules(): OrgSchedules {
    return this.repository(OrgSchedules)
  }

  /** The organization's plan and its period. */
  get subscription(): OrganizationSubscription {
    return this.repository(OrganizationSubscription)
  }

  get taxIds(): TaxIds {
    return this.repository(TaxIds)
  }

  get tasks(): Tasks {
    return this.repository(Tasks)
  }

  /** The tools that the organization has enabled. */
  get tools(): Tools {
    return this.repository(Tools)
  }

  /** What was used of each metric. */
  get usage(): OrgUsage {
    return this.repository(OrgUsage)
  }

  get workflows(): Workflows {
    return this.repository(Workflows)
  }

  /**
   * Whether whoever acts has the permission in the organization or, where a project is named, in that project. Without an actor the
   * scope is of backend code, which may do everything. Nothing is sent.
   */
  can(permission: PermissionName, options?: { readonly project?: string | undefined }): boolean {
    const { project } = readOptions(options, ['project'])
    return this.scope.context.actor?.can(permission, project as string | undefined) ?? true
  }

  /**
   * The actor for a person, with the rights that they have in this organization now: make one for each request, and pass it to
   * `forOrg`. Throws ForbiddenError for somebody who is not an active member, or is suspended, banned or deleted. With `by` somebody
   * acts in the person's name: without secrets, and without changing keys, members or payments.
   */
  actorFor(userId: string, impersonation?: ImpersonationOptions): Query<Actor> {
    return actorFor(this.scope, userId, impersonation)
  }

  /** A repository of your own, in this organization: `org.repository(Notes).list()`. */
  repository<Repository>(type: RepositoryClass<Repository>): Repository {
    let repository = this.made.get(type)
    if (repository === undefined) {
      repository = make(type, this.scope)
      this.made.set(type, repository)
    }
    return repository as Repository
  }

  /**
   * Drizzle's builder. Row security alone limits it to this organization. It sees deleted rows, and checks no permissions and
   * writes no audit entries. SQL text in it is trusted code.
   */
  get db(): ScopedDatabase<typeof schema> {
    return this.databaseOver(schema)
  }

  /** `db` with your own tables and relations in its `query`: `org.database(schema).query.tickets.findMany({ with: { agent: true } })`. */
  database<Own extends SchemaModule>(own: Own): ScopedDatabase<typeof schema & Own> {
    return this.databaseOver(withOwn(own) as typeof schema & Own)
  }

  /**
   * All calls in it take effect, or none. Inside another transaction it is a savepoint. The handle ends with the function.
   *
   * Inside, calls are sent in the order in which they are made: what is called beside a nested transaction or a method of several
   * steps waits until that has ended. While the function of a nested transaction runs, the outer handle is refused: use the handle
   * that the function received, or await the nested transaction first.
   */
  transaction<T>(work: (org: Org) => Promise<T>, options?: TransactionOptions): Promise<T> {
    return this.scope.transaction(ofScope(work), options)
  }

  /**
   * Sends several calls of one statement each in one round trip: `org.batch((org) => [org.agents.find(id), org.tasks.list()])`. All
   * of them take effect, or none: that takes a second trip where one call could be refused after another has written.
   */
  batch<const Calls extends readonly unknown[]>(collect: (org: BatchOrg) => Calls): Promise<BatchResults<Calls>> {
    return this.scope.batch(ofScope(collect))
  }

  /**
   * Runs `work` once for the key: its effects, the key and the answer are one transaction. Whoever comes with the same key waits for it
   * and gets the same answer; with another request, IdempotencyMismatchError. An error of `work` is thrown, and the key can be used again.
   * Everybody gets the answer in its JSON form.
   */
  idempotent<T>(
    key: string,
    request: unknown,
    work: (org: Org) => Promise<T>,
    options?: IdempotentOptions,
  ): Promise<JsonOf<T>> {
    return idempotent(this.scope, key, request, ofScope(work), options) as Promise<JsonOf<T>>
  }

  private databaseOver<Schema extends SchemaModule>(tables: Schema): ScopedDatabase<Schema> {
    if (this.scope instanceof DebugScope) return scopedDatabase(this.scope.here(), tables)
    this.databases ??= new Map()
    let database = this.databases.get(tables) as ScopedDatabase<Schema> | undefined
    if (database === undefined) {
      database = scopedDatabase(this.scope, tables)
      this.databases.set(tables, database)
    }
    return database
  }
}

/** Anything but a function is passed on: the scope rejects it with the reason. */
const ofScope = <T>(use: (org: Org) => T): ((scope: Scope) => T) =>
  isFunction(use) ? (scope) => use(new Org(scope)) : (use as never)

const isFunction = (value: unknown): boolean => typeof value === 'function'

/** Errors that the constructor throws are passed on. */
function make<Repository>(type: RepositoryClass<Repository>, scope: Scope): Repository {
  try {
    return new type(scope)
  } catch (error) {
    if (isClass(type)) throw error
    throw new InvalidInputError('repository', 'must be a class, such as defineRepository() returns')
  }
}

/** Tests for a constructor without running it. */
function isClass(value: unknown): boolean {
  try {
    Reflect.construct(Object, [], value as RepositoryClass<unknown>)
    return true
  } catch {
    return false
  }
}

/** An organization inside a batch: calls of one statement can be made, and are sent together. */
export type BatchOrg = {
  readonly [Name in keyof Org as Org[Name] extends ScopedRepository<object> ? Name : never]: Batched<Org[Name]>
} & {
  repository<Repository>(type: RepositoryClass<Repository>): Batched<Repository>
}
