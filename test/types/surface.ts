/* oxlint-disable typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/require-await -- what does not compile has no type */
// What a caller may write, and what must not compile. Nothing here is run: `npm run check` compiles it, and the test beside it
// reads what an editor shows of these names.
import { relations } from 'drizzle-orm'
import { pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { Hono } from 'hono'
import type { Agent, NewAgent, Task } from 'tenantry/schema'
import { type CountedPage, defineRepository, type Org, type Page, ScopedRepository, type Tenancy } from 'tenantry'
import { anyone, authenticated, problems, signedIn } from 'tenantry/hono'
import { agents, agentTools, newAgent, projects, tasks } from 'tenantry/schema'
import { asMember, factories } from 'tenantry/testing'
import { z } from 'zod'

export async function reads(org: Org, id: string) {
  const repository = org.agents
  const found = await org.agents.find(id)
  const agent = await org.agents.get(id)
  const page = await org.tasks.list({ status: 'queued', limit: 5 })
  const same: [Agent | undefined, Agent, Page<Task>] = [found, agent, page]
  await org.tasks.list({ after: page.next })
  // @ts-expect-error -- what is looked for may not be there
  await org.agents.get(found.id)
  // @ts-expect-error -- a limit is a number
  await org.tasks.list({ limit: '5' })
  // @ts-expect-error -- there is no such status
  await org.tasks.list({ status: 'asleep' })
  // @ts-expect-error -- there is no such field
  await org.tasks.list({ colour: 'red' })
  // @ts-expect-error -- a list cannot be ordered by what is not a field
  await org.tasks.list({ orderBy: 'colour' })
  // @ts-expect-error -- a number is no id
  await org.tasks.find(1)
  await listsAndParts(org, id)
  await listsOfParts(org, id)
  return { repository, same }
}

export async function related(org: Org, id: string) {
  const listed = await org.agents.list({ status: 'active', include: { project: true } })
  const withTasks = await org.workflows.get(id, { include: { tasks: true, schedules: { limit: 5, orderBy: 'name' } } })
  const same: [string | undefined, Task[], string | undefined] = [
    listed.items[0]?.project?.slug,
    withTasks.tasks,
    withTasks.schedules[0]?.name,
  ]
  const parts = await org.agents.list({ select: ['name'], include: { project: true }, total: true })
  const part: [string | undefined, string | undefined, number] = [
    parts.items[0]?.name,
    parts.items[0]?.project?.slug,
    parts.total,
  ]
  // @ts-expect-error -- the field was not selected
  void parts.items[0]?.username
  // @ts-expect-error -- nobody asked for the total
  void listed.total
  // @ts-expect-error -- there is no such field
  await org.agents.get(id, { select: ['colour'], include: { project: true } })
  // @ts-expect-error -- what was not asked for is not there
  const missing = withTasks.project
  // @ts-expect-error -- a project need not be there
  const slug = listed.items[0]?.project.slug
  // @ts-expect-error -- there is no such relation
  await org.agents.list({ include: { owner: true } })
  // @ts-expect-error -- nor beside one that there is
  await org.agents.list({ include: { project: true, owner: true } })
  // @ts-expect-error -- one row has no limit
  await org.agents.list({ include: { project: { limit: 1 } } })
  // @ts-expect-error -- there is no such field
  await org.workflows.get(id, { include: { schedules: { where: { colour: 'red' } } } })
  // @ts-expect-error -- invitations have no relations
  await org.invitations.list({ include: { role: true } })
  const [found] = await org.batch((org) => [org.agents.find(id, { include: { tasks: { limit: 1 } } })])
  const tasksOf: Task[] | undefined = found?.tasks
  return { listed, same, part, missing, slug, tasksOf }
}

/** What a condition decides about may be missing. */
export async function perhaps(org: Org, want: boolean, after: string | undefined) {
  const page = await org.agents.list({ include: { project: true, tasks: want && { limit: 3 } }, after, total: !after })
  const same: [string | undefined, number | undefined, number | undefined] = [
    page.items[0]?.project?.slug,
    page.items[0]?.tasks?.length,
    page.total,
  ]
  const either = await org.agents.list({ include: want ? { project: true } : {} })
  // @ts-expect-error -- it was not asked for each time
  void page.items[0]?.tasks.length
  // @ts-expect-error -- nor was this
  void either.items[0]?.project.slug
  return same
}

export async function aggregates(org: Org) {
  const counts = await org.tasks.countBy('status', { priority: { gt: 1 } })
  const same: { status: Task['status']; count: number }[] = counts
  const numbers: [number | null, Date | null] = [await org.tasks.sum('priority'), await org.tasks.max('createdAt')]
  // @ts-expect-error -- there is no such field
  await org.tasks.countBy('colour')
  // @ts-expect-error -- a status is no number
  await org.tasks.sum('status')
  // @ts-expect-error -- neither is a moment
  await org.tasks.sum('createdAt')
  // @ts-expect-error -- JSON has no smallest value
  await org.tasks.min('input')
  return { counts, same, numbers }
}

async function listsOfParts({ projects: { databases, members }, credits }: Org, id: string) {
  const counted = await credits.entries({ select: ['id', 'amount'], total: true })
  const totals: number[] = [
    counted.total,
    (await databases.list(id, { total: true })).total,
    (await databases.connections.list(id, { total: true })).total,
    (await members.list(id, { total: true })).total,
  ]
  // @ts-expect-error -- the field was not selected
  void counted.items[0]?.kind
  // @ts-expect-error -- nobody asked for the total
  void (await databases.connections.list(id)).total
  return totals
}

async function listsAndParts(org: Org, id: string) {
  await org.tasks.list({ orderBy: ['status', '-startedAt'] })
  await org.tasks.list({ kind: { contains: 'a', ignoreCase: true } })
  const counted: CountedPage<Task> = await org.tasks.list({ total: true })
  const parts = await org.tasks.list({ select: ['id', 'kind'], total: true, limit: 5 })
  const part: Pick<Task, 'id' | 'kind'> | undefined = parts.items[0]
  const nameOnly: { readonly name: string } | undefined = await org.agents.find(id, { select: ['name'] })
  const [batched] = await org.batch((org) => [org.agents.get(id, { select: ['name'] })])
  const maybe: Page<Task> | CountedPage<Task> = await org.tasks.list({ total: id !== '' })
  for await (const { kind } of org.tasks.stream({ select: ['kind'] })) void kind
  // @ts-expect-error -- nobody asked for the total
  void (await org.tasks.list()).total
  // @ts-expect-error -- the field was not selected
  void parts.items[0]?.status
  // @ts-expect-error -- nor this one
  void batched.id
  // @ts-expect-error -- there is no such field
  await org.tasks.list({ select: ['colour'] })
  // @ts-expect-error -- a sealed column is not read
  await org.projects.find(id, { select: ['databasePassword'] })
  // @ts-expect-error -- a list cannot be ordered by what is not a field
  await org.tasks.list({ orderBy: ['status', 'colour'] })
  // @ts-expect-error -- nor by JSON
  await org.workflows.list({ orderBy: '-definition' })
  // @ts-expect-error -- nor by a list
  await org.apiKeys.list({ orderBy: 'scopes' })
  // @ts-expect-error -- nor by an exact decimal, where the list is one of its own
  await org.credits.entries({ orderBy: 'amount' })
  // @ts-expect-error -- and it is not filtered by one
  await org.credits.entries({ amount: '1.00' })
  // @ts-expect-error -- a number contains no text
  await org.tasks.list({ priority: { contains: '1' } })
  // @ts-expect-error -- there is no such field, with whatever else is asked for
  await org.tasks.list({ select: ['id'], colour: 'red' })
  return [counted, part, nameOnly, maybe]
}

export async function writes(org: Org, id: string) {
  const values: NewAgent = { name: 'Ada', username: 'ada' }
  await org.agents.create(values)
  // @ts-expect-error -- the organization is the scope's
  await org.agents.create({ ...values, orgId: id })
  // @ts-expect-error -- the library makes the id
  await org.agents.create({ ...values, id })
  // @ts-expect-error -- a revision is counted by the library
  await org.agents.update(id, { revision: 3 })
  // @ts-expect-error -- nothing moves to another organization
  await org.agents.update(id, { orgId: id })
  // @ts-expect-error -- a name is needed
  await org.agents.create({ username: 'ada' })
  // @ts-expect-error -- what a task is does not change once it is queued
  await org.tasks.update(id, { kind: 'call' })
  // @ts-expect-error -- tasks are not deleted
  await org.tasks.delete(id)
  // @ts-expect-error -- the plain insert is the repository's own
  await org.tasks.insertRow(newAgent, {})
}

export async function together(org: Org, id: string) {
  const [agent, page] = await org.batch((org) => [org.agents.find(id), org.tasks.list({ limit: 5 })])
  const same: [Agent | undefined, Page<Task>] = [agent, page]
  // @ts-expect-error -- duplicating takes several steps, which do not go into one write
  await org.batch((org) => [org.agents.duplicate(id, { username: 'copy' })])
  // @ts-expect-error -- a batch within a batch
  await org.batch((org) => [org.batch(() => [])])
  // @ts-expect-error -- a connection cannot be taken out of the scope
  await org.db.transaction(async () => undefined)
  return same
}

export function scopes(tenancy: Tenancy) {
  // @ts-expect-error -- no scope without an organization
  tenancy.forOrg()
  // @ts-expect-error -- not even one that may be missing
  tenancy.forOrg(process.env.ORG_ID)
  // @ts-expect-error -- an actor has permissions
  tenancy.forOrg('', { actor: { kind: 'user', id: '' } })
  return tenancy.forOrg('')
}

export function handlers(tenancy: Tenancy) {
  const behindKey = authenticated(tenancy)
  const app = new Hono()
    .use(anyone(tenancy))
    // @ts-expect-error -- anyone may have no organization
    .get('/public', (c) => c.json({ id: c.var.org.id }))
    .get('/agents', behindKey, async (c) => c.json(await c.var.org.agents.list()))
    // @ts-expect-error -- a key is no person
    .get('/person', behindKey, (c) => c.json({ id: c.var.user.id }))
    .get('/me', signedIn(tenancy), (c) => c.json({ id: c.var.user.id, org: c.var.org?.id }))
    // @ts-expect-error -- a person may have no active organization
    .get('/mine', signedIn(tenancy), (c) => c.json({ id: c.var.org.id }))
    .get('/both', signedIn(tenancy), authenticated(tenancy), (c) => c.json([c.var.user.id, c.var.org.id]))
  app.onError(problems({ onUnexpected: (error, problem, c) => [error, problem.code, c.req.path] }))
  // @ts-expect-error -- the address comes from a function
  return [app, authenticated(tenancy, { ip: '' })]
}

export const Sites = defineRepository(projects, {
  create: z.strictObject({ name: z.string() }),
  patch: z.strictObject({}),
})

export const SiteAgents = defineRepository(agents, {
  create: newAgent,
  patch: z.strictObject({}),
  includes: { project: { one: projects, by: 'projectId' }, tasks: { many: tasks, by: 'agentId' } },
})
export const Tools = defineRepository(agentTools, {
  link: z.strictObject({ agentId: z.uuid(), organizationToolId: z.uuid() }),
  includes: { agent: { one: agents, by: 'agentId' } },
})

export async function ownRelations(org: Org, id: string) {
  const { project, tasks: own } = await org
    .repository(SiteAgents)
    .get(id, { include: { project: true, tasks: { orderBy: 'kind' } } })
  const links = await org.repository(Tools).list({ agentId: id, include: { agent: true } })
  const same: [string | undefined, string[], string | undefined] = [
    project?.slug,
    own.map(({ kind }) => kind),
    links.items[0]?.agent?.username,
  ]
  await org.repository(Tools).setLinks({ agentId: id }, [id])
  // @ts-expect-error -- all fields of the key but one
  await org.repository(Tools).setLinks({}, [id])
  // @ts-expect-error -- not declared
  await org.repository(SiteAgents).get(id, { include: { schedules: true } })
  // @ts-expect-error -- a repository that declares no relations
  await org.repository(Sites).get(id, { include: { agents: true } })
  return same
}

export async function own(org: Org) {
  const sites = org.repository(Sites)
  const made = await sites.create({ name: 'Site' })
  // @ts-expect-error -- not a field of what it takes
  await sites.create({ name: 'Site', orgId: '' })
  const many = await sites.createMany([{ name: 'One' }, { name: 'Two' }])
  const changed: number = await sites.updateWhere({ name: { contains: 'o' }, id: made.id }, {})
  const gone: number = await sites.deleteWhere({ id: { in: many.map(({ id }) => id) } })
  // @ts-expect-error -- not a field of what it takes
  await sites.createMany([{ name: 'Site', orgId: '' }])
  // @ts-expect-error -- not a field of a patch
  await sites.updateWhere({ name: 'One' }, { orgId: '' })
  // @ts-expect-error -- there is no such field
  await sites.deleteWhere({ colour: 'red' })
  void [changed, gone]
  // @ts-expect-error -- the table has no revision
  await sites.update(made.id, {}, { revision: 1 })
  const named = org.repository(NamedSites)
  const revised = org.repository(Forms)
  await revised.update(made.id, {}, { revision: 1 })
  return [made.slug, named, revised]
}

/** A class keeps its name in an editor, where `Sites` shows the fields of its rows. */
export class NamedSites extends defineRepository(projects, {
  create: z.strictObject({ name: z.string() }),
  patch: z.strictObject({}),
}) {}

export const Forms = defineRepository(agents, { create: newAgent, patch: z.strictObject({}) })

export class ImportedAgents extends ScopedRepository<Agent> {
  add(values: readonly NewAgent[]) {
    return this.appendRows(newAgent, values)
  }

  byName(username: string) {
    // @ts-expect-error -- a key has values only
    const named = this.findRow({ username: { prefix: username } })
    return [named, this.findRow({ username })]
  }
}

export async function testData(tenancy: Tenancy, org: Org) {
  const make = factories(org)
  const filled = await make.agent({ model: undefined })
  // @ts-expect-error -- the organization is the scope's
  await make.agent({ orgId: org.id })
  // @ts-expect-error -- there is no such field
  await make.task({ colour: 'red' })
  // @ts-expect-error -- a member has an id
  await asMember(tenancy, org, { role: 'read_only' })
  const viewer = await asMember(tenancy, org, 'read_only')
  return [filled, viewer]
}

export const drizzle = (org: Org) => org.db.select().from(agents)

export async function relational(org: Org) {
  const [task] = await org.db.query.tasks.findMany({ with: { workflow: { with: { schedules: true } } } })
  const name: string | undefined = task?.workflow?.schedules[0]?.name
  // @ts-expect-error -- a task need not have a workflow
  const same = task?.workflow.name
  // @ts-expect-error -- there is no such relation
  await org.db.query.tasks.findMany({ with: { invoices: true } })
  // @ts-expect-error -- nor such a table
  await org.db.query.sites.findMany()
  const [agent] = await org
    .database({ sites, agentSites })
    .query.agents.findMany({ with: { sites: true, project: true } })
  const both: [string | undefined, string | undefined] = [agent?.sites[0]?.title, agent?.project?.slug]
  return { name, same, both }
}

const sites = pgTable('sites', { orgId: uuid('org_id'), agentId: uuid('agent_id'), title: text('title').notNull() })
const agentSites = relations(agents, ({ many }) => ({ sites: many(sites) }))
export async function includedOfOwn(org: Org, id: string) {
  const Assistants = defineRepository(agents, {
    create: newAgent,
    patch: newAgent.partial(),
    includes: { home: { one: projects, by: 'projectId' }, jobs: { many: tasks, by: 'agentId' } },
  })
  const assistant = await org.repository(Assistants).get(id, { include: { home: true, jobs: { limit: 5 } } })
  const assistants = await org.repository(Assistants).list({ include: { jobs: true } })
  return { assistant, assistants }
}
