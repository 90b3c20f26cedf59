import { newId } from '../../src/core/ids.js'
import type { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Session } from '../../src/database/session.js'
import type { Org } from '../../src/org.js'
import type { Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { subscribe } from '../isolation/billing-cases.js'

export const flagKey = 'bad-input'

export const resources = [
  'projects',
  'agents',
  'workflows',
  'schedules',
  'tasks',
  'llms',
  'tools',
  'invoices',
  'paymentMethods',
  'taxIds',
] as const
export type Resource = (typeof resources)[number]

/** An organization with a row of everything, and the cursors of its lists. */
export interface Side {
  readonly tenancy: Tenancy
  readonly org: Org
  readonly ids: Readonly<Record<Resource, string>>
  readonly cursors: Readonly<Record<Resource, string>>
}

export async function makeSide(tenancy: Tenancy, admin: Session): Promise<Side> {
  const org = tenancy.forOrg(await createOrganization(admin))
  await admin.query(
    `insert into platform.feature_flags (id, flag_key, flag_name, enabled) values ($1, $2, $2, true)
     on conflict do nothing`,
    [newId(), flagKey],
  )
  await fillCatalogs(admin)
  await subscribe(admin, org.id)
  await org.billingProfile.set({ companyName: 'Acme' })
  const ids = Object.fromEntries(resources.map((name) => [name, ''])) as Record<Resource, string>
  const cursors = { ...ids }
  // Two of each, so that there is a next page.
  for (const slug of ['one', 'two']) {
    ids.projects = (await org.projects.create({ name: slug, slug })).id
    ids.agents = (await org.agents.create({ name: slug, username: slug })).id
    ids.workflows = (await org.workflows.create({ name: slug, slug })).id
    ids.schedules = (await org.schedules.create({ name: slug, workflowId: ids.workflows, ...cron })).id
    ids.tasks = (await org.tasks.enqueue({ kind: slug })).id
    ids.llms = (await org.llms.configure({ llm: slug })).id
    ids.tools = (await org.tools.enable(slug)).id
    ids.invoices = (await org.invoices.create({ currency: 'EUR', lines: [hour] })).id
    ids.paymentMethods = (await org.paymentMethods.add({ stripePaymentMethodId: slug, type: 'card' })).id
    ids.taxIds = (await org.taxIds.add({ type: 'eu_vat', value: slug, country: 'DE' })).id
  }
  const firstOf = async (all: Pick<ScopedRepository<object>, 'list'>) => (await all.list({ limit: 1 })).next ?? ''
  for (const name of resources) cursors[name] = await firstOf(org[name])
  return { tenancy, org, ids, cursors }
}

async function fillCatalogs(admin: Session): Promise<void> {
  for (const key of ['one', 'two']) {
    await admin.query(
      'insert into platform.llms (id, key, name, provider) values ($1, $2, $2, $2) on conflict (key) do nothing',
      [newId(), key],
    )
    await admin.query('insert into platform.tools (id, key, name) values ($1, $2, $2) on conflict (key) do nothing', [
      newId(),
      key,
    ])
  }
}

export const hour = { description: 'An hour', quantity: '1', unitAmount: '80' }
export const cron = { cron: '0 * * * *', timezone: 'UTC' }
export const earlier = new Date(Date.UTC(2020, 0, 1))
export const owner = 'worker'

/** What is called, with arguments that are right, each time new ones. */
export interface Entry {
  readonly name: string
  readonly args: (ours: Side) => unknown[]
  readonly call: (ours: Side, args: readonly unknown[]) => unknown
  /** The catalog or the row decides, so that an input may be refused after that was read. */
  readonly asksFirst?: boolean
}

/** For each public method its arguments. A method without them does not compile. */
export type Arguments<Repository> = {
  readonly [Name in keyof Repository as Repository[Name] extends (...args: never[]) => unknown ? Name : never]: (
    ours: Side,
  ) => unknown[]
}

const summed: Readonly<Record<Resource, string>> = {
  projects: 'databasePort',
  agents: 'revision',
  workflows: 'revision',
  schedules: 'revision',
  tasks: 'priority',
  invoices: 'total',
  paymentMethods: 'cardExpYear',
  // These have no numbers, so every field is refused.
  llms: 'id',
  tools: 'id',
  taxIds: 'id',
}

const related = { limit: 5, orderBy: '-createdAt', where: { createdAt: { gte: earlier } } }
const included: Readonly<Partial<Record<Resource, object>>> = {
  projects: { agents: related },
  agents: { project: true, tasks: related },
  workflows: { schedules: related },
  schedules: { workflow: true },
  tasks: { agent: true, children: related },
}

export const reads = (resource: Resource) => {
  const filter = ({ ids }: Side) => ({
    id: { in: [ids[resource]] },
    createdAt: { gte: earlier },
    or: [{ id: ids[resource] }, { not: { updatedAt: { lt: earlier } } }],
  })
  return {
    find: ({ ids }: Side) => [ids[resource], { select: ['id', 'createdAt'], include: included[resource] ?? {} }],
    get: ({ ids }: Side) => [ids[resource], { select: ['id'], include: included[resource] ?? {} }],
    findMany: ({ ids }: Side) => [[ids[resource], newId()]],
    getMany: ({ ids }: Side) => [[ids[resource]]],
    list: (ours: Side) => [
      {
        ...filter(ours),
        limit: 5,
        orderBy: ['-createdAt', 'id'],
        select: ['id', 'updatedAt'],
        total: true,
        include: included[resource] ?? {},
      },
    ],
    stream: (ours: Side) => [{ ...filter(ours), limit: 5 }],
    count: (ours: Side) => [filter(ours)],
    exists: (ours: Side) => [filter(ours)],
    countBy: (ours: Side) => ['createdAt', filter(ours)],
    sum: (ours: Side) => [summed[resource], filter(ours)],
    min: (ours: Side) => ['updatedAt', filter(ours)],
    max: (ours: Side) => ['updatedAt', filter(ours)],
  }
}

export const id =
  (resource: Resource) =>
  ({ ids }: Side) => [ids[resource]]

type AnyMethod = (this: unknown, ...args: readonly unknown[]) => unknown
export const apply = (target: object, name: string, args: readonly unknown[]): unknown =>
  Reflect.apply((target as Record<string, AnyMethod>)[name] as AnyMethod, target, args)
