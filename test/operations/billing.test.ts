import { describe, expect, test } from 'vitest'
import { ConflictError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { ProviderEvent } from '../../src/schema/billing-events.js'
import { entriesOf } from '../support/audited-rows.js'
import { contend, race } from '../support/contenders.js'
import { type Team, useTeams } from '../support/use-teams.js'
import { behindChange } from '../support/waiting.js'

const teams = useTeams()
const provider = 'stripe'
const receive = (event: ProviderEvent, orgId?: string) => teams.system().billing.receive({ provider, event, orgId })
const second = (offset: number) => new Date(Date.UTC(2026, 5, 1, 0, 0, offset))
const kept = ({ id }: Team) =>
  teams.database.admin.query(
    `select provider, event_id, type, payload, provider_created_at, processed_at is not null as processed
     from platform.billing_events where org_id = $1 order by id`,
    [id],
  )
const operations = (orgId: string | null) =>
  teams.database.admin.query<{ operation: string; metadata: unknown }>(
    `select operation, metadata from platform.system_audit_logs
     where operation like 'billing.%' and target_org_id is not distinct from $1 order by created_at, id`,
    [orgId],
  )
const events = async ({ id }: Team) => (await entriesOf(teams.database.admin, id)).map(({ event_type: event }) => event)

interface Customer extends Team {
  readonly customerId: string
}

async function newCustomer(): Promise<Customer> {
  const team = await teams.newTeam({ plan: 'tier_free' })
  const customerId = `cus_${newId()}`
  await teams.system().billing.link(team.id, { customerId })
  return { ...team, customerId }
}

type Parts = Partial<Pick<ProviderEvent, 'subscription' | 'invoice' | 'paymentMethod'>>
const eventOf = ({ customerId }: Pick<Customer, 'customerId'>, at: number, parts: Parts): ProviderEvent => ({
  id: `evt_${newId()}`,
  type: 'something.happened',
  createdAt: second(at),
  customerId,
  ...parts,
})

const subscription = {
  id: 'sub_1',
  status: 'active',
  currentPeriodStart: new Date(Date.UTC(2026, 5)),
  currentPeriodEnd: new Date(Date.UTC(2026, 6)),
} as const
const invoice = {
  id: 'in_1',
  subscriptionId: 'sub_1',
  status: 'open',
  currency: 'EUR',
  subtotal: '100.00',
  tax: '19.00',
  total: '119.00',
  amountPaid: '0.00',
} as const
const paymentMethod = {
  id: 'pm_1',
  type: 'card',
  cardBrand: 'visa',
  cardLast4: '4242',
  cardExpMonth: 1,
  cardExpYear: 2030,
}

test('an event writes the subscription, an invoice and a payment method together', async () => {
  const customer = await newCustomer()
  const { org } = customer
  const before = await events(customer)
  const event = eventOf(customer, 5, { subscription: { ...subscription, planId: 'tier_pro' }, invoice, paymentMethod })
  await expect(receive(event)).resolves.toEqual({
    ignored: false,
    orgId: customer.id,
    isNew: true,
    applied: ['subscription', 'invoice', 'paymentMethod'],
  })
  const { id: subscriptionId } = await org.subscription.get()
  await expect(org.subscription.get()).resolves.toMatchObject({
    ...{ planId: 'tier_pro', planName: 'Pro', status: 'active', stripeSubscriptionId: 'sub_1' },
    ...{ currentPeriodStart: subscription.currentPeriodStart, currentPeriodEnd: subscription.currentPeriodEnd },
    ...{ providerUpdatedAt: second(5), canceledAt: null, nextInvoiceNumber: 2 },
  })
  expect((await org.invoices.list()).items).toMatchObject([
    {
      ...{ number: 1, status: 'open', stripeInvoiceId: 'in_1', subscriptionId, total: '119.00', amountDue: '119.00' },
      ...{ finalizedAt: second(5), paidAt: null, providerUpdatedAt: second(5) },
    },
  ])
  expect((await org.paymentMethods.list()).items).toMatchObject([{ cardLast4: '4242', isDefault: true }])
  const [only, ...others] = await kept(customer)
  expect(others).toEqual([])
  expect(only).toMatchObject({ provider, event_id: event.id, processed: true, provider_created_at: second(5) })
  expect(only?.payload).toMatchObject({ invoice: { id: 'in_1' }, paymentMethod: { id: 'pm_1', cardBrand: 'visa' } })
  expect(JSON.stringify(only?.payload)).not.toContain('4242')
  expect((await events(customer)).slice(before.length).sort()).toEqual([
    'invoices.receive',
    'payment_methods.add',
    'subscriptions.receive',
    'subscriptions.takeInvoiceNumber',
  ])
  expect((await operations(customer.id)).map(({ operation }) => operation)).toEqual(['billing.link', 'billing.receive'])
})

race('of twenty deliveries of one event one counts, and the others change nothing', async () => {
  const customer = await newCustomer()
  const event = eventOf(customer, 5, { subscription, invoice, paymentMethod })
  const { won, lost } = await contend(() => receive(event))
  expect(lost).toEqual([])
  expect(won.filter((one) => !one.ignored && one.isNew)).toHaveLength(1)
  const told = await events(customer)
  await expect(receive(event)).resolves.toMatchObject({ isNew: false, applied: [] })
  expect(await events(customer)).toEqual(told)
  expect(await kept(customer)).toHaveLength(1)
  expect((await customer.org.subscription.get()).nextInvoiceNumber).toBe(2)
})

race('of twenty different events in any order the newest stays', async () => {
  const customer = await newCustomer()
  const { won, lost } = await contend((contender) => {
    const at = (contender * 7) % 20
    const status = at === 19 ? 'past_due' : 'active'
    const amountPaid = `${at}.00`
    return receive(
      eventOf(customer, at, {
        subscription: { ...subscription, status },
        invoice: { ...invoice, amountPaid },
        paymentMethod: { ...paymentMethod, cardExpYear: 2030 + at },
      }),
    )
  })
  expect(lost).toEqual([])
  expect(won).toHaveLength(20)
  await expect(customer.org.subscription.get()).resolves.toMatchObject({
    status: 'past_due',
    providerUpdatedAt: second(19),
  })
  expect((await customer.org.invoices.list()).items).toMatchObject([
    { amountPaid: '19.00', amountDue: '100.00', number: 1 },
  ])
  expect((await customer.org.paymentMethods.list()).items).toMatchObject([{ cardExpYear: 2049 }])
  expect(await kept(customer)).toHaveLength(20)
})

test('an older or equally old state is kept as an event only', async () => {
  const customer = await newCustomer()
  const later = { subscription, invoice, paymentMethod }
  await receive(eventOf(customer, 5, later))
  const before = [
    await customer.org.subscription.get(),
    await customer.org.invoices.list(),
    await customer.org.paymentMethods.list(),
  ]
  for (const at of [4, 5]) {
    const earlier = eventOf(customer, at, {
      subscription: { ...subscription, status: 'canceled' },
      invoice: { ...invoice, status: 'void' },
      paymentMethod: { id: 'pm_1', isRemoved: true },
    })
    await expect(receive(earlier)).resolves.toMatchObject({ isNew: true, applied: [] })
  }
  expect([
    await customer.org.subscription.get(),
    await customer.org.invoices.list(),
    await customer.org.paymentMethods.list(),
  ]).toEqual(before)
  expect(await kept(customer)).toHaveLength(3)
})

test('a payment method that was removed does not come back by an older event', async () => {
  const customer = await newCustomer()
  await receive(eventOf(customer, 5, { paymentMethod: { id: 'pm_1', isRemoved: true } }))
  await expect(receive(eventOf(customer, 4, { paymentMethod }))).resolves.toMatchObject({ applied: [] })
  expect(await customer.org.paymentMethods.count()).toBe(0)
  await receive(eventOf(customer, 6, { paymentMethod }))
  await receive(eventOf(customer, 7, { paymentMethod: { ...paymentMethod, id: 'pm_2', isDefault: true } }))
  expect((await customer.org.paymentMethods.list({ isDefault: true })).items).toMatchObject([
    { stripePaymentMethodId: 'pm_2' },
  ])
  await receive(eventOf(customer, 8, { paymentMethod: { id: 'pm_2', isRemoved: true } }))
  expect(await customer.org.paymentMethods.count()).toBe(1)
})

test('a finalised invoice changes in status and payment alone, and a final one not at all', async () => {
  const customer = await newCustomer()
  const { invoices } = customer.org
  const current = async () => (await invoices.list()).items[0]
  await receive(eventOf(customer, 1, { invoice: { ...invoice, status: 'draft', total: '100.00', tax: '0.00' } }))
  expect(await current()).toMatchObject({ status: 'draft', number: null, total: '100.00', finalizedAt: null })
  await receive(eventOf(customer, 2, { invoice }))
  const open = await current()
  expect(open).toMatchObject({ status: 'open', number: 1, total: '119.00' })
  const other = { subtotal: '1.00', tax: '0.00', total: '1.00', hostedUrl: 'https://pay.example' }
  await receive(
    eventOf(customer, 3, {
      invoice: { ...invoice, ...other, status: 'paid', amountPaid: '119.00', amountDue: '0.00' },
    }),
  )
  const paid = await current()
  expect(paid).toEqual({
    ...open,
    ...{ status: 'paid', amountPaid: '119.00', amountDue: '0.00', paidAt: second(3), providerUpdatedAt: second(3) },
    updatedAt: paid?.updatedAt,
  })
  for (const status of ['open', 'draft', 'void'] as const)
    await expect(receive(eventOf(customer, 9, { invoice: { ...invoice, status } }))).resolves.toMatchObject({
      applied: [],
    })
  expect(await current()).toEqual(paid)
})

test('what is due of a finalised invoice is what its own total leaves, and nothing of a paid one', async () => {
  const customer = await newCustomer()
  const current = async () => (await customer.org.invoices.list()).items[0]
  await receive(eventOf(customer, 1, { invoice }))
  const larger = { subtotal: '500.00', tax: '0.00', total: '500.00' }
  await receive(eventOf(customer, 2, { invoice: { ...invoice, ...larger, amountPaid: '19.00' } }))
  expect(await current()).toMatchObject({ total: '119.00', amountPaid: '19.00', amountDue: '100.00' })
  await receive(eventOf(customer, 3, { invoice: { ...invoice, ...larger, status: 'paid', amountPaid: '19.00' } }))
  expect(await current()).toMatchObject({ status: 'paid', amountPaid: '19.00', amountDue: '0.00' })
})

test('a payment method that is told not to be the default is not', async () => {
  const customer = await newCustomer()
  await receive(eventOf(customer, 1, { paymentMethod: { ...paymentMethod, isDefault: false } }))
  expect((await customer.org.paymentMethods.list()).items).toMatchObject([{ isDefault: false }])
})

test('the end of a subscription that another one has replaced does not end that one', async () => {
  const customer = await newCustomer()
  await receive(eventOf(customer, 1, { subscription }))
  await receive(eventOf(customer, 2, { subscription: { ...subscription, id: 'sub_2' } }))
  await receive(eventOf(customer, 3, { subscription: { ...subscription, status: 'canceled' } }))
  await expect(customer.org.subscription.get()).resolves.toMatchObject({
    status: 'active',
    stripeSubscriptionId: 'sub_2',
  })
  const canceledAt = second(1)
  await receive(
    eventOf(customer, 4, { subscription: { ...subscription, id: 'sub_2', cancelAtPeriodEnd: true, canceledAt } }),
  )
  await expect(customer.org.subscription.get()).resolves.toMatchObject({ cancelAtPeriodEnd: true, canceledAt })
  await receive(eventOf(customer, 5, { subscription: { ...subscription, id: 'sub_2', status: 'canceled' } }))
  await expect(customer.org.subscription.get()).resolves.toMatchObject({ status: 'canceled', canceledAt: second(5) })
  await receive(eventOf(customer, 6, { subscription: { ...subscription, id: 'sub_3' } }))
  await expect(customer.org.subscription.get()).resolves.toMatchObject({ status: 'active', canceledAt: null })
})

describe('the organization of an event', () => {
  test('is that of its customer; an event of nobody is ignored, and nothing is kept', async () => {
    const before = await operations(null)
    const [customer, nobody] = [await newCustomer(), { customerId: `cus_${newId()}` }]
    const unknown = eventOf(nobody, 1, { subscription })
    await expect(receive(unknown)).resolves.toEqual({ ignored: true })
    await expect(receive({ ...unknown, customerId: null })).resolves.toEqual({ ignored: true })
    const [row] = await teams.database.admin.query<{ count: number }>(
      'select count(*)::int as count from platform.billing_events where event_id = $1',
      [unknown.id],
    )
    expect(row?.count).toBe(0)
    expect((await operations(null)).slice(before.length)).toMatchObject([
      { operation: 'billing.receive', metadata: { provider, eventId: unknown.id, ignored: true } },
      { operation: 'billing.receive' },
    ])
    const event = eventOf(customer, 1, { subscription })
    await receive({ ...event, customerId: undefined }, customer.id)
    expect(await kept(customer)).toHaveLength(1)
  })

  test('may be given, but is refused when the customer is linked to another one', async () => {
    const [one, other] = [await newCustomer(), await newCustomer()]
    const refused = receive(eventOf(one, 1, { subscription }), other.id)
    await expect(refused).rejects.toThrow(ConflictError)
    await expect(refused).rejects.not.toThrow(one.id)
    await expect(receive(eventOf({ customerId: 'cus_x' }, 1, {}), newId())).rejects.toThrow(NotFoundError)
    expect([await kept(one), await kept(other)]).toEqual([[], []])
  })

  test('may be given, but not where it is another customer', async () => {
    const customer = await newCustomer()
    const refused = receive(eventOf({ customerId: `cus_${newId()}` }, 1, { subscription, invoice }), customer.id)
    await expect(refused).rejects.toThrow(ConflictError)
    expect(await kept(customer)).toEqual([])
    expect(await customer.org.invoices.count()).toBe(0)
  })

  test('may be given, but not where another one becomes the customer meanwhile', async () => {
    const [given, other] = [await teams.newTeam(), await teams.newTeam()]
    const customerId = `cus_${newId()}`
    const { admin } = teams.database
    const link = async () => {
      await admin.query('select from platform.organizations where id = $1 for update', [given.id])
      await admin.query('update platform.organizations set updated_at = now() where id = $1', [given.id])
      await admin.query('update platform.subscriptions set stripe_customer_id = $2 where org_id = $1', [
        other.id,
        customerId,
      ])
    }
    const received = behindChange(admin, link, () => receive(eventOf({ customerId }, 1, { invoice }), given.id))
    await expect(received).rejects.toThrow(ConflictError)
    expect(await kept(given)).toEqual([])
    expect(await given.org.invoices.count()).toBe(0)
  })

  test('is changed by events while it is suspended, too', async () => {
    const customer = await newCustomer()
    await teams.system().organizations.suspend(customer.id, 'unpaid')
    await expect(receive(eventOf(customer, 1, { subscription }))).resolves.toMatchObject({ applied: ['subscription'] })
  })

  test('keeps its rows when another one receives events with the same ids', async () => {
    const [one, other] = [await newCustomer(), await newCustomer()]
    const event = eventOf(one, 1, { subscription, invoice, paymentMethod })
    await receive(event)
    const ofTheFirst = async () => [
      await one.org.subscription.get(),
      await one.org.invoices.list(),
      await one.org.paymentMethods.list(),
    ]
    const before = await ofTheFirst()
    // Later and different, so that whatever it reached there would change.
    const parts = {
      subscription: { ...subscription, status: 'past_due' },
      invoice: { ...invoice, amountPaid: '19.00' },
      paymentMethod: { ...paymentMethod, cardExpYear: 2040, isDefault: true },
    } as const
    const later = { ...event, ...parts, createdAt: second(2) }
    await expect(receive({ ...later, customerId: other.customerId })).resolves.toMatchObject({
      isNew: true,
      orgId: other.id,
      applied: ['subscription', 'invoice', 'paymentMethod'],
    })
    expect(await ofTheFirst()).toEqual(before)
    await expect(teams.system().billing.receive({ provider: 'other', event })).resolves.toMatchObject({ isNew: true })
  })

  race('of twenty organizations that are linked to one customer at once, one is', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => teams.newTeam()))
    const customerId = `cus_${newId()}`
    const { won, lost } = await contend((contender) =>
      teams.system().billing.link(all[contender]?.id ?? '', { customerId }),
    )
    expect(won).toHaveLength(1)
    expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
    await expect(receive(eventOf({ customerId }, 1, { subscription }))).resolves.toMatchObject({ orgId: won[0]?.orgId })
  })

  test('is another one after its customer is linked anew, and the subscription of before is forgotten', async () => {
    const [customer, next] = [await newCustomer(), await teams.newTeam()]
    await receive(eventOf(customer, 5, { subscription }))
    const same = await teams.system().billing.link(customer.id, { customerId: customer.customerId })
    expect(same.stripeSubscriptionId).toBe('sub_1')
    // A link that changes nothing is not recorded.
    expect((await operations(customer.id)).map(({ operation }) => operation)).toEqual([
      'billing.link',
      'billing.receive',
    ])
    const unlinked = await teams.system().billing.link(customer.id, { customerId: null })
    expect(unlinked).toMatchObject({ stripeCustomerId: null, stripeSubscriptionId: null, providerUpdatedAt: null })
    await expect(receive(eventOf(customer, 6, { subscription }))).resolves.toEqual({ ignored: true })
    await teams.system().billing.link(next.id, { customerId: customer.customerId })
    await expect(receive(eventOf(customer, 7, { subscription }))).resolves.toMatchObject({ orgId: next.id })
    expect(await customer.org.subscription.get()).toMatchObject({ stripeSubscriptionId: null, providerUpdatedAt: null })
    await expect(teams.system().billing.link(newId(), { customerId: 'x' })).rejects.toThrow(NotFoundError)
  })
})

test('an older event is not applied after the customer was unlinked and linked again', async () => {
  const customer = await newCustomer()
  const { billing } = teams.system()
  await receive(eventOf(customer, 5, { subscription: { ...subscription, status: 'past_due' } }))
  const other = `cus_${newId()}`
  await expect(billing.link(customer.id, { customerId: other })).resolves.toMatchObject({ providerUpdatedAt: null })
  await receive(eventOf({ customerId: other }, 3, { subscription: { ...subscription, id: 'sub_2' } }))
  await expect(customer.org.subscription.get()).resolves.toMatchObject({ status: 'active' })

  await billing.link(customer.id, { customerId: customer.customerId })
  await expect(receive(eventOf(customer, 4, { subscription }))).resolves.toMatchObject({ applied: [] })
  await expect(receive(eventOf(customer, 6, { subscription }))).resolves.toMatchObject({ applied: ['subscription'] })
})

test('an older event is not applied to the organization that its customer is linked to next', async () => {
  const [customer, next] = [await newCustomer(), await newCustomer()]
  const { billing } = teams.system()
  await receive(eventOf(customer, 20, { subscription }))
  await billing.link(customer.id, { customerId: null })
  const linked = await billing.link(next.id, { customerId: customer.customerId })
  expect(linked).toMatchObject({ providerUpdatedAt: second(20) })
  await expect(receive(eventOf(customer, 10, { subscription }))).resolves.toMatchObject({ orgId: next.id, applied: [] })
  await expect(next.org.subscription.get()).resolves.toMatchObject({ stripeSubscriptionId: null })
  await expect(receive(eventOf(customer, 21, { subscription }))).resolves.toMatchObject({ applied: ['subscription'] })
})

test.each<[string, string, Parts | object]>([
  [
    'a plan that the catalog does not have',
    'event.subscription.planId',
    { subscription: { ...subscription, planId: 'x' } },
  ],
  [
    'a period that ends before it begins',
    'currentPeriodEnd',
    { subscription: { ...subscription, currentPeriodEnd: second(-9) } },
  ],
  ['totals that do not add up', 'event.invoice.total', { invoice: { ...invoice, total: '118.99' } }],
  ['an amount that is a number', 'event.invoice.amountPaid', { invoice: { ...invoice, amountPaid: 1 } }],
  ['a status that is none', 'event.invoice.status', { invoice: { ...invoice, status: 'lost' } }],
  ['a link that is none', 'event.invoice.hostedUrl', { invoice: { ...invoice, hostedUrl: 'javascript:alert(1)' } }],
  ['an unknown field', 'event.raw', { raw: {} }],
])('an event with %s is refused by name, and nothing is kept', async (_, field, parts) => {
  const customer = await newCustomer()
  const refused = receive({ ...eventOf(customer, 1, { paymentMethod }), ...parts })
  await expect(refused).rejects.toThrow(InvalidInputError)
  await expect(refused).rejects.toThrow(field)
  expect(await kept(customer)).toEqual([])
  expect(await customer.org.paymentMethods.count()).toBe(0)
})
