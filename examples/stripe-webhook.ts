// Takes Stripe's events: verifies the signature over the raw body, and hands the system what each one says.
import Stripe from 'stripe'
import { InvalidInputError, type ProviderEvent, type System } from 'tenantry'

export interface StripeWebhookOptions {
  readonly system: System
  /** The secret of the endpoint: `whsec_…`. */
  readonly secret: string
  /** Asked for the present state where an event is not newer than what is known. Without it such an event changes nothing. */
  readonly stripe?: Stripe
}

/**
 * A handler for `POST /stripe`. It needs the body as it was sent: parsed and written again, the signature would not fit. Stripe sends an
 * event again until it gets a 2xx, so errors are answered as errors.
 */
export function stripeWebhook({ system, secret, stripe }: StripeWebhookOptions) {
  return async (request: Request): Promise<Response> => {
    const body = Buffer.from(await request.arrayBuffer())
    let event: Stripe.Event
    try {
      event = Stripe.webhooks.constructEvent(body, request.headers.get('stripe-signature') ?? '', secret)
    } catch {
      return new Response('the signature does not fit', { status: 400 })
    }
    const told = fromStripe(event)
    if (told === undefined) return Response.json({ ignored: true })
    const received = await system.billing.receive({ provider: 'stripe', event: told })
    if (received.ignored || received.applied.length > 0 || stripe === undefined) return Response.json(received)
    const now = await stateNow(stripe, event)
    return Response.json(now ? await system.billing.receive({ provider: 'stripe', event: now }) : received)
  }
}

/** The time of the last state that was read. Several processes would have to share it. */
let latest = 0

/**
 * Stripe tells times in seconds, and does not send events in their order. Of two events of one second with the same state, the second to
 * arrive is therefore not applied, though it may be the later one. Its object as it is now is right in any case.
 */
async function stateNow(stripe: Stripe, event: Stripe.Event): Promise<ProviderEvent | undefined> {
  const object = event.data.object as { readonly object: string; readonly id: string }
  // Later than the event, whose time may be any in its second, and than the state that was read before; also where this clock is slow.
  latest = Math.max(Date.now(), event.created * 1000 + 999, latest + 1)
  const now = new Date(latest)
  const about = { id: `${event.id} at ${now.toISOString()}`, type: event.type, createdAt: now }
  if (object.object === 'subscription') {
    const subscription = await stripe.subscriptions.retrieve(object.id)
    return { ...about, customerId: idOf(subscription.customer), subscription: subscriptionOf(subscription) }
  }
  if (object.object === 'invoice') {
    const invoice = await stripe.invoices.retrieve(object.id)
    return { ...about, customerId: idOf(invoice.customer), invoice: invoiceOf(invoice) }
  }
  return undefined
}

/** The event in the library's words; undefined for one that it does not keep. */
export function fromStripe(event: Stripe.Event): ProviderEvent | undefined {
  switch (event.type) {
    case 'customer.subscription.created':
    case 'customer.subscription.updated':
    case 'customer.subscription.deleted':
    case 'customer.subscription.paused':
    case 'customer.subscription.resumed': {
      const subscription = subscriptionOf(event.data.object)
      const rank = subscription.status === 'canceled' ? 2 : subscription.status === 'incomplete' ? 0 : 1
      return { ...about(event, rank, event.data.object.customer), subscription }
    }
    case 'invoice.created':
    case 'invoice.updated':
    case 'invoice.finalized':
    case 'invoice.paid':
    case 'invoice.payment_failed':
    case 'invoice.marked_uncollectible':
    case 'invoice.voided': {
      const invoice = invoiceOf(event.data.object)
      const rank = invoiceStatuses.indexOf(invoice.status)
      return { ...about(event, rank, event.data.object.customer), invoice }
    }
    case 'payment_method.attached':
    case 'payment_method.updated':
    case 'payment_method.automatically_updated':
      return { ...about(event, 0, event.data.object.customer), paymentMethod: paymentMethodOf(event.data.object) }
    case 'payment_method.detached': {
      const { id } = event.data.object
      const customer = event.data.previous_attributes?.customer
      return { ...about(event, 1, customer ?? null), paymentMethod: { id, isRemoved: true } }
    }
    default:
      return undefined
  }
}

type Customer = string | Stripe.Customer | Stripe.DeletedCustomer | null

/**
 * Stripe tells seconds, and often an invoice is finalised and paid in one. The rank of the state is added as milliseconds, so that the
 * later state is the newer one, in whatever order the two arrive.
 */
const about = ({ id, type, created }: Stripe.Event, rank: number, customer: Customer) => ({
  id,
  type,
  createdAt: new Date(created * 1000 + rank),
  customerId: typeof customer === 'string' ? customer : customer?.id,
})

const at = (seconds: number | null | undefined): Date | null =>
  seconds === null || seconds === undefined ? null : new Date(seconds * 1000)
const idOf = (object: string | { readonly id: string } | null | undefined): string | undefined =>
  typeof object === 'string' ? object : object?.id

type Told = NonNullable<ProviderEvent['subscription']>
const statuses: Readonly<Record<string, Told['status'] | undefined>> = {
  trialing: 'trialing',
  active: 'active',
  past_due: 'past_due',
  unpaid: 'past_due',
  paused: 'paused',
  canceled: 'canceled',
  incomplete: 'incomplete',
  incomplete_expired: 'canceled',
}

/** The plan is the `lookup_key` of the price of the first item. */
function subscriptionOf(subscription: Stripe.Subscription): Told {
  const [item] = subscription.items.data
  if (item === undefined) throw new InvalidInputError('items', 'are none: a subscription has a price')
  const planId = item.price.lookup_key
  const status = statuses[subscription.status]
  if (status === undefined) throw new InvalidInputError('status', 'is none that this build knows')
  return {
    id: subscription.id,
    ...(planId === null ? {} : { planId }),
    status,
    currentPeriodStart: new Date(item.current_period_start * 1000),
    currentPeriodEnd: new Date(item.current_period_end * 1000),
    cancelAtPeriodEnd: subscription.cancel_at_period_end,
    canceledAt: at(subscription.canceled_at),
    trialEndsAt: at(subscription.trial_end),
  }
}

type ToldInvoice = NonNullable<ProviderEvent['invoice']>
// In the order in which one may follow another.
const invoiceStatuses = ['draft', 'open', 'uncollectible', 'void', 'paid'] as const

function invoiceOf(invoice: Stripe.Invoice): ToldInvoice {
  const status = invoiceStatuses.find((known) => known === (invoice.status ?? 'draft'))
  if (status === undefined) throw new InvalidInputError('status', 'is none that this build knows')
  const money = (amount: number) => decimalOf(amount, invoice.currency)
  const tax = (invoice.total_taxes ?? []).reduce((sum, { amount }) => sum + amount, 0)
  return {
    id: invoice.id,
    subscriptionId: idOf(invoice.parent?.subscription_details?.subscription),
    status,
    currency: invoice.currency.toUpperCase(),
    subtotal: money(invoice.total - tax),
    tax: money(tax),
    total: money(invoice.total),
    amountPaid: money(invoice.amount_paid),
    amountDue: money(invoice.amount_remaining),
    periodStart: at(invoice.period_start),
    periodEnd: at(invoice.period_end),
    dueAt: at(invoice.due_date),
    finalizedAt: at(invoice.status_transitions.finalized_at),
    paidAt: at(invoice.status_transitions.paid_at),
    lines: invoice.lines.data.map(({ description, amount, quantity }) => ({
      description: description ?? 'Unnamed',
      quantity: String(quantity ?? 1),
      unitAmount: money(quantity ? Math.round(amount / quantity) : amount),
      amount: money(amount),
    })),
    hostedUrl: invoice.hosted_invoice_url,
    pdfUrl: invoice.invoice_pdf,
  }
}

function paymentMethodOf({ id, type, card }: Stripe.PaymentMethod): NonNullable<ProviderEvent['paymentMethod']> {
  const { brand, last4, exp_month: cardExpMonth, exp_year: cardExpYear } = card ?? {}
  return { id, type, cardBrand: brand, cardLast4: last4, cardExpMonth, cardExpYear }
}

// The currencies that Stripe counts otherwise than in hundredths.
const whole = new Set('bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf'.split(' '))
const thousandths = new Set('bhd jod kwd omr tnd'.split(' '))

/** The amount with two places. In currencies of three, Stripe's last digit is always 0. */
function decimalOf(amount: number, currency: string): string {
  const hundredths = whole.has(currency) ? amount * 100 : thousandths.has(currency) ? Math.round(amount / 10) : amount
  const digits = String(Math.abs(hundredths)).padStart(3, '0')
  return `${hundredths < 0 ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`
}
