import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { retriedStatement } from '../../migrations/lock-retries.js'
import { carryingRetries } from './carrying-transaction.js'
import { awaitOlderTransactions } from './older-transactions.js'

/** The server keeps values of columns in them. New statistics leave the old versions of these rows in the files. */
const catalogs = ['pg_catalog.pg_statistic', 'pg_catalog.pg_statistic_ext_data']

/** The statements by which somebody with the right writes the statistics anew. Empty where this login has the right itself. */
export async function missingStatisticsRight(session: Pick<Session, 'query'>): Promise<string[]> {
  // Since Postgres 17 also the members of pg_maintain may.
  const [row] = await session.query<{ may: boolean }>(
    `select exists (select from pg_catalog.pg_database d where d.datname = pg_catalog.current_database() and pg_catalog.pg_has_role(d.datdba, 'usage'))
       or exists (select from pg_catalog.pg_roles r where r.rolname = 'pg_maintain' and pg_catalog.pg_has_role(r.oid, 'usage')) as may`,
  )
  return row?.may === true ? [] : catalogs.map(rewriting)
}

/** Returns the statements that are left to somebody else. */
export async function rewriteStatistics(session: Session): Promise<string[]> {
  const missing = await missingStatisticsRight(session)
  if (missing.length > 0) return missing
  await awaitOlderTransactions(session, carryingRetries, { ofCatalog: true })
  const where = 'writing the statistics anew, which goes on with tenantry adopt platform contract'
  for (const catalog of catalogs)
    await retriedStatement(withContext(session, where), carryingRetries, rewriting(catalog))
  return []
}

const rewriting = (catalog: string) => `vacuum full ${catalog}`
