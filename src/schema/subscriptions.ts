import { boolean, check, foreignKey, index, integer, primaryKey, text, unique, uniqueIndex } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { billingPlans } from './billing-plans.js'
import { id, instant, literal, orgId, platform, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const subscriptionStatuses = ['trialing', 'active', 'past_due', 'paused', 'canceled', 'incomplete'] as const

/** The organization's plan: one row for each organization, from its first day. */
export const subscriptions = platform.table(
  'subscriptions',
  {
    orgId: orgId(),
    id: id(),
    planId: text('plan_id').notNull(),
    /** The plan's name when the organization chose it. */
    planName: text('plan_name').notNull(),
    status: state('status', subscriptionStatuses).notNull().default('active'),
    currentPeriodStart: instant('current_period_start').notNull(),
    currentPeriodEnd: instant('current_period_end').notNull(),
    cancelAtPeriodEnd: boolean('cancel_at_period_end').notNull().default(false),
    canceledAt: instant('canceled_at'),
    trialEndsAt: instant('trial_ends_at'),
    spendCapEnabled: boolean('spend_cap_enabled').notNull().default(true),
    stripeCustomerId: text('stripe_customer_id'),
    stripeSubscriptionId: text('stripe_subscription_id'),
    /** The provider's time of the newest applied event. Older events that arrive later change nothing. */
    providerUpdatedAt: instant('provider_updated_at'),
    /** Taken under this row's lock, so that an organization's invoice numbers have no gaps. */
    nextInvoiceNumber: integer('next_invoice_number').notNull().default(1),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'subscriptions_pkey', columns: [t.orgId, t.id] }),
    unique('subscriptions_org_key').on(t.orgId),
    foreignKey({ name: 'subscriptions_plan_fkey', columns: [t.planId], foreignColumns: [billingPlans.id] }),
    index('subscriptions_status_idx').on(t.orgId, t.status),
    // Across organizations: an event of the provider contains its customer id, not our organization id.
    uniqueIndex('subscriptions_stripe_customer_key')
      .on(t.stripeCustomerId)
      .where(literal('stripe_customer_id is not null')),
    index('subscriptions_plan_idx').on(t.planId),
    check('subscriptions_period_check', literal('current_period_end > current_period_start')),
    stateCheck('subscriptions_status_check', 'status', subscriptionStatuses),
    ...tenantTable('subscriptions', t),
  ],
)
declareTable(subscriptions, { kind: 'tenant', audited: true, systemKeys: ['subscriptions_stripe_customer_key'] })

const subscription = z.strictObject({
  planId: shape.label(63),
  status: z.enum(subscriptionStatuses).optional(),
  currentPeriodStart: shape.instant,
  currentPeriodEnd: shape.instant,
  trialEndsAt: shape.instant.nullish(),
  spendCapEnabled: z.boolean().optional(),
  stripeCustomerId: shape.label(255).nullish(),
  stripeSubscriptionId: shape.label(255).nullish(),
})

/**
 * In SQL: whether the subscription has ended by the time `at`. A cancellation takes effect at once, or at the end of the period in which
 * it was asked for. `status` follows later, by the provider's event or the next pass of maintenance.
 */
export const hasEnded = (subscription: string, at: string): string =>
  `(${subscription}."status" = 'canceled'
    or (not ${subscription}."cancel_at_period_end" and ${subscription}."canceled_at" is not null and ${subscription}."canceled_at" <= ${at})
    or (${subscription}."cancel_at_period_end" and ${subscription}."current_period_end" <= ${at}
      and (${subscription}."canceled_at" is null or ${subscription}."canceled_at" < ${subscription}."current_period_end")))`

/** The fields with which provisioning starts a subscription. */
export const newSubscription = subscription.refine(
  ({ currentPeriodStart, currentPeriodEnd }) => currentPeriodEnd > currentPeriodStart,
  { path: ['currentPeriodEnd'], error: 'is not after the start of the period' },
)
/** Plan and end have methods of their own. The provider's events set the period and the status. */
export const subscriptionPatch = subscription.pick({ spendCapEnabled: true }).partial()

export interface Subscription extends Row<typeof subscriptions> {}
export interface NewSubscription extends z.input<typeof newSubscription> {}
export interface SubscriptionPatch extends z.input<typeof subscriptionPatch> {}

/** When a cancellation takes effect, or took effect. Undefined for a subscription that goes on. */
export function subscriptionEnd({
  status,
  canceledAt,
  cancelAtPeriodEnd,
  currentPeriodEnd,
}: Pick<Subscription, 'status' | 'canceledAt' | 'cancelAtPeriodEnd' | 'currentPeriodEnd'>): Date | undefined {
  if (!cancelAtPeriodEnd) return canceledAt ?? (status === 'canceled' ? currentPeriodEnd : undefined)
  // Asked for after that end, which is not rolled yet: the next period is the last.
  return canceledAt === null || canceledAt < currentPeriodEnd || status === 'canceled' ? currentPeriodEnd : undefined
}
