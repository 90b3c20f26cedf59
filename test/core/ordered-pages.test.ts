import fc from 'fast-check'
import { boolean, integer, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { InvalidCursorError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Page } from '../../src/core/statements/pages.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { openSession } from '../../src/database/session.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { recording } from '../support/recording-executor.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()

const jobs = pgTable(
  'jobs',
  {
    orgId: uuid('org_id').notNull(),
    id: uuid('id').notNull(),
    status: text('status').notNull(),
    rank: integer('rank').notNull(),
    grade: integer('grade'),
    label: text('label'),
    flag: boolean('flag'),
    at: timestamp('at', { withTimezone: true }),
    madeAt: timestamp('made_at', { withTimezone: true }).notNull(),
  },
  (t) => [primaryKey({ name: 'jobs_pkey', columns: [t.orgId, t.id] })],
)
declareTable(jobs, { kind: 'tenant' })
type Job = typeof jobs.$inferSelect

class Jobs extends ScopedRepository<Job> {
  constructor(scope: Scope) {
    super(scope, jobs)
  }
}

beforeAll(async () => {
  const { admin } = bench.database
  await admin.query(`create table jobs (org_id uuid, id uuid, status text collate "C" not null, rank int not null, grade int,
    label text collate "C", flag boolean, at timestamptz, made_at timestamptz not null, constraint jobs_pkey primary key (org_id, id))`)
  await admin.query('create index on jobs (org_id, status, made_at, id)')
  await admin.query('create index on jobs (org_id, rank, id)')
  await admin.query('create index on jobs (org_id, grade, id)')
  await admin.query('create index on jobs (org_id, status, made_at desc, id desc)')
  await admin.query('alter table jobs enable row level security')
  await admin.query('create policy org_isolation on jobs to tenantry_app using (org_id = platform.current_org())')
  await admin.query('grant select, insert on jobs to tenantry_app')
})

/** The text of a moment with microseconds, which a Date would lose. */
const moment = fc.integer({ min: 0, max: 3 }).map((micros) => `2026-11-20T12:00:00.00000${micros}Z`)
const row = fc.record({
  status: fc.constantFrom('a', 'B', 'c'),
  rank: fc.integer({ min: -1, max: 1 }),
  grade: fc.option(fc.integer({ min: 0, max: 2 })),
  label: fc.option(fc.constantFrom('', 'null', 'x')),
  flag: fc.option(fc.boolean()),
  at: fc.option(moment),
  made_at: moment,
})
type Stored = (typeof row extends fc.Arbitrary<infer Made> ? Made : never) & { readonly id: string }
const fields = ['status', 'rank', 'grade', 'label', 'flag', 'at', 'madeAt', 'id'] as const
const order = fc
  .uniqueArray(fc.constantFrom(...fields), { minLength: 1, maxLength: 4 })
  .chain((names) => fc.tuple(...names.map((name) => fc.constantFrom(name, `-${name}` as const))))

/** What the lists must give: nulls last, and first in a descending order. */
function sorted(rows: readonly Stored[], orderBy: readonly string[]): string[] {
  const last = orderBy.at(-1)?.startsWith('-') === true ? '-id' : 'id'
  const compare = (one: Stored, other: Stored): number => {
    for (const name of [...orderBy, last]) {
      const key = name.replace('-', '').replace('madeAt', 'made_at') as keyof Stored
      const [a, b] = [one[key], other[key]]
      if (a === b) continue
      const isAfter = a === null || (b !== null && a > b)
      return isAfter === name.startsWith('-') ? -1 : 1
    }
    return 0
  }
  return rows.toSorted(compare).map(({ id }) => id)
}

async function stored(rows: readonly object[]) {
  const org = await bench.newOrg()
  const all = rows.map((one) => ({ id: newId(), ...one })) as unknown as Stored[]
  await bench.database.admin.query(
    `insert into jobs select $1, r.* from json_to_recordset($2::json)
     as r (id uuid, status text, rank int, grade int, label text, flag boolean, at timestamptz, made_at timestamptz)`,
    [org.id, JSON.stringify(all)],
  )
  return { all, repository: org.repository(Jobs) }
}

async function walk(page: (place: object) => Promise<Page<{ id?: string }>>, idsOf: (items: object[]) => string[]) {
  const forwards: string[] = []
  let current = await page({})
  expect(current.previous).toBeUndefined()
  for (;;) {
    forwards.push(...idsOf(current.items))
    if (current.next === undefined) break
    current = await page({ after: current.next })
  }
  const backwards = idsOf(current.items)
  while (current.previous !== undefined) {
    current = await page({ before: current.previous })
    backwards.unshift(...idsOf(current.items))
  }
  return { forwards, backwards }
}

const idsOf = (items: object[]): string[] => items.map((item) => (item as { id: string }).id)

test('pages hold every row once and in order, both ways, whatever they are ordered by', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(row, { minLength: 1, maxLength: 14 }),
      fc.array(order, { minLength: 3, maxLength: 3 }),
      fc.integer({ min: 1, max: 5 }),
      async (rows, orders, limit) => {
        const { all, repository } = await stored(rows)
        for (const orderBy of orders) {
          const expected = sorted(all, orderBy)
          const whole = await walk((place) => repository.list({ orderBy, limit, ...place }), idsOf)
          expect(whole).toEqual({ forwards: expected, backwards: expected })
        }
      },
    ),
    { numRuns: 40, seed: 11 },
  )
})

describe('a cursor', () => {
  const rows = [null, 2, null, 1].map((grade) => ({ status: 'a', rank: 0, grade, made_at: '2026-11-20T12:00:00Z' }))

  test('over nulls continues behind them, and in front of them', async () => {
    const { all, repository } = await stored(rows)
    const [n1 = '', two = '', n2 = '', one = ''] = all.map(({ id }) => id)
    const ascending = [one, two, n1, n2]
    for (const [orderBy, expected] of [
      ['grade', ascending],
      ['-grade', ascending.toReversed()],
    ] as const) {
      expect(await walk((place) => repository.list({ orderBy, limit: 1, ...place }), idsOf)).toEqual({
        forwards: expected,
        backwards: expected,
      })
    }
  })

  test('belongs to its order: another direction, another field or another sequence refuses it', async () => {
    const { repository } = await stored(rows)
    const orderBy = ['status', '-grade'] as const
    const { next } = await repository.list({ orderBy, limit: 1 })
    await expect(repository.list({ orderBy, limit: 2, after: next })).resolves.toMatchObject({ items: [{}, {}] })
    const others = [
      ['status', 'grade'],
      ['-grade', 'status'],
      ['status'],
      ['status', '-grade', 'rank'],
      'status',
    ] as const
    for (const other of others) {
      await expect(repository.list({ orderBy: other, after: next })).rejects.toThrow(InvalidCursorError)
    }
    await expect(repository.list({ after: next })).rejects.toThrow(InvalidCursorError)
  })

  test('of one field is the same, however the field is given', async () => {
    const { repository } = await stored(rows)
    const { next } = await repository.list({ orderBy: '-rank', limit: 1 })
    await expect(repository.list({ orderBy: ['-rank'], after: next })).resolves.toMatchObject({ items: [{}, {}, {}] })
  })
})

interface Node {
  readonly 'Node Type': string
  readonly 'Actual Rows': number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Index Cond'?: string
  readonly Plans?: readonly Node[]
}

const nodesOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)]

describe('plans', () => {
  const orgs: Record<'varied' | 'skewed', string> = { varied: '', skewed: '' }
  const size = 20_000
  const limit = 20

  beforeAll(async () => {
    const { admin } = bench.database
    for (const name of ['varied', 'skewed'] as const) orgs[name] = await createOrganization(admin)
    const fill = (org: string, count: number, varied: boolean) =>
      admin.query(
        `insert into jobs select $1, gen_random_uuid(), ${varied ? `(array['a','B','c','d'])[n % 4 + 1]` : `'a'`}, ${varied ? 'n % 1000' : '0'},
         ${varied ? 'case when n % 10 > 0 then n % 5000 end' : 'null'}, null, null, null, now() - n * interval '1 second'
         from generate_series(1, $2::int) n`,
        [org, count],
      )
    await fill(orgs.varied, size, true)
    await fill(orgs.skewed, size, false)
    for (let made = 0; made < 20; made++) await fill(await createOrganization(admin), 1000, true)
    await admin.query('vacuum analyze jobs')
  })

  /** The plans of the first page, of one behind two thousand rows, and of the one in front of that. */
  async function plansOf(org: string, options: object): Promise<Node[][]> {
    const { executor, log } = recording(openNodePostgres({ pool: { connectionString: bench.database.appUrl, max: 1 } }))
    const tenancy = new Tenancy(executor, secretsOf(passingKeyring()))
    onTestFinished(() => tenancy.close({ drain: 0 }))
    const all = tenancy.forOrg(org).repository(Jobs)
    const thousandth = await all.list({ ...options, limit: 1000 })
    const { next } = await all.list({ ...options, limit: 1000, after: thousandth.next })
    const before = log.length
    for (const place of [{}, { after: next }, { before: next }]) await all.list({ ...options, limit, ...place })
    const calls = log.slice(before)
    const session = await openSession({ url: bench.database.appUrl })
    onTestFinished(() => session.close())
    const plans: Node[][] = []
    for (const { text, values } of calls) {
      const literals = values.map((value) => `'${String(value).replaceAll("'", "''")}'`).join(', ')
      for (const mode of ['force_custom_plan', 'force_generic_plan']) {
        await session.query('begin')
        await session.query('select platform.enter_org($1)', [org])
        await session.query(`set local plan_cache_mode = ${mode}`)
        await session.query(`prepare page as ${text}`)
        const [plan] = await session.query<{ 'QUERY PLAN': [{ Plan: Node }] }>(
          `explain (analyze, timing off, format json) execute page(${literals})`,
        )
        await session.query('deallocate page')
        await session.query('rollback')
        plans.push(nodesOf((plan as { 'QUERY PLAN': [{ Plan: Node }] })['QUERY PLAN'][0].Plan))
      }
    }
    return plans
  }

  const readBy = (nodes: readonly Node[]) =>
    nodes.map((node) => node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0))

  test.each([
    ['varied', ['status', 'madeAt']],
    ['skewed', ['status', 'madeAt']],
    ['varied', ['-status', '-madeAt']],
    ['skewed', ['-status', '-madeAt']],
    ['varied', 'rank'],
    ['skewed', '-rank'],
  ] as const)('of the %s organization by %j: an index finds the place and gives the order', async (name, orderBy) => {
    for (const nodes of await plansOf(orgs[name], { orderBy })) {
      expect(nodes.map((node) => node['Node Type'])).toEqual(['Limit', 'Result', 'Index Scan'])
      expect(readBy(nodes)).toEqual([limit + 1, limit + 1, limit + 1])
    }
  })

  test.each([
    ['varied', 'grade'],
    ['skewed', 'grade'],
    ['varied', '-grade'],
    ['skewed', '-grade'],
    ['varied', ['status', '-madeAt']],
    ['skewed', ['status', '-madeAt']],
    ['varied', ['-status', 'madeAt']],
  ] as const)('of the %s organization by %j: an index gives the order', async (name, orderBy) => {
    for (const nodes of await plansOf(orgs[name], { orderBy })) {
      expect(nodes.map((node) => node['Node Type'])).toEqual(['Limit', 'Result', 'Index Scan'])
    }
  })

  test('with nulls first, the place behind the last null is found in the index', async () => {
    const { log, executor } = recording(openNodePostgres({ pool: { connectionString: bench.database.appUrl, max: 1 } }))
    onTestFinished(() => executor.close({ drain: 0 }))
    const all = new Tenancy(executor, secretsOf(passingKeyring())).forOrg(orgs.varied).repository(Jobs)
    const { items, next } = await all.list({
      orderBy: '-grade',
      limit: 1000,
      after: (await all.list({ orderBy: '-grade', limit: 1000 })).next,
    })
    expect(items.at(-1)?.grade).toBeNull()
    const behind = await all.list({ orderBy: '-grade', limit: 1, after: next })
    await all.list({ orderBy: '-grade', limit, after: behind.next })
    expect(log.at(-1)?.text).toContain('("grade", "id") < ($2::integer, $3::uuid)')
  })

  test('the total is counted in the same statement, and no more than a page is sorted for it', async () => {
    for (const nodes of await plansOf(orgs.varied, { orderBy: ['status', 'madeAt'], total: true })) {
      expect(nodes.map((node) => node['Node Type'])).not.toContain('Seq Scan')
      const sorts = nodes.filter((node) => node['Node Type'].includes('Sort'))
      expect(sorts.map((node) => node['Actual Rows'])).toEqual([limit + 1])
    }
  })
})
