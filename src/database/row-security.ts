/**
 * The first statement of each transaction of the owner. Under FORCE row security, or as a role that does not own the table, a
 * statement would silently skip rows: a back-fill changes none, a foreign key is validated over orphans. With this it fails.
 */
export const refuseFilteredRows = 'set local row_security = off'

/** The same for statements that run outside of a transaction; `row_security` is reset after them. */
export const refuseFilteredRowsInSession = 'set row_security = off'

/** Whether a statement failed because row security would have left out rows. The server's message may be in another language. */
export function isFilteredRows(error: unknown): boolean {
  const { code, routine, message } = error as { code?: unknown; routine?: unknown; message?: unknown }
  if (code !== '42501') return false
  return routine === 'check_enable_rls' || String(message).includes('would be affected by row-level security')
}
