import { doublePrecision, foreignKey, index, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { projects } from './projects.js'
import { ciphertext } from './shared/ciphertext.js'
import {
  createdAt,
  id,
  instant,
  literal,
  numberCheck,
  orgId,
  platform,
  softDelete,
  state,
  stateCheck,
  timestamps,
} from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json, type JsonObject } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const databaseTypes = ['postgresql', 'mongodb', 'redis'] as const
export const databaseStatuses = ['active', 'inactive', 'error'] as const
export const databaseHealths = ['healthy', 'degraded', 'down', 'unknown'] as const

/** A database that a project uses. Among the live databases of the project its name is unique. */
export const databases = platform.table(
  'databases',
  {
    orgId: orgId(),
    id: id(),
    projectId: uuid('project_id').notNull(),
    name: text('name').notNull(),
    type: state('type', databaseTypes).notNull(),
    connectionString: ciphertext('connection_string'),
    config: json<JsonObject>('config').notNull().default({}),
    status: state('status', databaseStatuses).notNull().default('active'),
    health: state('health', databaseHealths).notNull().default('unknown'),
    healthCheckedAt: instant('health_checked_at'),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    primaryKey({ name: 'databases_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('databases_name_key').on(t.orgId, t.projectId, t.name).where(literal('deleted_at is null')),
    foreignKey({
      name: 'databases_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }).onDelete('cascade'),
    index('databases_project_idx').on(t.orgId, t.projectId),
    index('databases_type_idx').on(t.orgId, t.type),
    index('databases_status_idx').on(t.orgId, t.status, t.id),
    index('databases_health_checked_at_idx').on(t.orgId, t.healthCheckedAt),
    stateCheck('databases_type_check', 'type', databaseTypes),
    stateCheck('databases_status_check', 'status', databaseStatuses),
    stateCheck('databases_health_check', 'health', databaseHealths),
    ...tenantTable('databases', t),
  ],
)
declareTable(databases, { kind: 'tenant', audited: true })

/** One measurement of a database. */
export const databaseMetrics = platform.table(
  'database_metrics',
  {
    orgId: orgId(),
    id: id(),
    databaseId: uuid('database_id').notNull(),
    metricType: text('metric_type').notNull(),
    value: doublePrecision('value').notNull(),
    recordedAt: instant('recorded_at').notNull().defaultNow(),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'database_metrics_pkey', columns: [t.orgId, t.databaseId, t.metricType, t.recordedAt, t.id] }),
    foreignKey({
      name: 'database_metrics_database_fkey',
      columns: [t.orgId, t.databaseId],
      foreignColumns: [databases.orgId, databases.id],
    }).onDelete('cascade'),
    numberCheck('database_metrics_value_check', 'value', `value > '-Infinity' and value < 'Infinity'`),
    ...tenantTable('database_metrics', t),
  ],
)
declareTable(databaseMetrics, { kind: 'tenant', appendOnly: true, partitionedBy: 'recorded_at' })

/** An event of a database's connections. It also has the database's project, for lists over a whole project. */
export const databaseConnectionLogs = platform.table(
  'database_connection_logs',
  {
    orgId: orgId(),
    id: id(),
    databaseId: uuid('database_id').notNull(),
    projectId: uuid('project_id').notNull(),
    eventType: text('event_type').notNull(),
    message: text('message'),
    recordedAt: instant('recorded_at').notNull().defaultNow(),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'database_connection_logs_pkey', columns: [t.orgId, t.recordedAt, t.id] }),
    foreignKey({
      name: 'database_connection_logs_database_fkey',
      columns: [t.orgId, t.databaseId],
      foreignColumns: [databases.orgId, databases.id],
    }).onDelete('cascade'),
    foreignKey({
      name: 'database_connection_logs_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }).onDelete('cascade'),
    index('database_connection_logs_database_idx').on(t.orgId, t.databaseId, t.recordedAt),
    index('database_connection_logs_project_idx').on(t.orgId, t.projectId, t.recordedAt),
    ...tenantTable('database_connection_logs', t),
  ],
)
declareTable(databaseConnectionLogs, { kind: 'tenant', appendOnly: true, partitionedBy: 'recorded_at' })

export const newDatabase = z.strictObject({
  projectId: shape.uuid,
  name: shape.label(),
  type: z.enum(databaseTypes),
  config: shape.jsonObject.optional(),
  status: z.enum(databaseStatuses).optional(),
})
export const databasePatch = newDatabase.omit({ projectId: true, type: true }).partial()
/** Not among the columns, so that a connection string can never be written in plain text. */
export const databaseSecrets = z.strictObject({ connectionString: shape.secret })
/** The result of a health check. */
export const databaseHealth = z.strictObject({
  health: z.enum(databaseHealths),
  healthCheckedAt: shape.instant.optional(),
})
export const newDatabaseMetric = z.strictObject({
  metricType: shape.label(100),
  value: z.number(),
  recordedAt: shape.instant.optional(),
})
export const newDatabaseConnectionLog = z.strictObject({
  eventType: shape.label(100),
  message: shape.text(10_000).nullish(),
  recordedAt: shape.instant.optional(),
})

export interface Database extends Row<typeof databases> {}
export interface NewDatabase extends z.input<typeof newDatabase> {}
export interface DatabasePatch extends z.input<typeof databasePatch> {}
export interface DatabaseSecrets extends z.input<typeof databaseSecrets> {}
export interface DatabaseHealth extends z.input<typeof databaseHealth> {}
export interface DatabaseMetric extends Row<typeof databaseMetrics> {}
export interface NewDatabaseMetric extends z.input<typeof newDatabaseMetric> {}
export interface DatabaseConnectionLog extends Row<typeof databaseConnectionLogs> {}
export interface NewDatabaseConnectionLog extends z.input<typeof newDatabaseConnectionLog> {}
