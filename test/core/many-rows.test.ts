import { describe, expect, onTestFinished, test } from 'vitest'
import { BrokenReferenceError } from '../../src/core/errors.js'
import type { Filter } from '../../src/core/statements/filters.js'
import { newId } from '../../src/core/ids.js'
import type { Query } from '../../src/core/query.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Org } from '../../src/org.js'
import { type Agent, agents, newAgent, type NewAgent } from '../../src/schema/agents.js'
import { newWorkflow, type NewWorkflow, type Workflow, workflows } from '../../src/schema/workflows.js'
import { newTask, type NewTask, type Task, tasks } from '../../src/schema/tasks.js'
import { openWithout } from '../../src/testing/walls.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()

/** What a repository of the host's own may declare, over tables that are here anyway. */
class ManyTasks extends ScopedRepository<Task> {
  constructor(scope: Scope) {
    super(scope, tasks)
  }

  createMany(values: readonly NewTask[]): Query<Task[]> {
    return this.insertRows(newTask, values)
  }

  reprioritize(filter: Filter<Task>, priority: number): Query<number> {
    return this.updateRows(filter, { priority })
  }

  discard(filter: Filter<Task>): Query<number> {
    return this.deleteRows(filter)
  }
}

class NamedWorkflows extends ScopedRepository<Workflow> {
  constructor(scope: Scope) {
    super(scope, workflows)
  }

  put(values: NewWorkflow): Query<Workflow> {
    return this.putRow(newWorkflow, values, 'workflows_slug_key')
  }
}

class AgentsOfProjects extends ScopedRepository<Agent> {
  constructor(scope: Scope) {
    super(scope, agents)
  }

  createMany(values: readonly NewAgent[]): Query<Agent[]> {
    return this.insertRows(newAgent, values)
  }

  addMany(values: readonly NewAgent[]): Query<number> {
    return this.appendRows(newAgent, values)
  }

  put(values: NewAgent): Query<Agent> {
    return this.putRow(newAgent, values, 'agents_username_key')
  }

  move(filter: Filter<Agent>, values: { projectId: string | null } | { name: string }): Query<number> {
    return this.updateRows(filter, values)
  }
}

const many = async () => (await bench.newOrg()).repository(ManyTasks)

describe('many rows at once', () => {
  test('come back as they were given, in their order', async () => {
    const repository = await many()
    const runAt = new Date('2031-02-03T04:05:06.789Z')
    const given = Array.from({ length: 3_000 }, (_, index) => ({
      kind: `it's "${index}" \\ \u{1F600}\n`,
      priority: index % 7,
      input: index % 3 === 0 ? null : { 'a"b': [index, 'x\\y', { deep: true }], text: 'null' },
      runAt,
    }))
    const made = await repository.createMany(given)
    expect(made.map(({ kind, priority, input, runAt }) => ({ kind, priority, input, runAt }))).toEqual(given)
    expect(await repository.count()).toBe(3_000)
    expect(new Set(made.map(({ id }) => id)).size).toBe(3_000)
  })

  test('none is made when one of them cannot be', async () => {
    const repository = await many()
    const bad = { kind: 'mail', workflowId: crypto.randomUUID() }
    await expect(repository.createMany([{ ...bad, workflowId: null }, bad])).rejects.toMatchObject({
      code: 'broken_reference',
    })
    await expect(repository.createMany([{ kind: 'mail' }, { kind: ' ' }])).rejects.toMatchObject({
      code: 'invalid_input',
    })
    expect(await repository.count()).toBe(0)
  })

  test('must have the same fields', async () => {
    const repository = await many()
    await expect(repository.createMany([{ kind: 'mail' }, { kind: 'mail', priority: 1 }])).rejects.toThrow(
      'same fields',
    )
  })

  test('may be none', async () => {
    const org = await bench.newOrg()
    expect(await org.repository(ManyTasks).createMany([])).toEqual([])
    const [none, count] = await org.batch((org) => [org.repository(ManyTasks).createMany([]), org.tasks.count()])
    expect([none, count]).toEqual([[], 0])
  })
})

describe('what a filter matches', () => {
  test('is changed and deleted, in this organization alone', async () => {
    const [ours, theirs] = [await many(), await many()]
    for (const repository of [ours, theirs]) {
      await repository.createMany([{ kind: 'mail' }, { kind: 'mail' }, { kind: 'call' }])
    }
    expect(await ours.reprioritize({ kind: 'mail' }, 5)).toBe(2)
    expect(await ours.count({ priority: 5 })).toBe(2)
    expect(await ours.discard({ or: [{ priority: 5 }, { kind: 'nothing' }] })).toBe(2)
    expect((await ours.list()).items.map(({ kind }) => kind)).toEqual(['call'])
    expect([await theirs.count(), await theirs.count({ priority: 0 })]).toEqual([3, 3])
  })

  test.each([
    {},
    { kind: undefined },
    { kind: undefined, priority: 0 },
    { kind: { not: undefined }, priority: 0 },
    { priority: 0, and: undefined },
  ])('must ask for something, and for nothing that is undefined: %o', async (filter) => {
    const repository = await many()
    await repository.createMany([{ kind: 'mail' }])
    await expect(repository.reprioritize(filter as Filter<Task>, 5)).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(repository.discard(filter as Filter<Task>)).rejects.toMatchObject({ code: 'invalid_input' })
    expect(await repository.count({ priority: 0 })).toBe(1)
  })
})

test('putRow updates the row with the same key, or inserts one', async () => {
  const [org, other] = [await bench.newOrg(), await bench.newOrg()]
  const made = await org.repository(NamedWorkflows).put({ name: 'One', slug: 'site' })
  const theirs = await other.repository(NamedWorkflows).put({ name: 'Theirs', slug: 'site' })
  const changed = await org.repository(NamedWorkflows).put({ name: 'Two', slug: 'site' })
  expect(changed).toMatchObject({ id: made.id, name: 'Two' })
  expect(await org.workflows.count()).toBe(1)
  expect(await other.workflows.get(theirs.id)).toEqual(theirs)
})

describe('the parents that a repository names', () => {
  const projectsOf = async (org: Org) => {
    const live = await org.projects.create({ name: 'Live', slug: 'live' })
    const deleted = await org.projects.create({ name: 'Deleted', slug: 'deleted' })
    await org.projects.delete(deleted.id)
    return { live: live.id, deleted: deleted.id }
  }
  const agent = (username: string, projectId: string | null) => ({ name: 'Ada', username, projectId })

  test('must live for each of many rows, or none is made', async () => {
    const [org, other] = [await bench.newOrg(), await bench.newOrg()]
    const { live, deleted } = await projectsOf(org)
    const theirs = (await projectsOf(other)).live
    const repository = org.repository(AgentsOfProjects)
    for (const projectId of [deleted, theirs, newId()]) {
      const given = [agent('one', live), agent('two', projectId), agent('three', null)]
      await expect(repository.createMany(given)).rejects.toThrow(BrokenReferenceError)
      await expect(repository.addMany(given)).rejects.toThrow(BrokenReferenceError)
    }
    expect(await repository.count()).toBe(0)
    expect(await repository.createMany([agent('one', live), agent('two', live), agent('three', null)])).toHaveLength(3)
    expect(await repository.addMany([agent('four', null)])).toBe(1)
    expect(await repository.addMany([{ name: 'Eve', username: 'five' }])).toBe(1)
  })

  test('must live for a row that is put', async () => {
    const org = await bench.newOrg()
    const { live, deleted } = await projectsOf(org)
    const repository = org.repository(AgentsOfProjects)
    await repository.put(agent('one', live))
    for (const username of ['one', 'two']) {
      await expect(repository.put(agent(username, deleted))).rejects.toThrow(BrokenReferenceError)
    }
    expect((await repository.list()).items).toEqual([expect.objectContaining({ username: 'one', projectId: live })])
  })

  test('must live for every row that a filter matches', async () => {
    const [org, other] = [await bench.newOrg(), await bench.newOrg()]
    const { live, deleted } = await projectsOf(org)
    const theirs = (await projectsOf(other)).live
    const repository = org.repository(AgentsOfProjects)
    await repository.createMany([agent('one', null), agent('two', null)])
    for (const projectId of [deleted, theirs, newId()]) {
      const moved = repository.move({ name: 'Ada' }, { projectId })
      await expect(moved).rejects.toThrow(new BrokenReferenceError('agents', ['projectId']))
      const batch = org.batch((org) => [
        org.agents.create({ name: 'Eve', username: 'eve' }),
        org.repository(AgentsOfProjects).move({ name: 'Ada' }, { projectId }),
      ])
      await expect(batch).rejects.toThrow(BrokenReferenceError)
    }
    expect(await repository.count({ projectId: null })).toBe(2)
    expect(await repository.move({ name: 'Nobody' }, { projectId: live })).toBe(0)
    expect(await repository.move({ name: 'Ada' }, { projectId: live })).toBe(2)
    expect(await repository.count({ projectId: live })).toBe(2)
    expect(await repository.move({ projectId: live }, { projectId: null })).toBe(2)
    expect(await repository.move({ name: 'Ada' }, { name: 'Bea' })).toBe(2)
  })

  test.each(['predicates', 'row security'] as const)(
    'are none of another organization’s without the %s',
    async (without) => {
      const { appUrl, admin } = bench.database
      const { tenancy } = await openWithout({ appUrl, admin, without })
      onTestFinished(() => tenancy.close())
      const [org, other] = [await bench.newOrg(), await bench.newOrg()]
      const theirs = (await projectsOf(other)).live
      const repository = tenancy.forOrg(org.id).repository(AgentsOfProjects)
      await repository.createMany([agent('one', null)])
      await other.repository(AgentsOfProjects).createMany([agent('theirs', null)])
      await expect(repository.move({ name: 'Ada' }, { projectId: theirs })).rejects.toThrow(BrokenReferenceError)
      expect(await repository.move({ name: 'Ada' }, { name: 'Bea' })).toBe(1)
      expect(await other.agents.count({ name: 'Ada', projectId: null })).toBe(1)
    },
  )

  test('are not deleted while rows are made under them', async () => {
    const org = await bench.newOrg()
    const { live } = await projectsOf(org)
    let deleting: Promise<unknown> | undefined
    await org.transaction(async (inner) => {
      await inner.repository(AgentsOfProjects).createMany([agent('one', live)])
      deleting = org.projects.delete(live)
      const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
        and query like '%update "platform"."projects"%'`
      await expect.poll(() => bench.database.admin.query(waiting), { timeout: 20_000 }).toHaveLength(1)
    })
    await deleting
    expect(await org.agents.count({ projectId: live })).toBe(1)
  })
})
