import { quoted } from '../core/statements/column-plan.js'
import type { AdoptedSchema, OrganizationSource } from './adopted-schema.js'
import type { Finding } from './findings.js'
import { knownOrganizations } from './home.js'
import { mayReadOrganizations } from './readable-organizations.js'
import type { Reader } from './read-only.js'
import { literal } from './sql.js'

/** Rows `t` of which an organization `o` has the id as its external id, that no adoption has made of them. */
export const withTakenId = ({ on, id, prefix }: OrganizationSource): string =>
  `${on} t join platform.organizations o on o.external_id = t.${quoted(id.name)}::text
   where o.deleted_at is null and not pg_catalog.starts_with(coalesce(o.provision_key, ''), ${literal(prefix)})`

/** An external id of another customer may equal an id of this table. Nothing is told to a login that may not read the organizations. */
export async function takenExternalIds(session: Reader, { home, sources }: AdoptedSchema): Promise<Finding[]> {
  const kept = sources.filter(({ externalIds }) => externalIds === 'kept')
  if (kept.length === 0 || !(await mayReadOrganizations(session))) return []
  // While the steps are taken, some are known as those of these rows.
  const known = knownOrganizations(home)
  const [under] = await session.query<{ isKnown: boolean }>(
    `select pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select') as "isKnown"
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = 'organizations_of'`,
    [home],
  )
  const findings: Finding[] = []
  for (const source of kept) {
    const { table, prefix } = source
    const [row] = await session.query<{ count: number }>(
      `select pg_catalog.count(*)::int as count from ${withTakenId(source)}${
        under?.isKnown === true
          ? ` and not exists (select from ${known} k where k.key = ${literal(prefix)} || o.external_id and k.org_id = o.id)`
          : ''
      }`,
    )
    if (row !== undefined && row.count > 0)
      findings.push({
        table: table.name,
        kind: 'external ids',
        needs: 'decision',
        message: `${row.count} organizations have an id of ${table.name} as their external id already: write "externalIds" beside its "id", "same" if they are the same customers, or "none"`,
      })
  }
  return findings
}
