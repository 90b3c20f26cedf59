import { describe, expect, test } from 'vitest'
import { ConflictError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import type { ProviderEvent } from '../../src/schema/billing-events.js'
import { Tenancy } from '../../src/tenancy.js'
import { beforeStatement } from '../support/before-statement.js'
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

test('an event is refused when its customer is linked to another organization meanwhile, and nothing is kept', async () => {
  const [before, after] = [await teams.newTeam(), await teams.newTeam()]
  const customerId = `cus_${newId()}`
  await teams.system().billing.link(before.id, { customerId })
  const unchanged = await before.org.subscription.get()
  const linkAnew = async () => {
    await teams.system().billing.link(before.id, { customerId: null })
    await teams.system().billing.link(after.id, { customerId })
  }
  const executor = openNodePostgres({ pool: { connectionString: teams.database.systemUrl, max: 2 } })
  const linking = beforeStatement(executor, /"platform"\."organizations" .*for no key update/s, linkAnew)
  const tenancy = new Tenancy(linking, secretsOf(passingKeyring()), {}, linking)
  const event = { id: `evt_${newId()}`, type: 'card.added', createdAt: second(1), customerId }
  const received = { provider, event: { ...event, paymentMethod: { id: 'pm_1', type: 'card' } } }
  try {
    const { billing } = tenancy.system({ actor: 'test', reason: 'a test' })
    const refused = billing.receive(received)
    await expect(refused).rejects.toThrow(ConflictError)
    await expect(refused).rejects.toThrow('linked to another organization meanwhile; receive the event again')
    expect(await before.org.paymentMethods.count()).toBe(0)
    expect(await before.org.subscription.get()).toMatchObject({
      ...unchanged,
      updatedAt: expect.any(Date) as Date,
      stripeCustomerId: null,
    })
    // Again, as the error says.
    expect(await billing.receive(received)).toMatchObject({ isNew: true, orgId: after.id })
  } finally {
    await tenancy.close()
  }
})
