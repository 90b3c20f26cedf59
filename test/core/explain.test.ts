import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { UnsafeStatementError } from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import { engines, useEngines } from '../support/engines.js'

const { open } = useEngines()

async function rowsOf(org: Org, query: Parameters<Org['db']['execute']>[0]): Promise<Record<string, unknown>[]> {
  return await org.db.execute(query)
}

describe.each(engines)('over the %s', (engine) => {
  test('with debug, explain gives the plan, and explain analyze runs only what a scope may run', async () => {
    const tenancy = await open(engine, { debug: true })
    const org = await tenancy.newOrg()
    const plan = await rowsOf(org, 'explain (costs off) select id from platform.agents')
    expect(plan.map((row) => row['QUERY PLAN']).join('\n')).toContain('agents')
    const [json] = await rowsOf(org, sql`explain (analyze, format json) select ${1}::int`)
    expect(json?.['QUERY PLAN']).toMatchObject([{ Plan: { 'Node Type': 'Result' } }])
    await org.agents.create({ name: 'Ada', username: 'ada' })
    await rowsOf(org, "explain analyze update platform.agents set name = 'Eve'")
    expect((await org.agents.list()).items.map(({ name }) => name)).toEqual(['Eve'])
    await expect(rowsOf(org, 'explain analyze select lo_create(0)')).rejects.toThrow(UnsafeStatementError)
    const reader = await tenancy.newOrg({ readOnly: true })
    await expect(rowsOf(reader, "explain analyze update platform.agents set name = 'x'")).rejects.toThrow(
      UnsafeStatementError,
    )
    await expect(rowsOf(reader, 'explain select 1')).resolves.toHaveLength(1)
  })

  test('without debug, explain is refused and the error says so, also after a tenancy with debug has sent the text', async () => {
    const debugged = await (await open(engine, { debug: true })).newOrg()
    const org = await (await open(engine, { debug: false })).newOrg()
    const text = "/* plan */ EXPLAIN select id from platform.agents where name = 'Ada'"
    for (let round = 0; round < 2; round++) {
      await expect(rowsOf(debugged, text)).resolves.not.toEqual([])
      for (const send of [() => rowsOf(org, text), () => org.transaction((tx) => rowsOf(tx, text))]) {
        await expect(send()).rejects.toThrow(UnsafeStatementError)
        await expect(send()).rejects.toThrow(/`explain` only .* `debug: true`/)
      }
    }
    await expect(rowsOf(debugged, 'explain lock table platform.agents')).rejects.toThrow(UnsafeStatementError)
  })
})
