import { LockNotFree, withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { type LockRetries, retried } from '../../migrations/lock-retries.js'

/**
 * Waits until no transaction is left that began before this call: `vacuum full` keeps the versions of rows that an older snapshot can still see.
 * Those of a catalog are kept for replication slots too.
 */
export async function awaitOlderTransactions(
  direct: Session,
  retries: LockRetries,
  { ofCatalog } = { ofCatalog: false },
): Promise<void> {
  const session = withContext(direct, 'the transactions that began before')
  const [now] = await session.query<{ id: string }>('select pg_catalog.pg_current_xact_id()::text as id')
  await retried(retries, async () => {
    const older = await session.query<{ name: string }>(readers, [now?.id, ofCatalog])
    if (older.length === 0) return
    throw new LockNotFree(
      `transactions that began before may still read the secrets, so that their old versions would stay in the files: ${older.map(({ name }) => name).join(', ')}`,
      'and the secrets are empty for everybody else: end these, and run tenantry adopt platform contract again',
    )
  })
}

/** An assigned transaction id holds back snapshots in every database, a snapshot only in its own. */
const readers = `
select 'process ' || a.pid || coalesce(' of ' || a.usename, '') as name from pg_catalog.pg_stat_activity a
where a.pid <> pg_catalog.pg_backend_pid() and (
  pg_catalog.age(a.backend_xid) > pg_catalog.age($1::pg_catalog.xid8::pg_catalog.xid)
  or pg_catalog.age(a.backend_xmin) > pg_catalog.age($1::pg_catalog.xid8::pg_catalog.xid)
    and (a.datid is null or a.datname = pg_catalog.current_database()))
union all
select 'prepared transaction ' || p.gid from pg_catalog.pg_prepared_xacts p
where pg_catalog.age(p.transaction) > pg_catalog.age($1::pg_catalog.xid8::pg_catalog.xid)
union all
select 'replication slot ' || s.slot_name from pg_catalog.pg_replication_slots s
where pg_catalog.age(s.xmin) > pg_catalog.age($1::pg_catalog.xid8::pg_catalog.xid)
  or $2::boolean and pg_catalog.age(s.catalog_xmin) > pg_catalog.age($1::pg_catalog.xid8::pg_catalog.xid)
    and (s.database is null or s.database = pg_catalog.current_database())
order by 1`
