import { bigint, index, inet, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { bytes } from './shared/ciphertext.js'
import { createdAt, id, literal, orgId, platform, state, stateCheck, timestamps } from './shared/columns.js'
import { orgIsolation, systemAccess } from './shared/isolation.js'
import { json, type JsonObject } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const actorKinds = ['user', 'api_key', 'system', 'anonymous'] as const
export const auditActions = ['create', 'update', 'delete', 'restore', 'invite', 'other'] as const
export const auditSeverities = ['info', 'warning', 'error', 'critical'] as const

/**
 * One change in an organization with its actor, written in the transaction of the change. Entries outlive the rows that they name,
 * so there are no foreign keys. Sealing numbers and chains them: tamper-evident, not immutable.
 */
export const auditLogs = platform.table(
  'audit_logs',
  {
    orgId: orgId(),
    id: id(),
    projectId: uuid('project_id'),
    actorKind: state('actor_kind', actorKinds).notNull().default('system'),
    actorId: uuid('actor_id'),
    actorLabel: text('actor_label'),
    /** The member whom the key belongs to, when a key acted. */
    onBehalfOf: uuid('on_behalf_of'),
    eventType: text('event_type').notNull(),
    action: state('action', auditActions).notNull().default('other'),
    resourceType: text('resource_type'),
    resourceId: text('resource_id'),
    changes: json<JsonObject>('changes'),
    metadata: json<JsonObject>('metadata'),
    severity: state('severity', auditSeverities).notNull().default('info'),
    ipAddress: inet('ip_address'),
    userAgent: text('user_agent'),
    requestId: text('request_id'),
    /** Its place in the chain of the organization's entries. Null until it is sealed. */
    seq: bigint('seq', { mode: 'number' }),
    prevHash: bytes('prev_hash'),
    hash: bytes('hash'),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'audit_logs_pkey', columns: [t.orgId, t.createdAt, t.id] }),
    index('audit_logs_event_type_idx').on(t.orgId, t.eventType, t.createdAt),
    index('audit_logs_resource_idx').on(t.orgId, t.resourceType, t.resourceId, t.createdAt),
    index('audit_logs_actor_idx').on(t.orgId, t.actorId, t.createdAt),
    index('audit_logs_unsealed_idx').on(t.orgId, t.createdAt).where(literal('seq is null')),
    index('audit_logs_seq_idx').on(t.orgId, t.seq).where(literal('seq is not null')),
    stateCheck('audit_logs_actor_kind_check', 'actor_kind', actorKinds),
    stateCheck('audit_logs_action_check', 'action', auditActions),
    stateCheck('audit_logs_severity_check', 'severity', auditSeverities),
    orgIsolation(),
    systemAccess(),
  ],
)
declareTable(auditLogs, {
  kind: 'tenant',
  appendOnly: true,
  partitionedBy: 'created_at',
  outlives: true,
  hidden: ['prev_hash', 'hash'],
})

/** The last entry of an organization's chain of audit entries, and the base at which the chain begins. */
export const auditSeals = platform.table(
  'audit_seals',
  {
    orgId: orgId(),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    hash: bytes('hash').notNull(),
    baseSeq: bigint('base_seq', { mode: 'number' }).notNull(),
    baseHash: bytes('base_hash'),
    ...timestamps(),
  },
  (t) => [primaryKey({ name: 'audit_seals_pkey', columns: [t.orgId] }), orgIsolation(), systemAccess()],
)
declareTable(auditSeals, { kind: 'tenant', outlives: true })

/** Operations across organizations, with the operator and the reason. */
export const systemAuditLogs = platform.table(
  'system_audit_logs',
  {
    id: id(),
    actor: text('actor').notNull(),
    reason: text('reason').notNull(),
    operation: text('operation').notNull(),
    targetOrgId: uuid('target_org_id'),
    targetUserId: uuid('target_user_id'),
    metadata: json<JsonObject>('metadata'),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'system_audit_logs_pkey', columns: [t.createdAt, t.id] }),
    index('system_audit_logs_target_org_idx').on(t.targetOrgId, t.createdAt),
    systemAccess(),
  ],
)
declareTable(systemAuditLogs, { kind: 'global', appendOnly: true, outlives: true })

/** An event of the application. The scope sets its actor and time. */
export const newAuditEntry = z.strictObject({
  eventType: shape.label(),
  action: z.enum(auditActions).optional(),
  projectId: shape.uuid.optional(),
  resourceType: shape.label(100).optional(),
  resourceId: shape.label(255).optional(),
  changes: shape.jsonObject.optional(),
  metadata: shape.jsonObject.optional(),
  severity: z.enum(auditSeverities).optional(),
})

export interface AuditEntry extends Omit<Row<typeof auditLogs>, 'prevHash' | 'hash'> {}
export interface NewAuditEntry extends z.input<typeof newAuditEntry> {}
export interface AuditSeal extends Row<typeof auditSeals> {}
export interface SystemAuditEntry extends Row<typeof systemAuditLogs> {}
