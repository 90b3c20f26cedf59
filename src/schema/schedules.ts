import { boolean, foreignKey, index, integer, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { id, instant, literal, orgId, platform, softDelete, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json, type JsonValue } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'
import { workflows } from './workflows.js'

export const missedRunPolicies = ['skip', 'run_once'] as const

const waiting = 'enabled and deleted_at is null'

/** A cron expression with a time zone by which a workflow runs. `missedRuns` decides about runs that were not fired in time. */
export const schedules = platform.table(
  'schedules',
  {
    orgId: orgId(),
    id: id(),
    workflowId: uuid('workflow_id').notNull(),
    name: text('name').notNull(),
    cron: text('cron').notNull(),
    timezone: text('timezone').notNull(),
    enabled: boolean('enabled').notNull().default(true),
    input: json<JsonValue>('input'),
    missedRuns: state('missed_runs', missedRunPolicies).notNull().default('skip'),
    nextRunAt: instant('next_run_at'),
    lastRunAt: instant('last_run_at'),
    /** Rises with every change. An update may require the revision that was read. */
    revision: integer('revision').notNull().default(1),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    primaryKey({ name: 'schedules_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('schedules_name_key').on(t.orgId, t.name).where(literal('deleted_at is null')),
    foreignKey({
      name: 'schedules_workflow_fkey',
      columns: [t.orgId, t.workflowId],
      foreignColumns: [workflows.orgId, workflows.id],
    }).onDelete('cascade'),
    index('schedules_workflow_idx').on(t.orgId, t.workflowId),
    index('schedules_next_run_at_idx').on(t.orgId, t.nextRunAt).where(literal(waiting)),
    // For the due schedules of all organizations.
    index('schedules_due_idx').on(t.nextRunAt, t.orgId).where(literal(waiting)),
    index('schedules_created_at_idx').on(t.orgId, t.createdAt),
    stateCheck('schedules_missed_runs_check', 'missed_runs', missedRunPolicies),
    ...tenantTable('schedules', t),
  ],
)
declareTable(schedules, { kind: 'tenant', audited: true, sweeps: ['schedules_due_idx'] })

export const newSchedule = z.strictObject({
  workflowId: shape.uuid,
  name: shape.label(),
  /** Five fields, or six with seconds; checked by the repository, with the time zone. */
  cron: shape.label(200),
  timezone: shape.label(64),
  enabled: z.boolean().optional(),
  input: shape.json.optional(),
  missedRuns: z.enum(missedRunPolicies).optional(),
})
export const schedulePatch = newSchedule.omit({ workflowId: true }).partial()

export interface Schedule extends Row<typeof schedules> {}
export interface NewSchedule extends z.input<typeof newSchedule> {}
export interface SchedulePatch extends z.input<typeof schedulePatch> {}
