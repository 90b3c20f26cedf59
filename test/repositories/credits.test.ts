import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ConflictError,
  ForbiddenError,
  InsufficientCreditError,
  InvalidInputError,
  NotFoundError,
  RetryableError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { NewCredit } from '../../src/schema/credits.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { race, refusalsOf } from '../support/contenders.js'
import { keys, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const admin = () => teams.database.admin
const newOrg = async (): Promise<Org> => teams.tenancy.forOrg(await createOrganization(admin()))

const grant = (org: Org, amount: string, values: Partial<NewCredit> = {}) =>
  org.credits.grant({ amount, currency: 'EUR', ...values })
const spend = (org: Org, amount: string, reference?: string) =>
  org.credits.spend({ amount, currency: 'EUR', reference })
const balanceOf = async (org: Org) =>
  Object.fromEntries((await org.credits.balance()).map(({ currency, amount }) => [currency, amount]))
const tomorrow = () => new Date(Date.now() + 86_400_000)
const yesterday = () => new Date(Date.now() - 86_400_000)

/** Cents, without rounding. */
function cents(amount: string): bigint {
  const [whole = '', fraction = ''] = amount.split('.')
  return BigInt(whole + fraction.padEnd(2, '0'))
}

/** Kind, credit and amount of each entry, oldest first. */
async function entriesOf(org: Org, filter: object = {}) {
  const { items } = await org.credits.entries({ ...filter, limit: 1000, orderBy: 'id' })
  return items.map(({ kind, creditId, amount }) => [kind, creditId, amount])
}

/** Credits of which something else is left than their entries say. */
const unexplained = ({ id }: Org) =>
  admin().query(
    `select c.id from platform.credits c
     left join platform.credit_entries e on e.org_id = c.org_id and e.credit_id = c.id
     where c.org_id = $1 group by c.org_id, c.id
     having c.remaining <> coalesce(sum(case e.kind when 'grant' then e.amount else -e.amount end), 0)`,
    [id],
  )

describe('grant', () => {
  test('makes a credit with an entry, and the balance of its currency', async () => {
    const org = await newOrg()
    const credit = await grant(org, '10.5', { reason: 'a welcome' })
    expect(credit).toMatchObject({
      amount: '10.50',
      remaining: '10.50',
      currency: 'EUR',
      reason: 'a welcome',
      priority: 100,
    })
    await grant(org, '0.01')
    await grant(org, '7', { currency: 'USD', expiresAt: tomorrow() })
    expect(await org.credits.balance()).toEqual([
      { currency: 'EUR', amount: '10.51' },
      { currency: 'USD', amount: '7.00' },
    ])
    expect(await entriesOf(org, { creditId: credit.id })).toEqual([['grant', credit.id, '10.50']])
  })

  const wrong = [
    '0',
    '0.00',
    '-1',
    '+1',
    'NaN',
    'Infinity',
    '-Infinity',
    '1e2',
    '',
    ' ',
    ' 1',
    '1.',
    '.5',
    '01',
    '1.001',
    '0x1',
    '1_0',
    '1,5',
    '1'.repeat(13),
  ]
  test.each(wrong)('the amount %j is refused before anything is sent, and so is a spend of it', async (amount) => {
    const org = await newOrg()
    for (const refused of await refusalsOf([grant(org, amount), spend(org, amount)])) {
      expect(refused).toBeInstanceOf(InvalidInputError)
      expect((refused as InvalidInputError).faults[0]?.field).toBe('amount')
    }
  })

  test.each<[string, object]>([
    ['amount', { amount: 1 }],
    ['currency', { currency: 'eur' }],
    ['priority', { priority: 40_000 }],
    ['expiresAt', { expiresAt: 'soon' }],
    ['reason', { reason: 'x'.repeat(1001) }],
    ['remaining', { remaining: '5' }],
    ['orgId', { orgId: newId() }],
  ])('%s is checked', async (field, values) => {
    const org = await newOrg()
    const refused = await org.credits
      .grant({ amount: '1', currency: 'EUR', ...values })
      .catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'invalid_input', faults: [{ field }] })
  })

  test.each(['0', '-1', 'NaN'])('the database refuses an amount of %s too', async (amount) => {
    const org = await newOrg()
    const credit = await grant(org, '5')
    const inserts = [
      admin().query(
        `insert into platform.credits (org_id, id, amount, remaining, currency) values ($1, $2, $3, $3, 'EUR')`,
        [org.id, newId(), amount],
      ),
      admin().query(
        `insert into platform.credit_entries (org_id, id, credit_id, kind, amount) values ($1, $2, $3, 'spend', $4)`,
        [org.id, newId(), credit.id, amount],
      ),
    ]
    for (const refused of await refusalsOf(inserts)) expect(String(refused)).toContain('check')
    const below = admin().query('update platform.credits set remaining = -0.01 where org_id = $1', [org.id])
    await expect(below).rejects.toThrow('credits_remaining_check')
  })
})

describe('spend', () => {
  test('uses the smallest priority first, then the earliest expiry, then the oldest', async () => {
    const org = await newOrg()
    const never = await grant(org, '1')
    const later = await grant(org, '1', { expiresAt: new Date(Date.now() + 2 * 86_400_000) })
    const soon = await grant(org, '1', { expiresAt: tomorrow() })
    const last = await grant(org, '1', { priority: 101, expiresAt: tomorrow() })
    const younger = await grant(org, '1')
    const first = await grant(org, '1', { priority: -5 })
    const { credits, reference, amount } = await spend(org, '5.5', 'invoice 7')
    expect({ reference, amount }).toEqual({ reference: 'invoice 7', amount: '5.5' })
    expect(credits.map(({ id, remaining }) => [id, remaining])).toEqual([
      [first.id, '0.00'],
      [soon.id, '0.00'],
      [later.id, '0.00'],
      [never.id, '0.00'],
      [younger.id, '0.00'],
      [last.id, '0.50'],
    ])
    expect(await entriesOf(org, { reference })).toEqual(
      [first, soon, later, never, younger, last].map(({ id }, place) => ['spend', id, place === 5 ? '0.50' : '1.00']),
    )
    expect(await balanceOf(org)).toEqual({ EUR: '0.50' })
  })

  test('gets a reference of its own, which its entries share', async () => {
    const org = await newOrg()
    await grant(org, '1')
    await grant(org, '1')
    const [one, two] = [await spend(org, '0.5'), await spend(org, '1')]
    expect(one.reference).not.toBe(two.reference)
    expect((await entriesOf(org, { reference: two.reference })).map(([, , amount]) => amount)).toEqual(['0.50', '0.50'])
  })

  test('takes all or nothing, and says what was needed and what is left', async () => {
    const org = await newOrg()
    await grant(org, '1.20')
    await grant(org, '2')
    await grant(org, '50', { currency: 'USD' })
    const [refused] = await refusalsOf([spend(org, '3.21')])
    expect(refused).toBeInstanceOf(InsufficientCreditError)
    expect(refused).toMatchObject({ currency: 'EUR', needed: '3.21', available: '3.20', status: 402 })
    expect(await balanceOf(org)).toEqual({ EUR: '3.20', USD: '50.00' })
    expect(await entriesOf(org, { kind: 'spend' })).toEqual([])
    await expect(spend(org, '3.2')).resolves.toBeDefined()
    const [empty] = await refusalsOf([spend(org, '0.01')])
    expect(empty).toMatchObject({ needed: '0.01', available: '0.00' })
  })

  test('uses no credit that is expired, voided or another organization’s', async () => {
    const [org, other] = [await newOrg(), await newOrg()]
    await grant(other, '100')
    await grant(org, '5', { expiresAt: yesterday() })
    await org.credits.void((await grant(org, '5')).id)
    expect(await org.credits.balance()).toEqual([])
    const [refused] = await refusalsOf([spend(org, '1')])
    expect(refused).toMatchObject({ code: 'insufficient_credit', available: '0.00' })
  })

  test('takes one round trip', async () => {
    const org = await newOrg()
    const trips: number[] = []
    const counting = await openTenancy({
      url: teams.database.appUrl,
      keys,
      onQuery: ({ statements }) => trips.push(statements.length),
    })
    const { credits } = counting.forOrg(org.id)
    await credits.grant({ amount: '5', currency: 'EUR' })
    await credits.spend({ amount: '1', currency: 'EUR' })
    await counting.close()
    expect(trips).toEqual([1, 1])
  })

  test('goes into a batch and a transaction, and is undone with them', async () => {
    const org = await newOrg()
    await grant(org, '5')
    const twice = org.batch((inner) => [
      inner.credits.spend({ amount: '3', currency: 'EUR' }),
      inner.credits.spend({ amount: '3', currency: 'EUR' }),
    ])
    await expect(twice).rejects.toMatchObject({ code: 'insufficient_credit', available: '2.00' })
    const undone = org.transaction(async (inner) => {
      await inner.credits.spend({ amount: '3', currency: 'EUR' })
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    expect(await balanceOf(org)).toEqual({ EUR: '5.00' })
    expect(await unexplained(org)).toEqual([])
  })

  test('writes who spent', async () => {
    const team = await teams.newTeam()
    const owner = await team.as(team.owner.userId)
    const credit = await grant(owner, '5')
    await spend(owner, '1')
    await owner.credits.void(credit.id, { reference: 'a mistake' })
    const { items } = await team.org.credits.entries({ orderBy: 'id' })
    expect(items.map(({ kind, createdBy }) => [kind, createdBy])).toEqual(
      ['grant', 'spend', 'void'].map((kind) => [kind, team.owner.userId]),
    )
    const page = await team.org.credits.entries({ creditId: credit.id, limit: 1, select: ['amount'], total: true })
    expect(page).toMatchObject({ items: [{ amount: '4.00' }], total: 3 })
    const audited = await team.org.audit.list({ resourceType: 'credits' })
    expect(audited.items.map(({ eventType, action }) => [eventType, action])).toEqual([
      ['credits.void', 'update'],
      ['credits.spend', 'update'],
      ['credits.grant', 'create'],
    ])
  })

  test('needs the permission to change credits, and the balance that to see them', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('admin')
    const seeing = await team.as(userId)
    expect(await seeing.credits.balance()).toEqual([])
    for (const refused of await refusalsOf([grant(seeing, '1'), spend(seeing, '1'), seeing.credits.void(newId())]))
      expect(refused).toBeInstanceOf(ForbiddenError)
    const { userId: customer } = await team.join('customer')
    const outside = await team.as(customer)
    for (const refused of await refusalsOf([outside.credits.balance(), outside.credits.entries()]))
      expect(refused).toBeInstanceOf(ForbiddenError)
  })
})

describe('void', () => {
  test('writes off what is left, once', async () => {
    const org = await newOrg()
    const credit = await grant(org, '5')
    await spend(org, '1.5')
    const voided = await org.credits.void(credit.id, { reference: 'a mistake' })
    expect(voided).toMatchObject({ id: credit.id, amount: '5.00', remaining: '0.00' })
    expect(voided.voidedAt).toBeInstanceOf(Date)
    expect(await entriesOf(org, { reference: 'a mistake' })).toEqual([['void', credit.id, '3.50']])
    await expect(org.credits.void(credit.id)).rejects.toThrow('credits: nothing is left of this credit')
    await expect(org.credits.void(credit.id)).rejects.toThrow(ConflictError)
    expect(await unexplained(org)).toEqual([])
  })

  test('of a credit that is not there is refused, and of a spent one', async () => {
    const org = await newOrg()
    await expect(org.credits.void(newId())).rejects.toThrow(NotFoundError)
    await expect(org.credits.void('none')).rejects.toThrow(InvalidInputError)
    const spent = await grant(org, '1')
    await spend(org, '1')
    await expect(org.credits.void(spent.id)).rejects.toThrow(ConflictError)
    expect(await org.credits.get(spent.id)).toMatchObject({ voidedAt: null })
  })
})

describe('at once', () => {
  race('50 spends take what there is, and no cent more', async () => {
    const org = await newOrg()
    for (const amount of ['3', '0.5', '2.5', '1']) await grant(org, amount)
    const settled = await Promise.allSettled(Array.from({ length: 50 }, () => spend(org, '0.70')))
    const lost = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
    expect(lost).toHaveLength(40)
    for (const error of lost) expect(error).toMatchObject({ code: 'insufficient_credit', available: '0.00' })
    expect(await org.credits.balance()).toEqual([])
    expect(await unexplained(org)).toEqual([])
    const spends = await entriesOf(org, { kind: 'spend' })
    expect(spends.reduce((sum, [, , amount]) => sum + cents(amount ?? ''), 0n)).toBe(700n)
  })

  race('grants, spends and voids never deadlock, and every cent is explained', async () => {
    const org = await newOrg()
    const old = await Promise.all(Array.from({ length: 10 }, (_, priority) => grant(org, '2', { priority })))
    const [spends, voids, grants] = await Promise.all([
      Promise.allSettled(Array.from({ length: 30 }, (_, place) => spend(org, place % 2 === 0 ? '0.30' : '3.10'))),
      Promise.allSettled(old.map(({ id }) => org.credits.void(id))),
      Promise.all(Array.from({ length: 10 }, (_, priority) => grant(org, '1', { priority: 9 - priority }))),
    ])
    const lostOf = (settled: readonly PromiseSettledResult<unknown>[]) =>
      settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
    const isExpected = (error: unknown) =>
      error instanceof InsufficientCreditError || (error instanceof RetryableError && error.reason === 'serialization')
    expect(lostOf(spends).filter((error) => !isExpected(error))).toEqual([])
    expect(lostOf(voids).filter((error) => !(error instanceof ConflictError))).toEqual([])
    expect(grants).toHaveLength(10)

    // What each call answered is what its entries say, and the balance is the rest.
    const sumOf = async (kind: string) =>
      (await entriesOf(org, { kind })).reduce((sum, [, , amount]) => sum + cents(amount ?? ''), 0n)
    const spent = spends.reduce((sum, one) => sum + (one.status === 'fulfilled' ? cents(one.value.amount) : 0n), 0n)
    expect(await sumOf('grant')).toBe(3000n)
    expect(await sumOf('spend')).toBe(spent)
    expect(await entriesOf(org, { kind: 'void' })).toHaveLength(10 - lostOf(voids).length)
    const { EUR = '0' } = await balanceOf(org)
    expect(cents(EUR)).toBe(3000n - spent - (await sumOf('void')))
    expect(await unexplained(org)).toEqual([])
  })

  race('of 20 who void one credit, one does', async () => {
    const org = await newOrg()
    const { id } = await grant(org, '5')
    const settled = await Promise.allSettled(Array.from({ length: 20 }, () => org.credits.void(id)))
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await entriesOf(org, { kind: 'void' })).toEqual([['void', id, '5.00']])
  })
})

const amounts = fc
  .bigInt({ min: 1n, max: 10n ** 14n - 1n })
  .map((value) => `${value / 100n}.${String(value % 100n).padStart(2, '0')}`)
const steps = fc.array(fc.record({ kind: fc.constantFrom('grant', 'spend'), amount: amounts, priority: fc.nat(3) }), {
  minLength: 1,
  maxLength: 10,
})

test('balances are exact: what was granted without what was spent', async () => {
  const property = fc.asyncProperty(steps, async (drawn) => {
    const org = await newOrg()
    let left = 0n
    for (const { kind, amount, priority } of drawn) {
      const change = kind === 'grant' ? cents(amount) : -cents(amount)
      const call = kind === 'grant' ? grant(org, amount, { priority }) : spend(org, amount)
      const isDone = await call.then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'insufficient_credit', needed: amount })
          expect(cents((error as InsufficientCreditError).available)).toBe(left)
          return false
        },
      )
      expect(isDone).toBe(left + change >= 0n)
      if (isDone) left += change
    }
    const [{ amount } = { amount: '0' }] = await org.credits.balance()
    expect(cents(amount)).toBe(left)
    expect(await unexplained(org)).toEqual([])
  })
  await fc.assert(property, { seed: 1, numRuns: 30 })
})
