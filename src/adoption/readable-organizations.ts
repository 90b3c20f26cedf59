import type { Reader } from './read-only.js'

/** Whether the login sees all organizations of tenantry. False also where tenantry is not there yet. */
export async function mayReadOrganizations(session: Reader): Promise<boolean> {
  const [place] = await session.query<{ isReadable: boolean }>(readableOrganizations)
  return place?.isReadable === true
}

const readableOrganizations = `
select coalesce(pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select')
  and not pg_catalog.row_security_active(c.oid), false) as "isReadable"
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'platform' and c.relname = 'organizations'`
