import { expect, test } from 'vitest'
import {
  BrokenReferenceError,
  ConflictError,
  DefinitionError,
  InvalidInputError,
  NotFoundError,
  ScopeClosedError,
  TransactionAbortedError,
} from '../../src/core/errors.js'
import type { Executor } from '../../src/core/executor.js'
import { newId } from '../../src/core/ids.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import type { Query } from '../../src/core/query.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { type BatchOrg, Org } from '../../src/org.js'
import { contextOf } from '../support/scope-context.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()
const { newOrg } = bench

const oneStatementOnly = new DefinitionError(
  'batch: only calls of one statement can be made inside, and the function must return them without awaiting them',
)

/** Rows that every method can be called with. */
async function fill(org: Org) {
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  const agent = await org.agents.create({ name: 'Ada', username: 'ada' })
  const workflow = await org.workflows.create({ name: 'x', slug: 'x' })
  const schedule = await org.schedules.create({
    workflowId: workflow.id,
    name: 'x',
    cron: '0 * * * *',
    timezone: 'UTC',
  })
  const task = await org.tasks.enqueue({ kind: 'x' })
  return { project, agent, workflow, schedule, task }
}

test('reads come together, in the order of the calls', async () => {
  const org = await newOrg()
  const { project, agent, workflow, schedule, task } = await fill(org)
  const results = await org.batch((inner) => [
    inner.tasks.get(task.id),
    inner.agents.findByUsername('ada'),
    inner.projects.findBySlug('nobody'),
    inner.projects.findByRef(project.ref),
    inner.workflows.list({ status: 'draft' }),
    inner.schedules.due(),
    inner.agents.count({ status: 'active' }),
    inner.agents.exists(),
    inner.schedules.getMany([schedule.id]),
    inner.workflows.findMany([newId(), workflow.id]),
  ])
  expect(results).toEqual([
    task,
    agent,
    undefined,
    project,
    { items: [workflow], next: undefined, previous: undefined },
    [],
    0,
    true,
    [schedule],
    [workflow],
  ])
})

test('writes take effect together', async () => {
  const org = await newOrg()
  const { project, agent, workflow, schedule, task } = await fill(org)
  await org.batch((inner) => [
    inner.projects.update(project.id, { name: 'Store' }),
    inner.agents.create({ name: 'Bob', username: 'bob', projectId: project.id }),
    inner.agents.update(agent.id, { name: 'Eve' }, { revision: 1 }),
    inner.agents.activate(agent.id),
    inner.agents.delete(agent.id),
    inner.agents.restore(agent.id),
    inner.workflows.create({ name: 'y', slug: 'y', projectId: project.id }),
    inner.workflows.activate(workflow.id),
    inner.schedules.create({ workflowId: workflow.id, name: 'y', cron: '0 * * * *', timezone: 'UTC' }),
    inner.schedules.delete(schedule.id),
    inner.tasks.enqueue({ kind: 'y', agentId: agent.id }),
    inner.tasks.update(task.id, { priority: 3 }),
    inner.tasks.cancel(task.id),
    inner.tasks.requeueExpired(),
  ])
  expect(await org.agents.get(agent.id)).toMatchObject({ name: 'Eve', status: 'active', revision: 5 })
  expect(await org.workflows.get(workflow.id)).toMatchObject({ status: 'active' })
  expect(await org.tasks.get(task.id)).toMatchObject({ priority: 3, status: 'canceled' })
  expect(await org.schedules.count({ name: 'y' })).toBe(1)
})

test('of writes of which one is refused by the database, none takes effect', async () => {
  const org = await newOrg()
  await fill(org)
  const attempt = org.batch((inner) => [
    inner.agents.create({ name: 'Bob', username: 'bob' }),
    inner.agents.create({ name: 'Ada', username: 'ada' }),
  ])
  await expect(attempt).rejects.toThrow(ConflictError)
  expect(await org.agents.count()).toBe(1)
})

test('an input that is refused sends nothing of the batch', async () => {
  const org = await newOrg()
  const attempt = org.batch((inner) => [
    inner.agents.create({ name: 'Bob', username: 'bob' }),
    inner.agents.create({ name: '', username: 'eve' }),
  ])
  await expect(attempt).rejects.toThrow(InvalidInputError)
  expect(await org.agents.count()).toBe(0)
})

test('inserts alone, of which one refers to a row that is missing, write nothing', async () => {
  const org = await newOrg()
  const missing = { workflowId: newId(), name: 'x', cron: '0 * * * *', timezone: 'UTC' }
  const attempt = org.batch((inner) => [
    inner.agents.create({ name: 'Bob', username: 'bob' }),
    inner.schedules.create(missing),
    inner.agents.create({ name: 'Eve', username: 'eve' }),
  ])
  await expect(attempt).rejects.toThrow(BrokenReferenceError)
  expect(await org.agents.count()).toBe(0)
})

test('a batch that fails inside of a transaction undoes it, also when its error is caught', async () => {
  const org = await newOrg()
  const { agent } = await fill(org)
  const attempt = org.transaction(async (tx) => {
    await tx
      .batch((inner) => [inner.agents.update(agent.id, { name: 'Bob' }), inner.agents.update(newId(), { name: 'Bob' })])
      .catch(() => undefined)
  })
  await expect(attempt).rejects.toThrow(TransactionAbortedError)
  expect(await org.agents.get(agent.id)).toEqual(agent)
  const reads = org.transaction(async (tx) => {
    await tx.batch((inner) => [inner.agents.get(agent.id), inner.agents.get(newId())]).catch(() => undefined)
    return tx.agents.count()
  })
  expect(await reads).toBe(1)
})

test('methods of several steps are refused', async () => {
  const org = await newOrg()
  const { agent, schedule } = await fill(org)
  const steps: ((inner: Org) => unknown)[] = [
    (inner) => inner.agents.duplicate(agent.id, { username: 'y' }),
    (inner) => inner.agents.setTools(agent.id, []),
    (inner) => inner.schedules.fire(schedule.id),
    (inner) => inner.schedules.update(schedule.id, { name: 'y' }),
    (inner) => inner.schedules.enable(schedule.id),
    (inner) => inner.agents.stream().next(),
    (inner) => inner.transaction(() => Promise.resolve()),
    () => 1,
    () => org.agents.count(),
  ]
  for (const step of steps) {
    const attempt = org.batch((inner) => [inner.agents.delete(agent.id), step(inner as unknown as Org)])
    await expect(attempt).rejects.toThrow(oneStatementOnly)
  }
  const several = org.batch((inner) => steps.map((step) => step(inner as unknown as Org)))
  await expect(several).rejects.toThrow(oneStatementOnly)
  expect(await org.agents.get(agent.id)).toEqual(agent)
  expect(await org.projects.count()).toBe(1)
  expect(await org.tasks.count({ status: 'queued' })).toBe(1)
})

test('a call that is not returned, or is awaited inside, is refused', async () => {
  const org = await newOrg()
  const { agent } = await fill(org)
  const forgotten = org.batch((inner) => {
    void inner.agents.delete(agent.id)
    return [inner.agents.count()]
  })
  const returned = new DefinitionError('batch: the function must return each call that it makes exactly once')
  await expect(forgotten).rejects.toThrow(returned)
  const twice = org.batch((inner) => {
    const count = inner.agents.count()
    return [count, count, inner.agents.delete(agent.id)]
  })
  await expect(twice).rejects.toThrow(returned)
  const insteadOf = org.batch((inner) => {
    const count = inner.agents.count()
    void inner.agents.delete(agent.id)
    return [count, count]
  })
  await expect(insteadOf).rejects.toThrow(returned)
  const awaited = org.batch((async (inner: Org) => [await inner.agents.delete(agent.id)]) as never)
  await expect(awaited).rejects.toThrow(DefinitionError)
  const misused = [org.batch('no function' as never), org.batch(() => 'no list' as never), org.batch(() => [1])]
  for (const attempt of misused) await expect(attempt).rejects.toThrow(DefinitionError)
  expect(await org.agents.get(agent.id)).toEqual(agent)
})

test('what waits inside is refused at once, and does not wait for ever', async () => {
  const org = await newOrg()
  let waited: Promise<PromiseSettledResult<unknown>[]> | undefined
  await org.batch((batch) => {
    const inner = batch as unknown as Org
    const count = batch.agents.count()
    waited = Promise.allSettled([inner.transaction(() => Promise.resolve()), inner.batch(() => []), count])
    return [count]
  })
  const [transaction, another, count] = (await waited) ?? []
  expect(transaction).toEqual({ status: 'rejected', reason: oneStatementOnly })
  expect(another).toEqual({
    status: 'rejected',
    reason: new DefinitionError('batch: a batch cannot be made inside another'),
  })
  expect(count).toEqual({ status: 'rejected', reason: oneStatementOnly })
})

test('one that is not found is the whole batch’s error', async () => {
  const org = await newOrg()
  const { agent } = await fill(org)
  await expect(org.batch((inner) => [inner.agents.get(newId()), inner.agents.count()])).rejects.toThrow(NotFoundError)
  expect(await org.batch((inner) => [inner.agents.find(newId()), inner.agents.find(agent.id)])).toEqual([
    undefined,
    agent,
  ])
})

test('the handle of a batch is dead when its function has returned', async () => {
  const org = await newOrg()
  let leaked: Org | undefined
  await org.batch((inner) => {
    leaked = inner as unknown as Org
    return [inner.agents.count()]
  })
  await expect(leaked?.agents.count()).rejects.toThrow(ScopeClosedError)
  await expect(leaked?.projects.purge(newId())).rejects.toThrow(ScopeClosedError)
})

test('a batch inside of a transaction is part of it', async () => {
  const org = await newOrg()
  const failure = new Error('the transaction is taken back')
  const attempt = org.transaction(async (inner) => {
    const made = inner.batch((calls) => [calls.agents.create({ name: 'Ada', username: 'ada' }), calls.agents.count()])
    expect(await made).toMatchObject([{ username: 'ada' }, 1])
    throw failure
  })
  await expect(attempt).rejects.toBe(failure)
  expect(await org.agents.count()).toBe(0)
})

test.each<[string, (inner: BatchOrg) => Query<unknown>]>([
  ['read', (inner) => inner.agents.get(newId())],
  ['change', (inner) => inner.agents.update(newId(), { name: 'Eve' })],
  ['activate', (inner) => inner.agents.activate(newId())],
])('a batch in which there is no row to %s writes nothing', async (_, call) => {
  const org = await newOrg()
  const attempt = org.batch((inner) => [inner.agents.create({ name: 'Ada', username: 'ada' }), call(inner)])
  await expect(attempt).rejects.toThrow(NotFoundError)
  expect(await org.agents.count()).toBe(0)
})

test('reads alone, inserts alone and one call of any kind are one round trip, and nothing is none', async () => {
  const { id } = await newOrg()
  const executor = openNodePostgres({ pool: { connectionString: bench.database.appUrl } })
  let trips = 0
  const noTransaction: Executor = {
    ...executor,
    run: (...sent) => {
      trips++
      return executor.run(...sent)
    },
    begin: () => Promise.reject(new Error('a transaction was opened')),
  }
  const org = new Org(new DirectScope(contextOf(id), noTransaction))
  const [mail] = await org.batch((inner) => [
    inner.tasks.enqueue({ kind: 'mail' }),
    inner.tasks.enqueue({ kind: 'call' }),
  ])
  expect(await org.batch((inner) => [inner.tasks.count(), inner.agents.count()])).toEqual([2, 0])
  expect(await org.batch((inner) => [inner.tasks.cancel(mail.id)])).toMatchObject([{ status: 'canceled' }])
  expect(trips).toBe(3)
  expect(await org.batch(() => [])).toEqual([])
  expect(trips).toBe(3)
  await executor.close()
})
