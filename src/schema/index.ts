// Every table, for drizzle-kit and for `tenantry/schema`.
export * from './addons.js'
export * from './agents.js'
export * from './api-keys.js'
export * from './audit-logs.js'
export * from './billing-events.js'
export * from './billing-plans.js'
export * from './billing-profiles.js'
export * from './credentials.js'
export * from './credits.js'
export * from './databases.js'
export * from './feature-flags.js'
export * from './idempotency-keys.js'
export * from './infrastructure.js'
export * from './invitations.js'
export * from './invoices.js'
export * from './llms.js'
export * from './members.js'
export * from './org-keys.js'
export * from './organizations.js'
export * from './payment-methods.js'
export * from './project-members.js'
export * from './project-metrics.js'
export * from './projects.js'
export * from './relations.js'
export * from './roles.js'
export * from './schedules.js'
export * from './sessions.js'
export * from './subscriptions.js'
export * from './tasks.js'
export * from './tools.js'
export * from './usage.js'
export * from './users.js'
export * from './workflows.js'
// The helpers, for your own tables.
export { bytes, type Ciphertext, ciphertext } from './shared/ciphertext.js'
export {
  createdAt,
  currency,
  id,
  instant,
  literal,
  lowerCaseCheck,
  money,
  numberCheck,
  orgId,
  platform,
  softDelete,
  state,
  stateCheck,
  timestamps,
} from './shared/columns.js'
export { tenantryApp, tenantrySystem, tenantTable, userTable } from './shared/isolation.js'
export { json, type JsonObject, type JsonValue } from './shared/json.js'
export { declareTable, type TableFacts, type TableKind } from './shared/kinds.js'
export { attributedTo, attribution } from './shared/references.js'
export type { Row } from './shared/rows.js'
export { Secret } from './shared/secret.js'
export { secret } from './shared/shapes.js'
