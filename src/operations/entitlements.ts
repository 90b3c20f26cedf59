import { z } from 'zod'
import { NotFoundError, PlanLimitError } from '../core/errors.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { statement } from '../core/statement.js'
import { parseInput } from '../core/values.js'
import type { BillingPlan, PlanLimits } from '../schema/billing-plans.js'
import { gigabytesOf } from '../schema/infrastructure.js'
import type { Subscription } from '../schema/subscriptions.js'
import * as shape from '../schema/shared/shapes.js'
import { currentPeriod, measuredUsage, periodOf } from './measured-usage.js'
import { planInForce } from './plan-limits.js'
import { seatsInUse } from './seats.js'

/** What the plan allows, and what is in use. */
export interface Entitlement {
  /** Null: no limit. */
  readonly limit: number | null
  /**
   * Seats, projects and gigabytes of disk are counted now, metrics in the current period of the subscription. Undefined where no
   * metric of that name was recorded in the period: a limit of your own table is in use by `count()` of its repository.
   */
  readonly used: number | undefined
}

export interface PlanEntitlements {
  /** The plan whose limits count now. Undefined for an organization without one. */
  readonly plan: Pick<BillingPlan, 'id' | 'name'> | undefined
  /** Whether it stands in for a plan that is canceled, incomplete or past its trial. */
  readonly isFallback: boolean
  /** By the name of the limit: `entitlements.limits.max_projects`. */
  readonly limits: Readonly<Record<string, Entitlement>>
}

const asked = z.strictObject({
  key: shape.key,
  amount: z.number().positive('must be more than 0').max(Number.MAX_SAFE_INTEGER),
})

/** The limits of the organization's plan beside what is in use. */
export class Entitlements {
  constructor(private readonly scope: Scope) {}

  get(): Query<PlanEntitlements> {
    return this.read(
      () => {
        this.scope.context.rules.authorize('subscriptions:read', undefined)
      },
      ({ plan, isFallback, limits }) => ({ plan, isFallback, limits }),
    )
  }

  /**
   * Throws PlanLimitError when the plan has no room for so much more: `await org.entitlements.assert('bandwidth_gb', 2)`. Metrics are
   * refused too, unless the subscription has `spend_cap_enabled: false`. It locks nothing: two callers at once may both pass. It needs no
   * permission. It does not know what is in use of your own tables: their repositories refuse rows themselves.
   */
  assert(key: string, amount = 1): Query<void> {
    return this.read(
      () => parseInput(asked, { key, amount }),
      ({ limits, metered, isCapped }, more) => {
        const { limit = null, used = 0 } = limits[more.key] ?? {}
        if (limit === null || (metered.has(more.key) && !isCapped)) return
        if (used + more.amount > limit) throw new PlanLimitError(more.key, limit, used)
      },
    )
  }

  private read<T, Checked>(check: () => Checked, use: (found: Found, checked: Checked) => T): Query<T> {
    return this.scope.query(() => {
      const checked = check()
      const values = [ownerId(this.scope, 'org'), this.scope.context.rules.fallbackPlan ?? null]
      return planned({ statement: entitlements, values }, ({ rows: [row] }) => {
        if (row === undefined) throw new NotFoundError('organizations')
        return use(foundIn(row as EntitlementRow), checked)
      })
    })
  }
}

interface Found extends PlanEntitlements {
  readonly metered: ReadonlySet<string>
  readonly isCapped: boolean
}

type EntitlementRow = [
  id: string | null,
  name: string,
  maxProjects: number | null,
  maxMembers: number | null,
  limits: PlanLimits | null,
  subscribed: string | null,
  isCapped: Subscription['spendCapEnabled'] | null,
  projects: string,
  seats: string,
  disk: string,
  metrics: Record<string, number>,
]

function foundIn(row: EntitlementRow): Found {
  const [id, name, maxProjects, maxMembers, limits, subscribed, isCapped, projects, seats, disk, metrics] = row
  const counted: Record<string, number> = {
    max_projects: Number(projects),
    max_members: Number(seats),
    disk_gb: Number(disk),
  }
  const allowed: PlanLimits = { max_projects: maxProjects, max_members: maxMembers, ...limits }
  const metered = Object.keys(allowed).filter((key) => !Object.hasOwn(counted, key))
  const entitlementOf = (key: string): Entitlement => ({
    limit: allowed[key] ?? null,
    used: Object.hasOwn(counted, key) ? counted[key] : Object.hasOwn(metrics, key) ? Number(metrics[key]) : undefined,
  })
  return {
    plan: id === null ? undefined : { id, name },
    isFallback: id !== null && id !== subscribed,
    limits: Object.fromEntries(Object.keys(allowed).map((key) => [key, entitlementOf(key)])),
    metered: new Set(metered),
    isCapped: isCapped !== false,
  }
}

const entitlements = statement(
  `with ${periodOf(currentPeriod)}
   select plan.id, plan.name, plan.max_projects, plan.max_members, plan.limits, subscription.plan_id, subscription.spend_cap_enabled,
     (select count(*) from platform.projects p where p.org_id = $1 and p.deleted_at is null),
     ${seatsInUse},
     ${gigabytesOf('p.deleted_at is null')},
     (select coalesce(pg_catalog.jsonb_object_agg(metric, quantity), '{}') from (
       select metric, pg_catalog.sum(quantity) as quantity from (${measuredUsage}) measured group by metric
     ) used)
   ${planInForce('$2::text')}`,
  'read',
)
