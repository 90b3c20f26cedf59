import { sql } from 'drizzle-orm'
import { pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { DefinitionError } from '../../src/core/errors.js'
import { OrgProjects } from '../../src/operations/org-projects.js'
import { ProjectDatabases } from '../../src/repositories/databases.js'
import { workflows } from '../../src/schema/index.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { isolationCase } from '../../src/testing/isolation-contract.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { openWithout, type Wall } from '../../src/testing/walls.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { Org } from '../../src/org.js'
import { eachCase, orgCases, otherCases, projectsCase } from './contract-cases.js'
import { definedCases } from './defined-cases.js'
import { projectCases } from './project-cases.js'

const database = useDatabase()

const cases = [...eachCase(isolationCase), ...definedCases]

const walls = [
  ['both walls', undefined],
  ['row security alone', 'predicates'],
  ['the predicates alone', 'row security'],
] as const

const optionsFor = (without: Wall | undefined) => ({
  appUrl: database.appUrl,
  admin: database.admin,
  ...(without !== undefined && { without }),
})

describe.each(walls)('%s', (_, without) => {
  test.each(cases.map((one) => [one.name, one] as const))('keep organizations apart in %s', async (_, one) => {
    expect(await one.faults(optionsFor(without))).toEqual([])
  })

  // The contract makes twins of rows, and the id of an organization is its own.
  test('keep organizations apart in OrganizationProfile', async () => {
    const { admin } = database
    const ids = [await createOrganization(admin), await createOrganization(admin), await createOrganization(admin)]
    const photograph = (but: string) =>
      admin.query('select o::text as row from platform.organizations o where id <> $1 order by id', [but])
    const { tenancy } = await openWithout(optionsFor(without))
    try {
      for (const id of ids) {
        const { organization } = tenancy.forOrg(id)
        const others = await photograph(id)
        expect(await organization.get()).toMatchObject({ id })
        expect(await organization.update({ name: `Renamed ${id}` })).toMatchObject({ id, name: `Renamed ${id}` })
        expect(await photograph(id)).toEqual(others)
      }
    } finally {
      await tenancy.close({ drain: 0 })
    }
  })
})

const gettersOf = (prototype: object): string[] =>
  Object.entries(Object.getOwnPropertyDescriptors(prototype)).flatMap(([name, property]) =>
    Object.hasOwn(property, 'get') ? [name] : [],
  )

/** Getters that reach no rows by an id, or that have tests of their own: that of the organization's row is above. */
const exempt = ['id', 'db', 'organization', 'entitlements']

test('every repository of an organization has a case', () => {
  const repositories = gettersOf(Org.prototype).filter((name) => !exempt.includes(name))
  expect(repositories.sort()).toEqual(Object.keys({ ...orgCases, ...otherCases }).sort())
})

test('whatever belongs to projects has a case', () => {
  const reached = (prototype: object) => gettersOf(prototype).map((name) => Reflect.get(prototype, name) as object)
  const classes = [OrgProjects.prototype, ProjectDatabases.prototype].flatMap(reached).map((one) => one.constructor)
  expect(new Set(classes)).toEqual(new Set(Object.values(projectCases).map(({ repository }) => repository)))
})

test('a case that only throws tests nothing, and is a fault', async () => {
  const calls = { ...projectsCase.calls, update: () => Promise.reject(new Error('refused')) }
  const found = await isolationCase<OrgProjects>({ ...projectsCase, calls }).faults(optionsFor(undefined))
  expect(found).toEqual(['OrgProjects.update: tested nothing, because its call throws Error: refused'])
})

test('a case whose call sends nothing tests nothing, and is a fault', async () => {
  const calls = { ...projectsCase.calls, update: () => 1 }
  const found = await isolationCase<OrgProjects>({ ...projectsCase, calls }).faults(optionsFor(undefined))
  expect(found).toEqual(['OrgProjects.update: tested nothing, because its call sent nothing'])
})

test('a case without a call of a method names it', async () => {
  const { find: _, create: __, ...calls } = projectsCase.calls
  const some = { ...projectsCase, calls: calls as typeof projectsCase.calls }
  const found = await isolationCase<OrgProjects>(some).faults(optionsFor(undefined))
  expect(found).toEqual(['OrgProjects.find: has no call', 'OrgProjects.create: has no call'])
})

test('a case that leaves out a table that its rows refer to says so', async () => {
  const tables = orgCases.schedules.tables.filter((table) => table !== workflows)
  const found = isolationCase({ ...orgCases.schedules, tables }).faults(optionsFor(undefined))
  await expect(found).rejects.toThrow(DefinitionError)
  await expect(found).rejects.toThrow('In `tables`, name the tables that it refers to, and before it')
})

const labels = pgTable(
  'labels',
  {
    orgId: uuid('org_id').notNull(),
    id: uuid('id').notNull(),
    name: text('name').notNull(),
    search: text('search').generatedAlwaysAs(sql`lower(name)`),
  },
  (t) => [primaryKey({ name: 'labels_pkey', columns: [t.orgId, t.id] })],
)
declareTable(labels, { kind: 'tenant' })

test('a table with a generated column is examined as any other', async () => {
  const { admin } = database
  await admin.query(`create table labels (org_id uuid, id uuid, name text not null,
    search text generated always as (lower(name)) stored, constraint labels_pkey primary key (org_id, id))`)
  await admin.query('alter table labels enable row level security')
  await admin.query('create policy org_isolation on labels to tenantry_app using (org_id = platform.current_org())')
  await admin.query('grant select, insert, update on labels to tenantry_app')
  const schema = z.object({ name: z.string() })
  const Labels = defineRepository(labels, { create: schema, patch: schema.partial() })
  const calls = {
    find: (all: InstanceType<typeof Labels>, id: string) => all.find(id),
    update: (all: InstanceType<typeof Labels>, id: string) => all.update(id, { name: 'Blue' }),
  }
  const found = await isolationCase({
    repository: Labels,
    tables: [labels],
    make: async (org: Org) => (await org.repository(Labels).create({ name: 'Red' })).id,
    calls: calls as never,
  }).faults(optionsFor(undefined))
  // The other methods are examined with the library's own tables.
  expect(found.filter((fault) => !fault.endsWith('has no call'))).toEqual([])
})

/** Finds by slug in all organizations, and deletes there. */
class LeakyProjects extends OrgProjects {
  override findBySlug(slug: string) {
    const leak = this.query(
      'leak',
      ({ sql, selected }) =>
        `select ${selected} from ${sql} where ("org_id" = $1 or true) and "slug" = $2 order by "org_id" limit 1`,
    )
    return this.run(
      leak,
      () => [slug],
      ({ rows }) => rows.map((row) => ({ orgId: row[0] })) as never,
    )
  }

  override count() {
    return this.counted('leaky count', 'count(*)::int')
  }

  override sum() {
    return this.counted('leaky sum', 'pg_catalog.sum(1)::text') as never
  }

  private counted(name: string, what: string) {
    const leak = this.query(name, ({ sql }) => `select ${what} from ${sql} where ("org_id" = $1 or true)`)
    return this.run(
      leak,
      () => [],
      ({ rows }) => rows[0]?.[0] as number,
    )
  }

  override delete(id: string) {
    const leak = this.change('leaky delete', ({ sql, selected }) => ({
      verb: 'update',
      ctes: [],
      head: `update ${sql} set "deleted_at" = now()`,
      where: '("org_id" = $1 or true) and "id" = $2',
      returning: selected,
    }))
    return this.run(
      leak,
      () => [id],
      ({ rows }) => rows.map((row) => ({ orgId: row[0] })) as never,
    )
  }
}

test('a leak is found where the other wall does not hold it', async () => {
  const leaky = isolationCase<OrgProjects>({ ...projectsCase, repository: LeakyProjects })
  expect(await leaky.faults(optionsFor(undefined))).toEqual([])
  const found = await leaky.faults(optionsFor('row security'))
  expect(found).toContain('LeakyProjects.findBySlug: returned a row of another organization')
  expect(found).toContain('LeakyProjects.count: returns other numbers once another organization has a row')
  expect(found).toContain('LeakyProjects.sum: returns other numbers once another organization has a row')
  expect(found).toContain('LeakyProjects.delete: changed another organization’s rows')
  expect(found).toContain('LeakyProjects.delete: changed the twin of another organization')
})
