import { bigint, foreignKey, integer, numeric, primaryKey, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { projects } from './projects.js'
import { createdAt, id, instant, numberCheck, orgId, platform } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

const percentage = <Name extends string>(name: Name) => numeric(name, { precision: 5, scale: 2 })
const amount = <Name extends string>(name: Name) => numeric(name, { precision: 10, scale: 2 })
// A number is exact up to nine petabytes; a BigInt would break every JSON.stringify of a row.
const byteCount = <Name extends string>(name: Name) => bigint(name, { mode: 'number' })

/** A measurement of a project's machine. A missing value is null, not zero. */
export const projectMetrics = platform.table(
  'project_metrics',
  {
    orgId: orgId(),
    id: id(),
    projectId: uuid('project_id').notNull(),
    recordedAt: instant('recorded_at').notNull().defaultNow(),
    cpuUsage: percentage('cpu_usage'),
    memoryUsage: percentage('memory_usage'),
    diskIoBudget: amount('disk_io_budget'),
    diskUsageGb: amount('disk_usage_gb'),
    networkInBytes: byteCount('network_in_bytes'),
    networkOutBytes: byteCount('network_out_bytes'),
    activeConnections: integer('active_connections'),
    queryCount: integer('query_count'),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'project_metrics_pkey', columns: [t.orgId, t.projectId, t.recordedAt, t.id] }),
    foreignKey({
      name: 'project_metrics_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }).onDelete('cascade'),
    numberCheck('project_metrics_cpu_usage_check', 'cpu_usage', 'cpu_usage between 0 and 100'),
    numberCheck('project_metrics_memory_usage_check', 'memory_usage', 'memory_usage between 0 and 100'),
    numberCheck('project_metrics_disk_io_budget_check', 'disk_io_budget', 'disk_io_budget >= 0'),
    numberCheck('project_metrics_disk_usage_gb_check', 'disk_usage_gb', 'disk_usage_gb >= 0'),
    ...tenantTable('project_metrics', t),
  ],
)
declareTable(projectMetrics, { kind: 'tenant', appendOnly: true, partitionedBy: 'recorded_at' })

const usage = shape.decimal(5, 2, 'not negative').refine((value) => Number(value) <= 100, 'is more than 100')

export const newProjectMetric = z.strictObject({
  recordedAt: shape.instant.optional(),
  cpuUsage: usage.nullish(),
  memoryUsage: usage.nullish(),
  diskIoBudget: shape.decimal(10, 2, 'not negative').nullish(),
  diskUsageGb: shape.decimal(10, 2, 'not negative').nullish(),
  networkInBytes: shape.int(0, Number.MAX_SAFE_INTEGER).nullish(),
  networkOutBytes: shape.int(0, Number.MAX_SAFE_INTEGER).nullish(),
  activeConnections: shape.int(0, shape.maxInt).nullish(),
  queryCount: shape.int(0, shape.maxInt).nullish(),
})

export interface ProjectMetric extends Row<typeof projectMetrics> {}
export interface NewProjectMetric extends z.input<typeof newProjectMetric> {}
