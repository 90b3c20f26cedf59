import { primaryKey, text, unique } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { invoiceLine, invoiceStatuses, maxInvoiceLines } from './invoices.js'
import { newPaymentMethod } from './payment-methods.js'
import { createdAt, id, instant, orgId, platform } from './shared/columns.js'
import { sumOf } from './shared/exact-decimals.js'
import { tenantTable } from './shared/isolation.js'
import { json, type JsonObject } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'
import { subscriptionStatuses } from './subscriptions.js'

/** An event of the payment provider, one row for each of its event ids. Only `processedAt` ever changes. */
export const billingEvents = platform.table(
  'billing_events',
  {
    orgId: orgId(),
    id: id(),
    provider: text('provider').notNull(),
    eventId: text('event_id').notNull(),
    type: text('type').notNull(),
    payload: json<JsonObject>('payload').notNull(),
    /** By the provider's clock: events arrive in any order. */
    providerCreatedAt: instant('provider_created_at'),
    receivedAt: instant('received_at').notNull().defaultNow(),
    processedAt: instant('processed_at'),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'billing_events_pkey', columns: [t.orgId, t.id] }),
    unique('billing_events_event_key').on(t.orgId, t.provider, t.eventId),
    ...tenantTable('billing_events', t),
  ],
)
declareTable(billingEvents, { kind: 'tenant', changes: ['processed_at'] })

export const newBillingEvent = z.strictObject({
  provider: shape.label(63),
  eventId: shape.label(255),
  type: shape.label(),
  payload: shape.jsonObject,
  providerCreatedAt: shape.instant.nullish(),
})

export interface BillingEvent extends Row<typeof billingEvents> {}
export interface NewBillingEvent extends z.input<typeof newBillingEvent> {}

const providerSubscription = z
  .strictObject({
    /** The provider's id. */
    id: shape.label(255),
    /** The plan of the catalog. Left out, the subscription keeps its plan. */
    planId: shape.label(63).optional(),
    status: z.enum(subscriptionStatuses),
    currentPeriodStart: shape.instant,
    currentPeriodEnd: shape.instant,
    cancelAtPeriodEnd: z.boolean().optional(),
    /** When the cancellation was asked for. It counts for a subscription that is canceled, or ends with its period. */
    canceledAt: shape.instant.nullish(),
    trialEndsAt: shape.instant.nullish(),
  })
  .refine(({ currentPeriodStart, currentPeriodEnd }) => currentPeriodEnd > currentPeriodStart, {
    path: ['currentPeriodEnd'],
    error: 'is not after the start of the period',
  })

const amount = shape.decimal(14, 2)

const providerInvoice = z
  .strictObject({
    /** The provider's id. */
    id: shape.label(255),
    /** The provider's id of the subscription that it is for. */
    subscriptionId: shape.label(255).nullish(),
    status: z.enum(invoiceStatuses),
    currency: shape.currency,
    /** Without tax, after discounts. A credit is below zero. */
    subtotal: amount,
    tax: amount,
    total: amount,
    amountPaid: shape.money,
    /** Default: what is left of the total, and nothing of a paid invoice. */
    amountDue: shape.money.optional(),
    periodStart: shape.instant.nullish(),
    periodEnd: shape.instant.nullish(),
    dueAt: shape.instant.nullish(),
    finalizedAt: shape.instant.nullish(),
    paidAt: shape.instant.nullish(),
    lines: z.array(shape.own(invoiceLine)).max(maxInvoiceLines).optional(),
    hostedUrl: shape.url.nullish(),
    pdfUrl: shape.url.nullish(),
  })
  .refine(({ subtotal, tax, total }) => sumOf(subtotal, tax) === sumOf(total), {
    path: ['total'],
    error: 'is not the sum of subtotal and tax',
  })

const providerPaymentMethod = z.union([
  newPaymentMethod.omit({ stripePaymentMethodId: true }).extend({
    /** The provider's id. */
    id: shape.label(255),
    /** True makes it the default. Left out, a new one becomes the default where there is none. */
    isDefault: z.boolean().optional(),
  }),
  z.strictObject({ id: shape.label(255), isRemoved: z.literal(true) }),
])

/** An event of any payment provider, for `system.billing.receive`. It says how things are at `createdAt`, not what has changed. */
export const providerEvent = z.strictObject({
  /** The provider's id of the event. One that comes again changes nothing. */
  id: shape.label(255),
  /** The provider's word for it. */
  type: shape.label(),
  /** By the provider's clock, at most a day in the future. What is known from this moment or later is not changed by the event. */
  createdAt: shape.instant,
  /** The provider's id of the customer, which `system.billing.link` gave to an organization. */
  customerId: shape.label(255).nullish(),
  subscription: shape.own(providerSubscription).optional(),
  invoice: shape.own(providerInvoice).optional(),
  paymentMethod: shape.own(providerPaymentMethod).optional(),
})

export interface ProviderEvent extends z.input<typeof providerEvent> {}
