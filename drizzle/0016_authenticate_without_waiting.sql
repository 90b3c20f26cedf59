-- What an authentication writes is a note of it, and need not wait for the disk.
create or replace function platform.authenticate_session(given_session uuid, given_hashes bytea[], given_idle integer) returns table (expires_at timestamptz, org_id uuid, auth_epoch integer, permissions text[], projects jsonb)
language plpgsql volatile security definer rows 1 set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
  me constant pg_catalog.uuid := platform.current_user_id();
  found_use pg_catalog.timestamptz;
  found_org pg_catalog.uuid;
  found_epoch pg_catalog.int4;
  found_role pg_catalog.text;
begin
  select s.expires_at, s.last_activity_at, s.active_org_id, s.active_org_epoch
  into expires_at, found_use, found_org, found_epoch
  from platform.user_sessions s
  join platform.users u on u.id = s.user_id
  where s.user_id = me and s.id = given_session and s.token_hash = any(given_hashes) and s.revoked_at is null
    and s.expires_at > pg_catalog.statement_timestamp() and s.idle_expires_at > pg_catalog.statement_timestamp()
    and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp());
  if not found then
    return;
  end if;
  if found_use < pg_catalog.statement_timestamp() - least(60, given_idle / 10.0) * interval '1 second' then
    set local synchronous_commit = off;
    update platform.user_sessions s
    set last_activity_at = pg_catalog.statement_timestamp(), updated_at = pg_catalog.statement_timestamp(),
      idle_expires_at = least(s.expires_at, pg_catalog.statement_timestamp() + given_idle * interval '1 second')
    where s.user_id = me and s.id = given_session and s.revoked_at is null;
  end if;
  if found_org is not null then
    select m.role into found_role
    from platform.organization_members m
    join platform.organizations o on o.id = m.org_id
    where m.org_id = found_org and m.user_id = me and m.auth_epoch = found_epoch
      and m.status = 'active' and m.deleted_at is null and o.status = 'active' and o.deleted_at is null;
    if found then
      org_id := found_org;
      auth_epoch := found_epoch;
      permissions := array(
      select p.permission
      from platform.role_permissions p
      join platform.roles r on r.org_id = p.org_id and r.key = p.role_key
      where p.org_id = found_org and p.role_key = found_role and r.deleted_at is null and r.applies_to <> 'project'
    );
      projects := '{}';
    if exists (select from platform.project_members pm where pm.org_id = found_org and pm.user_id = me) then
      select coalesce(pg_catalog.jsonb_object_agg(g.project_id, g.permissions), '{}') into projects
      from (
        select pm.project_id, pg_catalog.jsonb_agg(p.permission) as permissions
        from platform.project_members pm
        join platform.roles r on r.org_id = pm.org_id and r.key = pm.role
        join platform.role_permissions p on p.org_id = pm.org_id and p.role_key = pm.role
        where pm.org_id = found_org and pm.user_id = me and r.deleted_at is null and r.applies_to <> 'organization'
        group by pm.project_id
      ) as g;
    end if;
    end if;
  end if;
  return next;
end
$$;
--> statement-breakpoint
create or replace function platform.authenticate_api_key(given_hashes bytea[], given_pepper text) returns table (id uuid, name text, auth_epoch integer, allowed integer, permissions text[], projects jsonb, retry_after integer, reset_at timestamptz, used integer)
language plpgsql volatile rows 1 as $$
#variable_conflict use_column
declare
  found_org constant pg_catalog.uuid := platform.current_org();
  found_hour constant pg_catalog.timestamptz :=
    pg_catalog.date_bin('1 hour', pg_catalog.statement_timestamp(), timestamptz '2000-01-01 00:00:00+00');
  found_id pg_catalog.uuid;
  found_limit pg_catalog.int4;
  found_person pg_catalog.uuid;
  found_scopes pg_catalog.text[];
  found_use pg_catalog.timestamptz;
  found_pepper pg_catalog.text;
  found_role pg_catalog.text;
begin
  select k.id, k.name, k.auth_epoch, k.rate_limit_per_hour, k.user_id, k.scopes, k.last_used_at, k.pepper_id, m.role
  into found_id, name, auth_epoch, found_limit, found_person, found_scopes, found_use, found_pepper, found_role
  from platform.api_keys k
  join platform.organization_members m on m.org_id = found_org and m.user_id = k.user_id
  where k.org_id = found_org and k.key_hash = any(given_hashes) and k.deleted_at is null and k.status = 'active'
    and (k.expires_at is null or k.expires_at > pg_catalog.statement_timestamp())
    and (k.grace_until is null or k.grace_until > pg_catalog.statement_timestamp())
    and m.status = 'active' and m.deleted_at is null and m.auth_epoch = k.auth_epoch;
  if not found then
    return;
  end if;
  set local synchronous_commit = off;
  id := found_id;
  allowed := found_limit;
  reset_at := found_hour + interval '1 hour';
  retry_after := pg_catalog.ceil(extract(epoch from reset_at - pg_catalog.statement_timestamp()));
  if found_limit > 0 then
    -- All but the first use of an hour end here.
    update platform.api_key_windows w
    set used = w.used + 1, allowed = found_limit, updated_at = pg_catalog.statement_timestamp()
    where w.org_id = found_org and w.api_key_id = found_id and w.window_start = found_hour and w.used < found_limit
    returning w.used into used;
    if not found then
      insert into platform.api_key_windows as w (org_id, api_key_id, window_start, used, allowed)
      values (found_org, found_id, found_hour, 1, found_limit)
      on conflict (org_id, api_key_id, window_start) do update
        set used = w.used + 1, allowed = excluded.allowed, updated_at = excluded.updated_at
        where w.used < excluded.allowed
      returning w.used into used;
    end if;
  end if;
  if found_use is null or found_use < pg_catalog.statement_timestamp() - interval '1 minute' or found_pepper <> given_pepper then
    update platform.api_keys k
    set last_used_at = pg_catalog.statement_timestamp(), key_hash = given_hashes[1], pepper_id = given_pepper
    where k.org_id = found_org and k.id = found_id;
  end if;
  permissions := array(
      select p.permission
      from platform.role_permissions p
      join platform.roles r on r.org_id = p.org_id and r.key = p.role_key
      where p.org_id = found_org and p.role_key = found_role and r.deleted_at is null and r.applies_to <> 'project' and p.permission = any(found_scopes)
    );
  projects := '{}';
    if exists (select from platform.project_members pm where pm.org_id = found_org and pm.user_id = found_person) then
      select coalesce(pg_catalog.jsonb_object_agg(g.project_id, g.permissions), '{}') into projects
      from (
        select pm.project_id, pg_catalog.jsonb_agg(p.permission) as permissions
        from platform.project_members pm
        join platform.roles r on r.org_id = pm.org_id and r.key = pm.role
        join platform.role_permissions p on p.org_id = pm.org_id and p.role_key = pm.role
        where pm.org_id = found_org and pm.user_id = found_person and r.deleted_at is null and r.applies_to <> 'organization'
          and p.permission = any(found_scopes)
        group by pm.project_id
      ) as g;
    end if;
  return next;
end
$$;
