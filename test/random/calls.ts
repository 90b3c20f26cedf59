import { and, eq, gt, sql } from 'drizzle-orm'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { Agents } from '../../src/repositories/agents.js'
import type { Projects } from '../../src/repositories/projects.js'
import type { OrgSchedules } from '../../src/operations/fire-schedule.js'
import type { Tasks } from '../../src/repositories/tasks.js'
import type { Workflows } from '../../src/repositories/workflows.js'
import { agents, organizations, projects, schedules, tasks, workflows } from '../../src/schema/index.js'
import type { Draw, Kind } from './world.js'

/** For each public method a call of it. A method without one does not compile. */
type Calls<Repository> = {
  readonly [Name in keyof Repository as Repository[Name] extends (...args: never[]) => unknown ? Name : never]: (
    repository: Repository,
    draw: Draw,
  ) => unknown
}

type Lists = 'list' | 'stream' | 'count' | 'exists' | 'countBy' | 'sum' | 'min' | 'max'
type Reads = 'find' | 'get' | 'findMany' | 'getMany' | Lists

const cron = { cron: '*/5 * * * *', timezone: 'Europe/Berlin' }
const far = new Date(Date.UTC(2100, 0, 1))

/** What every repository inherits. */
function reads(kind: Exclude<Kind, 'tools'>): Calls<Pick<Projects, Reads>> {
  const filters = (draw: Draw) => (draw.random.chance(0.5) ? {} : { not: { id: draw.anyId(kind) } })
  return {
    find: (all, draw) => all.find(draw.target(kind)),
    get: (all, draw) => all.get(draw.target(kind)),
    findMany: (all, draw) => all.findMany([draw.anyId(kind), draw.anyId(kind), draw.anyId(kind)]),
    getMany: (all, draw) => all.getMany([draw.target(kind), draw.target(kind)]),
    list: (all, draw) => {
      const filter = filters(draw)
      const orderBy = draw.random.pick(['-id', 'createdAt', ['-updatedAt', 'createdAt']] as const)
      const place = draw.cursor(`${kind} ${String(orderBy)} ${JSON.stringify(filter)}`)
      return all.list({
        ...filter,
        orderBy,
        limit: 1 + draw.random.below(20),
        total: draw.random.chance(0.2),
        ...place,
      })
    },
    stream: (all, draw) => all.stream({ ...filters(draw), limit: 100 }),
    count: (all, draw) => all.count({ id: draw.target(kind) }),
    exists: (all, draw) => all.exists({ or: [{ id: draw.target(kind) }, { id: { in: [] } }] }),
    countBy: (all, draw) => all.countBy('createdAt', filters(draw)),
    sum: (all) => all.sum((kind === 'projects' ? 'databasePort' : kind === 'tasks' ? 'priority' : 'revision') as never),
    min: (all, draw) => all.min('createdAt', filters(draw)),
    max: (all, draw) => all.max('updatedAt', filters(draw)),
  }
}

const project = (draw: Draw) => ({ name: draw.text(), slug: draw.slug(), metadata: draw.mark() })

const ofProjects: Calls<Projects> = {
  ...reads('projects'),
  findByRef: (all, draw) => all.findByRef(`ref-${draw.random.below(1000)}`),
  findBySlug: (all, draw) => all.findBySlug(draw.slug()),
  create: (all, draw) =>
    all.create({ ...project(draw), ...(draw.random.chance(0.5) && { ref: `ref-${draw.random.below(1000)}` }) }),
  update: (all, draw) => all.update(draw.target('projects'), project(draw)),
  delete: (all, draw) => all.delete(draw.target('projects')),
  restore: (all, draw) => all.restore(draw.target('projects')),
  purge: (all, draw) => all.purge(draw.target('projects')),
}

const agent = (draw: Draw) => ({
  name: draw.text(),
  username: draw.slug(),
  settings: draw.mark(),
  projectId: draw.reference('projects'),
})

const ofAgents: Calls<Agents> = {
  ...(reads('agents') as unknown as Calls<Pick<Agents, Reads>>),
  findByUsername: (all, draw) => all.findByUsername(draw.slug()),
  create: (all, draw) => all.create(agent(draw)),
  update: (all, draw) =>
    all.update(draw.target('agents'), agent(draw), draw.random.chance(0.3) ? { revision: 1 } : undefined),
  activate: (all, draw) => all.activate(draw.target('agents')),
  pause: (all, draw) => all.pause(draw.target('agents')),
  duplicate: (all, draw) => all.duplicate(draw.target('agents'), { username: draw.slug(), name: draw.text() }),
  tools: (all, draw) => all.tools(draw.target('agents')),
  setTools: (all, draw) =>
    all.setTools(
      draw.target('agents'),
      Array.from({ length: draw.random.below(3) }, () => draw.target('tools')),
    ),
  delete: (all, draw) => all.delete(draw.target('agents')),
  restore: (all, draw) => all.restore(draw.target('agents')),
  purge: (all, draw) => all.purge(draw.target('agents')),
}

const workflow = (draw: Draw) => ({
  name: draw.text(),
  slug: draw.slug(),
  definition: draw.mark(),
  projectId: draw.reference('projects'),
})

const ofWorkflows: Calls<Workflows> = {
  ...(reads('workflows') as unknown as Calls<Pick<Workflows, Reads>>),
  findBySlug: (all, draw) => all.findBySlug(draw.slug()),
  create: (all, draw) => all.create(workflow(draw)),
  update: (all, draw) => all.update(draw.target('workflows'), workflow(draw)),
  activate: (all, draw) => all.activate(draw.target('workflows')),
  archive: (all, draw) => all.archive(draw.target('workflows')),
  delete: (all, draw) => all.delete(draw.target('workflows')),
  restore: (all, draw) => all.restore(draw.target('workflows')),
  purge: (all, draw) => all.purge(draw.target('workflows')),
}

const ofTasks: Calls<Tasks> = {
  ...(reads('tasks') as unknown as Calls<Pick<Tasks, Reads>>),
  // With a key it may give the task that is there, whose references are not those of this call.
  enqueue: (all, draw) =>
    draw.random.chance(0.3)
      ? all.enqueue({ kind: draw.text(), input: draw.mark(), dedupeKey: draw.slug(), parentId: draw.anyId('tasks') })
      : all.enqueue({
          kind: draw.text(),
          input: draw.mark(),
          maxAttempts: 1 + draw.random.below(3),
          workflowId: draw.reference('workflows'),
          agentId: draw.reference('agents'),
          parentId: draw.reference('tasks'),
        }),
  update: (all, draw) => all.update(draw.target('tasks'), { priority: draw.random.below(5), input: draw.mark() }),
  claim: (all, draw) =>
    all
      .claim({
        owner: `${draw.member.id} worker`,
        limit: 1 + draw.random.below(4),
        ...(draw.random.chance(0.3) && { kinds: [draw.text(), 'schedule'] }),
      })
      .then((claimed) => {
        for (const { id, leaseToken } of claimed) draw.world.leases.set(id, leaseToken)
        return claimed
      }),
  heartbeat: (all, draw) => all.heartbeat(draw.lease(), { leaseSeconds: 1 }),
  complete: (all, draw) => all.complete(draw.lease(), { output: draw.mark() }),
  fail: (all, draw) => all.fail(draw.lease(), { error: draw.mark(), retryInSeconds: 0 }),
  cancel: (all, draw) => all.cancel(draw.target('tasks')),
  requeueExpired: (all) => all.requeueExpired(),
}

const ofSchedules: Calls<OrgSchedules> = {
  ...(reads('schedules') as unknown as Calls<Pick<OrgSchedules, Reads>>),
  create: (all, draw) =>
    all.create({ workflowId: draw.target('workflows'), name: draw.text(), input: draw.mark(), ...cron }),
  update: (all, draw) => all.update(draw.target('schedules'), { name: draw.text(), input: draw.mark() }),
  enable: (all, draw) => all.enable(draw.target('schedules')),
  disable: (all, draw) => all.disable(draw.target('schedules')),
  due: (all) => all.due({ at: far }),
  fire: (all, draw) => all.fire(draw.target('schedules'), new Date(Date.UTC(2040 + draw.random.below(50)))),
  delete: (all, draw) => all.delete(draw.target('schedules')),
  restore: (all, draw) => all.restore(draw.target('schedules')),
  purge: (all, draw) => all.purge(draw.target('schedules')),
}

/** Plain Drizzle, whose statements name no organization or a wrong one: row security alone stands in their way. */
const ofDb = {
  select: ({ db }: Org, draw: Draw) =>
    db
      .select()
      .from(tasks)
      .where(eq(tasks.id, draw.target('tasks'))),
  selectOrganizations: ({ db }: Org) => db.select().from(organizations),
  join: ({ db }: Org, draw: Draw) =>
    db
      .select({ agent: agents, task: tasks })
      .from(agents)
      .innerJoin(tasks, sql`true`)
      .where(eq(agents.id, draw.target('agents')))
      .limit(5),
  query: ({ db }: Org) => db.query.projects.findMany({ limit: 20 }),
  count: ({ db }: Org, draw: Draw) => db.$count(workflows, eq(workflows.orgId, draw.stranger())),
  insertTwin: ({ db }: Org, draw: Draw) => {
    const row = { orgId: draw.member.id, id: draw.ownId('tasks'), kind: draw.text(), input: draw.mark() }
    return db.insert(tasks).values(row).onConflictDoNothing().returning()
  },
  insertTwinProject: ({ db }: Org, draw: Draw) => {
    const row = { orgId: draw.member.id, id: draw.ownId('projects'), ...project(draw), ref: `ref-${newId()}` }
    return db.insert(projects).values(row).returning()
  },
  insertElsewhere: ({ db }: Org, draw: Draw) => {
    const row = { orgId: draw.stranger(), id: newId(), kind: draw.text(), input: draw.mark() }
    return db.insert(tasks).values(row).returning()
  },
  insertReferring: ({ db }: Org, draw: Draw) => {
    const row = { orgId: draw.member.id, id: newId(), ...agent(draw), organizationLlmId: null }
    return db.insert(agents).values(row).returning()
  },
  update: ({ db }: Org, draw: Draw) =>
    db
      .update(projects)
      .set({ name: draw.text() })
      .where(eq(projects.id, draw.target('projects')))
      .returning(),
  updateEverything: ({ db }: Org, draw: Draw) =>
    db
      .update(schedules)
      .set({ input: draw.mark() })
      .where(gt(schedules.revision, draw.random.below(3)))
      .returning({ orgId: schedules.orgId }),
  updateOrganization: ({ db }: Org, draw: Draw) =>
    db.update(organizations).set({ settings: draw.mark() }).where(eq(organizations.id, draw.stranger())).returning(),
  move: ({ db }: Org, draw: Draw) => {
    draw.forbid()
    return db.execute(sql`update platform.tasks set org_id = ${draw.stranger()} returning id`)
  },
  delete: ({ db }: Org, draw: Draw) =>
    db
      .delete(tasks)
      .where(eq(tasks.id, draw.target('tasks')))
      .returning(),
  deleteElsewhere: ({ db }: Org, draw: Draw) =>
    db
      .delete(schedules)
      .where(and(eq(schedules.orgId, draw.stranger()), eq(schedules.id, draw.anyId('schedules'))))
      .returning(),
  execute: ({ db }: Org, draw: Draw) =>
    db.execute(sql`select org_id as "orgId", id, name from platform.agents where id = ${draw.target('agents')}`),
  executeWrite: ({ db }: Org, draw: Draw) =>
    db.execute(sql`update platform.workflows set updated_at = now() where org_id = ${draw.stranger()} and id in
      (select workflow_id from platform.schedules) returning org_id as "orgId", id`),
}

export interface RandomCall {
  /** `agents.update` */
  readonly name: string
  /** What an id in the answer is one of. */
  readonly kind: Exclude<Kind, 'tools'> | undefined
  readonly isRead: boolean
  /** Whether a batch takes it. */
  readonly isOne: boolean
  readonly make: (org: Org, draw: Draw) => unknown
}

const tables = {
  projects: ofProjects,
  agents: ofAgents,
  workflows: ofWorkflows,
  tasks: ofTasks,
  schedules: ofSchedules,
}

const onlyReads =
  /\.(?:find\w*|get\w*|list|stream|count|countBy|exists|sum|min|max|tools|due|select\w*|join|query|execute)$/
const ofSeveralStatements =
  /^db|\.(?:stream|duplicate|tools|setTools|fire|claim)$|^projects.create$|^schedules.(?:update|enable|disable)$/

type AnyCalls = Readonly<Record<string, (all: never, draw: Draw) => unknown>>

export const randomCalls: readonly RandomCall[] = [
  ...Object.entries(tables).flatMap(([kind, calls]) => ofRepository(kind as keyof typeof tables, calls as AnyCalls)),
  ...Object.entries(ofDb).map(([name, call]) => randomCall(`db.${name}`, undefined, call)),
]

function ofRepository(kind: keyof typeof tables, calls: AnyCalls): RandomCall[] {
  return Object.entries(calls).map(([name, call]) =>
    randomCall(`${kind}.${name}`, kind, (org, draw) => call(org[kind] as never, draw)),
  )
}

function randomCall(name: string, kind: RandomCall['kind'], make: RandomCall['make']): RandomCall {
  return { name, kind, isRead: onlyReads.test(name), isOne: !ofSeveralStatements.test(name), make }
}
