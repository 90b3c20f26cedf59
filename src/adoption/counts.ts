import { quoted } from '../core/statements/column-plan.js'
import type { CatalogReference, CatalogTable } from './catalog.js'
import { hasNobody, matches, type Owner, type Owners } from './owners.js'
import type { Way } from './decisions.js'
import type { Reader } from './read-only.js'
import { mayReadOrganizations } from './readable-organizations.js'
import { literal } from './sql.js'

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
/** With more words than these a column hardly says which table is meant. */
const maxWords = 20
const none: Rows = { count: 0, sample: [] }

const keyOf = ({ primaryKey }: CatalogTable, alias: string) =>
  primaryKey.length === 0
    ? `${alias}.ctid::text`
    : // As text: a number beyond 2^53 would lose its last digits.
      `pg_catalog.jsonb_build_object(${primaryKey.map((name) => `${literal(name)}, ${alias}.${quoted(name)}::text`).join(', ')})`

export async function countRows(session: Reader, owners: Owners, table: CatalogTable): Promise<TableCounts> {
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

/** Rows that belong to nobody after the resolution of the table, because they name no person either. */
export async function countUnresolved(session: Reader, owners: Owners, table: CatalogTable): Promise<Rows> {
  const owner = owners.resolvedOwnerOf(table, 't')
  if (owner === undefined) return none
  return counted(session, table, `${owners.from(table.name, 't')}${owner.joins}`, `${owner.sql} is null`)
}

/** Rows of which the row that they refer to is another organization's. */
export async function countCrossing(
  session: Reader,
  owners: Owners,
  table: CatalogTable,
  key: CatalogReference,
): Promise<Rows> {
  const target = owners.targetOf(key)
  const [own, theirs] = [owners.resolvedOwnerOf(table, 't'), target && owners.resolvedOwnerOf(target, 'p')]
  if (own === undefined || target === undefined || theirs === undefined || owners.isWay(table, key)) return none
  const from = withTarget(owners, table, key, target, { own, theirs })
  const keeps = await keptIn(session, owners)
  const [kept, keptThere] = [keeps(table, 't', own), keeps(target, 'p', theirs)]
  const areOthers = [
    `${own.sql} <> ${theirs.sql}`,
    // It is none of the rows that become organizations.
    `(${kept}) and ${theirs.sql} is not null`,
    `${own.sql} is not null and (${keptThere})`,
    ...(owners.keepsColumn(table) && owners.keepsColumn(target)
      ? [`(${kept}) and (${keptThere}) and t.org_id <> p.org_id`]
      : []),
  ]
  return counted(session, table, from, areOthers.join(' or '))
}

/** Rows that belong to an organization, and refer to a row that is to be put aside. */
export async function countHolding(
  session: Reader,
  owners: Owners,
  table: CatalogTable,
  key: CatalogReference,
): Promise<Rows> {
  const target = owners.targetOf(key)
  if (target === undefined || !owners.isPutAside(target)) return none
  const [own, theirs] = [owners.resolvedOwnerOf(table, 't'), owners.ownerOf(target, 'p')]
  if (own === undefined || theirs === undefined) return none
  const from = withTarget(owners, table, key, target, { own, theirs })
  const keeps = await keptIn(session, owners)
  const stays = `(${own.sql} is not null or ${keeps(table, 't', own)})`
  return counted(session, table, from, `${stays} and ${theirs.sql} is null and not (${keeps(target, 'p', theirs)})`)
}

/** Whether row `alias` keeps an organization of tenantry that its column names, although its way reaches none. Such a row is not put aside. */
async function keptIn(
  session: Reader,
  owners: Owners,
): Promise<(table: CatalogTable, alias: string, owner: Owner) => string> {
  const isReadable = await mayReadOrganizations(session)
  return (table, alias, owner) =>
    isReadable && owners.keepsColumn(table) ? `${owner.sql} is null and not ${hasNobody(alias, true)}` : 'false'
}

/** Rows `t` with the rows `p` that they refer to, and the organizations of both. */
const withTarget = (
  owners: Owners,
  table: CatalogTable,
  key: CatalogReference,
  target: CatalogTable,
  { own, theirs }: { readonly own: Owner; readonly theirs: Owner },
): string =>
  `${owners.from(table.name, 't')}${own.joins} join ${owners.from(target.name, 'p')} on ${matches(key, 't', 'p')}${theirs.joins}`

/** Rows for which one of these ways gives another organization than the way of the table, or gives one where that gives none. */
export async function countDiffering(
  session: Reader,
  owners: Owners,
  table: CatalogTable,
  ways: readonly Way[],
): Promise<Rows> {
  const own = owners.ownerOf(table, 't')
  const others = ways.map((way) => owners.along(table, 't', way)).filter((owner) => owner !== undefined)
  if (own === undefined || others.length === 0) return none
  const from = `${owners.from(table.name, 't')}${own.joins}${others.map(({ joins }) => joins).join('')}`
  return counted(
    session,
    table,
    from,
    others.map(({ sql }) => `${own.sql} is distinct from coalesce(${sql}, ${own.sql})`).join(' or '),
  )
}

/** Rows that share the values of a key with another row of their organization. */
export async function countDuplicates(
  session: Reader,
  owners: Owners,
  table: CatalogTable,
  columns: readonly string[],
): Promise<Rows> {
  for (const column of columns) owners.assertColumn(table, column, 'unique')
  const owner = owners.resolvedOwnerOf(table, 't')
  if (owner === undefined) return none
  const key = columns.map((name) => `t.${quoted(name)}`)
  const from = `(select ${keyOf(table, 't')} as key, ${key.map((sql) => `${sql} is not null`).join(' and ')} as counts,
      pg_catalog.count(*) over (partition by ${[owner.sql, ...key].join(', ')}) as rows
    from ${owners.from(table.name, 't')}${owner.joins} where ${owner.sql} is not null) t`
  return counted(session, undefined, from, 't.counts and t.rows > 1')
}

/** The words in a column that says of which table a row is. None where there are too many. */
export async function wordsIn(session: Reader, owners: Owners, table: CatalogTable, column: string): Promise<string[]> {
  const found = await session.query<{ word: string }>(
    `select distinct t.${quoted(column)}::text as word from ${owners.from(table.name, 't')} where t.${quoted(column)} is not null
     order by 1 limit ${maxWords + 1}`,
  )
  return found.length > maxWords ? [] : found.map(({ word }) => word)
}

async function counted(
  session: Reader,
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
  session: Reader,
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
