import { OrgUsage } from '../../src/operations/usage-summary.js'
import { Credits } from '../../src/repositories/credits.js'
import { creditEntries, credits, projects, usageEvents, usageMetrics } from '../../src/schema/index.js'
import type { ContractCase } from '../../src/testing/isolation-contract.js'
import { listEveryWay, projectOf, reads } from './every-option.js'

export const creditsCase = {
  repository: Credits,
  tables: [credits, creditEntries],
  make: async (org) => {
    await org.credits.grant({ amount: '20', currency: 'EUR', reason: 'other' })
    const { id } = await org.credits.grant({ amount: '10', currency: 'EUR' })
    await org.credits.spend({ amount: '1', currency: 'EUR' })
    return id
  },
  calls: {
    ...reads('currency', 'createdAt'),
    sum: (all) => all.sum('remaining'),
    list: async (all, id) => [
      await all.list({ id }),
      await all.list({ reason: { prefix: 'oth' } }),
      await listEveryWay(all, ['-reason', 'currency']),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ currency: 'EUR' }),
    exists: (all, id) => all.exists({ id }),
    grant: (all) => all.grant({ amount: '5', currency: 'EUR' }),
    spend: (all) => all.spend({ amount: '4', currency: 'EUR' }),
    void: (all, id) => all.void(id),
    balance: (all) => all.balance(),
    entries: async (all, id) => [
      await all.entries({ creditId: id }),
      await listEveryWay({ list: (options) => all.entries(options) }, ['reference', '-kind']),
    ],
  },
} satisfies ContractCase<Credits>

const measured = { metric: 'mails', quantity: '1', at: new Date(Date.UTC(2026, 2, 1)) }

export const usageCase = {
  repository: OrgUsage,
  tables: [projects, usageEvents, usageMetrics],
  make: async (org) => {
    await org.usage.record({ ...measured, key: 'other' })
    return (await org.usage.record({ ...measured, key: 'one' })).id
  },
  calls: {
    ...reads('metricType', 'createdAt'),
    sum: (all) => all.sum('quantity'),
    list: async (all, id) => [
      await all.list({ id }),
      await listEveryWay(all, ['-projectId', 'createdAt'], { metricType: { prefix: 'mail' } }),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ metricType: 'mails' }),
    exists: (all, id) => all.exists({ id }),
    findByKey: (all) => all.findByKey('one'),
    record: (all, id) => all.record({ ...measured, key: 'two', projectId: id }),
    recordMany: (all, id) =>
      all.recordMany([
        { ...measured, key: 'two', projectId: id },
        { ...measured, key: 'one' },
      ]),
    summary: (all) => all.summary({ from: new Date(Date.UTC(2026, 1, 1)), to: new Date(Date.UTC(2026, 3, 1)) }),
  },
  prepare: { record: projectOf, recordMany: projectOf },
} satisfies ContractCase<OrgUsage>
