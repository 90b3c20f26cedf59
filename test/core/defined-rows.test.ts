import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import {
  BrokenReferenceError,
  ConflictError,
  DefinitionError,
  ForbiddenError,
  InvalidInputError,
  PlanLimitError,
} from '../../src/core/errors.js'
import { agentPatch, agents, newAgent } from '../../src/schema/agents.js'
import { projects } from '../../src/schema/projects.js'
import { newTask, taskPatch, tasks } from '../../src/schema/tasks.js'
import { entriesOf } from '../support/audited-rows.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()

/** Soft-deletable and audited, with a revision and a limit. */
const Bots = defineRepository(agents, { create: newAgent, patch: agentPatch, limit: 'max_bots' })
/** Neither soft-deletable nor audited. */
const Jobs = defineRepository(tasks, { create: newTask, patch: taskPatch })

const bot = (username: string, more: object = {}) => ({ name: 'Bot', username, ...more })

let team: Team
let other: Team
beforeAll(async () => {
  other = await teams.newTeam()
  await other.org.repository(Bots).createMany([bot('a'), bot('b')])
  await other.org.repository(Jobs).createMany([{ kind: 'mail' }])
})

const theirs = async () => [
  await other.org.repository(Bots).count({ name: 'Bot' }),
  await other.org.repository(Jobs).count(),
]
const entries = async () =>
  (await entriesOf(teams.database.admin, team.id)).filter((one) => one.resource_type === 'agents')

describe('createMany', () => {
  test('makes all rows in their order, with one entry of the audit log', async () => {
    team = await teams.newTeam()
    const made = await team.org.repository(Bots).createMany([bot('a'), bot('b'), bot('c')])
    expect(made.map(({ username, orgId }) => [username, orgId])).toEqual(['a', 'b', 'c'].map((name) => [name, team.id]))
    expect(await entries()).toMatchObject([{ event_type: 'agents.create', metadata: { count: 3 } }])
    expect(await team.org.repository(Bots).createMany([])).toEqual([])
  })

  test('makes none where one of them cannot be made', async () => {
    team = await teams.newTeam()
    const bots = team.org.repository(Bots)
    await expect(bots.createMany([bot('a'), bot('a')])).rejects.toThrow(ConflictError)
    await expect(bots.createMany([bot('a'), { name: 'x' } as never])).rejects.toThrow(InvalidInputError)
    await expect(bots.createMany([bot('a', { orgId: other.id })])).rejects.toThrow('orgId')
    await expect(bots.createMany(7 as never)).rejects.toThrow(new InvalidInputError('rows', 'must be a list'))
    const [elsewhere] = await other.org
      .repository(
        defineRepository(projects, {
          create: z.strictObject({ name: z.string(), slug: z.string(), ref: z.string() }),
          patch: z.strictObject({}),
        }),
      )
      .createMany([{ name: 'P', slug: 'p', ref: `ref-${team.id}` }])
    await expect(bots.createMany([bot('a', { projectId: elsewhere?.id })])).rejects.toThrow(BrokenReferenceError)
    expect(await bots.count()).toBe(0)
  })

  test('counts each row towards the limit of the plan', async () => {
    team = await teams.newTeam({ plan: await teams.newPlan({ max_bots: 2 }) })
    const bots = team.org.repository(Bots)
    await expect(bots.createMany([bot('a'), bot('b'), bot('c')])).rejects.toThrow(PlanLimitError)
    expect(await bots.count()).toBe(0)
    await bots.createMany([bot('a'), bot('b')])
    await expect(bots.createMany([bot('c')])).rejects.toMatchObject({ limitName: 'max_bots', limit: 2, current: 2 })
    await bots.deleteWhere({ username: 'a' })
    await expect(bots.createMany([bot('c')])).resolves.toHaveLength(1)
  })
})

describe('updateWhere', () => {
  test('changes every row that matches, in this organization alone, with one entry of the audit log', async () => {
    team = await teams.newTeam()
    const bots = team.org.repository(Bots)
    const [a] = await bots.createMany([bot('a'), bot('b'), bot('c')])
    expect(await bots.updateWhere({ username: { in: ['a', 'b'] } }, { name: 'Other' })).toBe(2)
    expect(await bots.count({ name: 'Other', revision: 2 })).toBe(2)
    expect(await bots.get(a?.id ?? '')).toMatchObject({ name: 'Other', username: 'a' })
    expect(await bots.updateWhere({ name: 'None' }, { name: 'x' })).toBe(0)
    expect((await entries()).at(-1)).toMatchObject({
      event_type: 'agents.update',
      metadata: { count: 2, filter: expect.anything() as unknown },
    })
    expect(await theirs()).toEqual([2, 1])
  })

  test('refuses what update refuses', async () => {
    team = await teams.newTeam()
    const bots = team.org.repository(Bots)
    await bots.createMany([bot('a')])
    for (const patch of [{ orgId: other.id }, { revision: 9 }, { colour: 'red' }, { name: '' }, {}, null])
      await expect(bots.updateWhere({ name: 'Bot' }, patch as never)).rejects.toThrow(InvalidInputError)
    expect(await bots.count({ revision: 1, name: 'Bot' })).toBe(1)
  })

  test('does not touch hidden rows', async () => {
    team = await teams.newTeam()
    const bots = team.org.repository(Bots)
    const [a] = await bots.createMany([bot('a')])
    await bots.delete(a?.id ?? '')
    expect(await bots.updateWhere({ name: 'Bot' }, { name: 'Other' })).toBe(0)
    expect(await bots.deleteWhere({ name: 'Bot' })).toBe(0)
    expect(await bots.restore(a?.id ?? '')).toMatchObject({ name: 'Bot' })
  })
})

describe('deleteWhere', () => {
  test('hides the rows of a table that is soft-deletable, so that they can be restored', async () => {
    team = await teams.newTeam()
    const bots = team.org.repository(Bots)
    const [a, , c] = await bots.createMany([bot('a'), bot('b'), bot('c')])
    expect(await bots.deleteWhere({ not: { username: 'c' } })).toBe(2)
    expect((await bots.list()).items.map(({ id }) => id)).toEqual([c?.id])
    expect(await bots.restore(a?.id ?? '')).toMatchObject({ username: 'a', deletedAt: null })
    const deleted = (await entries()).filter(({ event_type }) => event_type === 'agents.delete')
    expect(deleted).toMatchObject([{ action: 'delete', metadata: { count: 2 } }])
    expect(await theirs()).toEqual([2, 1])
  })

  test('deletes the rows of another table for good', async () => {
    team = await teams.newTeam()
    const jobs = team.org.repository(Jobs)
    await jobs.createMany([{ kind: 'mail' }, { kind: 'mail' }, { kind: 'call' }])
    expect(await jobs.updateWhere({ kind: 'call' }, { priority: 3 })).toBe(1)
    expect(await jobs.deleteWhere({ kind: { contains: 'AI', ignoreCase: true } })).toBe(2)
    expect((await jobs.list()).items).toMatchObject([{ kind: 'call', priority: 3 }])
    expect(await theirs()).toEqual([2, 1])
  })
})

test.each<[object, string]>([
  [{}, 'filter: is empty, which would change every row'],
  [{ name: undefined }, 'name: is undefined'],
  [{ name: { contains: undefined } }, 'name: is undefined'],
  [{ name: { contains: '' } }, 'name: is compared with an empty text, which would match every row'],
  [{ name: { contains: '', ignoreCase: true } }, 'name: is compared with an empty text'],
  [{ or: [{ name: { prefix: '' } }] }, 'name: is compared with an empty text'],
  [{ colour: 'red' }, 'colour: is not a field that can be filtered by'],
])('a change of the rows that match %j is refused: %s', async (filter, reason) => {
  const bots = other.org.repository(Bots)
  await expect(bots.updateWhere(filter, { name: 'x' })).rejects.toThrow(reason)
  await expect(bots.deleteWhere(filter)).rejects.toThrow(reason)
  expect(await theirs()).toEqual([2, 1])
})

test('an actor needs the permission to write', async () => {
  team = await teams.newTeam()
  await team.org.repository(Bots).createMany([bot('a')])
  const { userId } = await team.join('read_only')
  const bots = (await team.as(userId)).repository(Bots)
  expect((await bots.list()).items).toHaveLength(1)
  for (const refused of [
    bots.createMany([bot('b')]),
    bots.updateWhere({ name: 'Bot' }, { name: 'x' }),
    bots.deleteWhere({ name: 'Bot' }),
  ]) {
    await expect(refused).rejects.toThrow(ForbiddenError)
  }
  expect(await team.org.repository(Bots).count({ name: 'Bot' })).toBe(1)
})

test('a secret cannot be written into many rows at once', async () => {
  const Vaults = defineRepository(projects, {
    create: z.strictObject({}),
    patch: z.strictObject({ databasePassword: z.unknown() }),
  })
  const { org } = await teams.newTeam()
  const before = await org.projects.create({ name: 'P', slug: 'p' })
  const refused = org.repository(Vaults).updateWhere({ slug: 'p' }, { databasePassword: 'x' })
  const reason = 'projects.databasePassword is sealed for one row: change the rows one by one'
  await expect(refused).rejects.toThrow(new DefinitionError(reason))
  expect(await org.projects.get(before.id)).toEqual(before)
})

test('several changes go into one batch', async () => {
  team = await teams.newTeam()
  const [made, changed, gone] = await team.org.batch((org) => [
    org.repository(Bots).createMany([bot('a'), bot('b')]),
    org.repository(Bots).updateWhere({ username: 'a' }, { name: 'First' }),
    org.repository(Bots).deleteWhere({ username: 'b' }),
  ])
  expect([made.length, changed, gone]).toEqual([2, 1, 1])
})
