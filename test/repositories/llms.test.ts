import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { Secret } from '../../src/schema/shared/secret.js'
import { contend, race } from '../support/contenders.js'
import { newActor, useTeams } from '../support/use-teams.js'

const teams = useTeams()

const refusal = 'defaultModel: is neither a model of the catalog nor one of `models`'

/** A language model of the catalog with two models, and a team. */
async function newModel() {
  const llm = `model-${newId()}`
  await teams.system().catalog.llms.upsert({ key: llm, name: 'Model', provider: 'acme', models: ['small', 'large'] })
  const team = await teams.newTeam()
  return { llm, team, llms: team.org.llms }
}

test('keeps a key, and only reveal gives it', async () => {
  const { llm, llms } = await newModel()
  const made = await llms.configure({ llm, apiKey: 'marker', defaultModel: 'small' })
  expect(made).toMatchObject({ defaultModel: 'small', models: {} })
  expect(await llms.get(made.id)).toEqual(made)
  expect((await llms.list()).items).toEqual([made])
  expect(inspect(made)).not.toContain('marker')
  const revealed = await llms.reveal(made.id)
  expect(revealed?.reveal()).toBe('marker')
  expect(inspect(revealed)).not.toContain('marker')
  await expect(llms.reveal(newId())).rejects.toThrow(NotFoundError)
})

test('configuring again changes what is given, and nothing else', async () => {
  const { llm, llms } = await newModel()
  const first = await llms.configure({ llm, apiKey: new Secret('one'), models: { own: { temperature: 0 } } })
  const second = await llms.configure({ llm, defaultModel: 'own' })
  expect(second).toMatchObject({ id: first.id, defaultModel: 'own', models: { own: { temperature: 0 } } })
  expect((await llms.reveal(first.id))?.reveal()).toBe('one')
  expect(await llms.configure({ llm, apiKey: 'two', defaultModel: undefined })).toMatchObject({ defaultModel: 'own' })
  expect((await llms.reveal(first.id))?.reveal()).toBe('two')
  expect(await llms.configure({ llm })).toMatchObject({ id: first.id, defaultModel: 'own' })
  expect(await llms.configure({ llm, defaultModel: null })).toMatchObject({ defaultModel: null })
})

test('a language model may be configured without a key', async () => {
  const { llm, llms } = await newModel()
  const { id } = await llms.configure({ llm })
  expect(await llms.reveal(id)).toBeUndefined()
  await llms.rotateKey(id, 'new')
  expect((await llms.reveal(id))?.reveal()).toBe('new')
  await expect(llms.rotateKey(id, '')).rejects.toThrow('apiKey')
  await expect(llms.rotateKey(id, undefined as never)).rejects.toThrow(InvalidInputError)
  await expect(llms.rotateKey(newId(), 'new')).rejects.toThrow(NotFoundError)
})

test('the default model is one of the catalog’s or of the organization’s own', async () => {
  const { llm, llms } = await newModel()
  await expect(llms.configure({ llm, defaultModel: 'huge' })).rejects.toThrow(refusal)
  await expect(llms.configure({ llm, defaultModel: 'toString' })).rejects.toThrow(refusal)
  await llms.configure({ llm, defaultModel: 'huge', models: { huge: {} } })
  // The one that is set would not be there any more.
  await expect(llms.configure({ llm, models: {} })).rejects.toThrow(refusal)
  expect(await llms.configure({ llm, models: {}, defaultModel: 'large' })).toMatchObject({ defaultModel: 'large' })
})

test('a language model must be active in the catalog; who has it configured keeps it', async () => {
  const { llm, llms } = await newModel()
  const { id } = await llms.configure({ llm, apiKey: 'one' })
  await teams.system().catalog.llms.archive(llm)
  const notActive = 'llm: is not an active language model of the catalog'
  await expect(llms.configure({ llm, apiKey: 'two' })).rejects.toThrow(notActive)
  await expect(llms.configure({ llm: 'nobody', apiKey: 'two' })).rejects.toThrow(notActive)
  await llms.rotateKey(id, 'three')
  expect((await llms.reveal(id))?.reveal()).toBe('three')
})

test('removing one leaves its agents without a language model', async () => {
  const { llm, llms, team } = await newModel()
  const { id } = await llms.configure({ llm, apiKey: 'one' })
  const agent = await team.org.agents.create({ name: 'Ada', username: 'ada', organizationLlmId: id })
  expect(await llms.remove(id)).toMatchObject({ id })
  expect(await llms.find(id)).toBeUndefined()
  expect(await team.org.agents.get(agent.id)).toMatchObject({ organizationLlmId: null })
  await expect(llms.remove(id)).rejects.toThrow(NotFoundError)
  expect((await llms.configure({ llm })).id).not.toBe(id)
})

test('the key’s uses are in the audit log, and the key is not', async () => {
  const { llm, llms, team } = await newModel()
  const { id } = await llms.configure({ llm, apiKey: 'marker-1', defaultModel: 'small' })
  await llms.configure({ llm, apiKey: 'marker-2', defaultModel: 'large' })
  await llms.rotateKey(id, 'marker-3')
  await llms.reveal(id)
  const { items } = await team.org.audit.list({ resourceType: 'organization_llms', orderBy: 'createdAt' })
  expect(items.map(({ eventType }) => eventType)).toEqual([
    'organization_llms.configure',
    'organization_llms.configure',
    'organization_llms.rotateKey',
    'organization_llms.reveal',
  ])
  expect(items[1]?.changes).toMatchObject({ apiKey: 'changed', defaultModel: { old: 'small', new: 'large' } })
  expect(JSON.stringify(items)).not.toContain('marker')
})

test('revealing needs a permission of its own', async () => {
  const { llm, llms, team } = await newModel()
  const { id } = await llms.configure({ llm, apiKey: 'one' })
  const [reader, developer, admin] = [
    await team.join('read_only'),
    await team.join('developer'),
    await team.join('admin'),
  ]
  const reading = (await team.as(reader.userId)).llms
  expect(await reading.get(id)).toMatchObject({ id })
  await expect(reading.configure({ llm })).rejects.toThrow(ForbiddenError)
  const building = (await team.as(developer.userId)).llms
  await building.rotateKey(id, 'two')
  await expect(building.reveal(id)).rejects.toMatchObject({ code: 'forbidden', permission: 'llms:reveal' })
  expect((await (await team.as(admin.userId)).llms.reveal(id))?.reveal()).toBe('two')
})

describe('at once', () => {
  race('twenty configure one language model, and it has one row', async () => {
    const { llm, llms } = await newModel()
    const { won, lost } = await contend((contender) =>
      llms.configure({ llm, apiKey: `key-${contender}`, models: { [`m${contender}`]: {} } }),
    )
    expect(lost).toEqual([])
    expect(new Set(won.map(({ id }) => id)).size).toBe(1)
    const [row] = (await llms.list()).items
    const last = Object.keys(row?.models ?? {})[0]?.slice(1)
    // Key and models are those of one call.
    expect((await llms.reveal(row?.id ?? ''))?.reveal()).toBe(`key-${last}`)
  })

  race('a default model is never one that another call has taken away', async () => {
    const { llm, llms } = await newModel()
    await llms.configure({ llm, models: { own: {} } })
    const { won, lost } = await contend((contender) =>
      llms.configure(contender % 2 === 0 ? { llm, models: {} } : { llm, defaultModel: 'own' }),
    )
    // Whichever of the two came first, the ten others of its kind succeed and the ten of the other kind are refused.
    const [row] = (await llms.list()).items
    const outcome =
      row?.defaultModel === null ? { defaultModel: null, models: {} } : { defaultModel: 'own', models: { own: {} } }
    expect(row).toMatchObject(outcome)
    expect(won.map(({ defaultModel, models }) => ({ defaultModel, models }))).toEqual(Array(10).fill(outcome))
    expect(lost.map(String)).toEqual(Array(10).fill(expect.stringContaining(refusal)))
  })
})

test('an agent comes with its model and its tools, and these with their rows of the catalog', async () => {
  const { llm, team, llms } = await newModel()
  const key = `tool-${newId()}`
  await teams.system().catalog.tools.upsert({ key, name: 'Search', inputSchema: {} })
  const configured = await llms.configure({ llm, apiKey: 'marker' })
  const tool = await team.org.tools.enable(key)
  const { id } = await team.org.agents.create({ name: 'Ada', username: 'ada', organizationLlmId: configured.id })
  await team.org.agents.setTools(id, [tool.id])
  const agent = await team.org.agents.get(id, { include: { llm: true, tools: true } })
  expect(agent).toMatchObject({ llm: configured, tools: [tool] })
  expect(JSON.stringify(agent)).not.toContain('marker')
  expect((await llms.list({ include: { llm: true } })).items).toMatchObject([{ llm: { key: llm, name: 'Model' } }])
  const tools = await team.org.tools.list({ include: { tool: true } })
  expect(tools.items).toMatchObject([{ id: tool.id, tool: { key, name: 'Search' } }])

  const reader = await newActor(team, ['agents:read', 'llms:read'])
  expect((await reader.agents.get(id, { include: { llm: true } })).llm).toEqual(configured)
  await expect(reader.agents.get(id, { include: { tools: true } })).rejects.toEqual(new ForbiddenError('tools:read'))
  const other = await newActor(team, ['agents:read', 'tools:read'])
  expect((await other.agents.get(id, { include: { tools: true } })).tools).toEqual([tool])
  await expect(other.agents.get(id, { include: { llm: true } })).rejects.toEqual(new ForbiddenError('llms:read'))
})
