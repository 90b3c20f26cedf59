import { InvalidInputError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { type BillingPlan, billingPlans } from '../schema/billing-plans.js'
import * as shape from '../schema/shared/shapes.js'
import { type Subscription, subscriptions } from '../schema/subscriptions.js'
import { type Applying, type Event, isNewer } from './applied-event.js'

type Told = NonNullable<Event['subscription']>

/** Returns false where nothing was applied: the event is not newer than what is known, or is about another subscription. */
export async function receiveSubscription(
  { scope, event, subscription: known }: Applying,
  told: Told,
): Promise<boolean> {
  const plan = told.planId === undefined ? {} : await planOfCatalog(scope, told.planId)
  if (!isNewer(event, known.providerUpdatedAt) || isOfEarlier(known, told)) return false
  const { id, status, cancelAtPeriodEnd = false, canceledAt, ...period } = told
  const isCanceled = status === 'canceled' || cancelAtPeriodEnd
  const managed = {
    ...plan,
    status,
    currentPeriodStart: period.currentPeriodStart,
    currentPeriodEnd: period.currentPeriodEnd,
    cancelAtPeriodEnd,
    canceledAt: isCanceled ? (canceledAt ?? event.createdAt) : null,
    trialEndsAt: period.trialEndsAt ?? null,
    stripeSubscriptionId: id,
    providerUpdatedAt: event.createdAt,
  }
  const rows = new ScopedTable<Subscription>(scope, subscriptions)
  await rows.updateRow(shape.noInput, known.id, {}, { managed, event: 'receive' })
  return true
}

/**
 * Another subscription replaces the known live one only when it is live itself: the end of an old one, and a new one that is not paid
 * yet, change nothing.
 */
const isOfEarlier = ({ stripeSubscriptionId, status }: Subscription, told: Told): boolean =>
  stripeSubscriptionId !== null &&
  stripeSubscriptionId !== told.id &&
  status !== 'canceled' &&
  (told.status === 'canceled' || told.status === 'incomplete')

/** An archived plan too: its subscribers keep it. */
function planOfCatalog(scope: Scope, id: string): Promise<{ readonly planId: string; readonly planName: string }> {
  const plans = new ScopedTable<BillingPlan>(scope, billingPlans)
  const found: Query<BillingPlan | undefined> = plans.findRow({ id })
  return found.then((plan) => {
    if (plan === undefined) throw new InvalidInputError('event.subscription.planId', 'is not a plan of the catalog')
    return { planId: plan.id, planName: plan.name }
  })
}
