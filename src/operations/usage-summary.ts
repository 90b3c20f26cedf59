import { z } from 'zod'
import { InvalidInputError, NotFoundError } from '../core/errors.js'
import type { Call, Result } from '../core/executor.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import { StatementCache } from '../core/statements/statement-cache.js'
import { parseInput } from '../core/values.js'
import { Usage } from '../repositories/usage.js'
import * as shape from '../schema/shared/shapes.js'
import { currentPeriod, measuredUsage, periodOf } from './measured-usage.js'
import { planInForce } from './plan-limits.js'

const longestDays = 400
const maxTotals = 10_000

const summaryOptions = z
  .strictObject({
    /** Inclusive. Without `from` and `to`, the current period of the subscription. */
    from: shape.instant.optional(),
    /** Exclusive, at most 400 days after `from`. */
    to: shape.instant.optional(),
    /** How each metric is divided: by project, UTC day or UTC month. Default: `metric`, not at all. */
    by: z.enum(['metric', 'project', 'day', 'month']).optional(),
    /** Only this metric. */
    metric: shape.label(100).optional(),
    /** Only this project. */
    projectId: shape.uuid.optional(),
  })
  .superRefine(({ from, to }, context) => {
    const refuse = (path: string, message: string) => {
      context.addIssue({ code: 'custom', path: [path], message })
    }
    if (from === undefined && to === undefined) return
    if (from === undefined) refuse('from', 'is required with `to`')
    else if (to === undefined) refuse('to', 'is required with `from`')
    else if (to <= from) refuse('to', 'is not after `from`')
    else if (to.getTime() - from.getTime() > longestDays * 86_400_000)
      refuse('to', `is more than ${longestDays} days after \`from\``)
  })

type Asked = z.output<typeof summaryOptions>
export interface UsageSummaryOptions extends z.input<typeof summaryOptions> {}

/** The sum of one metric, or of one part of it. */
export interface UsageTotal {
  readonly metric: string
  /** Exact, as a decimal with six places. */
  readonly quantity: string
  /** With `by: 'project'`. Null is usage without a project. */
  readonly projectId: string | null | undefined
  /** With `by: 'day'` or `by: 'month'`: its first moment in UTC. */
  readonly start: Date | undefined
  /** The limit of the plan, by metric in the current period. Null is no limit. */
  readonly limit: number | null | undefined
}

export interface UsageSummary {
  readonly from: Date
  readonly to: Date
  /** By metric, then by project or time. Only what was used has a total. */
  readonly totals: readonly UsageTotal[]
}

/** What the organization has used: events, each recorded once for its key, and their sums. */
export class OrgUsage extends Usage {
  /**
   * Adds up exactly what was used: `org.usage.summary({ from, to, by: 'day' })`. Without `from` and `to` it is the current period of the
   * subscription, and by metric it has the limits of the plan too. Throws NotFoundError for an organization without a subscription, and
   * InvalidInputError where there are more than 10,000 totals.
   */
  summary(options: UsageSummaryOptions = {}): Query<UsageSummary> {
    return this.scope.query(() => {
      const { rules } = this.scope.context
      rules.authorize('usage:read', undefined)
      const asked = parseInput(summaryOptions, options)
      const call = callFor(ownerId(this.scope, 'org'), asked, rules.fallbackPlan)
      return planned(call, (result) => summaryOf(result, asked))
    })
  }
}

type SummaryRow = [
  from: string,
  to: string,
  metric: string | null,
  quantity: string,
  project: string | null,
  start: string | null,
  limit: number | null,
]

function summaryOf({ rows }: Result, { from, by = 'metric' }: Asked): UsageSummary {
  const [first] = rows as SummaryRow[]
  if (first === undefined) throw new NotFoundError('subscriptions')
  if (rows.length > maxTotals)
    throw new InvalidInputError(
      'by',
      `gives more than ${maxTotals} totals; ask for a shorter time, one metric or one project`,
    )
  const hasLimits = from === undefined && by === 'metric'
  return {
    from: momentOf(first[0]),
    to: momentOf(first[1]),
    totals: (rows as SummaryRow[]).flatMap(([, , metric, quantity, projectId, start, limit]) =>
      metric === null
        ? []
        : {
            metric,
            quantity,
            projectId: by === 'project' ? projectId : undefined,
            start: start === null ? undefined : momentOf(start),
            limit: hasLimits ? limit : undefined,
          },
    ),
  }
}

const momentOf = (milliseconds: string): Date => new Date(Number(milliseconds))

const statements = new StatementCache()

function callFor(orgId: string, { from, to, by = 'metric', metric, projectId }: Asked, fallbackPlan?: string): Call {
  const values: unknown[] = [orgId]
  const place = (value: unknown, type: string) => `$${values.push(value)}::${type}`
  const edges =
    from === undefined
      ? currentPeriod
      : `select ${place(from, 'timestamptz')} as begins, ${place(to, 'timestamptz')} as ends`
  const limit =
    from === undefined && by === 'metric'
      ? `(select plan.limits -> totals.metric ${planInForce(place(fallbackPlan ?? null, 'text'))})`
      : 'null'
  const only = [
    ...(metric === undefined ? [] : [`metric = ${place(metric, 'text')}`]),
    ...(projectId === undefined ? [] : [`project = ${place(projectId, 'uuid')}`]),
  ]
  const shown = [by, from === undefined, metric === undefined, projectId === undefined].join(' ')
  return { statement: statements.get(shown, 'read', () => summaryText(by, edges, limit, only)), values }
}

const columns: Readonly<Record<'metric' | 'project' | 'day' | 'month', string>> = {
  metric: 'null::uuid as project, null::timestamptz as start',
  project: 'project, null::timestamptz as start',
  day: 'null::uuid as project, day as start',
  month: `null::uuid as project, pg_catalog.date_trunc('month', day, 'UTC') as start`,
}

const milliseconds = (moment: string): string => `(extract(epoch from ${moment}) * 1000)::bigint`

/** A period without usage is one row without a metric; no row is no period. */
const summaryText = (by: keyof typeof columns, edges: string, limit: string, only: readonly string[]): string =>
  `with ${periodOf(edges)}, totals as (
     select metric, sum(quantity) as quantity, project, start from (
       select metric, quantity, ${columns[by]} from (${measuredUsage}) measured
       ${only.length === 0 ? '' : `where ${only.join(' and ')}`}
     ) divided
     group by metric, project, start
     order by metric collate "C", start, project
     limit ${maxTotals + 1}
   )
   select ${milliseconds('period.begins')}, ${milliseconds('period.ends')}, totals.metric, totals.quantity, totals.project,
     ${milliseconds('totals.start')}, ${limit}
   from period left join totals on true
   order by totals.metric collate "C", totals.start, totals.project`
