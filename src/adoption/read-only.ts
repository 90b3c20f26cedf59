import { refuseFilteredRows } from '../database/row-security.js'
import type { Session } from '../database/session.js'

export type Reader = Pick<Session, 'query'>

/**
 * A session of which each statement has a transaction of its own that began read-only: no function of the schema that it calls, such as a
 * cast, can make it write. Rows are refused rather than left out where row security hides some.
 */
export const readOnly = (session: Session): Reader => ({
  async query<Row>(text: string, params?: readonly unknown[]) {
    await session.query('begin read only')
    try {
      await session.query(refuseFilteredRows)
      return await session.query<Row>(text, params)
    } finally {
      await session.query('rollback')
    }
  },
})
