import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type PgTable, boolean, pgSchema, primaryKey, text } from 'drizzle-orm/pg-core'
import { sqlFunctions } from '../../src/access/functions.js'
import { createFunction, type SqlFunction } from '../../src/access/sql-function.js'
import { readFolder } from '../../src/migrations/folder.js'
import { type MigrationSet, platformMigrations } from '../../src/migrations/migrator.js'
import { id, orgId, platform } from '../../src/schema/shared/columns.js'
import { tenantTable } from '../../src/schema/shared/isolation.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'
import { type WrittenMigration, writeFolder } from '../migrations/migrations-folder.js'

/** What a build knows of the database. */
export interface Build {
  readonly sets: readonly MigrationSet[]
  readonly tables: readonly PgTable[]
  readonly functions: readonly SqlFunction[]
}

const host = pgSchema('host')

export const notes = host.table('notes', { orgId: orgId(), id: id(), text: text('text').notNull() }, (t) => [
  primaryKey({ name: 'notes_pkey', columns: [t.orgId, t.id] }),
  ...tenantTable('notes', t),
])
declareTable(notes, { kind: 'tenant' })

const newerNotes = host.table(
  'notes',
  { orgId: orgId(), id: id(), text: text('text').notNull(), pinned: boolean('pinned') },
  (t) => [primaryKey({ name: 'notes_pkey', columns: [t.orgId, t.id] }), ...tenantTable('notes', t)],
)
declareTable(newerNotes, { kind: 'tenant' })

const comments = host.table('comments', { orgId: orgId(), id: id(), text: text('text') }, (t) => [
  primaryKey({ name: 'comments_pkey', columns: [t.orgId, t.id] }),
  ...tenantTable('comments', t),
])
declareTable(comments, { kind: 'tenant' })

const countries = host.table('countries', { code: text('code').primaryKey() })
declareTable(countries, { kind: 'catalog' })

const reviews = platform.table('reviews', { orgId: orgId(), id: id(), text: text('text') }, (t) => [
  primaryKey({ name: 'reviews_pkey', columns: [t.orgId, t.id] }),
  ...tenantTable('reviews', t),
])
declareTable(reviews, { kind: 'tenant' })

const newerFunctions: readonly SqlFunction[] = [
  ...sqlFunctions.map((fn) =>
    /enter_org|user_id_by_email/.test(fn.signature) ? { ...fn, body: `\n-- a newer build's${fn.body}` } : fn,
  ),
  {
    signature: 'platform.my_reviews()',
    arguments: '',
    returns: 'bigint',
    volatility: 'stable',
    definer: true,
    settings: ['search_path=pg_catalog, pg_temp'],
    executableBy: ['tenantry_app'],
    body: '\nbegin return 0; end\n',
  },
]

/** As drizzle-kit writes a table of an organization. */
const tenant = (table: string, columns: string): string[] => [
  `create table ${table} (org_id uuid not null references platform.organizations (id) on delete cascade, id uuid not null, ${columns}, primary key (org_id, id))`,
  `alter table ${table} enable row level security`,
  `create policy org_isolation on ${table} to tenantry_app using (org_id = platform.current_org()) with check (org_id = platform.current_org())`,
  `create policy system_access on ${table} to tenantry_system using (true) with check (true)`,
]

const first: WrittenMigration = {
  tag: '0000_notes',
  up: ['create schema host', ...tenant('host.notes', 'text text not null')],
  down: ['drop table host.notes', 'drop schema host'],
}

const second: WrittenMigration = {
  tag: '0001_comments',
  up: [
    ...tenant('host.comments', 'text text'),
    'create table host.countries (code text primary key)',
    'alter table host.notes add column pinned boolean',
  ],
  down: ['alter table host.notes drop column pinned', 'drop table host.countries', 'drop table host.comments'],
}

const changed = newerFunctions.filter((fn) => !sqlFunctions.includes(fn))

const newest: WrittenMigration = {
  tag: '9999_reviews',
  when: 4_000_000_000_000,
  up: [
    ...tenant('platform.reviews', 'text text'),
    ...changed.map((fn) => createFunction(fn).replace(/^create /, 'create or replace ')),
  ],
  down: [
    'drop table platform.reviews',
    'drop function platform.my_reviews()',
    ...sqlFunctions
      .filter((fn) => changed.some(({ signature }) => signature === fn.signature))
      .map((fn) => createFunction(fn).replace(/^create /, 'create or replace ')),
  ],
}

/** The build of this repository with a host's table, and one that is a migration ahead of it in both sets. */
export async function twoBuilds(): Promise<{ older: Build; newer: Build }> {
  const own = (folder: string): MigrationSet => ({
    name: 'own',
    folder,
    bookkeeping: { schema: 'app_migrations', table: 'migrations' },
  })
  return {
    older: {
      sets: [platformMigrations, own(await writeFolder([first]))],
      tables: [...platformTables, notes],
      functions: sqlFunctions,
    },
    newer: {
      sets: [
        { ...platformMigrations, folder: await folderWith(platformMigrations.folder, newest) },
        own(await writeFolder([first, second])),
      ],
      tables: [...platformTables, newerNotes, comments, countries, reviews],
      functions: newerFunctions,
    },
  }
}

/** A copy of a folder with one migration more. */
async function folderWith(folder: string, migration: WrittenMigration): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'tenantry-newer-'))
  await cp(folder, copy, { recursive: true })
  const known = await readFolder(folder)
  const journal = join(copy, 'meta', '_journal.json')
  const { entries, ...rest } = JSON.parse(await readFile(journal, 'utf8')) as { entries: object[] }
  await writeFolder([migration], copy)
  const { tag, when } = migration
  const added = { idx: known.length, version: '7', when, tag, breakpoints: true }
  await writeFile(journal, JSON.stringify({ ...rest, entries: [...entries, added] }))
  return copy
}
