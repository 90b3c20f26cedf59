import type { Session } from '../../database/session.js'
import { quoted } from '../../core/statements/column-plan.js'
import { fitted, inHome } from '../home.js'
import { literal } from '../sql.js'

/** Where the tables of an earlier platform are, once they have made room for those of tenantry. */
export const schemaBefore = 'platform_before'

/** The schema of what carrying needs until the earlier tables are gone. */
export const carryingHome = (schema: string): string => fitted(`tenantry_carry_${schema}`)

/**
 * The tables of the home. `watched` has the names of the earlier tables of which the writes are noted; `changes` the keys of rows that were
 * written since `expand`, and are to be carried again; `roots` the organizations, people and flags that were carried.
 */
const homeTables = (home: string): string[] => [
  `create table ${inHome(home, 'steps')} (name text primary key, taken_at timestamptz not null default pg_catalog.now())`,
  `create table ${inHome(home, 'functions')} (place bigint primary key, procedure oid not null, before text not null, made text not null)`,
  `create table ${inHome(home, 'changes')} (n bigint generated always as identity primary key, table_name text not null, key text not null)`,
  `create table ${inHome(home, 'left_rows')} (table_name text not null, key text not null, reason text not null, primary key (table_name, key))`,
  `create table ${inHome(home, 'progress')} (table_name text primary key, last_key text, rows bigint not null default 0, is_done boolean not null default false)`,
  `create table ${inHome(home, 'leaves')} (table_name text primary key)`,
  `create table ${inHome(home, 'watched')} (table_name text primary key, form text not null)`,
  `create table ${inHome(home, 'roots')} (table_name text not null, id uuid not null, primary key (table_name, id))`,
]

export const homeStatements = (home: string): string[] => [`create schema ${quoted(home)}`, ...homeTables(home)]

export const carryingSteps = ['move', 'expand', 'backfill', 'prove', 'swap', 'contract'] as const
export type CarryingStep = (typeof carryingSteps)[number]

export async function isThere(session: Pick<Session, 'query'>, relation: string): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>('select pg_catalog.to_regclass($1) is not null as found', [
    relation,
  ])
  return row?.found === true
}

export async function isSchema(session: Pick<Session, 'query'>, name: string): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>(
    'select exists (select from pg_catalog.pg_namespace n where n.nspname = $1) as found',
    [name],
  )
  return row?.found === true
}

/** The steps that are taken. None where there is no home. */
export async function takenSteps(session: Session, home: string): Promise<CarryingStep[]> {
  if (!(await isThere(session, inHome(home, 'steps')))) return []
  const rows = await session.query<{ name: CarryingStep }>(`select name from ${inHome(home, 'steps')}`)
  return carryingSteps.filter((name) => rows.some((row) => row.name === name))
}

/**
 * What has begun and is not complete: rows of ours to which no earlier row leads are removed, the earlier tables are closed and not proved, or
 * some secrets are empty.
 */
export type Mark = 'removing' | 'closing' | 'emptying'

export async function isMarked(session: Session, home: string, mark: Mark): Promise<boolean> {
  const rows = await session.query(`select from ${inHome(home, 'steps')} where name = $1`, [mark])
  return rows.length > 0
}

export const record = (session: Session, home: string, name: CarryingStep | Mark): Promise<unknown> =>
  session.query(`insert into ${inHome(home, 'steps')} (name) values ($1) on conflict do nothing`, [name])

export const forget = (session: Session, home: string, name: CarryingStep | Mark): Promise<unknown> =>
  session.query(`delete from ${inHome(home, 'steps')} where name = $1`, [name])

/** Whether the row of a key is known to stay in the earlier table. `key` is SQL. */
export const isLeft = (home: string, table: string, key: string): string =>
  `exists (select from ${inHome(home, 'left_rows')} l where l.table_name = ${literal(table)} and l.key = ${key})`

/** What belongs to no organization, and may be in tenantry already under the same id. */
export const roots: readonly string[] = ['users', 'organizations', 'feature_flags']

/** The ids of the carried rows of one of these tables. */
export const rootsOf = (home: string, table: string): string =>
  `select c.id from ${inHome(home, 'roots')} c where c.table_name = ${literal(table)}`

/** That row `t` of ours belongs to a carried organization: others may have a row of the same id. */
export const isOfCarried = (home: string, row = 't'): string => `${row}.org_id in (${rootsOf(home, 'organizations')})`
