import { foreignKey, index, integer, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import {
  currency,
  id,
  instant,
  money,
  numberCheck,
  orgId,
  platform,
  state,
  stateCheck,
  timestamps,
} from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'
import { subscriptions } from './subscriptions.js'

export const invoiceStatuses = ['draft', 'open', 'paid', 'void', 'uncollectible'] as const

/** The statuses that may follow each status: none after `paid` and `void`. */
export const invoiceTransitions = {
  draft: ['open'],
  open: ['paid', 'void', 'uncollectible'],
  uncollectible: ['paid', 'void'],
  paid: [],
  void: [],
} as const satisfies Record<(typeof invoiceStatuses)[number], readonly (typeof invoiceStatuses)[number][]>

export const invoiceLine = z.strictObject({
  description: shape.label(),
  quantity: shape.decimal(30, 6, 'not negative'),
  // More places than money: usage is sold at fractions of a cent.
  unitAmount: shape.decimal(20, 6),
  amount: shape.decimal(14, 2),
})

/** One position of an invoice, in its currency. A discount has a negative amount. */
export interface InvoiceLine extends z.output<typeof invoiceLine> {}

/** An invoice. After it is finalised it has a number, and only its status and payment can change. */
export const invoices = platform.table(
  'invoices',
  {
    orgId: orgId(),
    id: id(),
    /** Counted per organization, without gaps; a draft has none. */
    number: integer('number'),
    stripeInvoiceId: text('stripe_invoice_id'),
    subscriptionId: uuid('subscription_id'),
    status: state('status', invoiceStatuses).notNull().default('draft'),
    currency: currency().notNull(),
    subtotal: money('subtotal').notNull(),
    tax: money('tax').notNull(),
    total: money('total').notNull(),
    /** What is left to be paid. */
    amountDue: money('amount_due').notNull(),
    amountPaid: money('amount_paid').notNull(),
    periodStart: instant('period_start'),
    periodEnd: instant('period_end'),
    dueAt: instant('due_at'),
    finalizedAt: instant('finalized_at'),
    paidAt: instant('paid_at'),
    lines: json<InvoiceLine[]>('lines').notNull().default([]),
    hostedUrl: text('hosted_url'),
    pdfUrl: text('pdf_url'),
    /** The provider's time of the newest applied event. Older events that arrive later change nothing. */
    providerUpdatedAt: instant('provider_updated_at'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'invoices_pkey', columns: [t.orgId, t.id] }),
    unique('invoices_number_key').on(t.orgId, t.number),
    unique('invoices_stripe_invoice_key').on(t.orgId, t.stripeInvoiceId),
    foreignKey({
      name: 'invoices_subscription_fkey',
      columns: [t.orgId, t.subscriptionId],
      foreignColumns: [subscriptions.orgId, subscriptions.id],
    }),
    index('invoices_status_idx').on(t.orgId, t.status, t.id),
    index('invoices_period_idx').on(t.orgId, t.periodStart, t.periodEnd),
    index('invoices_subscription_idx').on(t.orgId, t.subscriptionId),
    index('invoices_created_at_idx').on(t.orgId, t.createdAt),
    numberCheck('invoices_subtotal_check', 'subtotal'),
    numberCheck('invoices_tax_check', 'tax'),
    numberCheck('invoices_total_check', 'total'),
    numberCheck('invoices_amount_due_check', 'amount_due'),
    numberCheck('invoices_amount_paid_check', 'amount_paid'),
    stateCheck('invoices_status_check', 'status', invoiceStatuses),
    ...tenantTable('invoices', t),
  ],
)
declareTable(invoices, { kind: 'tenant', audited: true })

/** A line as it is given. Without an amount it is the quantity times the unit amount, rounded half away from zero. */
const newInvoiceLine = invoiceLine.partial({ amount: true })
export const maxInvoiceLines = 1000
export const newInvoiceLines = z.array(shape.own(newInvoiceLine)).max(maxInvoiceLines)

/** A draft. Its subtotal is the sum of the lines, its total the subtotal and the tax. */
export const newInvoice = z.strictObject({
  subscriptionId: shape.uuid.nullish(),
  currency: shape.currency,
  /** Default: 0. */
  tax: shape.money.optional(),
  periodStart: shape.instant.nullish(),
  periodEnd: shape.instant.nullish(),
  dueAt: shape.instant.nullish(),
  lines: newInvoiceLines.optional(),
})
/** Lines have methods of their own. */
export const invoicePatch = newInvoice.omit({ lines: true }).partial()

export interface Invoice extends Row<typeof invoices> {}
export interface NewInvoice extends z.input<typeof newInvoice> {}
export interface NewInvoiceLine extends z.input<typeof newInvoiceLine> {}
export interface InvoicePatch extends z.input<typeof invoicePatch> {}
