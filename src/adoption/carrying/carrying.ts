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

/**
 * Runs `work` with a search path of pg_catalog, without a limit of the login that ends a statement, and so that a policy that would hide rows
 * is an error. Restores all three: the caller keeps the session.
 */
export async function calmly<T>(direct: Session, work: () => Promise<T>): Promise<T> {
  const session = withContext(direct, 'the settings of the session')
  const [before] = await session.query<{ path: string; limit: string; security: string }>(
    `select pg_catalog.current_setting('search_path') as path, pg_catalog.current_setting('statement_timeout') as limit,
       pg_catalog.current_setting('row_security') as security, pg_catalog.set_config('row_security', 'off', false),
       pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false), pg_catalog.set_config('statement_timeout', '0', false)`,
  )
  try {
    return await work()
  } finally {
    await session
      .query(
        `select pg_catalog.set_config('search_path', $1, false), pg_catalog.set_config('statement_timeout', $2, false),
           pg_catalog.set_config('row_security', $3, false)`,
        [before?.path, before?.limit, before?.security],
      )
      .catch(() => undefined)
  }
}

const lock = `pg_catalog.hashtextextended('tenantry carrying ' || $1::text, 0)`

/** Runs a step while no other one of the same home runs: two at once could overwrite a newer state of a row with an older one. */
export async function alone<T>(direct: Session, home: string, work: () => Promise<T>): Promise<T> {
  const session = withContext(direct, 'the lock of the steps')
  const [row] = await session.query<{ locked: boolean }>(`select pg_catalog.pg_try_advisory_lock(${lock}) as locked`, [
    home,
  ])
  if (row?.locked !== true) throw new MigrationError('another step is running on these tables. Nothing was done')
  try {
    return await calmly(direct, work)
  } finally {
    await session.query(`select pg_catalog.pg_advisory_unlock(${lock})`, [home]).catch(() => undefined)
  }
}
