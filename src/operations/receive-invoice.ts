import { ConflictError } from '../core/errors.js'
import { ScopedTable } from '../core/scoped-table.js'
import type { Values } from '../core/values.js'
import { type InvoiceStatus } from '../repositories/invoices.js'
import { type Invoice, invoices, invoiceTransitions } from '../schema/invoices.js'
import { differenceOf, isNegative } from '../schema/shared/exact-decimals.js'
import * as shape from '../schema/shared/shapes.js'
import { takeInvoiceNumber } from './finalize-invoice.js'
import { type Applying, type Event, isNewer } from './applied-event.js'

type Told = NonNullable<Event['invoice']>

/**
 * Makes the invoice, or changes the one with the provider's id. Returns false where the event is not newer than what is known of it, or
 * the invoice may no longer change so. Throws ConflictError for a newer event in another currency than the invoice has.
 */
export async function receiveInvoice(applying: Applying, told: Told): Promise<boolean> {
  const { scope, event } = applying
  const rows = new ScopedTable<Invoice>(scope, invoices)
  const found = await rows.findRow({ stripeInvoiceId: told.id })
  if (found === undefined) {
    const managed = { stripeInvoiceId: told.id, ...(await contentOf(applying, told)) }
    await rows.insertRow(shape.noInput, {}, { managed, event: 'receive' })
    return true
  }
  // Whoever pays or finalises it here waits, or has done so by now.
  const known = await rows.lockRow(found.id)
  if (!isNewer(event, known.providerUpdatedAt)) return false
  if (known.currency !== told.currency) {
    const what = `the invoice ${told.id} is in ${known.currency}, and the event says ${told.currency}`
    throw new ConflictError('invoices', ['currency'], `invoices: ${what}; another provider may use the same id`)
  }
  if (!mayBecome(known.status, told.status)) return false
  const managed = known.status === 'draft' ? await contentOf(applying, told) : paymentOf(event, told, known.total)
  await rows.updateRow(shape.noInput, known.id, {}, { managed, event: 'receive' })
  return true
}

/** All of the invoice. Unless it is a draft, it gets the organization's next number. */
async function contentOf({ scope, event, subscription }: Applying, told: Told): Promise<Values> {
  const { subscriptionId, currency, subtotal, tax, total, lines = [], hostedUrl = null, pdfUrl = null } = told
  const isOfSubscription = subscriptionId === subscription.stripeSubscriptionId || subscriptionId === applied(event)
  const isFinal = told.status !== 'draft'
  return {
    ...paymentOf(event, told, total),
    subscriptionId: isOfSubscription && typeof subscriptionId === 'string' ? subscription.id : null,
    currency,
    subtotal,
    tax,
    total,
    lines,
    hostedUrl,
    pdfUrl,
    periodStart: told.periodStart ?? null,
    periodEnd: told.periodEnd ?? null,
    dueAt: told.dueAt ?? null,
    finalizedAt: isFinal ? (told.finalizedAt ?? event.createdAt) : null,
    ...(isFinal ? { number: await takeInvoiceNumber(scope) } : {}),
  }
}

const applied = ({ subscription }: Event): string | undefined => subscription?.id

/** What may change of a finalised invoice. Its total stays, whatever total the event has. */
function paymentOf(event: Event, { status, amountPaid, amountDue, paidAt }: Told, total: string): Values {
  const left = differenceOf(total, amountPaid)
  const isPaid = status === 'paid'
  return {
    status,
    amountPaid,
    amountDue: amountDue ?? (isPaid || isNegative(left) ? '0.00' : left),
    paidAt: isPaid ? (paidAt ?? event.createdAt) : null,
    providerUpdatedAt: event.createdAt,
  }
}

/** Events in between may be missing, or come later. */
function mayBecome(from: InvoiceStatus, to: InvoiceStatus): boolean {
  return from === to || invoiceTransitions[from].some((next) => mayBecome(next, to))
}
