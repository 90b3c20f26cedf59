import { describe, expect, test } from 'vitest'
import { ConflictError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { ClaimedTask, Lease } from '../../src/repositories/tasks.js'
import type { Task } from '../../src/schema/tasks.js'
import { contend, ids } from '../support/contenders.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg, database } = useTenancy()

const hour = 3_600_000
const refusals = (count: number) => Array.from({ length: count }, () => expect.any(ConflictError) as unknown)

const enqueue = (org: Org, count: number): Promise<Task[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => org.tasks.enqueue({ kind: 'mail', input: index })))

/** A task that `worker` has claimed. */
async function claimed(org: Org, values: { maxAttempts?: number; dedupeKey?: string } = {}): Promise<ClaimedTask> {
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

describe('the lease', () => {
  test('the claim changes the task at the moment at which it starts it', async () => {
    const org = await newOrg()
    await org.tasks.enqueue({ kind: 'mail' })
    const [task] = await org.transaction(async (inner) => {
      await inner.tasks.count()
      return inner.tasks.claim({ owner: 'worker' })
    })
    expect(task?.startedAt).toBeInstanceOf(Date)
    expect(task?.updatedAt).toEqual(task?.startedAt)
  })

  test('its owner prolongs it and completes the task', async () => {
    const org = await newOrg()
    const task = await claimed(org)
    const alive = await org.tasks.heartbeat(task, { leaseSeconds: 600 })
    expect((alive.leaseExpiresAt?.getTime() ?? 0) - (task.leaseExpiresAt?.getTime() ?? 0)).toBeGreaterThanOrEqual(
      540_000,
    )

    const done = await org.tasks.complete(task, { output: { sent: true } })
    expect(done).toMatchObject({ status: 'succeeded', output: { sent: true }, leaseOwner: null, leaseExpiresAt: null })
    expect(done.finishedAt).toBeInstanceOf(Date)
  })

  test('nobody else prolongs, completes or fails it', async () => {
    const org = await newOrg()
    const task = await claimed(org)
    for (const call of [
      () => org.tasks.heartbeat({ id: task.id, leaseToken: newId() }),
      () => org.tasks.complete({ id: task.id, leaseToken: newId() }),
      () => org.tasks.fail({ id: task.id, leaseToken: newId() }),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'conflict', fields: ['lease'] })
    }
    expect(await org.tasks.get(task.id)).toEqual(task)
    await expect(org.tasks.complete({ ...task, id: newId() })).rejects.toThrow(NotFoundError)
    await expect((await newOrg()).tasks.complete(task)).rejects.toThrow(NotFoundError)
  })

  test('a task that waits cannot be finished', async () => {
    const org = await newOrg()
    const { id } = await org.tasks.enqueue({ kind: 'x' })
    const lease = { id, leaseToken: newId() }
    await expect(org.tasks.complete(lease)).rejects.toThrow(ConflictError)
    await expect(org.tasks.fail(lease)).rejects.toThrow(ConflictError)
    await expect(org.tasks.heartbeat(lease)).rejects.toThrow(ConflictError)
  })

  test.each(['heir', 'worker'])('who lost it cannot finish the task any more: to one named %s', async (owner) => {
    const org = await newOrg()
    const task = await claimed(org, { maxAttempts: 2 })
    await expire(task)
    await org.tasks.requeueExpired()
    const [again] = await org.tasks.claim({ owner })
    const calls: ((lease: Lease) => Promise<Task>)[] = [
      (lease) => org.tasks.heartbeat(lease),
      (lease) => org.tasks.fail(lease),
      (lease) => org.tasks.complete(lease),
    ]
    for (const call of calls) await expect(call(task)).rejects.toMatchObject({ code: 'conflict', fields: ['lease'] })
    expect(await org.tasks.get(task.id)).toEqual(again)
    await expect(org.tasks.complete(again as ClaimedTask)).resolves.toMatchObject({
      status: 'succeeded',
      attempt: 2,
      leaseToken: null,
    })
  })

  test('a token is new with each claim, and gone with the lease', async () => {
    const org = await newOrg()
    const tokens = new Set<unknown>()
    for (const end of [
      (task: ClaimedTask) => org.tasks.fail(task, { retryInSeconds: 0 }),
      (task: ClaimedTask) => expire(task).then(() => org.tasks.requeueExpired()),
      (task: ClaimedTask) => org.tasks.cancel(task.id),
    ]) {
      const task = await claimed(org, { maxAttempts: 2 })
      tokens.add(task.leaseToken)
      expect(await org.tasks.heartbeat(task)).toMatchObject({ leaseToken: task.leaseToken })
      await end(task)
      expect(await org.tasks.get(task.id)).toMatchObject({ leaseOwner: null, leaseToken: null, leaseExpiresAt: null })
      await org.tasks.cancel(task.id).catch(() => undefined)
    }
    expect(tokens.size).toBe(3)
  })

  test('who holds one that ran out may still finish the task, until it is queued again', async () => {
    const org = await newOrg()
    const calls: ((lease: Lease) => Promise<Task>)[] = [
      (lease) => org.tasks.heartbeat(lease),
      (lease) => org.tasks.complete(lease),
      (lease) => org.tasks.fail(lease),
    ]
    for (const call of calls) {
      const late = await claimed(org)
      await expire(late)
      expect(await org.tasks.claim({ owner: 'thief' })).toEqual([])
      await expect(call({ ...late, leaseToken: newId() })).rejects.toThrow(ConflictError)
      await expect(call(late)).resolves.toMatchObject({ id: late.id, attempt: 1 })
      const tooLate = await claimed(org, { maxAttempts: 2 })
      await expire(tooLate)
      await org.tasks.requeueExpired()
      await expect(call(tooLate)).rejects.toThrow(ConflictError)
      await org.tasks.cancel(tooLate.id)
    }
  })

  test('a finished task never changes', async () => {
    const org = await newOrg()
    const leaseToken = newId()
    const finished = [
      await org.tasks.complete(await claimed(org)),
      await org.tasks.fail(await claimed(org)),
      await org.tasks.cancel((await claimed(org)).id),
    ]
    expect(finished.map(({ status }) => status)).toEqual(['succeeded', 'failed', 'canceled'])
    for (const task of finished) {
      for (const call of [
        () => org.tasks.heartbeat({ ...task, leaseToken }),
        () => org.tasks.complete({ ...task, leaseToken }),
        () => org.tasks.fail({ ...task, leaseToken }),
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
    const task = await claimed(org)
    const ends = [() => org.tasks.complete(task), () => org.tasks.fail(task), () => org.tasks.cancel(task.id)]
    const { won, lost } = await contend((contender) => (ends[contender % 3] as () => Promise<Task>)())
    expect(won).toHaveLength(1)
    expect(lost).toEqual(refusals(19))
    expect(await org.tasks.get(task.id)).toEqual(won[0])
  })

  test('an omitted value is SQL null, and not the null of JSON', async () => {
    const org = await newOrg()
    const done = await org.tasks.complete(await claimed(org))
    const failed = await org.tasks.fail(await claimed(org))
    const rows = await database.admin.query(
      'select from platform.tasks where org_id = $1 and id = any($2) and output is null and error is null',
      [org.id, [done.id, failed.id]],
    )
    expect(rows).toHaveLength(2)
  })

  test.each([null, { owner: 'worker' }, { status: 'queued' }, { output: undefined, error: () => 1 }])(
    'the result %j is refused',
    async (result) => {
      const org = await newOrg()
      const task = await claimed(org)
      await expect(org.tasks.fail(task, result as never)).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(org.tasks.complete(task, result as never)).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(org.tasks.heartbeat(task, { leaseSeconds: 0 })).rejects.toThrow()
      expect(await org.tasks.get(task.id)).toEqual(task)
    },
  )

  test.each([
    ['an id', newId(), 'lease: must be an object'],
    ['nothing', undefined, 'lease: must be an object'],
    ['a task that nobody has claimed', { id: newId(), leaseToken: null }, 'leaseToken: must be a UUID in lower case'],
    ['a token alone', { leaseToken: newId() }, 'id: must be a UUID in lower case'],
  ])('what is no lease is refused, and told why: %s', async (_, lease, reason) => {
    const org = await newOrg()
    for (const call of [
      () => org.tasks.heartbeat(lease as never),
      () => org.tasks.complete(lease as never),
      () => org.tasks.fail(lease as never),
    ]) {
      await expect(call()).rejects.toThrow(reason)
    }
  })
})

describe('attempts', () => {
  test('a task that failed is tried again, twice as late each time, until it has no attempts left', async () => {
    const org = await newOrg()
    let task = await claimed(org, { maxAttempts: 3 })
    for (const seconds of [2, 4]) {
      const failed = await org.tasks.fail(task, { error: { reason: 'busy' } })
      expect(failed).toMatchObject({ status: 'queued', error: { reason: 'busy' }, leaseOwner: null, finishedAt: null })
      expect(await delayOf(failed)).toBe(seconds)
      expect(await org.tasks.claim({ owner: 'worker' })).toEqual([])
      await makeDue(failed)
      task = (await org.tasks.claim({ owner: 'worker' }))[0] as ClaimedTask
    }
    expect(task).toMatchObject({ attempt: 3 })
    const last = await org.tasks.fail(task)
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
    expect(await delayOf(await org.tasks.fail(task))).toBe(3600)

    const other = await claimed(org, { maxAttempts: 2 })
    const failed = await org.tasks.fail(other, { retryInSeconds: 86_400 })
    expect(await delayOf(failed)).toBe(86_400)

    const third = await claimed(org, { maxAttempts: 2 })
    await org.tasks.fail(third, { retryInSeconds: 0 })
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
    await expect(org.tasks.complete(running)).rejects.toThrow('the task is canceled')
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
