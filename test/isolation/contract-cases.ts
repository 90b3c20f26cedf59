import { newId } from '../../src/core/ids.js'
import { Agents } from '../../src/repositories/agents.js'
import { AuditLog } from '../../src/repositories/audit-logs.js'
import { Flags } from '../../src/operations/flags.js'
import { FirableSchedules } from '../../src/operations/fire-schedule.js'
import { ManagedApiKeys } from '../../src/operations/manage-api-keys.js'
import { ManagedInvitations } from '../../src/operations/manage-invitations.js'
import { ManagedMembers } from '../../src/operations/manage-members.js'
import { ManagedRoles } from '../../src/operations/manage-roles.js'
import { StaffedProjects } from '../../src/operations/project-members.js'
import { Tasks } from '../../src/repositories/tasks.js'
import { Workflows } from '../../src/repositories/workflows.js'
import type { Session } from '../../src/database/session.js'
import {
  agents,
  agentTools,
  apiKeys,
  auditLogs,
  organizationFeatureFlags,
  organizationInvitations,
  organizationMembers,
  organizationTools,
  projects,
  rolePermissions,
  roles,
  schedules,
  tasks,
  workflows,
} from '../../src/schema/index.js'
import { createUser } from '../../src/testing/fixtures.js'
import type { ContractCase } from '../../src/testing/isolation-contract.js'
import type { Org } from '../../src/org.js'
import { llmsCase, toolsCase } from './llms-and-tools-cases.js'
import type { ScopedRepository } from '../../src/core/scoped-repository.js'
import { byId, listEveryWay } from './every-option.js'
import { creditsCase, usageCase } from './usage-cases.js'
import { invoicesCase, paymentMethodsCase, taxIdsCase } from './billing-cases.js'
import { projectCases } from './project-cases.js'

const cron = { cron: '0 * * * *', timezone: 'UTC' }
const leaseOf = async (all: Tasks, id: string) => ({ id, leaseToken: (await all.find(id))?.leaseToken ?? newId() })
const claim = (org: Org) => org.tasks.claim({ owner: 'worker' })
const projectOf = async (org: Org) => (await org.projects.create({ name: 'One', slug: 'one' })).id

export const projectsCase = {
  repository: StaffedProjects,
  tables: [projects, agents, workflows],
  make: async (org: Org) => {
    const { id } = await org.projects.create({ name: 'One', slug: 'one' })
    await org.agents.create({ name: 'Ada', username: 'ada', projectId: id })
    await org.workflows.create({ name: 'Triage', slug: 'triage', projectId: id })
    return id
  },
  calls: {
    ...byId,
    list: async (all, id) => [
      await all.list({ id: { in: [id] } }),
      await listEveryWay(all, ['region', '-name'], { name: { contains: 'n' } }),
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
} satisfies ContractCase<StaffedProjects>

const flagKey = 'contract'

export const flagsCase = {
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
  tables: [projects, organizationTools, agents, agentTools, tasks],
  make: async (org, admin) => {
    const { id } = await org.agents.create({ name: 'Ada', username: 'ada' })
    // A tool of the organization, with the id of the agent.
    await admin.query('insert into platform.tools (id, key, name) values ($1, $2, $2)', [id, `tool_${id}`])
    await admin.query('insert into platform.organization_tools (org_id, id, tool_id) values ($1, $2, $2)', [org.id, id])
    await org.tasks.enqueue({ kind: 'greet', agentId: id })
    return id
  },
  calls: {
    ...byId,
    list: async (all, id) => [
      await all.list({ id, orderBy: 'username' }),
      await listEveryWay(all, ['status', '-model'], { name: { contains: 'AD', ignoreCase: true } }),
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
    return id
  },
  calls: {
    ...byId,
    list: async (all, id) => [
      await all.list({ not: { id } }),
      await listEveryWay(all, ['-projectId', '-name'], { name: { contains: 'ria' } }),
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
    create: projectOf,
    restore: (org, id) => org.workflows.delete(id),
  },
} satisfies ContractCase<Workflows>

const tasksCase = {
  repository: Tasks,
  tables: [tasks],
  make: async (org) => (await org.tasks.enqueue({ kind: 'greet', dedupeKey: 'once' })).id,
  calls: {
    ...byId,
    list: async (all, id) => [
      await all.list({ or: [{ id }, { kind: 'greet' }] }),
      await listEveryWay(all, ['priority', '-dedupeKey'], { kind: { contains: 'ree' } }),
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
  repository: FirableSchedules,
  tables: [workflows, schedules, tasks],
  make: async (org) => {
    const workflow = await org.workflows.create({ name: 'Triage', slug: 'triage' })
    const { id } = await org.schedules.create({ workflowId: workflow.id, name: 'hourly', ...cron })
    await org.schedules.fire(id, new Date(Date.UTC(2100, 0, 1)))
    return id
  },
  calls: {
    ...byId,
    list: async (all, id) => [await all.list({ id }), await listEveryWay(all, ['nextRunAt', 'name'])],
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
} satisfies ContractCase<FirableSchedules>

const worker = { key: 'worker', name: 'Worker', permissions: ['agents:read'] }
const newMember = async (org: Org, admin: Session, role: string) => {
  const userId = await createUser(admin)
  return org.members.add({ userId, email: `${userId}@example.com`, role })
}

const membersCase = {
  repository: ManagedMembers,
  tables: [roles, rolePermissions, organizationMembers, apiKeys],
  make: async (org, admin) => {
    await org.roles.create(worker)
    await org.roles.create({ key: 'owner', name: 'Owner' })
    await org.roles.create({ key: 'admin', name: 'Admin' })
    const { userId } = await newMember(org, admin, 'owner')
    const { id } = await newMember(org, admin, 'worker')
    await org.apiKeys.create({ userId, name: 'key' })
    return id
  },
  calls: {
    ...byId,
    list: async (all, id) => [await all.list({ id }), await listEveryWay(all, ['status', '-displayName'])],
    stream: (all) => all.stream(),
    count: (all) => all.count({ role: 'worker' }),
    exists: (all, id) => all.exists({ id }),
    findByUser: async (all, id) => all.findByUser((await all.find(id))?.userId ?? newId()),
    findByEmail: async (all, id) => all.findByEmail((await all.find(id))?.email ?? 'nobody@example.com'),
    add: async (all) => {
      const { id, userId } = await all.addService({ name: 'bot', role: 'worker' })
      await all.remove(id)
      return all.add({ userId, email: 'bot@example.com', role: 'worker' })
    },
    addService: (all) => all.addService({ name: 'bot', role: 'worker' }),
    update: (all, id) => all.update(id, { displayName: 'Taken' }),
    changeRole: (all, id) => all.changeRole(id, 'admin'),
    deactivate: (all, id) => all.deactivate(id),
    reactivate: (all, id) => all.reactivate(id),
    remove: (all, id) => all.remove(id),
    transferOwnership: async (all, id) =>
      all.transferOwnership(id, { from: (await all.list({ role: 'owner' })).items[0]?.id ?? newId() }),
  },
  prepare: {
    reactivate: (org, id) => org.members.deactivate(id),
  },
} satisfies ContractCase<ManagedMembers>

const rolesCase = {
  repository: ManagedRoles,
  tables: [roles, rolePermissions],
  make: async (org) => (await org.roles.create(worker)).id,
  calls: {
    ...byId,
    list: async (all, id) => [await all.list({ id }), await listEveryWay(all, ['-description', 'key'])],
    stream: (all) => all.stream(),
    count: (all) => all.count({ key: 'worker' }),
    exists: (all, id) => all.exists({ id }),
    findByKey: (all) => all.findByKey('worker'),
    permissionsOf: (all) => all.permissionsOf('worker'),
    create: (all) => all.create({ key: 'second', name: 'Second', permissions: ['agents:read'] }),
    update: (all) => all.update('worker', { name: 'Taken' }),
    grant: (all) => all.grant('worker', 'agents:write'),
    revoke: (all) => all.revoke('worker', 'agents:read'),
    delete: (all) => all.delete('worker'),
  },
} satisfies ContractCase<ManagedRoles>

const apiKeysCase = {
  repository: ManagedApiKeys,
  tables: [roles, rolePermissions, organizationMembers, apiKeys],
  make: async (org) => {
    await org.roles.create(worker)
    const { userId } = await org.members.addService({ name: 'bot', role: 'worker' })
    return (await org.apiKeys.create({ userId, name: 'key', scopes: ['agents:read'] })).apiKey.id
  },
  calls: {
    ...byId,
    list: async (all, id) => [await all.list({ id }), await listEveryWay(all, ['-lastUsedAt', 'name'])],
    stream: (all) => all.stream(),
    count: (all) => all.count({ name: 'key' }),
    exists: (all, id) => all.exists({ id }),
    create: async (all, id) => all.create({ userId: (await all.find(id))?.userId ?? newId(), name: 'second' }),
    update: (all, id) => all.update(id, { name: 'Taken' }),
    rotate: (all, id) => all.rotate(id),
    revoke: (all, id) => all.revoke(id),
    delete: (all, id) => all.delete(id),
  },
} satisfies ContractCase<ManagedApiKeys>

const invitationsCase = {
  repository: ManagedInvitations,
  tables: [roles, organizationInvitations],
  make: async (org) => {
    await org.roles.create(worker)
    return (await org.invitations.create({ email: 'ada@example.com', role: 'worker' })).invitation.id
  },
  calls: {
    ...byId,
    list: async (all, id) => [await all.list({ id }), await listEveryWay(all, ['acceptedAt', 'email'])],
    stream: (all) => all.stream(),
    count: (all) => all.count({ email: 'ada@example.com' }),
    exists: (all, id) => all.exists({ id }),
    create: (all) => all.create({ email: 'ada@example.com', role: 'worker' }),
    resend: (all, id) => all.resend(id),
    revoke: (all, id) => all.revoke(id),
  },
} satisfies ContractCase<ManagedInvitations>

const auditCase = {
  repository: AuditLog,
  tables: [auditLogs],
  make: async (org, admin) => {
    const { id } = await org.audit.record({ eventType: 'report.sent', metadata: { of: org.id } })
    await admin.query('update platform.audit_logs set seq = 1 where org_id = $1 and id = $2', [org.id, id])
    return id
  },
  calls: {
    ...byId,
    list: async (all, id) => [
      await all.list({ id }),
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

/** Does the same with each of the library's repositories, with what belongs to projects, and with the flags. */
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
  use(flagsCase),
  use(projectCases.addons),
  use(projectCases.compute),
  use(projectCases.connections),
  use(projectCases.credentials),
  use(projectCases.databaseMetrics),
  use(projectCases.databases),
  use(projectCases.disk),
  use(projectCases.projectMetrics),
  use(orgCases.roles),
  use(orgCases.schedules),
  use(orgCases.tasks),
  use(orgCases.tools),
  use(orgCases.usage),
  use(orgCases.taxIds),
  use(orgCases.workflows),
]
