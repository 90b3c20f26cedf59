import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Stripe from 'stripe'
import { expect, test } from 'vitest'
import { fromStripe, stripeWebhook } from '../../examples/stripe-webhook.js'
import { InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const secret = 'whsec_test'
const handler = (stripe?: Stripe) => stripeWebhook({ system: teams.system(), secret, ...(stripe && { stripe }) })
const created = Math.floor(Date.UTC(2026, 5, 1) / 1000)

async function newCustomer(): Promise<Team & { readonly customer: string }> {
  const team = await teams.newTeam({ plan: 'tier_free' })
  const customer = `cus_${newId()}`
  await teams.system().billing.link(team.id, { customerId: customer })
  return { ...team, customer }
}

const eventOf = (type: string, object: object, more: object = {}) => ({
  id: `evt_${newId()}`,
  object: 'event',
  api_version: '2026-05-27',
  created,
  type,
  data: { object, ...more },
})

interface Sent {
  readonly secret?: string
  readonly body?: string
  readonly header?: string
  readonly stripe?: Stripe
}

const send = (event: object, signed: Sent = {}) => {
  const payload = JSON.stringify(event, null, 2)
  const header = signed.header ?? Stripe.webhooks.generateTestHeaderString({ payload, secret: signed.secret ?? secret })
  const headers = { 'stripe-signature': header }
  return handler(signed.stripe)(
    new Request('https://app.example/stripe', { method: 'POST', body: signed.body ?? payload, headers }),
  )
}

const subscriptionOf = (customer: string, more: object = {}) => ({
  id: 'sub_1',
  object: 'subscription',
  customer,
  status: 'active',
  cancel_at_period_end: false,
  canceled_at: null,
  trial_end: null,
  items: {
    data: [
      { current_period_start: created, current_period_end: created + 2_592_000, price: { lookup_key: 'tier_pro' } },
    ],
  },
  ...more,
})

const invoiceOf = (customer: string, more: object = {}) => ({
  id: 'in_1',
  object: 'invoice',
  customer,
  status: 'open',
  currency: 'eur',
  total: 11_900,
  total_taxes: [{ amount: 1900 }],
  amount_paid: 0,
  amount_remaining: 11_900,
  parent: { subscription_details: { subscription: 'sub_1' } },
  period_start: created,
  period_end: created,
  due_date: null,
  status_transitions: { finalized_at: created, paid_at: null },
  lines: { data: [{ description: 'Pro', amount: 10_000, quantity: 3 }] },
  hosted_invoice_url: 'https://invoice.example/1',
  invoice_pdf: null,
  ...more,
})

test('signed events bring the subscription, its invoices and its payment methods', async () => {
  const { org, customer } = await newCustomer()
  const answer = await send(eventOf('customer.subscription.updated', subscriptionOf(customer)))
  expect([answer.status, await answer.json()]).toMatchObject([200, { isNew: true, applied: ['subscription'] }])
  await expect(org.subscription.get()).resolves.toMatchObject({ planId: 'tier_pro', stripeSubscriptionId: 'sub_1' })

  // Both in one second, and the later one first.
  const paid = { status: 'paid', amount_paid: 11_900, amount_remaining: 0 }
  await send(eventOf('invoice.paid', invoiceOf(customer, paid)))
  await send(eventOf('invoice.finalized', invoiceOf(customer)))
  expect((await org.invoices.list()).items).toMatchObject([
    {
      status: 'paid',
      number: 1,
      subtotal: '100.00',
      tax: '19.00',
      total: '119.00',
      amountPaid: '119.00',
      currency: 'EUR',
    },
  ])

  const card = { brand: 'visa', last4: '4242', exp_month: 1, exp_year: 2030 }
  const method = { id: 'pm_1', object: 'payment_method', type: 'card', card, customer }
  await send(eventOf('payment_method.attached', method))
  expect((await org.paymentMethods.list()).items).toMatchObject([{ cardLast4: '4242', isDefault: true }])
  const detached = eventOf(
    'payment_method.detached',
    { ...method, customer: null },
    { previous_attributes: { customer } },
  )
  await send(detached)
  expect(await org.paymentMethods.count()).toBe(0)
  await send(
    eventOf('customer.subscription.deleted', subscriptionOf(customer, { status: 'canceled', canceled_at: created })),
  )
  await expect(org.subscription.get()).resolves.toMatchObject({ status: 'canceled' })
})

/** A client of Stripe whose server is here, and answers with these objects by their paths. */
async function stripeWith(objects: Readonly<Record<string, object>>) {
  const asked: string[] = []
  const server = createServer(({ url = '' }, response) => {
    asked.push(url)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(objects[url]))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const stripe = new Stripe('sk_test_1', { host: '127.0.0.1', port, protocol: 'http', maxNetworkRetries: 0 })
  return { stripe, asked, close: () => server.close() }
}

test('of two events of one second, the one that arrives second brings the state that Stripe has now', async () => {
  const { org, customer } = await newCustomer()
  const [canceling, draft] = [{ cancel_at_period_end: true }, { status: 'draft', total: 5000, total_taxes: [] }]
  const { stripe, asked, close } = await stripeWith({
    '/v1/subscriptions/sub_1': subscriptionOf(customer, canceling),
    '/v1/invoices/in_1': invoiceOf(customer, draft),
  })
  // Here the earlier one arrives second.
  const newest = eventOf('customer.subscription.updated', subscriptionOf(customer, canceling))
  expect(await (await send(newest, { stripe })).json()).toMatchObject({ applied: ['subscription'] })
  await send(eventOf('customer.subscription.updated', subscriptionOf(customer)), { stripe })
  await expect(org.subscription.get()).resolves.toMatchObject({ cancelAtPeriodEnd: true })

  // And here the later one.
  await send(eventOf('invoice.created', invoiceOf(customer, { ...draft, total: 100 })), { stripe })
  const second = await send(eventOf('invoice.updated', invoiceOf(customer, draft)), { stripe })
  expect(await second.json()).toMatchObject({ isNew: true, applied: ['invoice'] })
  expect((await org.invoices.list()).items).toMatchObject([{ status: 'draft', total: '50.00' }])
  expect(asked).toEqual(['/v1/subscriptions/sub_1', '/v1/invoices/in_1'])
  close()
})

test('the present state is not older than the event, whatever the clock of this machine says', async () => {
  const { org, customer } = await newCustomer()
  const draft = { status: 'draft', total_taxes: [] }
  const objects = { '/v1/invoices/in_1': invoiceOf(customer, { ...draft, total: 5000 }) }
  const { stripe, close } = await stripeWith(objects)
  // Ahead of this machine.
  const ahead = { created: Math.floor(Date.now() / 1000) + 3600 }
  await send({ ...eventOf('invoice.created', invoiceOf(customer, { ...draft, total: 100 })), ...ahead }, { stripe })
  const second = { ...eventOf('invoice.updated', invoiceOf(customer, { ...draft, total: 100 })), ...ahead }
  expect(await (await send(second, { stripe })).json()).toMatchObject({ isNew: true, applied: ['invoice'] })
  expect((await org.invoices.list()).items).toMatchObject([{ total: '50.00' }])

  // A third one of the same second.
  objects['/v1/invoices/in_1'] = invoiceOf(customer, { ...draft, total: 7000 })
  const third = { ...eventOf('invoice.updated', invoiceOf(customer, { ...draft, total: 100 })), ...ahead }
  expect(await (await send(third, { stripe })).json()).toMatchObject({ isNew: true, applied: ['invoice'] })
  expect((await org.invoices.list()).items).toMatchObject([{ total: '70.00' }])
  close()
})

test('an event that is sent again changes nothing', async () => {
  const { org, customer } = await newCustomer()
  const event = eventOf('invoice.finalized', invoiceOf(customer))
  await send(event)
  const before = await org.invoices.list()
  const again = await send(event)
  expect([again.status, await again.json()]).toMatchObject([200, { isNew: false, applied: [] }])
  expect(await org.invoices.list()).toEqual(before)
})

test('an event without the right signature over the very body is refused, and nothing is kept', async () => {
  const { org, customer } = await newCustomer()
  const event = eventOf('invoice.finalized', invoiceOf(customer))
  const payload = JSON.stringify(event, null, 2)
  const old = Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp: created - 86_400 })
  for (const signed of [{ secret: 'whsec_other' }, { body: JSON.stringify(event) }, { header: old }, { header: '' }]) {
    expect((await send(event, signed)).status).toBe(400)
  }
  expect(await org.invoices.count()).toBe(0)
  expect((await send(event)).status).toBe(200)
})

test('an event of an unknown customer, or of another kind, is ignored', async () => {
  for (const event of [eventOf('invoice.finalized', invoiceOf('cus_nobody')), eventOf('charge.succeeded', {})]) {
    const answer = await send(event)
    expect([answer.status, await answer.json()]).toEqual([200, { ignored: true }])
  }
})

test.each([
  ['jpy', 1200, '1200.00'],
  ['kwd', 12_340, '12.34'],
  ['usd', -5, '-0.05'],
])('amounts of %s are told in the currency', (currency, total, text) => {
  const invoice = invoiceOf('cus_1', { currency, total, total_taxes: null })
  expect(fromStripe(eventOf('invoice.updated', invoice) as never)?.invoice?.total).toBe(text)
})

test('a status that is new to this build is an error, so that Stripe sends the event again', async () => {
  const { customer } = await newCustomer()
  const event = eventOf('customer.subscription.updated', subscriptionOf(customer, { status: 'dreaming' }))
  await expect(send(event)).rejects.toThrow(InvalidInputError)
})
