import { nilId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { billingPlans, type BillingPlan } from '../schema/billing-plans.js'
import { planOf } from '../core/statements/table-plan.js'
import { type Subscription, subscriptions } from '../schema/subscriptions.js'
import { type Lapsed, lapsedAt, type Lapsing } from './billing-periods.js'
import { allRows, type SystemWork } from './system-operation.js'

interface Due extends Lapsing {
  readonly orgId: string
}

/**
 * Brings subscriptions without a provider to the present: their cancellations take effect, their trials end, their periods are rolled. In
 * the order of the organizations, since no index is ordered by the end of a period: a pass reads each subscription once.
 */
export function sweepSubscriptions(work: SystemWork) {
  let last = nilId
  return (size: number): Promise<{ readonly rows: number; readonly isLast: boolean }> =>
    work.scopeAbout(undefined).transaction(
      async (scope) => {
        const rows = allRows<Subscription>(scope, subscriptions)
        const { due, now } = await lockDue(rows, last, size)
        last = due.at(-1)?.orgId ?? last
        const all = due.map((one) => ({ orgId: one.orgId, before: one, after: lapsedAt(one, now) }))
        const isRolled = ({ before, after }: Change) => before.currentPeriodEnd < after.currentPeriodEnd
        await change(rows, 'rollPeriod', all.filter(isRolled))
        for (const [event, status] of [
          ['end', 'canceled'],
          ['endTrial', 'incomplete'],
        ] as const) {
          await change(
            rows,
            event,
            all.filter(({ before, after }) => after.status === status && before.status !== status),
          )
        }
        return { rows: due.length, isLast: due.length < size }
      },
      { isolation: 'read committed' },
    )
}

interface Change {
  readonly orgId: string
  readonly before: Lapsing
  readonly after: Lapsed
}

/** Rows that somebody holds are left to the next pass. */
function lockDue(rows: ScopedTable<Subscription>, last: string, size: number): Query<{ due: Due[]; now: Date }> {
  const { sql: plans } = planOf(billingPlans)
  const statement = ownStatement(
    rows.plan,
    sweepSubscriptions,
    'due',
    false,
    (plan) => `select ${plan.as('s').selected}, p."interval", statement_timestamp()
      from ${plan.as('s').sql} join ${plans} p on p."id" = s."plan_id"
      where s."org_id" > $1::uuid and s."stripe_subscription_id" is null and s."status" <> 'canceled' and (
        s."current_period_end" <= statement_timestamp()
        or (not s."cancel_at_period_end" and s."canceled_at" <= statement_timestamp())
        or (s."status" = 'trialing' and s."trial_ends_at" <= statement_timestamp()))
      order by s."org_id" limit $2::bigint for no key update of s skip locked`,
  )
  return rows.run(
    statement,
    () => [last, size],
    (result) => {
      const found = rows.rowsOf(result)
      const due = found.map((one, index) => ({
        ...one,
        interval: result.rows[index]?.at(-2) as BillingPlan['interval'],
      }))
      return { due, now: new Date((result.rows[0]?.at(-1) ?? 0) as string) }
    },
  )
}

type Event = 'rollPeriod' | 'end' | 'endTrial'

const sets: Readonly<Record<Event, string>> = {
  rollPeriod: '"current_period_start" = due.starts, "current_period_end" = due.ends',
  end: `"status" = 'canceled', "canceled_at" = coalesce("canceled_at", due.ends)`,
  endTrial: `"status" = 'incomplete'`,
}

async function change(rows: ScopedTable<Subscription>, event: Event, changes: readonly Change[]): Promise<void> {
  if (changes.length === 0) return
  const statement = ownStatement(rows.plan, sweepSubscriptions, event, true, ({ sql }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set ${sets[event]}, "updated_at" = statement_timestamp()`,
    from: 'unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) as due(owner, starts, ends)',
    where: '"org_id" = due.owner',
    returning: '',
  }))
  const values = [
    changes.map(({ orgId }) => orgId),
    changes.map(({ after }) => after.currentPeriodStart.toISOString()),
    changes.map(({ after }) => after.currentPeriodEnd.toISOString()),
  ]
  await rows.run(
    statement,
    () => values,
    () => undefined,
  )
}
