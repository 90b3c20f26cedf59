import { rm } from 'node:fs/promises'
import { check, foreignKey, index, pgSchema, primaryKey, text, unique, uuid, varchar } from 'drizzle-orm/pg-core'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { declare } from '../../src/declared.js'
import { checkTables } from '../../src/lint/check-tables.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { instant, literal, orgId } from '../../src/schema/shared/columns.js'
import { tenantTable } from '../../src/schema/shared/isolation.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { openTenancy } from '../../src/tenancy.js'
import { isolationCase } from '../../src/testing/isolation-contract.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { writeFolder } from '../migrations/migrations-folder.js'
import { adopting, ownerSession, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const firm = '00000000-0000-7000-8000-0000000000f1'
const other = '00000000-0000-7000-8000-0000000000f2'

const script = `
create schema firm;
create table firm.teams (id uuid primary key, name text not null);
create table firm.folders (id uuid primary key default gen_random_uuid(), team_id uuid not null, "Label" varchar(80) not null unique,
  made_by text not null default 'somebody');
create table firm.papers (id uuid primary key default gen_random_uuid(), folder_id uuid references firm.folders on delete set null,
  title text not null, status text not null, since timestamptz);
create index papers_folder on firm.papers (folder_id);
insert into firm.teams values ('${firm}', 'Firm'), ('${other}', 'Other firm');
insert into firm.folders (id, team_id, "Label") values ('00000000-0000-7000-8000-0000000000a1', '${firm}', 'one'),
  ('00000000-0000-7000-8000-0000000000a2', '${other}', 'two');
insert into firm.papers (folder_id, title, status) select id, 'paper', 'new' from firm.folders
`

const schema = pgSchema('firm')
const folders = schema.table(
  'folders',
  {
    id: uuid('id').notNull().defaultRandom(),
    teamId: uuid('team_id').notNull(),
    Label: varchar('Label', { length: 80 }).notNull(),
    madeBy: text('made_by').notNull().default('somebody'),
    orgId: orgId(),
  },
  (t) => [
    primaryKey({ name: 'folders_pkey', columns: [t.orgId, t.id] }),
    unique('folders_Label_key').on(t.orgId, t.Label),
    ...tenantTable('folders', t),
  ],
)
declareTable(folders, { kind: 'tenant', adopted: true, loose: ['team_id'] })
const paperColumns = () => ({
  id: uuid('id').notNull().defaultRandom(),
  folderId: uuid('folder_id'),
  title: text('title').notNull(),
  status: text('status').notNull(),
  since: instant('since'),
  orgId: orgId(),
})
const papers = schema.table('papers', paperColumns(), (t) => [
  primaryKey({ name: 'papers_pkey', columns: [t.orgId, t.id] }),
  foreignKey({
    name: 'papers_folder_id_fkey',
    columns: [t.orgId, t.folderId],
    foreignColumns: [folders.orgId, folders.id],
  }).onDelete('set null'),
  index('papers_org_folder_id_idx').on(t.orgId, t.folderId),
  ...tenantTable('papers', t),
])
declareTable(papers, { kind: 'tenant', adopted: true })

const definitions = { folders, papers }
const newPaper = z.strictObject({ title: z.string(), status: z.string(), folderId: z.uuid().nullish() })
const Papers = defineRepository(papers, { create: newPaper, patch: newPaper.partial() })

beforeAll(async () => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
})

describe('adopted tables', () => {
  test('keep the conventions that isolate rows, and are spared those of ids, defaults and names', () => {
    expect(checkTables(definitions)).toEqual([])
    // The same table, declared as a new one.
    const made = schema.table('papers', paperColumns())
    declareTable(made, { kind: 'tenant' })
    const rules = new Set(checkTables({ made }).map(({ rule }) => rule))
    expect(rules).toEqual(
      new Set([
        'owner-column',
        'owner-reference',
        'row-security',
        'primary-key',
        'id',
        'missing-reference',
        'state',
        'timestamps',
      ]),
    )
    declareTable(made, { kind: 'tenant', adopted: true })
    expect(new Set(checkTables({ made }).map(({ rule }) => rule))).toEqual(
      new Set(['owner-reference', 'row-security', 'primary-key', 'missing-reference']),
    )
  })

  test('with ids that are no uuid have no repository', () => {
    const numbered = schema.table('numbered', { orgId: orgId(), id: text('id').notNull() }, (t) => [
      primaryKey({ name: 'numbered_pkey', columns: [t.orgId, t.id] }),
      ...tenantTable('numbered', t),
    ])
    declareTable(numbered, { kind: 'tenant', adopted: true })
    expect(() => defineRepository(numbered, { create: z.strictObject({}), patch: z.strictObject({}) })).toThrow(
      'numbered.id is text, and a repository finds rows by a uuid: use org.db for this table',
    )
  })

  test('may have columns that need quotes in a predicate, but no table in front of them', () => {
    const literalsOf = (predicate: string) => {
      const table = schema.table('papers', paperColumns(), () => [check('papers_check', literal(predicate))])
      declareTable(table, { kind: 'tenant', adopted: true })
      return checkTables({ table }).filter(({ rule }) => rule === 'literal').length
    }
    expect(literalsOf(`"Label" <> ''`)).toBe(0)
    expect(literalsOf(`"papers"."title" <> ''`)).toBe(1)
    expect(literalsOf(`papers.title <> ''`)).toBe(1)
  })

  test('are served after the adoption: the proof is clean, and the isolation contract holds with each wall alone', async () => {
    const { take, fill } = await adopting(database.adminUrl, 'firm', {
      tables: { folders: { kind: 'tenant', way: { column: 'team_id' } } },
    })
    await take('expand')
    await fill()
    await take('prove', 'swap', 'observe', 'enforce', 'contract')

    // The tables are there: the first migration of the host has nothing to do.
    const migrations = await writeFolder([{ tag: '0000_adopted', up: ['select 1'], down: ['select 1'] }])
    onTestFinished(() => rm(migrations, { recursive: true }))
    const own = {
      schema: definitions,
      migrations,
      permissions: { 'papers:read': 'See papers', 'papers:write': 'Change papers' },
    }
    const withFolders = { ...own.permissions, 'folders:read': 'See folders', 'folders:write': 'Change folders' }
    const admin = await ownerSession(database.adminUrl)
    const { bootstrap } = await upgrade(admin, await declare({ ...own, permissions: withFolders }))
    // Enforce has given exactly the rights that are declared.
    expect(bootstrap.done.filter((statement) => statement.includes('firm'))).toEqual([])

    const keys = `test:${Buffer.alloc(32).toString('base64')}`
    const tenancy = await openTenancy({ url: database.appUrl, keys, own: { ...own, permissions: withFolders } })
    onTestFinished(() => tenancy.close())
    const org = tenancy.forOrg(firm)
    expect((await org.repository(Papers).list()).items).toMatchObject([{ title: 'paper', orgId: firm }])
    const made = await org.repository(Papers).create({ title: 'mine', status: 'new' })
    await expect(tenancy.forOrg(other).repository(Papers).find(made.id)).resolves.toBeUndefined()

    const contract = isolationCase({
      repository: Papers,
      tables: [papers],
      make: async (scope) => (await scope.repository(Papers).create({ title: 'a', status: 'new' })).id,
      calls: {
        find: (all, id) => all.find(id),
        get: (all, id) => all.get(id),
        findMany: (all, id) => all.findMany([id]),
        getMany: (all, id) => all.getMany([id]),
        list: (all, id) => all.list({ id }),
        stream: (all, id) => all.stream({ id }),
        count: (all, id) => all.count({ id }),
        exists: (all, id) => all.exists({ id }),
        countBy: (all, id) => all.countBy('status', { id }),
        min: (all, id) => all.min('title', { id }),
        max: (all, id) => all.max('title', { id }),
        create: (all) => all.create({ title: 'b', status: 'new' }),
        createMany: (all) => all.createMany([{ title: 'c', status: 'new' }]),
        update: (all, id) => all.update(id, { title: 'd' }),
        updateWhere: (all, id) => all.updateWhere({ id }, { title: 'e' }),
        delete: (all, id) => all.delete(id),
        deleteWhere: (all, id) => all.deleteWhere({ id }),
      },
    })
    for (const without of [undefined, 'row security', 'predicates'] as const) {
      const faults = await contract.faults({
        appUrl: database.appUrl,
        admin,
        ...(without !== undefined && { without }),
      })
      expect([without, faults]).toEqual([without, []])
    }
  })
})
