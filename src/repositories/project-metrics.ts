import { z } from 'zod'
import { parseId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { columnOf, planWithin, type TablePlan } from '../core/statements/table-plan.js'
import { type BucketRange, bucketOf, bucketRange, checkRange, filled } from '../core/time-buckets.js'
import { parseInput } from '../core/values.js'
import {
  type NewProjectMetric,
  newProjectMetric,
  type ProjectMetric,
  projectMetrics,
} from '../schema/project-metrics.js'
import { inProject } from '../schema/in-project.js'

const metricNames = [
  'cpuUsage',
  'memoryUsage',
  'diskIoBudget',
  'diskUsageGb',
  'networkInBytes',
  'networkOutBytes',
  'activeConnections',
  'queryCount',
] as const

export type ProjectMetricName = (typeof metricNames)[number]

export interface ProjectMetricQuery extends BucketRange {
  /** Which metrics. Default: all. Fewer are faster. */
  readonly metrics?: readonly ProjectMetricName[] | undefined
}

/** What was measured of one metric in a bucket. Null where nothing was. */
export interface MeasuredValues {
  readonly min: number | null
  readonly max: number | null
  readonly avg: number | null
  /** The latest value. */
  readonly last: number | null
}

export type ProjectMetricBucket = {
  /** When the bucket begins. */
  readonly at: Date
  /** How many measurements it holds. */
  readonly count: number
} & Readonly<Partial<Record<ProjectMetricName, MeasuredValues>>>

const options = { permission: 'projects' }
const metricQuery = bucketRange
  .extend({ metrics: z.array(z.enum(metricNames)).min(1).optional() })
  .superRefine(checkRange)

// The rows of one insert have the same fields.
const newRow = newProjectMetric.transform((row) => ({
  ...row,
  ...Object.fromEntries(metricNames.map((name) => [name, row[name] ?? null])),
}))

/** The measurements of projects. Those of a deleted project are hidden with it. */
export class ProjectMetrics {
  constructor(private readonly scope: Scope) {}

  /**
   * Appends measurements, 50,000 at most, in one statement: all or none. `recordedAt` is given in all of them or in none, and is the
   * moment of the insert otherwise. Returns their number. Throws BrokenReferenceError when there is no such project.
   */
  record(projectId: string, measurements: readonly NewProjectMetric[]): Query<number> {
    const project = parseId(projectId, 'projectId')
    const rows = new ScopedTable<ProjectMetric>(this.scope, projectMetrics, options, { project })
    return rows.appendRows(newRow, measurements, { managed: { projectId: project } })
  }

  /** Smallest, largest, average and latest value of each metric in each bucket, oldest first. */
  query(projectId: string, range: ProjectMetricQuery): Query<ProjectMetricBucket[]> {
    return this.scope.query(() => {
      const project = parseId(projectId, 'projectId')
      this.scope.context.rules.authorize('projects:read', project)
      const { metrics, ...asked } = parseInput(metricQuery, range)
      const wanted = metricNames.filter((name) => metrics?.includes(name) ?? true)
      const plan = planWithin(projectMetrics, inProject)
      const statement = ownStatement(plan, ProjectMetrics, `buckets ${wanted.join()}`, false, (table) =>
        bucketsText(table, wanted),
      )
      const values = [ownerId(this.scope, 'org'), project, asked.from, asked.to, asked.step]
      return planned({ statement, values }, ({ rows }) => {
        const buckets = rows.map((row) => bucketIn(row, wanted))
        return asked.empty === true ? filled(buckets, asked, (at) => emptyBucket(at, wanted)) : buckets
      })
    })
  }
}

function bucketsText(table: TablePlan, wanted: readonly ProjectMetricName[]): string {
  const values = wanted.flatMap((name) => {
    const column = columnOf(table, name).sql
    const last = `(pg_catalog.array_agg(${column} order by "recorded_at" desc, "id" desc) filter (where ${column} is not null))[1]`
    return [`min(${column})`, `max(${column})`, `avg(${column})`, last].map((value) => `${value}::float8`)
  })
  return `select ${bucketOf('"recorded_at"', '$5', '$3')}, count(*)::int, ${values.join(', ')} from ${table.sql}
    where ${table.visible} and "recorded_at" >= $3::timestamptz and "recorded_at" < $4::timestamptz group by 1 order by 1`
}

function bucketIn(
  [at, count, ...values]: readonly unknown[],
  wanted: readonly ProjectMetricName[],
): ProjectMetricBucket {
  const measured = wanted.map((name, index) => {
    const [min, max, avg, last] = values.slice(index * 4) as (number | null)[]
    return [name, { min, max, avg, last }]
  })
  return { at: new Date(at as string), count: count as number, ...Object.fromEntries(measured) } as ProjectMetricBucket
}

const emptyBucket = (at: Date, wanted: readonly ProjectMetricName[]): ProjectMetricBucket =>
  bucketIn([at, 0, ...wanted.flatMap(() => [null, null, null, null])], wanted)
