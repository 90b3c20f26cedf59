/**
 * `partition`: the partitions of declared tables, at every level. Needs `declared`. Postgres checks the policies and the rights
 * of a partition only when a statement names the partition itself. A statement on the table is checked against the table.
 */
export const partitionCte = `
partition as materialized (
  select c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as label, c.relkind, c.relrowsecurity, c.relowner, c.relacl,
    d.oid as root, d.label as root_label, d."rowSecurity" and c.relkind <> 'f' as "rowSecurity"
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join declared d on d.oid = pg_catalog.pg_partition_root(c.oid)
  where c.relispartition and c.relkind in ('r', 'p', 'f')
)`

/** The roles that have a right on a partition or on one of its columns, except its owner. */
export const partitionHolders = `
select p.oid, a.grantee, pg_catalog.lower(a.privilege_type) as privilege
from partition p cross join lateral pg_catalog.aclexplode(p.relacl) a where a.grantee <> p.relowner
union
select p.oid, a.grantee, pg_catalog.lower(a.privilege_type)
from partition p
join pg_catalog.pg_attribute t on t.attrelid = p.oid and t.attacl is not null and not t.attisdropped
cross join lateral pg_catalog.aclexplode(t.attacl) a where a.grantee <> p.relowner`

/** The policies that a partition lacks, or has although its table does not declare them. Needs `declared_policy` and `policy`. */
export const partitionPolicies = `
select oid, name, wanted.role, wanted.rows, wanted.text as wanted, found.text as found
from (
  select p.oid, w.name, w.role, w.rows, w.text from partition p join declared_policy w on w.oid = p.root where p."rowSecurity"
) wanted
full join (
  select f.oid, f.name, f.text from policy f join partition p on p.oid = f.oid where p."rowSecurity"
) found using (oid, name)
where found.text is distinct from wanted.text`

/** The partitions of one table share a finding, because there can be hundreds. */
const named = `pg_catalog.min(p.label) || case when pg_catalog.count(distinct p.oid) > 1
  then pg_catalog.format(' and %s more of %s', pg_catalog.count(distinct p.oid) - 1, p.root_label) else '' end`

export const partitionFindings: readonly string[] = [
  `select 'is owned by another role', pg_catalog.format('%s by %s', p.label, p.relowner::pg_catalog.regrole),
    pg_catalog.format('alter table %s owner to %s', p.label, place.owner::pg_catalog.regrole), true
  from partition p cross join place where p.relowner <> place.owner`,

  `select 'row security is not enabled', ${named}, 'npx tenantry bootstrap', true
  from partition p where p."rowSecurity" and not p.relrowsecurity group by p.root, p.root_label`,

  `select 'policies differ', ${named}, 'npx tenantry bootstrap', true
  from (${partitionPolicies}) different join partition p on p.oid = different.oid group by p.root, p.root_label`,

  // Roles other than ours count too: they would read the rows of every organization.
  `select 'has rights on a partition',
    pg_catalog.format('%s on table %s to %s', pg_catalog.string_agg(distinct h.privilege, ', ' order by h.privilege), ${named},
      case h.grantee when 0 then 'public' else h.grantee::pg_catalog.regrole::text end),
    'npx tenantry bootstrap', true
  from (${partitionHolders}) h join partition p on p.oid = h.oid group by p.root, p.root_label, h.grantee`,
]
