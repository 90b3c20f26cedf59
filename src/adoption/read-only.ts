import { refuseFilteredRows } from '../database/row-security.js'
import type { Session } from '../database/session.js'

export type Reader = Pick<Session, 'query'>

/**
 * A session of which each statement has a transaction of its own that began read-only: no function of the schema that it calls, such as a
 * cast, can make it write. Rows are refused rather than left out where row security hides some. With a search path of `pg_catalog` the
 * server prints every name of others with its schema.
 */
export const readOnly = (session: Session, searchPath?: 'pg_catalog'): Reader => ({
  async query<Row>(text: string, params?: readonly unknown[]) {
    await session.query('begin read only')
    try {
      await session.query(refuseFilteredRows)
      if (searchPath !== undefined) await session.query(`set local search_path = ${searchPath}`)
      return await session.query<Row>(text, params)
    } finally {
      await session.query('rollback')
    }
  },
})
