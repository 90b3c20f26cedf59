import { inHome } from '../home.js'
import type { CarriedTable } from './carried-table.js'
import { readCarried } from './carry.js'
import type { Carrying, ProgressOf } from './carrying.js'
import { carryingSnapshot } from './carrying-transaction.js'
import { compare, type Comparison, isEqual } from './compare.js'
import { whichMayStay } from './leaves.js'

export interface Proof {
  readonly isProved: boolean
  readonly tables: readonly Comparison[]
  /** Rows that stay, and that nobody has left by name, in sentences. */
  readonly unplaced: readonly string[]
}

/** Compares every row and every secret. Rows that are noted, and not carried yet, are left out. */
export async function proved(carrying: Carrying, onProgress?: ProgressOf): Promise<Proof> {
  const { session, home } = carrying
  const tables = await carryingSnapshot(session, 'the comparison', () => compare(carrying, onProgress))
  const named = await session.query<{ name: string }>(`select table_name as name from ${inHome(home, 'leaves')}`)
  const mayStay = whichMayStay(
    carrying.tables,
    named.map(({ name }) => name),
  )
  const unplaced = (await readCarried(session, home, carrying.tables)).flatMap(({ name, left }) =>
    left
      .filter(({ reason }) => !mayStay(name, reason))
      .map(({ reason, rows }) => `${earlierName(carrying.tables, name)} has rows that ${reason}: ${rows}`),
  )
  return { isProved: tables.every(isEqual) && unplaced.length === 0, tables, unplaced }
}

const earlierName = (tables: readonly CarriedTable[], name: string): string =>
  tables.find((table) => table.name === name)?.from.name ?? name
