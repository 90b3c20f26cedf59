import { boolean, check, foreignKey, index, integer, numeric, primaryKey, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { projects } from './projects.js'
import { id, literal, numberCheck, orgId, platform, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const instanceSizes = [
  'nano',
  'micro',
  'small',
  'medium',
  'large',
  'xlarge',
  '2xlarge',
  '4xlarge',
  '8xlarge',
  '12xlarge',
  '16xlarge',
] as const

/** A project's disk, and the size that it may grow to by itself. Without a limit it may reach the maximum of all disks. */
export const diskConfig = platform.table(
  'disk_config',
  {
    orgId: orgId(),
    id: id(),
    projectId: uuid('project_id').notNull(),
    sizeGb: integer('size_gb').notNull(),
    ioBudget: integer('io_budget').notNull(),
    autoscaleEnabled: boolean('autoscale_enabled').notNull().default(false),
    autoscaleGrowthPercent: integer('autoscale_growth_percent').notNull(),
    autoscaleLimitGb: integer('autoscale_limit_gb'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'disk_config_pkey', columns: [t.orgId, t.id] }),
    unique('disk_config_project_key').on(t.orgId, t.projectId),
    foreignKey({
      name: 'disk_config_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }).onDelete('cascade'),
    check('disk_config_size_gb_check', literal('size_gb between 8 and 10000')),
    check('disk_config_io_budget_check', literal('io_budget >= 0')),
    check('disk_config_autoscale_growth_percent_check', literal('autoscale_growth_percent between 1 and 100')),
    check('disk_config_autoscale_limit_gb_check', literal('autoscale_limit_gb >= size_gb')),
    ...tenantTable('disk_config', t),
  ],
)
declareTable(diskConfig, { kind: 'tenant', audited: true })

/** The machine that a project's database runs on. */
export const computeConfig = platform.table(
  'compute_config',
  {
    orgId: orgId(),
    id: id(),
    projectId: uuid('project_id').notNull(),
    instanceSize: state('instance_size', instanceSizes).notNull(),
    cpuCores: numeric('cpu_cores', { precision: 5, scale: 2 }).notNull(),
    memoryGb: numeric('memory_gb', { precision: 7, scale: 2 }).notNull(),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'compute_config_pkey', columns: [t.orgId, t.id] }),
    unique('compute_config_project_key').on(t.orgId, t.projectId),
    foreignKey({
      name: 'compute_config_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }).onDelete('cascade'),
    index('compute_config_instance_size_idx').on(t.orgId, t.instanceSize),
    stateCheck('compute_config_instance_size_check', 'instance_size', instanceSizes),
    numberCheck('compute_config_cpu_cores_check', 'cpu_cores', 'cpu_cores > 0'),
    numberCheck('compute_config_memory_gb_check', 'memory_gb', 'memory_gb > 0'),
    ...tenantTable('compute_config', t),
  ],
)
declareTable(computeConfig, { kind: 'tenant', audited: true })

const disk = z.strictObject({
  projectId: shape.uuid,
  sizeGb: shape.int(8, 10_000),
  ioBudget: shape.int(0, shape.maxInt),
  autoscaleEnabled: z.boolean().optional(),
  autoscaleGrowthPercent: shape.int(1, 100),
  autoscaleLimitGb: shape.int(8, 10_000).nullish(),
})
// A patch may contain only one of the two; then the check in the database decides.
const limitHoldsDisk = (values: { sizeGb?: number | undefined; autoscaleLimitGb?: number | null | undefined }) =>
  (values.autoscaleLimitGb ?? Infinity) >= (values.sizeGb ?? 0)
const limitFault = { path: ['autoscaleLimitGb'], error: 'is less than the size of the disk' }

export const newDiskConfig = disk.refine(limitHoldsDisk, limitFault)
export const diskConfigPatch = disk.omit({ projectId: true }).partial().refine(limitHoldsDisk, limitFault)

export const newComputeConfig = z.strictObject({
  projectId: shape.uuid,
  instanceSize: z.enum(instanceSizes),
  cpuCores: shape.decimal(5, 2, 'positive'),
  memoryGb: shape.decimal(7, 2, 'positive'),
})
export const computeConfigPatch = newComputeConfig.omit({ projectId: true }).partial()

/** In SQL: the gigabytes of the disks of those projects `p` of the organization `$1`. */
export const gigabytesOf = (projects: string): string =>
  `(select coalesce(pg_catalog.sum(d.size_gb), 0) from platform.disk_config d
    join platform.projects p on p.org_id = $1 and p.id = d.project_id and ${projects} where d.org_id = $1)`

export interface DiskConfig extends Row<typeof diskConfig> {}
export interface NewDiskConfig extends z.input<typeof newDiskConfig> {}
export interface DiskConfigPatch extends z.input<typeof diskConfigPatch> {}
export interface ComputeConfig extends Row<typeof computeConfig> {}
export interface NewComputeConfig extends z.input<typeof newComputeConfig> {}
export interface ComputeConfigPatch extends z.input<typeof computeConfigPatch> {}
