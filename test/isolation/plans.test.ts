import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test, vi } from 'vitest'
import type { Call } from '../../src/core/executor.js'
import type { ScopedRepository } from '../../src/core/scoped-repository.js'
import { statement } from '../../src/core/statement.js'
import { StatementCache } from '../../src/core/statements/statement-cache.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { openSession, type Session } from '../../src/database/session.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { Tenancy } from '../../src/tenancy.js'
import { insertDataKey } from '../../src/testing/data-keys.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { fillOrganizations } from '../support/many-organizations.js'
import { recording } from '../support/recording-executor.js'
import { callEverything, usualLimits } from './every-statement.js'
import { examine, type PlanNode } from './plan-faults.js'
import { formFaults } from './statement-forms.js'

const database = useDatabase()
const root = join(import.meta.dirname, '../..')

let orgId = ''
let sent: readonly Call[] = []
let plansOfPages: (readonly [custom: unknown, generic: unknown])[] = []
/** Where a statement was compiled, and on whose behalf: `src/core/statements/pages.ts:108`. */
const compiledAt = new Set<string>()

const serve = (max: number) => recording(openNodePostgres({ pool: { connectionString: database.appUrl, max } }))
const secrets = secretsOf(passingKeyring())

beforeAll(async () => {
  const organizations = await fillOrganizations(database.admin)
  orgId = organizations[organizations.length / 2] ?? ''
  // Before other rows come, which the statistics would leave out.
  plansOfPages = await countPlansOfPages()
  const empty: string[] = []
  for (let made = 0; made < 400; made++) empty.push(await newOrganization())
  // Without statistics, each of its indexes looks as good as the primary key.
  await database.admin.query('vacuum analyze platform.organizations')
  const { executor, sent: recorded } = serve(4)
  const tenancy = new Tenancy(executor, secrets)
  const noted = noteCompilers()
  await callEverything({
    usual: () => tenancy.forOrg(orgId),
    empty: () => tenancy.forOrg(empty.pop() ?? ''),
    admin: database.admin,
  })
  noted()
  await tenancy.close({ drain: 0 })
  // The clock, catalogs and the library's own functions read no organization's table in the plan of the statement.
  sent = [...recorded.values()].filter(
    ({ statement }) =>
      !/^select (?:s from pg_catalog\.unnest|id, archived_at is not null,|platform\.\w+\(|statement_timestamp\(\)$|active, variants from platform\.addon_catalog)/.test(
        statement.text,
      ),
  )
})

async function newOrganization(): Promise<string> {
  const id = await createOrganization(database.admin)
  await insertDataKey(database.admin, secrets.dataKeys, id)
  return id
}

function noteCompilers() {
  const seen = new Set<string>()
  const spies = (['get', 'change', 'own'] as const).map((name) => {
    const compile = Reflect.get(StatementCache.prototype, name) as (...given: unknown[]) => unknown
    return vi.spyOn(StatementCache.prototype, name).mockImplementation(function (
      this: StatementCache,
      ...given: unknown[]
    ) {
      const shape = String(given[0])
      const text = given.at(-1) as () => unknown
      // To find the way here takes as long as the statement: once for each function that makes a text.
      const maker = shape.startsWith('own ') ? shape : text.toString()
      if (!seen.has(maker)) for (const place of placesOnTheWay()) compiledAt.add(place)
      seen.add(maker)
      return compile.call(this, ...given) as never
    })
  })
  return () => {
    for (const spy of spies) spy.mockRestore()
  }
}

const placesOnTheWay = (): string[] => new Error().stack?.match(/src\/(?:core|repositories)\/[\w/-]+\.ts:\d+/g) ?? []

test('every place that compiles statements did', () => {
  const places = ['src/core', 'src/repositories'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => compilingPlaces(`${folder}/${name}`)),
  )
  expect(places.length).toBeGreaterThan(20)
  expect(places.filter((place) => !compiledAt.has(place))).toEqual([])
})

test('every statement is prepared under a name: all its parameters are cast, or compared with an id', () => {
  expect(sent.filter(({ statement }) => statement.name === '').map(({ statement }) => statement.text)).toEqual([])
})

/** Drizzle's builder is left out: its texts are the caller's, and row security alone closes them. */
function compilingPlaces(file: string): string[] {
  const source = readFileSync(join(root, file), 'utf8')
  return [
    ...source.matchAll(
      /\.statements\s*\.(?:get|change|own)\(|this\s*\.(?:query|change)\(|(?<!function )ownStatement\(/g,
    ),
  ].map(({ index, 0: call }) => {
    const line = source.slice(0, index + call.length).split('\n').length
    return `${file}:${line}`
  })
}

test.concurrent.each(['custom', 'generic'] as const)('every %s plan reads one organization alone', async (kind) => {
  const session = await enter()
  const faults: string[] = []
  for (const { statement, values } of sent) {
    const plan = await explain[kind](session, statement.text, [orgId, ...values.slice(1)])
    faults.push(...examine(plan).map((fault) => `${fault}: ${statement.text}`))
  }
  await session.close()
  expect(faults).toEqual([])
})

test('every statement has a form that a cluster takes too', () => {
  expect(
    sent.flatMap(({ statement }) => formFaults(statement.text).map((fault) => `${fault}: ${statement.text}`)),
  ).toEqual([])
})

test.each([
  [
    `select "id" from "platform"."tasks" where "org_id" = $1 and "id" in (select "id" from due)`,
    'a sub-select behind in',
  ],
  [
    `update "platform"."tasks" set "at" = case when $2 then null else statement_timestamp() end where "org_id" = $1`,
    'a clock inside',
  ],
  [`update "platform"."tasks" set "at" = coalesce("at", now()) where "org_id" = $1`, 'a clock inside'],
  [
    `insert into "platform"."tasks" ("org_id") values ($1) on conflict ("org_id") do update set "at" = now()`,
    'a clock in the update',
  ],
  [
    `update "platform"."tasks" set "at" = case when $2 then clock.now + interval '1 hour' end from clock where "org_id" = $1`,
    'a sum of a moment',
  ],
  [
    `insert into "platform"."tasks" ("org_id") values ($1) on conflict ("org_id") do update set "a" = 1 where (select count(*) from b) > 0 returning 1`,
    'a sub-select in the condition',
  ],
  [`insert into "platform"."tasks" ("org_id", "a") values ($1, (select 1))`, 'a sub-select in VALUES'],
  [`update "platform"."tasks" set "hash" = ($2::bytea[])[1] where "org_id" = $1`, 'an element of a parameter'],
  [`insert into "platform"."tasks" ("org_id") select $1 from unnest($2::text[])`, 'a bulk insert'],
  [
    `with ended as (update "platform"."tasks" set "a" = 1 where "org_id" = $1 returning "id") insert into "platform"."notes" ("org_id") select $1 from ended`,
    'a bulk insert',
  ],
  [
    `update platform.user_sessions s set a = 1 where s.user_id = $1 and exists (select from platform.users u where u.id = $1)`,
    'EXISTS over people',
  ],
  [
    `select from platform.api_keys k where k.org_id = $1 and platform.is_live_member(k.user_id)`,
    'a function that reads tables',
  ],
  [`select from "platform"."tasks" t join "platform"."agents" a on true where t."org_id" = $1`, '2 tables, of which 1'],
])('a form that a cluster refuses is found: %s', (text, fault) => {
  expect(formFaults(text).join()).toContain(fault)
})

/** A session as the application has it while a call is under way. */
async function enter(): Promise<Session> {
  const session = await openSession({ url: database.appUrl })
  await session.query('begin')
  await session.query('select platform.enter_org($1)', [orgId])
  return session
}

interface Explained {
  readonly 'QUERY PLAN': readonly [{ readonly Plan: PlanNode }]
}

const explain = {
  async custom(session: Session, text: string, values: readonly unknown[]): Promise<PlanNode> {
    return planOf(await session.query<Explained>(`explain (format json) ${text}`, values))
  },
  async generic(session: Session, text: string, values: readonly unknown[]): Promise<PlanNode> {
    await session.query('set local plan_cache_mode = force_generic_plan')
    // The nulls stand for any value, and would leave no partition.
    await session.query('set local enable_partition_pruning = off')
    await session.query(`prepare explained as ${text}`)
    const nulls = values.map(() => 'null').join()
    const plan = planOf(await session.query<Explained>(`explain (format json) execute explained(${nulls})`))
    await session.query('deallocate explained')
    return plan
  },
}

function planOf([explained]: readonly Explained[]): PlanNode {
  if (explained === undefined) throw new Error('nothing was explained')
  return explained['QUERY PLAN'][0].Plan
}

test('due rows are found by their time, without reading all that wait', async () => {
  const due = sent.find(({ statement }) => statement.text.includes('"next_run_at" <= '))
  const session = await enter()
  const plan = await explain.generic(session, due?.statement.text ?? '', due?.values ?? [])
  await session.close()
  expect(JSON.stringify(plan)).toMatch(/"Index Cond":"[^"]*next_run_at <= /)
})

test('the events of a part of a day are found by their time, without reading the others of the period', async () => {
  const summary = sent.find(({ statement }) => statement.text.includes('platform.usage_events e, period'))
  const session = await enter()
  const plan = JSON.stringify(await explain.generic(session, summary?.statement.text ?? '', summary?.values ?? []))
  await session.close()
  expect(plan.match(/"Index Cond":"[^"]*occurred_at >= [^"]*occurred_at < /g)).toHaveLength(2)
  expect(plan).toMatch(/"Index Cond":"[^"]*period_start >= [^"]*period_start < /)
})

test('a page of a usual size is planned once for all organizations', () => {
  // The server plans five times for what it is given before it compares.
  expect(plansOfPages).toHaveLength(5 * usualLimits.length)
  expect(plansOfPages.filter(([custom, generic]) => custom !== 5 || generic !== 5)).toEqual([])
})

/** How often the server planned pages for their values, and how often for any. */
async function countPlansOfPages(): Promise<(readonly [custom: unknown, generic: unknown])[]> {
  const { executor } = serve(1)
  const org = new Tenancy(executor, secrets).forOrg(orgId)
  const repositories: Pick<ScopedRepository<object>, 'list'>[] = [
    org.projects,
    org.agents,
    org.workflows,
    org.tasks,
    org.schedules,
  ]
  for (const limit of usualLimits) {
    for (let times = 0; times < 10; times++) await Promise.all(repositories.map((all) => all.list({ limit })))
  }
  const [plans] = await executor.run({ kind: 'system', about: undefined }, [{ statement: countPlans, values: [] }])
  await executor.close({ drain: 0 })
  const pages = plans?.rows.filter(([text]) => String(text).includes('order by')) ?? []
  return pages.map(([, custom, generic]) => [custom, generic])
}

const countPlans = statement(
  'select statement, custom_plans::int, generic_plans::int from pg_catalog.pg_prepared_statements',
)
