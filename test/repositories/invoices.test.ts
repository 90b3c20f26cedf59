import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  BrokenReferenceError,
  ConflictError,
  ForbiddenError,
  InvalidInputError,
  NotFoundError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { InvoiceStatus } from '../../src/repositories/invoices.js'
import { type Invoice, invoiceStatuses, type NewInvoiceLine } from '../../src/schema/invoices.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { entriesOf } from '../support/audited-rows.js'
import { contend, race } from '../support/contenders.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const lineOf = (amount: string): NewInvoiceLine => ({ description: 'Work', quantity: '1', unitAmount: amount })
const draftOf = ({ org }: Pick<Team, 'org'>, amount = '80') =>
  org.invoices.create({ currency: 'EUR', lines: [lineOf(amount)] })
const openOf = async (team: Pick<Team, 'org'>, amount?: string) =>
  team.org.invoices.finalize((await draftOf(team, amount)).id)

test('a draft adds up its lines, and has no number', async () => {
  const { org } = await teams.newTeam()
  const subscription = await org.subscription.get()
  const draft = await org.invoices.create({
    currency: 'EUR',
    subscriptionId: subscription.id,
    tax: '19.5',
    periodStart: '2026-01-01T00:00:00Z',
    lines: [
      { description: 'Calls', quantity: '1234567', unitAmount: '0.000021' },
      { description: 'Seats', quantity: '3', unitAmount: '29.99' },
      { description: 'Discount', quantity: '1', unitAmount: '-10', amount: '-9.9' },
    ],
  })
  expect(draft).toMatchObject({
    status: 'draft',
    number: null,
    finalizedAt: null,
    subtotal: '106.00',
    tax: '19.50',
    total: '125.50',
    amountDue: '125.50',
    amountPaid: '0.00',
  })
  expect(draft.lines.map(({ amount }) => amount)).toEqual(['25.93', '89.97', '-9.90'])
  expect(await org.invoices.get(draft.id)).toEqual(draft)
  expect((await org.invoices.list({ status: 'draft' })).items).toEqual([draft])
  const foreign = (await teams.newTeam()).org.invoices.create({ currency: 'EUR', subscriptionId: subscription.id })
  await expect(foreign).rejects.toThrow(BrokenReferenceError)
})

test('a draft is changed in every respect, and its totals follow', async () => {
  const team = await teams.newTeam()
  const { invoices } = team.org
  const { id } = await draftOf(team)
  await expect(invoices.addLines(id, [lineOf('0.5')])).resolves.toMatchObject({ subtotal: '80.50', total: '80.50' })
  await expect(invoices.update(id, { tax: '8' })).resolves.toMatchObject({ subtotal: '80.50', total: '88.50' })
  await expect(invoices.setLines(id, [lineOf('2')])).resolves.toMatchObject({ lines: [{}], total: '10.00' })
  const dueAt = new Date(Date.UTC(2026, 1))
  const changed = await invoices.update(id, { dueAt, currency: 'USD' })
  expect(changed).toMatchObject({ dueAt, currency: 'USD', tax: '8.00', total: '10.00' })
  await expect(invoices.setLines(id, [])).resolves.toMatchObject({ lines: [], total: '8.00' })
  await invoices.delete(id)
  await expect(invoices.get(id)).rejects.toThrow(NotFoundError)
})

test.each<[string, string, object]>([
  ['totals of its own', 'total', { total: '1' }],
  ['an amount with an exponent', 'lines.0.unitAmount', { lines: [{ ...lineOf('1'), unitAmount: '1e3' }] }],
  ['an amount that is a number', 'lines.0.unitAmount', { lines: [{ ...lineOf('1'), unitAmount: 1 }] }],
  ['a tax below zero', 'tax', { tax: '-1' }],
  ['lines below zero', 'lines', { lines: [lineOf('1'), lineOf('-1.01')] }],
  ['lines that no column holds', 'lines', { lines: [lineOf('999999999999.99'), lineOf('0.01')] }],
  ['a tax that no column holds with the lines', 'lines', { lines: [lineOf('999999999999.99')], tax: '0.01' }],
  ['too many lines', 'lines', { lines: Array.from({ length: 1001 }, () => lineOf('1')) }],
  ['a currency that is none', 'currency', { currency: 'euro' }],
])('a draft with %s is refused by name', async (_, field, values) => {
  const { org } = await teams.newTeam()
  const refused = org.invoices.create({ currency: 'EUR', ...values })
  await expect(refused).rejects.toThrow(InvalidInputError)
  await expect(refused).rejects.toMatchObject({ faults: [{ field }] })
  expect(await org.invoices.count()).toBe(0)
})

test('lines that are added are refused as those of a new draft are, and leave it as it is', async () => {
  const team = await teams.newTeam()
  const { id } = await team.org.invoices.create({
    currency: 'EUR',
    lines: Array.from({ length: 999 }, () => lineOf('1')),
  })
  for (const lines of [
    [lineOf('1'), lineOf('1')],
    [lineOf('-1000')],
    [{ ...lineOf('1'), tax: '1' }],
    'lines',
    undefined,
  ]) {
    await expect(team.org.invoices.addLines(id, lines as never)).rejects.toThrow(InvalidInputError)
  }
  await expect(team.org.invoices.update(id, {})).rejects.toThrow('there is nothing to change')
  expect((await team.org.invoices.get(id)).total).toBe('999.00')
})

describe('a draft of the provider', () => {
  /** Drafts of the provider can have totals without lines, and can be below zero. */
  async function draftWith(amounts: { subtotal: string; tax: string; total: string }) {
    const team = await teams.newTeam()
    const id = newId()
    const invoice = { id, status: 'draft', currency: 'EUR', ...amounts, amountPaid: '5.00' } as const
    const event = { id, type: 'x', createdAt: new Date(), invoice }
    await teams.system().billing.receive({ provider: 'stripe', event, orgId: team.id })
    return { team, invoices: team.org.invoices, id: (await team.org.invoices.list()).items[0]?.id ?? '' }
  }

  test('keeps its totals when something else of it changes, and adds to them', async () => {
    const { invoices, id } = await draftWith({ subtotal: '100.00', tax: '19.00', total: '119.00' })
    const totals = { subtotal: '100.00', tax: '19.00', total: '119.00', amountDue: '114.00', amountPaid: '5.00' }
    await expect(invoices.update(id, { dueAt: new Date() })).resolves.toMatchObject(totals)
    const taxed = { subtotal: '100.00', tax: '20.00', total: '120.00', amountDue: '115.00', amountPaid: '5.00' }
    await expect(invoices.update(id, { tax: '20' })).resolves.toMatchObject(taxed)
    const added = { subtotal: '110.00', total: '130.00', amountDue: '125.00', lines: [{ amount: '10.00' }] }
    await expect(invoices.addLines(id, [lineOf('10')])).resolves.toMatchObject(added)
    await expect(invoices.setLines(id, [lineOf('3')])).resolves.toMatchObject({ total: '23.00', amountDue: '18.00' })
  })

  test('that is below zero is refused by name, unless the change brings it above', async () => {
    const { invoices, id } = await draftWith({ subtotal: '0.00', tax: '-7.00', total: '-7.00' })
    await expect(invoices.addLines(id, [lineOf('6')])).rejects.toMatchObject({ faults: [{ field: 'lines' }] })
    await expect(invoices.setLines(id, [])).rejects.toThrow(InvalidInputError)
    await expect(invoices.update(id, { dueAt: new Date() })).resolves.toMatchObject({ total: '-7.00' })
    await expect(invoices.addLines(id, [lineOf('8')])).resolves.toMatchObject({ total: '1.00', amountDue: '0.00' })
    const credit = await draftWith({ subtotal: '-9.00', tax: '0.00', total: '-9.00' })
    const refused = credit.invoices.update(credit.id, { tax: '1' })
    const reason = 'would make the subtotal or the total -9.00, and neither may be below zero'
    await expect(refused).rejects.toMatchObject({ faults: [{ field: 'tax', reason }] })
  })
})

describe('the totals of any lines', () => {
  const decimal = (places: number) =>
    fc
      .tuple(fc.integer({ min: 0, max: 99_999 }), fc.integer({ min: 0, max: 10 ** places - 1 }))
      .map(([whole, part]) => `${whole}.${String(part).padStart(places, '0')}`)
  const signed = fc.tuple(fc.constantFrom('', '-'), decimal(6)).map((parts) => parts.join(''))
  const line = fc.record({ description: fc.constant('x'), quantity: decimal(6), unitAmount: signed })

  test('are those of exact arithmetic, in the row and for the database', async () => {
    const { org, id: orgId } = await teams.newTeam()
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 8 }), decimal(2), async (given, tax) => {
        // Enough for the discounts.
        const lines = [lineOf('99999999999'), ...given]
        const { id, subtotal, total, amountDue } = await org.invoices.create({ currency: 'EUR', tax, lines })
        const [exact] = await teams.database.admin.query(
          `select coalesce(sum(round((l->>'quantity')::numeric * (l->>'unitAmount')::numeric, 2)), 0)::numeric(14,2)::text as subtotal,
             bool_and((l->>'amount')::numeric = round((l->>'quantity')::numeric * (l->>'unitAmount')::numeric, 2)) is not false as lines,
             bool_and(subtotal + tax = total and amount_due = total) as total
           from platform.invoices left join lateral jsonb_array_elements(lines) l on true where org_id = $1 and id = $2`,
          [orgId, id],
        )
        expect(exact).toEqual({ subtotal, lines: true, total: true })
        expect(amountDue).toBe(total)
      }),
      { numRuns: 60, seed: 11 },
    )
  })
})

test('a finalised invoice has the next number, and never changes again but in status and payment', async () => {
  const team = await teams.newTeam()
  const { invoices } = team.org
  const draft = await draftOf(team)
  const open = await invoices.finalize(draft.id)
  expect(open).toEqual({
    ...draft,
    status: 'open',
    number: 1,
    finalizedAt: expect.any(Date) as Date,
    updatedAt: open.updatedAt,
  })
  expect(await invoices.findByNumber(1)).toEqual(open)
  expect((await openOf(team)).number).toBe(2)
  for (const call of [
    () => invoices.finalize(open.id),
    () => invoices.update(open.id, { tax: '1' }),
    () => invoices.addLines(open.id, [lineOf('1')]),
    () => invoices.setLines(open.id, []),
    () => invoices.delete(open.id),
  ]) {
    await expect(call()).rejects.toThrow(ConflictError)
    await expect(call()).rejects.toThrow('while it is open; it must be draft')
  }
  expect(await invoices.get(open.id)).toEqual(open)

  const part = await invoices.pay(open.id, { amount: '30.5' })
  expect(part).toEqual({ ...open, amountPaid: '30.50', amountDue: '49.50', updatedAt: part.updatedAt })
  await expect(invoices.pay(open.id, { amount: '49.51' })).rejects.toThrow('only 49.50 is due')
  const paid = await invoices.pay(open.id)
  expect(paid).toEqual({
    ...open,
    status: 'paid',
    amountPaid: '80.00',
    amountDue: '0.00',
    paidAt: expect.any(Date) as Date,
    updatedAt: paid.updatedAt,
  })
  expect((await entriesOf(teams.database.admin, team.id)).map(({ event_type: event }) => event).slice(-3)).toEqual([
    'invoices.finalize',
    'invoices.pay',
    'invoices.pay',
  ])
})

describe('of the transitions', () => {
  const verbs: Readonly<Record<string, { to: InvoiceStatus; call: (team: Team, id: string) => Promise<Invoice> }>> = {
    finalize: { to: 'open', call: ({ org }, id) => org.invoices.finalize(id) },
    pay: { to: 'paid', call: ({ org }, id) => org.invoices.pay(id) },
    void: { to: 'void', call: ({ org }, id) => org.invoices.void(id) },
    markUncollectible: { to: 'uncollectible', call: ({ org }, id) => org.invoices.markUncollectible(id) },
  }

  async function invoiceIn(team: Team, status: InvoiceStatus): Promise<string> {
    const { id } = await draftOf(team)
    if (status === 'draft') return id
    await team.org.invoices.finalize(id)
    await teams.database.admin.query('update platform.invoices set status = $2 where id = $1', [id, status])
    return id
  }

  const allowed = [
    'draft finalize',
    'open pay',
    'open void',
    'open markUncollectible',
    'uncollectible pay',
    'uncollectible void',
  ]

  test.each(invoiceStatuses.flatMap((from) => Object.keys(verbs).map((verb) => [from, verb] as const)))(
    'from %s, %s is allowed or refused',
    async (from, verb) => {
      const team = await teams.newTeam()
      const id = await invoiceIn(team, from)
      const { to, call } = verbs[verb] as (typeof verbs)[string]
      if (allowed.includes(`${from} ${verb}`)) {
        await expect(call(team, id)).resolves.toMatchObject({ status: to })
      } else {
        await expect(call(team, id)).rejects.toThrow(ConflictError)
        expect((await team.org.invoices.get(id)).status).toBe(from)
      }
    },
  )
})

test('an organization without a subscription has no numbers, and no invoice of it is finalised', async () => {
  const org = teams.tenancy.forOrg(await createOrganization(teams.database.admin))
  const draft = await draftOf({ org })
  await expect(org.invoices.finalize(draft.id)).rejects.toThrow('the organization has none')
  expect((await org.invoices.get(draft.id)).status).toBe('draft')
})

test('the entry of a change of status has the name of its method', async () => {
  const team = await teams.newTeam()
  const { id } = await openOf(team)
  await team.org.invoices.markUncollectible(id)
  await team.org.invoices.void(id)
  const named = (await entriesOf(teams.database.admin, team.id)).map(({ event_type: event }) => event)
  expect(named.slice(-2)).toEqual(['invoices.markUncollectible', 'invoices.void'])
})

describe('at once', () => {
  race('fifty finalise, and those that fail leave no gap', async () => {
    const team = await teams.newTeam()
    const drafts = await Promise.all(Array.from({ length: 50 }, () => draftOf(team)))
    const abort = new Error('aborted')
    const settled = await Promise.allSettled(
      drafts.map(({ id }, index) => {
        if (index % 5 === 1) return team.org.invoices.finalize(newId())
        if (index % 5 > 1) return team.org.invoices.finalize(id)
        return team.org.transaction(async (org) => {
          await org.invoices.finalize(id)
          throw abort
        })
      }),
    )
    const lost = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
    expect(lost.filter((error) => error !== abort && !(error instanceof NotFoundError))).toEqual([])
    expect(lost).toHaveLength(20)
    const numbered = await teams.database.admin.query<{ number: number }>(
      'select number from platform.invoices where org_id = $1 and number is not null order by finalized_at',
      [team.id],
    )
    expect(numbered.map(({ number }) => number)).toEqual(Array.from({ length: 30 }, (_, index) => index + 1))
    expect((await team.org.subscription.get()).nextInvoiceNumber).toBe(31)
  })

  race('twenty finalise one draft, which gets one number', async () => {
    const team = await teams.newTeam()
    const { id } = await draftOf(team)
    const { won, lost } = await contend(() => team.org.invoices.finalize(id))
    expect(won).toHaveLength(1)
    expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
    expect((await openOf(team)).number).toBe(2)
  })

  race('twenty add a line each, and none is lost', async () => {
    const team = await teams.newTeam()
    const { id } = await draftOf(team, '1')
    const { won } = await contend(() => team.org.invoices.addLines(id, [lineOf('1')]))
    expect(won).toHaveLength(20)
    await expect(team.org.invoices.get(id)).resolves.toMatchObject({ total: '21.00', amountDue: '21.00' })
  })

  race('twenty pay a part each, and never more than is due', async () => {
    const team = await teams.newTeam()
    const { id } = await openOf(team, '10')
    const { won, lost } = await contend(() => team.org.invoices.pay(id, { amount: '0.99' }))
    expect(won).toHaveLength(10)
    expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
    await expect(team.org.invoices.get(id)).resolves.toMatchObject({ amountPaid: '9.90', amountDue: '0.10' })
    const last = await contend(() => team.org.invoices.pay(id))
    expect(last.won).toHaveLength(1)
  })
})

test.each([['0'], ['-1'], ['1.001'], ['NaN'], [' 1'], [1]])('a payment of %j is refused', async (amount) => {
  const team = await teams.newTeam()
  const { id } = await openOf(team)
  await expect(team.org.invoices.pay(id, { amount: amount as never })).rejects.toThrow(InvalidInputError)
})

test('reading and changing need their permissions', async () => {
  const team = await teams.newTeam()
  const { id } = await draftOf(team)
  const admin = await team.as((await team.join('admin')).userId)
  await admin.invoices.get(id)
  for (const call of [
    () => admin.invoices.finalize(id),
    () => admin.invoices.addLines(id, 'x' as never),
    () => admin.invoices.void(id),
  ]) {
    await expect(call()).rejects.toThrow(ForbiddenError)
  }
  const accountant = await team.org.roles.create({
    key: 'books',
    name: 'Books',
    permissions: ['invoices:read', 'invoices:write'],
  })
  const org = await team.as((await team.join(accountant.key)).userId)
  await expect(org.invoices.finalize(id)).resolves.toMatchObject({ number: 1 })
})
