import { type Declarations, declaredTables, differenceCte, functionNamed, rightsCtes, tablesAsJson } from './rights.js'
import { runtimeRoles } from './manifest.js'
import { type Plan, statements } from './carry-out.js'

/** Schemas with tables of the library only: every other grant in them is in excess. */
const ownSchemas = ['platform']

/**
 * Grants both roles exactly what is declared on the tables that exist, and revokes everything else from them and from PUBLIC.
 * Of undeclared tables only those in the library's own schema are changed. Partitions have a plan of their own.
 */
export function planGrants(declarations: Declarations): Plan {
  const tables = declaredTables(declarations)
  const schemas = [...new Set(tables.map(({ schema }) => schema))]
  const executables = declarations.functions.map(({ signature, executableBy }) => ({ signature, executableBy }))
  return async (session) => [
    ...(await statements(session, usageStatements, [runtimeRoles, schemas])),
    ...(await statements(session, tableStatements, [runtimeRoles, tablesAsJson(tables, runtimeRoles), ownSchemas])),
    ...(await statements(session, functionStatements, [runtimeRoles, JSON.stringify(executables), ownSchemas])),
  ]
}

const usageStatements = `
select pg_catalog.format('grant usage on schema %I to %I', n.nspname, r.rolname) as statement
from pg_catalog.pg_namespace n cross join pg_catalog.pg_roles r
where r.rolname = any ($1::text[]) and n.nspname = any ($2::text[]) and not pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage')
order by 1`

const grantees = `
grantee(oid, name, role) as materialized (
  select 0::pg_catalog.oid, 'public', null
  union all
  select r.oid, pg_catalog.quote_ident(r.rolname), r.rolname::text from pg_catalog.pg_roles r where r.rolname = any ($1::text[])
)`

// One statement for each object and grantee. REVOKE comes first.
const asStatements = `
select case state
    when 'excess' then pg_catalog.format('revoke %s on %s from %s cascade', rights, object, grantee)
    when 'grantable' then pg_catalog.format('revoke grant option for %s on %s from %s cascade', rights, object, grantee)
    else pg_catalog.format('grant %s on %s to %s', rights, object, grantee)
  end as statement
from (
  select state, object, grantee, pg_catalog.string_agg(privilege || columns, ', ' order by privilege) as rights
  from (
    select state, object, grantee, privilege,
      case when "column" = '' then '' else ' (' || pg_catalog.string_agg(pg_catalog.quote_ident("column"), ', ' order by "column") || ')' end as columns
    from named group by state, object, grantee, privilege, "column" = ''
  ) one
  group by state, object, grantee
) all_of_them
order by state = 'missing', state, object, grantee`

const tableStatements = `
with ${grantees}, ${rightsCtes('$2')}, ${differenceCte},
everywhere as (
  -- A column that a later migration adds is not there while the database is at an earlier one.
  select d.* from difference d
  where d.state <> 'missing' or d."column" = ''
    or exists (select from pg_catalog.pg_attribute t where t.attrelid = d.oid and t.attname = d."column" and not t.attisdropped)
  union all
  select 'excess', h.oid, h.grantee, h.privilege, h."column"
  from held h
  join pg_catalog.pg_class c on c.oid = h.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where h.oid not in (select d.oid from declared d where d.oid is not null)
    and n.nspname = any ($3::text[])
    and not (c.relispartition and pg_catalog.pg_partition_root(c.oid) in (select d.oid from declared d where d.oid is not null))
),
named as (
  select e.state, e.privilege, e."column", g.name as grantee,
    pg_catalog.format('%s %I.%I', case c.relkind when 'S' then 'sequence' else 'table' end, n.nspname, c.relname) as object
  from everywhere e
  join pg_catalog.pg_class c on c.oid = e.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join grantee g on g.oid = e.grantee
)
${asStatements}`

const functionStatements = `
with ${grantees},
declared as materialized (
  select ${functionNamed('f.signature')} as oid, f."executableBy"
  from pg_catalog.jsonb_to_recordset($2::jsonb) as f(signature text, "executableBy" jsonb)
),
wanted as materialized (
  select d.oid, g.oid as grantee
  from declared d cross join lateral pg_catalog.jsonb_array_elements_text(d."executableBy") as e(role) join grantee g on g.role = e.role
  where d.oid is not null
),
held as materialized (
  select p.oid, a.grantee, a.is_grantable
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  cross join lateral pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
  where a.grantee in (select g.oid from grantee g)
    and (p.oid in (select d.oid from declared d) or p.prosecdef and n.nspname = any ($3::text[]))
),
difference as (
  select 'missing' as state, w.oid, w.grantee from wanted w
  where not exists (select from held h where h.oid = w.oid and h.grantee = w.grantee)
  union all
  select case when w.oid is null then 'excess' else 'grantable' end, h.oid, h.grantee
  from held h left join wanted w on w.oid = h.oid and w.grantee = h.grantee
  where w.oid is null or h.is_grantable
),
named as (
  select d.state, 'execute' as privilege, '' as "column", g.name as grantee, 'function ' || d.oid::pg_catalog.regprocedure as object
  from difference d join grantee g on g.oid = d.grantee
)
${asStatements}`
