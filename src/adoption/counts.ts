import pg from 'pg'
import { quoted } from '../core/statements/column-plan.js'
import type { Session } from '../database/session.js'
import type { CatalogReference, CatalogTable } from './catalog.js'
import type { Owner, Owners } from './owners.js'

/** How many rows, and the primary keys of at most twenty of them. */
export interface Rows {
  readonly count: number
  readonly sample: readonly unknown[]
}

export interface TableCounts {
  readonly rows: number
  /** How long it took to read them: a constraint is validated in about this time. */
  readonly readMs: number
  /** Rows that name no parent: perhaps they are everybody's. */
  readonly nameless: Rows
  /** Rows that name a parent which is not there, or whose way ends at one. */
  readonly unreached: Rows
}

const sampleSize = 20

const keyOf = ({ primaryKey }: CatalogTable, alias: string) =>
  primaryKey.length === 0
    ? `${alias}.ctid::text`
    : `pg_catalog.jsonb_build_object(${primaryKey.map((name) => `${pg.escapeLiteral(name)}, ${alias}.${quoted(name)}`).join(', ')})`

export async function countRows(session: Session, owners: Owners, table: CatalogTable): Promise<TableCounts> {
  const owner = owners.ownerOf(table, 't')
  const from = `${owners.from(table.name, 't')}${owner?.joins ?? ''}`
  const start = performance.now()
  const [counts] = await session.query<{ rows: number; nameless: number; unreached: number }>(
    `select pg_catalog.count(*)::float8 as rows,
       pg_catalog.count(*) filter (where ${namelessOf(owner)})::float8 as nameless,
       pg_catalog.count(*) filter (where ${unreachedOf(owner)})::float8 as unreached
     from ${from}`,
  )
  const readMs = Math.round(performance.now() - start)
  const { rows = 0, nameless = 0, unreached = 0 } = counts ?? {}
  return {
    rows,
    readMs,
    nameless: { count: nameless, sample: await sampleOf(session, table, from, namelessOf(owner), nameless) },
    unreached: { count: unreached, sample: await sampleOf(session, table, from, unreachedOf(owner), unreached) },
  }
}

const namelessOf = (owner: Owner | undefined) =>
  owner === undefined ? 'false' : `${owner.sql} is null and (${owner.namesNothing})`
const unreachedOf = (owner: Owner | undefined) =>
  owner === undefined ? 'false' : `${owner.sql} is null and not (${owner.namesNothing})`

/** Rows of which the row that they refer to is another organization's. */
export async function countCrossing(
  session: Session,
  owners: Owners,
  table: CatalogTable,
  { columns, target }: CatalogReference,
): Promise<Rows> {
  const [own, theirs] = [owners.ownerOf(table, 't'), owners.ownerOf(owners.tableOf(target.table), 'p')]
  if (own === undefined || theirs === undefined) return { count: 0, sample: [] }
  const on = columns.map((column, place) => `p.${quoted(target.columns[place] ?? '')} = t.${quoted(column)}`)
  const from = `${owners.from(table.name, 't')}${own.joins} join ${owners.from(target.table, 'p')} on ${on.join(' and ')}${theirs.joins}`
  return counted(session, table, from, `${own.sql} <> ${theirs.sql}`)
}

/** Rows that share the values of a key with another row of their organization. */
export async function countDuplicates(
  session: Session,
  owners: Owners,
  table: CatalogTable,
  columns: readonly string[],
): Promise<Rows> {
  const owner = owners.ownerOf(table, 't')
  if (owner === undefined) return { count: 0, sample: [] }
  const key = columns.map((name) => `t.${quoted(name)}`)
  const from = `(select ${keyOf(table, 't')} as key, ${key.map((sql) => `${sql} is not null`).join(' and ')} as counts,
      pg_catalog.count(*) over (partition by ${[owner.sql, ...key].join(', ')}) as rows
    from ${owners.from(table.name, 't')}${owner.joins} where ${owner.sql} is not null) t`
  return counted(session, undefined, from, 't.counts and t.rows > 1')
}

/** The words in a column that says of which table a row is, the most frequent first. */
export async function wordsIn(
  session: Session,
  owners: Owners,
  table: CatalogTable,
  column: string,
): Promise<string[]> {
  const found = await session.query<{ word: string }>(
    `select t.${quoted(column)}::text as word from ${owners.from(table.name, 't')} where t.${quoted(column)} is not null
     group by 1 order by pg_catalog.count(*) desc, 1 limit ${sampleSize}`,
  )
  return found.map(({ word }) => word)
}

async function counted(
  session: Session,
  table: CatalogTable | undefined,
  from: string,
  condition: string,
): Promise<Rows> {
  const [found] = await session.query<{ count: number }>(
    `select pg_catalog.count(*)::float8 as count from ${from} where ${condition}`,
  )
  const count = found?.count ?? 0
  return { count, sample: await sampleOf(session, table, from, condition, count) }
}

async function sampleOf(
  session: Session,
  table: CatalogTable | undefined,
  from: string,
  condition: string,
  count: number,
): Promise<unknown[]> {
  if (count === 0) return []
  const key = table === undefined ? 't.key' : keyOf(table, 't')
  const rows = await session.query<{ key: unknown }>(
    `select ${key} as key from ${from} where ${condition} order by 1 limit ${sampleSize}`,
  )
  return rows.map((row) => row.key)
}
