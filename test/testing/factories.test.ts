import { eq, getTableName } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ForbiddenError, InvalidInputError } from '../../src/core/errors.js'
import { ScopedTable } from '../../src/core/scoped-table.js'
import type { Org } from '../../src/org.js'
import * as schema from '../../src/schema/index.js'
import { type EmbeddedTenancy, openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'
import { type Factories, factories } from '../../src/testing/factories.js'
import { asMember, newOrg } from '../../src/testing/members.js'
import type { InProject } from '../../src/testing/project-factories.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()

interface Case {
  /** The method of the repository that it calls. */
  readonly by: string
  readonly table: PgTable
  readonly given: object | ((make: Factories) => Promise<object>)
  /** Where the row is not the result itself, or has the values under other names. */
  readonly row?: (result: never, org: Org) => unknown
}

type FactoryName = keyof Factories

/** Every factory: one without a case does not compile. */
const cases: Readonly<Record<FactoryName, Case>> = {
  addon: {
    by: 'projects.addons.activate',
    table: schema.projectAddons,
    given: { addonId: 'compute_instance', addonVariant: 'ci_small', quantity: 2 },
  },
  agent: { by: 'agents.create', table: schema.agents, given: { username: 'ada', model: 'large' } },
  agentTool: {
    by: 'agents.setTools',
    table: schema.agentTools,
    given: async (make) => ({ agentId: (await make.agent()).id, organizationToolId: (await make.tool()).id }),
  },
  apiKey: {
    by: 'apiKeys.create',
    table: schema.apiKeys,
    given: async (make) => ({ userId: (await make.service()).userId, name: 'Build', scopes: ['agents:read'] }),
    row: ({ apiKey }: Awaited<ReturnType<Factories['apiKey']>>) => apiKey,
  },
  auditEntry: { by: 'audit.record', table: schema.auditLogs, given: { eventType: 'report.sent', severity: 'warning' } },
  billingProfile: { by: 'billingProfile.set', table: schema.customerProfiles, given: { city: 'Rome', country: 'IT' } },
  compute: {
    by: 'projects.compute.configure',
    table: schema.computeConfig,
    given: async (make) => ({ projectId: (await make.project()).id, instanceSize: 'large' }),
  },
  credentials: {
    by: 'projects.credentials.create',
    table: schema.credentials,
    given: async (make) => ({ projectId: (await make.project()).id }),
  },
  credit: { by: 'credits.grant', table: schema.credits, given: { currency: 'EUR', reason: 'a gift' } },
  database: {
    by: 'projects.databases.create',
    table: schema.databases,
    given: async (make) => ({ projectId: (await make.project()).id, type: 'redis' }),
  },
  databaseConnection: {
    by: 'projects.databases.connections.log',
    table: schema.databaseConnectionLogs,
    given: async (make) => ({ ...(await inDatabase(make)), eventType: 'refused' }),
  },
  databaseMetric: {
    by: 'projects.databases.metrics.record',
    table: schema.databaseMetrics,
    given: async (make) => ({ ...(await inDatabase(make)), value: 0.5 }),
    row: async ({ projectId }: InProject, org) => ({ projectId, ...(await onlyRow(org, schema.databaseMetrics)) }),
  },
  disk: { by: 'projects.disk.configure', table: schema.diskConfig, given: { sizeGb: 20, autoscaleEnabled: true } },
  flagOverride: {
    by: 'flags.override',
    table: schema.organizationFeatureFlags,
    given: { key: 'agents', enabled: false },
    row: ({ flagKey, ...override }: Awaited<ReturnType<Factories['flagOverride']>>) => ({ ...override, key: flagKey }),
  },
  invitation: {
    by: 'invitations.create',
    table: schema.organizationInvitations,
    given: { email: 'ada@example.com', role: 'admin' },
    row: ({ invitation }: Awaited<ReturnType<Factories['invitation']>>) => invitation,
  },
  invoice: { by: 'invoices.create', table: schema.invoices, given: { currency: 'EUR', lines: [] } },
  llm: {
    by: 'llms.configure',
    table: schema.organizationLlms,
    given: { llm: 'openai', models: { large: {} }, defaultModel: 'large' },
    row: async ({ llmId, ...llm }: schema.OrganizationLlm, org) => ({
      ...llm,
      llm: await keyOf(org, schema.llms, llmId),
    }),
  },
  paymentMethod: { by: 'paymentMethods.add', table: schema.paymentMethods, given: { cardLast4: '0005' } },
  project: { by: 'projects.create', table: schema.projects, given: { slug: 'docs', region: 'eu' } },
  projectMember: {
    by: 'projects.members.add',
    table: schema.projectMembers,
    given: async (make) => ({ projectId: (await make.project()).id, role: 'read_only' }),
  },
  projectMetric: {
    by: 'projects.metrics.record',
    table: schema.projectMetrics,
    given: async (make) => ({ projectId: (await make.project()).id, cpuUsage: '99.50' }),
    row: (_, org) => onlyRow(org, schema.projectMetrics),
  },
  role: {
    by: 'roles.create',
    table: schema.roles,
    given: { key: 'auditor', permissions: ['audit:read'] },
    row: async (role: schema.Role, org) => ({ ...role, permissions: await permissionsOf(org, role.key) }),
  },
  schedule: {
    by: 'schedules.create',
    table: schema.schedules,
    given: async (make) => ({ workflowId: (await make.workflow()).id, cron: '0 * * * *', enabled: false }),
  },
  service: {
    by: 'members.addService',
    table: schema.organizationMembers,
    given: { name: 'Bot', role: 'developer' },
    row: (member: schema.Member) => ({ ...member, name: member.displayName }),
  },
  task: {
    by: 'tasks.enqueue',
    table: schema.tasks,
    given: async (make) => ({ workflowId: null, agentId: (await make.agent()).id, kind: 'greet', priority: 5 }),
  },
  taxId: { by: 'taxIds.add', table: schema.taxIds, given: { value: 'IT1', country: 'IT' } },
  tool: {
    by: 'tools.enable',
    table: schema.organizationTools,
    given: { tool: 'web-search', config: { query: 'news' } },
    row: async ({ toolId, customConfig }: schema.OrganizationTool, org) => ({
      tool: await keyOf(org, schema.tools, toolId),
      config: customConfig,
    }),
  },
  usageEvent: {
    by: 'usage.record',
    table: schema.usageEvents,
    given: { metric: 'tokens', quantity: '7.500000' },
    row: (event: schema.UsageEvent) => ({ metric: event.metricType, quantity: event.quantity }),
  },
  workflow: { by: 'workflows.create', table: schema.workflows, given: { slug: 'triage', name: 'Triage' } },
}
const names = Object.keys(cases) as FactoryName[]

async function inDatabase(make: Factories) {
  const { id, projectId } = await make.database()
  return { projectId, databaseId: id }
}

/** The key of a row of a catalog. */
async function keyOf(org: Org, catalog: typeof schema.llms | typeof schema.tools, id: string) {
  const [found] = await org.db.select({ key: catalog.key }).from(catalog).where(eq(catalog.id, id))
  return found?.key
}

async function permissionsOf(org: Org, role: string) {
  const { roleKey, permission } = schema.rolePermissions
  const held = await org.db.select({ permission }).from(schema.rolePermissions).where(eq(roleKey, role))
  return held.map((one) => one.permission)
}

async function onlyRow(org: Org, table: typeof schema.databaseMetrics | typeof schema.projectMetrics) {
  const rows = await org.db.select().from(table)
  expect(rows).toHaveLength(1)
  return rows[0]
}

/** Calls a factory by its name. */
const call = (make: Factories, name: FactoryName, values?: object): Promise<object> =>
  (make[name] as (values?: object) => Promise<object>).call(make, values)

const everyRow = (make: Factories) =>
  names.reduce((before, name) => before.then(() => call(make, name)), Promise.resolve({}))

async function countOf(org: Org, table: PgTable): Promise<number> {
  const text = `select count(*)::int as found from platform.${getTableName(table)} where org_id = $1`
  const [row] = await teams.database.admin.query<{ found: number }>(text, [org.id])
  return row?.found ?? 0
}

describe.each(names)('%s', (name) => {
  const { table, given, row = (result: unknown) => result } = cases[name]

  test('needs nothing, and does not repeat itself', async () => {
    const org = await newOrg(teams.tenancy)
    const before = await countOf(org, table)
    const [first, second] = [await call(factories(org), name), await call(factories(org), name)]
    expect(await countOf(org, table)).toBeGreaterThan(before)
    expect(second).not.toEqual(first)
  })

  test('takes what is given', async () => {
    const org = await newOrg(teams.tenancy)
    const make = factories(org)
    const values = typeof given === 'function' ? await (given as (make: Factories) => Promise<object>)(make) : given
    const made = await call(make, name, values)
    expect(await (row as (result: unknown, org: Org) => unknown)(made, org)).toMatchObject(values)
  })

  test('refuses a field that is none', async () => {
    const made = call(factories(await newOrg(teams.tenancy)), name, { colour: 'red' })
    await expect(made).rejects.toThrow(InvalidInputError)
    await expect(made).rejects.toThrow('colour')
  })
})

/** Verbs that make rows. */
const making = /^(create|add\w*|enqueue|configure|record\w*|log|set\w*|override|grant|enable|activate)$/

/** Methods with the name of such a verb that have no factory, and why. */
const without: Readonly<Record<string, string>> = {
  'agents.activate': 'changes the status',
  'invoices.addLines': 'changes the invoice',
  'invoices.setLines': 'changes the invoice',
  'members.add': 'addMember, because a person is registered outside of an organization',
  'projects.credentials.setDatabasePassword': 'changes the project',
  'projects.databases.recordHealth': 'changes the database',
  'roles.grant': 'changes the role',
  'schedules.enable': 'changes the schedule',
  'tools.configure': 'changes the tool',
  'usage.recordMany': 'the same as record',
  'workflows.activate': 'changes the status',
}

test('whatever an organization can make has a factory', async () => {
  const org = await newOrg(teams.tenancy)
  const expected = [...names.map((name) => cases[name].by), ...Object.keys(without)]
  expect(makers(org, '').sort()).toEqual(expected.sort())
})

/** `agents.create`, `projects.databases.create`, and so on, whatever the class that has the method. */
function makers(owner: object, path: string): string[] {
  return [...memberNames(owner)].flatMap((name) => {
    if (['constructor', 'db', 'id'].includes(name)) return []
    const member: unknown = Reflect.get(owner, name)
    if (typeof member === 'function') return making.test(name) ? [path + name] : []
    const isPart = typeof member === 'object' && member !== null && !(member instanceof ScopedTable)
    return isPart ? makers(member, `${path}${name}.`) : []
  })
}

/** The names of methods and getters. */
function memberNames(owner: object): Set<string> {
  const prototype = Object.getPrototypeOf(owner) as object
  if (prototype === Object.prototype) return new Set()
  return new Set([...memberNames(prototype), ...Object.getOwnPropertyNames(prototype)])
}

test('two organizations side by side see nothing of each other', async () => {
  const [one, other] = [await newOrg(teams.tenancy), await newOrg(teams.tenancy)]
  await Promise.all([everyRow(factories(one)), everyRow(factories(other))])
  for (const name of names) {
    const { table } = cases[name]
    for (const org of [one, other]) {
      const rows = (await org.db.select().from(table)) as { orgId: string }[]
      expect(rows.length, name).toBeGreaterThan(0)
      expect(new Set(rows.map(({ orgId }) => orgId)), name).toEqual(new Set([org.id]))
    }
  }
})

test('names count up in an organization, whoever asks', async () => {
  const [one, other] = [await newOrg(teams.tenancy), await newOrg(teams.tenancy)]
  const made = [await factories(one).agent(), await factories(one).agent(), await factories(other).agent()]
  expect(made.map(({ username, name }) => [username, name])).toEqual([
    ['agent-1', 'Agent 1'],
    ['agent-2', 'Agent 2'],
    ['agent-1', 'Agent 1'],
  ])
})

test('undefined counts as not given, null as a value', async () => {
  const make = factories(await newOrg(teams.tenancy))
  expect(await make.agent({ model: undefined, name: undefined as never })).toMatchObject({ name: 'Agent 1' })
  expect(await make.task({ workflowId: null })).toMatchObject({ workflowId: null })
  expect((await make.task()).workflowId).not.toBeNull()
  await expect(make.agent(null as never)).rejects.toThrow(InvalidInputError)
})

test('several at once take different entries of the catalog, until there is none', async () => {
  const make = factories(await newOrg(teams.tenancy))
  const tools = await Promise.all([make.tool(), make.tool(), make.tool(), make.tool()])
  expect(new Set(tools.map(({ toolId }) => toolId)).size).toBe(4)
  await expect(make.tool()).rejects.toThrow('tool: must be given')
})

test('a call that fails takes no entry of the catalog from those that wait for it', async () => {
  const make = factories(await newOrg(teams.tenancy))
  const failing = make.tool({ config: 'no config' as never })
  const others = Promise.all([make.tool(), make.tool(), make.tool(), make.tool()])
  await expect(failing).rejects.toThrow(InvalidInputError)
  expect(new Set((await others).map(({ toolId }) => toolId)).size).toBe(4)
})

test('an override that was cleared, and a key whose row could not be made, can be taken again', async () => {
  const org = await newOrg(teams.tenancy)
  const make = factories(org)
  const { flagKey } = await make.flagOverride()
  await org.flags.clear(flagKey)
  expect(await make.flagOverride()).toMatchObject({ flagKey })

  await expect(make.tool({ config: 'no config' as never })).rejects.toThrow(InvalidInputError)
  const first = await make.tool()
  expect(first.toolId).toBe((await teams.database.admin.query<{ id: string }>(firstTool))[0]?.id)
})

const firstTool = 'select id from platform.tools where active order by key limit 1'

test('a project can have several add-ons', async () => {
  const make = factories(await newOrg(teams.tenancy))
  const { projectId, addonId } = await make.addon()
  expect((await make.addon({ projectId })).addonId).not.toBe(addonId)
})

test('with an actor, every row needs the permission', async () => {
  const org = await newOrg(teams.tenancy)
  const viewer = factories(await asMember(teams.tenancy, org, 'read_only'))
  for (const name of names) await expect(call(viewer, name), name).rejects.toThrow(ForbiddenError)
})

test('in a transaction the rows are undone with it', async () => {
  const org = await newOrg(teams.tenancy)
  const failing = org.transaction(async (inner) => {
    await factories(inner).schedule()
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect([await org.schedules.count(), await org.workflows.count()]).toEqual([0, 0])
})

describe('on the embedded database', () => {
  let embedded: EmbeddedTenancy
  beforeAll(async () => {
    embedded = await openEmbeddedTenancy()
  })
  afterAll(() => embedded.close())

  test('every factory makes its row', async () => {
    const org = await embedded.newOrg()
    await everyRow(factories(org))
    for (const name of names) expect((await org.db.select().from(cases[name].table)).length, name).toBeGreaterThan(0)
  })
})
