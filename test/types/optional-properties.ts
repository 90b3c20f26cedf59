// What a handler passes on without looking, where a query or a body may lack it. `npm run check` compiles it with
// exactOptionalPropertyTypes, and the test beside this file without: callers have either.
import { defineRepository, type Filter, type Org, type Tenancy, type TenantryError, type UpdateOptions } from 'tenantry'
import { openTenancy, ScopedRepository } from 'tenantry'
import type { Agent, AgentPatch, NewAgent, Task, TaskPatch } from 'tenantry/schema'
import { agents, newAgent } from 'tenantry/schema'
import { addMember, factories, newOrg } from 'tenantry/testing'
import { z } from 'zod'

interface Query {
  readonly status: Task['status'] | undefined
  readonly from: Date | undefined
  readonly limit: number | undefined
  readonly after: string | undefined
  readonly name: string | undefined
  readonly revision: number | undefined
  readonly isolation: 'serializable' | undefined
  readonly ip: string | undefined
  readonly signal: AbortSignal | undefined
}

export async function reads(org: Org, query: Query) {
  await org.tasks.list({ status: query.status, limit: query.limit, after: query.after, orderBy: undefined })
  await org.tasks.list({ createdAt: { gte: query.from, lt: undefined }, before: query.after })
  await org.tasks.count({ status: query.status, and: undefined, or: undefined, not: undefined })
  await org.tasks.exists({ status: query.status })
  for await (const task of org.tasks.stream({ status: query.status, limit: query.limit })) return task
  const filter: Filter<Task> = { status: query.status }
  return org.tasks.list({ ...filter, limit: query.limit })
}

export async function writes(org: Org, id: string, query: Query) {
  const values: NewAgent = { name: 'Ada', username: 'ada', model: query.name }
  const patch: AgentPatch = { name: query.name }
  const taskPatch: TaskPatch = { priority: query.limit }
  const options: UpdateOptions = { revision: query.revision }
  await org.agents.create(values)
  await org.agents.update(id, patch, { revision: query.revision })
  await org.schedules.update(id, { name: query.name }, options)
  await org.tasks.update(id, taskPatch)
  await org.tasks.claim({ owner: 'me', limit: query.limit })
  await org.transaction((org) => org.agents.get(id), { isolation: query.isolation, retries: query.limit })
}

export function scopes(tenancy: Tenancy, query: Query) {
  const actor = query.limit === undefined ? undefined : tenancy.job('report')
  const request = { id: query.name, ip: query.ip, userAgent: query.name }
  return tenancy.forOrg('', { actor, request, signal: query.signal, readOnly: undefined })
}

export const open = (query: Query) =>
  openTenancy({ url: query.name, pool: undefined, keys: query.name, own: undefined })

export async function testData(tenancy: Tenancy, query: Query) {
  const org = await newOrg(tenancy, { name: query.name, signal: query.signal })
  await addMember(tenancy, org, { userId: query.name, displayName: query.name })
  return factories(org).agent({ name: query.name, model: query.name })
}

const optional = z.strictObject({ name: z.string().optional() })

export const Bots = defineRepository(agents, {
  create: optional,
  patch: optional,
  permission: undefined,
  references: undefined,
})

export class Renamed extends ScopedRepository<Agent> {
  add(values: NewAgent, name: string | undefined) {
    return this.insertRow(newAgent, values, { managed: name === undefined ? undefined : { name } })
  }

  rename(id: string, name: string, revision: number | undefined) {
    return this.updateRow(optional, id, { name }, { options: { revision } })
  }
}

/** Every status there is: a new one does not compile until it has an answer. */
export function answer({ status }: TenantryError): 'theirs' | 'ours' {
  switch (status) {
    case 400:
    case 401:
    case 402:
    case 403:
    case 404:
    case 409:
    case 422:
    case 429:
      return 'theirs'
    case 500:
    case 503:
    case 504:
      return 'ours'
  }
}
