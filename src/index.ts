// The exports for an application. Tables are in `tenantry/schema`, the test helpers in `tenantry/testing`.
export {
  type Authenticated,
  type AuthenticatedKey,
  type AuthenticatedSession,
  type InvitationPreviews,
  type OrganizationDirectory,
  type OrgOptions,
  openTenancy,
  type Tenancy,
} from './tenancy.js'
export type { TenancyOptions } from './tenancy-options.js'
export type { User } from './user.js'
export type { MyAuditLog } from './operations/my-audit-log.js'
export type {
  InvitationPreview,
  InvitationReference,
  MyInvitation,
  MyInvitations,
} from './operations/my-invitations.js'
export type { MyOrganization, MyOrganizations } from './operations/my-organizations.js'
export type { Entitlement, Entitlements, PlanEntitlements } from './operations/entitlements.js'
export type { OrgUsage, UsageSummary, UsageSummaryOptions, UsageTotal } from './operations/usage-summary.js'
export { type EvaluationOptions, Flags, type KeyedFlagOverride } from './operations/flags.js'
export type { FlagCacheOptions, FlagEvaluation, FlagReason } from './operations/flag-states.js'
export type { ManagedInvitations, ResendOptions, SentInvitation } from './operations/manage-invitations.js'
export type { IssuedSession, SessionFacts } from './operations/authenticate-session.js'
export type { Directory, Registration } from './operations/directory.js'
export type { SessionOptions } from './operations/session-policy.js'
export type { Sessions } from './operations/sessions.js'
export type { Profile, ProfileRow } from './operations/profile.js'
export type { AuditExportOptions, AuditListOptions, AuditLog } from './repositories/audit-logs.js'
export type { CreditBalance, Credits, CreditSpend, VoidCreditOptions } from './repositories/credits.js'
export type { RecordedUsage } from './repositories/usage.js'
export type { OrganizationProfile } from './repositories/organization.js'
export type { BillingProfile, TaxIds } from './repositories/billing-profiles.js'
export type { InvoicePayment, InvoiceStatus } from './repositories/invoices.js'
export type { OrgInvoices } from './operations/finalize-invoice.js'
export type { AddPaymentMethodOptions, PaymentMethods } from './repositories/payment-methods.js'
export type { Plans } from './operations/plans.js'
export type { CancelOptions, OrganizationSubscription } from './repositories/subscriptions.js'
export type { RateLimit } from './operations/authenticate-api-key.js'
export type { CreatedApiKey, ManagedApiKeys } from './operations/manage-api-keys.js'
export type { TokenFormat } from './encryption/tokens.js'
export type { BatchOrg, Org, PermissionName, Permissions } from './org.js'
export type { System } from './system.js'
export type { SystemOptions } from './operations/system-operation.js'
export type {
  AuditChains,
  AuditHead,
  AuditPlace,
  AuditProgress,
  SealedEntries,
  SealOptions,
  VerifiedChains,
  VerifyOptions,
} from './operations/audit-chains.js'
export type { NotSealed } from './operations/seal-audit-log.js'
export type { BrokenChain, ChainFault } from './operations/verify-audit-log.js'
export type { Billing } from './operations/billing.js'
export type { ProviderEvent } from './schema/billing-events.js'
export type { ReceivedEvent, ReceivedPart } from './operations/receive-event.js'
export type { Catalog, Catalogs } from './operations/catalogs.js'
export type { FairClaimOptions, RequeueOptions, SystemTasks } from './operations/claim-fairly.js'
export type {
  FireDueOptions,
  FiredSchedule,
  FiredSchedules,
  SystemSchedules,
  UnfiredSchedule,
} from './operations/fire-due-schedules.js'
export type { Fired } from './operations/fire-schedule.js'
export type { Maintained, Maintenance, MaintenanceOptions, MaintenanceProgress } from './operations/maintenance.js'
export type { PartitionAlarm } from './operations/partition-alarm.js'
export type { MaintenanceKind } from './operations/sweeps.js'
export type { EnsuredKeys, KeyOptions, KeyProgress, Keys, RewrappedKeys, RotatedKeys } from './operations/keys.js'
export type { MasterKeyNeeds, MasterKeyStatus } from './operations/master-keys.js'
export type { RetiredMasterKey } from './operations/retire-master-key.js'
export type { Organizations } from './operations/organizations.js'
export type { NewProvision, Provisioned } from './operations/provision.js'
export type { ChangedPerson, ForceOption, Users } from './operations/users.js'
export { defineConfig, type ConfigurableRole, type PermissionsOf, type TenantryConfig } from './config.js'
export type { OwnTables } from './declared.js'
export {
  type DefinedRepository,
  defineRepository,
  type LinkDefinition,
  type LinkRepository,
  type RepositoryDefinition,
} from './core/define-repository.js'
export { type RepositoryOptions, ScopedRepository } from './core/scoped-repository.js'
export type {
  InsertOptions,
  ManagedValues,
  PutOptions,
  PutSchema,
  RestoreOptions,
  RevealOptions,
  UpdateRowOptions,
  Why,
} from './core/row-options.js'
export type { ScopedTable } from './core/scoped-table.js'
export type { TableOptions } from './core/table-options.js'
export { type AllButOne, type LinkChanges, setLinks } from './core/set-links.js'
export type { Result } from './core/executor.js'
export type { CountableField, CountOf, RangedField, SummableField } from './core/statements/aggregates.js'
export type { ChangeText } from './core/statements/change-text.js'
export type { Include, Included, IncludeOptions, Including } from './core/statements/includes.js'
export type { RelatedRows, Relations, ToMany, ToManyThrough, ToOne } from './core/statements/relations.js'
export type { Reference } from './core/statements/removals.js'
export type { Revealed } from './core/statements/reveals.js'
export type { OwnStatement } from './core/statements/statement-cache.js'
export type { TableNames, TablePlan } from './core/statements/table-plan.js'
export type { Guard } from './core/statements/guard.js'
export type { GuardedChange, Transition } from './core/statements/updates.js'
export type { Actor, ActorKind, Impersonation } from './core/actor.js'
export type { IdempotentOptions, JsonOf } from './operations/idempotency.js'
export type { RequestContext } from './core/request-context.js'
export type { Scope, TransactionOptions } from './core/scope.js'
export type { ImpersonationOptions } from './operations/actors.js'
export type { ManagedMembers, NewServiceMember, Transfer } from './operations/manage-members.js'
export type { ManagedRoles, NewCustomRole } from './operations/manage-roles.js'
export type { BucketRange } from './core/time-buckets.js'
export type { ProjectCredentials } from './repositories/credentials.js'
export type {
  DatabaseChanges,
  DatabaseConnections,
  DatabaseMetricQuery,
  DatabaseMetrics,
  DatabaseValues,
  MetricAggregate,
  MetricBucket,
  ProjectDatabases,
} from './repositories/databases.js'
export type { ComputeValues, DiskValues, ProjectCompute, ProjectDisk } from './repositories/infrastructure.js'
export type {
  MeasuredValues,
  ProjectMetricBucket,
  ProjectMetricName,
  ProjectMetricQuery,
  ProjectMetrics,
} from './repositories/project-metrics.js'
export type {
  AddonChoice,
  AddonTotal,
  PricedAddon,
  ProjectAddonList,
  ProjectAddons,
} from './operations/project-addons.js'
export type { OrgProjects } from './operations/org-projects.js'
export type { ProjectMembers } from './operations/project-members.js'
export type { Filter, KeyValues } from './core/statements/filters.js'
export type {
  CountedPage,
  ListOptions,
  Page,
  PageContent,
  PageOf,
  PerhapsCountedPage,
  StreamOptions,
} from './core/statements/pages.js'
export type { Field, Selected, SelectOptions } from './core/statements/selections.js'
export { type Problem, type ProblemAnswer, problemOf, type ProblemOptions } from './http/problem.js'
export { rateLimitHeaders } from './http/rate-limit-headers.js'
export {
  type IdentifiedRequest,
  type IncomingRequest,
  readRequest,
  type ReadRequestOptions,
  type RequestHeaders,
} from './http/read-request.js'
export { Secret } from './schema/shared/secret.js'
export type { KeyContext, KeyProvider, WrappedKey } from './core/sealing.js'
export { newId } from './core/ids.js'
export { parseInput } from './core/values.js'
export type { Query } from './core/query.js'
export type { CountedRows } from './core/scoped-database.js'
export type { ConnectionEvent, ObservedEvent, OnQuery, QueryEvent } from './core/tracing.js'
export type { AgentRelations } from './repositories/agents.js'
export type { ApiKeyRelations } from './repositories/api-keys.js'
export type { LlmRelations, Llms } from './repositories/llms.js'
export type { MemberRelations } from './repositories/members.js'
export type { ProjectRelations } from './repositories/projects.js'
export type { RoleRelations } from './repositories/roles.js'
export type { ScheduleRelations } from './repositories/schedules.js'
export type { ClaimedTask, Lease, TaskRelations } from './repositories/tasks.js'
export type { ToolRelations, Tools } from './repositories/tools.js'
export type { WorkflowRelations } from './repositories/workflows.js'
export type { UpdateOptions } from './core/statements/update-options.js'
export {
  BrokenReferenceError,
  CommitUnknownError,
  ConflictError,
  DecryptError,
  DefinitionError,
  type ErrorDebug,
  type ErrorStatus,
  ForbiddenError,
  IdempotencyMismatchError,
  type InputFault,
  InsufficientCreditError,
  InvalidCursorError,
  InvalidInputError,
  InvalidOrgIdError,
  IsolationError,
  MigrationError,
  NoActiveOrganizationError,
  NotFoundError,
  OrganizationSuspendedError,
  PlanLimitError,
  PoolTimeoutError,
  QueryError,
  RateLimitedError,
  ResourceExhaustedError,
  RetryableError,
  type ProofFault,
  ScopeClosedError,
  TenantryError,
  TimeoutError,
  TransactionAbortedError,
  UnauthorizedError,
  UnavailableError,
  UnsafeRoleError,
  UnsafeStatementError,
  VersionConflictError,
} from './core/errors.js'
