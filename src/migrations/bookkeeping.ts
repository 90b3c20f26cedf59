import pg from 'pg'
import type { Session } from '../database/session.js'

/**
 * The table that remembers what was applied, with the columns of drizzle-kit's own, so that its stock migrator finds nothing
 * left to do. Each set has one of its own: in a shared table the stock migrator skips the older-dated of two sets.
 */
export interface Bookkeeping {
  readonly schema: string
  readonly table: string
}

export interface Recorded {
  readonly when: number
  readonly hash: string
}

export type Direction = 'up' | 'down'

/** How far a `-- no-transaction` file got. The row goes away with the file's last statement. */
export interface Unfinished {
  readonly when: number
  readonly direction: Direction
  readonly statements: number
  /** Of the statements that were run: these may not be edited any more, the ones after them may. */
  readonly hash: string
}

export interface Records {
  readonly applied: readonly Recorded[]
  readonly unfinished: Unfinished | undefined
}

const applied = ({ schema, table }: Bookkeeping) => qualified(schema, table)
const unfinished = ({ schema, table }: Bookkeeping) => qualified(schema, `${table}_unfinished`)
const qualified = (schema: string, table: string) => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`

/** What was applied. Of the records this is the part that the logins which serve may read too. */
export async function readApplied(session: Session, bookkeeping: Bookkeeping): Promise<Recorded[]> {
  if (!(await exists(session, applied(bookkeeping)))) return []
  const rows = await session.query<{ when: string; hash: string }>(
    `select created_at::text as when, hash from ${applied(bookkeeping)} order by created_at`,
  )
  return rows.map(({ when, hash }) => ({ when: Number(when), hash }))
}

/** The same, and `undefined` where this session's role may not read it: it is not the one that migrates. */
export async function readAppliedIfAllowed(
  session: Session,
  bookkeeping: Bookkeeping,
): Promise<Recorded[] | undefined> {
  return (await mayRead(session, bookkeeping)) ? readApplied(session, bookkeeping) : undefined
}

/** Also of what does not exist. Asked of the catalogs: a statement that is refused would end a transaction around it. */
export async function mayRead(session: Session, { schema, table }: Bookkeeping): Promise<boolean> {
  const closed = await session.query(
    `select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname = $2
       and not (pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select'))`,
    [schema, table],
  )
  return closed.length === 0
}

/** Reads without making anything: a database that was never migrated has no records. */
export async function readRecords(session: Session, bookkeeping: Bookkeeping): Promise<Records> {
  const [half] = (await exists(session, unfinished(bookkeeping)))
    ? await session.query<{ when: string; direction: Direction; statements: number; hash: string }>(
        `select created_at::text as when, direction, statements, hash from ${unfinished(bookkeeping)}`,
      )
    : []
  return {
    applied: await readApplied(session, bookkeeping),
    unfinished: half && { ...half, when: Number(half.when) },
  }
}

/** Makes the two tables where they are missing. */
export async function prepareBookkeeping(session: Session, bookkeeping: Bookkeeping): Promise<void> {
  // CREATE SCHEMA needs its privilege even when there is nothing to create: look first.
  const [schema] = await session.query('select from pg_catalog.pg_namespace where nspname = $1', [bookkeeping.schema])
  if (schema === undefined) await session.query(`create schema ${pg.escapeIdentifier(bookkeeping.schema)}`)
  if (!(await exists(session, applied(bookkeeping)))) {
    await session.query(
      `create table ${applied(bookkeeping)} (id serial primary key, hash text not null, created_at bigint)`,
    )
  }
  if (!(await exists(session, unfinished(bookkeeping)))) {
    await session.query(
      `create table ${unfinished(bookkeeping)} ` +
        '(created_at bigint primary key, direction text not null, statements int not null, hash text not null)',
    )
  }
}

/** Goes into the transaction of the file's last statement. */
export async function recordDone(
  session: Session,
  bookkeeping: Bookkeeping,
  direction: Direction,
  done: Recorded,
): Promise<void> {
  await session.query(`delete from ${unfinished(bookkeeping)}`)
  await (direction === 'up'
    ? session.query(`insert into ${applied(bookkeeping)} (hash, created_at) values ($1, $2)`, [done.hash, done.when])
    : session.query(`delete from ${applied(bookkeeping)} where created_at = $1`, [done.when]))
}

export async function recordUnfinished(session: Session, bookkeeping: Bookkeeping, half: Unfinished): Promise<void> {
  await session.query(
    `insert into ${unfinished(bookkeeping)} (created_at, direction, statements, hash) values ($1, $2, $3, $4) ` +
      'on conflict (created_at) do update set statements = excluded.statements, hash = excluded.hash',
    [half.when, half.direction, half.statements, half.hash],
  )
}

async function exists(session: Session, table: string): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>('select pg_catalog.to_regclass($1) is not null as found', [
    table,
  ])
  return row?.found === true
}
