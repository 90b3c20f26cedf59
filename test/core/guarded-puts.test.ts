import { pgTable, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { ConflictError, InvalidInputError } from '../../src/core/errors.js'
import type { Query } from '../../src/core/query.js'
import type { Scope } from '../../src/core/scope.js'
import type { Guard } from '../../src/core/statements/guard.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import { orgId } from '../../src/schema/shared/columns.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { type UsageMetric, usageMetrics } from '../../src/schema/usage.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg } = useTenancy()

const period = { periodStart: new Date('2031-01-01'), periodEnd: new Date('2031-01-02') }
const newTotal = z.strictObject({ metricType: z.string(), metricValue: z.string(), projectId: z.uuid().nullable() })

const rising: Guard = {
  when: 'excluded.metric_value > usage_metrics.metric_value',
  ask: 'metric_value',
  refuse: ([value]) => new ConflictError(`the total is ${String(value)} already`),
}

/** Its key has a project that may be null, and two nulls are equal in it. No parent of a row is locked. */
class Totals extends ScopedRepository<UsageMetric> {
  constructor(scope: Scope) {
    super(scope, usageMetrics, { permission: 'usage' })
  }

  raise(metricType: string, metricValue: string): Query<UsageMetric> {
    return this.putRow(newTotal, { metricType, metricValue, projectId: null }, 'usage_metrics_period_key', {
      managed: period,
      guard: rising,
    })
  }

  raiseFor(projectId: string | undefined, metricValue: string): Query<UsageMetric> {
    const values = { metricType: 'calls', metricValue, ...(projectId === undefined ? {} : { projectId }) }
    return this.putRow(newTotal.partial(), values, 'usage_metrics_period_key', { managed: period, guard: rising })
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

test('a put that leaves a column of its key out is about the row in which that column is null', async () => {
  const org = await newOrg()
  const totals = org.repository(Totals)
  const { id: projectId } = await org.projects.create({ name: 'One', slug: 'one' })
  await totals.raiseFor(projectId, '100')
  await totals.raise('calls', '5')
  await expect(totals.raiseFor(undefined, '4')).rejects.toThrow('the total is 5.000000 already')
  expect(await totals.raiseFor(undefined, '6')).toMatchObject({ projectId: null, metricValue: '6.000000' })
})

const seats = pgTable(
  'seats',
  { orgId: orgId(), id: uuid('id').notNull(), name: text('name').notNull(), row: text('row').notNull().default('a') },
  (t) => [primaryKey({ columns: [t.orgId, t.id] }), unique('seats_key').on(t.orgId, t.name, t.row)],
)
declareTable(seats, { kind: 'tenant' })

test('a put without a column of its key that the server would fill is refused', async () => {
  class Seats extends ScopedRepository<{ name: string; row: string }> {
    constructor(scope: Scope) {
      super(scope, seats)
    }
    put = (name: string) => this.putRow(z.strictObject({ name: z.string() }), { name }, 'seats_key')
  }
  const put = (await newOrg()).repository(Seats).put('front')
  await expect(put).rejects.toEqual(new InvalidInputError('row', 'is required, because it is part of the key'))
})
