import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { newId } from '../../src/core/ids.js'
import type { Session } from '../../src/database/session.js'
import type { Org } from '../../src/org.js'
import { agentPatch, agents, agentTools, newAgent } from '../../src/schema/agents.js'
import { projects } from '../../src/schema/projects.js'
import { newTask, taskPatch, tasks } from '../../src/schema/tasks.js'
import { organizationTools } from '../../src/schema/tools.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { type ContractCase, isolationCase } from '../../src/testing/isolation-contract.js'
import { listEveryWay, reads } from './every-option.js'

const Bots = defineRepository(agents, {
  create: newAgent,
  patch: agentPatch,
  includes: { tools: { many: organizationTools, through: agentTools } },
})
const Jobs = defineRepository(tasks, { create: newTask, patch: taskPatch })
const BotTools = defineRepository(agentTools, {
  link: z.strictObject({ agentId: z.uuid(), organizationToolId: z.uuid() }),
  permission: 'agents',
})

const bot = (username: string) => ({ name: 'Bot', username })

const insertTool = async (admin: Session, orgId: string, id: string) => {
  await admin.query('insert into platform.tools (id, key, name) values ($1, $2, $2) on conflict (id) do nothing', [
    id,
    `tool_${id}`,
  ])
  await admin.query('insert into platform.organization_tools (org_id, id, tool_id) values ($1, $2, $2)', [orgId, id])
}

const insertLink = (admin: Session, orgId: string, agentId: string, toolId: string) =>
  admin.query('insert into platform.agent_tools (org_id, agent_id, organization_tool_id) values ($1, $2, $3)', [
    orgId,
    agentId,
    toolId,
  ])

/**
 * A bot with one of two tools. The tool has the id of the bot, so that one id names both in a call. In a third organization the bot has both
 * tools: what reads the links of all organizations finds two tools, and both are the bot's own organization's.
 */
async function botWithTool(org: Org, admin: Session): Promise<string> {
  await org.agents.create(bot('adam'))
  const { id } = await org.agents.create(bot('ada'))
  const [third, other] = [await createOrganization(admin), newId()]
  await admin.query(`insert into platform.agents (org_id, id, name, username) values ($1, $2, 'Bot', 'ada')`, [
    third,
    id,
  ])
  for (const orgId of [third, org.id]) {
    for (const tool of [id, other]) await insertTool(admin, orgId, tool)
    await insertLink(admin, orgId, id, id)
  }
  await insertLink(admin, third, id, other)
  return id
}

const withTools = { include: { tools: true } } as const

/** Throws for a bot that has more than the one tool of its organization. */
function withOneTool<Found extends { readonly tools: readonly unknown[] }>(found: readonly Found[]): readonly Found[] {
  const many = found.find(({ tools }) => tools.length > 1)
  if (many !== undefined) throw new Error(`a bot with one tool has ${many.tools.length}`)
  return found
}

const streamed = async <Row>(rows: AsyncIterable<Row>): Promise<Row[]> => {
  const all: Row[] = []
  for await (const row of rows) all.push(row)
  return all
}

const botReads = reads('status', 'username', { tools: { limit: 3 } })

/** Over a table that hides its deleted rows. */
const bots = {
  repository: Bots,
  tables: [projects, organizationTools, agents, agentTools],
  make: botWithTool,
  calls: {
    ...botReads,
    find: async (all, id) => {
      const found = await all.find(id, withTools)
      return [await botReads.find(all, id), withOneTool(found === undefined ? [] : [found])]
    },
    get: async (all, id) => [await botReads.get(all, id), withOneTool([await all.get(id, withTools)])],
    sum: (all) => all.sum('revision'),
    list: async (all) => [
      await listEveryWay(all, ['status', '-model'], { name: { contains: 'BO', ignoreCase: true } }),
      await all.list({ username: { prefix: 'ad' }, select: ['orgId', 'id'] }),
      withOneTool((await all.list({ name: { prefix: 'Bo' }, ...withTools })).items),
    ],
    stream: async (all) => [
      await streamed(all.stream({ select: ['orgId', 'id'] })),
      withOneTool(await streamed(all.stream(withTools))),
    ],
    count: (all) => all.count({ name: { contains: 'o' } }),
    exists: (all, id) => all.exists({ id }),
    create: (all) => all.create(bot('eve')),
    createMany: (all) => all.createMany([bot('eve'), bot('bob')]),
    update: (all, id) => all.update(id, { name: 'Taken' }, { revision: 1 }),
    updateWhere: (all) => all.updateWhere({ name: { contains: 'ot' } }, { name: 'Taken' }),
    delete: (all, id) => all.delete(id),
    deleteWhere: (all, id) => all.deleteWhere({ or: [{ id }, { name: { prefix: 'Bo' } }] }),
    restore: (all, id) => all.restore(id),
    purge: (all, id) => all.purge(id),
  },
  prepare: { restore: (org, id) => org.agents.delete(id) },
} satisfies ContractCase<InstanceType<typeof Bots>>

/** Over a table that deletes them for good. */
const jobs = {
  repository: Jobs,
  tables: [tasks],
  make: async (org) => {
    await org.tasks.enqueue({ kind: 'mail' })
    return (await org.tasks.enqueue({ kind: 'mail' })).id
  },
  calls: {
    ...reads('status', 'priority'),
    sum: (all) => all.sum('priority'),
    list: async (all) => [
      await listEveryWay(all, ['-startedAt', 'kind'], { kind: { contains: 'ai' } }),
      await all.list({ kind: { prefix: 'ma' } }),
    ],
    stream: (all) => all.stream({ orderBy: ['dedupeKey', '-id'] }),
    count: (all) => all.count(),
    exists: (all, id) => all.exists({ id }),
    create: (all) => all.create({ kind: 'call' }),
    createMany: (all, id) => all.createMany([{ kind: 'call', parentId: id }]),
    update: (all, id) => all.update(id, { priority: 3 }),
    updateWhere: (all, id) => all.updateWhere({ or: [{ id }, { kind: 'mail' }] }, { priority: 3 }),
    delete: (all, id) => all.delete(id),
    deleteWhere: (all) => all.deleteWhere({ kind: { contains: 'AI', ignoreCase: true } }),
  },
} satisfies ContractCase<InstanceType<typeof Jobs>>

const linkOf = (id: string) => ({ agentId: id, organizationToolId: id })

/** Over the links between two tables. */
const botTools = {
  repository: BotTools,
  tables: [projects, organizationTools, agents, agentTools],
  make: async (org, admin) => {
    const id = await botWithTool(org, admin)
    const { items } = await org.agents.list({ username: 'adam' })
    await insertLink(admin, org.id, items[0]?.id ?? '', id)
    return id
  },
  calls: {
    list: (all) => listEveryWay(all, ['-createdAt', 'agentId'], {}, ['orgId', 'agentId']),
    stream: (all) => all.stream({ select: ['orgId', 'organizationToolId'] }),
    count: (all) => all.count(),
    exists: (all, id) => all.exists(linkOf(id)),
    countBy: (all) => all.countBy('organizationToolId'),
    min: (all) => all.min('createdAt'),
    max: (all) => all.max('createdAt'),
    link: async (all, id) => {
      const present = await all.link(linkOf(id))
      await all.unlink(linkOf(id))
      return [present, await all.link(linkOf(id))]
    },
    unlink: (all, id) => all.unlink(linkOf(id)),
    setLinks: async (all, id) => [
      await all.setLinks({ agentId: id }, []),
      await all.setLinks({ organizationToolId: id }, [id]),
      await all.setLinks({ agentId: id }, [id]),
    ],
  },
} satisfies ContractCase<InstanceType<typeof BotTools>>

/** Repositories that `defineRepository` makes. */
export const definedCases = [isolationCase(bots), isolationCase(jobs), isolationCase(botTools)]
