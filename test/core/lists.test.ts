import { expect, test } from 'vitest'
import { InvalidCursorError, InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { Task } from '../../src/schema/tasks.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()
const { newOrg } = bench

/** Tasks of which many share their priority, so that only the id tells them apart. */
async function withTasks(count: number): Promise<{ org: Org; all: Task[] }> {
  const org = await newOrg()
  const all: Task[] = []
  for (let index = 0; index < count; index++) all.push(await org.tasks.enqueue({ kind: 'one', priority: index % 3 }))
  return { org, all }
}

test('pages hold every row once, in both directions', async () => {
  const { org, all } = await withTasks(23)
  for (const orderBy of [undefined, '-id', 'id', 'priority', '-priority', 'createdAt', '-runAt'] as const) {
    const order = orderBy === undefined ? {} : { orderBy }
    const forwards: string[] = []
    let page = await org.tasks.list({ ...order, limit: 5 })
    expect(page.previous).toBeUndefined()
    for (;;) {
      forwards.push(...page.items.map((task) => task.id))
      if (page.next === undefined) break
      page = await org.tasks.list({ ...order, limit: 5, after: page.next })
    }
    const backwards: string[] = page.items.map((task) => task.id)
    while (page.previous !== undefined) {
      page = await org.tasks.list({ ...order, limit: 5, before: page.previous })
      backwards.unshift(...page.items.map((task) => task.id))
    }
    expect(new Set(forwards), orderBy).toEqual(new Set(all.map((task) => task.id)))
    expect(forwards, orderBy).toHaveLength(23)
    expect(backwards, orderBy).toEqual(forwards)
  }
})

test('newest first by default', async () => {
  const { org, all } = await withTasks(4)
  const { items } = await org.tasks.list()
  expect(items.map((task) => task.id)).toEqual(all.map((task) => task.id).reverse())
})

test('a stream gives every row', async () => {
  const { org } = await withTasks(7)
  const ids: string[] = []
  for await (const task of org.tasks.stream({ limit: 2 })) ids.push(task.id)
  expect(new Set(ids).size).toBe(7)
})

test('a cursor opens the list that it was made for, and no other', async () => {
  const { org } = await withTasks(4)
  const { org: other } = await withTasks(4)
  const { next = '' } = await org.tasks.list({ limit: 2, kind: 'one' })
  await expect(org.tasks.list({ limit: 2, kind: 'one', after: next })).resolves.toBeDefined()

  const bytes = Buffer.from(next, 'base64url')
  const flipped = Array.from(bytes.keys(), (index) => {
    const copy = Buffer.from(bytes)
    copy[index] = (copy[index] ?? 0) ^ 1
    return copy.toString('base64url')
  })
  const forged = [...flipped, next.slice(0, -2), `${next}=`, '', 'x', 'a'.repeat(5000), 7, {}, [next]]
  for (const after of forged) {
    await expect(org.tasks.list({ limit: 2, kind: 'one', after: after as string })).rejects.toThrow(InvalidCursorError)
  }
  await expect(other.tasks.list({ limit: 2, kind: 'one', after: next })).rejects.toThrow(InvalidCursorError)
  await expect(org.tasks.list({ limit: 2, kind: 'two', after: next })).rejects.toThrow(InvalidCursorError)
  await expect(org.tasks.list({ limit: 2, after: next })).rejects.toThrow(InvalidCursorError)
  await expect(org.tasks.list({ kind: 'one', orderBy: 'id', after: next })).rejects.toThrow(InvalidCursorError)
  await expect(org.agents.list({ after: next })).rejects.toThrow(InvalidCursorError)
})

test('a page says that there is more only where there is', async () => {
  const { org, all } = await withTasks(11)
  const newest = all.toReversed()
  // Some numbers stand in the text of the statement.
  for (const limit of [1000, 20, 11]) {
    expect(await org.tasks.list({ limit })).toEqual({ items: newest, next: undefined, previous: undefined })
  }
  const first = await org.tasks.list({ limit: 10 })
  expect(first).toEqual({ items: newest.slice(0, 10), next: expect.any(String) as string, previous: undefined })
  const last = await org.tasks.list({ limit: 1, ...(first.next !== undefined && { after: first.next }) })
  expect(last).toEqual({ items: newest.slice(10), next: undefined, previous: expect.any(String) as string })
  const back = await org.tasks.list({ limit: 10, ...(last.previous !== undefined && { before: last.previous }) })
  expect(back).toEqual({ items: newest.slice(0, 10), next: expect.any(String) as string, previous: undefined })
})

test('a cursor behind which there is nothing any more gives an empty page', async () => {
  const { org, all } = await withTasks(2)
  const { next } = await org.tasks.list({ limit: 1 })
  await bench.database.admin.query('delete from platform.tasks where id = $1', [all[0]?.id])
  expect(await org.tasks.list({ ...(next !== undefined && { after: next }) })).toEqual({
    items: [],
    next: undefined,
    previous: undefined,
  })
})

const orders =
  'a list can be ordered by id, workflowId, agentId, scheduleId, scheduledFor, parentId, kind, status, priority, attempt, maxAttempts, runAt, leaseOwner, leaseToken, leaseExpiresAt, startedAt, finishedAt, dedupeKey, createdBy, createdAt, updatedAt; with - in front, descending'
const noOrder = (given: string) => `${given} is not a field to order by; ${orders}`
const noLimit = 'must be an integer from 1 to 1000'

test.each<[unknown, string, string]>([
  [{ orderBy: 'name; drop' }, noOrder('"name; drop"'), 'orderBy'],
  [{ orderBy: 'toString' }, noOrder('"toString"'), 'orderBy'],
  [{ orderBy: '--id' }, noOrder('"--id"'), 'orderBy'],
  [{ orderBy: 'input' }, noOrder('"input"'), 'orderBy'],
  [{ orderBy: '' }, noOrder('""'), 'orderBy'],
  [{ orderBy: 'x'.repeat(100) }, noOrder(`"${'x'.repeat(60)}"`), 'orderBy'],
  [{ orderBy: null }, `must be text or a list; ${orders}`, 'orderBy'],
  [{ orderBy: { id: 'asc' } }, `must be text or a list; ${orders}`, 'orderBy'],
  [{ orderBy: [] }, `is empty; ${orders}`, 'orderBy'],
  [{ orderBy: ['kind', 7] }, `must hold text; ${orders}`, 'orderBy'],
  [{ orderBy: ['kind', 'input'] }, noOrder('"input"'), 'orderBy'],
  [{ orderBy: ['kind', '-kind'] }, 'names kind twice', 'orderBy'],
  [{ orderBy: Array.from({ length: 9 }, () => 'kind') }, 'has more than 8 items', 'orderBy'],
  [{ total: 1 }, 'must be true or false', 'total'],
  [{ total: null }, 'must be true or false', 'total'],
  [{ limit: 0 }, noLimit, 'limit'],
  [{ limit: -1 }, noLimit, 'limit'],
  [{ limit: 1001 }, noLimit, 'limit'],
  [{ limit: 1e9 }, noLimit, 'limit'],
  [{ limit: '10' }, noLimit, 'limit'],
  [{ limit: 1.5 }, noLimit, 'limit'],
  [{ limit: Number.NaN }, noLimit, 'limit'],
  [{ before: 'x', after: 'x' }, 'cannot be combined with after', 'before'],
  ['kind', 'must be an object', 'options'],
])('%o is refused: %s', async (options, reason, field) => {
  const org = await newOrg()
  const list = org.tasks.list(options as Parameters<typeof org.tasks.list>[0])
  await expect(list).rejects.toThrow(new InvalidInputError(field, reason))
})

test('as many ids as a list holds go in one parameter', async () => {
  const { org, all } = await withTasks(2)
  const ids = [...Array.from({ length: 70_000 }, newId), ...all.map((task) => task.id)]
  await expect(org.tasks.count({ id: { in: ids } })).resolves.toBe(2)
  await expect(org.tasks.count({ id: { in: [...ids, ...ids] } })).rejects.toThrow(InvalidInputError)
})
