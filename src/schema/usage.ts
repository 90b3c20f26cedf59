import { check, index, numeric, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { bytes } from './shared/ciphertext.js'
import { createdAt, id, instant, literal, numberCheck, orgId, platform, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

const quantity = <Name extends string>(name: Name) => numeric(name, { precision: 30, scale: 6 })

/** One usage event, recorded once for its key. It outlives its project, so that an invoice can always be explained. */
export const usageEvents = platform.table(
  'usage_events',
  {
    orgId: orgId(),
    id: id(),
    idempotencyKey: text('idempotency_key').notNull(),
    metricType: text('metric_type').notNull(),
    quantity: quantity('quantity').notNull(),
    projectId: uuid('project_id'),
    occurredAt: instant('occurred_at').notNull(),
    /** Distinguishes a repetition, which is a no-op, from another event with the same key, which is a conflict. */
    bodyHash: bytes('body_hash').notNull(),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'usage_events_pkey', columns: [t.orgId, t.id] }),
    unique('usage_events_idempotency_key').on(t.orgId, t.idempotencyKey),
    index('usage_events_occurred_at_idx').on(t.orgId, t.occurredAt),
    numberCheck('usage_events_quantity_check', 'quantity', 'quantity >= 0'),
    ...tenantTable('usage_events', t),
  ],
)
declareTable(usageEvents, { kind: 'tenant', appendOnly: true, loose: ['project_id'], hidden: ['body_hash'] })

/** The total of one metric, one project (null: none) and one UTC day, updated in the transaction that records an event. */
export const usageMetrics = platform.table(
  'usage_metrics',
  {
    orgId: orgId(),
    id: id(),
    metricType: text('metric_type').notNull(),
    metricValue: quantity('metric_value').notNull(),
    projectId: uuid('project_id'),
    periodStart: instant('period_start').notNull(),
    periodEnd: instant('period_end').notNull(),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'usage_metrics_pkey', columns: [t.orgId, t.id] }),
    unique('usage_metrics_period_key').on(t.orgId, t.metricType, t.projectId, t.periodStart).nullsNotDistinct(),
    index('usage_metrics_period_start_idx').on(t.orgId, t.periodStart),
    index('usage_metrics_metric_type_idx').on(t.orgId, t.metricType, t.periodStart),
    index('usage_metrics_project_idx').on(t.orgId, t.projectId, t.periodStart),
    check('usage_metrics_period_check', literal('period_end > period_start')),
    numberCheck('usage_metrics_metric_value_check', 'metric_value'),
    ...tenantTable('usage_metrics', t),
  ],
)
declareTable(usageMetrics, { kind: 'tenant', loose: ['project_id'] })

/** An event as reported by a caller. A different body with the same key is refused. */
export const newUsageEvent = z.strictObject({
  key: shape.label(255),
  metric: shape.label(100),
  quantity: shape.decimal(30, 6, 'not negative'),
  projectId: shape.uuid.nullish(),
  at: shape.instant,
})

export interface UsageEvent extends Omit<Row<typeof usageEvents>, 'bodyHash'> {}
export interface NewUsageEvent extends z.input<typeof newUsageEvent> {}
export interface UsageMetric extends Row<typeof usageMetrics> {}
