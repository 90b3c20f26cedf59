import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { openSession, type Session } from '../../src/database/session.js'
import type { Org } from '../../src/org.js'
import { Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { fillOrganizations } from '../support/many-organizations.js'
import { recording } from '../support/recording-executor.js'
import { examine, type PlanNode } from './plan-faults.js'

const database = useDatabase()
const organizations: { usual: string; large: string; skewed: string } = { usual: '', large: '', skewed: '' }

// Twenty-five times the rows of another organization, and a hundred times the tasks in the skewed one. There nearly all of them belong to one
// of twenty parents: the server expects more than a hundred for each of the others, which have five.
const rows = 5_000
const skewedTasks = 20_000

beforeAll(async () => {
  const { admin } = database
  const [usual = ''] = await fillOrganizations(admin)
  organizations.usual = usual
  for (const name of ['large', 'skewed'] as const) {
    const id = await createOrganization(admin)
    organizations[name] = id
    const parent = name === 'large' ? '(n % 20 + 1)' : '(case when n <= 100 then n % 20 + 1 else 1 end)'
    const of = (kind: string, n: string) => `md5($1::text || '${kind}' || ${n})::uuid`
    const insert = (table: string, columns: string, values: string, count = rows) =>
      admin.query(
        `insert into platform.${table} (org_id, id, ${columns}) select $1::uuid, ${of(table, 'n')}, ${values} from generate_series(1, ${count}) n`,
        [id],
      )
    await insert('projects', 'name, slug, ref', `'P', 'p-' || n, 'ref-' || n`)
    await insert('workflows', 'name, slug, project_id', `'W', 'w-' || n, ${of('projects', parent)}`)
    await insert('agents', 'name, username, project_id', `'A', 'a-' || n, ${of('projects', parent)}`)
    await insert(
      'schedules',
      'workflow_id, name, cron, timezone',
      `${of('workflows', parent)}, 's-' || n, '0 * * * *', 'UTC'`,
    )
    await insert(
      'tasks',
      'kind, agent_id, workflow_id',
      `'k', ${of('agents', parent)}, ${of('workflows', parent)}`,
      name === 'large' ? rows : skewedTasks,
    )
  }
  for (const table of ['projects', 'workflows', 'agents', 'schedules', 'tasks']) {
    await admin.query(`vacuum analyze platform.${table}`)
  }
})

interface Read {
  readonly send: (org: Org) => Promise<unknown>
  /** The table that is included, and the condition by which its index finds the rows. */
  readonly finds: readonly (readonly [table: string, condition: RegExp])[]
}

const reads: Record<string, Read> = {
  'a page of agents with their projects': {
    send: (org) => org.agents.list({ include: { project: true } }),
    finds: [['projects', /\bid = /]],
  },
  'the largest page of agents with their projects': {
    send: (org) => org.agents.list({ limit: 1000, include: { project: true } }),
    finds: [['projects', /\bid = /]],
  },
  'a page of tasks with all that they belong to': {
    send: (org) => org.tasks.list({ orderBy: '-createdAt', include: { agent: true, workflow: true, parent: true } }),
    finds: [
      ['agents', /\bid = /],
      ['workflows', /\bid = /],
    ],
  },
  'a page of workflows with their schedules and tasks': {
    send: (org) => org.workflows.list({ include: { schedules: true, tasks: { limit: 5 } } }),
    finds: [
      ['schedules', /\bworkflow_id = /],
      ['tasks', /\bworkflow_id = /],
    ],
  },
  'some fields of a page of workflows, with the total and their schedules': {
    send: (org) => org.workflows.list({ select: ['name'], total: true, include: { schedules: true, project: true } }),
    finds: [
      ['schedules', /\bworkflow_id = /],
      ['projects', /\bid = /],
    ],
  },
  'a page of projects with their agents by name': {
    send: (org) => org.projects.list({ include: { agents: { orderBy: 'username', where: { status: 'draft' } } } }),
    finds: [['agents', /\bproject_id = /]],
  },
  'one agent with its tasks': {
    send: async (org) => {
      const { items } = await org.agents.list({ limit: 1 })
      return org.agents.get(items[0]?.id ?? '', { include: { tasks: { orderBy: 'createdAt' } } })
    },
    finds: [['tasks', /\bagent_id = /]],
  },
}

test.each(Object.entries(reads))('%s is read by its key in every organization', async (_, { send, finds }) => {
  const faults: string[] = []
  for (const [name, orgId] of Object.entries(organizations)) {
    const { executor, sent } = recording(openNodePostgres({ pool: { connectionString: database.appUrl, max: 1 } }))
    onTestFinished(() => executor.close({ drain: 0 }))
    const tenancy = new Tenancy(executor, secretsOf(passingKeyring()))
    await send(tenancy.forOrg(orgId))
    const call = [...sent.values()].find(({ statement }) => statement.text.includes('lateral'))
    if (call === undefined) throw new Error('nothing was included')
    const session = await openSession({ url: database.appUrl })
    onTestFinished(() => session.close())
    await session.query('begin')
    await session.query('select platform.enter_org($1)', [orgId])
    for (const kind of ['custom', 'generic'] as const) {
      const plan = await explain(session, kind, call.statement.text, call.values)
      faults.push(...examine(plan).map((fault) => `${name}, ${kind}: ${fault}`))
      for (const [table, condition] of finds) {
        const conditions = conditionsOn(plan, table)
        if (conditions.length === 0 || !conditions.every((one) => condition.test(one)))
          faults.push(`${name}, ${kind}: ${table} is found by ${conditions.join(' | ')}`)
      }
    }
  }
  expect(faults).toEqual([])
})

async function explain(
  session: Session,
  kind: 'custom' | 'generic',
  text: string,
  values: readonly unknown[],
): Promise<PlanNode> {
  await session.query(`set local plan_cache_mode = force_${kind}_plan`)
  await session.query(`prepare explained as ${text}`)
  const literals = values.map((value) => (kind === 'generic' ? 'null' : `'${String(value)}'`)).join()
  const [row] = await session.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
    `explain (format json) execute explained(${literals})`,
  )
  await session.query('deallocate explained')
  if (row === undefined) throw new Error('nothing was explained')
  return row['QUERY PLAN'][0].Plan
}

/** The index conditions of the reads of a table inside of the joins. */
function conditionsOn(plan: PlanNode, table: string): string[] {
  const own =
    plan['Relation Name'] === table && plan['Node Type'] !== 'Bitmap Heap Scan' ? [plan['Index Cond'] ?? ''] : []
  const below = (plan.Plans ?? []).flatMap((child) => conditionsOn(child, table))
  const inBitmap =
    plan['Relation Name'] === table && plan['Node Type'] === 'Bitmap Heap Scan' ? indexConditions(plan) : []
  return [...own, ...inBitmap, ...below]
}

const indexConditions = (plan: PlanNode): string[] => [
  ...(plan['Index Cond'] === undefined ? [] : [plan['Index Cond']]),
  ...(plan.Plans ?? []).flatMap(indexConditions),
]
