import { beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import { agents, tasks } from '../../src/schema/index.js'
import { holders, makeSampleTables, marks, ofHolders, samples } from '../support/sample-tables.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const anything = z.looseObject({})
const Samples = defineRepository(samples, { create: anything, patch: anything })
const Holders = defineRepository(holders, {
  create: anything,
  patch: anything,
  includes: ofHolders,
})
const Marks = defineRepository(marks, { link: z.strictObject({ holderId: z.uuid(), sampleId: z.uuid() }) })
const include = { favorite: true, samples: { orderBy: ['text', '-word'] }, marked: true } as const

let org: Org
let ada: string
beforeAll(async () => {
  await makeSampleTables(teams.database.admin)
  ;({ org } = await teams.newTeam())
  ada = (await org.repository(Holders).create({ name: 'Ada' })).id
  const values = [
    { text: 'a', word: 'x' },
    { text: 'a', word: 'y' },
    { text: null, word: 'z' },
  ]
  for (const one of values) await org.repository(Samples).create({ ...one, holderId: ada })
  const [first] = (await org.repository(Samples).list({ word: 'x' })).items
  await org.repository(Holders).update(ada, { favoriteId: first?.id })
  await org.repository(Marks).link({ holderId: ada, sampleId: first?.id ?? '' })
  for (const name of ['Bob', 'Eve']) await org.repository(Holders).create({ name })
})

const wordsOf = (rows: readonly { readonly word: string | null }[]) => rows.map(({ word }) => word)

test('a part of a row comes with its related rows, and without the columns that they go by', async () => {
  const all = org.repository(Holders)
  const options = { select: ['name'], include } as const
  const found = await all.find(ada, options)
  expect(Object.keys(found ?? {}).toSorted()).toEqual(['favorite', 'marked', 'name', 'samples'])
  expect([found?.favorite?.word, wordsOf(found?.marked ?? [])]).toEqual(['x', ['x']])
  expect(wordsOf(found?.samples ?? [])).toEqual(['y', 'x', 'z'])
  expect(await all.get(ada, options)).toEqual(found)
  const { items } = await all.list({ ...options, name: 'Ada', orderBy: 'favoriteId' })
  expect(items).toEqual([found])
  const streamed: unknown[] = []
  for await (const row of all.stream({ ...options, orderBy: 'name', limit: 1 })) streamed.push(row)
  const nothing = { favorite: null, samples: [], marked: [] }
  expect(streamed).toEqual([found, { name: 'Bob', ...nothing }, { name: 'Eve', ...nothing }])
  expect(await all.find(newId(), options)).toBeUndefined()
})

test('the total beside related rows is that of the list', async () => {
  const all = org.repository(Holders)
  const options = { include, total: true, orderBy: 'name', limit: 2 } as const
  const first = await all.list(options)
  expect([first.total, first.items.map(({ name }) => name)]).toEqual([3, ['Ada', 'Bob']])
  expect(wordsOf(first.items[0]?.samples ?? [])).toEqual(['y', 'x', 'z'])
  const second = await all.list({ ...options, after: first.next, select: ['id'] })
  expect([second.total, second.items.length, second.next]).toEqual([3, 1, undefined])
  const back = await all.list({ ...options, before: second.previous })
  expect(back.items).toEqual(first.items)
  expect(await all.list({ ...options, name: 'Nobody' })).toEqual({
    items: [],
    next: undefined,
    previous: undefined,
    total: 0,
  })
})

test('the cursor is the same with and without them', async () => {
  const all = org.repository(Holders)
  const options = { orderBy: ['favoriteId', '-name'], limit: 1 } as const
  const { next } = await all.list(options)
  expect((await all.list({ ...options, include })).next).toBe(next)
  expect((await all.list({ ...options, include, select: ['name'] })).next).toBe(next)
  expect((await all.list({ ...options, include, select: ['name'], total: true })).next).toBe(next)
})

test('a field that is not there is refused beside related rows too', async () => {
  const options = { select: ['colour'], include } as never
  const refusal = '"colour" is not a field to select'
  await expect(org.repository(Holders).get(ada, options)).rejects.toThrow(refusal)
  await expect(org.repository(Holders).list(options)).rejects.toThrow(refusal)
})

test('a filter that its caller changes afterwards stays what it was for everybody else', async () => {
  const { org } = await teams.newTeam()
  const { id } = await org.agents.create({ name: 'Ada', username: 'ada' })
  for (const kind of ['a', 'b']) await org.tasks.enqueue({ kind, agentId: id })
  const kindsOf = async (where: object) => {
    const { items } = await org.agents.list({ include: { tasks: { where } } })
    return items[0]?.tasks.map(({ kind }) => kind)
  }
  const where: { kind: unknown } = { kind: 'a' }
  await org.agents.find(id, { include: { tasks: { where } } } as never)
  where.kind = { not: 'a' }
  expect(await kindsOf({ kind: 'a' })).toEqual(['a'])
  expect(await kindsOf(where)).toEqual(['b'])
})

test('a filter of related rows is read once', async () => {
  const { org } = await teams.newTeam()
  const { id } = await org.agents.create({ name: 'Ada', username: 'ada' })
  await org.tasks.enqueue({ kind: 'a', agentId: id })
  let reads = 0
  // Nobody else filters by this field, so the text is not known yet.
  const get = () => (reads++ === 0 ? 0 : { not: 0 })
  const where = Object.defineProperty({}, 'attempt', { enumerable: true, get })
  const { tasks } = await org.agents.get(id, { include: { tasks: { where } } })
  expect([tasks.length, reads]).toEqual([1, 1])
})

test('two repositories of one table may call different relations by the same name', async () => {
  const { org } = await teams.newTeam()
  const agent = await org.agents.create({ name: 'Ada', username: 'ada' })
  const parent = await org.tasks.enqueue({ kind: 'parent' })
  const task = await org.tasks.enqueue({ kind: 'child', parentId: parent.id, agentId: agent.id })
  const schemas = { create: anything, patch: anything }
  const First = defineRepository(tasks, { ...schemas, includes: { other: { one: agents, by: 'agentId' } } })
  const Second = defineRepository(tasks, { ...schemas, includes: { other: { one: tasks, by: 'parentId' } } })
  const include = { other: true } as const
  expect((await org.repository(First).get(task.id, { include })).other?.id).toBe(agent.id)
  expect((await org.repository(Second).get(task.id, { include })).other?.id).toBe(parent.id)
})

test('also where both are lists of one table, by different columns', async () => {
  const { org } = await teams.newTeam()
  const { id } = await org.repository(Holders).create({ name: 'Ada' })
  for (const values of [
    { word: 'held', holderId: id },
    { word: 'lent', lenderId: id },
  ]) {
    await org.repository(Samples).create(values)
  }
  const schemas = { create: anything, patch: anything }
  const Holding = defineRepository(holders, { ...schemas, includes: { others: { many: samples, by: 'holderId' } } })
  const Lending = defineRepository(holders, { ...schemas, includes: { others: { many: samples, by: 'lenderId' } } })
  const include = { others: true } as const
  expect(wordsOf((await org.repository(Holding).get(id, { include })).others)).toEqual(['held'])
  expect(wordsOf((await org.repository(Lending).get(id, { include })).others)).toEqual(['lent'])
})

test('rows of one page that refer to the same row share the object', async () => {
  const { org } = await teams.newTeam()
  const { id: projectId } = await org.projects.create({ name: 'P', slug: 'p' })
  for (const username of ['ada', 'bob']) await org.agents.create({ name: username, username, projectId })
  const { items } = await org.agents.list({ include: { project: true } })
  const [a, b] = items
  expect(a?.project?.id).toBe(projectId)
  expect(b?.project).toBe(a?.project)
})
