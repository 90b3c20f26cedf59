import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import { inHome } from '../home.js'
import { literal } from '../sql.js'
import { asIs, type CarriedTable, isSame, mapped, meets } from './carried-table.js'
import { isLeft, isOfCarried, roots } from './carrying-home.js'
import type { Carrying, ProgressOf } from './carrying.js'
import { extraRoots } from './remove-rows.js'
import { SecretColumns } from './secret-columns.js'

/** How the rows of a table differ from what the earlier table makes of them. */
export interface Comparison {
  readonly name: string
  readonly rows: number
  /** Rows of the earlier table that ours lacks, and that are not known to stay. */
  readonly missing: number
  readonly differing: number
  /** Rows of ours in the carried organizations that the earlier table has not. */
  readonly extra: number
  /** Rows with secrets that do not open, or open to another text than the one in clear. */
  readonly secrets: number
  /** At most twenty keys of earlier rows that are missing or differ. */
  readonly sample: readonly string[]
}

export interface CompareOptions {
  readonly onProgress?: ProgressOf | undefined
  /** Whether a secret of which the key was destroyed differs from nothing. */
  readonly mayBeShredded?: boolean
}

export const isEqual = ({ missing, differing, extra, secrets }: Comparison): boolean =>
  missing + differing + extra + secrets === 0

/**
 * Compares every row with its earlier one, and every sealed secret with the one in clear. Rows that are noted as written since they were
 * carried are left out: a write and its note are seen together. Call it in `carryingTransaction` or `carryingSnapshot`: it needs their search path and
 * time zone.
 */
export async function compare(
  carrying: Carrying,
  { onProgress, mayBeShredded = false }: CompareOptions = {},
): Promise<Comparison[]> {
  const { tables } = carrying
  const compared: Comparison[] = []
  for (const [done, table] of tables.entries()) {
    onProgress?.({ table: table.name, done, total: tables.length })
    compared.push({
      ...(await compareRows(carrying, table)),
      secrets: await differingSecrets(carrying, table, mayBeShredded),
    })
  }
  return compared
}

/** True while no write is noted of the earlier row of key `key`, nor of the person of a member. */
const isSettled = (home: string, { from, to }: CarriedTable, key: string, person: string): string => {
  const noted = (table: string, value: string) =>
    `exists (select from ${inHome(home, 'changes')} c where c.table_name = ${literal(table)} and c.key = ${value})`
  return [
    `not ${noted(from.name, key)}`,
    ...(to === 'organization_members' ? [`not ${noted('users', person)}`] : []),
  ].join(' and ')
}

/** The same for row `t` of ours, from which the earlier key cannot always be computed. */
const isSettledHere = (home: string, table: CarriedTable): string => {
  const { from, to, key, rowId = 'null::uuid' } = table
  const notes = inHome(home, 'changes')
  return [
    `not exists (select from ${notes} c cross join lateral (select c.key::${key.type} as ${quoted(key.name)}) s
       where c.table_name = ${literal(from.name)} and ${rowId} = t.id)`,
    ...(to === 'organization_members'
      ? [`not exists (select from ${notes} c where c.table_name = 'users' and c.key = t.user_id::text)`]
      : []),
  ].join(' and ')
}

async function compareRows(carrying: Carrying, table: CarriedTable): Promise<Omit<Comparison, 'secrets'>> {
  const { session, home } = carrying
  const { target, columns, identity } = table
  const compared = columns.filter(({ name }) => name !== 'id' || identity.includes('id'))
  const list = (alias: string) => compared.map((column) => `${alias}.${quoted(column.name)}${asIs(column)}`).join(', ')
  const present = `t.${quoted(identity[0] ?? 'id')} is not null`
  const faulty = `not (${present}) or (${list('m')}) is distinct from (${list('t')})`
  const [row] = await session.query<{ rows: number; missing: number; differing: number; sample: string[] | null }>(
    `select pg_catalog.count(*)::float8 as rows, pg_catalog.count(*) filter (where not (${present}))::float8 as missing,
       pg_catalog.count(*) filter (where ${present} and (${list('m')}) is distinct from (${list('t')}))::float8 as differing,
       (pg_catalog.array_agg(m.key order by m.key) filter (where ${faulty}))[1:20] as sample
     from (${mapped(table, 'true', home)}) m left join ${target} t on ${isSame(table)}
     where ${isSettled(home, table, 'm.key', 'm.user_id::text')}`,
  )
  return {
    name: table.name,
    rows: row?.rows ?? 0,
    missing: (row?.missing ?? 0) + (await joinedAway(session, home, table)),
    differing: row?.differing ?? 0,
    extra: await extraRows(carrying, table),
    sample: row?.sample ?? [],
  }
}

/** Rows of which a joined row is gone since they were carried: nothing is noted of them. */
async function joinedAway(session: Session, home: string, table: CarriedTable): Promise<number> {
  if (table.joins === '') return 0
  const key = `s.${quoted(table.key.name)}`
  const [row] = await session.query<{ rows: number }>(
    `select pg_catalog.count(*)::float8 as rows from (select s.* from ${table.source} s
       where not ${isLeft(home, table.name, `${key}::text`)} and ${isSettled(home, table, `${key}::text`, 's.user_id::text')} offset 0) s
     where ${meets(table)} and not exists (select from (select j.key from (${mapped(table, 'true', home)}) j) m where m.key = ${key}::text)`,
  )
  return row?.rows ?? 0
}

/** Where several earlier tables fill one of ours, the first of them counts the extra rows. */
export async function extraRows({ session, home, tables }: Carrying, table: CarriedTable): Promise<number> {
  if (roots.includes(table.to)) {
    const [row] = await session.query<{ extra: number }>(
      `select pg_catalog.count(*)::float8 as extra from ${await extraRoots(session, home, table)} and ${isSettledHere(home, table)}`,
    )
    return row?.extra ?? 0
  }
  const sources = tables.filter(({ to }) => to === table.to)
  if (!table.hasOrganization || sources[0] !== table) return 0
  const known = sources.map(
    (source) => `not exists (select from (${mapped(source, 'true', home)}) m where ${isSame(source)})
      and ${isSettledHere(home, source)}`,
  )
  const [row] = await session.query<{ extra: number }>(
    `select pg_catalog.count(*)::float8 as extra from ${table.target} t
     where ${isOfCarried(home)} and ${known.join(' and ')}`,
  )
  return row?.extra ?? 0
}

async function differingSecrets(
  { session, home, dataKeys }: Carrying,
  table: CarriedTable,
  mayBeShredded: boolean,
): Promise<number> {
  if (table.sealed.length === 0) return 0
  const secrets = new SecretColumns(session, table, dataKeys)
  let differing = 0
  for await (const rows of secrets.all(home, isSettled(home, table, 'm.key', '')))
    for (const row of rows) {
      // A missing row is counted as such.
      if (!row.isThere) continue
      const texts = await secrets.open(row)
      if (texts === 'shredded' && mayBeShredded) continue
      if (texts === undefined || texts === 'shredded' || row.clear.some((clear, place) => clear !== texts[place]))
        differing += 1
    }
  return differing
}
