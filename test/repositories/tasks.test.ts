import { describe, expect, test } from 'vitest'
import { BrokenReferenceError, ConflictError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { Task } from '../../src/schema/tasks.js'
import { contend, ids } from '../support/contenders.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg, database } = useTenancy()

const hour = 3_600_000
const refusals = (count: number) => Array.from({ length: count }, () => expect.any(ConflictError) as unknown)

const enqueue = (org: Org, count: number): Promise<Task[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => org.tasks.enqueue({ kind: 'mail', input: index })))

/** A task that `worker` has claimed. */
async function claimed(org: Org, values: { maxAttempts?: number; dedupeKey?: string } = {}): Promise<Task> {
  await org.tasks.enqueue({ kind: 'mail', ...values })
  const [task] = await org.tasks.claim({ owner: 'worker' })
  if (task === undefined) throw new Error('there was nothing to claim')
  return task
}

/** As if the workers of these tasks had not been heard of for too long. */
async function expire(...tasks: Task[]): Promise<void> {
  await database.admin.query(
    `update platform.tasks set lease_expires_at = now() - interval '1 second' where id = any($1)`,
    [tasks.map(({ id }) => id)],
  )
}

/** As if its time had come. */
async function makeDue({ orgId, id }: Task): Promise<void> {
  await database.admin.query(
    `update platform.tasks set run_at = now() - interval '1 second' where org_id = $1 and id = $2`,
    [orgId, id],
  )
}

describe('enqueue', () => {
  test('a task is queued, found, and changed while it waits', async () => {
    const org = await newOrg()
    const runAt = new Date(Date.now() + hour)
    const task = await org.tasks.enqueue({ kind: 'mail', input: { to: 'ada' }, priority: 5, maxAttempts: 3, runAt })
    expect(task).toMatchObject({
      orgId: org.id,
      status: 'queued',
      attempt: 0,
      input: { to: 'ada' },
      priority: 5,
      runAt,
    })
    expect(await org.tasks.get(task.id)).toEqual(task)
    expect(await org.tasks.update(task.id, { priority: 1, input: 'x' })).toMatchObject({ priority: 1, input: 'x' })
    expect(await org.tasks.count({ status: 'queued', kind: 'mail' })).toBe(1)
  })

  test('a task that runs is not changed', async () => {
    const org = await newOrg()
    const task = await claimed(org)
    await expect(org.tasks.update(task.id, { priority: 1 })).rejects.toThrow(ConflictError)
    await expect(org.tasks.update(newId(), { priority: 1 })).rejects.toThrow(NotFoundError)
    expect(await org.tasks.get(task.id)).toEqual(task)
  })

  test('twenty that queue the same key at once get one task', async () => {
    const org = await newOrg()
    const { won } = await contend((contender) =>
      org.tasks.enqueue({ kind: 'mail', input: contender, dedupeKey: 'welcome' }),
    )
    expect(won).toHaveLength(20)
    expect(new Set(ids(won)).size).toBe(1)
    expect(await org.tasks.count()).toBe(1)
  })

  test('a key is free again when its task has finished, and is each organization’s own', async () => {
    const org = await newOrg()
    const task = await claimed(org, { dedupeKey: 'welcome' })
    expect((await org.tasks.enqueue({ kind: 'mail', dedupeKey: 'welcome' })).id).toBe(task.id)
    const theirs = await (await newOrg()).tasks.enqueue({ kind: 'mail', dedupeKey: 'welcome' })
    expect(theirs.id).not.toBe(task.id)

    await org.tasks.complete(task.id, { owner: 'worker' })
    expect((await org.tasks.enqueue({ kind: 'mail', dedupeKey: 'welcome' })).id).not.toBe(task.id)
    expect(await org.tasks.get(task.id)).toMatchObject({ status: 'succeeded' })
  })

  test('the task that is there is not changed by a second one', async () => {
    const org = await newOrg()
    const task = await org.tasks.enqueue({ kind: 'mail', input: 1, priority: 1, dedupeKey: 'welcome' })
    const again = await org.tasks.enqueue({ kind: 'sms', input: 2, priority: 2, dedupeKey: 'welcome' })
    expect(again).toEqual(task)
  })

  test('a workflow, agent or task that is missing, deleted or another organization’s is refused in the same words', async () => {
    const org = await newOrg()
    const other = await newOrg()
    const workflow = await org.workflows.create({ name: 'x', slug: 'x' })
    await org.workflows.delete(workflow.id)
    const agent = await org.agents.create({ name: 'x', username: 'x' })
    await org.agents.archive(agent.id)
    const [theirWorkflow, theirAgent, theirTask] = await Promise.all([
      other.workflows.create({ name: 'x', slug: 'x' }),
      other.agents.create({ name: 'x', username: 'x' }),
      other.tasks.enqueue({ kind: 'x' }),
    ])
    for (const [field, bad] of [
      ['workflowId', [newId(), workflow.id, theirWorkflow.id]],
      ['agentId', [newId(), agent.id, theirAgent.id]],
      ['parentId', [newId(), theirTask.id]],
    ] as const) {
      for (const id of bad) {
        await expect(org.tasks.enqueue({ kind: 'x', [field]: id })).rejects.toMatchObject({
          name: 'BrokenReferenceError',
          message: `tasks: ${field} does not refer to a row of this organization`,
        })
      }
    }
    expect(await org.tasks.count()).toBe(0)
  })

  test('no task of a workflow is queued after the workflow was deleted', async () => {
    const org = await newOrg()
    const { id } = await org.workflows.create({ name: 'x', slug: 'x' })
    const queue = () => org.tasks.enqueue({ kind: 'x', workflowId: id })
    const [{ won, lost }] = await Promise.all([contend(queue), org.workflows.delete(id)])
    expect(lost.filter((error) => !(error instanceof BrokenReferenceError))).toEqual([])
    await expect(queue()).rejects.toThrow(BrokenReferenceError)
    expect(await org.tasks.count()).toBe(won.length)
  })

  test.each([
    null,
    {},
    { kind: '' },
    { kind: 'x', status: 'succeeded' },
    { kind: 'x', leaseOwner: 'me' },
    { kind: 'x', orgId: newId() },
    { kind: 'x', id: newId() },
    { kind: 'x', createdAt: new Date() },
    { kind: 'x', priority: 1e9 },
    { kind: 'x', maxAttempts: 0 },
    { kind: 'x', runAt: 'tomorrow' },
    { kind: 'x', runAt: new Date(NaN) },
    { kind: 'x', input: Number.NaN },
    { kind: 'x', dedupeKey: 'a\0' },
    { kind: 'x', workflowId: 'x' },
  ])('%j is refused', async (values) => {
    const org = await newOrg()
    await expect(org.tasks.enqueue(values as never)).rejects.toMatchObject({ code: 'invalid_input' })
  })
})

describe('claim', () => {
  test('twenty workers never get the same task', async () => {
    const org = await newOrg()
    const queued = await enqueue(org, 50)
    const taken: Task[] = []
    const work = async (owner: string) => {
      for (;;) {
        const some = await org.tasks.claim({ owner, limit: 3 })
        expect(some.map(({ leaseOwner }) => leaseOwner)).toEqual(some.map(() => owner))
        taken.push(...some)
        if (some.length === 0) return
      }
    }
    const { lost } = await contend((contender) => work(`worker ${contender}`))
    expect(lost).toEqual([])
    // A worker may have found nothing while others held the rest, but what was taken was taken once.
    expect(ids(taken)).toEqual(ids(queued))
    expect(await org.tasks.count({ status: 'running', attempt: 1 })).toBe(50)
  })

  test('a claimed task runs under the owner’s lease', async () => {
    const org = await newOrg()
    const task = await claimed(org)
    expect(task).toMatchObject({ status: 'running', attempt: 1, leaseOwner: 'worker', finishedAt: null })
    expect((task.leaseExpiresAt?.getTime() ?? 0) - (task.startedAt?.getTime() ?? 0)).toBe(60_000)

    await org.tasks.enqueue({ kind: 'mail' })
    const [short] = await org.tasks.claim({ owner: 'worker', leaseSeconds: 5 })
    expect((short?.leaseExpiresAt?.getTime() ?? 0) - (short?.startedAt?.getTime() ?? 0)).toBe(5000)
  })

  test('the most urgent come first: priority, then time, then age', async () => {
    const org = await newOrg()
    const at = (minutesAgo: number) => new Date(Date.now() - minutesAgo * 60_000)
    const late = await org.tasks.enqueue({ kind: 'x', priority: 1, runAt: at(9) })
    const second = await org.tasks.enqueue({ kind: 'x', runAt: at(5) })
    const first = await org.tasks.enqueue({ kind: 'x', runAt: at(7) })
    const urgent = await org.tasks.enqueue({ kind: 'x', priority: -1, runAt: at(1) })
    const twin = await org.tasks.enqueue({ kind: 'x', runAt: second.runAt })

    const order = [urgent, first, second, twin, late].map(({ id }) => id)
    expect((await org.tasks.claim({ owner: 'w', limit: 2 })).map(({ id }) => id)).toEqual(order.slice(0, 2))
    expect((await org.tasks.claim({ owner: 'w', limit: 10 })).map(({ id }) => id)).toEqual(order.slice(2))
  })

  test('one is given unless more are asked for', async () => {
    const org = await newOrg()
    await enqueue(org, 5)
    expect(await org.tasks.claim({ owner: 'w' })).toHaveLength(1)
    expect(await org.tasks.claim({ owner: 'w', limit: 3 })).toHaveLength(3)
    expect(await org.tasks.claim({ owner: 'w', limit: 3 })).toHaveLength(1)
    expect(await org.tasks.claim({ owner: 'w', limit: 3 })).toEqual([])
  })

  test('only the kinds that are asked for are given', async () => {
    const org = await newOrg()
    const odd = `NULL, "quoted" {brace} \\back, it's`
    for (const kind of ['mail', 'sms', odd]) await org.tasks.enqueue({ kind })
    const claim = async (kinds: string[]) =>
      (await org.tasks.claim({ owner: 'w', limit: 9, kinds })).map(({ kind }) => kind)
    expect(await claim(['push'])).toEqual([])
    expect(await claim([odd, 'push'])).toEqual([odd])
    expect(await claim(['sms', 'mail'])).toEqual(['mail', 'sms'])
  })

  test('what is to run later waits', async () => {
    const org = await newOrg()
    const task = await org.tasks.enqueue({ kind: 'x', runAt: new Date(Date.now() + hour) })
    expect(await org.tasks.claim({ owner: 'w' })).toEqual([])
    await makeDue(task)
    expect(await org.tasks.claim({ owner: 'w' })).toMatchObject([{ id: task.id }])
  })

  test('tasks of deleted and archived workflows are passed over', async () => {
    const org = await newOrg()
    const [living, deleted, archived] = await Promise.all(
      ['living', 'deleted', 'archived'].map((slug) => org.workflows.create({ name: slug, slug })),
    )
    for (const workflow of [deleted, archived, living]) {
      await org.tasks.enqueue({ kind: 'x', ...(workflow && { workflowId: workflow.id }) })
    }
    await org.workflows.delete(deleted?.id ?? '')
    await org.workflows.archive(archived?.id ?? '')
    expect(await org.tasks.claim({ owner: 'w', limit: 9 })).toMatchObject([{ workflowId: living?.id }])

    await org.workflows.restore(deleted?.id ?? '')
    expect(await org.tasks.claim({ owner: 'w', limit: 9 })).toMatchObject([{ workflowId: deleted?.id }])
  })

  test('another organization’s tasks are not claimed', async () => {
    const org = await newOrg()
    await enqueue(await newOrg(), 3)
    expect(await org.tasks.claim({ owner: 'w', limit: 9 })).toEqual([])
  })

  test.each([
    null,
    {},
    { owner: '' },
    { owner: 1 },
    { owner: 'w', limit: 0 },
    { owner: 'w', limit: '1; drop' },
    { owner: 'w', leaseSeconds: -1 },
    { owner: 'w', kinds: [] },
    { owner: 'w', kinds: 'x' },
    { owner: 'w', orgId: newId() },
  ])('the options %j are refused', async (options) => {
    const org = await newOrg()
    await expect(org.tasks.claim(options as never)).rejects.toMatchObject({ code: 'invalid_input' })
  })
})

describe('the lease', () => {
  test('its owner prolongs it and completes the task', async () => {
    const org = await newOrg()
    const task = await claimed(org)
    const alive = await org.tasks.heartbeat(task.id, { owner: 'worker', leaseSeconds: 600 })
    expect((alive.leaseExpiresAt?.getTime() ?? 0) - (task.leaseExpiresAt?.getTime() ?? 0)).toBeGreaterThanOrEqual(
      540_000,
    )

    const done = await org.tasks.complete(task.id, { owner: 'worker', output: { sent: true } })
    expect(done).toMatchObject({ status: 'succeeded', output: { sent: true }, leaseOwner: null, leaseExpiresAt: null })
    expect(done.finishedAt).toBeInstanceOf(Date)
  })

  test('nobody else prolongs, completes or fails it', async () => {
    const org = await newOrg()
    const task = await claimed(org)
    for (const call of [
      () => org.tasks.heartbeat(task.id, { owner: 'thief' }),
      () => org.tasks.complete(task.id, { owner: 'thief' }),
      () => org.tasks.fail(task.id, { owner: 'thief' }),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'conflict', fields: ['lease'] })
    }
    expect(await org.tasks.get(task.id)).toEqual(task)
    await expect(org.tasks.complete(newId(), { owner: 'worker' })).rejects.toThrow(NotFoundError)
    await expect((await newOrg()).tasks.complete(task.id, { owner: 'worker' })).rejects.toThrow(NotFoundError)
  })

  test('a task that waits cannot be finished', async () => {
    const org = await newOrg()
    const { id } = await org.tasks.enqueue({ kind: 'x' })
    await expect(org.tasks.complete(id, { owner: 'worker' })).rejects.toThrow(ConflictError)
    await expect(org.tasks.fail(id, { owner: 'worker' })).rejects.toThrow(ConflictError)
    await expect(org.tasks.heartbeat(id, { owner: 'worker' })).rejects.toThrow(ConflictError)
  })

  test('who lost it to another worker cannot finish the task any more', async () => {
    const org = await newOrg()
    const task = await claimed(org, { maxAttempts: 2 })
    await expire(task)
    await org.tasks.requeueExpired()
    await org.tasks.claim({ owner: 'heir' })
    await expect(org.tasks.complete(task.id, { owner: 'worker' })).rejects.toThrow(ConflictError)
    await expect(org.tasks.complete(task.id, { owner: 'heir' })).resolves.toMatchObject({
      status: 'succeeded',
      attempt: 2,
    })
  })

  test('a finished task never changes', async () => {
    const org = await newOrg()
    const finished = [
      await org.tasks.complete((await claimed(org)).id, { owner: 'worker' }),
      await org.tasks.fail((await claimed(org)).id, { owner: 'worker' }),
      await org.tasks.cancel((await claimed(org)).id),
    ]
    expect(finished.map(({ status }) => status)).toEqual(['succeeded', 'failed', 'canceled'])
    for (const task of finished) {
      for (const call of [
        () => org.tasks.heartbeat(task.id, { owner: 'worker' }),
        () => org.tasks.complete(task.id, { owner: 'worker' }),
        () => org.tasks.fail(task.id, { owner: 'worker' }),
        () => org.tasks.cancel(task.id),
        () => org.tasks.update(task.id, { priority: 1 }),
      ]) {
        await expect(call()).rejects.toThrow(ConflictError)
      }
      expect(await org.tasks.get(task.id)).toEqual(task)
    }
    expect(await org.tasks.requeueExpired()).toEqual([])
    expect(await org.tasks.claim({ owner: 'w', limit: 9 })).toEqual([])
  })

  test('of twenty that finish a task, one does', async () => {
    const org = await newOrg()
    const { id } = await claimed(org)
    const ends = [
      () => org.tasks.complete(id, { owner: 'worker' }),
      () => org.tasks.fail(id, { owner: 'worker' }),
      () => org.tasks.cancel(id),
    ]
    const { won, lost } = await contend((contender) => (ends[contender % 3] as () => Promise<Task>)())
    expect(won).toHaveLength(1)
    expect(lost).toEqual(refusals(19))
    expect(await org.tasks.get(id)).toEqual(won[0])
  })

  test('what is not said is empty, and not the null of JSON', async () => {
    const org = await newOrg()
    const done = await org.tasks.complete((await claimed(org)).id, { owner: 'worker' })
    const failed = await org.tasks.fail((await claimed(org)).id, { owner: 'worker' })
    const rows = await database.admin.query(
      'select from platform.tasks where org_id = $1 and id = any($2) and output is null and error is null',
      [org.id, [done.id, failed.id]],
    )
    expect(rows).toHaveLength(2)
  })

  test.each([
    null,
    {},
    { owner: '' },
    { owner: 'worker', status: 'queued' },
    { owner: 'worker', output: undefined, error: () => 1 },
  ])('the result %j is refused', async (result) => {
    const org = await newOrg()
    const task = await claimed(org)
    await expect(org.tasks.fail(task.id, result as never)).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(org.tasks.complete(task.id, result as never)).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(org.tasks.heartbeat(task.id, { owner: 'worker', leaseSeconds: 0 })).rejects.toThrow()
    expect(await org.tasks.get(task.id)).toEqual(task)
  })
})

describe('attempts', () => {
  test('a task that failed is tried again, twice as late each time, until it has no attempts left', async () => {
    const org = await newOrg()
    let task = await claimed(org, { maxAttempts: 3 })
    for (const seconds of [2, 4]) {
      const failed = await org.tasks.fail(task.id, { owner: 'worker', error: { reason: 'busy' } })
      expect(failed).toMatchObject({ status: 'queued', error: { reason: 'busy' }, leaseOwner: null, finishedAt: null })
      expect(await delayOf(failed)).toBe(seconds)
      expect(await org.tasks.claim({ owner: 'worker' })).toEqual([])
      await makeDue(failed)
      task = (await org.tasks.claim({ owner: 'worker' }))[0] as Task
    }
    expect(task).toMatchObject({ attempt: 3 })
    const last = await org.tasks.fail(task.id, { owner: 'worker' })
    expect(last).toMatchObject({ status: 'failed', attempt: 3, runAt: task.runAt })
    expect(last.finishedAt).toBeInstanceOf(Date)
  })

  test('the delay is an hour at most, or as long as was asked for', async () => {
    const org = await newOrg()
    const task = await claimed(org, { maxAttempts: 100 })
    await database.admin.query('update platform.tasks set attempt = 50 where org_id = $1 and id = $2', [
      org.id,
      task.id,
    ])
    expect(await delayOf(await org.tasks.fail(task.id, { owner: 'worker' }))).toBe(3600)

    const other = await claimed(org, { maxAttempts: 2 })
    const failed = await org.tasks.fail(other.id, { owner: 'worker', retryInSeconds: 86_400 })
    expect(await delayOf(failed)).toBe(86_400)

    const third = await claimed(org, { maxAttempts: 2 })
    await org.tasks.fail(third.id, { owner: 'worker', retryInSeconds: 0 })
    expect(await org.tasks.claim({ owner: 'worker' })).toMatchObject([{ id: third.id, attempt: 2 }])
  })

  /** From the moment of the failure to the next attempt, in seconds. Both are of one statement. */
  async function delayOf({ orgId, id }: Task): Promise<number> {
    const [row] = await database.admin.query<{ delay: number }>(
      `select round(extract(epoch from run_at - updated_at))::int as delay from platform.tasks where org_id = $1 and id = $2`,
      [orgId, id],
    )
    return row?.delay ?? 0
  }

  test('what waits or runs is canceled', async () => {
    const org = await newOrg()
    const waiting = await org.tasks.enqueue({ kind: 'x', runAt: new Date(Date.now() + hour) })
    const running = await claimed(org)
    expect(await org.tasks.cancel(waiting.id)).toMatchObject({ status: 'canceled', attempt: 0 })
    expect(await org.tasks.cancel(running.id)).toMatchObject({ status: 'canceled', leaseOwner: null })
    await expect(org.tasks.complete(running.id, { owner: 'worker' })).rejects.toThrow('it is canceled')
    await expect(org.tasks.cancel(newId())).rejects.toThrow(NotFoundError)
  })

  test('tasks of workers that were not heard of are queued again, or failed', async () => {
    const org = await newOrg()
    const other = await newOrg()
    const tryable = await claimed(org, { maxAttempts: 2 })
    const spent = await claimed(org)
    const alive = await claimed(org)
    const theirs = await claimed(other)
    await expire(tryable, spent, theirs)

    const requeued = await org.tasks.requeueExpired()
    expect(ids(requeued)).toEqual(ids([tryable, spent]))
    expect(await org.tasks.get(tryable.id)).toMatchObject({ status: 'queued', attempt: 1, leaseOwner: null })
    expect(await org.tasks.get(spent.id)).toMatchObject({ status: 'failed', leaseExpiresAt: null })
    expect((await org.tasks.get(spent.id)).finishedAt).toBeInstanceOf(Date)
    expect(await org.tasks.get(alive.id)).toEqual(alive)
    expect(await other.tasks.get(theirs.id)).toMatchObject({ status: 'running' })
    expect(await org.tasks.requeueExpired()).toEqual([])
  })

  test('twenty that look for expired leases queue each task once', async () => {
    const org = await newOrg()
    await enqueue(org, 10)
    const running = await org.tasks.claim({ owner: 'worker', limit: 10 })
    await expire(...running)
    const { won, lost } = await contend(() => org.tasks.requeueExpired())
    expect(lost).toEqual([])
    expect(ids(won.flat())).toEqual(ids(running))
  })
})
