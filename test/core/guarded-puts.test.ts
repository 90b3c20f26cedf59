import { expect, test } from 'vitest'
import { z } from 'zod'
import { ConflictError, InvalidInputError } from '../../src/core/errors.js'
import type { Query } from '../../src/core/query.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import { type UsageMetric, usageMetrics } from '../../src/schema/usage.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg } = useTenancy()

const period = { periodStart: new Date('2031-01-01'), periodEnd: new Date('2031-01-02') }
const newTotal = z.strictObject({ metricType: z.string(), metricValue: z.string(), projectId: z.null() })

/** Its key has a project that may be null, and two nulls are equal in it. No parent of a row is locked. */
class Totals extends ScopedRepository<UsageMetric> {
  constructor(scope: Scope) {
    super(scope, usageMetrics, { permission: 'usage' })
  }

  raise(metricType: string, metricValue: string): Query<UsageMetric> {
    return this.putRow(newTotal, { metricType, metricValue, projectId: null }, 'usage_metrics_period_key', {
      managed: period,
      guard: {
        when: 'excluded.metric_value > usage_metrics.metric_value',
        ask: 'metric_value',
        refuse: ([value]) => new ConflictError(`the total is ${String(value)} already`),
      },
    })
  }

  of = (key: object): Query<UsageMetric | undefined> => this.findRow(key)
}

test('a refused put tells the state of its row, also where the key of the row has a null', async () => {
  const totals = (await newOrg()).repository(Totals)
  const made = await totals.raise('calls', '5')
  expect(await totals.raise('calls', '7')).toMatchObject({ id: made.id, metricValue: '7.000000' })
  await expect(totals.raise('calls', '6')).rejects.toThrow('the total is 7.000000 already')
  expect(await totals.count()).toBe(1)
})

test('a batch with a put that is refused writes nothing', async () => {
  const org = await newOrg()
  await org.repository(Totals).raise('calls', '5')
  const both = org.batch((all) => [
    all.repository(Totals).raise('tokens', '1'),
    all.repository(Totals).raise('calls', '4'),
  ])
  await expect(both).rejects.toThrow('the total is 5.000000 already')
  expect(await org.repository(Totals).list()).toMatchObject({
    items: [{ metricType: 'calls', metricValue: '5.000000' }],
  })
})

test('a key without fields is refused before it finds any row', async () => {
  const totals = (await newOrg()).repository(Totals)
  await totals.raise('calls', '5')
  await expect(totals.of({})).rejects.toEqual(new InvalidInputError('key', 'is empty; give the fields of a unique key'))
})
