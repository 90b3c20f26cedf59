import { beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { NotFoundError } from '../../src/core/errors.js'
import type { Binding } from '../../src/core/executor.js'
import { newId } from '../../src/core/ids.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { ScopedTable } from '../../src/core/scoped-table.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { createOrganization, createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { contextOf } from '../support/scope-context.js'
import { colors, diaries, makeToyTables, notes } from '../support/toy-tables.js'

const database = useDatabase()
beforeAll(() => makeToyTables(database.admin))

interface Titled {
  readonly id: string
  readonly title: string
}
const anything = z.looseObject({})
const page = { orderBy: 'title' } as const

async function withScope<T>(url: string, binding: Binding, work: (scope: DirectScope) => Promise<T>): Promise<T> {
  const executor = openNodePostgres({ pool: { connectionString: url, max: 1 } })
  try {
    return await work(new DirectScope({ ...contextOf(newId()), binding }, executor))
  } finally {
    await executor.close({ drain: 0 })
  }
}

test('a person’s rows are read and written as an organization’s are, and are nobody else’s', async () => {
  const [ada, eve] = [await createUser(database.admin), await createUser(database.admin)]
  const id = newId()
  await withScope(database.appUrl, { kind: 'user', id: ada }, async (scope) => {
    const rows = new ScopedTable<Titled>(scope, diaries)
    await rows.insertRow(anything, { id, title: 'Monday' })
    await rows.insertRows(anything, [{ title: 'Tuesday' }, { title: 'Wednesday' }])
    expect(await rows.updateRow(anything, id, { title: 'Sunday' })).toMatchObject({ userId: ada, title: 'Sunday' })
    const first = await rows.list({ ...page, limit: 2 })
    const second = await rows.list({ ...page, limit: 2, after: first.next })
    expect([...first.items, ...second.items].map(({ title }) => title)).toEqual(['Sunday', 'Tuesday', 'Wednesday'])
    await expect(rows.insertRow(anything, { userId: eve, title: 'Hers' })).rejects.toThrow('userId')
  })
  await withScope(database.appUrl, { kind: 'user', id: eve }, async (scope) => {
    const rows = new ScopedTable<Titled>(scope, diaries)
    expect(await rows.find(id)).toBeUndefined()
    expect(await rows.count()).toBe(0)
    await expect(rows.deleteRow(id)).rejects.toThrow(NotFoundError)
  })
})

test('the system works on one organization’s rows by their predicate alone', async () => {
  const [ours, theirs] = [await createOrganization(database.admin), await createOrganization(database.admin)]
  const id = newId()
  const about = (id: string): Binding => ({ kind: 'system', about: { kind: 'org', id } })
  await withScope(database.systemUrl, about(theirs), async (scope) => {
    await new ScopedTable<Titled>(scope, notes).insertRow(anything, { id, title: 'Theirs' })
  })
  await withScope(database.systemUrl, about(ours), async (scope) => {
    const rows = new ScopedTable<Titled>(scope, notes)
    await rows.insertRow(anything, { id, title: 'Ours' })
    expect(await rows.get(id)).toMatchObject({ orgId: ours, title: 'Ours' })
    expect(await rows.updateRows({ id }, { title: 'Changed' })).toBe(1)
    expect((await rows.list()).items).toHaveLength(1)
    await rows.purgeRow(id)
  })
  const left = await database.admin.query('select title from toys.notes where id = $1', [id])
  expect(left).toEqual([{ title: 'Theirs' }])
})

test('the system works on tables of everybody, which have no owner', async () => {
  await withScope(database.systemUrl, { kind: 'system', about: undefined }, async (scope) => {
    const rows = new ScopedTable<{ id: string; name: string }>(scope, colors)
    const red = await rows.insertRow(anything, { name: 'red' })
    await rows.insertRows(anything, [{ name: 'green' }, { name: 'blue' }])
    expect(await rows.updateRow(anything, red.id, { name: 'dark red' })).toMatchObject({ name: 'dark red' })
    expect(await rows.getMany([red.id])).toMatchObject([{ name: 'dark red' }])
    expect((await rows.list({ name: { prefix: 'dark' } })).items).toMatchObject([{ id: red.id }])
    expect(await rows.deleteRows({ name: 'green' })).toBe(1)
    expect(await rows.count()).toBe(2)
    expect(() => new ScopedTable(scope, notes)).toThrow('notes belongs to an organization, and the scope is of nobody')
  })
})
