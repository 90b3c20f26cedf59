import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { agentTools } from '../../src/schema/agents.js'
import { defineRepository } from '../../src/core/define-repository.js'
import { BrokenReferenceError, DefinitionError, NotFoundError } from '../../src/core/errors.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedTable } from '../../src/core/scoped-table.js'
import { newId } from '../../src/core/ids.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { planOf } from '../../src/core/statements/table-plan.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { contextOf } from '../support/scope-context.js'
import { recording } from '../support/recording-executor.js'
import { colors, comments, diaries, links, makeToyTables, notes, strays, tags } from '../support/toy-tables.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()
beforeAll(() => makeToyTables(bench.database.admin))

const anything = z.looseObject({})
const scopeOf = (): Scope => new DirectScope(contextOf(newId()), openNodePostgres({ pool: { max: 1 } }))

test('the insert that keeps an existing row is another statement for each unique key', async () => {
  const org = await bench.newOrg()
  const { executor, sent } = recording(openNodePostgres({ pool: { connectionString: bench.database.appUrl, max: 1 } }))
  onTestFinished(() => executor.close({ drain: 0 }))
  const rows = new ScopedTable<{ id: string; title: string }>(new DirectScope(contextOf(org.id), executor), notes)
  const values = { title: 'One', slug: 's', code: 'c' }
  const first = await rows.insertRow(anything, values)
  const bySlug = await rows.insertRow(anything, { ...values, code: 'other' }, { existing: 'notes_slug_key' })
  const byCode = await rows.insertRow(anything, { ...values, slug: 'other' }, { existing: 'notes_code_key' })
  expect([bySlug.id, byCode.id]).toEqual([first.id, first.id])
  const targets = [...sent.keys()].flatMap((text) => /on conflict \(.*?\)/.exec(text) ?? [])
  expect(targets).toEqual(['on conflict ("org_id", "slug")', 'on conflict ("org_id", "code")'])
})

test('an update with a revision of a table without one is refused before anything is sent', async () => {
  const scope = scopeOf()
  const rows = new (defineRepository(comments, { create: anything, patch: anything }))(scope)
  // The types have no such option.
  const update = rows.update.bind(rows) as (...args: readonly unknown[]) => Promise<unknown>
  await expect(update(newId(), { noteCode: 'two' }, { revision: 1 })).rejects.toThrow(DefinitionError)
  await expect(update(newId(), { noteCode: 'two' }, { revision: 1 })).rejects.toThrow(
    'comments has no revision to compare: give it a column `revision: integer().notNull().default(1)`',
  )
})

test('a defined repository has the name of its table, by which faults and stacks call it', () => {
  const rows = [notes, comments].map((table) => defineRepository(table, { create: anything, patch: anything }))
  expect(rows.map(({ name }) => name)).toEqual(['notes', 'comments'])
})

describe('a table that lacks something is refused when the repository is defined', () => {
  test.each([
    ['an owner that was never declared', strays, {}, 'strays has no declared owner'],
    ['an owner', colors, {}, 'colors belongs to no organization'],
    ['this owner', diaries, {}, 'diaries belongs to a person'],
    ['a parent of that name', comments, { unlockedParents: { noteID: 'misspelt' } }, 'by noteID'],
    ['a column of that name', notes, { references: [{ table: comments, property: 'noteID' }] }, 'no column noteID'],
  ])('%s', (_, table, options, message) => {
    const make = () => new ScopedTable(scopeOf(), table, options)
    expect(make).toThrow(DefinitionError)
    expect(make).toThrow(message)
  })

  test('before anything is asked, where defineRepository makes it', () => {
    expect(() => defineRepository(strays, { create: z.object({}), patch: z.object({}) })).toThrow(DefinitionError)
    expect(() =>
      defineRepository(comments, { create: z.object({}), patch: z.object({}), unlockedParents: { noteID: '' } }),
    ).toThrow('by noteID')
  })

  test('a unique key of that name', async () => {
    const rows = new ScopedTable<object>(scopeOf(), notes)
    const call = rows.insertRow(anything, { title: 'One' }, { existing: 'notes_slug' })
    await expect(call).rejects.toThrow('notes has no unique key notes_slug that begins with its owner')
  })
})

test('a parent is locked by the column that its key refers to', async () => {
  const org = await bench.newOrg()
  const { executor } = recording(openNodePostgres({ pool: { connectionString: bench.database.appUrl, max: 1 } }))
  onTestFinished(() => executor.close({ drain: 0 }))
  const scope = new DirectScope(contextOf(org.id), executor)
  const parents = new ScopedTable<{ id: string }>(scope, notes)
  const children = new ScopedTable<object>(scope, comments)
  expect([...planOf(comments).parents].map(([property, { target }]) => [property, target])).toEqual([
    ['noteCode', 'code'],
    ['noteId', 'id'],
  ])
  const { id } = await parents.insertRow(anything, { title: 'One', code: 'c' })
  await children.insertRow(anything, { noteCode: 'c' })
  const two = [{ noteCode: 'c' }, { noteCode: 'c' }]
  expect(await children.appendRows(anything, two)).toBe(2)
  await parents.hideRow(id)
  await expect(children.appendRows(anything, two)).rejects.toMatchObject({ fields: ['noteCode'] })
  const refused = children.insertRow(anything, { noteCode: 'c' })
  await expect(refused).rejects.toThrow(BrokenReferenceError)
  await expect(refused).rejects.toMatchObject({ fields: ['noteCode'] })
  const unlocked = new ScopedTable<object>(scope, comments, { unlockedParents: { noteCode: 'as a log does' } })
  await expect(unlocked.insertRow(anything, { noteCode: 'c' })).resolves.toBeDefined()
})

test('links to a parent that is deleted are refused, and links that are there are not', async () => {
  const org = await bench.newOrg()
  const { executor } = recording(openNodePostgres({ pool: { connectionString: bench.database.appUrl, max: 1 } }))
  onTestFinished(() => executor.close({ drain: 0 }))
  const scope = new DirectScope(contextOf(org.id), executor)
  const [kept, gone] = [
    await org.agents.create({ name: 'Ada', username: 'ada' }),
    await org.agents.create({ name: 'Eve', username: 'eve' }),
  ]
  const toolId = newId()
  await bench.database.admin.query(`insert into platform.tools (id, key, name) values ($1, $2, 'Tool')`, [
    toolId,
    toolId,
  ])
  await bench.database.admin.query(
    'insert into platform.organization_tools (org_id, id, tool_id) values ($1, $2, $2)',
    [org.id, toolId],
  )
  await org.agents.delete(gone.id)
  const rows = new ScopedTable<object>(scope, agentTools)
  const link = (agentId: string) => ({ agentId, organizationToolId: toolId })
  expect(await rows.linkRows(anything, [link(kept.id)])).toBe(1)
  expect(await rows.linkRows(anything, [link(kept.id)])).toBe(0)
  const refused = rows.linkRows(anything, [link(kept.id), link(gone.id)])
  await expect(refused).rejects.toMatchObject({ code: 'broken_reference' })
})

describe('a table without an id, whose rows link two others', () => {
  const link = z.strictObject({ fromId: z.uuid(), toId: z.uuid() })
  const Links = defineRepository(links, { link })
  // The application may change a column of the second one.
  const kinds = { 'of columns that never change': Links, 'with a time of change': defineRepository(tags, { link }) }

  test.each(Object.entries(kinds))('%s, is linked, listed page by page, and unlinked', async (_kind, repository) => {
    const org = await bench.newOrg()
    const all = org.repository(repository)
    const ids = [newId(), newId(), newId()] as const
    for (const toId of ids) await all.link({ fromId: ids[0], toId })
    const [before] = (await all.list({ toId: ids[1] })).items
    expect(await all.link({ fromId: ids[0], toId: ids[1] })).toEqual(before)
    expect(await all.count({ fromId: ids[0] })).toBe(3)
    expect(await all.exists({ toId: ids[2] })).toBe(true)
    const first = await all.list({ fromId: ids[0], limit: 2 })
    const second = await all.list({ fromId: ids[0], limit: 2, after: first.next })
    expect([...first.items, ...second.items].map(({ toId }) => toId)).toEqual(ids)
    expect(await all.unlink({ fromId: ids[0], toId: ids[2] })).toBe(true)
    expect(await all.unlink({ fromId: ids[0], toId: ids[2] })).toBe(false)
    expect(await all.count()).toBe(2)
  })

  test('is another organization’s or ours, and never both', async () => {
    const [ours, theirs] = [await bench.newOrg(), await bench.newOrg()]
    const link = { fromId: newId(), toId: newId() }
    await theirs.repository(Links).link(link)
    expect(await ours.repository(Links).unlink(link)).toBe(false)
    expect((await ours.repository(Links).list()).items).toEqual([])
    expect(await theirs.repository(Links).count()).toBe(1)
  })

  test('has no row to find by an id', async () => {
    const rows = new ScopedTable(scopeOf(), links)
    await expect(rows.get(newId())).rejects.toThrow('links has no id to find a row by')
    await expect(rows.findMany([newId()])).rejects.toThrow(DefinitionError)
  })
})

test('what is soft-deletable has delete, restore and purge; what is not has no more than delete', async () => {
  const org = await bench.newOrg()
  const schemas = { create: z.object({ title: z.string() }), patch: z.object({}) }
  const soft = org.repository(defineRepository(notes, schemas))
  const { id } = await soft.create({ title: 'One' })
  await soft.delete(id)
  await expect(soft.get(id)).rejects.toThrow(NotFoundError)
  await soft.restore(id)
  await soft.purge(id)
  await expect(soft.restore(id)).rejects.toThrow(NotFoundError)
  const hard = org.repository(defineRepository(comments, { create: z.object({}), patch: z.object({}) }))
  expect('restore' in hard).toBe(false)
})
