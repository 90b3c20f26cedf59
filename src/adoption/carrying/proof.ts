import { quoted } from '../../core/statements/column-plan.js'
import { inHome } from '../home.js'
import { isLeft, roots, rootsOf } from './carrying-home.js'
import type { CarriedTable } from './carried-table.js'
import { readCarried } from './carry.js'
import type { Carrying, ProgressOf } from './carrying.js'
import { carryingSnapshot } from './carrying-transaction.js'
import { compare, type Comparison, isEqual } from './compare.js'
import { whichMayStay } from './leaves.js'

export interface Proof {
  readonly isProved: boolean
  readonly tables: readonly Comparison[]
  /** Rows that stay, and that nobody has left by name, and those of which tenantry keeps an older state: in sentences. */
  readonly unplaced: readonly string[]
}

/** Compares every row and every secret. Rows that are noted, and not carried yet, are left out. */
export async function proved(
  carrying: Carrying,
  { onProgress, kept = 0 }: { readonly onProgress?: ProgressOf | undefined; readonly kept?: number },
): Promise<Proof> {
  const { session, home } = carrying
  const tables = await carryingSnapshot(session, 'the comparison', () => compare(carrying, { onProgress }))
  const named = await session.query<{ name: string }>(`select table_name as name from ${inHome(home, 'leaves')}`)
  const leaves = named.map(({ name }) => name)
  const mayStay = whichMayStay(carrying.tables, leaves)
  const unplaced = (await readCarried(session, home, carrying.tables)).flatMap(({ name, left }) =>
    left
      .filter(({ reason }) => !mayStay(name, reason))
      .map(({ reason, rows }) => `${earlierName(carrying.tables, name)} has rows that ${reason}: ${rows}`),
  )
  const outdated = await outdatedRows(carrying, leaves)
  const referred =
    kept === 0
      ? []
      : [`rows of tenantry must go, since their earlier rows are gone or refused, and others refer to them: ${kept}`]
  const open = [...unplaced, ...outdated, ...referred]
  return { isProved: tables.every(isEqual) && open.length === 0, tables, unplaced: open }
}

/**
 * People and flags that may stay, and of which tenantry keeps what was carried before, since another organization uses them. No --leave answers
 * that.
 */
async function outdatedRows({ session, home, tables }: Carrying, leaves: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const table of tables.filter(({ to, from }) => roots.includes(to) && leaves.includes(from.name))) {
    const [row] = await session.query<{ rows: number }>(
      `select pg_catalog.count(*)::float8 as rows from ${table.source} s
       where ${isLeft(home, table.name, `s.${quoted(table.key.name)}::text`)} and ${table.rowId ?? 'null::uuid'} in (${rootsOf(home, table.to)})`,
    )
    if (row !== undefined && row.rows > 0)
      found.push(
        `${table.from.name} has rows of which tenantry keeps an older state, because it refuses the new one and another organization uses them: ${row.rows}`,
      )
  }
  return found
}

const earlierName = (tables: readonly CarriedTable[], name: string): string =>
  tables.find((table) => table.name === name)?.from.name ?? name
