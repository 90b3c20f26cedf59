import { describe, expect, test } from 'vitest'
import { ConflictError, ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { JsonObject } from '../../src/schema/shared/json.js'
import { contend, race } from '../support/contenders.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const byUrl = {
  type: 'object',
  properties: { url: { type: 'string', minLength: 1 } },
  required: ['url'],
  additionalProperties: false,
}

/** A tool of the catalog, and a team. */
async function newTool(inputSchema: JsonObject = byUrl) {
  const tool = `tool-${newId()}`
  await teams.system().catalog.tools.upsert({ key: tool, name: 'Tool', inputSchema })
  const team = await teams.newTeam()
  return { tool, team, tools: team.org.tools }
}

test('a tool is enabled with a config that matches its schema', async () => {
  const { tool, tools } = await newTool()
  const made = await tools.enable(tool, { url: 'https://example.com' })
  expect(made).toMatchObject({ enabled: true, customConfig: { url: 'https://example.com' } })
  expect((await tools.list()).items).toEqual([made])
  await expect(tools.enable(tool, { url: 1 })).rejects.toMatchObject({
    faults: [{ field: 'config.url', reason: 'must be string' }],
  })
  await expect(tools.configure(made.id, {})).rejects.toMatchObject({
    faults: [{ field: 'config.url', reason: 'is missing' }],
  })
  await expect(tools.configure(made.id, { url: 'x', extra: 1 })).rejects.toThrow('config.extra')
  expect(await tools.get(made.id)).toEqual(made)
  expect(await tools.configure(made.id, { url: 'x' })).toMatchObject({ customConfig: { url: 'x' } })
  await expect(tools.configure(newId(), { url: 'x' })).rejects.toThrow(NotFoundError)
  await expect(tools.configure(made.id, [] as never)).rejects.toThrow(InvalidInputError)
})

test('enabling again keeps the config, unless another one is given or it does not match any more', async () => {
  const { tool, tools } = await newTool()
  const first = await tools.enable(tool)
  expect(first).toMatchObject({ customConfig: {}, enabled: true })
  await tools.enable(tool, { url: 'one' })
  await tools.disable(first.id)
  expect(await tools.enable(tool)).toMatchObject({ id: first.id, enabled: true, customConfig: { url: 'one' } })
  await teams.system().catalog.tools.upsert({ key: tool, name: 'Tool', inputSchema: { required: ['host'] } })
  await expect(tools.enable(tool)).rejects.toThrow('config.host: is missing')
  expect(await tools.enable(tool, { host: 'two' })).toMatchObject({ customConfig: { host: 'two' } })
})

test('a tool must be active in the catalog; who has it enabled keeps it', async () => {
  const { tool, tools } = await newTool()
  const { id } = await tools.enable(tool, { url: 'one' })
  await teams.system().catalog.tools.archive(tool)
  const refusal = 'tool: is not an active tool of the catalog'
  await expect(tools.enable(tool)).rejects.toThrow(refusal)
  await expect(tools.enable('nothing')).rejects.toThrow(refusal)
  expect(await tools.configure(id, { url: 'two' })).toMatchObject({ enabled: true, customConfig: { url: 'two' } })
})

test('a tool that is disabled is taken from the agents that have it', async () => {
  const { tool, tools, team } = await newTool()
  const { agents } = team.org
  const { id } = await tools.enable(tool)
  await teams.system().catalog.tools.upsert({ key: 'another', name: 'Another' })
  const other = await tools.enable('another')
  const ada = await agents.create({ name: 'Ada', username: 'ada' })
  const eve = await agents.create({ name: 'Eve', username: 'eve' })
  await agents.setTools(ada.id, [id, other.id])
  await agents.setTools(eve.id, [id])
  expect(await tools.disable(id)).toMatchObject({ id, enabled: false })
  expect(await agents.tools(ada.id)).toEqual([other.id])
  expect(await agents.tools(eve.id)).toEqual([])
  await expect(agents.setTools(ada.id, [other.id, id])).rejects.toThrow(ConflictError)
  expect(await agents.tools(ada.id)).toEqual([other.id])
  await tools.enable(tool)
  expect(await agents.tools(eve.id)).toEqual([])
  await agents.setTools(eve.id, [id])
  expect(await agents.tools(eve.id)).toEqual([id])
  await expect(tools.disable(newId())).rejects.toThrow(NotFoundError)
})

test('a deleted agent has no tools until it is restored', async () => {
  const { tool, tools, team } = await newTool()
  const { id } = await tools.enable(tool)
  const ada = await team.org.agents.create({ name: 'Ada', username: 'ada' })
  await team.org.agents.setTools(ada.id, [id])
  await team.org.agents.delete(ada.id)
  expect(await team.org.agents.tools(ada.id)).toEqual([])
  await expect(team.org.agents.setTools(ada.id, [])).rejects.toThrow(NotFoundError)
  await team.org.agents.restore(ada.id)
  expect(await team.org.agents.tools(ada.id)).toEqual([id])
})

test('the catalog refuses a schema that cannot be used, and a tool that has one cannot be configured', async () => {
  const { tool, tools } = await newTool()
  for (const inputSchema of [{ type: 'text' }, { $ref: 'https://example.com/x' }, { $ref: '#' }]) {
    await expect(teams.system().catalog.tools.upsert({ key: tool, name: 'Tool', inputSchema })).rejects.toMatchObject({
      faults: [{ field: 'inputSchema' }],
    })
  }
  const { id } = await tools.enable(tool, { url: 'one' })
  await teams.database.admin.query(`update platform.tools set input_schema = '{"type": "text"}' where key = $1`, [tool])
  await expect(tools.configure(id, { url: 'two' })).rejects.toThrow('tools: the tool cannot be configured: inputSchema')
  expect(await tools.get(id)).toMatchObject({ customConfig: { url: 'one' } })
})

test('reading and writing need the permissions of tools, and are in the audit log', async () => {
  const { tool, team } = await newTool()
  const [developer, manager, customer] = [
    await team.join('developer'),
    await team.join('manager'),
    await team.join('customer'),
  ]
  const { id } = await (await team.as(developer.userId)).tools.enable(tool, { url: 'one' })
  await (await team.as(developer.userId)).tools.configure(id, { url: 'two' })
  const managing = (await team.as(manager.userId)).tools
  expect(await managing.get(id)).toMatchObject({ id })
  await expect(managing.disable(id)).rejects.toThrow(ForbiddenError)
  await expect((await team.as(customer.userId)).tools.list()).rejects.toThrow(ForbiddenError)
  const { items } = await team.org.audit.list({ resourceType: 'organization_tools', orderBy: 'createdAt' })
  expect(items.map(({ eventType }) => eventType)).toEqual(['organization_tools.enable', 'organization_tools.configure'])
  expect(items[1]?.changes).toMatchObject({ customConfig: { old: { url: 'one' }, new: { url: 'two' } } })
})

describe('at once', () => {
  race('twenty enable one tool, and it has one row', async () => {
    const { tool, tools } = await newTool()
    const { won, lost } = await contend((contender) => tools.enable(tool, { url: `u${contender}` }))
    expect(lost).toEqual([])
    expect(new Set(won.map(({ id }) => id)).size).toBe(1)
  })

  race('no agent is left with a tool that was disabled while it got it', async () => {
    const { tool, tools, team } = await newTool()
    const { id } = await tools.enable(tool)
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, index) => team.org.agents.create({ name: 'Ada', username: `ada-${index}` })),
    )
    const { lost } = await contend(async (contender) => {
      if (contender === 10) await tools.disable(id)
      else await team.org.agents.setTools(made[contender]?.id ?? '', [id])
    })
    expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
    expect(await Promise.all(made.map((agent) => team.org.agents.tools(agent.id)))).toEqual(made.map(() => []))
  })

  race('an agent has exactly the tools of one of the calls that set them', async () => {
    const { tools, team } = await newTool()
    const ids: string[] = []
    for (let made = 0; made < 5; made++) {
      const key = `t-${newId()}`
      await teams.system().catalog.tools.upsert({ key, name: 'Tool' })
      ids.push((await tools.enable(key)).id)
    }
    const ada = await team.org.agents.create({ name: 'Ada', username: 'ada' })
    const setOf = (contender: number) => ids.filter((_, index) => ((contender + 1) >> index) % 2 === 1)
    const { lost } = await contend((contender) => team.org.agents.setTools(ada.id, setOf(contender)))
    expect(lost).toEqual([])
    const sets = Array.from({ length: 20 }, (_, contender) => setOf(contender).toSorted())
    expect(sets).toContainEqual(await team.org.agents.tools(ada.id))
  })
})
