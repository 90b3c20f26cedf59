import { expect, test } from 'vitest'
import { InvalidCursorError, InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { Task } from '../../src/schema/tasks.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg } = useTenancy()

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

test('newest first unless told', async () => {
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

test('a filter finds what it says', async () => {
  const { org, all } = await withTasks(6)
  const [first, second] = all as [Task, Task]
  const priorities = async (filter: Parameters<Org['tasks']['count']>[0]) => org.tasks.count(filter)
  expect(await priorities({ priority: 0 })).toBe(2)
  expect(await priorities({ priority: { gte: 1 } })).toBe(4)
  expect(await priorities({ priority: { gt: 0, lt: 2 } })).toBe(2)
  expect(await priorities({ priority: { not: 0 } })).toBe(4)
  expect(await priorities({ id: { in: [first.id, second.id, newId()] } })).toBe(2)
  expect(await priorities({ id: { in: [] } })).toBe(0)
  expect(await priorities({ or: [{ id: first.id }, { id: second.id }] })).toBe(2)
  expect(await priorities({ and: [{ kind: 'one' }, { not: { id: first.id } }] })).toBe(5)
  expect(await priorities({ workflowId: null })).toBe(6)
  expect(await priorities({ workflowId: { not: null } })).toBe(0)
  expect(await priorities({ kind: { prefix: 'on' } })).toBe(6)
  for (const pattern of ['%', '_ne', 'on%', '\\', "o' or true --"])
    expect(await priorities({ kind: { prefix: pattern } })).toBe(0)
  expect(await priorities({ createdAt: { lte: new Date(Date.UTC(9999, 0)) } })).toBe(6)
})

test('what is no filter, order or limit is refused before anything is sent', async () => {
  const org = await newOrg()
  const deep = (levels: number): object => (levels === 0 ? { kind: 'x' } : { not: deep(levels - 1) })
  const refused: unknown[] = [
    { orderBy: 'name; drop' },
    { orderBy: 'toString' },
    { orderBy: ['id'] },
    { orderBy: 'leaseOwner' },
    { limit: 0 },
    { limit: -1 },
    { limit: 1e9 },
    { limit: '10' },
    { limit: Number.NaN },
    { limit: 2 ** 53 },
    { before: 'x', after: 'x' },
    { kind: undefined },
    { kind: { $gt: '' } },
    { kind: { eq: { eq: 1 } } },
    { kind: {} },
    { kind: ['x'] },
    { kind: 7 },
    { kind: 'a\0b' },
    { kind: '\ud800' },
    { priority: '1' },
    { priority: 1.5 },
    { priority: 40_000 },
    { id: 'x' },
    { createdAt: '2026-01-01' },
    { createdAt: new Date(Number.NaN) },
    { input: {} },
    { toString: 'x' },
    { constructor: 'x' },
    { and: [] },
    { or: [{}] },
    { not: {} },
    { or: 'x' },
    deep(9),
    deep(5000),
    JSON.parse('{"__proto__":{"kind":"x"}}'),
    new (class Filter {
      kind = 'x'
    })(),
    new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('no')
        },
      },
    ),
    [],
    'kind',
  ]
  for (const [index, options] of refused.entries()) {
    const list = org.tasks.list(options as Parameters<typeof org.tasks.list>[0])
    await expect(list, `the one at ${index}`).rejects.toThrow(InvalidInputError)
  }
  expect(Object.prototype).not.toHaveProperty('kind')
})

test('as many ids as a list holds go in one parameter', async () => {
  const { org, all } = await withTasks(2)
  const ids = [...Array.from({ length: 70_000 }, newId), ...all.map((task) => task.id)]
  await expect(org.tasks.count({ id: { in: ids } })).resolves.toBe(2)
  await expect(org.tasks.count({ id: { in: [...ids, ...ids] } })).rejects.toThrow(InvalidInputError)
})
