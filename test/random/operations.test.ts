import { randomBytes } from 'node:crypto'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Call, Executor } from '../../src/core/executor.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { Tenancy } from '../../src/tenancy.js'
import { openWithout } from '../../src/testing/walls.js'
import { useTenancy } from '../support/use-tenancy.js'
import { randomOperations, type RandomReport } from './operations.js'

const bench = useTenancy()
const small = { organizations: 10, workers: 4, withDrizzle: false }

test('nothing crosses organizations in a thousand random operations', async () => {
  const { tenancy, database } = bench
  const report = await randomOperations({ tenancy, admin: database.admin, operations: 1000, seed: 1 })
  expect(report.faults).toEqual([])
  expect(report.operations).toBe(1000)
  // Both what is answered and what is refused has been there.
  expect(Object.keys(report.errors)).toEqual(
    expect.arrayContaining(['NotFoundError', 'BrokenReferenceError', 'ConflictError', 'OrganizationSuspendedError']),
  )
})

// Drizzle's builder has one wall only, so that it is left out where one is taken away.
test.each(['predicates', 'row security'] as const)('nothing crosses without %s', async (without) => {
  const { appUrl, admin } = bench.database
  const { tenancy } = await openWithout({ appUrl, admin, without })
  const report = await randomOperations({ ...small, operations: 400, tenancy, admin, seed: 2 })
  await tenancy.close({ drain: 0 })
  expect(report.faults).toEqual([])
})

/** One statement whose predicate is gone, as a repository's author might forget it. */
const leaks = {
  'a point read': /^select .* from "platform"."agents" where "org_id" = \$1 .*"id" = \$2$/,
  'a list': /^select .* from "platform"."tasks" where .* order by/,
  'a count': /^select count.* from "platform"."projects"/,
  'an update': /update "platform"."projects" set .*"name" = /,
  'a deletion': /update "platform"."workflows" set "deleted_at" = statement_timestamp/,
  'a transition': /"platform"."agents" set "status" = \$3/,
  'a claim': /for no key update of t skip locked/,
  'the tools of an agent': /"agent_tools" l where l\."org_id" = \$1 and l\."agent_id" = \$2/,
}

describe('without row security', () => {
  const unbound = new URL('postgres://')

  beforeAll(async () => {
    unbound.href = bench.database.appUrl
    unbound.username += `_leaky_${randomBytes(4).toString('hex')}`
    await bench.database.admin.query(
      `create role ${unbound.username} login bypassrls in role tenantry_app password '${unbound.password}'`,
    )
  })

  test.each(Object.entries(leaks))('%s that has lost its predicate is found', async (_, leak) => {
    // It ends at the first fault.
    expect((await leaky(unbound.href, [leak], 20_000)).faults).not.toEqual([])
  })
})

test('row security holds what has lost its predicate', async () => {
  expect((await leaky(bench.database.appUrl, Object.values(leaks), 1000)).faults).toEqual([])
})

async function leaky(url: string, leaks: readonly RegExp[], operations: number): Promise<RandomReport> {
  const executor = openNodePostgres({ pool: { connectionString: url, max: 4 } })
  const tenancy = new Tenancy(rewriting(executor, leaks), secretsOf(passingKeyring()))
  const report = await randomOperations({ ...small, operations, tenancy, admin: bench.database.admin, seed: 3 })
  await tenancy.close({ drain: 0 })
  return report
}

function rewriting(executor: Executor, leaks: readonly RegExp[]): Executor {
  const rewrite = (call: Call): Call => {
    const { text } = call.statement
    if (!leaks.some((leak) => leak.test(text))) return call
    const leaking = text.replaceAll(/(?:\w+\.)?"?org_id"? = \$1\b/g, '$1::uuid is not null')
    return { ...call, statement: { ...call.statement, name: '', text: leaking } }
  }
  return {
    ...executor,
    run: (binding, calls, options) => executor.run(binding, calls.map(rewrite), options),
    begin: async (binding, options) => {
      const transaction = await executor.begin(binding, options)
      return Object.assign(Object.create(transaction) as typeof transaction, {
        run: (calls: readonly Call[]) => transaction.run(calls.map(rewrite)),
      })
    },
  }
}
