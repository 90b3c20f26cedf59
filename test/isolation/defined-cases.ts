import { defineRepository } from '../../src/core/define-repository.js'
import { agentPatch, agents, newAgent } from '../../src/schema/agents.js'
import { projects } from '../../src/schema/projects.js'
import { newTask, taskPatch, tasks } from '../../src/schema/tasks.js'
import { type ContractCase, isolationCase } from '../../src/testing/isolation-contract.js'
import { listEveryWay, reads } from './every-option.js'

const Bots = defineRepository(agents, { create: newAgent, patch: agentPatch })
const Jobs = defineRepository(tasks, { create: newTask, patch: taskPatch })

const bot = (username: string) => ({ name: 'Bot', username })

/** Over a table that hides its deleted rows. */
const bots = {
  repository: Bots,
  tables: [projects, agents],
  make: async (org) => {
    await org.agents.create(bot('adam'))
    return (await org.agents.create(bot('ada'))).id
  },
  calls: {
    ...reads('status', 'username'),
    sum: (all) => all.sum('revision'),
    list: (all) => listEveryWay(all, ['status', '-model'], { name: { contains: 'BO', ignoreCase: true } }),
    stream: (all) => all.stream({ select: ['orgId', 'id'] }),
    count: (all) => all.count({ name: { contains: 'o' } }),
    exists: (all, id) => all.exists({ id }),
    create: (all) => all.create(bot('eve')),
    createMany: (all) => all.createMany([bot('eve'), bot('bob')]),
    update: (all, id) => all.update(id, { name: 'Taken' }, { revision: 1 }),
    updateWhere: (all) => all.updateWhere({ name: { contains: 'ot' } }, { name: 'Taken' }),
    delete: (all, id) => all.delete(id),
    deleteWhere: (all, id) => all.deleteWhere({ or: [{ id }, { name: 'Bot' }] }),
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
    list: (all) => listEveryWay(all, ['-startedAt', 'kind'], { kind: { contains: 'ai' } }),
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

/** Repositories that `defineRepository` makes. */
export const definedCases = [isolationCase(bots), isolationCase(jobs)]
