import {
  foreignKey,
  integer,
  pgSchema,
  type PgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { getTableName, sql } from 'drizzle-orm'
import { type Grant, grantsOf } from '../../src/access/grants.js'
import type { Session } from '../../src/database/session.js'
import { ciphertext } from '../../src/schema/shared/ciphertext.js'
import { timestamps } from '../../src/schema/shared/columns.js'
import { declareTable } from '../../src/schema/shared/kinds.js'

const toys = pgSchema('toys')

/** Everything that the core does for a table: audited, soft-deletable, with a revision, a sealed column and two unique keys. */
export const notes = toys.table(
  'notes',
  {
    orgId: uuid('org_id').notNull(),
    id: uuid('id').notNull(),
    slug: text('slug'),
    code: text('code'),
    title: text('title').notNull(),
    status: text('status').notNull().default('open'),
    secret: ciphertext('secret'),
    revision: integer('revision').notNull().default(1),
    deletedAt: timestamp('deleted_at', { withTimezone: true }),
  },
  (t) => [
    primaryKey({ name: 'notes_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('notes_slug_key').on(t.orgId, t.slug).where(sql.raw('deleted_at is null')),
    uniqueIndex('notes_code_key').on(t.orgId, t.code),
  ],
)
declareTable(notes, { kind: 'tenant', audited: true })

/** A child of a note, whose key refers to another column than `id`. */
export const comments = toys.table(
  'comments',
  { orgId: uuid('org_id').notNull(), id: uuid('id').notNull(), noteCode: text('note_code'), noteId: uuid('note_id') },
  (t) => [
    primaryKey({ name: 'comments_pkey', columns: [t.orgId, t.id] }),
    foreignKey({
      name: 'comments_code_fkey',
      columns: [t.orgId, t.noteCode],
      foreignColumns: [notes.orgId, notes.code],
    }),
    foreignKey({ name: 'comments_note_fkey', columns: [t.orgId, t.noteId], foreignColumns: [notes.orgId, notes.id] }),
  ],
)
declareTable(comments, { kind: 'tenant' })

/** Links between notes. */
export const links = toys.table(
  'links',
  { orgId: uuid('org_id').notNull(), fromId: uuid('from_id').notNull(), toId: uuid('to_id').notNull() },
  (t) => [primaryKey({ name: 'links_pkey', columns: [t.orgId, t.fromId, t.toId] })],
)
declareTable(links, { kind: 'tenant', audited: true })

/** Links that say when they were made. */
export const tags = toys.table(
  'tags',
  {
    orgId: uuid('org_id').notNull(),
    fromId: uuid('from_id').notNull(),
    toId: uuid('to_id').notNull(),
    ...timestamps(),
  },
  (t) => [primaryKey({ name: 'tags_pkey', columns: [t.orgId, t.fromId, t.toId] })],
)
declareTable(tags, { kind: 'tenant' })

/** A person's own. */
export const diaries = toys.table(
  'diaries',
  { userId: uuid('user_id').notNull(), id: uuid('id').notNull(), title: text('title').notNull() },
  (t) => [primaryKey({ name: 'diaries_pkey', columns: [t.userId, t.id] })],
)
declareTable(diaries, { kind: 'user' })

/** Everybody's. */
export const colors = toys.table('colors', { id: uuid('id').primaryKey(), name: text('name').notNull() })
declareTable(colors, { kind: 'catalog' })

/** Never declared. */
export const strays = toys.table('strays', { id: uuid('id').primaryKey(), name: text('name').notNull() })

/** The same tables in a database, with the rights that `bootstrap` gives. */
export async function makeToyTables(admin: Session): Promise<void> {
  for (const text of schema.split(';;')) await admin.query(text)
  for (const table of [notes, comments, links, tags, diaries, colors]) {
    for (const text of grantStatements(table)) await admin.query(text)
  }
}

function grantStatements(table: PgTable): string[] {
  return Object.entries<Grant>({ ...grantsOf(table) }).flatMap(([role, grant]) => {
    const on = (right: string, columns: '*' | readonly string[]) => {
      if (columns === '*') return [right]
      return columns.length === 0 ? [] : [`${right} (${columns.join(', ')})`]
    }
    const rights = [
      ...on('select', grant.select),
      ...on('insert', grant.insert),
      ...on('update', grant.update),
      ...(grant.delete ? ['delete'] : []),
    ]
    return rights.length === 0 ? [] : [`grant ${rights.join(', ')} on toys.${getTableName(table)} to ${role}`]
  })
}

const schema = `
create schema toys;;
grant usage on schema toys to tenantry_app, tenantry_system;;
create table toys.notes (
  org_id uuid not null, id uuid not null, slug text, code text, title text not null, status text not null default 'open', secret bytea,
  revision int not null default 1, deleted_at timestamptz,
  constraint notes_pkey primary key (org_id, id), constraint notes_code_key unique (org_id, code)
);;
create unique index notes_slug_key on toys.notes (org_id, slug) where deleted_at is null;;
create table toys.comments (
  org_id uuid not null, id uuid not null, note_code text, note_id uuid, constraint comments_pkey primary key (org_id, id),
  constraint comments_code_fkey foreign key (org_id, note_code) references toys.notes (org_id, code),
  constraint comments_note_fkey foreign key (org_id, note_id) references toys.notes (org_id, id)
);;
create table toys.links (
  org_id uuid not null, from_id uuid not null, to_id uuid not null, constraint links_pkey primary key (org_id, from_id, to_id)
);;
create table toys.tags (
  org_id uuid not null, from_id uuid not null, to_id uuid not null, created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(), constraint tags_pkey primary key (org_id, from_id, to_id)
);;
create table toys.diaries (user_id uuid not null, id uuid not null, title text not null, constraint diaries_pkey primary key (user_id, id));;
create table toys.colors (id uuid primary key, name text not null);;
create table toys.entries (org_id uuid not null, event text not null, row_id uuid, before jsonb, after jsonb);;
alter table toys.notes enable row level security;;
alter table toys.comments enable row level security;;
alter table toys.links enable row level security;;
alter table toys.tags enable row level security;;
alter table toys.diaries enable row level security;;
alter table toys.entries enable row level security;;
create policy org_isolation on toys.notes to tenantry_app using (org_id = platform.current_org());;
create policy org_isolation on toys.comments to tenantry_app using (org_id = platform.current_org());;
create policy org_isolation on toys.links to tenantry_app using (org_id = platform.current_org());;
create policy org_isolation on toys.tags to tenantry_app using (org_id = platform.current_org());;
create policy org_isolation on toys.entries to tenantry_app using (org_id = platform.current_org());;
create policy user_access on toys.diaries to tenantry_app using (user_id = platform.current_user_id());;
create policy system_access on toys.notes to tenantry_system using (true);;
create policy system_access on toys.diaries to tenantry_system using (true);;
grant select, insert on toys.entries to tenantry_app, tenantry_system`
