import { foreignKey, index, integer, primaryKey, smallint, text, unique, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { agents } from './agents.js'
import { schedules } from './schedules.js'
import { id, instant, literal, orgId, platform, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json, type JsonValue } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import { attributedTo, attribution } from './shared/references.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'
import { workflows } from './workflows.js'

export const taskStatuses = ['queued', 'running', 'succeeded', 'failed', 'canceled'] as const

/**
 * One piece of work: queued, claimed under a lease, finished once. Only the holder of the lease's token may finish it; a finished
 * task never changes. While a task with a `dedupeKey` is queued or running, no second one is queued.
 */
export const tasks = platform.table(
  'tasks',
  {
    orgId: orgId(),
    id: id(),
    workflowId: uuid('workflow_id'),
    agentId: uuid('agent_id'),
    scheduleId: uuid('schedule_id'),
    scheduledFor: instant('scheduled_for'),
    parentId: uuid('parent_id'),
    kind: text('kind').notNull(),
    status: state('status', taskStatuses).notNull().default('queued'),
    /** Smaller numbers come first. */
    priority: smallint('priority').notNull().default(0),
    input: json<JsonValue>('input'),
    output: json<JsonValue>('output'),
    error: json<JsonValue>('error'),
    attempt: integer('attempt').notNull().default(0),
    maxAttempts: integer('max_attempts').notNull().default(1),
    runAt: instant('run_at').notNull().defaultNow(),
    leaseOwner: text('lease_owner'),
    /** New with each claim, because a worker may come back under its old name after it has lost the lease. */
    leaseToken: uuid('lease_token'),
    leaseExpiresAt: instant('lease_expires_at'),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
    dedupeKey: text('dedupe_key'),
    createdBy: attribution('created_by'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'tasks_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('tasks_dedupe_key').on(t.orgId, t.dedupeKey).where(literal(`status in ('queued', 'running')`)),
    // A schedule cannot fire twice for the same moment.
    unique('tasks_schedule_key').on(t.orgId, t.scheduleId, t.scheduledFor),
    foreignKey({
      name: 'tasks_workflow_fkey',
      columns: [t.orgId, t.workflowId],
      foreignColumns: [workflows.orgId, workflows.id],
    }),
    foreignKey({
      name: 'tasks_agent_fkey',
      columns: [t.orgId, t.agentId],
      foreignColumns: [agents.orgId, agents.id],
    }),
    foreignKey({
      name: 'tasks_schedule_fkey',
      columns: [t.orgId, t.scheduleId],
      foreignColumns: [schedules.orgId, schedules.id],
    }),
    foreignKey({
      name: 'tasks_parent_fkey',
      columns: [t.orgId, t.parentId],
      foreignColumns: [t.orgId, t.id],
    }).onDelete('cascade'),
    index('tasks_queue_idx').on(t.orgId, t.priority, t.runAt).where(literal(`status = 'queued'`)),
    index('tasks_status_idx').on(t.orgId, t.status, t.id),
    index('tasks_of_workflow_idx').on(t.orgId, t.workflowId).where(literal('workflow_id is not null')),
    index('tasks_of_agent_idx').on(t.orgId, t.agentId).where(literal('agent_id is not null')),
    index('tasks_of_parent_idx').on(t.orgId, t.parentId).where(literal('parent_id is not null')),
    index('tasks_created_at_idx').on(t.orgId, t.createdAt),
    index('tasks_run_at_idx').on(t.runAt, t.orgId).where(literal(`status = 'queued'`)),
    index('tasks_lease_idx').on(t.leaseExpiresAt, t.orgId).where(literal(`status = 'running'`)),
    stateCheck('tasks_status_check', 'status', taskStatuses),
    ...attributedTo('tasks', t.createdBy, t.orgId),
    ...tenantTable('tasks', t),
  ],
)
declareTable(tasks, { kind: 'tenant', sweeps: ['tasks_run_at_idx', 'tasks_lease_idx'] })

export const newTask = z.strictObject({
  kind: shape.label(100),
  workflowId: shape.uuid.nullish(),
  agentId: shape.uuid.nullish(),
  parentId: shape.uuid.nullish(),
  priority: shape.int(-32_768, 32_767).optional(),
  input: shape.json.optional(),
  maxAttempts: shape.int(1, 100).optional(),
  runAt: shape.instant.optional(),
  dedupeKey: shape.label(255).nullish(),
})
/** The fields that may change while a task is queued. */
export const taskPatch = newTask.pick({ priority: true, input: true, maxAttempts: true, runAt: true }).partial()

export interface Task extends Row<typeof tasks> {}
export interface NewTask extends z.input<typeof newTask> {}
export interface TaskPatch extends z.input<typeof taskPatch> {}
