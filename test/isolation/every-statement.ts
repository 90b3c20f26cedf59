import type { PgTable } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import {
  BrokenReferenceError,
  ConflictError,
  InsufficientCreditError,
  InvalidInputError,
  NotFoundError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { ColumnPlan } from '../../src/core/statements/column-plan.js'
import type { RelationPlan } from '../../src/core/statements/relations.js'
import { planOf } from '../../src/core/statements/table-plan.js'
import type { Session } from '../../src/database/session.js'
import type { Org } from '../../src/org.js'
import { agents, agentTools, projects, schedules, tasks, workflows } from '../../src/schema/index.js'
import type { ContractCalls, ContractCase } from '../../src/testing/isolation-contract.js'
import { subscribe } from './billing-cases.js'
import { eachCase } from './contract-cases.js'

export interface Organizations {
  /** One with as many rows as the others. */
  readonly usual: () => Org
  readonly empty: () => Org
  readonly admin: Session
}

/** Calls whatever makes the core or a repository compile another text. */
export async function callEverything(organizations: Organizations): Promise<void> {
  await Promise.all(eachCase((one) => callContract(one, organizations)))
  await Promise.all([projects, agents, workflows, tasks, schedules].map((table) => readEveryWay(table, organizations)))
  await includeEveryWay(organizations.usual())
  await organizations.empty().organization.get()
  await organizations.usual().entitlements.get()
  await measureEveryWay(organizations.usual())
  await subscribe(organizations.admin, organizations.usual().id)
  await changeSubscription(organizations.usual())
  await writeEveryWay(organizations.empty())
}

async function changeSubscription({ subscription, billingProfile }: Org): Promise<void> {
  for (const call of [
    () => subscription.get(),
    () => subscription.changePlan('tier_contract'),
    () => subscription.update({ spendCapEnabled: true }),
    () => subscription.cancel(),
    () => subscription.cancel(),
    () => subscription.resume(),
    () => subscription.cancel({ atPeriodEnd: false }),
    () => billingProfile.get(),
    () => billingProfile.set({ companyName: 'Acme' }),
  ]) {
    await carryOut(call)
  }
}

async function callContract<Repository>(one: ContractCase<Repository>, { empty, admin }: Organizations): Promise<void> {
  for (const name of Object.keys(one.calls) as (keyof ContractCalls<Repository>)[]) {
    const org = empty()
    const id = await one.make(org, admin)
    await carryOut(() => one.calls[name]?.(org.repository(one.repository), id))
  }
}

// As a task without a lease cannot be completed: its statement was sent.
const refusals = [BrokenReferenceError, ConflictError, InsufficientCreditError, InvalidInputError, NotFoundError]

async function carryOut(call: () => unknown): Promise<void> {
  try {
    const value = await call()
    if (typeof value !== 'object' || value === null || !(Symbol.asyncIterator in value)) return
    const rows: unknown[] = []
    for await (const row of value as AsyncIterable<unknown>) rows.push(row)
  } catch (error) {
    if (!refusals.some((refusal) => error instanceof refusal)) throw error
  }
}

/** Every sum of usage, and what tells why usage was not recorded and credits not spent or voided. */
async function measureEveryWay({ usage, credits }: Org): Promise<void> {
  const march = { from: new Date(Date.UTC(2026, 2, 1)), to: new Date(Date.UTC(2026, 3, 1)) }
  for (const period of [{}, march]) {
    for (const by of ['metric', 'project', 'day', 'month'] as const)
      await carryOut(() => usage.summary({ ...period, by }))
    await carryOut(() => usage.summary({ ...period, metric: 'mails', projectId: newId() }))
  }
  await carryOut(() =>
    usage.record({ key: newId(), metric: 'mails', quantity: '1', at: march.from, projectId: newId() }),
  )
  await carryOut(() => credits.spend({ amount: '999999999999', currency: 'EUR' }))
  await carryOut(() => credits.void(newId()))
}

type Row = Readonly<Record<string, unknown>>
const anything = z.looseObject({})

/** Any table as a repository of the host's own that declares every write there is. */
class Rows extends ScopedRepository<Row> {
  page = (options: object) => this.list(options)
  createMany = (rows: readonly Row[]) => this.insertRows(anything, rows)
  put = (values: Row, key: string) => this.putRow(anything as never, values, key)
  changeWhere = (filter: object, values: Row) => this.updateRows(filter, values)
  deleteWhere = (filter: object) => this.deleteRows(filter)
  hideWhere = (filter: object) => this.hideRows(filter)
  part = (id: string, options: { readonly select: readonly never[] }) => this.find(id, options)
  delete = (id: string) => this.deleteRow(id)
}

const rowsOf = (org: Org, table: PgTable): Rows =>
  org.repository(
    class extends Rows {
      constructor(scope: Scope) {
        super(scope, table)
      }
    },
  )

/** Those that stand in the text of their statement. */
export const usualLimits = [10, 20, 25, 50, 100, 200, 500, 1000]
const limits = [...usualLimits, 33]

async function readEveryWay(table: PgTable, { usual, empty }: Organizations): Promise<void> {
  const columns = planOf(table).columns.filter(({ comparedAs }) => comparedAs !== undefined)
  const rows = rowsOf(usual(), table)
  const known = (await rows.page({ limit: 200 })).items
  const fields = columns.map((column) => [column, sampleOf(column, known)] as const)
  const ordered = fields.filter(([{ notNull }]) => notNull)

  for (const limit of limits) await pages(rows, { limit })
  for (const orderBy of ordered.flatMap(([{ property }]) => [property, `-${property}`])) {
    await pages(rows, { orderBy })
  }
  for (const options of contentsOf(fields)) await pages(rows, options)
  await rows.part(newId(), { select: ['id'] as never })
  for (const [{ property: orderBy }] of ordered) {
    for (const [{ property }, value] of fields) await rows.page({ orderBy, [property]: value })
  }
  for (const filter of filtersOf(fields)) {
    await rows.page(filter)
    await rows.exists(filter)
  }
  const none = rowsOf(empty(), table)
  const change = table === tasks ? { kind: 'other' } : { name: 'Other' }
  for (const filter of combinationsOf(fields)) {
    await pages(rows, filter)
    await rows.count(filter)
    await none.changeWhere(filter, change)
    await none.deleteWhere(filter)
    if (planOf(table).softDelete) await none.hideWhere(filter)
  }
}

/** Orders with NULLs and of several fields, and what else a page may hold. */
function contentsOf(fields: readonly Field[]): object[] {
  const nullable = fields.filter(([{ notNull }]) => !notNull).map(([{ property }]) => property)
  const [first = '', second = '', third = ''] = fields
    .filter(([{ notNull }]) => notNull)
    .map(([{ property }]) => property)
  return [
    ...nullable.flatMap((name) => [{ orderBy: name }, { orderBy: `-${name}` }]),
    { orderBy: [second, third, first] },
    { orderBy: [`-${third}`, second] },
    { orderBy: [`-${nullable[0] ?? ''}`, second] },
    { select: ['id'], orderBy: second },
    { total: true },
    { total: true, orderBy: [second, `-${third}`], select: [third] },
  ]
}

/** The first page, one behind a row and one before a row. */
async function pages(rows: Rows, options: object): Promise<void> {
  await rows.page(options)
  const { next } = await rows.page({ ...options, limit: 1 })
  if (next === undefined) return
  const { previous } = await rows.page({ ...options, limit: 1, after: next })
  await rows.page({ ...options, after: next })
  await rows.page({ ...options, before: previous })
}

/** Every relation, alone and with all that can be asked of it. */
async function includeEveryWay(org: Org): Promise<void> {
  const repositories = [
    org.agents,
    org.apiKeys,
    org.members,
    org.projects,
    org.roles,
    org.schedules,
    org.tasks,
    org.workflows,
  ]
  for (const repository of repositories as ScopedRepository<object>[]) {
    const { rows } = repository as unknown as { rows: { options: { relations: ReadonlyMap<string, RelationPlan> } } }
    for (const { name, isMany } of rows.options.relations.values()) {
      const manners = isMany
        ? [
            true,
            { limit: 33, orderBy: 'id' },
            { limit: 10, where: { createdAt: { not: null } }, orderBy: '-createdAt' },
          ]
        : [true]
      for (const manner of manners) {
        const { items } = await repository.list({ limit: 3, include: { [name]: manner } } as never)
        await repository.get((items[0] as { id: string }).id, { include: { [name]: manner } } as never)
        await repository.list({ limit: 3, include: { [name]: manner }, select: ['createdAt'], total: true } as never)
      }
    }
  }
}

type Field = readonly [column: ColumnPlan, value: unknown]

function sampleOf({ property, comparedAs }: ColumnPlan, known: readonly Row[]): unknown {
  const value = known.map((row) => row[property]).find((value) => value !== null)
  if (value !== undefined) return value
  if (comparedAs === 'uuid') return newId()
  if (property === 'deletedAt') return new Date()
  throw new Error(`no row has a value for ${property}`)
}

/** Whatever a field can be asked for, and what combines them. */
const filtersOf = (fields: readonly Field[]): object[] => [
  ...fields.flatMap(([column, value]) => operatorsOf(column, value).map((asked) => ({ [column.property]: asked }))),
  ...combinationsOf(fields),
]

function combinationsOf(fields: readonly Field[]): object[] {
  const equal = fields.map(([{ property }, value]) => ({ [property]: value }))
  const [first, second, third] = equal
  return [
    ...equal,
    { ...second, ...third },
    { and: [second, third] },
    { or: [second, third] },
    { not: third },
    { or: [{ and: [first, second] }, { not: { or: [second, third] } }] },
  ]
}

function operatorsOf({ comparedAs }: ColumnPlan, value: unknown): unknown[] {
  const any = [value, null, { not: value }, { not: null }, { in: [value] }]
  if (comparedAs === 'boolean') return any
  const ranges = [{ gt: value }, { gte: value }, { lt: value }, { lte: value }, { gte: value, lt: value }]
  if (comparedAs !== 'text') return [...any, ...ranges]
  const piece = (value as string).slice(0, 2)
  return [...any, ...ranges, { prefix: piece }, { contains: piece }, { contains: piece, ignoreCase: true }]
}

const AgentTools = defineRepository(agentTools, {
  link: z.strictObject({ agentId: z.uuid(), organizationToolId: z.uuid() }),
})

/** Every write that the core has, over one organization that nothing else uses. */
export async function writeEveryWay(org: Org): Promise<void> {
  const { id: projectId } = await org.projects.create({ name: 'P', slug: 'p' })
  const { id: agentId } = await org.agents.create({ name: 'A', username: 'a', projectId })
  const { id: workflowId } = await org.workflows.create({ name: 'W', slug: 'w', projectId })
  await org.agents.update(agentId, { projectId }, { revision: 1 })
  await org.agents.update(agentId, { name: 'A', projectId })
  await org.workflows.update(workflowId, { projectId }, { revision: 1 })
  await org.workflows.update(workflowId, { name: 'W' }, { revision: 2 })
  const agentsOfProjects = rowsOf(org, agents)
  await agentsOfProjects.changeWhere({ name: 'A' }, { projectId })
  await agentsOfProjects.changeWhere({ name: 'Nobody' }, { projectId })

  await org.repository(AgentTools).setLinks({ agentId }, [])

  for (const hangsOn of [{}, { agentId }, { workflowId }, { agentId, workflowId }]) {
    await org.tasks.enqueue({ kind: 'one', ...hangsOn })
    await org.tasks.enqueue({ kind: 'one', ...hangsOn, dedupeKey: 'once' })
  }
  await org.tasks.claim({ owner: 'worker', kinds: ['one'] })

  const hourly = { workflowId, name: 'S', cron: '0 * * * *', timezone: 'UTC', missedRuns: 'run_once' } as const
  const { id: scheduleId } = await org.schedules.create(hourly)
  await org.schedules.update(scheduleId, { cron: '1 * * * *' }, { revision: 1 })
  await org.schedules.fire(scheduleId, new Date(Date.UTC(2100, 0, 1)))

  const made: readonly (readonly [PgTable, Row, string])[] = [
    [projects, { name: 'P', slug: 'p2', ref: 'p2-p2' }, 'projects_slug_key'],
    [projects, { name: 'P', slug: 'p3', ref: 'p3-p3' }, 'projects_ref_key'],
    [agents, { name: 'A', username: 'a2' }, 'agents_username_key'],
    [workflows, { name: 'W', slug: 'w2' }, 'workflows_slug_key'],
    [schedules, { ...hourly, name: 'S2' }, 'schedules_name_key'],
    [tasks, { kind: 'one', dedupeKey: 'twice' }, 'tasks_dedupe_key'],
  ]
  for (const [table, row, key] of made) {
    const rows = rowsOf(org, table)
    await rows.createMany([])
    const [first] = await rows.createMany([row])
    await rows.put(row, key)
    await rows.delete(first?.id as string)
  }
}
