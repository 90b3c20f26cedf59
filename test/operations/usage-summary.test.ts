import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { UsageSummaryOptions } from '../../src/operations/usage-summary.js'
import type { Org } from '../../src/org.js'
import type { NewUsageEvent } from '../../src/schema/usage.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { keys, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const admin = () => teams.database.admin
const newOrg = async (): Promise<Org> => teams.tenancy.forOrg(await createOrganization(admin()))
const setPeriod = (orgId: string, from: string, to: string) =>
  admin().query(
    'update platform.subscriptions set current_period_start = $2, current_period_end = $3 where org_id = $1',
    [orgId, from, to],
  )

let made = 0
const event = (at: string, quantity: string, values: Partial<NewUsageEvent> = {}): NewUsageEvent => ({
  key: `key ${++made}`,
  metric: 'mails',
  quantity,
  at,
  ...values,
})
const march = { from: '2026-03-01T00:00:00Z', to: '2026-04-01T00:00:00Z' }

/** Metric, project or start, quantity and limit of each total. */
async function totals(org: Org, options?: UsageSummaryOptions): Promise<string[]> {
  const summary = await org.usage.summary(options)
  return summary.totals.map(({ metric, projectId, start, quantity, limit }) =>
    [metric, projectId, start?.toISOString().slice(0, 10), quantity, limit]
      .filter((part) => part !== undefined)
      .map(String)
      .join(' '),
  )
}

describe('summary', () => {
  test('adds up each metric, by project, by UTC day and by UTC month', async () => {
    const org = await newOrg()
    const { id: projectId } = await org.projects.create({ name: 'One', slug: 'one' })
    await org.usage.recordMany([
      event('2026-02-28T23:59:59.999Z', '100'),
      event('2026-03-01T00:00:00Z', '0.1'),
      event('2026-03-01T23:59:59Z', '0.2', { projectId }),
      event('2026-03-02T10:00:00Z', '3'),
      event('2026-03-02T10:00:00Z', '5', { metric: 'calls' }),
      event('2026-04-01T00:00:00Z', '1000'),
    ])
    expect(await totals(org, march)).toEqual(['calls 5.000000', 'mails 3.300000'])
    expect(await totals(org, { ...march, by: 'project' })).toEqual([
      'calls null 5.000000',
      `mails ${projectId} 0.200000`,
      'mails null 3.100000',
    ])
    expect(await totals(org, { ...march, by: 'day', metric: 'mails' })).toEqual([
      'mails 2026-03-01 0.300000',
      'mails 2026-03-02 3.000000',
    ])
    expect(await totals(org, { from: '2026-02-01T00:00:00Z', to: '2026-05-01T00:00:00Z', by: 'month' })).toEqual([
      'calls 2026-03-01 5.000000',
      'mails 2026-02-01 100.000000',
      'mails 2026-03-01 3.300000',
      'mails 2026-04-01 1000.000000',
    ])
    expect(await totals(org, { ...march, projectId })).toEqual(['mails 0.200000'])
    const { from, to } = await org.usage.summary(march)
    expect([from, to]).toEqual([new Date(march.from), new Date(march.to)])
  })

  // The events of the two days lie at 06:00 and 18:00.
  test.each([
    ['2026-03-01T00:00:00Z', '2026-03-03T00:00:00Z', '15.000000'],
    ['2026-03-01T06:00:00Z', '2026-03-03T00:00:00Z', '15.000000'],
    ['2026-03-01T06:00:00.001Z', '2026-03-03T00:00:00Z', '14.000000'],
    ['2026-03-01T12:00:00Z', '2026-03-02T12:00:00Z', '6.000000'],
    ['2026-03-01T00:00:00Z', '2026-03-02T18:00:00Z', '7.000000'],
    ['2026-03-01T00:00:00Z', '2026-03-01T18:00:00.001Z', '3.000000'],
    ['2026-03-01T05:00:00Z', '2026-03-01T07:00:00Z', '1.000000'],
    ['2026-03-01T12:00:00Z', '2026-03-02T00:00:00Z', '2.000000'],
    ['2026-03-02T00:00:00Z', '2026-03-02T06:00:00Z', undefined],
  ])('from %s to %s counts %s', async (from, to, expected) => {
    const org = await newOrg()
    await org.usage.recordMany([
      event('2026-03-01T06:00:00Z', '1'),
      event('2026-03-01T18:00:00Z', '2'),
      event('2026-03-02T06:00:00Z', '4'),
      event('2026-03-02T18:00:00Z', '8'),
    ])
    const { totals } = await org.usage.summary({ from, to })
    expect(totals.map(({ quantity }) => quantity)).toEqual(expected === undefined ? [] : [expected])
  })

  test('reads the totals of whole days and the events of the others', async () => {
    const org = await newOrg()
    await org.usage.record(event('2026-03-01T06:00:00Z', '1'))
    await org.usage.record(event('2026-03-02T06:00:00Z', '1'))
    await admin().query('update platform.usage_metrics set metric_value = 50 where org_id = $1', [org.id])
    expect(await totals(org, { from: '2026-03-01T01:00:00Z', to: '2026-03-03T00:00:00Z' })).toEqual(['mails 51.000000'])
  })

  test('shows the current period of the subscription beside the limits of the plan', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ mails: 100, calls: null }) })
    await setPeriod(team.id, '2026-03-01 12:00:00+00', '2026-04-01 12:00:00+00')
    expect((await team.org.usage.summary()).totals).toEqual([])
    await team.org.usage.recordMany([
      event('2026-03-01T11:00:00Z', '70'),
      event('2026-03-01T13:00:00Z', '2'),
      event('2026-04-01T11:00:00Z', '3'),
      event('2026-03-15T00:00:00Z', '1', { metric: 'calls' }),
      event('2026-03-15T00:00:00Z', '1', { metric: 'unlimited' }),
    ])
    expect(await totals(team.org)).toEqual(['calls 1.000000 null', 'mails 5.000000 100', 'unlimited 1.000000 null'])
    expect(await totals(team.org, { metric: 'mails', by: 'day' })).toEqual([
      'mails 2026-03-01 2.000000',
      'mails 2026-04-01 3.000000',
    ])
    expect(await totals(team.org, { metric: 'mails', ...march })).toEqual(['mails 72.000000'])
    const { from, to } = await team.org.usage.summary()
    expect([from, to]).toEqual([new Date('2026-03-01T12:00:00Z'), new Date('2026-04-01T12:00:00Z')])
  })

  test('shows the limits of the fallback plan once the subscription is canceled', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ mails: 100 }) })
    await admin().query(`update platform.subscriptions set status = 'canceled' where org_id = $1`, [team.id])
    const tenancy = await openTenancy({
      url: teams.database.appUrl,
      keys,
      fallbackPlan: await teams.newPlan({ mails: 7 }),
    })
    onTestFinished(() => tenancy.close())
    await team.org.usage.record(event(new Date().toISOString(), '1'))
    expect(await totals(tenancy.forOrg(team.id))).toEqual(['mails 1.000000 7'])
  })

  test('of an organization without a subscription needs edges', async () => {
    const org = await newOrg()
    await expect(org.usage.summary()).rejects.toThrow('subscriptions: not found')
    expect(await totals(org, march)).toEqual([])
  })

  test.each<[string, object]>([
    ['to', { from: march.from }],
    ['from', { to: march.to }],
    ['to', { from: march.to, to: march.from }],
    ['to', { from: march.from, to: march.from }],
    ['to', { from: march.from, to: '2027-04-05T00:00:00.001Z' }],
    ['from', { from: '2026-03-01', to: march.to }],
    ['by', { ...march, by: 'hour' }],
    ['metric', { ...march, metric: '' }],
    ['projectId', { ...march, projectId: 'none' }],
    ['orgId', { ...march, orgId: newId() }],
  ])('refuses a wrong %s: %j', async (field, options) => {
    const org = await newOrg()
    const refused = await org.usage.summary(options).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(InvalidInputError)
    expect(refused).toMatchObject({ faults: [{ field }] })
  })

  test('refuses more totals than 10,000', async () => {
    const org = await newOrg()
    const insert = (metrics: string) =>
      admin().query(
        `insert into platform.usage_metrics (org_id, id, metric_type, metric_value, period_start, period_end)
         select $1, gen_random_uuid(), 'metric ' || n, 1, '2026-03-01Z', '2026-03-02Z' from generate_series(${metrics}) n`,
        [org.id],
      )
    await insert('1, 10000')
    expect((await org.usage.summary(march)).totals).toHaveLength(10_000)
    await insert('10001, 10001')
    await expect(org.usage.summary(march)).rejects.toThrow('by: gives more than 10000 totals')
  })
})

const decimal = fc
  .tuple(fc.bigInt({ min: 0n, max: 10n ** 18n }), fc.bigInt({ min: 0n, max: 999_999n }), fc.integer({ min: 0, max: 6 }))
  .map(([whole, fraction, places]) =>
    places === 0 ? String(whole) : `${whole}.${String(fraction).padStart(6, '0').slice(0, places)}`,
  )

/** Millionths, without rounding. */
function exact(quantity: string): bigint {
  const [whole = '', fraction = ''] = quantity.split('.')
  return BigInt(whole + fraction.padEnd(6, '0'))
}

const hour = 3_600_000
const start = Date.parse('2026-03-01T00:00:00Z')

test('sums are exact, however events are cut into lists, days and periods', async () => {
  const org = await newOrg()
  const events = fc.array(
    fc.record({ quantity: decimal, hours: fc.integer({ min: 0, max: 96 }), alone: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 12,
    },
  )
  const edges = fc.tuple(fc.integer({ min: 0, max: 96 }), fc.integer({ min: 1, max: 96 }))
  const property = fc.asyncProperty(events, edges, async (drawn, [from, length]) => {
    const metric = newId()
    const all = drawn.map(({ quantity, hours, alone }) => ({
      alone,
      hours,
      given: event(new Date(start + hours * hour).toISOString(), quantity, { metric }),
    }))
    await org.usage.recordMany(all.filter(({ alone }) => !alone).map(({ given }) => given))
    await Promise.all(all.filter(({ alone }) => alone).map(({ given }) => org.usage.record(given)))
    const inside = all.filter(({ hours }) => hours >= from && hours < from + length)
    const period = { from: new Date(start + from * hour), to: new Date(start + (from + length) * hour), metric }
    const [byMetric, byDay] = await org.batch((inner) => [
      inner.usage.summary(period),
      inner.usage.summary({ ...period, by: 'day' }),
    ])
    const sum = inside.reduce((total, { given }) => total + exact(given.quantity), 0n)
    expect(byMetric.totals.map(({ quantity }) => exact(quantity))).toEqual(inside.length === 0 ? [] : [sum])
    expect(byDay.totals.reduce((total, { quantity }) => total + exact(quantity), 0n)).toBe(sum)
  })
  await fc.assert(property, { seed: 1, numRuns: 40 })
})
