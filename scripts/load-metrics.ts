// `npx tsx scripts/load-metrics.ts --rows 1000000 --organizations 100`: records measurements of many organizations in bulk, on a test
// server of its own, times the query of one project's month, and says what that query reads.
import { parseArgs } from 'node:util'
import type { Call } from '../src/core/executor.js'
import { openNodePostgres } from '../src/database/node-postgres.js'
import { openSession } from '../src/database/session.js'
import { passingKeyring } from '../src/encryption/keyring.js'
import { secretsOf } from '../src/encryption/secrets.js'
import { Tenancy } from '../src/tenancy.js'
import { createOrganization } from '../src/testing/fixtures.js'
import { startTestServer } from '../src/testing/server.js'
import { createTestDatabase } from '../src/testing/template.js'
import { recording } from '../test/support/recording-executor.js'
import { migratePlatform } from './migrate-platform.js'
import { numbersFrom } from './seeded-numbers.js'

const { values: asked } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    organizations: { type: 'string', default: '100' },
    batch: { type: 'string', default: '10000' },
    queries: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
  },
})
const organizations = Number(asked.organizations)
const rowsEach = Math.ceil(Number(asked.rows) / organizations)
const batch = Number(asked.batch)

const now = new Date()
const from = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth()))
const to = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1))
const pause = (to.getTime() - from.getTime()) / rowsEach

const random = numbersFrom(Number(asked.seed))
const percent = (): string => (random() * 100).toFixed(2)
const measurement = (index: number) => ({
  recordedAt: new Date(from.getTime() + index * pause),
  cpuUsage: percent(),
  memoryUsage: percent(),
  networkInBytes: Math.floor(random() * 1e9),
  queryCount: Math.floor(random() * 1000),
})

const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0

interface PlanNode {
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Actual Loops': number
  readonly 'Actual Rows': number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly Plans?: readonly PlanNode[]
}
const nodesOf = (plan: PlanNode): PlanNode[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

/** Each table that a call reads: how many rows and pages of it, and by which index. */
async function readsOf(orgId: string, { statement, values }: Call): Promise<string[]> {
  const session = await openSession({ url: database.appUrl })
  await session.query('begin')
  await session.query('select platform.enter_org($1)', [orgId])
  const [explained] = await session.query<{ 'QUERY PLAN': readonly [{ Plan: PlanNode }] }>(
    `explain (analyze, buffers, format json) ${statement.text}`,
    values,
  )
  await session.close()
  const nodes = explained === undefined ? [] : nodesOf(explained['QUERY PLAN'][0].Plan)
  return nodes
    .filter((node) => node['Relation Name'] !== undefined && node['Actual Loops'] > 0)
    .map((node) => {
      const pages = node['Shared Hit Blocks'] + node['Shared Read Blocks']
      const rows = `${node['Actual Rows']} rows, ${node['Rows Removed by Filter'] ?? 0} others, ${pages} pages`
      return `${node['Relation Name'] ?? ''}: ${rows}, by ${node['Index Name'] ?? 'no index'}`
    })
}

const server = await startTestServer({ migrate: migratePlatform })
const database = await createTestDatabase(server.template)
const { executor, sent } = recording(openNodePostgres({ pool: { connectionString: database.appUrl, max: 1 } }))
const tenancy = new Tenancy(executor, secretsOf(passingKeyring()))
try {
  const projects: { readonly orgId: string; readonly id: string }[] = []
  for (let made = 0; made < organizations; made++) {
    const orgId = await createOrganization(database.admin)
    const { id } = await tenancy.forOrg(orgId).projects.create({ name: 'One', slug: 'one' })
    projects.push({ orgId, id })
  }
  const start = performance.now()
  let rows = 0
  for (let done = 0; done < rowsEach; done += batch) {
    for (const { orgId, id } of projects) {
      const next = Array.from({ length: Math.min(batch, rowsEach - done) }, (_, index) => measurement(done + index))
      rows += await tenancy.forOrg(orgId).projects.metrics.record(id, next)
    }
  }
  const seconds = (performance.now() - start) / 1000
  console.log(
    `${rows} rows of ${organizations} organizations in ${seconds.toFixed(1)} s, ${Math.round(rows / seconds)} a second`,
  )
  await database.admin.query('vacuum analyze platform.project_metrics')

  const { orgId, id } = projects[Math.floor(projects.length / 2)] ?? { orgId: '', id: '' }
  const { metrics } = tenancy.forOrg(orgId).projects
  for (const step of [86_400, 3600]) {
    for (const names of [['cpuUsage'] as const, undefined]) {
      const times: number[] = []
      let buckets = 0
      for (let query = 0; query < Number(asked.queries); query++) {
        const begun = performance.now()
        buckets = (await metrics.query(id, { from, to, step, metrics: names })).length
        times.push(performance.now() - begun)
      }
      const what = names === undefined ? 'all metrics' : 'one metric'
      console.log(
        `a month of one project, ${rowsEach} rows, ${what}, ${buckets} buckets: ${median(times).toFixed(1)} ms`,
      )
    }
  }
  const month = [...sent.values()].find(({ statement }) => statement.text.includes('date_bin'))
  if (month === undefined) throw new Error('the query of a month was not sent')
  console.log(`it reads ${(await readsOf(orgId, month)).join('; ')}`)
} finally {
  await tenancy.close()
  await database.close()
  await server.stop()
}
