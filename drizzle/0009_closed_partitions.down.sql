-- What was revoked from a partition is not granted again: nobody was meant to have it.
do $$
declare
  child record;
  rule record;
begin
  for child in
    select c.oid, format('%I.%I', n.nspname, c.relname) as name
    from pg_catalog.pg_class root
    cross join lateral pg_catalog.pg_partition_tree(root.oid) tree
    join pg_catalog.pg_class c on c.oid = tree.relid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where root.relnamespace = 'platform'::regnamespace and root.relkind = 'p' and not root.relispartition
      and tree.level > 0 and c.relkind in ('r', 'p')
  loop
    for rule in select p.polname from pg_catalog.pg_policy p where p.polrelid = child.oid loop
      execute format('drop policy %I on %s', rule.polname, child.name);
    end loop;
    execute format('alter table %s disable row level security', child.name);
  end loop;
end
$$;
