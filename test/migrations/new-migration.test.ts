import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateMigration } from 'drizzle-kit/api'
import { expect, test } from 'vitest'
import { ungeneratedChanges } from '../../src/migrations/generation/definitions.js'
import { draftDown } from '../../src/migrations/generation/draft-down.js'
import { fingerprint } from '../../scripts/catalog/fingerprint.js'
import { migrateDown, migrateUp, verifyMigrations } from '../../src/migrations/migrator.js'
import { newMigration } from '../../src/migrations/generation/new-migration.js'
import { draftLine, parseScript } from '../../src/migrations/script.js'
import { takeSnapshot } from '../../src/migrations/generation/snapshot.js'
import * as first from '../fixtures/migrations/first.js'
import * as renamed from '../fixtures/migrations/renamed.js'
import * as second from '../fixtures/migrations/second.js'
import { useEmptyDatabases } from './empty-database.js'
import { asSet, writeFolder } from './migrations-folder.js'

const emptyDatabase = useEmptyDatabases()

/** A project whose schema module is one of the fixtures. */
async function newProject() {
  const directory = await mkdtemp(join(tmpdir(), 'tenantry-project-'))
  const config = join(directory, 'drizzle.config.json')
  const folder = join(directory, 'drizzle')
  return {
    folder,
    files: async () => (await readdir(folder)).sort(),
    async generate(fixture: 'first' | 'second' | 'renamed', name: string) {
      const schema = join(import.meta.dirname, `../fixtures/migrations/${fixture}.ts`)
      await writeFile(config, JSON.stringify({ dialect: 'postgresql', schema, out: './drizzle' }))
      return newMigration({ name, config, folder, definitions: { first, second, renamed }[fixture] })
    },
  }
}

// What drizzle-kit 0.31.11 wrote for renamed.ts after first.ts, told that authors, name, author_id and readers were renamed.
const renames = `ALTER TABLE "library"."authors" RENAME TO "writers";
ALTER TABLE "library"."writers" RENAME COLUMN "name" TO "full_name";
ALTER TABLE "library"."books" RENAME COLUMN "author_id" TO "writer_id";
ALTER TABLE "library"."writers" DROP CONSTRAINT "authors_site_key";
ALTER TABLE "library"."writers" DROP CONSTRAINT "authors_name_check";
ALTER TABLE "library"."books" DROP CONSTRAINT "books_author_fkey";
DROP INDEX "library"."authors_name_idx";
DROP INDEX "library"."books_author_idx";
ALTER TABLE "library"."writers" ADD COLUMN "born" text;
ALTER TABLE "library"."books" ADD CONSTRAINT "books_author_fkey" FOREIGN KEY ("org_id","writer_id") REFERENCES "library"."writers"("org_id","id") ON DELETE cascade ON UPDATE no action;
CREATE INDEX "authors_name_idx" ON "library"."writers" USING btree ("org_id","full_name");
CREATE INDEX "books_author_idx" ON "library"."books" USING btree ("org_id","writer_id");
ALTER TABLE "library"."writers" DROP COLUMN "site";
ALTER TABLE "library"."books" ADD CONSTRAINT "books_writer_key" UNIQUE("org_id","writer_id");
ALTER TABLE "library"."writers" ADD CONSTRAINT "authors_name_check" CHECK (full_name <> '');
ALTER POLICY "readers" ON "library"."writers" RENAME TO "everyone";`.split('\n')

test(
  'a new migration is generated, its down drafted, and the draft leads back once it was read',
  { timeout: 300_000 },
  async () => {
    const { session } = await emptyDatabase()
    const project = await newProject()
    const set = asSet(project.folder, 'library')
    const made = await project.generate('first', 'library')
    expect(made).toEqual({
      tag: '0000_library',
      up: join(project.folder, '0000_library.sql'),
      down: join(project.folder, '0000_library.down.sql'),
    })
    expect(await ungeneratedChanges(first, project.folder)).toEqual([])
    expect(await project.generate('first', 'again')).toBeUndefined()
    await project.generate('second', 'editions')
    expect(await project.files()).toEqual([
      '0000_library.down.sql',
      '0000_library.sql',
      '0001_editions.down.sql',
      '0001_editions.sql',
      'meta',
    ])

    await migrateUp(session, [set])
    await expect(migrateDown(session, [set])).rejects.toThrow('0001_editions.down.sql is a draft')
    expect(await verifyMigrations(session, [set])).toHaveLength(2)
    for (const name of ['0000_library', '0001_editions']) {
      const file = join(project.folder, `${name}.down.sql`)
      const draft = await readFile(file, 'utf8')
      expect(draft.startsWith(`${draftLine}\n`)).toBe(true)
      await writeFile(file, draft.slice(draftLine.length + 1))
    }
    expect(await verifyMigrations(session, [set])).toEqual([])
    await migrateDown(session, [set], { all: true })
    expect(await session.query("select from pg_namespace where nspname = 'library'")).toEqual([])
    await migrateUp(session, [set])
  },
)

test('without a terminal a rename is refused, and nothing is written', { timeout: 300_000 }, async () => {
  const project = await newProject()
  await project.generate('first', 'library')
  const before = await project.files()
  await expect(project.generate('renamed', 'writers')).rejects.toThrow(
    'only you know whether it was renamed. Run this in a terminal',
  )
  expect(await project.files()).toEqual(before)
})

test('a folder that lacks a file of its journal is refused before anything is generated', async () => {
  const project = await newProject()
  await project.generate('first', 'authors')
  await rm(join(project.folder, '0000_authors.sql'))
  const before = await project.files()
  await expect(project.generate('second', 'more')).rejects.toThrow('restore it, or take it out of meta/_journal.json')
  expect(await project.files()).toEqual(before)
})

test('other refusals of drizzle-kit are reported with its text', { timeout: 300_000 }, async () => {
  const { folder } = await newProject()
  const config = join(folder, '..', 'drizzle.config.json')
  await writeFile(config, JSON.stringify({ dialect: 'postgresql', schema: './nowhere.ts', out: './drizzle' }))
  await expect(newMigration({ name: 'a', config, folder, definitions: first })).rejects.toThrow(
    /wrote no migration.*\n.*nowhere/s,
  )
})

test('definitions that are not the ones of the config are refused', { timeout: 300_000 }, async () => {
  const { folder } = await newProject()
  const config = join(folder, '..', 'drizzle.config.json')
  const schema = join(import.meta.dirname, '../fixtures/migrations/first.ts')
  await writeFile(config, JSON.stringify({ dialect: 'postgresql', schema, out: './drizzle' }))
  await expect(newMigration({ name: 'a', config, folder, definitions: second })).rejects.toThrow(
    /0000_a\.sql lacks some of the definitions.*table library\.editions/s,
  )
})

test.each(['', 'Add agents', '../a', 'a-b'])('%j is no name for a migration', async (name) => {
  await expect(newMigration({ name, config: '', folder: '', definitions: {} })).rejects.toThrow('must be lower case')
})

test('the gate tells every ungenerated change in words, a rename as two', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tenantry-gate-'))
  await expect(ungeneratedChanges(first, folder)).resolves.toEqual([
    'table library.authors is in the definitions and in no migration',
    'table library.books is in the definitions and in no migration',
    'schema library is in the definitions and in no migration',
  ])
  await writeFolder([{ tag: '0000_library', up: '' }], folder)
  await writeFile(join(folder, 'meta/0000_snapshot.json'), JSON.stringify(takeSnapshot(first)))
  expect(await ungeneratedChanges(first, folder)).toEqual([])
  const changes = await ungeneratedChanges(second, folder)
  expect(changes).toHaveLength(7)
  expect(changes).toEqual(
    expect.arrayContaining([
      'table library.authors, column best_id is in the definitions and in no migration',
      expect.stringMatching(
        /^table library\.authors, index authors_name_idx, columns is \[.*best_id.*\] in the definitions and/,
      ),
      'table library.authors, foreign key authors_best_fkey is in the definitions and in no migration',
      'table library.authors, policy readers, using is "best_id is not null" in the definitions and "true" in the migrations',
      'table library.authors, check authors_name_check is in the migrations and not in the definitions',
      'table library.books, column facts, notNull is true in the definitions and false in the migrations',
      'table library.editions is in the definitions and in no migration',
    ]),
  )
  expect(await ungeneratedChanges(renamed, folder)).toEqual(
    expect.arrayContaining([
      'table library.authors is in the migrations and not in the definitions',
      'table library.writers is in the definitions and in no migration',
      'table library.books, column author_id is in the migrations and not in the definitions',
      'table library.books, column writer_id is in the definitions and in no migration',
    ]),
  )
})

test.each([
  ['changes', second, undefined],
  ['renames', renamed, renames],
])('the draft takes back %s', async (_, definitions, written) => {
  const { session } = await emptyDatabase()
  const [empty, before, after] = [takeSnapshot({}), takeSnapshot(first), takeSnapshot(definitions)]
  const run = async (statements: readonly string[]) => {
    for (const statement of statements) await session.query(statement)
  }
  await run(await generateMigration(empty, before))
  const print = await fingerprint(session, { schemas: ['library'] })

  const up = written ?? (await generateMigration(before, after))
  await run(up)
  expect(await fingerprint(session, { schemas: ['library'] })).not.toBe(print)
  const draft = await draftDown(up, after, before)
  expect(draft).not.toContain('CASCADE;')
  await run(parseScript('down.sql', draft).statements.map(({ text }) => text))
  expect(await fingerprint(session, { schemas: ['library'] })).toBe(print)
})
