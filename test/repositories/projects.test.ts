import { expect, test } from 'vitest'
import { BrokenReferenceError, ConflictError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { statement } from '../../src/core/statement.js'
import { newId } from '../../src/core/ids.js'
import type { Rules } from '../../src/core/rules.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { Projects } from '../../src/repositories/projects.js'
import { contextOf } from '../support/scope-context.js'
import { contend } from '../support/contenders.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()
const { newOrg, database } = bench

test('a project is created, found by its id, slug and ref, and changed', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop', metadata: { tier: 1 } })

  expect(project).toMatchObject({
    orgId: org.id,
    name: 'Shop',
    status: 'active',
    metadata: { tier: 1 },
    deletedAt: null,
  })
  expect(project.ref).toMatch(/^[a-z]{20}$/)
  expect(project.createdAt).toBeInstanceOf(Date)
  expect(await org.projects.get(project.id)).toEqual(project)
  expect(await org.projects.findBySlug('shop')).toEqual(project)
  expect(await org.projects.findByRef(project.ref)).toEqual(project)

  const changed = await org.projects.update(project.id, { name: 'Store', databasePort: 5432, region: null })
  expect(changed).toMatchObject({ id: project.id, name: 'Store', databasePort: 5432, region: null, slug: 'shop' })
  expect(await org.projects.list({ slug: 'shop' })).toMatchObject({ items: [changed], next: undefined })
})

test('a password is in no row that is read', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  expect(Object.keys(project)).not.toContain('databasePassword')
})

test('a slug is unique in its organization while the project lives', async () => {
  const org = await newOrg()
  const other = await newOrg()
  const first = await org.projects.create({ name: 'Shop', slug: 'shop' })
  await expect(org.projects.create({ name: 'Again', slug: 'shop' })).rejects.toThrow(ConflictError)
  await expect(other.projects.create({ name: 'Theirs', slug: 'shop' })).resolves.toBeDefined()
  const second = await org.projects.create({ name: 'Second', slug: 'second' })
  await expect(org.projects.update(second.id, { slug: 'shop' })).rejects.toMatchObject({ fields: ['slug'] })

  await org.projects.delete(first.id)
  await expect(org.projects.update(second.id, { slug: 'shop' })).resolves.toMatchObject({ slug: 'shop' })
})

test('of twenty projects with one slug, one is made', async () => {
  const org = await newOrg()
  const { won, lost } = await contend(() => org.projects.create({ name: 'Shop', slug: 'shop' }))
  expect(won).toHaveLength(1)
  expect(lost).toEqual(Array.from({ length: 19 }, () => expect.any(ConflictError) as unknown))
  expect(await org.projects.count()).toBe(1)
})

test('a ref is never used again, not even after its project was deleted', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop', ref: 'shop-ref' })
  await org.projects.delete(project.id)
  await expect(org.projects.create({ name: 'Again', slug: 'again', ref: 'shop-ref' })).rejects.toMatchObject({
    code: 'conflict',
    fields: ['ref'],
  })
})

test('a deleted project is hidden from every read and write, and comes back as it was', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  const deleted = await org.projects.delete(project.id)
  expect(deleted.deletedAt).toBeInstanceOf(Date)

  expect(await org.projects.find(project.id)).toBeUndefined()
  expect(await org.projects.findBySlug('shop')).toBeUndefined()
  expect(await org.projects.findByRef(project.ref)).toBeUndefined()
  expect(await org.projects.findMany([project.id])).toEqual([])
  expect((await org.projects.list()).items).toEqual([])
  expect(await org.projects.count()).toBe(0)
  expect(await org.projects.exists({ slug: 'shop' })).toBe(false)
  await expect(org.projects.get(project.id)).rejects.toThrow(NotFoundError)
  await expect(org.projects.getMany([project.id])).rejects.toThrow(NotFoundError)
  await expect(org.projects.update(project.id, { name: 'x' })).rejects.toThrow(NotFoundError)
  await expect(org.projects.delete(project.id)).rejects.toThrow(NotFoundError)

  const restored = await org.projects.restore(project.id)
  expect(restored).toEqual({ ...project, updatedAt: restored.updatedAt })
  await expect(org.projects.restore(project.id)).rejects.toThrow(NotFoundError)
})

test('a project whose slug was taken meanwhile is not restored', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  await org.projects.delete(project.id)
  const heir = await org.projects.create({ name: 'Heir', slug: 'shop' })
  await expect(org.projects.restore(project.id)).rejects.toThrow(ConflictError)

  await org.projects.delete(heir.id)
  await expect(org.projects.restore(project.id)).resolves.toMatchObject({ id: project.id })
})

test('a purge takes the project and leaves its agents and workflows, without it', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  const agent = await org.agents.create({ name: 'Ada', username: 'ada', projectId: project.id })
  const hidden = await org.agents.create({ name: 'Bob', username: 'bob', projectId: project.id })
  await org.agents.delete(hidden.id)
  const workflow = await org.workflows.create({ name: 'Orders', slug: 'orders', projectId: project.id })

  expect(await org.projects.purge(project.id)).toMatchObject({ id: project.id })
  expect(await org.projects.find(project.id)).toBeUndefined()
  expect((await org.agents.get(agent.id)).projectId).toBeNull()
  expect((await org.agents.restore(hidden.id)).projectId).toBeNull()
  expect((await org.workflows.get(workflow.id)).projectId).toBeNull()
  await expect(org.projects.purge(project.id)).rejects.toThrow(NotFoundError)
})

test('a project of another organization is not found by any method', async () => {
  const org = await newOrg()
  const theirs = await (await newOrg()).projects.create({ name: 'Theirs', slug: 'theirs' })
  const { id } = theirs
  expect(await org.projects.find(id)).toBeUndefined()
  expect(await org.projects.findBySlug('theirs')).toBeUndefined()
  expect(await org.projects.findByRef(theirs.ref)).toBeUndefined()
  const missing = await org.projects.get(newId()).catch(String)
  for (const call of [
    () => org.projects.get(id),
    () => org.projects.update(id, { name: 'x' }),
    () => org.projects.delete(id),
    () => org.projects.restore(id),
    () => org.projects.purge(id),
  ]) {
    expect(await call().catch(String)).toBe(missing)
  }
})

test.each(['orgId', 'id', 'createdAt', 'deletedAt', 'databasePassword', 'createdBy', 'toString'])(
  '%s cannot be given',
  async (field) => {
    const org = await newOrg()
    const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
    const input = { [field]: newId() } as object
    const refusal = { code: 'invalid_input', faults: [{ field, reason: expect.any(String) as unknown }] }
    await expect(org.projects.create({ name: 'x', slug: 'x', ...input })).rejects.toMatchObject(refusal)
    await expect(org.projects.update(project.id, input)).rejects.toMatchObject(refusal)
    expect(await org.projects.list()).toMatchObject({ items: [project] })
  },
)

test('what is inherited, and what stands under __proto__, is not input', async () => {
  const org = await newOrg()
  const inherited = Object.create({ name: 'Shop', slug: 'shop' }) as { name: string; slug: string }
  await expect(org.projects.create(inherited)).rejects.toThrow(InvalidInputError)
  const proto = JSON.parse('{ "name": "Shop", "slug": "shop", "__proto__": { "ref": "mine" } }') as typeof inherited
  await expect(org.projects.create(proto)).rejects.toThrow(InvalidInputError)
  await expect(org.projects.list(JSON.parse('{ "__proto__": { "slug": "x" } }') as object)).rejects.toThrow(
    InvalidInputError,
  )
})

test.each<object>([
  { price: 1 },
  { metadata: {} },
  { databasePassword: 'x' },
  { toString: 'x' },
  { slug: { includes: 'x' } },
  { slug: { $ne: 'x' } },
  { slug: {} },
  { slug: ['x'] },
  { createdAt: 'yesterday' },
  { databasePort: '5432' },
  { or: [] },
  { or: [{}] },
  { limit: 0 },
  { orderBy: 'metadata' },
  { orderBy: 'id; drop table x' },
])('a list of %j is refused', async (options) => {
  const org = await newOrg()
  await expect(org.projects.list(options)).rejects.toThrow(InvalidInputError)
})

test('an object where a slug belongs is no filter', async () => {
  const org = await newOrg()
  await org.projects.create({ name: 'Shop', slug: 'shop' })
  for (const value of [{ not: 'x' }, { prefix: '' }, { in: ['shop'] }, null, undefined, 1, ['shop'], 's\0']) {
    await expect(org.projects.findBySlug(value as string)).rejects.toThrow(InvalidInputError)
    await expect(org.projects.findByRef(value as string)).rejects.toThrow(InvalidInputError)
  }
})

test('bad input is a rejection, and never thrown at the call', async () => {
  const org = await newOrg()
  const bad = [undefined, null, 1, 'x', [], {}, new Map(), () => 1] as never[]
  for (const value of bad) {
    const calls = [
      org.projects.find(value),
      org.projects.get(value),
      org.projects.findMany([value]),
      org.projects.create(value),
      org.projects.update(value, value),
      org.projects.delete(value),
      org.projects.restore(value),
      org.projects.purge(value),
      org.projects.findBySlug({ value } as never),
    ]
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'invalid_input' } })
    }
  }
})

test('the limit of the plan is reserved in front of the insert, and a refusal keeps it from being made', async () => {
  const org = await newOrg()
  const executor = (org as unknown as { scope: { executor: ConstructorParameters<typeof DirectScope>[1] } }).scope
    .executor
  const projectsWith = (reserve: Rules['reserve']) =>
    new Projects(new DirectScope(contextOf(org.id, { reserve }), executor))
  const asked: string[] = []

  const roomy = projectsWith(({ limit, values: [, rows] }) => {
    asked.push(`${limit} ${String(rows)}`)
    return []
  })
  await expect(roomy.create({ name: 'Shop', slug: 'shop' })).resolves.toMatchObject({ slug: 'shop' })
  expect(asked).toEqual(['max_projects 1'])

  const fails = { statement: statement('select 1 / $1::int', 'read'), values: [0] }
  await expect(projectsWith(() => [fails]).create({ name: 'Two', slug: 'two' })).rejects.toThrow(InvalidInputError)
  expect(await org.projects.count()).toBe(1)
})

test('a purge that a foreign key refuses deletes nothing', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  const agent = await org.agents.create({ name: 'Ada', username: 'ada', projectId: project.id })
  await database.admin.query('create table platform.holders (org_id uuid, project_id uuid)')
  await database.admin.query(
    'alter table platform.holders add foreign key (org_id, project_id) references platform.projects (org_id, id)',
  )
  await database.admin.query('insert into platform.holders values ($1, $2)', [org.id, project.id])
  await expect(org.projects.purge(project.id)).rejects.toThrow(BrokenReferenceError)
  expect((await org.agents.get(agent.id)).projectId).toBe(project.id)
  await database.admin.query('drop table platform.holders')
})
