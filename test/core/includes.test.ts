import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { DefinitionError, ForbiddenError, InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { IncludeOptions } from '../../src/core/statements/includes.js'
import type { Org } from '../../src/org.js'
import { agents, projects, type Schedule, tasks, workflows } from '../../src/schema/index.js'
import { holders, makeSampleTables, marks, ofHolders, samples } from '../support/sample-tables.js'
import { newActor, newKey, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const anything = z.looseObject({})
const Samples = defineRepository(samples, {
  create: anything,
  patch: anything,
  includes: { holder: { one: holders, by: 'holderId' }, markers: { many: holders, through: marks } },
})
const Holders = defineRepository(holders, {
  create: anything,
  patch: anything,
  includes: ofHolders,
})
const Marks = defineRepository(marks, {
  link: z.strictObject({ holderId: z.uuid(), sampleId: z.uuid() }),
  includes: { sample: { one: samples, by: 'sampleId' }, holder: { one: holders, by: 'holderId' } },
})

let team: Team
beforeAll(async () => {
  await makeSampleTables(teams.database.admin)
  team = await teams.newTeam()
})

const full = {
  text: 'quotes " and \\ and \n and 😀',
  word: 'word',
  code: 'EU',
  flag: true,
  small: -32768,
  whole: 2147483647,
  large: 9223372036854775807n,
  safe: 9007199254740991,
  price: '10.00',
  ratio: '123456789012345678901234567890.1234567890',
  double: 0.1 + 0.2,
  single: 0.1,
  day: '2026-11-30',
  dayAsDate: new Date('2026-11-30'),
  moment: new Date('2026-11-30T05:42:17.123Z'),
  momentAsText: '2026-11-30 05:42:17.123456+00',
  local: new Date('2026-11-30T05:42:17.123Z'),
  hour: '05:42:17.5',
  span: '1 year 2 mons 3 days 04:05:06.7',
  address: '10.0.0.1',
  bytes: Buffer.from([0, 1, 254, 255]),
  exact: { deep: [1, 1.5, 'two', null, { '1': '1' }], text: '"1"' },
  plain: { b: 1, a: [2] },
  binary: ['1', 1e21, false],
  words: ['a', 'b,"c"', 'NULL', ''],
  numbers: [1, -2],
  larges: [9223372036854775807n, 0n],
  prices: ['1.10', '0.000000000000000000001'],
  flags: [true, false],
  moments: [new Date('2026-11-30T05:42:17Z')],
  grid: [
    [1, 2],
    [3, 4],
  ],
  hiddenText: 'hidden',
}
const limits = {
  double: Number.NaN,
  single: Infinity,
  ratio: 'NaN',
  exact: null,
  words: [],
  moment: new Date(-62_000_000_000_000),
}

describe('a column of each kind', () => {
  let holder: { id: string }
  const org = (): Org => team.org

  beforeAll(async () => {
    holder = await org().repository(Holders).create({ name: 'Ada' })
    for (const values of [full, limits, {}])
      await org()
        .repository(Samples)
        .create({ ...values, holderId: holder.id })
  })

  test('has the value that its own repository reads, in a list and alone', async () => {
    const own = (await org().repository(Samples).list()).items
    const { samples: included } = await org()
      .repository(Holders)
      .get(holder.id, { include: { samples: true } })
    expect(own).toHaveLength(3)
    expect(included).toStrictEqual(own)
    for (const sample of own) {
      await org().repository(Holders).update(holder.id, { favoriteId: sample.id })
      const { favorite } = await org()
        .repository(Holders)
        .get(holder.id, { include: { favorite: true } })
      expect(favorite).toStrictEqual(sample)
    }
  })

  test('but for hidden and sealed ones, which no read has', async () => {
    const { samples: included } = await org()
      .repository(Holders)
      .get(holder.id, { include: { samples: true } })
    const given = Object.keys(full).filter((name) => name !== 'hiddenText')
    expect(Object.keys(included[0] ?? {})).toEqual(['orgId', 'id', 'holderId', 'lenderId', ...given, 'deletedAt'])
    const hidden = { samples: { where: { hiddenText: 'hidden' } } } as never
    await expect(org().repository(Holders).get(holder.id, { include: hidden })).rejects.toThrow(
      'hiddenText: is not a field that can be filtered by',
    )
  })

  test('also through links', async () => {
    const own = (await org().repository(Samples).list()).items
    for (const { id } of own.slice(0, 2)) await org().repository(Marks).link({ holderId: holder.id, sampleId: id })
    const all = await org()
      .repository(Holders)
      .list({ include: { marked: true } })
    expect(all.items[0]?.marked).toStrictEqual(own.slice(0, 2))
    const [first] = own
    const { markers } = await org()
      .repository(Samples)
      .get(first?.id ?? '', { include: { markers: true } })
    expect(markers.map(({ id }) => id)).toEqual([holder.id])
    const links = await org()
      .repository(Marks)
      .list({ holderId: holder.id, include: { sample: true } })
    expect(links.items.map(({ sample }) => sample)).toEqual(own.slice(0, 2).sort((a, b) => (a.id < b.id ? -1 : 1)))
  })
})

/** Makes one row of each table with relations, and a second task, of which the first one is the parent. */
async function fill(org: Org) {
  const project = await org.projects.create({ name: 'P', slug: `p-${newId()}` })
  const agent = await org.agents.create({
    name: 'A',
    username: `a-${newId()}`,
    projectId: project.id,
    settings: { temperature: 0.5 },
  })
  const workflow = await org.workflows.create({ name: 'W', slug: `w-${newId()}`, projectId: project.id })
  const schedule = await org.schedules.create({
    workflowId: workflow.id,
    name: newId(),
    cron: '0 * * * *',
    timezone: 'UTC',
  })
  const parent = await org.tasks.enqueue({ kind: 'parent', agentId: agent.id, workflowId: workflow.id })
  const task = await org.tasks.enqueue({ kind: 'child', parentId: parent.id, agentId: agent.id, input: { n: 1.5 } })
  return { project, agent, workflow, schedule, parent, task }
}

test('each relation of the library gives the rows of its repository', async () => {
  const { org } = await teams.newTeam()
  const { project, agent, workflow, schedule, parent, task } = await fill(org)
  const fresh = { project: await org.projects.get(project.id), agent: await org.agents.get(agent.id) }
  const all = (await org.tasks.list({ limit: 100 })).items

  const ofAgent = await org.agents.get(agent.id, { include: { project: true, tasks: true } })
  expect(ofAgent).toStrictEqual({ ...fresh.agent, project: fresh.project, tasks: all })
  const ofWorkflow = await org.workflows.get(workflow.id, { include: { project: true, schedules: true, tasks: true } })
  expect(ofWorkflow).toStrictEqual({
    ...(await org.workflows.get(workflow.id)),
    project: fresh.project,
    schedules: [await org.schedules.get(schedule.id)],
    tasks: [await org.tasks.get(parent.id)],
  })
  const ofSchedule = await org.schedules.get(schedule.id, { include: { workflow: true, tasks: true } })
  expect(ofSchedule).toStrictEqual({ ...schedule, workflow: await org.workflows.get(workflow.id), tasks: [] })
  const include = { workflow: true, agent: true, schedule: true, parent: true, children: true } as const
  expect(await org.tasks.get(task.id, { include })).toStrictEqual({
    ...task,
    workflow: null,
    agent: fresh.agent,
    schedule: null,
    parent,
    children: [],
  })
  expect((await org.tasks.get(parent.id, { include })).children).toStrictEqual([task])
  const ofProject = await org.projects.get(project.id, { include: { agents: true, workflows: true, members: true } })
  expect(ofProject).toStrictEqual({
    ...fresh.project,
    agents: [fresh.agent],
    workflows: [await org.workflows.get(workflow.id)],
    members: [],
  })
})

test('so do those of people, keys and roles', async () => {
  const own = await teams.newTeam()
  const { org, owner } = own
  const { apiKey } = await newKey(own)
  const { apiKey: successor } = await org.apiKeys.rotate(apiKey.id)
  const { project } = await fill(org)
  const joined = await org.projects.members.add(project.id, { userId: owner.userId, role: 'read_only' })

  const member = await org.members.findByUser(apiKey.userId)
  const key = await org.apiKeys.get(successor.id, { include: { member: true, predecessor: true } })
  expect(key).toStrictEqual({
    ...(await org.apiKeys.get(successor.id)),
    member,
    predecessor: await org.apiKeys.get(apiKey.id),
  })
  const ofOwner = await org.members.get(owner.memberId, {
    include: { heldRole: true, apiKeys: true },
  })
  expect(ofOwner).toStrictEqual({
    ...(await org.members.get(owner.memberId)),
    heldRole: await org.roles.findByKey('owner'),
    apiKeys: [],
  })
  const ofKeys = await org.members.get(member?.id ?? '', { include: { apiKeys: { orderBy: 'id' } } })
  expect(ofKeys.apiKeys).toStrictEqual((await org.apiKeys.list({ orderBy: 'id' })).items)
  const role = await org.roles.findByKey('owner')
  const ofRole = await org.roles.get(role?.id ?? '', { include: { members: true } })
  expect(ofRole.members).toStrictEqual([await org.members.get(owner.memberId)])
  const ofProject = await org.projects.get(project.id, { include: { members: true } })
  expect(ofProject.members).toStrictEqual([joined])
})

describe('the rows that are included', () => {
  let org: Org
  let workflow: { id: string }
  const names = ['a', 'b', 'c', 'd']
  beforeAll(async () => {
    ;({ org } = await teams.newTeam())
    workflow = await org.workflows.create({ name: 'W', slug: 'w' })
    for (const name of names) {
      await org.schedules.create({ workflowId: workflow.id, name, cron: '0 * * * *', timezone: 'UTC' })
    }
  })
  const schedulesOf = async (options: true | IncludeOptions<Schedule>) => {
    const found = await org.workflows.get(workflow.id, { include: { schedules: options } })
    return found.schedules.map(({ name }) => name)
  }

  test('are the newest first, or as told, and as many as told', async () => {
    expect(await schedulesOf(true)).toEqual(['d', 'c', 'b', 'a'])
    expect(await schedulesOf({ limit: 2 })).toEqual(['d', 'c'])
    expect(await schedulesOf({ limit: 10, orderBy: 'name' })).toEqual(names)
    expect(await schedulesOf({ limit: 3, orderBy: '-name' })).toEqual(['d', 'c', 'b'])
    expect(await schedulesOf({ where: { name: { in: ['b', 'd'] }, enabled: true }, orderBy: 'name' })).toEqual([
      'b',
      'd',
    ])
    expect(await schedulesOf({ where: {} })).toHaveLength(4)
  })

  test('are no deleted ones, nor is a deleted parent', async () => {
    const project = await org.projects.create({ name: 'P', slug: 'p' })
    const agent = await org.agents.create({ name: 'A', username: 'a', projectId: project.id })
    const task = await org.tasks.enqueue({ kind: 'k', agentId: agent.id })
    await org.projects.delete(project.id)
    expect((await org.agents.get(agent.id, { include: { project: true } })).project).toBeNull()
    await org.agents.delete(agent.id)
    expect((await org.tasks.get(task.id, { include: { agent: true } })).agent).toBeNull()

    const cron = { cron: '0 * * * *', timezone: 'UTC' }
    const { id } = await org.schedules.create({ workflowId: workflow.id, name: 'gone', ...cron })
    expect(await schedulesOf({ where: { name: 'gone' } })).toEqual(['gone'])
    await org.schedules.delete(id)
    expect(await schedulesOf({ where: { name: 'gone' } })).toEqual([])
  })

  test('are no deleted ones behind links either', async () => {
    const [all, holder] = [org.repository(Samples), await org.repository(Holders).create({ name: 'Eve' })]
    const [kept, gone] = [await all.create({}), await all.create({})]
    for (const { id } of [kept, gone]) await org.repository(Marks).link({ holderId: holder.id, sampleId: id })
    await all.delete(gone.id)
    const { marked } = await org.repository(Holders).get(holder.id, { include: { marked: true } })
    expect(marked.map(({ id }) => id)).toEqual([kept.id])
  })

  test('come with each row of a page, in its order, from page to page', async () => {
    for (const slug of ['x', 'y', 'z']) {
      const project = await org.projects.create({ name: slug, slug })
      await org.agents.create({ name: slug, username: slug, projectId: project.id })
    }
    const include = { project: true, tasks: { where: { kind: 'nothing' }, limit: 7 } } as const
    const filter = { username: { in: ['x', 'y', 'z'] }, status: 'draft' } as const
    const seen: (string | undefined)[][] = []
    let after: string | undefined
    do {
      const page = await org.agents.list({ ...filter, orderBy: 'username', limit: 1, after, include })
      seen.push(page.items.map(({ username, project }) => `${username} ${project?.slug ?? ''}`))
      // The cursor is that of the same list without related rows.
      const same = await org.agents.list({ ...filter, orderBy: 'username', limit: 1, after })
      expect(same.next).toBe(page.next)
      after = page.next
    } while (after !== undefined)
    expect(seen).toEqual([['x x'], ['y y'], ['z z']])
    const streamed: unknown[] = []
    for await (const { project } of org.agents.stream({ ...filter, orderBy: '-username', limit: 2, include })) {
      streamed.push(project?.slug)
    }
    expect(streamed).toEqual(['z', 'y', 'x'])
  })

  test('come in a batch and in a transaction too', async () => {
    const include = { schedules: { limit: 1 } } as const
    const [found, page] = await org.batch((org) => [
      org.workflows.find(workflow.id, { include }),
      org.workflows.list({ include }),
    ])
    expect(found?.schedules.map(({ name }) => name)).toEqual(['d'])
    expect(page.items[0]?.schedules).toEqual(found?.schedules)
    const inside = await org.transaction(async (org) => {
      const { id } = await org.schedules.create({
        workflowId: workflow.id,
        name: 'e',
        cron: '0 * * * *',
        timezone: 'UTC',
      })
      const { schedules } = await org.workflows.get(workflow.id, { include })
      await org.schedules.delete(id)
      return schedules
    })
    expect(inside.map(({ name }) => name)).toEqual(['e'])
    expect(await org.workflows.find(newId(), { include })).toBeUndefined()
  })
})

describe('permissions', () => {
  test('who may not read projects does not include them', async () => {
    const own = await teams.newTeam()
    await fill(own.org)
    const one = await newActor(own, ['agents:read', 'tasks:read'])
    const refusal = new ForbiddenError('projects:read')
    await expect(one.agents.list({ include: { project: true } })).rejects.toEqual(refusal)
    await expect(one.agents.get(newId(), { include: { tasks: true, project: true } })).rejects.toEqual(refusal)
    expect((await one.agents.list({ include: { tasks: true } })).items[0]?.tasks).toHaveLength(2)
  })

  test('nor rows of a table behind another permission', async () => {
    const own = await teams.newTeam()
    await fill(own.org)
    const one = await newActor(own, ['projects:read', 'api_keys:read'])
    await expect(one.projects.list({ include: { agents: true } })).rejects.toEqual(new ForbiddenError('agents:read'))
    await expect(one.apiKeys.list({ include: { member: true } })).rejects.toEqual(new ForbiddenError('members:read'))
    expect((await one.projects.list({ include: { members: true } })).items).toHaveLength(1)
  })

  test('who may read some projects sees no other, also beside a relation with a filter', async () => {
    const own = await teams.newTeam()
    const { agent } = await fill(own.org)
    const other = await own.org.projects.create({ name: 'Other', slug: newId() })
    await own.org.agents.create({ name: 'B', username: newId(), projectId: other.id })
    const one = await newActor(own, ['agents:read', 'tasks:read'], [[other.id, 'read_only']])
    expect((await one.agents.get(agent.id, { include: { project: true } })).project).toBeNull()
    const include = { tasks: { where: { kind: 'child' } }, project: true } as const
    const { items } = await one.agents.list({ include, orderBy: 'id' })
    const found = items.map(({ tasks, project }) => [tasks.map(({ kind }) => kind), project?.id])
    expect(found).toEqual([
      [['child'], undefined],
      [[], other.id],
    ])
  })
})

test('a relation that is false or undefined is not read', async () => {
  const { org } = team
  const { id } = await org.agents.create({ name: 'Plain', username: newId() })
  for (const unwanted of [false, undefined])
    expect(await org.agents.get(id, { include: { project: unwanted, tasks: true } })).toEqual({
      ...(await org.agents.get(id)),
      tasks: [],
    })
})

test('what is not declared or does not fit is refused before anything is sent', async () => {
  const { org } = team
  const refused = async (include: unknown, message: string) => {
    await expect(org.agents.list({ include } as never)).rejects.toEqual(expect.any(InvalidInputError))
    await expect(org.agents.get(newId(), { include } as never)).rejects.toThrow(message)
  }
  await refused({ owner: true }, 'include.owner: is not a relation: the relations are llm, project, tasks, tools')
  await refused({ owner: false }, 'include.owner: is not a relation: the relations are llm, project, tasks, tools')
  await refused({ project: null }, 'include.project: must be true or false')
  await refused({ project: {} }, 'include.project: must be true or false')
  await refused({ tasks: null }, 'include.tasks: must be true or false, or have limit, orderBy or where')
  await refused({ tasks: { limit: 1001 } }, 'include.tasks.limit: must be an integer from 1 to 1000')
  await refused({ tasks: { offset: 1 } }, 'include.tasks.offset: is not an option')
  await refused({ tasks: { orderBy: 'input' } }, '"input" is not a field to order by')
  await refused({ tasks: { where: { colour: 'red' } } }, 'colour: is not a field that can be filtered by')
  await refused({ tasks: { where: null } }, 'filter: must be an object')
  await refused([], 'include: must be an object')
  await expect(org.agents.get(newId(), { with: {} } as never)).rejects.toThrow('with: is not an option')
  await expect(org.invitations.list({ include: { role: true } } as never)).rejects.toThrow(
    'has no relations to include',
  )
})

test('a relation without its foreign key is refused where it is declared', () => {
  const define = (includes: unknown) => () =>
    defineRepository(tasks, { create: anything, patch: anything, includes: includes as never })
  expect(define({ project: { one: projects, by: 'agentId' } })).toThrow(
    new DefinitionError('tasks: includes.project needs a foreign key of tasks by its owner and agentId into projects'),
  )
  expect(define({ rows: { many: agents, by: 'projectId' } })).toThrow(DefinitionError)
  expect(define({ rows: { many: workflows, through: agents } })).toThrow('needs one foreign key of agents into tasks')
  expect(define({ status: { one: agents, by: 'agentId' } })).toThrow('has the name of a column')
  expect(define({ agent: { one: agents, by: 'nothing' } })).toThrow('tasks has no column nothing')
  expect(define({ agent: { one: agents } })).toThrow('must be { one, by }')
  expect(define({ agent: { by: 'agentId' } })).toThrow('must be { one, by }')
  expect(define({ agent: { one: agents, many: tasks, by: 'agentId' } })).toThrow('must be { one, by }')
  expect(define({ agent: { many: tasks, by: 'agentId', through: agents } })).toThrow('must be { one, by }')
  expect(define({ agent: { one: agents, through: tasks } })).toThrow('must be { one, by }')
  expect(define({ agent: { one: 'agents', by: 'agentId' } })).toThrow('must have tables as')
  expect(define({ agent: { one: agents, by: 'agentId', where: {} } })).toThrow('is not an option')
  expect(define({ 'an agent': { one: agents, by: 'agentId' } })).toThrow('cannot have the name')
  expect(define({ agent: { one: agents, by: 'agentId', permission: 5 } })).toThrow('must have the name of a permission')
  expect(define({ agent: { one: agents, by: 'agentId' } })).not.toThrow()
})
