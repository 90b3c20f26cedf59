import { newId } from '../../src/core/ids.js'
import { Agents } from '../../src/repositories/agents.js'
import { AuditLog } from '../../src/repositories/audit-logs.js'
import { Flags } from '../../src/operations/flags.js'
import { OrgSchedules } from '../../src/operations/fire-schedule.js'
import { OrgProjects } from '../../src/operations/org-projects.js'
import { Tasks } from '../../src/repositories/tasks.js'
import { Workflows } from '../../src/repositories/workflows.js'
import type { Session } from '../../src/database/session.js'
import {
  agents,
  agentTools,
  auditLogs,
  organizationFeatureFlags,
  organizationLlms,
  organizationTools,
  projects,
  schedules,
  tasks,
  workflows,
} from '../../src/schema/index.js'
import type { ContractCase } from '../../src/testing/isolation-contract.js'
import type { Org } from '../../src/org.js'
import { llmsCase, toolsCase } from './llms-and-tools-cases.js'
import type { ScopedRepository } from '../../src/core/scoped-repository.js'
import { each, listEveryWay, projectOf, reads } from './every-option.js'
import { creditsCase, usageCase } from './usage-cases.js'
import { billingProfileCase, invoicesCase, paymentMethodsCase, subscriptionCase, taxIdsCase } from './billing-cases.js'
import { apiKeysCase, invitationsCase, membersCase, rolesCase } from './member-cases.js'
import { projectCases } from './project-cases.js'

const cron = { cron: '0 * * * *', timezone: 'UTC' }
const leaseOf = async (all: Tasks, id: string) => ({ id, leaseToken: (await all.find(id))?.leaseToken ?? newId() })
const claim = (org: Org) => org.tasks.claim({ owner: 'worker', limit: 10 })

export const projectsCase = {
  repository: OrgProjects,
  tables: [projects, agents, workflows],
  make: async (org: Org) => {
    const { id } = await org.projects.create({ name: 'One', slug: 'one' })
    await org.agents.create({ name: 'Ada', username: 'ada', projectId: id })
    await org.workflows.create({ name: 'Triage', slug: 'triage', projectId: id })
    await org.projects.create({ name: 'Nine', slug: 'nine' })
    return id
  },
  calls: {
    ...reads('status', 'createdAt', { agents: true, workflows: { orderBy: 'name' }, members: true }),
    sum: (all) => all.sum('databasePort'),
    list: async (all, id) => [
      await all.list({ id: { in: [id] } }),
      await all.list({ slug: { prefix: 'on' } }),
      await listEveryWay(all, ['region', '-name'], { name: { contains: 'n' } }),
      await all.list({ include: { agents: { orderBy: 'username' }, workflows: true, members: true } }),
    ],
    stream: (all) => all.stream(),
    count: (all, id) => all.count({ id }),
    exists: (all, id) => all.exists({ or: [{ id }, { not: { slug: 'one' } }] }),
    findByRef: (all) => all.findByRef('abcdefghij'),
    findBySlug: (all) => all.findBySlug('one'),
    create: (all) => all.create({ name: 'Two', slug: 'two' }),
    update: (all, id) => all.update(id, { name: 'Taken' }),
    delete: (all, id) => all.delete(id),
    restore: (all, id) => all.restore(id),
    purge: (all, id) => all.purge(id),
  },
  prepare: {
    restore: (org, id) => org.projects.delete(id),
  },
} satisfies ContractCase<OrgProjects>

const flagKey = 'contract'

const flagsCase = {
  repository: Flags,
  tables: [organizationFeatureFlags],
  make: async (org: Org, admin: Session) => {
    await admin.query(
      `insert into platform.feature_flags (id, flag_key, flag_name, enabled) values ($1, $2, $2, true)
       on conflict do nothing`,
      [newId(), flagKey],
    )
    return (await org.flags.override(flagKey, { enabled: true, reason: `for ${org.id}` })).id
  },
  calls: {
    // Strictly, because a shared read may answer without sending anything.
    evaluate: (all) => all.evaluate(flagKey, { strict: true }),
    evaluateAll: (all) => all.evaluateAll({ strict: true }),
    overrides: (all) => all.overrides(),
    override: (all) => all.override(flagKey, { enabled: false }),
    clear: (all) => all.clear(flagKey),
  },
} satisfies ContractCase<Flags>

const agentsCase = {
  repository: Agents,
  tables: [projects, organizationLlms, organizationTools, agents, agentTools, tasks],
  make: async (org, admin) => {
    const llm = newId()
    await admin.query(`insert into platform.llms (id, key, name, provider) values ($1, $2, $2, 'acme')`, [
      llm,
      `llm_${llm}`,
    ])
    await admin.query('insert into platform.organization_llms (org_id, id, llm_id) values ($1, $2, $2)', [org.id, llm])
    const { id } = await org.agents.create({ name: 'Ada', username: 'ada', organizationLlmId: llm })
    // A tool of the organization, with the id of the agent.
    await admin.query('insert into platform.tools (id, key, name) values ($1, $2, $2)', [id, `tool_${id}`])
    await admin.query('insert into platform.organization_tools (org_id, id, tool_id) values ($1, $2, $2)', [org.id, id])
    await org.tasks.enqueue({ kind: 'greet', agentId: id })
    await org.agents.create({ name: 'Adam', username: 'adam' })
    return id
  },
  calls: {
    ...reads('status', 'username', {
      llm: true,
      project: true,
      tasks: { where: { kind: 'greet' }, limit: 3 },
      tools: true,
    }),
    sum: (all) => all.sum('revision'),
    list: async (all, id) => [
      await all.list({ id, orderBy: 'username' }),
      await all.list({ username: { prefix: 'ad' } }),
      await listEveryWay(all, ['status', '-model'], { name: { contains: 'AD', ignoreCase: true } }),
      await all.list({ include: { llm: true, project: true, tasks: true, tools: true } }),
    ],
    stream: (all) => all.stream({ status: 'draft' }),
    count: (all, id) => all.count({ id }),
    exists: (all, id) => all.exists({ id }),
    findByUsername: (all) => all.findByUsername('ada'),
    create: (all, id) => all.create({ name: 'Eve', username: 'eve', projectId: id }),
    update: (all, id) => all.update(id, { name: 'Taken' }, { revision: 1 }),
    activate: (all, id) => all.activate(id),
    pause: (all, id) => all.pause(id),
    duplicate: (all, id) => all.duplicate(id, { username: 'copy' }),
    tools: (all, id) => all.tools(id),
    setTools: (all, id) => all.setTools(id, [id]),
    delete: (all, id) => all.delete(id),
    restore: (all, id) => all.restore(id),
    purge: (all, id) => all.purge(id),
  },
  prepare: {
    ...each(['find', 'get', 'list'], async (org, id) => {
      await org.agents.update(id, { projectId: await projectOf(org) })
      await org.agents.setTools(id, [id])
    }),
    create: projectOf,
    pause: (org, id) => org.agents.activate(id),
    restore: (org, id) => org.agents.delete(id),
  },
} satisfies ContractCase<Agents>

const workflowsCase = {
  repository: Workflows,
  tables: [projects, workflows, schedules, tasks],
  make: async (org) => {
    const { id } = await org.workflows.create({ name: 'Triage', slug: 'triage' })
    await org.schedules.create({ workflowId: id, name: 'hourly', ...cron })
    await org.tasks.enqueue({ kind: 'greet', workflowId: id })
    await org.workflows.create({ name: 'Trial', slug: 'trial' })
    return id
  },
  calls: {
    ...reads('status', 'createdAt', { project: true, schedules: { orderBy: 'name' }, tasks: true }),
    sum: (all) => all.sum('revision'),
    list: async (all, id) => [
      await all.list({ not: { id } }),
      await all.list({ or: [{ name: { prefix: 'Tri' } }, { slug: { prefix: 'tri' } }] }),
      await listEveryWay(all, ['-projectId', '-name'], { name: { contains: 'ria' } }),
      await all.list({ include: { project: true, schedules: { limit: 3 }, tasks: true } }),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count(),
    exists: (all, id) => all.exists({ id }),
    findBySlug: (all) => all.findBySlug('triage'),
    create: (all, id) => all.create({ name: 'Two', slug: 'two', projectId: id }),
    update: (all, id) => all.update(id, { name: 'Taken' }),
    activate: (all, id) => all.activate(id),
    archive: (all, id) => all.archive(id),
    delete: (all, id) => all.delete(id),
    restore: (all, id) => all.restore(id),
    purge: (all, id) => all.purge(id),
  },
  prepare: {
    ...each(['find', 'get', 'list'], async (org, id) => {
      await org.workflows.update(id, { projectId: await projectOf(org) })
    }),
    create: projectOf,
    restore: (org, id) => org.workflows.delete(id),
  },
} satisfies ContractCase<Workflows>

const tasksCase = {
  repository: Tasks,
  tables: [agents, workflows, tasks],
  make: async (org) => {
    const workflow = await org.workflows.create({ name: 'Triage', slug: 'triage' })
    const agent = await org.agents.create({ name: 'Ada', username: 'ada' })
    const parent = await org.tasks.enqueue({ kind: 'greet' })
    const values = { kind: 'greet', dedupeKey: 'once', workflowId: workflow.id, agentId: agent.id, parentId: parent.id }
    const { id } = await org.tasks.enqueue(values)
    await org.tasks.enqueue({ kind: 'agree', priority: 9 })
    return id
  },
  calls: {
    ...reads('status', 'priority', {
      workflow: true,
      agent: true,
      schedule: true,
      parent: true,
      children: true,
    }),
    sum: (all) => all.sum('priority'),
    list: async (all, id) => [
      await all.list({ or: [{ id }, { kind: 'greet' }] }),
      await all.list({ kind: { prefix: 'gr' } }),
      await listEveryWay(all, ['priority', '-dedupeKey'], { kind: { contains: 'ree' } }),
      await all.list({ include: { agent: true, workflow: true, schedule: true, parent: true, children: true } }),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count(),
    exists: (all, id) => all.exists({ id }),
    enqueue: (all, id) => all.enqueue({ kind: 'greet', parentId: id, dedupeKey: 'twice' }),
    update: (all, id) => all.update(id, { priority: 5 }),
    claim: (all) => all.claim({ owner: 'worker', limit: 10 }),
    heartbeat: (all, id) => leaseOf(all, id).then((lease) => all.heartbeat(lease)),
    complete: (all, id) => leaseOf(all, id).then((lease) => all.complete(lease)),
    fail: (all, id) => leaseOf(all, id).then((lease) => all.fail(lease)),
    cancel: (all, id) => all.cancel(id),
    requeueExpired: (all) => all.requeueExpired(),
  },
  prepare: { heartbeat: claim, complete: claim, fail: claim },
} satisfies ContractCase<Tasks>

const schedulesCase = {
  repository: OrgSchedules,
  tables: [workflows, schedules, tasks],
  make: async (org) => {
    const workflow = await org.workflows.create({ name: 'Triage', slug: 'triage' })
    const { id } = await org.schedules.create({ workflowId: workflow.id, name: 'hourly', ...cron })
    await org.schedules.fire(id, new Date(Date.UTC(2100, 0, 1)))
    await org.schedules.create({ workflowId: workflow.id, name: 'also hourly', ...cron })
    return id
  },
  calls: {
    ...reads('enabled', 'nextRunAt', { workflow: true, tasks: { limit: 20 } }),
    sum: (all) => all.sum('revision'),
    list: async (all, id) => [
      await all.list({ id }),
      await all.list({ name: { prefix: 'hour' } }),
      await listEveryWay(all, ['nextRunAt', 'name']),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count(),
    exists: (all, id) => all.exists({ id }),
    create: (all, id) => all.create({ workflowId: id, name: 'two', ...cron }),
    update: (all, id) => all.update(id, { name: 'Taken' }),
    enable: (all, id) => all.enable(id),
    disable: (all, id) => all.disable(id),
    due: (all) => all.due({ at: new Date(Date.UTC(2100, 0, 1, 1)) }),
    fire: (all, id) => all.fire(id, new Date(Date.UTC(2100, 0, 1, 1))),
    delete: (all, id) => all.delete(id),
    restore: (all, id) => all.restore(id),
    purge: (all, id) => all.purge(id),
  },
  prepare: {
    create: async (org, id) => (await org.schedules.get(id)).workflowId,
    restore: (org, id) => org.schedules.delete(id),
  },
} satisfies ContractCase<OrgSchedules>

const auditCase = {
  repository: AuditLog,
  tables: [auditLogs],
  make: async (org, admin) => {
    const { id } = await org.audit.record({ eventType: 'report.sent', metadata: { of: org.id } })
    await org.audit.record({ eventType: 'report.read' })
    await admin.query('update platform.audit_logs set seq = 1 where org_id = $1 and id = $2', [org.id, id])
    return id
  },
  calls: {
    ...reads('eventType', 'createdAt'),
    sum: (all) => all.sum('seq'),
    list: async (all, id) => [
      await all.list({ id }),
      await all.list({ eventType: { prefix: 'report.' } }),
      await all.list({ afterSeq: 0, total: true, select: ['orgId', 'seq'] }),
      await listEveryWay(all, ['actorId', '-createdAt'], { eventType: { contains: 'report' } }),
    ],
    stream: (all) => all.stream(),
    count: (all, id) => all.count({ id }),
    exists: (all, id) => all.exists({ id }),
    record: (all) => all.record({ eventType: 'report.sent' }),
    export: async (all) => linesOf(await all.export()),
  },
} satisfies ContractCase<AuditLog>

/** The rows of an export. */
async function linesOf(stream: ReadableStream<Uint8Array>): Promise<unknown[]> {
  const lines = (await new Response(stream, { status: 200 }).text()).split('\n').filter((line) => line !== '')
  return lines.map((line): unknown => JSON.parse(line))
}

/** A case for each repository of `Org`, under its name there. */
export type OrgCases = {
  readonly [Name in keyof Org as Org[Name] extends ScopedRepository<object> ? Name : never]: ContractCase<Org[Name]>
}

export const orgCases: OrgCases = {
  agents: agentsCase,
  apiKeys: apiKeysCase,
  audit: auditCase,
  credits: creditsCase,
  invitations: invitationsCase,
  llms: llmsCase,
  invoices: invoicesCase,
  members: membersCase,
  paymentMethods: paymentMethodsCase,
  projects: projectsCase,
  roles: rolesCase,
  schedules: schedulesCase,
  tasks: tasksCase,
  tools: toolsCase,
  usage: usageCase,
  taxIds: taxIdsCase,
  workflows: workflowsCase,
}

/** What an organization has beside its repositories, under its name there. */
export const otherCases = { billingProfile: billingProfileCase, flags: flagsCase, subscription: subscriptionCase }

/** Does the same with each of the library's repositories, with what belongs to projects, and with the others. */
export const eachCase = <T>(use: <Repository>(one: ContractCase<Repository>) => T): T[] => [
  use(orgCases.agents),
  use(orgCases.apiKeys),
  use(orgCases.audit),
  use(orgCases.credits),
  use(orgCases.invitations),
  use(orgCases.llms),
  use(orgCases.invoices),
  use(orgCases.members),
  use(orgCases.paymentMethods),
  use(orgCases.projects),
  use(otherCases.billingProfile),
  use(otherCases.flags),
  use(otherCases.subscription),
  use(projectCases.addons),
  use(projectCases.compute),
  use(projectCases.connections),
  use(projectCases.credentials),
  use(projectCases.databaseMetrics),
  use(projectCases.databases),
  use(projectCases.disk),
  use(projectCases.projectMembers),
  use(projectCases.projectMetrics),
  use(orgCases.roles),
  use(orgCases.schedules),
  use(orgCases.tasks),
  use(orgCases.tools),
  use(orgCases.usage),
  use(orgCases.taxIds),
  use(orgCases.workflows),
]
