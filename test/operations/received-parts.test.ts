import { describe, expect, test } from 'vitest'
import { ConflictError, InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { ProviderEvent } from '../../src/schema/billing-events.js'
import { systemBefore } from '../support/before-statement.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const provider = 'stripe'
const second = (offset: number) => new Date(Date.UTC(2026, 5, 1, 0, 0, offset))

type Parts = Partial<Pick<ProviderEvent, 'subscription' | 'invoice' | 'paymentMethod'>>

/** An event of a payment provider about that organization. */
const receive = ({ id: orgId }: Team, at: number, parts: Parts) =>
  teams.system().billing.receive({
    provider,
    orgId,
    event: { id: `evt_${newId()}`, type: 'something.happened', createdAt: second(at), ...parts },
  })

const invoice = {
  id: 'in_1',
  status: 'open',
  currency: 'EUR',
  subtotal: '100.00',
  tax: '0.00',
  total: '100.00',
  amountPaid: '0.00',
} as const

describe('the invoice of an event', () => {
  const received = async (team: Team, at: number, values: object) => {
    await receive(team, at, { invoice: { ...invoice, ...values } })
    return (await team.org.invoices.list()).items[0]
  }

  test('takes what the provider says is due, and otherwise the rest of the total, which is never below zero', async () => {
    const team = await teams.newTeam()
    expect(await received(team, 1, { amountPaid: '30.00' })).toMatchObject({ amountDue: '70.00' })
    expect(await received(team, 2, { amountPaid: '30.00', amountDue: '12.34' })).toMatchObject({ amountDue: '12.34' })
    expect(await received(team, 3, { status: 'paid', amountPaid: '100.01' })).toMatchObject({ amountDue: '0.00' })
  })

  test('has the provider’s times of finalisation and payment, and otherwise the time of the event', async () => {
    const [timed, untimed] = [await teams.newTeam(), await teams.newTeam()]
    const times = { finalizedAt: second(-20), paidAt: second(-10), dueAt: second(60), periodStart: second(-30) }
    expect(await received(timed, 5, { status: 'paid', ...times })).toMatchObject(times)
    expect(await received(untimed, 5, { status: 'paid' })).toMatchObject({
      finalizedAt: second(5),
      paidAt: second(5),
      dueAt: null,
      periodStart: null,
    })
    const [draft] = [await teams.newTeam()]
    expect(await received(draft, 5, { status: 'draft', ...times })).toMatchObject({ finalizedAt: null, paidAt: null })
  })

  test('belongs to the subscription that it names, where the organization has it', async () => {
    const team = await teams.newTeam()
    const { id: subscriptionId } = await team.org.subscription.get()
    const current = {
      id: 'sub_1',
      status: 'active',
      currentPeriodStart: second(0),
      currentPeriodEnd: new Date(Date.UTC(2026, 6)),
    } as const
    await receive(team, 1, { subscription: current })
    for (const [id, named, expected] of [
      ['in_2', 'sub_1', subscriptionId],
      ['in_3', 'sub_2', null],
      ['in_4', undefined, null],
    ] as const) {
      await receive(team, 2, { invoice: { ...invoice, id, subscriptionId: named } })
      const [found] = (await team.org.invoices.list()).items.filter(({ stripeInvoiceId }) => stripeInvoiceId === id)
      expect(found, id).toMatchObject({ subscriptionId: expected })
    }
  })

  test.each([
    ['open', 'uncollectible', 'uncollectible'],
    ['uncollectible', 'paid', 'paid'],
    ['uncollectible', 'open', 'uncollectible'],
    ['void', 'paid', 'void'],
    ['paid', 'void', 'paid'],
    ['draft', 'paid', 'paid'],
  ] as const)('that is %s and then said to be %s is %s', async (first, then, expected) => {
    const team = await teams.newTeam()
    await received(team, 1, { status: first })
    expect(await received(team, 2, { status: then })).toMatchObject({ status: expected })
  })
})

test('a payment method that an event names again is made the default, and keeps what the event leaves out', async () => {
  const team = await teams.newTeam()
  const card = { type: 'card', cardBrand: 'visa', cardLast4: '4242' }
  await receive(team, 1, { paymentMethod: { id: 'pm_1', ...card } })
  await receive(team, 2, { paymentMethod: { id: 'pm_2', ...card } })
  const defaults = async () =>
    (await team.org.paymentMethods.list({ isDefault: true })).items.map((one) => one.stripePaymentMethodId)
  expect(await defaults()).toEqual(['pm_1'])
  await receive(team, 3, { paymentMethod: { id: 'pm_2', type: 'card' } })
  expect(await defaults()).toEqual(['pm_1'])
  await receive(team, 4, { paymentMethod: { id: 'pm_2', type: 'card', isDefault: true } })
  expect(await defaults()).toEqual(['pm_2'])
  expect((await team.org.paymentMethods.list()).items).toMatchObject([card, card])
})

test.each(['linked elsewhere', 'unlinked'])(
  'an event is refused when its customer is %s meanwhile, and nothing is kept',
  async (change) => {
    const [before, after] = [await teams.newTeam(), await teams.newTeam()]
    const customerId = `cus_${newId()}`
    await teams.system().billing.link(before.id, { customerId })
    const unchanged = await before.org.subscription.get()
    const linkAnew = async () => {
      await teams.system().billing.link(before.id, { customerId: null })
      if (change === 'linked elsewhere') await teams.system().billing.link(after.id, { customerId })
    }
    const lock = /"platform"\."organizations" .*for no key update/s
    const { billing } = systemBefore(teams.database.systemUrl, lock, linkAnew)
    const event = { id: `evt_${newId()}`, type: 'card.added', createdAt: second(1), customerId }
    const received = { provider, event: { ...event, paymentMethod: { id: 'pm_1', type: 'card' } } }
    const refused = billing.receive(received)
    await expect(refused).rejects.toThrow(ConflictError)
    await expect(refused).rejects.toThrow(
      'was unlinked, or linked to another organization, meanwhile; receive the event again',
    )
    expect(await before.org.paymentMethods.count()).toBe(0)
    expect(await before.org.subscription.get()).toMatchObject({
      ...unchanged,
      updatedAt: expect.any(Date) as Date,
      stripeCustomerId: null,
    })
    // Again, as the error says.
    const again = change === 'unlinked' ? { ignored: true } : { isNew: true, orgId: after.id }
    expect(await billing.receive(received)).toMatchObject(again)
  },
)

describe('an event that comes again after its customer was linked to another organization', () => {
  const parts = {
    subscription: {
      id: 'sub_1',
      planId: 'tier_pro',
      status: 'active',
      currentPeriodStart: second(0),
      currentPeriodEnd: new Date(Date.UTC(2026, 6)),
    },
    invoice: { ...invoice, status: 'paid', amountPaid: '100.00' },
    paymentMethod: { id: 'pm_1', type: 'card' },
  } as const
  const moved = async () => {
    const [before, after] = [await teams.newTeam({ plan: 'tier_free' }), await teams.newTeam({ plan: 'tier_free' })]
    const customerId = `cus_${newId()}`
    const { billing } = teams.system()
    const event = { id: `evt_${newId()}`, type: 'x', createdAt: second(1), customerId, ...parts }
    await billing.link(before.id, { customerId })
    await billing.receive({ provider, event })
    await billing.link(before.id, { customerId: null })
    await billing.link(after.id, { customerId })
    return { before, after, event, billing, customerId }
  }
  const stateOf = async ({ org }: Team) => [
    await org.subscription.get(),
    await org.invoices.list(),
    await org.paymentMethods.list(),
  ]

  test('changes nothing in either of them', async () => {
    const { before, after, event, billing } = await moved()
    const states = [await stateOf(before), await stateOf(after)]
    const again = { ignored: false, orgId: after.id, isNew: false, applied: [] }
    await expect(billing.receive({ provider, event })).resolves.toEqual(again)
    await expect(billing.receive({ provider, event, orgId: after.id })).resolves.toEqual(again)
    expect([await stateOf(before), await stateOf(after)]).toEqual(states)
  })

  test('is new where it was only ignored before, or is one of another provider', async () => {
    const { after, event, billing } = await moved()
    const first = { ...event, id: `evt_${newId()}` }
    await expect(billing.receive({ provider, event: first })).resolves.toMatchObject({ orgId: after.id, isNew: true })
    const other = { ...event, createdAt: second(2) }
    await expect(billing.receive({ provider: 'bank', event: other })).resolves.toMatchObject({ isNew: true })
  })

  test('changes nothing when the customer is linked back, whichever of the two received it', async () => {
    const { before, after, event, billing, customerId } = await moved()
    const later = { ...event, id: `evt_${newId()}`, createdAt: second(2) }
    await billing.receive({ provider, event: later })
    await billing.link(after.id, { customerId: null })
    await billing.link(before.id, { customerId })
    for (const one of [event, later])
      await expect(billing.receive({ provider, event: one })).resolves.toMatchObject({ orgId: before.id, isNew: false })
  })
})

test('an organization without a customer keeps its plan, and maintenance begins its next periods', async () => {
  const team = await teams.newTeam({ plan: 'tier_free' })
  const { billing, maintenance } = teams.system()
  await billing.link(team.id, { customerId: `cus_${newId()}` })
  const [from, to] = [new Date('2020-01-01T00:00:00Z'), new Date('2020-02-01T00:00:00Z')]
  const paid = {
    id: 'sub_1',
    planId: 'tier_pro',
    status: 'active',
    currentPeriodStart: from,
    currentPeriodEnd: to,
  } as const
  await receive(team, 1, { subscription: paid })
  await billing.link(team.id, { customerId: null })
  await maintenance.run()
  const rolled = await team.org.subscription.get()
  expect(rolled).toMatchObject({ planId: 'tier_pro', status: 'active' })
  expect(rolled.currentPeriodEnd.getTime()).toBeGreaterThan(Date.now())
  await team.org.subscription.cancel({ atPeriodEnd: false })
  await maintenance.run()
  await expect(team.org.subscription.get()).resolves.toMatchObject({ status: 'canceled' })
})

test.each(['draft', 'open'] as const)('an invoice that is %s refuses an event in another currency', async (status) => {
  const team = await teams.newTeam()
  await receive(team, 1, { invoice: { ...invoice, status } })
  const before = await team.org.invoices.list()
  const dollars = {
    ...invoice,
    status: 'paid',
    currency: 'USD',
    subtotal: '5.00',
    total: '5.00',
    amountPaid: '5.00',
  } as const
  const refused = receive(team, 2, { invoice: dollars, paymentMethod: { id: 'pm_1', type: 'card' } })
  await expect(refused).rejects.toThrow(ConflictError)
  await expect(refused).rejects.toThrow('the invoice in_1 is in EUR, and the event says USD')
  expect(await team.org.invoices.list()).toEqual(before)
  expect(await team.org.paymentMethods.count()).toBe(0)
})

test('an event in another currency that is not newer is kept and not applied', async () => {
  const team = await teams.newTeam()
  await receive(team, 5, { invoice })
  const before = await team.org.invoices.list()
  for (const at of [4, 5]) {
    const old = receive(team, at, { invoice: { ...invoice, currency: 'USD' } })
    await expect(old).resolves.toMatchObject({ isNew: true, applied: [] })
  }
  expect(await team.org.invoices.list()).toEqual(before)
})

test("a payment method takes an event that is older than another provider's", async () => {
  const team = await teams.newTeam()
  const receivePaymentMethod = (from: string, at: number) =>
    teams.system().billing.receive({
      provider: from,
      orgId: team.id,
      event: {
        id: `evt_${newId()}`,
        type: 'card.changed',
        createdAt: second(at),
        paymentMethod: { id: 'pm_1', type: 'card', cardBrand: from },
      },
    })
  await receivePaymentMethod('stripe', 5)
  await expect(receivePaymentMethod('bank', 3)).resolves.toMatchObject({ applied: ['paymentMethod'] })
  await expect(receivePaymentMethod('stripe', 4)).resolves.toMatchObject({ isNew: true, applied: [] })
  expect((await team.org.paymentMethods.list()).items).toMatchObject([{ cardBrand: 'bank' }])
})

test('an event more than a day in the future is refused, and later ones are applied', async () => {
  const team = await teams.newTeam()
  const { billing } = teams.system()
  const hours = (count: number) => new Date(Date.now() + count * 3_600_000)
  const at = (createdAt: Date, status: 'open' | 'paid') =>
    billing.receive({
      provider,
      orgId: team.id,
      event: { id: `evt_${newId()}`, type: 'x', createdAt, invoice: { ...invoice, status } },
    })
  for (const future of [new Date('9999-01-01T00:00:00Z'), hours(25)]) {
    const refused = at(future, 'open')
    await expect(refused).rejects.toThrow(InvalidInputError)
    await expect(refused).rejects.toThrow('event.createdAt: is more than a day in the future')
  }
  await expect(at(hours(23), 'open')).resolves.toMatchObject({ applied: ['invoice'] })
  await expect(at(hours(23.5), 'paid')).resolves.toMatchObject({ applied: ['invoice'] })
})

test('a plan that the catalog does not have is refused, however old the event is', async () => {
  const team = await teams.newTeam()
  const period = { currentPeriodStart: second(0), currentPeriodEnd: new Date(Date.UTC(2026, 6)) }
  const subscription = { id: 'sub_1', status: 'active', ...period } as const
  await receive(team, 5, { subscription })
  for (const at of [4, 5]) {
    const refused = receive(team, at, { subscription: { ...subscription, planId: 'unknown' } })
    await expect(refused).rejects.toThrow('event.subscription.planId: is not a plan of the catalog')
  }
})

test('an event from the future that another organization received hides no event from after the link', async () => {
  const [before, next] = [await teams.newTeam(), await teams.newTeam()]
  const { billing } = teams.system()
  const customerId = `cus_${newId()}`
  const subscription = {
    id: 'sub_1',
    status: 'active',
    currentPeriodStart: second(0),
    currentPeriodEnd: second(9),
  } as const
  const event = (createdAt: Date) => ({ id: `evt_${newId()}`, type: 'changed', createdAt, customerId, subscription })
  await billing.link(before.id, { customerId })
  const soon = new Date(Date.now() + 3_600_000)
  expect(await billing.receive({ provider, event: event(soon) })).toMatchObject({ applied: ['subscription'] })
  await billing.link(before.id, { customerId: null })
  expect(await billing.link(next.id, { customerId })).toMatchObject({ providerUpdatedAt: null })
  expect(await billing.receive({ provider, event: event(second(21)) })).toMatchObject({ applied: ['subscription'] })
})
