import { getTableConfig } from 'drizzle-orm/pg-core'
import { DecryptError } from '../../core/errors.js'
import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import { platformTables } from '../../schema/tables.js'
import { factsOf } from '../../schema/shared/kinds.js'
import { inHome } from '../home.js'
import { literal } from '../sql.js'
import { type CarriedTable, mapped } from './carried-table.js'
import type { Carrying } from './carry.js'
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
  /** Secrets that do not open, or open to another text than the one in clear. */
  readonly secrets: number
}

export const isEqual = ({ missing, differing, extra, secrets }: Comparison): boolean =>
  missing + differing + extra + secrets === 0

/** Compares every row with its earlier one, and every sealed secret with the one in clear. Reads only. */
export async function compare(
  carrying: Carrying,
  { secrets = true, onProgress }: { readonly secrets?: boolean; readonly onProgress?: ProgressOf } = {},
): Promise<Comparison[]> {
  const { tables } = carrying
  const compared: Comparison[] = []
  for (const [done, table] of tables.entries()) {
    onProgress?.({ table: table.name, done, total: tables.length })
    const rows = await compareRows(carrying, table)
    compared.push({ ...rows, secrets: secrets ? await differingSecrets(carrying, table) : 0 })
  }
  return compared
}

export type ProgressOf = (progress: { readonly table: string; readonly done: number; readonly total: number }) => void

async function compareRows(
  { session, home, tables }: Carrying,
  table: CarriedTable,
): Promise<Omit<Comparison, 'secrets'>> {
  const { target, primaryKey, columns } = table
  const isSame = primaryKey.map((column) => `t.${quoted(column)} = m.${quoted(column)}`).join(' and ')
  const list = (alias: string) => columns.map(({ name }) => `${alias}.${quoted(name)}`).join(', ')
  const present = `t.${quoted(primaryKey[0] ?? 'id')} is not null`
  const [row] = await session.query<{ rows: number; missing: number; differing: number }>(
    `select pg_catalog.count(*)::float8 as rows, pg_catalog.count(*) filter (where not (${present}))::float8 as missing,
       pg_catalog.count(*) filter (where ${present} and (${list('m')}) is distinct from (${list('t')}))::float8 as differing
     from (${mapped(table)}) m left join ${target} t on ${isSame}
     where not exists (select from ${inHome(home, 'left_rows')} l where l.table_name = $1 and l.key = m.key)`,
    [table.name],
  )
  return {
    name: table.name,
    rows: row?.rows ?? 0,
    missing: row?.missing ?? 0,
    differing: row?.differing ?? 0,
    extra: await extraRows(session, home, tables, table),
  }
}

/** Counted once for a table of ours that several earlier ones lead to. */
async function extraRows(
  session: Session,
  home: string,
  tables: readonly CarriedTable[],
  table: CarriedTable,
): Promise<number> {
  const sources = tables.filter(({ to }) => to === table.to)
  const organizations = tables.find(({ to }) => to === 'organizations')
  if (!table.hasOrganization || organizations === undefined || sources[0] !== table) return 0
  const known = sources.map((source) => {
    const isSame = table.primaryKey.map((column) => `m.${quoted(column)} = t.${quoted(column)}`).join(' and ')
    return `not exists (select from (${mapped(source)}) m where ${isSame}
      and not exists (select from ${inHome(home, 'left_rows')} l where l.table_name = ${literal(source.name)} and l.key = m.key))`
  })
  const [row] = await session.query<{ extra: number }>(
    `select pg_catalog.count(*)::float8 as extra from ${table.target} t
     where t.org_id in (select o.id from ${organizations.source} o) and ${known.join(' and ')}`,
  )
  return row?.extra ?? 0
}

const batch = 500

/** Goes over the rows with secrets in the order of their keys. */
export async function* secretRows(session: Session, table: CarriedTable): AsyncGenerator<readonly SecretRow[]> {
  const { key, sealed, source, target, primaryKey } = table
  const column = `s.${quoted(key.name)}`
  const isSame = primaryKey.map((name) => `t.${quoted(name)} = m.${quoted(name)}`).join(' and ')
  // By a range of keys that is read first, so that the joins are to these rows alone.
  const range = `($1::text is null or ${column} > $1::text::${key.type}) and ${column} <= $2::text::${key.type}`
  for (let last: string | null = null; ;) {
    const [end]: readonly { readonly key: string | null }[] = await session.query<{ key: string | null }>(
      `select (pg_catalog.array_agg(n.key))[pg_catalog.count(*)] as key from (select ${column}::text as key from ${source} s
       where $1::text is null or ${column} > $1::text::${key.type} order by ${column} limit ${batch}) n`,
      [last],
    )
    const until: string | null = end?.key ?? null
    if (until === null) return
    yield await session.query<SecretRow>(
      `select m.key, m.org_id as "orgId", array[${sealed.map(({ from }) => `c.${quoted(from)}::text`).join(', ')}] as clear,
         array[${sealed.map(({ name }) => `t.${quoted(name)}`).join(', ')}] as sealed
       from (${mapped(table, range)}) m join ${target} t on ${isSame} join ${source} c on c.${quoted(key.name)} = m.key::${key.type}`,
      [last, until],
    )
    last = until
  }
}

export interface SecretRow {
  readonly key: string
  readonly orgId: string
  readonly clear: readonly (string | null)[]
  readonly sealed: readonly (Uint8Array | null)[]
}

/** Whether each secret of a row opens to the text in clear. */
export async function isSealedWhole(secrets: SecretColumns, table: CarriedTable, row: SecretRow): Promise<boolean> {
  for (const [place, { name }] of table.sealed.entries()) {
    const clear = row.clear[place] ?? null
    const sealed = row.sealed[place] ?? null
    if ((clear === null) !== (sealed === null)) return false
    if (sealed === null) continue
    try {
      if ((await secrets.open(row.orgId, name, row.key, sealed)) !== clear) return false
    } catch (error) {
      if (!(error instanceof DecryptError)) throw error
      return false
    }
  }
  return true
}

async function differingSecrets({ session, dataKeys }: Carrying, table: CarriedTable): Promise<number> {
  if (table.sealed.length === 0) return 0
  const secrets = new SecretColumns(session, table, dataKeys)
  let differing = 0
  for await (const rows of secretRows(session, table))
    for (const row of rows) if (!(await isSealedWhole(secrets, table, row))) differing += 1
  return differing
}

/** What carrying makes beside the rows, and what is written about them. */
const made = ['roles', 'role_permissions', 'org_keys', 'audit_seals']

/** Tables of ours that no earlier one leads to, with rows of the carried organizations. */
export async function othersInUse({ session, tables }: Carrying): Promise<{ table: string; rows: number }[]> {
  const organizations = tables.find(({ to }) => to === 'organizations')
  if (organizations === undefined) return []
  const found: { table: string; rows: number }[] = []
  for (const table of platformTables) {
    const { name, columns } = getTableConfig(table)
    const kind = factsOf(table)?.kind
    if (!columns.some((column) => column.name === 'org_id') || (kind !== 'tenant' && kind !== 'control')) continue
    if (made.includes(name) || tables.some(({ to }) => to === name)) continue
    const [row] = await session.query<{ rows: number }>(
      `select pg_catalog.count(*)::float8 as rows from platform.${quoted(name)} t where t.org_id in (select o.id from ${organizations.source} o)`,
    )
    if (row !== undefined && row.rows > 0) found.push({ table: name, rows: row.rows })
  }
  return found
}
