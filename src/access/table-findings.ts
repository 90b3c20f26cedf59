import { passOwn } from './root-causes.js'
import { partitionCte } from './partition-findings.js'

/**
 * `declared_policy`: the policies that this build declares. `policy`: the policies in the database. Both have a column `text` to
 * compare: permissive, command, roles, USING and WITH CHECK, joined by |. `%2$s` repeats USING as WITH CHECK.
 */
export const policyCtes = `${partitionCte},
declared_policy as materialized (
  select d.oid, p ->> 'name' as name, p ->> 'role' as role, bound.rows,
    pg_catalog.format('t|*|%s|%s|%2$s', p ->> 'role', bound.printed) as text
  from declared d
  cross join lateral pg_catalog.jsonb_array_elements(d.policies) p
  cross join place
  cross join lateral (
    select pg_catalog.quote_ident(p #>> '{rows,column}') || ' = ' as equals, pg_catalog.quote_ident(p #>> '{rows,binding}') || '()' as call
  ) b
  cross join lateral (
    select coalesce(b.equals || 'platform.' || b.call, 'true') as rows,
      -- The server leaves out the schema of a function that its search_path finds, and quotes every name if it is set to.
      coalesce('(' || b.equals || case when p #>> '{rows,binding}' = any (place.visible) then '' else pg_catalog.quote_ident('platform') || '.' end
        || b.call || ')', 'true') as printed
  ) bound
  where d.oid is not null
),
policy as materialized (
  select p.polrelid as oid, p.polname::text as name, pg_catalog.format('%s|%s|%s|%s|%s', p.polpermissive, p.polcmd,
    (select pg_catalog.string_agg(case u.oid when 0 then 'public' else pg_catalog.pg_get_userbyid(u.oid) end, ',') from pg_catalog.unnest(p.polroles) as u(oid)),
    pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) as text
  from pg_catalog.pg_policy p
  where p.polrelid = any (array(select d.oid from declared d union all select c.oid from partition c))
)`

/** The names of a foreign key's columns, in its order. */
const columnsOf = (table: string, key: string) => `(
        select pg_catalog.string_agg(a.attname, ', ' order by k.place)
        from pg_catalog.unnest(${key}) with ordinality k(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = ${table} and a.attnum = k.number)`

/** Whether the relation `c` has a policy that the helpers of tenantry/schema create. Then it is probably a table of the host's. */
const hasOurPolicy = `exists (
  select from pg_catalog.pg_policy p where p.polrelid = c.oid and p.polname in ('org_isolation', 'user_access', 'system_access')
    and here.role = any (p.polroles))`

/** Whether the right `f` is one on a column that the table does not have. */
const isMissingColumn = `(f."column" <> '' and not exists (
      select from pg_catalog.pg_attribute a where a.attrelid = f.oid and a.attname = f."column" and not a.attisdropped))`

/**
 * `other_book`: the bookkeeping tables of migration sets that this build does not know. They are recognized by their rights: SELECT
 * on exactly `hash` and `created_at`, which bootstrap grants only there.
 */
export const otherBookTable = `
other_book as materialized (
  select h.oid from held h join grantee g on g.oid = h.grantee
  where g.role is not null and h.privilege = 'select' and h."column" in ('hash', 'created_at')
    and h.oid not in (select d.oid from declared d where d.oid is not null)
  group by h.oid having pg_catalog.count(*) = 2
)`

/**
 * Queries that return findings. Their columns: fault, detail, mend, and true for a fault or false for a note. `$6` is the list of
 * relations that the host allows.
 */
export const tableFindings: readonly string[] = [
  // While a migration is pending, rootCauses reports only that.
  `select 'a table is missing', d.label, 'restore it from a backup: the migration that creates it was applied', true
  from declared d where d.oid is null and d.origin is null`,

  `select 'a column is missing', pg_catalog.format('%s of %s', seen.columns, d.label),
    case d.schema when 'platform' then 'restore it from a backup: the migration that creates it was applied'
      else 'write its migration by \`npx tenantry migrate new\`, and apply it by \`npx tenantry migrate up\`' end, true
  from (
    select f.oid, pg_catalog.string_agg(distinct pg_catalog.quote_ident(f."column"), ', ') as columns
    from difference f where f.state = 'missing' and ${isMissingColumn} group by f.oid
  ) seen join declared d on d.oid = seen.oid where d.relkind in ('r', 'p')`,

  `select 'is not a table', d.label, 'rename the relation that has its name, and restore the table from a backup', true
  from declared d where d.relkind not in ('r', 'p') and d.origin is distinct from 'record'`,

  `select 'is owned by another role', pg_catalog.format('%s by %s', d.label, d.relowner::pg_catalog.regrole),
    pg_catalog.format('alter table %s owner to %s', d.label, place.owner::pg_catalog.regrole), true
  from declared d cross join place where d.relowner <> place.owner`,

  `select 'row security is not enabled', d.label, pg_catalog.format('alter table %s enable row level security', d.label), true
  from declared d where d."rowSecurity" and not d.relrowsecurity and d.relkind in ('r', 'p')`,

  `select 'row security is enabled where none is declared', d.label, pg_catalog.format('alter table %s disable row level security', d.label), true
  from declared d where not d."rowSecurity" and d.relrowsecurity`,

  // The policies must be exactly the declared ones: permissive policies are OR-ed, so any further one lets more rows through.
  `select 'policies differ', pg_catalog.format('%s: %s', d.label, different.names), different.mend, true
  from declared d
  join (
    select oid, pg_catalog.string_agg(name, ', ' order by name) as names,
      pg_catalog.string_agg(pg_catalog.concat_ws('; ',
        case when h.text is not null then pg_catalog.format('drop policy %I on %s', name, oid::pg_catalog.regclass) end,
        case when w.text is not null then
          pg_catalog.format('create policy %I on %s to %s using (%s) with check (%4$s)', name, oid::pg_catalog.regclass, w.role, w.rows) end
      ), '; ' order by name) as mend
    from declared_policy w full join policy h using (oid, name)
    where h.text is distinct from w.text
    group by oid
  ) different on different.oid = d.oid
  where d."rowSecurity" and d.relkind in ('r', 'p')`,

  `select 'a right is missing', pg_catalog.format('%s on %s to %s', seen.rights, d.label, g.name), 'npx tenantry bootstrap', true
  from (
    select oid, grantee, pg_catalog.string_agg(privilege || case "column" when '' then '' else pg_catalog.format(' (%I)', "column") end, ', ' order by privilege, "column") as rights
    from difference f where state = 'missing' and not ${isMissingColumn} group by oid, grantee
  ) seen join declared d on d.oid = seen.oid join grantee g on g.oid = seen.grantee where d.relkind in ('r', 'p') or d.origin = 'record'`,

  `select 'a right is not declared', pg_catalog.format('%s on %s to %s', seen.rights, d.label, g.name),
    case when g.role is null and g.oid <> 0 then pg_catalog.format('revoke all on table %s from %s cascade', d.label, g.name) else 'npx tenantry bootstrap' end, true
  from (
    select f.oid, f.grantee, pg_catalog.string_agg(f.privilege || case f."column" when '' then '' else pg_catalog.format(' (%I)', f."column") end
      || case f.state when 'grantable' then ' with grant option' else '' end, ', ' order by f.privilege, f."column") as rights
    from difference f where f.state <> 'missing'
    group by f.oid, f.grantee
  ) seen join declared d on d.oid = seen.oid join grantee g on g.oid = seen.grantee`,

  // A view without security_invoker reads with the rights of its owner. Materialized views and foreign tables have no row security,
  // and a partition does not inherit the policies of its table. Partitions of declared tables are checked separately.
  `select case when c.relispartition then 'has rights on a partition' else 'has rights on an undeclared relation' end,
    pg_catalog.format('%s on %s %s to %s', seen.rights,
      case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table' when 'S' then 'sequence' else 'table' end, c.label, g.name),
    case
      when c.nspname <> 'platform' and (c.oid in (select b.oid from other_book b) or ${hasOurPolicy}
        or g.role is not null and c.relowner = place.owner and exists (select from other_book)) then '${passOwn}'
      else pg_catalog.format('revoke all on %s %s from %s cascade%s', case c.relkind when 'S' then 'sequence' else 'table' end, c.label, g.name,
        case when c.nspname <> 'pg_catalog' then pg_catalog.format(' -- or, where the application is to use it, allowRelations: [%L]', c.label) end)
    end, true
  from (
    select h.oid, h.grantee, pg_catalog.string_agg(distinct h.privilege, ', ' order by h.privilege) as rights
    from held h
    where h.oid not in (select d.oid from declared d where d.oid is not null) and h.oid not in (select p.oid from partition p)
    group by h.oid, h.grantee
  ) seen
  join (
    select c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) as label, n.nspname
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  ) c on c.oid = seen.oid
  join grantee g on g.oid = seen.grantee
  cross join here cross join place
  -- A view or a function reads it without the use of its schema. What everybody has in a closed schema is left out.
  where (seen.grantee <> 0 or pg_catalog.has_schema_privilege(here.login, c.relnamespace, 'usage'))
    and not exists (
      select from pg_catalog.pg_class a join pg_catalog.pg_namespace n on n.oid = a.relnamespace
      where a.oid in (c.oid, pg_catalog.pg_partition_root(c.oid))
        and (n.nspname || '.' || a.relname = any ($6::text[]) or pg_catalog.format('%I.%I', n.nspname, a.relname) = any ($6::text[])))
    and not (seen.grantee = 0 and exists (
      select from pg_catalog.pg_depend e
      where e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and e.objid = c.oid and e.deptype = 'e'))
    and not (c.relkind = 'v'
      and exists (select from pg_catalog.pg_options_to_table(c.reloptions) o where o.option_name = 'security_invoker' and o.option_value::boolean)
      and not exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid)
      and not exists (select from pg_catalog.pg_rewrite r where r.ev_class = c.oid and r.rulename <> '_RETURN'))`,

  // A query of the parent reads the rows of its children under the policies of the parent alone. Partitions are checked separately.
  `select 'inherits from another table', pg_catalog.format('%s from %s', i.inhrelid::pg_catalog.regclass, i.inhparent::pg_catalog.regclass),
    pg_catalog.format('alter table %s no inherit %s', i.inhrelid::pg_catalog.regclass, i.inhparent::pg_catalog.regclass), true
  from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid and not c.relispartition
  where exists (select from declared d where d.oid in (i.inhrelid, i.inhparent))`,

  // A cascade ignores row security, so the key has to keep it within the organization.
  `select 'a foreign key crosses organizations', pg_catalog.format('%s on %s', k.conname, d.label),
    pg_catalog.format('alter table %s drop constraint %I', d.label, k.conname), true
  from declared d
  join pg_catalog.pg_constraint k on k.conrelid = d.oid and k.contype = 'f' and k.conparentid = 0
  join declared r on r.oid = k.confrelid
  join pg_catalog.pg_attribute a on a.attrelid = d.oid and a.attname = 'org_id'
  join pg_catalog.pg_attribute b on b.attrelid = r.oid and b.attname = 'org_id'
  where d."rowSecurity" and r."rowSecurity"
    and not exists (
      select from pg_catalog.generate_subscripts(k.conkey, 1) at
      where k.conkey[at] = a.attnum and k.confkey[at] = b.attnum)`,

  `select 'a foreign key is missing', pg_catalog.format('%s on %s', k.name, d.label),
    'mend the rows without a parent, and add it as the migration did that created it (drizzle in the package)', true
  from declared d
  cross join lateral pg_catalog.unnest(d."foreignKeys") as wanted(definition)
  cross join lateral pg_catalog.split_part(wanted.definition, ' ', 1) as k(name)
  where d.relkind in ('r', 'p') and not exists (
    select from pg_catalog.pg_constraint c join pg_catalog.pg_class r on r.oid = c.confrelid and r.relnamespace = d.namespace
    where c.conrelid = d.oid and c.conname = k.name and c.contype = 'f' and c.convalidated
      and wanted.definition = pg_catalog.format('%s (%s) %s (%s)', c.conname, ${columnsOf('c.conrelid', 'c.conkey')}, r.relname, ${columnsOf('c.confrelid', 'c.confkey')}))`,

  // Without these triggers a foreign key checks nothing and deletes nothing.
  `select distinct 'foreign keys are switched off', t.tgrelid::pg_catalog.regclass::text,
    pg_catalog.format('alter table %s enable trigger all', t.tgrelid::pg_catalog.regclass), true
  from pg_catalog.pg_trigger t
  where t.tgisinternal and t.tgenabled not in ('O', 'A')
    and coalesce(pg_catalog.pg_partition_root(t.tgrelid), t.tgrelid) in (select d.oid from declared d)`,

  `select 'a trigger is on a table', pg_catalog.format('%s on %s', t.tgname, t.tgrelid::pg_catalog.regclass),
    -- Those of an adoption give new rows their organization until it is complete.
    case when pg_catalog.starts_with(t.tgname::text, 'zz_tenantry_') then 'npx tenantry adopt contract'
      else pg_catalog.format('drop trigger %I on %s', t.tgname, t.tgrelid::pg_catalog.regclass) end, true
  from pg_catalog.pg_trigger t
  where not t.tgisinternal and t.tgparentid = 0
    and coalesce(pg_catalog.pg_partition_root(t.tgrelid), t.tgrelid) in (select d.oid from declared d)`,

  `select 'a rule is on a table', pg_catalog.format('%s on %s', r.rulename, r.ev_class::pg_catalog.regclass),
    pg_catalog.format('drop rule %I on %s', r.rulename, r.ev_class::pg_catalog.regclass), true
  from pg_catalog.pg_rewrite r
  where r.rulename <> '_RETURN' and coalesce(pg_catalog.pg_partition_root(r.ev_class), r.ev_class) in (select d.oid from declared d)`,

  // Drizzle writes a table of the schema public without its schema.
  `select 'is hidden by another relation', d.label,
    pg_catalog.format('alter role %I in database %I set search_path = public', here.login_name, here.database_name), true
  from declared d cross join here where d.schema = 'public' and d.origin is null and not pg_catalog.pg_table_is_visible(d.oid)`,

  `select 'is published', p.pubname::text, 'row security does not apply to subscribers: allow only subscribers that you trust', false
  from pg_catalog.pg_publication p
  where p.puballtables
    or exists (
      select from pg_catalog.pg_publication_rel r
      where r.prpubid = p.oid and coalesce(pg_catalog.pg_partition_root(r.prrelid), r.prrelid) in (select d.oid from declared d))
    or exists (
      select from pg_catalog.pg_publication_namespace n
      where n.pnpubid = p.oid and n.pnnspid in (select d.namespace from declared d))`,
]
