import { newId } from '../../src/core/ids.js'
import { Llms } from '../../src/repositories/llms.js'
import { Tools } from '../../src/repositories/tools.js'
import { agents, agentTools, organizationLlms, organizationTools } from '../../src/schema/index.js'
import type { ContractCase } from '../../src/testing/isolation-contract.js'
import { listEveryWay, reads } from './every-option.js'

/** Language models of the catalog, which all organizations have in common. */
const llm = 'contract-model'
const otherLlm = 'other-model'
export const llmsCase = {
  repository: Llms,
  tables: [organizationLlms, agents],
  make: async (org, admin) => {
    for (const key of [llm, otherLlm]) {
      await admin.query(
        `insert into platform.llms (id, key, name, provider, models) values ($1, $2, $2, $2, '["small"]') on conflict (key) do nothing`,
        [newId(), key],
      )
    }
    await org.llms.configure({ llm: otherLlm, apiKey: 'key', defaultModel: 'small' })
    const { id } = await org.llms.configure({ llm, apiKey: 'key' })
    await org.agents.create({ name: 'Ada', username: 'ada', organizationLlmId: id })
    return id
  },
  calls: {
    ...reads('defaultModel', 'createdAt'),
    list: async (all, id) => [
      await all.list({ id }),
      await all.list({ defaultModel: { prefix: 'sm' } }),
      await listEveryWay(all, ['defaultModel', '-createdAt']),
      await all.list({ include: { llm: true } }),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ defaultModel: null }),
    exists: (all, id) => all.exists({ id }),
    configure: (all) => all.configure({ llm, apiKey: 'taken', defaultModel: 'small' }),
    rotateKey: (all, id) => all.rotateKey(id, 'taken'),
    reveal: (all, id) => all.reveal(id),
    remove: (all, id) => all.remove(id),
  },
} satisfies ContractCase<Llms>

const tool = 'contract-tool'
// As in the organizations of the tests of plans, which have statistics about it.
const otherTool = 'tool-2'
export const toolsCase = {
  repository: Tools,
  tables: [organizationTools, agents, agentTools],
  make: async (org, admin) => {
    for (const key of [tool, otherTool]) {
      await admin.query(
        `insert into platform.tools (id, key, name, input_schema) values ($1, $2, $2, '{"type": "object"}') on conflict (key) do nothing`,
        [newId(), key],
      )
    }
    await org.tools.enable(otherTool)
    const { id } = await org.tools.enable(tool, { base: 'one' })
    const agent = await org.agents.create({ name: 'Ada', username: 'ada' })
    await org.agents.setTools(agent.id, [id])
    return id
  },
  calls: {
    ...reads('enabled', 'createdAt'),
    list: async (all, id) => [
      await all.list({ id }),
      await listEveryWay(all, ['-createdAt', 'toolId']),
      await all.list({ include: { tool: true } }),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ enabled: true }),
    exists: (all, id) => all.exists({ id }),
    enable: (all) => all.enable(tool, { base: 'taken' }),
    configure: (all, id) => all.configure(id, { base: 'taken' }),
    disable: (all, id) => all.disable(id),
  },
} satisfies ContractCase<Tools>
