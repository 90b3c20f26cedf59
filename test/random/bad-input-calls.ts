import { newId } from '../../src/core/ids.js'
import type { AuditLog } from '../../src/repositories/audit-logs.js'
import type { Flags } from '../../src/operations/flags.js'
import type { Llms } from '../../src/repositories/llms.js'
import type { Agents } from '../../src/repositories/agents.js'
import type { Projects } from '../../src/repositories/projects.js'
import type { OrgSchedules } from '../../src/operations/fire-schedule.js'
import type { OrgUsage } from '../../src/operations/usage-summary.js'
import type { Credits } from '../../src/repositories/credits.js'
import type { Tasks } from '../../src/repositories/tasks.js'
import type { Tools } from '../../src/repositories/tools.js'
import type { Workflows } from '../../src/repositories/workflows.js'
import { decidedByRow, ofInvoices, ofPaymentMethods, ofSubscriptionAndProfile, ofTaxIds } from './bad-input-billing.js'
import { ofProjectParts } from './bad-input-parts.js'
import {
  apply,
  type Arguments,
  cron,
  earlier,
  type Entry,
  flagKey,
  id,
  owner,
  reads,
  resources,
  type Side,
} from './bad-input-side.js'
import { ofTenancy } from './bad-input-tenancy.js'

const project = () => ({
  name: 'Three',
  slug: `s-${newId()}`,
  region: 'eu',
  databasePort: 5432,
  status: 'active',
  metadata: { deep: [{ list: [1, 'two', null] }] },
})

const ofProjects: Arguments<Projects> = {
  ...reads('projects'),
  findByRef: () => ['reference'],
  findBySlug: () => ['one'],
  create: () => [{ ...project(), ref: newId() }],
  update: ({ ids }) => [ids.projects, project()],
  delete: id('projects'),
  restore: id('projects'),
  purge: id('projects'),
}

const agent = ({ ids }: Side) => ({
  name: 'Three',
  username: `u-${newId()}`,
  instructions: 'Be kind.',
  projectId: ids.projects,
  model: null,
  settings: { temperature: 0.5, stop: ['end'] },
})

const ofAgents: Arguments<Agents> = {
  ...reads('agents'),
  findByUsername: () => ['one'],
  create: (ours) => [agent(ours)],
  update: (ours) => [ours.ids.agents, agent(ours), { revision: 1 }],
  activate: id('agents'),
  pause: id('agents'),
  duplicate: ({ ids }) => [ids.agents, { username: `u-${newId()}`, name: 'Copy' }],
  tools: id('agents'),
  setTools: ({ ids }) => [ids.agents, []],
  delete: id('agents'),
  restore: id('agents'),
  purge: id('agents'),
}

const workflow = ({ ids }: Side) => ({
  name: 'Three',
  slug: `s-${newId()}`,
  description: 'What to do',
  definition: { steps: [{ run: 'this' }] },
  projectId: ids.projects,
})

const ofWorkflows: Arguments<Workflows> = {
  ...reads('workflows'),
  findBySlug: () => ['one'],
  create: (ours) => [workflow(ours)],
  update: (ours) => [ours.ids.workflows, workflow(ours), { revision: 1 }],
  activate: id('workflows'),
  archive: id('workflows'),
  delete: id('workflows'),
  restore: id('workflows'),
  purge: id('workflows'),
}

const lease = (ids: Side['ids']) => ({ id: ids.tasks, leaseToken: newId() })

const ofTasks: Arguments<Tasks> = {
  ...reads('tasks'),
  enqueue: ({ ids }) => [
    {
      kind: 'greet',
      workflowId: ids.workflows,
      agentId: ids.agents,
      parentId: ids.tasks,
      priority: 3,
      input: { to: ['you'] },
      maxAttempts: 2,
      runAt: earlier,
      dedupeKey: newId(),
    },
  ],
  update: ({ ids }) => [ids.tasks, { priority: 1, input: [1], maxAttempts: 3, runAt: earlier }],
  claim: () => [{ owner, limit: 1, leaseSeconds: 60, kinds: ['greet', 'one'] }],
  heartbeat: ({ ids }) => [lease(ids), { leaseSeconds: 60 }],
  complete: ({ ids }) => [lease(ids), { output: { said: 'hello' } }],
  fail: ({ ids }) => [lease(ids), { error: 'it broke', retryInSeconds: 0 }],
  cancel: id('tasks'),
  requeueExpired: () => [],
}

const schedule = () => ({ name: newId(), ...cron, enabled: true, input: { a: 1 }, missedRuns: 'skip' })

const ofSchedules: Arguments<OrgSchedules> = {
  ...reads('schedules'),
  create: ({ ids }) => [{ workflowId: ids.workflows, ...schedule() }],
  update: ({ ids }) => [ids.schedules, schedule(), { revision: 1 }],
  enable: id('schedules'),
  disable: id('schedules'),
  due: () => [{ at: new Date(), limit: 5 }],
  fire: ({ ids }) => [ids.schedules, new Date()],
  delete: id('schedules'),
  restore: id('schedules'),
  purge: id('schedules'),
}

const ofLlms: Arguments<Llms> = {
  ...reads('llms'),
  configure: () => [{ llm: 'one', apiKey: 'key', defaultModel: 'own', models: { own: { temperature: 0.5 } } }],
  rotateKey: ({ ids }) => [ids.llms, 'key'],
  reveal: id('llms'),
  remove: id('llms'),
}

const ofTools: Arguments<Tools> = {
  ...reads('tools'),
  enable: () => ['one', { base: { url: 'https://example.com' } }],
  configure: ({ ids }) => [ids.tools, { base: { list: [1, 'two', null] } }],
  disable: id('tools'),
}

const tables = {
  projects: ofProjects,
  agents: ofAgents,
  workflows: ofWorkflows,
  tasks: ofTasks,
  schedules: ofSchedules,
  llms: ofLlms,
  tools: ofTools,
  invoices: ofInvoices,
  paymentMethods: ofPaymentMethods,
  taxIds: ofTaxIds,
}

const decidedByCatalog = new Set(['llms.configure', 'tools.enable', 'tools.configure', ...decidedByRow])

const ofRepositories = resources.flatMap((resource): Entry[] => [
  ...Object.entries(tables[resource] as Readonly<Record<string, Entry['args']>>).map(([name, args]): Entry => ({
    name: `${resource}.${name}`,
    args,
    call: ({ org }, given) => apply(org[resource], name, given),
    asksFirst: decidedByCatalog.has(`${resource}.${name}`),
  })),
  {
    name: `${resource}.list after a cursor`,
    args: ({ cursors }) => [{ limit: 1, after: cursors[resource] }],
    call: ({ org }, given) => apply(org[resource], 'list', given),
  },
])

const event = () => ({
  eventType: 'report.sent',
  action: 'other',
  projectId: newId(),
  resourceType: 'reports',
  resourceId: '7',
  changes: { sent: [false, true] },
  metadata: { to: ['you'] },
  severity: 'info',
})

const ofAudit: Arguments<Pick<AuditLog, 'record' | 'list' | 'export'>> = {
  record: () => [event()],
  list: () => [{ afterSeq: 7, eventType: { prefix: 'report.' }, limit: 5 }],
  export: () => [{ from: earlier, to: new Date(), actorKind: 'user' }],
}

const ofAuditLog = Object.entries(ofAudit as Readonly<Record<string, Entry['args']>>).map(([name, args]): Entry => ({
  name: `audit.${name}`,
  args,
  call: ({ org }, given) => apply(org.audit, name, given),
}))

const usage = ({ ids }: Side) => ({
  key: newId(),
  metric: 'mails',
  quantity: '1.5',
  projectId: ids.projects,
  at: earlier,
})

const ofUsage: Arguments<Pick<OrgUsage, 'findByKey' | 'record' | 'recordMany' | 'summary'>> = {
  findByKey: () => ['one'],
  record: (ours) => [usage(ours)],
  recordMany: (ours) => [[usage(ours), usage(ours)]],
  summary: ({ ids }) => [
    { from: earlier, to: new Date(Date.UTC(2020, 1, 1)), by: 'day', metric: 'mails', projectId: ids.projects },
  ],
}

const ofCredits: Arguments<Pick<Credits, 'grant' | 'spend' | 'void' | 'balance' | 'entries'>> = {
  grant: () => [{ amount: '10.5', currency: 'EUR', reason: 'a gift', priority: 5, expiresAt: new Date() }],
  spend: () => [{ amount: '0.01', currency: 'EUR', reference: 'one' }],
  void: () => [newId(), { reference: 'one' }],
  balance: () => [],
  entries: () => [{ kind: 'spend', createdAt: { gte: earlier }, limit: 5, orderBy: '-createdAt' }],
}

const ofBilling = Object.entries({ usage: ofUsage, credits: ofCredits }).flatMap(([resource, methods]) =>
  Object.entries(methods as Readonly<Record<string, Entry['args']>>).map(([name, args]): Entry => ({
    name: `${resource}.${name}`,
    args,
    call: ({ org }, given) => apply(resource === 'usage' ? org.usage : org.credits, name, given),
  })),
)

const ofFlags: Arguments<Flags> = {
  evaluate: () => [flagKey, { strict: true }],
  evaluateAll: () => [{ strict: true }],
  overrides: () => [],
  override: () => [flagKey, { enabled: true, reason: 'a trial', expiresAt: new Date(Date.UTC(2100, 0, 1)) }],
  clear: () => [flagKey],
}

const ofFeatureFlags = Object.entries(ofFlags as Readonly<Record<string, Entry['args']>>).map(
  ([name, args]): Entry => ({
    name: `flags.${name}`,
    args,
    call: ({ org }, given) => apply(org.flags, name, given),
  }),
)

export const entries: readonly Entry[] = [
  ...ofRepositories,
  ...ofProjectParts,
  ...ofAuditLog,
  ...ofBilling,
  ...ofSubscriptionAndProfile,
  ...ofFeatureFlags,
  ...ofTenancy,
]
