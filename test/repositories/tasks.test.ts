import { describe, expect, test } from 'vitest'
import { BrokenReferenceError, ConflictError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { ClaimedTask } from '../../src/repositories/tasks.js'
import type { Task } from '../../src/schema/tasks.js'
import { contend, ids } from '../support/contenders.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg, database } = useTenancy()

const hour = 3_600_000
const enqueue = (org: Org, count: number): Promise<Task[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => org.tasks.enqueue({ kind: 'mail', input: index })))

/** A task that `worker` has claimed. */
async function claimed(org: Org, values: { maxAttempts?: number; dedupeKey?: string } = {}): Promise<ClaimedTask> {
  await org.tasks.enqueue({ kind: 'mail', ...values })
  const [task] = await org.tasks.claim({ owner: 'worker' })
  if (task === undefined) throw new Error('there was nothing to claim')
  return task
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

    await org.tasks.complete(task)
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
    await org.agents.delete(agent.id)
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
