import { boolean, check, foreignKey, index, integer, primaryKey, text, unique } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { billingPlans } from './billing-plans.js'
import { id, instant, literal, orgId, platform, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const subscriptionStatuses = ['trialing', 'active', 'past_due', 'paused', 'canceled', 'incomplete'] as const

/** The plan that an organization is on: one row for each, from its first day. */
export const subscriptions = platform.table(
  'subscriptions',
  {
    orgId: orgId(),
    id: id(),
    planId: text('plan_id').notNull(),
    /** As it was called when the organization chose it. */
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
    /** The provider's own time of the newest event applied: an older one that comes late changes nothing. */
    providerUpdatedAt: instant('provider_updated_at'),
    /** Taken under this row's lock, so that the numbers of an organization's invoices have no gaps. */
    nextInvoiceNumber: integer('next_invoice_number').notNull().default(1),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'subscriptions_pkey', columns: [t.orgId, t.id] }),
    unique('subscriptions_org_key').on(t.orgId),
    foreignKey({ name: 'subscriptions_plan_fkey', columns: [t.planId], foreignColumns: [billingPlans.id] }),
    index('subscriptions_status_idx').on(t.orgId, t.status),
    // Across organizations: an event of the provider names its customer, not ours.
    index('subscriptions_stripe_customer_idx').on(t.stripeCustomerId),
    index('subscriptions_plan_idx').on(t.planId),
    check('subscriptions_period_check', literal('current_period_end > current_period_start')),
    stateCheck('subscriptions_status_check', 'status', subscriptionStatuses),
    ...tenantTable('subscriptions', t),
  ],
)
declareTable(subscriptions, { kind: 'tenant', audited: true, sweeps: ['subscriptions_stripe_customer_idx'] })

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

/** What provisioning starts a subscription with. */
export const newSubscription = subscription.refine(
  ({ currentPeriodStart, currentPeriodEnd }) => currentPeriodEnd > currentPeriodStart,
  { path: ['currentPeriodEnd'], error: 'is not after the start of the period' },
)
/** The plan and the end change by their own verbs, the period and the status by the provider's events. */
export const subscriptionPatch = subscription.pick({ spendCapEnabled: true }).partial()

export interface Subscription extends Row<typeof subscriptions> {}
export interface NewSubscription extends z.input<typeof newSubscription> {}
export interface SubscriptionPatch extends z.input<typeof subscriptionPatch> {}
