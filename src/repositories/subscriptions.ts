import { z } from 'zod'
import { ConflictError, InvalidInputError, NotFoundError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import type { GuardedChange } from '../core/statements/updates.js'
import { parseInput } from '../core/values.js'
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
  constructor(private readonly scope: Scope) {}

  /** Throws NotFoundError for an organization without one. */
  get(): Query<Subscription> {
    return own(new ScopedTable<Subscription>(this.scope, subscriptions))
  }

  /**
   * The limits of the new plan count from now on. What is in use beyond them stays, and nothing can be added to it. Throws
   * InvalidInputError for a plan that the catalog does not have or that is archived, ConflictError when the subscription has ended.
   */
  changePlan(planId: string): Promise<Subscription> {
    return this.changing(async (rows) => {
      const given = parseInput(choice, { planId })
      const { id, planName, isOver } = await lockWithPlan(rows, given.planId)
      if (planName === null) throw new InvalidInputError('planId', 'is not an active plan of the catalog')
      if (isOver) throw hasEndedAlready('change the plan')
      return rows.updateRow(shape.noInput, id, {}, { managed: { ...given, planName }, event: 'changePlan' })
    })
  }

  /**
   * Ends the subscription with its period, or at once. Throws ConflictError when it has ended, or when its end is already set; one that
   * ends with its period can still be ended at once.
   */
  cancel(options: CancelOptions = {}): Promise<Subscription> {
    return this.changing(async (rows) => {
      const { atPeriodEnd } = parseInput(cancellation, options)
      const { id } = await own(rows)
      return rows.guardedRow('cancel', id, atPeriodEnd ? endWithPeriod : endAtOnce, () => [])
    })
  }

  /** Takes back a cancellation, as long as the period has not ended. Throws ConflictError afterwards, and when there is none. */
  resume(): Promise<Subscription> {
    return this.changing(async (rows) => {
      const { id } = await own(rows)
      return rows.guardedRow('resume', id, resume, () => [])
    })
  }

  /** `spendCapEnabled: false` lets metrics exceed the limits of the plan. */
  update(patch: SubscriptionPatch): Promise<Subscription> {
    return this.changing(async (rows) => {
      const given = parseInput(subscriptionPatch, patch)
      const { id } = await own(rows)
      return rows.updateRow(subscriptionPatch, id, given)
    })
  }

  private changing<T>(work: (rows: ScopedTable<Subscription>) => Promise<T>): Promise<T> {
    return this.scope.steps(async (scope) => {
      const rows = new ScopedTable<Subscription>(scope, subscriptions)
      scope.context.rules.authorize(`${rows.permission}:write`, undefined)
      return work(rows)
    })
  }
}

function own(rows: ScopedTable<Subscription>): Query<Subscription> {
  const statement = ownStatement(
    rows.plan,
    OrganizationSubscription,
    'own row',
    false,
    ({ sql, selected, visible }) => `select ${selected} from ${sql} where ${visible}`,
  )
  return rows.run(
    statement,
    () => [],
    (result) => {
      const [subscription] = rows.rowsOf(result)
      if (subscription === undefined) throw new NotFoundError(rows.plan.resource)
      return subscription
    },
  )
}

interface WithPlan {
  readonly id: string
  /** Null for a plan that is not in the catalog, or archived. */
  readonly planName: string | null
  readonly isOver: boolean
}

function lockWithPlan(rows: ScopedTable<Subscription>, planId: string): Query<WithPlan> {
  const statement = ownStatement(rows.plan, OrganizationSubscription, 'lock with plan', false, (plan) => {
    const { sql, owned } = plan.as('s')
    return `select s."id", p."name", ${hasEnded('s', now)} from ${sql}
      left join platform.billing_plans p on p."id" = $2::text and p."active"
      where ${owned} for no key update of s`
  })
  return rows.run(
    statement,
    () => [planId],
    ({ rows: [row] }) => {
      if (row === undefined) throw new NotFoundError(rows.plan.resource)
      const [id, planName, isOver] = row as [string, string | null, boolean]
      return { id, planName, isOver }
    },
  )
}

// By the clock after the lock: whoever waited for it began before the other one ended the subscription.
const now = 'pg_catalog.clock_timestamp()'
const isOver = hasEnded('subscriptions', now)

const hasEndedAlready = (verb: string) =>
  new ConflictError('subscriptions', ['status'], `subscriptions: cannot ${verb}: the subscription has ended`)

const refusal = (verb: string, otherwise: string): Pick<GuardedChange, 'ask' | 'refuse'> => ({
  ask: isOver,
  refuse: ([isOver]) =>
    isOver === true
      ? hasEndedAlready(verb)
      : new ConflictError('subscriptions', ['cancelAtPeriodEnd'], `subscriptions: cannot ${verb}: ${otherwise}`),
})

const endWithPeriod: GuardedChange = {
  set: `"cancel_at_period_end" = true, "canceled_at" = statement_timestamp()`,
  when: `not "cancel_at_period_end" and not ${isOver}`,
  ...refusal('cancel', 'it already ends with its period'),
}

const endAtOnce: GuardedChange = {
  set: `"cancel_at_period_end" = false, "canceled_at" = statement_timestamp()`,
  when: `not ${isOver}`,
  ask: 'true',
  refuse: () => hasEndedAlready('cancel'),
}

const resume: GuardedChange = {
  set: `"cancel_at_period_end" = false, "canceled_at" = null`,
  when: `"cancel_at_period_end" and not ${isOver}`,
  ...refusal('resume', 'no end is set'),
}
