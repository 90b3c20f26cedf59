create or replace function platform.member_actor(person uuid) returns table (kind text, role text, auth_epoch integer, permissions text[], projects jsonb)
language plpgsql stable security definer rows 1 set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  org constant pg_catalog.uuid := platform.current_org();
begin
  return query
    select m.kind, m.role, m.auth_epoch, 
      array(
        select p.permission
        from platform.role_permissions p
        join platform.roles r on r.org_id = p.org_id and r.key = p.role_key
        where p.org_id = m.org_id and p.role_key = m.role and r.deleted_at is null and r.applies_to <> 'project'
        order by p.permission
      ),
      (
        select coalesce(pg_catalog.jsonb_object_agg(g.project_id, g.permissions), '{}')
        from (
          select pm.project_id, pg_catalog.jsonb_agg(p.permission order by p.permission) as permissions
          from platform.project_members pm
          join platform.roles r on r.org_id = pm.org_id and r.key = pm.role
          join platform.role_permissions p on p.org_id = pm.org_id and p.role_key = pm.role
          where pm.org_id = m.org_id and pm.user_id = m.user_id and r.deleted_at is null and r.applies_to <> 'organization'
          group by pm.project_id
        ) as g
      )
    from platform.organization_members m
    join platform.users u on u.id = m.user_id
    where m.org_id = org and m.user_id = person and m.status = 'active' and m.deleted_at is null
      and u.kind = m.kind and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp());
end
$$;
--> statement-breakpoint
create or replace function platform.accept_api_key(given_hashes bytea[], given_pepper text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  bound_org constant pg_catalog.uuid := platform.current_org();
  found_id pg_catalog.uuid;
  found_person pg_catalog.uuid;
  found_name pg_catalog.text;
  found_epoch pg_catalog.int4;
  found_limit pg_catalog.int4;
  found_scopes pg_catalog.text[];
  found_permissions pg_catalog.text;
  found_projects pg_catalog.text := '';
  is_due pg_catalog.bool;
  has_projects pg_catalog.bool;
  hour_start pg_catalog.timestamptz;
  hour_used pg_catalog.int4;
  -- The limit, the uses in this hour (empty when none is left), its end, and the seconds until then.
  hour_left pg_catalog.text := E'\n\n\n';
begin
  select k.id, k.user_id, k.name, k.auth_epoch, k.rate_limit_per_hour, k.scopes,
    k.last_used_at is null or k.last_used_at < pg_catalog.statement_timestamp() - interval '1 minute' or k.pepper_id <> given_pepper,
    (
      select pg_catalog.string_agg(p.permission, ' ')
      from platform.role_permissions p
      join platform.roles r on r.org_id = p.org_id and r.key = p.role_key
      where p.org_id = bound_org and p.role_key = m.role and r.deleted_at is null and r.applies_to <> 'project' and p.permission = any(k.scopes)
    ), exists (select from platform.project_members pm where pm.org_id = bound_org and pm.user_id = k.user_id)
  into found_id, found_person, found_name, found_epoch, found_limit, found_scopes, is_due, found_permissions, has_projects
  from platform.api_keys k
  join platform.organization_members m on m.org_id = bound_org and m.user_id = k.user_id
  where k.org_id = bound_org and k.key_hash = any(given_hashes) and k.deleted_at is null and k.status = 'active'
    and (k.expires_at is null or k.expires_at > pg_catalog.statement_timestamp())
    and (k.grace_until is null or k.grace_until > pg_catalog.statement_timestamp())
    and m.status = 'active' and m.deleted_at is null and m.auth_epoch = k.auth_epoch;
  if not found then
    return null;
  end if;
  if is_due or found_limit > 0 then
    set local synchronous_commit = off;
  end if;
  if found_limit is not null then
    hour_start := pg_catalog.date_bin('1 hour', pg_catalog.statement_timestamp(), timestamptz '2000-01-01 00:00:00+00');
    if found_limit > 0 then
      -- All but the first use of an hour end here.
      update platform.api_key_windows w
      set used = w.used + 1, allowed = found_limit, updated_at = pg_catalog.statement_timestamp()
      where w.org_id = bound_org and w.api_key_id = found_id and w.window_start = hour_start and w.used < found_limit
      returning w.used into hour_used;
      if not found then
        insert into platform.api_key_windows as w (org_id, api_key_id, window_start, used, allowed)
        values (bound_org, found_id, hour_start, 1, found_limit)
        on conflict (org_id, api_key_id, window_start) do update
          set used = w.used + 1, allowed = excluded.allowed, updated_at = excluded.updated_at
          where w.used < excluded.allowed
        returning w.used into hour_used;
      end if;
    end if;
    hour_left := pg_catalog.concat_ws(E'\n', found_limit, coalesce(hour_used::text, ''), hour_start + interval '1 hour',
      pg_catalog.ceil(extract(epoch from hour_start + interval '1 hour' - pg_catalog.statement_timestamp())));
  end if;
  if is_due then
    update platform.api_keys k
    set last_used_at = pg_catalog.statement_timestamp(), key_hash = given_hashes[1], pepper_id = given_pepper
    where k.org_id = bound_org and k.id = found_id;
  end if;
  if has_projects then
    select coalesce(pg_catalog.jsonb_object_agg(g.project_id, g.permissions), '{}') into found_projects
    from (
      select pm.project_id, pg_catalog.jsonb_agg(p.permission) as permissions
      from platform.project_members pm
      join platform.roles r on r.org_id = pm.org_id and r.key = pm.role
      join platform.role_permissions p on p.org_id = pm.org_id and p.role_key = pm.role
      where pm.org_id = bound_org and pm.user_id = found_person and r.deleted_at is null and r.applies_to <> 'organization' and p.permission = any(found_scopes)
      group by pm.project_id
    ) as g;
  end if;
  return pg_catalog.concat_ws(E'\n', found_id, found_person, found_epoch, coalesce(found_permissions, ''), found_projects, hour_left, found_name);
end
$$;
