import { beforeAll, expect, test } from 'vitest'
import type { Call } from '../../src/core/executor.js'
import type { Page } from '../../src/core/statements/pages.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { openSession, type Session } from '../../src/database/session.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import type { Org } from '../../src/org.js'
import { Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { recording } from '../support/recording-executor.js'
import { examine, type PlanNode } from './plan-faults.js'

const database = useDatabase()
const organizations: { usual: string; large: string; skewed: string } = { usual: '', large: '', skewed: '' }

const rows = 8000
/** The rows of the skewed organization that were made at one moment. */
const together = 1000
const limit = 20

beforeAll(async () => {
  const { admin } = database
  // The databases of the tests compare by bytes. Most others do not.
  for (const [table, column] of [
    ['agents', 'username'],
    ['projects', 'slug'],
    ['workflows', 'slug'],
  ])
    await admin.query(`alter table platform.${table} alter column ${column} type text collate "en-x-icu"`)
  for (let made = 0; made < 24; made++) organizations.usual = await fill(50, 2, 1)
  organizations.large = await fill(rows, 2, 1)
  organizations.skewed = await fill(rows, 1000, together)
  for (const table of ['projects', 'workflows', 'agents', 'tasks'])
    await admin.query(`vacuum analyze platform.${table}`)
})

/** An organization in which one row of so many has the other status and a project, and so many were made at each moment. */
async function fill(count: number, ofSome: number, atOnce: number): Promise<string> {
  const { admin } = database
  const id = await createOrganization(admin)
  const status = (most: string, some: string) => `case when n % ${ofSome} = 0 then '${some}' else '${most}' end`
  const insert = (table: string, columns: string, values: string) =>
    admin.query(
      `insert into platform.${table} (org_id, id, created_at, ${columns})
       select $1::uuid, md5($1::text || n)::uuid, timestamptz '2026-01-01' + n / ${atOnce} * interval '1 minute', ${values}
       from generate_series(1, $2::int) n`,
      [id, count],
    )
  await insert('projects', 'name, slug, ref, status', `'P', md5(n::text), 'ref-' || n, ${status('active', 'paused')}`)
  await insert('workflows', 'name, slug, status', `'W', md5(n::text), ${status('draft', 'active')}`)
  const project = `case when n % ${ofSome} = 0 then md5($1::text || n)::uuid end`
  const agent = `'A ' || n, md5(n::text), ${status('draft', 'active')}, ${project}`
  await insert('agents', 'name, username, status, project_id', agent)
  await insert('tasks', 'kind, status, priority', `'k', ${status('queued', 'canceled')}, n % 5`)
  return id
}

interface Shape {
  readonly list: (org: Org, place: { after?: string }) => Promise<Page<unknown>>
  /** The rows that a sort may take: by default about a page, because an index gives the order, all but for the last field. */
  readonly sorted?: number
  /** The rows that the statement may read: by default few more than a page. */
  readonly read?: number
}

const aPage = 3 * limit
const everyRow = rows + 1

const shapes: Record<string, Shape> = {
  'of the newest first': { list: (org, place) => org.tasks.list({ limit, ...place }) },
  'by id': { list: (org, place) => org.agents.list({ limit, orderBy: 'id', ...place }) },
  'of a status, the newest first': {
    list: (org, place) => org.agents.list({ limit, status: 'draft', ...place }),
  },
  'of a rare status, the newest first': {
    list: (org, place) => org.agents.list({ limit, status: 'active', ...place }),
  },
  'by a status': { list: (org, place) => org.tasks.list({ limit, orderBy: 'status', ...place }) },
  'by a status, descending': { list: (org, place) => org.tasks.list({ limit, orderBy: '-status', ...place }) },
  'by a status and the id': {
    list: (org, place) => org.workflows.list({ limit, orderBy: ['status', 'id'], ...place }),
  },
  'by a unique name': { list: (org, place) => org.agents.list({ limit, orderBy: 'username', ...place }) },
  // The rows of one moment are sorted by their id.
  'by the moment of creation': {
    list: (org, place) => org.projects.list({ limit, orderBy: '-createdAt', ...place }),
    sorted: 2 * together,
    read: 2 * together,
  },
  'of a time': {
    list: (org, place) =>
      org.tasks.list({ limit, createdAt: { gte: new Date('2026-01-01T00:05:00Z') }, orderBy: 'createdAt', ...place }),
    sorted: 2 * together,
    read: 2 * together,
  },
  'with a prefix': { list: (org, place) => org.agents.list({ limit, username: { prefix: 'abc' }, ...place }) },
  'with a prefix, by the same field': {
    list: (org, place) => org.projects.list({ limit, slug: { prefix: 'abc' }, orderBy: 'slug', ...place }),
  },
  'with a prefix, by another field': {
    list: (org, place) => org.workflows.list({ limit, slug: { prefix: 'abc' }, orderBy: 'createdAt', ...place }),
  },
  'of what contains a frequent text': {
    list: (org, place) => org.agents.list({ limit, name: { contains: '1' }, ...place }),
    read: 500,
  },
  'of what contains a rare text': {
    list: (org, place) => org.agents.list({ limit, name: { contains: '19999' }, ...place }),
    read: everyRow,
  },
  'of some fields': { list: (org, place) => org.agents.list({ limit, select: ['name'], ...place }) },
  'with the total': {
    list: (org, place) => org.tasks.list({ limit, total: true, ...place }),
    read: 2 * everyRow,
  },
}

test.each(Object.entries(shapes))('a list %s sorts and reads no more rows than it needs', async (_, shape) => {
  expect(await faultsOf(shape)).toEqual([])
})

const unservedShapes: Record<string, Shape> = {
  'by a field without an index': { list: (org, place) => org.agents.list({ limit, orderBy: 'name', ...place }) },
  'of a filter without an index': { list: (org, place) => org.agents.list({ limit, name: 'A 7', ...place }) },
}

test.each(Object.entries(unservedShapes))('a list %s is found to read more', async (_, shape) => {
  expect((await faultsOf(shape)).join()).toContain('large, custom: ')
})

/** Of the first page and the next one, for each organization and kind of plan. */
async function faultsOf({ list, sorted = aPage, read = aPage }: Shape): Promise<string[]> {
  const faults: string[] = []
  for (const [name, orgId] of Object.entries(organizations)) {
    const { executor, sent } = recording(openNodePostgres({ pool: { connectionString: database.appUrl, max: 1 } }))
    const org = new Tenancy(executor, secretsOf(passingKeyring())).forOrg(orgId)
    const { next } = await list(org, {})
    if (next !== undefined) await list(org, { after: next })
    await executor.close({ drain: 0 })
    const session = await openSession({ url: database.appUrl })
    await session.query('begin')
    await session.query('select platform.enter_org($1)', [orgId])
    for (const kind of ['custom', 'generic'] as const) {
      for (const call of sent.values()) {
        const plan = await run(session, kind, call)
        const found = [...examine(plan), ...tooMany(plan, sorted, read)]
        faults.push(...found.map((fault) => `${name}, ${kind}: ${fault} in ${call.statement.text}`))
      }
    }
    await session.close()
  }
  return faults
}

interface RunNode extends PlanNode {
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Rows Removed by Index Recheck'?: number
  readonly Plans?: readonly RunNode[]
}

async function run(session: Session, kind: 'custom' | 'generic', { statement, values }: Call): Promise<RunNode> {
  await session.query(`set local plan_cache_mode = force_${kind}_plan`)
  // Only what is prepared has a plan for any values.
  await session.query(`prepare explained as ${statement.text}`)
  const literals = values.map((value) => (value === null ? 'null' : `'${value as string | number}'`)).join()
  const [row] = await session.query<{ 'QUERY PLAN': [{ Plan: RunNode }] }>(
    `explain (analyze, timing off, buffers off, format json) execute explained(${literals})`,
  )
  await session.query('deallocate explained')
  if (row === undefined) throw new Error('nothing was explained')
  return row['QUERY PLAN'][0].Plan
}

function tooMany(plan: RunNode, sorted: number, read: number): string[] {
  const nodes = allOf(plan)
  const sorts = nodes.filter((node) => node['Node Type'].endsWith('Sort'))
  const most = Math.max(0, ...sorts.flatMap(({ Plans = [] }) => Plans.map((node) => node['Actual Rows'])))
  const total = nodes.filter((node) => node['Relation Name'] !== undefined).reduce((sum, node) => sum + rowsOf(node), 0)
  return [...(most > sorted ? [`sorts ${most} rows`] : []), ...(total > read ? [`reads ${total} rows`] : [])]
}

const allOf = (plan: RunNode): RunNode[] => [plan, ...(plan.Plans ?? []).flatMap(allOf)]

const rowsOf = (node: RunNode): number =>
  node['Actual Loops'] *
  (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0))
