import { beforeAll, expect, test } from 'vitest'
import { BrokenReferenceError, ConflictError, NotFoundError, VersionConflictError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import { contend, waitersFor } from '../support/contenders.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg, database } = useTenancy()
const catalog = [newId(), newId(), newId()]

beforeAll(async () => {
  for (const id of catalog)
    await database.admin.query('insert into platform.tools (id, key, name) values ($1, $2, $2)', [id, `tool_${id}`])
})

/** Three tools that the organization has set up, in the order of their ids. */
async function toolsOf(org: Org): Promise<string[]> {
  const ids = catalog.map(() => newId())
  for (const [index, id] of ids.entries()) {
    await database.admin.query('insert into platform.organization_tools (org_id, id, tool_id) values ($1, $2, $3)', [
      org.id,
      id,
      catalog[index],
    ])
  }
  return ids
}

const newAgent = (org: Org, username = 'ada') => org.agents.create({ name: 'Ada', username })

test('an agent is created as a draft, found by its username, and changed', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  const agent = await org.agents.create({ name: 'Ada', username: 'ada', projectId: project.id, settings: { t: 0.2 } })
  expect(agent).toMatchObject({
    orgId: org.id,
    status: 'draft',
    projectId: project.id,
    settings: { t: 0.2 },
    revision: 1,
  })
  expect(await org.agents.get(agent.id)).toEqual(agent)
  expect(await org.agents.findByUsername('ada')).toEqual(agent)
  expect(await org.agents.findByUsername('eve')).toBeUndefined()

  const changed = await org.agents.update(agent.id, { instructions: 'Be brief.', projectId: null })
  expect(changed).toMatchObject({ name: 'Ada', instructions: 'Be brief.', projectId: null, revision: 2 })
})

test('a username is unique in its organization, until the agent is archived', async () => {
  const org = await newOrg()
  const first = await newAgent(org)
  await expect(newAgent(org)).rejects.toMatchObject({ code: 'conflict', fields: ['username'] })

  await org.agents.delete(first.id)
  await expect(newAgent(org)).resolves.toBeDefined()
})

test('of twenty agents with one username, one is made', async () => {
  const org = await newOrg()
  const { won, lost } = await contend(() => newAgent(org))
  expect(won).toHaveLength(1)
  expect(lost).toEqual(Array.from({ length: 19 }, () => expect.any(ConflictError) as unknown))
  expect(await org.agents.count()).toBe(1)
})

test('an archived agent is hidden until it is restored', async () => {
  const org = await newOrg()
  const agent = await newAgent(org)
  await org.agents.delete(agent.id)
  expect(await org.agents.find(agent.id)).toBeUndefined()
  expect(await org.agents.findByUsername('ada')).toBeUndefined()
  expect(await org.agents.count()).toBe(0)
  await expect(org.agents.delete(agent.id)).rejects.toThrow(NotFoundError)
  await expect(org.agents.activate(agent.id)).rejects.toThrow(NotFoundError)
  await expect(org.agents.setTools(agent.id, [])).rejects.toThrow(NotFoundError)
  await expect(org.agents.duplicate(agent.id, { username: 'bob' })).rejects.toThrow(NotFoundError)

  expect(await org.agents.restore(agent.id)).toMatchObject({ id: agent.id, deletedAt: null, revision: 3 })
})

test('an agent whose username was taken meanwhile is not restored', async () => {
  const org = await newOrg()
  const agent = await newAgent(org)
  await org.agents.delete(agent.id)
  await newAgent(org)
  await expect(org.agents.restore(agent.id)).rejects.toThrow(ConflictError)
  expect(await org.agents.find(agent.id)).toBeUndefined()
})

test('of two changes to one revision, one is made', async () => {
  const org = await newOrg()
  const { id, revision } = await newAgent(org)
  await expect(org.agents.update(id, { name: 'One' }, { revision })).resolves.toMatchObject({ revision: 2 })
  await expect(org.agents.update(id, { name: 'Two' }, { revision })).rejects.toThrow(VersionConflictError)
  expect(await org.agents.get(id)).toMatchObject({ name: 'One', revision: 2 })
  await expect(org.agents.update(newId(), { name: 'x' }, { revision })).rejects.toThrow(NotFoundError)
})

test('of twenty changes to one revision at once, one is made', async () => {
  const org = await newOrg()
  const { id, revision } = await newAgent(org)
  const { won, lost } = await contend((contender) => org.agents.update(id, { name: `${contender}` }, { revision }))
  expect(won).toHaveLength(1)
  expect(lost).toEqual(Array.from({ length: 19 }, () => expect.any(VersionConflictError) as unknown))
  expect(await org.agents.get(id)).toEqual(won[0])
})

test('twenty changes that name no revision are all made', async () => {
  const org = await newOrg()
  const { id } = await newAgent(org)
  const { won } = await contend((contender) => org.agents.update(id, { name: `${contender}` }))
  expect(won.map(({ revision }) => revision).sort((a, b) => a - b)).toEqual(won.map((_, index) => index + 2))
})

test.each([
  null,
  1,
  'x',
  [],
  { revision: '1' },
  { revision: 0 },
  { revision: 1.5 },
  { revision: null },
  { revision: 2 ** 31 },
  { revison: 1 },
])('an update with the options %j is refused', async (options) => {
  const org = await newOrg()
  const { id } = await newAgent(org)
  await expect(org.agents.update(id, { name: 'x' }, options as never)).rejects.toMatchObject({ code: 'invalid_input' })
})

test('an agent is activated and paused, and nothing else', async () => {
  const org = await newOrg()
  const { id } = await newAgent(org)
  await expect(org.agents.pause(id)).rejects.toThrow('agents: cannot pause while it is draft; it must be active')
  expect(await org.agents.activate(id)).toMatchObject({ status: 'active', revision: 2 })
  await expect(org.agents.activate(id)).rejects.toThrow(ConflictError)
  expect(await org.agents.pause(id)).toMatchObject({ status: 'paused', revision: 3 })
  await expect(org.agents.pause(id)).rejects.toThrow(ConflictError)
  expect(await org.agents.activate(id)).toMatchObject({ status: 'active', revision: 4 })
  await expect(org.agents.activate(newId())).rejects.toThrow(NotFoundError)
})

test('twenty activate an agent, and one does', async () => {
  const org = await newOrg()
  const { id } = await newAgent(org)
  const { won, lost } = await contend(() => org.agents.activate(id))
  expect(won).toMatchObject([{ status: 'active', revision: 2 }])
  expect(lost).toEqual(Array.from({ length: 19 }, () => expect.any(ConflictError) as unknown))
})

test('a project that is missing, deleted or another organization’s is refused in the same words', async () => {
  const org = await newOrg()
  const theirs = await (await newOrg()).projects.create({ name: 'Theirs', slug: 'theirs' })
  const deleted = await org.projects.create({ name: 'Gone', slug: 'gone' })
  await org.projects.delete(deleted.id)
  const { id } = await newAgent(org)

  const refusals = new Set<string>()
  for (const projectId of [newId(), deleted.id, theirs.id]) {
    for (const call of [
      () => org.agents.create({ name: 'Eve', username: 'eve', projectId }),
      () => org.agents.update(id, { projectId }),
      () => org.agents.update(id, { projectId }, { revision: 1 }),
    ]) {
      refusals.add(await call().then(() => 'it went well', String))
    }
  }
  expect([...refusals]).toEqual([
    'BrokenReferenceError: agents: projectId does not refer to a row of this organization',
  ])
  expect(await org.agents.list()).toMatchObject({ items: [{ id, projectId: null, revision: 1 }] })
})

test('no agent is made in a project after the project was deleted', async () => {
  const org = await newOrg()
  for (let round = 0; round < 5; round++) {
    const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
    const create = (contender: number) =>
      org.agents.create({ name: 'Ada', username: `ada-${round}-${contender}`, projectId: project.id })
    const [{ won, lost }] = await Promise.all([contend(create), org.projects.delete(project.id)])
    expect(lost.filter((error) => !(error instanceof BrokenReferenceError))).toEqual([])
    await expect(create(20)).rejects.toThrow(BrokenReferenceError)
    expect(await org.agents.count({ projectId: project.id })).toBe(won.length)
  }
})

test('a create that meets the deletion of its project waits for it, and is refused', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  let creates: Promise<{ won: unknown[]; lost: unknown[] }> | undefined
  await org.transaction(async (inner) => {
    await inner.projects.delete(project.id)
    creates = contend((contender) =>
      org.agents.create({ name: 'Ada', username: `ada-${contender}`, projectId: project.id }),
    )
    // All connections that are left wait for the lock.
    await waitersFor(database.admin, '%insert into "platform"."agents"%', 7)
  })
  const { won, lost } = (await creates) ?? { won: [], lost: [] }
  expect(won).toEqual([])
  expect(lost).toEqual(Array.from({ length: 20 }, () => expect.any(BrokenReferenceError) as unknown))
  expect(await org.agents.count()).toBe(0)
})

test('an agent has the tools that were set last', async () => {
  const org = await newOrg()
  const [first = '', second = '', third = ''] = await toolsOf(org)
  const { id } = await newAgent(org)
  expect(await org.agents.tools(id)).toEqual([])
  await org.agents.setTools(id, [second, first, second])
  expect(await org.agents.tools(id)).toEqual([first, second])
  await org.agents.setTools(id, [third, first])
  expect(await org.agents.tools(id)).toEqual([first, third])
  await org.agents.setTools(id, [])
  expect(await org.agents.tools(id)).toEqual([])
})

test('tools that are missing or another organization’s are refused, and those that were set stay', async () => {
  const org = await newOrg()
  const other = await newOrg()
  const [mine = ''] = await toolsOf(org)
  const [theirs = ''] = await toolsOf(other)
  const { id } = await newAgent(org)
  await org.agents.setTools(id, [mine])
  for (const tool of [newId(), theirs]) {
    await expect(org.agents.setTools(id, [tool])).rejects.toThrow(BrokenReferenceError)
  }
  for (const tools of [null, 'x', [1], ['x'], { 0: mine }]) {
    await expect(org.agents.setTools(id, tools as never)).rejects.toMatchObject({ code: 'invalid_input' })
  }
  expect(await org.agents.tools(id)).toEqual([mine])
  await expect(other.agents.setTools(id, [theirs])).rejects.toThrow(NotFoundError)
  expect(await other.agents.tools(id)).toEqual([])
})

test('when several lists of tools are set at once, one is stored whole', async () => {
  const org = await newOrg()
  const [first = '', second = '', third = ''] = await toolsOf(org)
  const { id } = await newAgent(org)
  const lists = [[first], [second, third]]
  await contend((contender) => org.agents.setTools(id, lists[contender % 2] ?? []))
  expect(lists).toContainEqual(await org.agents.tools(id))
})

test.each(['repeatable read', 'serializable'] as const)('at isolation %s tools are not set', async (isolation) => {
  const org = await newOrg()
  const [first = '', second = ''] = await toolsOf(org)
  const { id } = await newAgent(org)
  const set = org.transaction(
    async (inner) => {
      await inner.agents.count()
      await org.agents.setTools(id, [first])
      await inner.agents.setTools(id, [second])
    },
    { isolation },
  )
  await expect(set).rejects.toThrow(`links cannot be set at isolation ${isolation}: use read committed`)
  expect(await org.agents.tools(id)).toEqual([first])
})

test('a duplicate is a draft with the same configuration and tools', async () => {
  const org = await newOrg()
  const [first = '', second = ''] = await toolsOf(org)
  const agent = await org.agents.create({ name: 'Ada', username: 'ada', instructions: 'Be brief.', settings: { t: 1 } })
  await org.agents.setTools(agent.id, [first, second])
  await org.agents.activate(agent.id)

  const copy = await org.agents.duplicate(agent.id, { username: 'bob' })
  expect(copy).toMatchObject({
    name: 'Ada',
    username: 'bob',
    instructions: 'Be brief.',
    settings: { t: 1 },
    status: 'draft',
  })
  expect(copy).toMatchObject({ revision: 1 })
  expect(copy.id).not.toBe(agent.id)
  expect(await org.agents.tools(copy.id)).toEqual([first, second])
  expect(await org.agents.duplicate(agent.id, { username: 'eve', name: 'Eve' })).toMatchObject({ name: 'Eve' })

  await expect(org.agents.duplicate(agent.id, { username: 'bob' })).rejects.toThrow(ConflictError)
  await expect(org.agents.duplicate(agent.id, { username: 'x', id: newId() } as never)).rejects.toMatchObject({
    faults: [{ field: 'id' }],
  })
  await expect(org.agents.duplicate(agent.id, null as never)).rejects.toMatchObject({ code: 'invalid_input' })
  expect(await org.agents.count()).toBe(3)
})

test('a purge takes the agent and its tools, archived or not, and leaves its tasks, without it', async () => {
  const org = await newOrg()
  const [tool = ''] = await toolsOf(org)
  const { id } = await newAgent(org)
  await org.agents.setTools(id, [tool])
  const task = await org.tasks.enqueue({ kind: 'answer', agentId: id })
  await org.agents.delete(id)

  expect(await org.agents.purge(id)).toMatchObject({ id })
  expect(await org.tasks.get(task.id)).toMatchObject({ agentId: null, kind: 'answer' })
  await expect(org.agents.restore(id)).rejects.toThrow(NotFoundError)
  const rows = await database.admin.query('select from platform.agent_tools where org_id = $1', [org.id])
  expect(rows).toEqual([])
})

test.each(['orgId', 'id', 'createdAt', 'status', 'revision', 'deletedAt', '__proto__'])(
  '%s cannot be given',
  async (field) => {
    const org = await newOrg()
    const agent = await newAgent(org)
    const input = JSON.parse(`{ "${field}": "x" }`) as object
    const create = org.agents.create(Object.assign(Object.create(null), { name: 'x', username: 'x' }, input) as never)
    await expect(create).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(org.agents.update(agent.id, input)).rejects.toMatchObject({ code: 'invalid_input' })
    expect(await org.agents.list()).toMatchObject({ items: [agent] })
  },
)

test('a change of nothing is refused', async () => {
  const org = await newOrg()
  const { id, revision } = await newAgent(org)
  await expect(org.agents.update(id, {})).rejects.toMatchObject({ code: 'invalid_input' })
  await expect(org.agents.update(id, { name: undefined }, { revision })).rejects.toMatchObject({
    code: 'invalid_input',
  })
})
