import { z } from 'zod'
import { ConflictError, InvalidInputError, NotFoundError, RetryableError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { planOf } from '../core/statements/table-plan.js'
import { type GuardedChange, unguarded } from '../core/statements/updates.js'
import { parseInput } from '../core/values.js'
import { billingPlans } from '../schema/billing-plans.js'
import * as shape from '../schema/shared/shapes.js'
import {
  hasEnded,
  type Subscription,
  subscriptionPatch,
  type SubscriptionPatch,
  subscriptions,
} from '../schema/subscriptions.js'

const cancellation = z.strictObject({
  /** Default: true. False ends the subscription at once. */
  atPeriodEnd: z.boolean().default(true),
})

export interface CancelOptions extends z.input<typeof cancellation> {}

const choice = z.strictObject({ planId: shape.label(63) })

/**
 * The organization's subscription. The payment provider's events and maintenance set its status and its period. Where a provider charges
 * for it, the plan and the end must be changed there too.
 */
export class OrganizationSubscription {
  private readonly rows: ScopedTable<Subscription>

  constructor(scope: Scope) {
    this.rows = new ScopedTable<Subscription>(scope, subscriptions)
  }

  /** Throws NotFoundError for an organization without one. */
  get(): Query<Subscription> {
    return this.rows.getOnly()
  }

  /**
   * The limits of the new plan count from now on. What is in use beyond them stays, and nothing can be added to it. Throws
   * InvalidInputError for a plan that the catalog does not have or that is archived, ConflictError when the subscription has ended.
   */
  changePlan(planId: string): Query<Subscription> {
    return this.change('changePlan', changePlan, () => [parseInput(choice, { planId }).planId], 1)
  }

  /**
   * Ends the subscription with its period, or at once. Throws ConflictError when it has ended, or when its end is already set; one that
   * ends with its period can still be ended at once.
   */
  cancel(options: CancelOptions = {}): Query<Subscription> {
    return this.change('cancel', cancel, () => [parseInput(cancellation, options).atPeriodEnd])
  }

  /** Takes back a cancellation, as long as the period has not ended. Throws ConflictError afterwards, and when there is none. */
  resume(): Query<Subscription> {
    return this.change('resume', resume)
  }

  /** `spendCapEnabled: false` lets metrics exceed the limits of the plan. */
  update(patch: SubscriptionPatch): Query<Subscription> {
    return this.change('update', unguarded('subscriptions', '"spend_cap_enabled" = $2::boolean'), () => {
      const { spendCapEnabled } = parseInput(subscriptionPatch, patch)
      if (spendCapEnabled === undefined) throw new InvalidInputError('', 'there is nothing to change')
      return [spendCapEnabled]
    })
  }

  /**
   * One statement that needs no id: an organization has one subscription at most. `$2` is the value, where there is one. `takes` is 1 where
   * `ask` reads it too.
   */
  private change(
    event: string,
    { set, from, when, ask, refuse }: GuardedChange,
    values: () => readonly unknown[] = () => [],
    takes = 0,
  ): Query<Subscription> {
    const { rows } = this
    const change = ownStatement(rows.plan, OrganizationSubscription, event, true, ({ sql, selected, visible }) => ({
      verb: 'update',
      ctes: [],
      head: `update ${sql} set ${set}, "updated_at" = statement_timestamp()`,
      ...(from === undefined ? {} : { from }),
      where: `${visible} and (${when})`,
      returning: selected,
    }))
    const why = ownStatement(
      rows.plan,
      OrganizationSubscription,
      `not ${event}`,
      false,
      ({ sql, visible }) => `select ${ask} from ${sql} where ${visible}`,
    )
    return rows.run(
      change,
      values,
      (result, diagnosis) => {
        const [changed] = rows.rowsOf(result)
        if (changed !== undefined) return changed
        const [found] = diagnosis?.rows ?? []
        if (found === undefined) throw new NotFoundError(rows.plan.resource)
        throw refuse(found)
      },
      { statement: why, takes },
    )
  }
}

// A call that waited for the lock of the row may have begun before the moment at which another call ended the subscription; the row's
// updated_at is not earlier than that moment. A Citus cluster refuses clock_timestamp() here.
const now = 'greatest(subscriptions."updated_at", statement_timestamp())'
const overSql = hasEnded('subscriptions', now)

const endedError = (verb: string) =>
  new ConflictError('subscriptions', ['status'], `subscriptions: cannot ${verb}: the subscription has ended`)

const plans = planOf(billingPlans).sql
const offeredSql = `exists (select from ${plans} where "id" = $2::text and "active")`

const changePlan: GuardedChange = {
  set: '"plan_id" = chosen.plan, "plan_name" = chosen.label',
  from: `(select "id" as plan, "name" as label from ${plans} where "id" = $2::text and "active") as chosen`,
  when: `not ${overSql}`,
  ask: `${overSql}, ${offeredSql}`,
  refuse([isOver, isOffered]) {
    if (isOffered !== true) return new InvalidInputError('planId', 'is not an active plan of the catalog')
    // The plan was activated after the statement began.
    return isOver === true ? endedError('change the plan') : new RetryableError('serialization')
  },
}

const refusal = (verb: string, otherwise: string): Pick<GuardedChange, 'ask' | 'refuse'> => ({
  ask: overSql,
  refuse: ([isOver]) =>
    isOver === true
      ? endedError(verb)
      : new ConflictError('subscriptions', ['cancelAtPeriodEnd'], `subscriptions: cannot ${verb}: ${otherwise}`),
})

/** `$2` is whether it ends with its period. */
const cancel: GuardedChange = {
  set: `"cancel_at_period_end" = $2::boolean, "canceled_at" = statement_timestamp()`,
  when: `not ("cancel_at_period_end" and $2::boolean) and not ${overSql}`,
  ...refusal('cancel', 'it already ends with its period'),
}

const resume: GuardedChange = {
  set: `"cancel_at_period_end" = false, "canceled_at" = null`,
  when: `"cancel_at_period_end" and not ${overSql}`,
  ...refusal('resume', 'no end is set'),
}
