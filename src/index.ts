// The exports for an application. Tables are in `tenantry/schema`, the test helpers in `tenantry/testing`.
export { type OrgOptions, openTenancy, type Tenancy, type TenancyOptions } from './tenancy.js'
export type { BatchOrg, Org } from './org.js'
export { defineConfig, type TenantryConfig } from './config.js'
export type { OwnTables } from './declared.js'
export {
  type DefinedRepository,
  defineRepository,
  type LinkDefinition,
  type LinkRepository,
  type RepositoryDefinition,
} from './core/define-repository.js'
export { type RepositoryOptions, ScopedRepository } from './core/scoped-repository.js'
export type { InsertOptions, ManagedValues, PutSchema, ScopedTable, UpdateRowOptions } from './core/scoped-table.js'
export type { TableOptions } from './core/table-options.js'
export type { Result } from './core/executor.js'
export type { ChangeText } from './core/statements/change-text.js'
export type { Reference } from './core/statements/removals.js'
export type { OwnStatement } from './core/statements/statement-cache.js'
export type { TableNames, TablePlan } from './core/statements/table-plan.js'
export type { Guard, GuardedChange, Transition } from './core/statements/updates.js'
export type { Actor, RequestContext, Scope, TransactionOptions } from './core/scope.js'
export type { Filter, KeyValues } from './core/statements/filters.js'
export type { ListOptions, Page } from './core/statements/pages.js'
export { newId } from './core/ids.js'
export type { Query } from './core/query.js'
export type { CountedRows } from './core/scoped-database.js'
export type { ConnectionEvent, OnQuery, QueryEvent } from './core/tracing.js'
export type { ClaimedTask, Lease } from './repositories/tasks.js'
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
