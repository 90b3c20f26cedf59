-- Policies and rights of a table do not pass to its partitions. Each partition gets the row security and the policies of its
-- table, and nobody but its owner keeps a right on it.
do $$
declare
  child record;
  rule record;
  holder record;
begin
  for child in
    select c.oid, format('%I.%I', n.nspname, c.relname) as name, root.oid as root
    from pg_catalog.pg_class root
    cross join lateral pg_catalog.pg_partition_tree(root.oid) tree
    join pg_catalog.pg_class c on c.oid = tree.relid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where root.relnamespace = 'platform'::regnamespace and root.relkind = 'p' and not root.relispartition
      and tree.level > 0 and c.relkind in ('r', 'p')
  loop
    for holder in
      select distinct case a.grantee when 0 then 'public' else a.grantee::regrole::text end as name
      from (
        select a.grantee from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
        where c.oid = child.oid and a.grantee <> c.relowner
        union
        select a.grantee from pg_catalog.pg_class c, pg_catalog.pg_attribute t, pg_catalog.aclexplode(t.attacl) a
        where c.oid = child.oid and t.attrelid = c.oid and not t.attisdropped and a.grantee <> c.relowner
      ) a
    loop
      execute format('revoke all on table %s from %s cascade', child.name, holder.name);
    end loop;
    execute format('alter table %s enable row level security', child.name);
    for rule in select p.polname from pg_catalog.pg_policy p where p.polrelid = child.oid loop
      execute format('drop policy %I on %s', rule.polname, child.name);
    end loop;
    for rule in
      select p.polname, roles.names, pg_catalog.pg_get_expr(p.polqual, p.polrelid) as rows,
        pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as new_rows
      from pg_catalog.pg_policy p
      cross join lateral (
        select string_agg(r.oid::regrole::text, ', ') as names from unnest(p.polroles) as r(oid)
      ) roles
      where p.polrelid = child.root and p.polname in ('org_isolation', 'system_access')
    loop
      execute format(
        'create policy %I on %s to %s using (%s) with check (%s)', rule.polname, child.name, rule.names, rule.rows, rule.new_rows
      );
    end loop;
  end loop;
end
$$;
