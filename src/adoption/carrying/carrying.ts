import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import type { CarriedTable } from './carried-table.js'

/** What every step works with. */
export interface Carrying {
  readonly session: Session
  readonly home: string
  readonly tables: readonly CarriedTable[]
  readonly dataKeys: DataKeys
}

export type ProgressOf = (progress: { readonly table: string; readonly done: number; readonly total: number }) => void

const lock = `pg_catalog.hashtextextended('tenantry carrying ' || $1::text, 0)`

/** Runs a step while no other one of the same home runs: two at once would carry older states of rows over newer ones. */
export async function alone<T>(direct: Session, home: string, work: () => Promise<T>): Promise<T> {
  const session = withContext(direct, 'the lock of the steps')
  const [row] = await session.query<{ locked: boolean }>(`select pg_catalog.pg_try_advisory_lock(${lock}) as locked`, [
    home,
  ])
  if (row?.locked !== true) throw new MigrationError('another step is running on these tables. Nothing was done')
  try {
    return await work()
  } finally {
    await session.query(`select pg_catalog.pg_advisory_unlock(${lock})`, [home]).catch(() => undefined)
  }
}
