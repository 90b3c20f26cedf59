create function platform.is_live_member(person uuid) returns bool
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  org constant pg_catalog.uuid := platform.current_org();
begin
  return exists (
    select from platform.organization_members m
    join platform.users u on u.id = m.user_id
    where m.org_id = org and m.user_id = person and m.status = 'active' and m.deleted_at is null
      and u.kind = m.kind and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp())
  );
end
$$;
--> statement-breakpoint
create function platform.assert_room(limit_name text, allowed numeric, used numeric, added numeric) returns void
language plpgsql volatile as $$
begin
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'TN004', message = 'plan limits are counted in read committed';
  end if;
  if added > 0 and used + added > allowed then
    raise exception using errcode = 'TN003', message = pg_catalog.format('%s: %s allowed, %s in use', limit_name, allowed, used);
  end if;
end
$$;
