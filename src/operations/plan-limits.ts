import { InvalidInputError } from '../core/errors.js'
import type { Call, Executor } from '../core/executor.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Reservation, Rules } from '../core/rules.js'
import type { Scope } from '../core/scope.js'
import { StatementCache } from '../core/statements/statement-cache.js'
import { statement } from '../core/statement.js'
import { hasEnded } from '../schema/subscriptions.js'
import { runUnbound } from './run-unbound.js'

/**
 * The rule that enforces the limits of plans. The organization's row is locked first, and what is in use is counted by the next
 * statement: of two callers the second one waits, and counts what the first one has made.
 */
export const planLimits = (fallbackPlan: string | undefined): Pick<Rules, 'reserve' | 'fallbackPlan'> => ({
  fallbackPlan,
  reserve({ limit, used, added, values }) {
    const [organization] = values
    const check = checks.get(`${used} ${added}`, 'read', () => checkText(used, added, values.length))
    return [
      { statement: lock, values: [organization] },
      { statement: check, values: [...values, limit, fallbackPlan ?? null] },
    ]
  },
})

/** Throws InvalidInputError for a plan that the catalog does not have: it would limit nothing. */
export async function assertFallbackPlan(executor: Executor, plan: string): Promise<void> {
  const rows = await runUnbound(executor, byId, [plan])
  if (rows.length === 0) throw new InvalidInputError('fallbackPlan', 'is not the id of a billing plan')
}

const byId = statement('select from platform.billing_plans where id = $1', 'read')

/** Reserves in an operation of several steps. Throws PlanLimitError. */
export function reserve(scope: Scope, reservation: Reservation): Query<void> {
  return scope.query(() => {
    const calls = scope.context.rules.reserve(reservation)
    return planned(calls.at(-1) ?? nothing, () => undefined, undefined, calls.slice(0, -1))
  })
}

const nothing: Call = { statement: statement('select', 'read'), values: [] }

const lock = statement('select from platform.organizations where id = $1 for no key update', 'read')

const checks = new StatementCache()

/** What is in use is counted only where the plan has a limit. */
const checkText = (used: string, added: string, places: number): string =>
  `with room as materialized (select ${allowedBy(`$${places + 1}::text`)} as allowed ${planInForce(`$${places + 2}::text`)})
   select platform.assert_room($${places + 1}::text, room.allowed, ${used}::numeric, ${added}::numeric)
   from room where room.allowed is not null`

/** The limit of that name in `plan`. Null is no limit. */
const allowedBy = (name: string): string =>
  `case ${name} when 'max_projects' then plan.max_projects::numeric when 'max_members' then plan.max_members::numeric
     else (plan.limits ->> ${name})::numeric end`

/**
 * `from` with the organization's subscription and the plan whose limits count: that of the subscription, or the fallback while the
 * subscription has ended, is incomplete or missing, or its trial is over.
 */
export const planInForce = (fallback: string): string =>
  `from (
     select s.*, s.org_id is null or s.status = 'incomplete' or ${hasEnded('s', 'clock.at')}
       or (s.status = 'trialing' and s.trial_ends_at <= clock.at) as has_lapsed
     from (select statement_timestamp() as at) clock left join platform.subscriptions s on s.org_id = $1
   ) subscription
   left join platform.billing_plans plan
     on plan.id = case when subscription.has_lapsed then coalesce(${fallback}, subscription.plan_id) else subscription.plan_id end`
