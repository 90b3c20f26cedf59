import pg from 'pg'
import type { Session } from '../database/session.js'

/**
 * The table that records the applied migrations. It has drizzle-kit's columns, so that the stock migrator finds nothing left to do.
 * Each set has a table of its own: in a shared one the stock migrator skips the older-dated of two sets.
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

/** The progress of a `-- no-transaction` file. The row is deleted with the file's last statement. */
export interface Unfinished {
  readonly when: number
  readonly direction: Direction
  readonly statements: number
  /** The hash of the statements that were run: these may not be edited any more, the ones after them may. */
  readonly hash: string
}

export interface Records {
  readonly applied: readonly Recorded[]
  readonly unfinished: Unfinished | undefined
}

const applied = ({ schema, table }: Bookkeeping) => qualified(schema, table)
const unfinished = ({ schema, table }: Bookkeeping) => qualified(schema, `${table}_unfinished`)
const qualified = (schema: string, table: string) => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`

/** The applied migrations: the part of the records that the application's logins may read too. */
export async function readApplied(session: Session, bookkeeping: Bookkeeping): Promise<Recorded[]> {
  if (!(await exists(session, applied(bookkeeping)))) return []
  const rows = await session.query<{ when: string; hash: string }>(
    `select created_at::text as when, hash from ${applied(bookkeeping)} order by created_at`,
  )
  return rows.map(({ when, hash }) => ({ when: Number(when), hash }))
}

/** The same, or `undefined` where this session's role may not read it: then it is not the role that migrates. */
export async function readAppliedIfAllowed(
  session: Session,
  bookkeeping: Bookkeeping,
): Promise<Recorded[] | undefined> {
  return (await mayRead(session, bookkeeping)) ? readApplied(session, bookkeeping) : undefined
}

/**
 * Also true for a table that does not exist. Reads the catalogs, because a refused statement would abort the surrounding
 * transaction.
 */
export async function mayRead(session: Session, { schema, table }: Bookkeeping): Promise<boolean> {
  const closed = await session.query(
    `select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname = $2
       and not (pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select'))`,
    [schema, table],
  )
  return closed.length === 0
}

/** Creates nothing: a database that was never migrated has no records. */
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

/** Creates the two tables where they are missing. */
export async function prepareBookkeeping(session: Session, bookkeeping: Bookkeeping): Promise<void> {
  // CREATE SCHEMA needs its privilege even when the schema exists, so this looks first.
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

/** Runs in the transaction of the file's last statement. */
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
