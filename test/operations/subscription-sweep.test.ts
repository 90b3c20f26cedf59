import { describe, expect, test } from 'vitest'
import { lapsedAt, type Lapsing } from '../../src/operations/billing-periods.js'
import { entriesOf } from '../support/audited-rows.js'
import { contend, race } from '../support/contenders.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const set = ({ id }: Team, values: string) =>
  teams.database.admin.query(`update platform.subscriptions set ${values} where org_id = $1`, [id])
const run = async (limit?: number) => (await teams.system().maintenance.run({ limit })).rows.subscriptions
const past = `current_period_start = now() - interval '40 days', current_period_end = now() - interval '10 days'`
const events = async ({ id }: Team) =>
  (await entriesOf(teams.database.admin, id))
    .filter(({ resource_type: type }) => type === 'subscriptions')
    .map(({ event_type: event }) => event.slice('subscriptions.'.length))

async function teamWith(values: string): Promise<Team> {
  const team = await teams.newTeam()
  await set(team, values)
  return team
}

/** The subscription of a team for which nothing is due, before and after. */
async function bystander(): Promise<() => Promise<void>> {
  const { org } = await teams.newTeam()
  const before = await org.subscription.get()
  return async () => {
    expect(await org.subscription.get()).toEqual(before)
  }
}

describe('a pass of maintenance', () => {
  test('rolls the period of a subscription without a provider, up to now, once', async () => {
    const team = await teamWith(
      `current_period_start = now() - interval '130 days', current_period_end = now() - interval '100 days'`,
    )
    const isLeft = await bystander()
    const before = await team.org.subscription.get()
    expect(await run()).toBe(1)
    const after = await team.org.subscription.get()
    await isLeft()
    expect(after.currentPeriodStart <= new Date()).toBe(true)
    expect(after.currentPeriodEnd > new Date()).toBe(true)
    expect(after).toMatchObject({ status: before.status, planId: before.planId, canceledAt: null })
    expect(await events(team)).toEqual(['create', 'rollPeriod'])
    expect(await run()).toBe(0)
    expect(await team.org.subscription.get()).toEqual(after)
  })

  test.each([
    ['with its period', `cancel_at_period_end = true, canceled_at = now() - interval '20 days', ${past}`],
    ['at once', `canceled_at = now() - interval '1 minute'`],
  ])('ends what was canceled %s', async (_, state) => {
    const team = await teamWith(state)
    const isLeft = await bystander()
    const before = await team.org.subscription.get()
    expect(await run()).toBe(1)
    const after = await team.org.subscription.get()
    await isLeft()
    expect(after).toEqual({ ...before, status: 'canceled', updatedAt: after.updatedAt })
    expect(await events(team)).toEqual(['create', 'end'])
    expect(await run()).toBe(0)
  })

  test('ends a trial, which then waits for its first payment', async () => {
    const team = await teamWith(`status = 'trialing', trial_ends_at = now() - interval '1 minute'`)
    const isLeft = await bystander()
    const before = await team.org.subscription.get()
    expect(await run()).toBe(1)
    const after = await team.org.subscription.get()
    await isLeft()
    expect(after).toEqual({ ...before, status: 'incomplete', updatedAt: after.updatedAt })
    expect(await events(team)).toEqual(['create', 'endTrial'])
  })

  test('leaves what a provider charges for, what has ended, and what is not past', async () => {
    const states = [
      `stripe_subscription_id = 'sub_1', ${past}`,
      `stripe_subscription_id = 'sub_1', status = 'trialing', trial_ends_at = now() - interval '1 minute'`,
      `status = 'canceled', ${past}`,
      `status = 'trialing', trial_ends_at = now() + interval '1 day'`,
      `cancel_at_period_end = true, canceled_at = now()`,
    ]
    const all: Team[] = []
    for (const state of states) all.push(await teamWith(state))
    const before = await Promise.all(all.map(({ org }) => org.subscription.get()))
    expect(await run()).toBe(0)
    expect(await Promise.all(all.map(({ org }) => org.subscription.get()))).toEqual(before)
  })

  race('ends at the limit, the next one goes on, and of twenty at once each row is done once', async () => {
    const isLeft = await bystander()
    const period = (n: number) => `current_period_start = now() - interval '40 days ${n} hours',
      current_period_end = now() - interval '10 days ${n} hours'`
    const all: Team[] = []
    for (let n = 0; n < 7; n++) all.push(await teamWith(period(n)))
    const current = () => Promise.all(all.map(({ org }) => org.subscription.get()))
    const before = await current()
    const rolled = before.map((one) => ({ ...one, ...lapsedAt({ ...one, interval: 'month' }, new Date()) }))
    expect(await run(3)).toBe(3)
    const isRolled = (await current()).map(({ currentPeriodEnd }) => currentPeriodEnd > new Date())
    expect(isRolled.filter(Boolean)).toHaveLength(3)

    const { won, lost } = await contend(() => run())
    expect(lost).toEqual([])
    const swept = won.reduce((sum, rows) => sum + rows, 0)
    expect(swept).toBeLessThanOrEqual(4)
    expect(swept + (await run())).toBe(4)
    for (const team of all) expect(await events(team)).toEqual(['create', 'rollPeriod'])
    const after = await current()
    expect(after).toEqual(rolled.map((one, n) => ({ ...one, updatedAt: after[n]?.updatedAt })))
    await isLeft()
  })

  test('lets the limits of the new period begin', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ bandwidth_gb: 5 }) })
    await set(team, past)
    const { currentPeriodStart } = await team.org.subscription.get()
    const at = new Date(currentPeriodStart.getTime() + 5 * 86_400_000)
    await team.org.usage.record({ key: 'a', metric: 'bandwidth_gb', quantity: '5', at })
    expect((await team.org.entitlements.get()).limits.bandwidth_gb).toEqual({ limit: 5, used: 5 })
    await run()
    expect((await team.org.entitlements.get()).limits.bandwidth_gb).toEqual({ limit: 5, used: undefined })
  })
})

const on = (date: string) => new Date(`${date}T10:00:00Z`)
const monthly = (values: Partial<Lapsing>): Lapsing => ({
  status: 'active',
  currentPeriodStart: on('2026-01-31'),
  currentPeriodEnd: on('2026-02-28'),
  cancelAtPeriodEnd: false,
  canceledAt: null,
  trialEndsAt: null,
  createdAt: on('2026-01-31'),
  interval: 'month',
  ...values,
})

test.each<[string, Partial<Lapsing>, string, [string, string]]>([
  ['the last day of each month', {}, '2026-03-01', ['2026-02-28', '2026-03-31']],
  [
    'also after a short month',
    { currentPeriodStart: on('2026-02-28'), currentPeriodEnd: on('2026-03-31') },
    '2026-04-15',
    ['2026-03-31', '2026-04-30'],
  ],
  ['over many periods', {}, '2027-03-01', ['2027-02-28', '2027-03-31']],
  ['at the very end', {}, '2026-02-28', ['2026-02-28', '2026-03-31']],
  [
    'another day than that of the beginning',
    { createdAt: on('2025-11-05'), currentPeriodStart: on('2026-01-10'), currentPeriodEnd: on('2026-02-10') },
    '2026-02-11',
    ['2026-02-10', '2026-03-10'],
  ],
  [
    'leap days of years',
    {
      interval: 'year',
      createdAt: on('2024-02-29'),
      currentPeriodStart: on('2024-02-29'),
      currentPeriodEnd: on('2025-02-28'),
    },
    '2027-12-01',
    ['2027-02-28', '2028-02-29'],
  ],
])('a period begins on %s', (_, values, now, [start, end]) => {
  expect(lapsedAt(monthly(values), on(now))).toEqual({
    status: 'active',
    currentPeriodStart: on(start),
    currentPeriodEnd: on(end),
  })
})

test('a cancellation after the end of a period that was not rolled takes effect with the next one', () => {
  const canceled = monthly({ cancelAtPeriodEnd: true, canceledAt: on('2026-03-05') })
  const period = { currentPeriodStart: on('2026-02-28'), currentPeriodEnd: on('2026-03-31') }
  expect(lapsedAt(canceled, on('2026-03-06'))).toEqual({ status: 'active', ...period })
  expect(lapsedAt(canceled, on('2026-04-01'))).toEqual({ status: 'canceled', ...period })
})
