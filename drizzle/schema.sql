CREATE SCHEMA platform;
GRANT USAGE ON SCHEMA platform TO tenantry_app;
GRANT USAGE ON SCHEMA platform TO tenantry_system;

CREATE OR REPLACE FUNCTION platform.accept_api_key(given_hashes bytea[], given_pepper text)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
declare
  bound_org constant pg_catalog.uuid := platform.current_org();
  -- In the update itself, an element of a parameter ends the server process of a Citus cluster.
  active_hash constant pg_catalog.bytea := given_hashes[1];
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
    set last_used_at = pg_catalog.statement_timestamp(), key_hash = active_hash, pepper_id = given_pepper
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
$function$;
GRANT EXECUTE ON FUNCTION platform.accept_api_key(given_hashes bytea[], given_pepper text) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.accept_session(given_session uuid, given_hashes bytea[], given_idle interval)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
declare
  me constant pg_catalog.uuid := platform.current_user_id();
  found_end pg_catalog.timestamptz;
  found_org pg_catalog.uuid;
  found_epoch pg_catalog.int4;
  found_permissions pg_catalog.text;
  found_projects pg_catalog.text := '';
  is_due pg_catalog.bool;
  has_projects pg_catalog.bool;
begin
  select s.expires_at, s.active_org_id, s.active_org_epoch,
    s.last_activity_at < pg_catalog.statement_timestamp() - least(interval '1 minute', given_idle / 10)
  into found_end, found_org, found_epoch, is_due
  from platform.user_sessions s
  join platform.users u on u.id = s.user_id
  where s.user_id = me and s.id = given_session and s.token_hash = any(given_hashes) and s.revoked_at is null
    and s.expires_at > pg_catalog.statement_timestamp() and s.idle_expires_at > pg_catalog.statement_timestamp()
    and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp());
  if not found then
    return null;
  end if;
  if is_due then
    set local synchronous_commit = off;
    update platform.user_sessions s
    set last_activity_at = pg_catalog.statement_timestamp(), updated_at = pg_catalog.statement_timestamp(),
      idle_expires_at = least(s.expires_at, pg_catalog.statement_timestamp() + given_idle)
    where s.user_id = me and s.id = given_session and s.revoked_at is null;
  end if;
  if found_org is null then
    return found_end;
  end if;
  select (
      select pg_catalog.string_agg(p.permission, ' ')
      from platform.role_permissions p
      join platform.roles r on r.org_id = p.org_id and r.key = p.role_key
      where p.org_id = found_org and p.role_key = m.role and r.deleted_at is null and r.applies_to <> 'project'
    ), exists (select from platform.project_members pm where pm.org_id = found_org and pm.user_id = me)
  into found_permissions, has_projects
  from platform.organization_members m
  join platform.organizations o on o.id = m.org_id
  where m.org_id = found_org and m.user_id = me and m.auth_epoch = found_epoch
    and m.status = 'active' and m.deleted_at is null and o.status = 'active' and o.deleted_at is null;
  if not found then
    return found_end;
  end if;
  if has_projects then
    select coalesce(pg_catalog.jsonb_object_agg(g.project_id, g.permissions), '{}') into found_projects
    from (
      select pm.project_id, pg_catalog.jsonb_agg(p.permission) as permissions
      from platform.project_members pm
      join platform.roles r on r.org_id = pm.org_id and r.key = pm.role
      join platform.role_permissions p on p.org_id = pm.org_id and p.role_key = pm.role
      where pm.org_id = found_org and pm.user_id = me and r.deleted_at is null and r.applies_to <> 'organization'
      group by pm.project_id
    ) as g;
  end if;
  return pg_catalog.concat_ws(E'\n', found_end, found_org, found_epoch, coalesce(found_permissions, ''), found_projects);
end
$function$;
GRANT EXECUTE ON FUNCTION platform.accept_session(given_session uuid, given_hashes bytea[], given_idle interval) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.add_service(service uuid, title text, member uuid, given_role text)
 RETURNS TABLE(org_id uuid, id uuid, user_id uuid, email text, display_name text, role text, kind text, status text, invited_at timestamp with time zone, invited_by uuid, joined_at timestamp with time zone, auth_epoch integer, created_at timestamp with time zone, updated_at timestamp with time zone, deleted_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER ROWS 1
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
declare
  org constant pg_catalog.uuid := platform.current_org();
  address constant pg_catalog.text := service::text || '@service.invalid';
begin
  insert into platform.users (id, email, first_name, kind) values (service, address, pg_catalog.left(title, 200), 'service');
  return query
    insert into platform.organization_members as m (org_id, id, user_id, email, display_name, role, kind)
    values (org, member, service, address, title, given_role, 'service')
    returning m.org_id, m.id, m.user_id, m.email, m.display_name, m.role, m.kind, m.status, m.invited_at, m.invited_by, m.joined_at, m.auth_epoch,
      m.created_at, m.updated_at, m.deleted_at;
end
$function$;
GRANT EXECUTE ON FUNCTION platform.add_service(service uuid, title text, member uuid, given_role text) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.assert_room(limit_name text, allowed numeric, used numeric, added numeric)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'TN004', message = 'plan limits are counted in read committed';
  end if;
  if added > 0 and used + added > allowed then
    raise exception using errcode = 'TN003', message = pg_catalog.format('%s: %s allowed, %s in use', limit_name, allowed, used);
  end if;
end
$function$;
GRANT EXECUTE ON FUNCTION platform.assert_room(limit_name text, allowed numeric, used numeric, added numeric) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.authenticate_api_key(given_hashes bytea[], given_pepper text)
 RETURNS TABLE(id uuid, name text, auth_epoch integer, allowed integer, permissions text[], projects jsonb, retry_after integer, reset_at timestamp with time zone, used integer)
 LANGUAGE plpgsql
 ROWS 1
AS $function$
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
$function$;
GRANT EXECUTE ON FUNCTION platform.authenticate_api_key(given_hashes bytea[], given_pepper text) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.authenticate_session(given_session uuid, given_hashes bytea[], given_idle integer)
 RETURNS TABLE(expires_at timestamp with time zone, org_id uuid, auth_epoch integer, permissions text[], projects jsonb)
 LANGUAGE plpgsql
 SECURITY DEFINER ROWS 1
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
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
$function$;
GRANT EXECUTE ON FUNCTION platform.authenticate_session(given_session uuid, given_hashes bytea[], given_idle integer) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.current_org()
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
AS $function$
declare
  -- A setting of an ended transaction reads as '', not as null.
  bound constant pg_catalog.uuid := nullif(pg_catalog.current_setting('tenantry.org_id', true), '')::pg_catalog.uuid;
begin
  if bound is null then
    raise insufficient_privilege using message = 'no organization is bound';
  end if;
  return bound;
end
$function$;
GRANT EXECUTE ON FUNCTION platform.current_org() TO tenantry_app;
GRANT EXECUTE ON FUNCTION platform.current_org() TO tenantry_system;

CREATE OR REPLACE FUNCTION platform.current_user_id()
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
AS $function$
declare
  bound constant pg_catalog.uuid := nullif(pg_catalog.current_setting('tenantry.user_id', true), '')::pg_catalog.uuid;
begin
  if bound is null then
    raise insufficient_privilege using message = 'no user is bound';
  end if;
  return bound;
end
$function$;
GRANT EXECUTE ON FUNCTION platform.current_user_id() TO tenantry_app;
GRANT EXECUTE ON FUNCTION platform.current_user_id() TO tenantry_system;

CREATE OR REPLACE FUNCTION platform.enter_org(org uuid)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  bound text;
begin
  -- Every call runs this check, so it is kept short. The checks below only find the reason for a refusal.
  if coalesce(pg_catalog.current_setting('tenantry.org_id', true), '') = ''
    and coalesce(pg_catalog.current_setting('tenantry.user_id', true), '') = '' then
    -- A Citus cluster passes only SET LOCAL on to its workers, which takes longer than set_config.
    if pg_catalog.current_setting('citus.shard_count', true) is null then
      select pg_catalog.set_config('tenantry.org_id', o.id::text, true) into bound
        from platform.organizations o where o.id = org and o.deleted_at is null and o.status = 'active';
      if bound is not null then
        return;
      end if;
    elsif exists (select from platform.organizations o where o.id = org and o.deleted_at is null and o.status = 'active') then
      execute pg_catalog.format('set local tenantry.org_id = %L', org);
      return;
    end if;
  end if;
  if org is null then
    raise null_value_not_allowed using message = 'an organization id is needed';
  end if;
  bound := coalesce(pg_catalog.current_setting('tenantry.org_id', true), '');
  if bound = org::text then
    return;
  end if;
  if bound <> '' then
    raise insufficient_privilege using message = 'another organization is bound';
  end if;
  if coalesce(pg_catalog.current_setting('tenantry.user_id', true), '') <> '' then
    raise insufficient_privilege using message = 'a user is bound';
  end if;
  if exists (select from platform.organizations o where o.id = org and o.deleted_at is null) then
    raise exception using errcode = 'TN002', message = 'the organization is suspended';
  end if;
  raise exception using errcode = 'TN001', message = 'no such organization';
end
$function$;
GRANT EXECUTE ON FUNCTION platform.enter_org(org uuid) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.enter_user(person uuid)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  bound constant text := coalesce(pg_catalog.current_setting('tenantry.user_id', true), '');
begin
  if person is null then
    raise null_value_not_allowed using message = 'a user id is needed';
  end if;
  if bound = person::text then
    return;
  end if;
  if bound <> '' then
    raise insufficient_privilege using message = 'another user is bound';
  end if;
  if coalesce(pg_catalog.current_setting('tenantry.org_id', true), '') <> '' then
    raise insufficient_privilege using message = 'an organization is bound';
  end if;
  if pg_catalog.current_setting('citus.shard_count', true) is null then
    perform pg_catalog.set_config('tenantry.user_id', person::text, true);
  else
    execute pg_catalog.format('set local tenantry.user_id = %L', person);
  end if;
end
$function$;
GRANT EXECUTE ON FUNCTION platform.enter_user(person uuid) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.is_live_member(person uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
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
$function$;
GRANT EXECUTE ON FUNCTION platform.is_live_member(person uuid) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.member_actor(person uuid)
 RETURNS TABLE(kind text, role text, auth_epoch integer, permissions text[], projects jsonb)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER ROWS 1
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
declare
  org constant pg_catalog.uuid := platform.current_org();
begin
  return query
    select m.kind, m.role, m.auth_epoch, 
      array(
        select p.permission
        from platform.role_permissions p
        join platform.roles r on r.org_id = p.org_id and r.key = p.role_key
        where p.org_id = org and p.role_key = m.role and r.deleted_at is null and r.applies_to <> 'project'
        order by p.permission
      ),
      (
        select coalesce(pg_catalog.jsonb_object_agg(g.project_id, g.permissions), '{}')
        from (
          select pm.project_id, pg_catalog.jsonb_agg(p.permission order by p.permission) as permissions
          from platform.project_members pm
          join platform.roles r on r.org_id = pm.org_id and r.key = pm.role
          join platform.role_permissions p on p.org_id = pm.org_id and p.role_key = pm.role
          where pm.org_id = org and pm.user_id = m.user_id and r.deleted_at is null and r.applies_to <> 'organization'
          group by pm.project_id
        ) as g
      )
    from platform.organization_members m
    join platform.users u on u.id = m.user_id
    where m.org_id = org and m.user_id = person and m.status = 'active' and m.deleted_at is null
      and u.kind = m.kind and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp());
end
$function$;
GRANT EXECUTE ON FUNCTION platform.member_actor(person uuid) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.my_epoch_in(org uuid)
 RETURNS integer
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return (
    select m.auth_epoch
    from platform.organization_members m
    join platform.organizations o on o.id = m.org_id
    join platform.users u on u.id = m.user_id
    where m.org_id = org and m.user_id = me and m.status = 'active' and m.deleted_at is null
      and o.status = 'active' and o.deleted_at is null and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp())
  );
end
$function$;
GRANT EXECUTE ON FUNCTION platform.my_epoch_in(org uuid) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.my_invitations()
 RETURNS TABLE(org_id uuid, id uuid, organization_name text, organization_slug text, role text, expires_at timestamp with time zone, created_at timestamp with time zone)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER ROWS 4
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return query
    select i.org_id, i.id, o.name, o.slug, i.role, i.expires_at, i.created_at
    from platform.users u
    join platform.organization_invitations i on i.email = u.email
    join platform.organizations o on o.id = i.org_id
    where u.id = me and u.email_confirmed_at is not null and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp())
      and i.accepted_at is null and i.declined_at is null and i.revoked_at is null
      and i.expires_at > pg_catalog.statement_timestamp()
      and o.status = 'active' and o.deleted_at is null;
end
$function$;
GRANT EXECUTE ON FUNCTION platform.my_invitations() TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.my_organizations()
 RETURNS TABLE(id uuid, slug text, name text, role text, status text, auth_epoch integer)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER ROWS 8
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return query
    select o.id, o.slug, o.name, m.role, o.status, m.auth_epoch
    from platform.organization_members m
    join platform.organizations o on o.id = m.org_id
    join platform.users u on u.id = m.user_id
    where m.user_id = me and m.status = 'active' and m.deleted_at is null and o.deleted_at is null
      and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp());
end
$function$;
GRANT EXECUTE ON FUNCTION platform.my_organizations() TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.organization_id_by_slug(wanted text)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
begin
  return (select o.id from platform.organizations o where o.slug = wanted and o.deleted_at is null);
end
$function$;
GRANT EXECUTE ON FUNCTION platform.organization_id_by_slug(wanted text) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.register_service(service uuid, title text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
begin
  perform platform.current_org();
  insert into platform.users (id, email, first_name, kind)
  values (service, service::text || '@service.invalid', pg_catalog.left(title, 200), 'service');
end
$function$;
GRANT EXECUTE ON FUNCTION platform.register_service(service uuid, title text) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.register_user(person uuid, address text, is_confirmed boolean, host_id text, handle text, first text, last text, avatar text, telephone text, more jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
begin
  if person is distinct from platform.current_user_id() then
    raise insufficient_privilege using message = 'another user is bound';
  end if;
  insert into platform.users
    (id, email, email_confirmed_at, external_id, username, first_name, last_name, avatar_url, phone, metadata)
  values (
    person, address, case when is_confirmed then pg_catalog.statement_timestamp() end, host_id, handle, first, last, avatar, telephone,
    coalesce(more, '{}')
  );
end
$function$;
GRANT EXECUTE ON FUNCTION platform.register_user(person uuid, address text, is_confirmed boolean, host_id text, handle text, first text, last text, avatar text, telephone text, more jsonb) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.session_actor(session_id uuid)
 RETURNS TABLE(org_id uuid, role text, auth_epoch integer, permissions text[], projects jsonb)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER ROWS 1
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return query
    select m.org_id, m.role, m.auth_epoch, 
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
    from platform.user_sessions s
    join platform.organizations o on o.id = s.active_org_id
    join platform.organization_members m on m.org_id = s.active_org_id and m.user_id = s.user_id
    join platform.users u on u.id = s.user_id
    where s.user_id = me and s.id = session_id and s.active_org_epoch = m.auth_epoch
      and s.revoked_at is null and s.expires_at > pg_catalog.statement_timestamp()
      and s.idle_expires_at > pg_catalog.statement_timestamp()
      and m.status = 'active' and m.deleted_at is null and o.status = 'active' and o.deleted_at is null
      and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp());
end
$function$;
GRANT EXECUTE ON FUNCTION platform.session_actor(session_id uuid) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.user_id_by_email(address text)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
begin
  return (select u.id from platform.users u where u.email = address and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp()));
end
$function$;
GRANT EXECUTE ON FUNCTION platform.user_id_by_email(address text) TO tenantry_app;

CREATE OR REPLACE FUNCTION platform.user_id_by_external_id(host_id text)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
AS $function$
begin
  return (select u.id from platform.users u where u.external_id = host_id and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp()));
end
$function$;
GRANT EXECUTE ON FUNCTION platform.user_id_by_external_id(host_id text) TO tenantry_app;

CREATE TABLE platform.addon_catalog (
  id uuid NOT NULL,
  addon_id text NOT NULL,
  name text NOT NULL,
  type text NOT NULL,
  description text,
  variants jsonb NOT NULL DEFAULT '[]'::jsonb,
  active boolean NOT NULL DEFAULT true,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT addon_catalog_pkey PRIMARY KEY (id),
  CONSTRAINT addon_catalog_addon_key UNIQUE (addon_id)
);
GRANT DELETE, INSERT, SELECT ON platform.addon_catalog TO tenantry_system;
GRANT SELECT ON platform.addon_catalog TO tenantry_app;
GRANT UPDATE (active, addon_id, description, name, type, updated_at, variants) ON platform.addon_catalog TO tenantry_system;

CREATE TABLE platform.agent_tools (
  org_id uuid NOT NULL,
  agent_id uuid NOT NULL,
  organization_tool_id uuid NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT agent_tools_pkey PRIMARY KEY (org_id, agent_id, organization_tool_id),
  CONSTRAINT agent_tools_agent_fkey FOREIGN KEY (org_id, agent_id) REFERENCES platform.agents(org_id, id) ON DELETE CASCADE,
  CONSTRAINT agent_tools_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT agent_tools_organization_tool_fkey FOREIGN KEY (org_id, organization_tool_id) REFERENCES platform.organization_tools(org_id, id) ON DELETE CASCADE
);
ALTER TABLE platform.agent_tools ENABLE ROW LEVEL SECURITY;
CREATE INDEX agent_tools_organization_tool_idx ON platform.agent_tools USING btree (org_id, organization_tool_id);
CREATE POLICY org_isolation ON platform.agent_tools TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.agent_tools TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.agent_tools TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.agent_tools TO tenantry_system;
GRANT UPDATE (updated_at) ON platform.agent_tools TO tenantry_app;
GRANT UPDATE (updated_at) ON platform.agent_tools TO tenantry_system;

CREATE TABLE platform.agents (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  username text NOT NULL,
  instructions text,
  status text NOT NULL DEFAULT 'draft'::text,
  project_id uuid,
  organization_llm_id uuid,
  model text,
  settings jsonb NOT NULL DEFAULT '{}'::jsonb,
  revision integer NOT NULL DEFAULT 1,
  created_by uuid,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  CONSTRAINT agents_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT agents_created_by_fkey FOREIGN KEY (created_by) REFERENCES platform.users(id) ON DELETE SET NULL,
  CONSTRAINT agents_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT agents_organization_llm_fkey FOREIGN KEY (org_id, organization_llm_id) REFERENCES platform.organization_llms(org_id, id),
  CONSTRAINT agents_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id),
  CONSTRAINT agents_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'active'::text, 'paused'::text]))),
  CONSTRAINT agents_username_check CHECK ((username = lower(username)))
);
ALTER TABLE platform.agents ENABLE ROW LEVEL SECURITY;
CREATE INDEX agents_created_at_idx ON platform.agents USING btree (org_id, created_at);
CREATE INDEX agents_created_by_idx ON platform.agents USING btree (created_by, org_id);
CREATE INDEX agents_organization_llm_idx ON platform.agents USING btree (org_id, organization_llm_id);
CREATE INDEX agents_project_idx ON platform.agents USING btree (org_id, project_id);
CREATE INDEX agents_status_idx ON platform.agents USING btree (org_id, status, id);
CREATE INDEX agents_username_prefix_idx ON platform.agents USING btree (org_id, username COLLATE "C") WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX agents_username_key ON platform.agents USING btree (org_id, username) WHERE (deleted_at IS NULL);
CREATE POLICY org_isolation ON platform.agents TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.agents TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.agents TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.agents TO tenantry_system;
GRANT UPDATE (created_by, deleted_at, instructions, model, name, organization_llm_id, project_id, revision, settings, status, updated_at, username) ON platform.agents TO tenantry_app;
GRANT UPDATE (created_by, deleted_at, instructions, model, name, organization_llm_id, project_id, revision, settings, status, updated_at, username) ON platform.agents TO tenantry_system;

CREATE TABLE platform.api_key_windows (
  org_id uuid NOT NULL,
  api_key_id uuid NOT NULL,
  window_start timestamp with time zone NOT NULL,
  used integer NOT NULL,
  allowed integer NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT api_key_windows_pkey PRIMARY KEY (org_id, api_key_id, window_start),
  CONSTRAINT api_key_windows_api_key_fkey FOREIGN KEY (org_id, api_key_id) REFERENCES platform.api_keys(org_id, id) ON DELETE CASCADE,
  CONSTRAINT api_key_windows_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE
);
ALTER TABLE platform.api_key_windows ENABLE ROW LEVEL SECURITY;
CREATE INDEX api_key_windows_start_idx ON platform.api_key_windows USING btree (window_start);
CREATE POLICY org_isolation ON platform.api_key_windows TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.api_key_windows TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.api_key_windows TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.api_key_windows TO tenantry_system;
GRANT UPDATE (allowed, updated_at, used) ON platform.api_key_windows TO tenantry_app;
GRANT UPDATE (allowed, updated_at, used) ON platform.api_key_windows TO tenantry_system;

CREATE TABLE platform.api_keys (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  user_id uuid NOT NULL,
  auth_epoch integer NOT NULL,
  name text NOT NULL,
  key_prefix text NOT NULL,
  key_hash bytea NOT NULL,
  pepper_id text NOT NULL,
  last_four text NOT NULL,
  scopes text[] NOT NULL DEFAULT '{}'::text[],
  rate_limit_per_hour integer,
  status text NOT NULL DEFAULT 'active'::text,
  last_used_at timestamp with time zone,
  expires_at timestamp with time zone,
  revoked_at timestamp with time zone,
  grace_until timestamp with time zone,
  rotated_from uuid,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  CONSTRAINT api_keys_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT api_keys_hash_key UNIQUE (org_id, key_hash),
  CONSTRAINT api_keys_prefix_key UNIQUE (org_id, key_prefix),
  CONSTRAINT api_keys_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT api_keys_rotated_from_fkey FOREIGN KEY (org_id, rotated_from) REFERENCES platform.api_keys(org_id, id),
  CONSTRAINT api_keys_user_fkey FOREIGN KEY (org_id, user_id) REFERENCES platform.organization_members(org_id, user_id) ON DELETE CASCADE,
  CONSTRAINT api_keys_status_check CHECK ((status = ANY (ARRAY['active'::text, 'revoked'::text])))
);
ALTER TABLE platform.api_keys ENABLE ROW LEVEL SECURITY;
CREATE INDEX api_keys_created_at_idx ON platform.api_keys USING btree (org_id, created_at);
CREATE INDEX api_keys_member_idx ON platform.api_keys USING btree (org_id, user_id);
CREATE INDEX api_keys_rotated_from_idx ON platform.api_keys USING btree (org_id, rotated_from);
CREATE INDEX api_keys_user_idx ON platform.api_keys USING btree (user_id, org_id);
CREATE UNIQUE INDEX api_keys_name_key ON platform.api_keys USING btree (org_id, name) WHERE ((deleted_at IS NULL) AND (revoked_at IS NULL) AND (grace_until IS NULL));
CREATE POLICY org_isolation ON platform.api_keys TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.api_keys TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.api_keys TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.api_keys TO tenantry_system;
GRANT UPDATE (auth_epoch, deleted_at, expires_at, grace_until, key_hash, key_prefix, last_four, last_used_at, name, pepper_id, rate_limit_per_hour, revoked_at, rotated_from, scopes, status, updated_at) ON platform.api_keys TO tenantry_app;
GRANT UPDATE (auth_epoch, deleted_at, expires_at, grace_until, key_hash, key_prefix, last_four, last_used_at, name, pepper_id, rate_limit_per_hour, revoked_at, rotated_from, scopes, status, updated_at) ON platform.api_keys TO tenantry_system;

CREATE TABLE platform.audit_logs (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid,
  actor_kind text NOT NULL DEFAULT 'system'::text,
  actor_id uuid,
  actor_label text,
  on_behalf_of uuid,
  event_type text NOT NULL,
  action text NOT NULL DEFAULT 'other'::text,
  resource_type text,
  resource_id text,
  changes jsonb,
  metadata jsonb,
  severity text NOT NULL DEFAULT 'info'::text,
  ip_address inet,
  user_agent text,
  request_id text,
  seq bigint,
  prev_hash bytea,
  hash bytea,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT audit_logs_pkey PRIMARY KEY (org_id, created_at, id),
  CONSTRAINT audit_logs_action_check CHECK ((action = ANY (ARRAY['create'::text, 'update'::text, 'delete'::text, 'restore'::text, 'invite'::text, 'other'::text]))),
  CONSTRAINT audit_logs_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['user'::text, 'api_key'::text, 'system'::text, 'anonymous'::text]))),
  CONSTRAINT audit_logs_severity_check CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'error'::text, 'critical'::text])))
) PARTITION BY RANGE (created_at);
ALTER TABLE platform.audit_logs ENABLE ROW LEVEL SECURITY;
CREATE INDEX audit_logs_actor_idx ON ONLY platform.audit_logs USING btree (org_id, actor_id, created_at);
CREATE INDEX audit_logs_event_type_idx ON ONLY platform.audit_logs USING btree (org_id, event_type, created_at);
CREATE INDEX audit_logs_resource_idx ON ONLY platform.audit_logs USING btree (org_id, resource_type, resource_id, created_at);
CREATE INDEX audit_logs_seq_idx ON ONLY platform.audit_logs USING btree (org_id, seq) WHERE (seq IS NOT NULL);
CREATE INDEX audit_logs_unsealed_idx ON ONLY platform.audit_logs USING btree (org_id, created_at) WHERE (seq IS NULL);
CREATE POLICY org_isolation ON platform.audit_logs TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.audit_logs TO tenantry_system USING (true) WITH CHECK (true);
GRANT INSERT, SELECT ON platform.audit_logs TO tenantry_app;
GRANT INSERT, SELECT ON platform.audit_logs TO tenantry_system;
GRANT UPDATE (hash, prev_hash, seq) ON platform.audit_logs TO tenantry_system;

CREATE TABLE platform.audit_seals (
  org_id uuid NOT NULL,
  seq bigint NOT NULL,
  hash bytea NOT NULL,
  base_seq bigint NOT NULL,
  base_hash bytea,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT audit_seals_pkey PRIMARY KEY (org_id)
);
ALTER TABLE platform.audit_seals ENABLE ROW LEVEL SECURITY;
CREATE POLICY org_isolation ON platform.audit_seals TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.audit_seals TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.audit_seals TO tenantry_system;
GRANT SELECT ON platform.audit_seals TO tenantry_app;
GRANT UPDATE (base_hash, base_seq, hash, seq, updated_at) ON platform.audit_seals TO tenantry_system;

CREATE TABLE platform.billing_events (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  provider text NOT NULL,
  event_id text NOT NULL,
  type text NOT NULL,
  payload jsonb NOT NULL,
  provider_created_at timestamp with time zone,
  received_at timestamp with time zone NOT NULL DEFAULT now(),
  processed_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT billing_events_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT billing_events_event_key UNIQUE (org_id, provider, event_id),
  CONSTRAINT billing_events_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE
);
ALTER TABLE platform.billing_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY org_isolation ON platform.billing_events TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.billing_events TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.billing_events TO tenantry_system;
GRANT INSERT, SELECT ON platform.billing_events TO tenantry_app;
GRANT UPDATE (event_id, payload, processed_at, provider, provider_created_at, received_at, type) ON platform.billing_events TO tenantry_system;
GRANT UPDATE (processed_at) ON platform.billing_events TO tenantry_app;

CREATE TABLE platform.billing_plans (
  id text NOT NULL,
  name text NOT NULL,
  description text,
  price numeric(14,2) NOT NULL,
  currency character(3) NOT NULL,
  "interval" text NOT NULL,
  features jsonb NOT NULL DEFAULT '[]'::jsonb,
  limits jsonb NOT NULL DEFAULT '{}'::jsonb,
  max_projects integer,
  max_members integer,
  active boolean NOT NULL DEFAULT true,
  sort_order integer NOT NULL DEFAULT 0,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT billing_plans_pkey PRIMARY KEY (id),
  CONSTRAINT billing_plans_interval_check CHECK (("interval" = ANY (ARRAY['month'::text, 'year'::text]))),
  CONSTRAINT billing_plans_limits_check CHECK ((NOT (limits ?| ARRAY['max_projects'::text, 'max_members'::text]))),
  CONSTRAINT billing_plans_price_check CHECK ((price <> 'NaN'::numeric))
);
CREATE INDEX billing_plans_active_idx ON platform.billing_plans USING btree (active, sort_order);
GRANT DELETE, INSERT, SELECT ON platform.billing_plans TO tenantry_system;
GRANT SELECT ON platform.billing_plans TO tenantry_app;
GRANT UPDATE (active, currency, description, features, "interval", limits, max_members, max_projects, name, price, sort_order, updated_at) ON platform.billing_plans TO tenantry_system;

CREATE TABLE platform.compute_config (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  instance_size text NOT NULL,
  cpu_cores numeric(5,2) NOT NULL,
  memory_gb numeric(7,2) NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT compute_config_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT compute_config_project_key UNIQUE (org_id, project_id),
  CONSTRAINT compute_config_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT compute_config_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id) ON DELETE CASCADE,
  CONSTRAINT compute_config_cpu_cores_check CHECK (((cpu_cores > (0)::numeric) AND (cpu_cores <> 'NaN'::numeric))),
  CONSTRAINT compute_config_instance_size_check CHECK ((instance_size = ANY (ARRAY['nano'::text, 'micro'::text, 'small'::text, 'medium'::text, 'large'::text, 'xlarge'::text, '2xlarge'::text, '4xlarge'::text, '8xlarge'::text, '12xlarge'::text, '16xlarge'::text]))),
  CONSTRAINT compute_config_memory_gb_check CHECK (((memory_gb > (0)::numeric) AND (memory_gb <> 'NaN'::numeric)))
);
ALTER TABLE platform.compute_config ENABLE ROW LEVEL SECURITY;
CREATE INDEX compute_config_instance_size_idx ON platform.compute_config USING btree (org_id, instance_size);
CREATE POLICY org_isolation ON platform.compute_config TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.compute_config TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.compute_config TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.compute_config TO tenantry_system;
GRANT UPDATE (cpu_cores, instance_size, memory_gb, project_id, updated_at) ON platform.compute_config TO tenantry_app;
GRANT UPDATE (cpu_cores, instance_size, memory_gb, project_id, updated_at) ON platform.compute_config TO tenantry_system;

CREATE TABLE platform.credentials (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  anon_key bytea,
  service_role_key bytea,
  jwt_secret bytea,
  rotated_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT credentials_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT credentials_project_key UNIQUE (org_id, project_id),
  CONSTRAINT credentials_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT credentials_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id) ON DELETE CASCADE
);
ALTER TABLE platform.credentials ENABLE ROW LEVEL SECURITY;
CREATE POLICY org_isolation ON platform.credentials TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.credentials TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.credentials TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.credentials TO tenantry_system;
GRANT UPDATE (anon_key, jwt_secret, project_id, rotated_at, service_role_key, updated_at) ON platform.credentials TO tenantry_app;
GRANT UPDATE (anon_key, jwt_secret, project_id, rotated_at, service_role_key, updated_at) ON platform.credentials TO tenantry_system;

CREATE TABLE platform.credit_entries (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  credit_id uuid NOT NULL,
  kind text NOT NULL,
  amount numeric(14,2) NOT NULL,
  reference text,
  created_by uuid,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT credit_entries_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT credit_entries_created_by_fkey FOREIGN KEY (created_by) REFERENCES platform.users(id) ON DELETE SET NULL,
  CONSTRAINT credit_entries_credit_fkey FOREIGN KEY (org_id, credit_id) REFERENCES platform.credits(org_id, id) ON DELETE CASCADE,
  CONSTRAINT credit_entries_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT credit_entries_amount_check CHECK (((amount > (0)::numeric) AND (amount <> 'NaN'::numeric))),
  CONSTRAINT credit_entries_kind_check CHECK ((kind = ANY (ARRAY['grant'::text, 'spend'::text, 'void'::text])))
);
ALTER TABLE platform.credit_entries ENABLE ROW LEVEL SECURITY;
CREATE INDEX credit_entries_created_by_idx ON platform.credit_entries USING btree (created_by, org_id);
CREATE INDEX credit_entries_credit_idx ON platform.credit_entries USING btree (org_id, credit_id);
CREATE POLICY org_isolation ON platform.credit_entries TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.credit_entries TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.credit_entries TO tenantry_system;
GRANT INSERT, SELECT ON platform.credit_entries TO tenantry_app;

CREATE TABLE platform.credits (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  amount numeric(14,2) NOT NULL,
  remaining numeric(14,2) NOT NULL,
  currency character(3) NOT NULL,
  reason text,
  priority smallint NOT NULL DEFAULT 100,
  expires_at timestamp with time zone,
  voided_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT credits_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT credits_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT credits_amount_check CHECK (((amount > (0)::numeric) AND (amount <> 'NaN'::numeric))),
  CONSTRAINT credits_remaining_check CHECK (((remaining >= (0)::numeric) AND (remaining <= amount) AND (remaining <> 'NaN'::numeric)))
);
ALTER TABLE platform.credits ENABLE ROW LEVEL SECURITY;
CREATE INDEX credits_burn_idx ON platform.credits USING btree (org_id, priority, expires_at, id) WHERE (remaining > (0)::numeric);
CREATE INDEX credits_expires_at_idx ON platform.credits USING btree (org_id, expires_at);
CREATE POLICY org_isolation ON platform.credits TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.credits TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.credits TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.credits TO tenantry_system;
GRANT UPDATE (amount, currency, expires_at, priority, reason, remaining, updated_at, voided_at) ON platform.credits TO tenantry_app;
GRANT UPDATE (amount, currency, expires_at, priority, reason, remaining, updated_at, voided_at) ON platform.credits TO tenantry_system;

CREATE TABLE platform.customer_profiles (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  company_name text,
  contact_name text,
  phone text,
  line1 text,
  line2 text,
  city text,
  state text,
  postal_code text,
  country character(2),
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT customer_profiles_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT customer_profiles_org_key UNIQUE (org_id),
  CONSTRAINT customer_profiles_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE
);
ALTER TABLE platform.customer_profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY org_isolation ON platform.customer_profiles TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.customer_profiles TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.customer_profiles TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.customer_profiles TO tenantry_system;
GRANT UPDATE (city, company_name, contact_name, country, line1, line2, phone, postal_code, state, updated_at) ON platform.customer_profiles TO tenantry_app;
GRANT UPDATE (city, company_name, contact_name, country, line1, line2, phone, postal_code, state, updated_at) ON platform.customer_profiles TO tenantry_system;

CREATE TABLE platform.database_connection_logs (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  database_id uuid NOT NULL,
  project_id uuid NOT NULL,
  event_type text NOT NULL,
  message text,
  recorded_at timestamp with time zone NOT NULL DEFAULT now(),
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT database_connection_logs_pkey PRIMARY KEY (org_id, recorded_at, id),
  CONSTRAINT database_connection_logs_database_fkey FOREIGN KEY (org_id, database_id) REFERENCES platform.databases(org_id, id) ON DELETE CASCADE,
  CONSTRAINT database_connection_logs_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT database_connection_logs_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id) ON DELETE CASCADE
) PARTITION BY RANGE (recorded_at);
ALTER TABLE platform.database_connection_logs ENABLE ROW LEVEL SECURITY;
CREATE INDEX database_connection_logs_database_idx ON ONLY platform.database_connection_logs USING btree (org_id, database_id, recorded_at);
CREATE INDEX database_connection_logs_project_idx ON ONLY platform.database_connection_logs USING btree (org_id, project_id, recorded_at);
CREATE POLICY org_isolation ON platform.database_connection_logs TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.database_connection_logs TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.database_connection_logs TO tenantry_system;
GRANT INSERT, SELECT ON platform.database_connection_logs TO tenantry_app;

CREATE TABLE platform.database_metrics (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  database_id uuid NOT NULL,
  metric_type text NOT NULL,
  value double precision NOT NULL,
  recorded_at timestamp with time zone NOT NULL DEFAULT now(),
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT database_metrics_pkey PRIMARY KEY (org_id, database_id, metric_type, recorded_at, id),
  CONSTRAINT database_metrics_database_fkey FOREIGN KEY (org_id, database_id) REFERENCES platform.databases(org_id, id) ON DELETE CASCADE,
  CONSTRAINT database_metrics_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT database_metrics_value_check CHECK (((value > '-Infinity'::double precision) AND (value < 'Infinity'::double precision) AND (value <> 'NaN'::double precision)))
) PARTITION BY RANGE (recorded_at);
ALTER TABLE platform.database_metrics ENABLE ROW LEVEL SECURITY;
CREATE POLICY org_isolation ON platform.database_metrics TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.database_metrics TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.database_metrics TO tenantry_system;
GRANT INSERT, SELECT ON platform.database_metrics TO tenantry_app;

CREATE TABLE platform.databases (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  name text NOT NULL,
  type text NOT NULL,
  connection_string bytea,
  config jsonb NOT NULL DEFAULT '{}'::jsonb,
  status text NOT NULL DEFAULT 'active'::text,
  health text NOT NULL DEFAULT 'unknown'::text,
  health_checked_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  CONSTRAINT databases_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT databases_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT databases_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id) ON DELETE CASCADE,
  CONSTRAINT databases_health_check CHECK ((health = ANY (ARRAY['healthy'::text, 'degraded'::text, 'down'::text, 'unknown'::text]))),
  CONSTRAINT databases_status_check CHECK ((status = ANY (ARRAY['active'::text, 'inactive'::text, 'error'::text]))),
  CONSTRAINT databases_type_check CHECK ((type = ANY (ARRAY['postgresql'::text, 'mongodb'::text, 'redis'::text])))
);
ALTER TABLE platform.databases ENABLE ROW LEVEL SECURITY;
CREATE INDEX databases_health_checked_at_idx ON platform.databases USING btree (org_id, health_checked_at);
CREATE INDEX databases_project_idx ON platform.databases USING btree (org_id, project_id);
CREATE INDEX databases_status_idx ON platform.databases USING btree (org_id, status, id);
CREATE INDEX databases_type_idx ON platform.databases USING btree (org_id, type);
CREATE UNIQUE INDEX databases_name_key ON platform.databases USING btree (org_id, project_id, name) WHERE (deleted_at IS NULL);
CREATE POLICY org_isolation ON platform.databases TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.databases TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.databases TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.databases TO tenantry_system;
GRANT UPDATE (config, connection_string, deleted_at, health, health_checked_at, name, project_id, status, type, updated_at) ON platform.databases TO tenantry_app;
GRANT UPDATE (config, connection_string, deleted_at, health, health_checked_at, name, project_id, status, type, updated_at) ON platform.databases TO tenantry_system;

CREATE TABLE platform.disk_config (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  size_gb integer NOT NULL,
  io_budget integer NOT NULL,
  autoscale_enabled boolean NOT NULL DEFAULT false,
  autoscale_growth_percent integer NOT NULL,
  autoscale_limit_gb integer,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT disk_config_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT disk_config_project_key UNIQUE (org_id, project_id),
  CONSTRAINT disk_config_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT disk_config_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id) ON DELETE CASCADE,
  CONSTRAINT disk_config_autoscale_growth_percent_check CHECK (((autoscale_growth_percent >= 1) AND (autoscale_growth_percent <= 100))),
  CONSTRAINT disk_config_autoscale_limit_gb_check CHECK ((autoscale_limit_gb >= size_gb)),
  CONSTRAINT disk_config_io_budget_check CHECK ((io_budget >= 0)),
  CONSTRAINT disk_config_size_gb_check CHECK (((size_gb >= 8) AND (size_gb <= 10000)))
);
ALTER TABLE platform.disk_config ENABLE ROW LEVEL SECURITY;
CREATE POLICY org_isolation ON platform.disk_config TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.disk_config TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.disk_config TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.disk_config TO tenantry_system;
GRANT UPDATE (autoscale_enabled, autoscale_growth_percent, autoscale_limit_gb, io_budget, project_id, size_gb, updated_at) ON platform.disk_config TO tenantry_app;
GRANT UPDATE (autoscale_enabled, autoscale_growth_percent, autoscale_limit_gb, io_budget, project_id, size_gb, updated_at) ON platform.disk_config TO tenantry_system;

CREATE TABLE platform.feature_flags (
  id uuid NOT NULL,
  flag_key text NOT NULL,
  flag_name text NOT NULL,
  description text,
  enabled boolean NOT NULL DEFAULT false,
  default_value boolean NOT NULL DEFAULT false,
  rollout_percentage smallint NOT NULL DEFAULT 0,
  archived_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT feature_flags_pkey PRIMARY KEY (id),
  CONSTRAINT feature_flags_flag_key_key UNIQUE (flag_key),
  CONSTRAINT feature_flags_rollout_percentage_check CHECK (((rollout_percentage >= 0) AND (rollout_percentage <= 100)))
);
GRANT DELETE, INSERT, SELECT ON platform.feature_flags TO tenantry_system;
GRANT SELECT ON platform.feature_flags TO tenantry_app;
GRANT UPDATE (archived_at, default_value, description, enabled, flag_key, flag_name, rollout_percentage, updated_at) ON platform.feature_flags TO tenantry_system;

CREATE TABLE platform.idempotency_keys (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  key text NOT NULL,
  actor text NOT NULL DEFAULT ''::text,
  request_hash bytea NOT NULL,
  state text NOT NULL DEFAULT 'queued'::text,
  result jsonb,
  expires_at timestamp with time zone NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT idempotency_keys_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT idempotency_keys_key_key UNIQUE (org_id, actor, key),
  CONSTRAINT idempotency_keys_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT idempotency_keys_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'done'::text])))
);
ALTER TABLE platform.idempotency_keys ENABLE ROW LEVEL SECURITY;
CREATE INDEX idempotency_keys_expires_at_idx ON platform.idempotency_keys USING btree (expires_at);
CREATE POLICY org_isolation ON platform.idempotency_keys TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.idempotency_keys TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.idempotency_keys TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.idempotency_keys TO tenantry_system;
GRANT UPDATE (actor, expires_at, key, request_hash, result, state, updated_at) ON platform.idempotency_keys TO tenantry_app;
GRANT UPDATE (actor, expires_at, key, request_hash, result, state, updated_at) ON platform.idempotency_keys TO tenantry_system;

CREATE TABLE platform.invoices (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  number integer,
  stripe_invoice_id text,
  subscription_id uuid,
  status text NOT NULL DEFAULT 'draft'::text,
  currency character(3) NOT NULL,
  subtotal numeric(14,2) NOT NULL,
  tax numeric(14,2) NOT NULL,
  total numeric(14,2) NOT NULL,
  amount_due numeric(14,2) NOT NULL,
  amount_paid numeric(14,2) NOT NULL,
  period_start timestamp with time zone,
  period_end timestamp with time zone,
  due_at timestamp with time zone,
  finalized_at timestamp with time zone,
  paid_at timestamp with time zone,
  lines jsonb NOT NULL DEFAULT '[]'::jsonb,
  hosted_url text,
  pdf_url text,
  provider_updated_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT invoices_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT invoices_number_key UNIQUE (org_id, number),
  CONSTRAINT invoices_stripe_invoice_key UNIQUE (org_id, stripe_invoice_id),
  CONSTRAINT invoices_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT invoices_subscription_fkey FOREIGN KEY (org_id, subscription_id) REFERENCES platform.subscriptions(org_id, id),
  CONSTRAINT invoices_amount_due_check CHECK ((amount_due <> 'NaN'::numeric)),
  CONSTRAINT invoices_amount_paid_check CHECK ((amount_paid <> 'NaN'::numeric)),
  CONSTRAINT invoices_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'open'::text, 'paid'::text, 'void'::text, 'uncollectible'::text]))),
  CONSTRAINT invoices_subtotal_check CHECK ((subtotal <> 'NaN'::numeric)),
  CONSTRAINT invoices_tax_check CHECK ((tax <> 'NaN'::numeric)),
  CONSTRAINT invoices_total_check CHECK ((total <> 'NaN'::numeric))
);
ALTER TABLE platform.invoices ENABLE ROW LEVEL SECURITY;
CREATE INDEX invoices_created_at_idx ON platform.invoices USING btree (org_id, created_at);
CREATE INDEX invoices_period_idx ON platform.invoices USING btree (org_id, period_start, period_end);
CREATE INDEX invoices_status_idx ON platform.invoices USING btree (org_id, status, id);
CREATE INDEX invoices_subscription_idx ON platform.invoices USING btree (org_id, subscription_id);
CREATE POLICY org_isolation ON platform.invoices TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.invoices TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.invoices TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.invoices TO tenantry_system;
GRANT UPDATE (amount_due, amount_paid, currency, due_at, finalized_at, hosted_url, lines, number, paid_at, pdf_url, period_end, period_start, provider_updated_at, status, stripe_invoice_id, subscription_id, subtotal, tax, total, updated_at) ON platform.invoices TO tenantry_app;
GRANT UPDATE (amount_due, amount_paid, currency, due_at, finalized_at, hosted_url, lines, number, paid_at, pdf_url, period_end, period_start, provider_updated_at, status, stripe_invoice_id, subscription_id, subtotal, tax, total, updated_at) ON platform.invoices TO tenantry_system;

CREATE TABLE platform.llms (
  id uuid NOT NULL,
  key text NOT NULL,
  name text NOT NULL,
  provider text NOT NULL,
  models jsonb NOT NULL DEFAULT '[]'::jsonb,
  active boolean NOT NULL DEFAULT true,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT llms_pkey PRIMARY KEY (id),
  CONSTRAINT llms_key_key UNIQUE (key)
);
GRANT DELETE, INSERT, SELECT ON platform.llms TO tenantry_system;
GRANT SELECT ON platform.llms TO tenantry_app;
GRANT UPDATE (active, key, models, name, provider, updated_at) ON platform.llms TO tenantry_system;

CREATE TABLE platform.org_keys (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  kek_id text NOT NULL,
  wrapped bytea,
  state text NOT NULL DEFAULT 'active'::text,
  destroyed_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT org_keys_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT org_keys_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT org_keys_state_check CHECK ((state = ANY (ARRAY['active'::text, 'decrypt_only'::text, 'destroyed'::text]))),
  CONSTRAINT org_keys_wrapped_check CHECK (((state = 'destroyed'::text) = (wrapped IS NULL)))
);
ALTER TABLE platform.org_keys ENABLE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX org_keys_active_key ON platform.org_keys USING btree (org_id) WHERE (state = 'active'::text);
CREATE POLICY org_isolation ON platform.org_keys TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.org_keys TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.org_keys TO tenantry_system;
GRANT SELECT ON platform.org_keys TO tenantry_app;
GRANT UPDATE (destroyed_at, kek_id, state, updated_at, wrapped) ON platform.org_keys TO tenantry_system;

CREATE TABLE platform.organization_feature_flags (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  flag_id uuid NOT NULL,
  enabled boolean NOT NULL,
  reason text,
  expires_at timestamp with time zone,
  set_by uuid,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT organization_feature_flags_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT organization_feature_flags_flag_key UNIQUE (org_id, flag_id),
  CONSTRAINT organization_feature_flags_flag_fkey FOREIGN KEY (flag_id) REFERENCES platform.feature_flags(id) ON DELETE CASCADE,
  CONSTRAINT organization_feature_flags_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT organization_feature_flags_set_by_fkey FOREIGN KEY (set_by) REFERENCES platform.users(id) ON DELETE SET NULL
);
ALTER TABLE platform.organization_feature_flags ENABLE ROW LEVEL SECURITY;
CREATE INDEX organization_feature_flags_flag_idx ON platform.organization_feature_flags USING btree (flag_id);
CREATE INDEX organization_feature_flags_set_by_idx ON platform.organization_feature_flags USING btree (set_by, org_id);
CREATE POLICY org_isolation ON platform.organization_feature_flags TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.organization_feature_flags TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.organization_feature_flags TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.organization_feature_flags TO tenantry_system;
GRANT UPDATE (enabled, expires_at, flag_id, reason, set_by, updated_at) ON platform.organization_feature_flags TO tenantry_app;
GRANT UPDATE (enabled, expires_at, flag_id, reason, set_by, updated_at) ON platform.organization_feature_flags TO tenantry_system;

CREATE TABLE platform.organization_invitations (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  email text NOT NULL,
  role text NOT NULL,
  token_hash bytea NOT NULL,
  pepper_id text NOT NULL,
  invited_by uuid,
  expires_at timestamp with time zone NOT NULL,
  accepted_at timestamp with time zone,
  accepted_by uuid,
  revoked_at timestamp with time zone,
  declined_at timestamp with time zone,
  sent_count integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT organization_invitations_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT organization_invitations_token_key UNIQUE (org_id, token_hash),
  CONSTRAINT organization_invitations_accepted_by_fkey FOREIGN KEY (accepted_by) REFERENCES platform.users(id) ON DELETE SET NULL,
  CONSTRAINT organization_invitations_invited_by_fkey FOREIGN KEY (invited_by) REFERENCES platform.users(id) ON DELETE SET NULL,
  CONSTRAINT organization_invitations_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT organization_invitations_email_check CHECK ((email = lower(email)))
);
ALTER TABLE platform.organization_invitations ENABLE ROW LEVEL SECURITY;
CREATE INDEX organization_invitations_accepted_by_idx ON platform.organization_invitations USING btree (accepted_by, org_id);
CREATE INDEX organization_invitations_email_idx ON platform.organization_invitations USING btree (email) WHERE ((accepted_at IS NULL) AND (declined_at IS NULL) AND (revoked_at IS NULL));
CREATE INDEX organization_invitations_invited_by_idx ON platform.organization_invitations USING btree (invited_by, org_id);
CREATE UNIQUE INDEX organization_invitations_email_key ON platform.organization_invitations USING btree (org_id, email) WHERE ((accepted_at IS NULL) AND (declined_at IS NULL) AND (revoked_at IS NULL));
CREATE POLICY org_isolation ON platform.organization_invitations TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.organization_invitations TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.organization_invitations TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.organization_invitations TO tenantry_system;
GRANT UPDATE (accepted_at, accepted_by, declined_at, email, expires_at, invited_by, pepper_id, revoked_at, role, sent_count, token_hash, updated_at) ON platform.organization_invitations TO tenantry_app;
GRANT UPDATE (accepted_at, accepted_by, declined_at, email, expires_at, invited_by, pepper_id, revoked_at, role, sent_count, token_hash, updated_at) ON platform.organization_invitations TO tenantry_system;

CREATE TABLE platform.organization_llms (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  llm_id uuid NOT NULL,
  api_key bytea,
  default_model text,
  models jsonb NOT NULL DEFAULT '{}'::jsonb,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT organization_llms_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT organization_llms_llm_key UNIQUE (org_id, llm_id),
  CONSTRAINT organization_llms_llm_fkey FOREIGN KEY (llm_id) REFERENCES platform.llms(id),
  CONSTRAINT organization_llms_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE
);
ALTER TABLE platform.organization_llms ENABLE ROW LEVEL SECURITY;
CREATE INDEX organization_llms_llm_idx ON platform.organization_llms USING btree (llm_id);
CREATE POLICY org_isolation ON platform.organization_llms TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.organization_llms TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.organization_llms TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.organization_llms TO tenantry_system;
GRANT UPDATE (api_key, default_model, llm_id, models, updated_at) ON platform.organization_llms TO tenantry_app;
GRANT UPDATE (api_key, default_model, llm_id, models, updated_at) ON platform.organization_llms TO tenantry_system;

CREATE TABLE platform.organization_members (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  user_id uuid NOT NULL,
  email text NOT NULL,
  display_name text,
  role text NOT NULL,
  status text NOT NULL DEFAULT 'active'::text,
  invited_at timestamp with time zone,
  invited_by uuid,
  joined_at timestamp with time zone NOT NULL DEFAULT now(),
  auth_epoch integer NOT NULL DEFAULT 0,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  kind text NOT NULL DEFAULT 'person'::text,
  CONSTRAINT organization_members_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT organization_members_user_key UNIQUE (org_id, user_id),
  CONSTRAINT organization_members_invited_by_fkey FOREIGN KEY (invited_by) REFERENCES platform.users(id) ON DELETE SET NULL,
  CONSTRAINT organization_members_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT organization_members_role_fkey FOREIGN KEY (org_id, role) REFERENCES platform.roles(org_id, key),
  CONSTRAINT organization_members_user_fkey FOREIGN KEY (user_id) REFERENCES platform.users(id) ON DELETE CASCADE,
  CONSTRAINT organization_members_email_check CHECK ((email = lower(email))),
  CONSTRAINT organization_members_kind_check CHECK ((kind = ANY (ARRAY['person'::text, 'service'::text]))),
  CONSTRAINT organization_members_status_check CHECK ((status = ANY (ARRAY['active'::text, 'inactive'::text])))
);
ALTER TABLE platform.organization_members ENABLE ROW LEVEL SECURITY;
CREATE INDEX organization_members_created_at_idx ON platform.organization_members USING btree (org_id, created_at);
CREATE INDEX organization_members_invited_by_idx ON platform.organization_members USING btree (invited_by, org_id);
CREATE INDEX organization_members_role_idx ON platform.organization_members USING btree (org_id, role);
CREATE INDEX organization_members_user_idx ON platform.organization_members USING btree (user_id, org_id);
CREATE UNIQUE INDEX organization_members_email_key ON platform.organization_members USING btree (org_id, email) WHERE (deleted_at IS NULL);
CREATE POLICY org_isolation ON platform.organization_members TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.organization_members TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.organization_members TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.organization_members TO tenantry_system;
GRANT UPDATE (auth_epoch, deleted_at, display_name, email, invited_at, invited_by, joined_at, kind, role, status, updated_at) ON platform.organization_members TO tenantry_app;
GRANT UPDATE (auth_epoch, deleted_at, display_name, email, invited_at, invited_by, joined_at, kind, role, status, updated_at) ON platform.organization_members TO tenantry_system;

CREATE TABLE platform.organization_tools (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  tool_id uuid NOT NULL,
  custom_config jsonb NOT NULL DEFAULT '{}'::jsonb,
  enabled boolean NOT NULL DEFAULT true,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT organization_tools_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT organization_tools_tool_key UNIQUE (org_id, tool_id),
  CONSTRAINT organization_tools_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT organization_tools_tool_fkey FOREIGN KEY (tool_id) REFERENCES platform.tools(id)
);
ALTER TABLE platform.organization_tools ENABLE ROW LEVEL SECURITY;
CREATE INDEX organization_tools_tool_idx ON platform.organization_tools USING btree (tool_id);
CREATE POLICY org_isolation ON platform.organization_tools TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.organization_tools TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.organization_tools TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.organization_tools TO tenantry_system;
GRANT UPDATE (custom_config, enabled, tool_id, updated_at) ON platform.organization_tools TO tenantry_app;
GRANT UPDATE (custom_config, enabled, tool_id, updated_at) ON platform.organization_tools TO tenantry_system;

CREATE TABLE platform.organizations (
  id uuid NOT NULL,
  name text NOT NULL,
  name_key text NOT NULL GENERATED ALWAYS AS (lower(name)) STORED,
  slug text NOT NULL,
  external_id text,
  billing_email text,
  temporal_namespace text NOT NULL,
  status text NOT NULL DEFAULT 'active'::text,
  suspended_at timestamp with time zone,
  suspended_reason text,
  settings jsonb NOT NULL DEFAULT '{}'::jsonb,
  allow_user_management boolean NOT NULL DEFAULT false,
  provision_key text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  provision_hash bytea,
  CONSTRAINT organizations_pkey PRIMARY KEY (id),
  CONSTRAINT organizations_provision_key UNIQUE (provision_key),
  CONSTRAINT organizations_temporal_namespace_key UNIQUE (temporal_namespace),
  CONSTRAINT organizations_slug_check CHECK (((slug ~ '^[a-z0-9](-?[a-z0-9])*$'::text) AND (length(slug) <= 63))),
  CONSTRAINT organizations_status_check CHECK ((status = ANY (ARRAY['active'::text, 'suspended'::text])))
);
ALTER TABLE platform.organizations ENABLE ROW LEVEL SECURITY;
CREATE INDEX organizations_created_at_idx ON platform.organizations USING btree (created_at);
CREATE UNIQUE INDEX organizations_external_id_key ON platform.organizations USING btree (external_id) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX organizations_name_key ON platform.organizations USING btree (name_key) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX organizations_slug_key ON platform.organizations USING btree (slug) WHERE (deleted_at IS NULL);
CREATE POLICY org_isolation ON platform.organizations TO tenantry_app USING ((id = platform.current_org())) WITH CHECK ((id = platform.current_org()));
CREATE POLICY system_access ON platform.organizations TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.organizations TO tenantry_system;
GRANT SELECT ON platform.organizations TO tenantry_app;
GRANT UPDATE (allow_user_management, billing_email, deleted_at, external_id, name, provision_hash, provision_key, settings, slug, status, suspended_at, suspended_reason, temporal_namespace, updated_at) ON platform.organizations TO tenantry_system;
GRANT UPDATE (billing_email, name, settings, slug, updated_at) ON platform.organizations TO tenantry_app;

CREATE TABLE platform.payment_methods (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  stripe_payment_method_id text NOT NULL,
  type text NOT NULL,
  card_brand text,
  card_last4 text,
  card_exp_month integer,
  card_exp_year integer,
  is_default boolean NOT NULL DEFAULT false,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT payment_methods_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT payment_methods_stripe_payment_method_key UNIQUE (org_id, stripe_payment_method_id),
  CONSTRAINT payment_methods_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE
);
ALTER TABLE platform.payment_methods ENABLE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX payment_methods_default_key ON platform.payment_methods USING btree (org_id) WHERE is_default;
CREATE POLICY org_isolation ON platform.payment_methods TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.payment_methods TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.payment_methods TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.payment_methods TO tenantry_system;
GRANT UPDATE (card_brand, card_exp_month, card_exp_year, card_last4, is_default, stripe_payment_method_id, type, updated_at) ON platform.payment_methods TO tenantry_app;
GRANT UPDATE (card_brand, card_exp_month, card_exp_year, card_last4, is_default, stripe_payment_method_id, type, updated_at) ON platform.payment_methods TO tenantry_system;

CREATE TABLE platform.permissions (
  key text NOT NULL,
  description text NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT permissions_pkey PRIMARY KEY (key)
);
GRANT DELETE, INSERT, SELECT ON platform.permissions TO tenantry_system;
GRANT SELECT ON platform.permissions TO tenantry_app;
GRANT UPDATE (description, updated_at) ON platform.permissions TO tenantry_system;

CREATE TABLE platform.project_addons (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  addon_id text NOT NULL,
  addon_variant text,
  quantity integer NOT NULL DEFAULT 1,
  price_per_unit numeric(14,2),
  currency character(3) NOT NULL,
  status text NOT NULL DEFAULT 'active'::text,
  activated_at timestamp with time zone NOT NULL DEFAULT now(),
  deactivated_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT project_addons_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT project_addons_project_addon_key UNIQUE (org_id, project_id, addon_id),
  CONSTRAINT project_addons_addon_fkey FOREIGN KEY (addon_id) REFERENCES platform.addon_catalog(addon_id),
  CONSTRAINT project_addons_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT project_addons_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id) ON DELETE CASCADE,
  CONSTRAINT project_addons_price_per_unit_check CHECK ((price_per_unit <> 'NaN'::numeric)),
  CONSTRAINT project_addons_quantity_check CHECK ((quantity >= 1)),
  CONSTRAINT project_addons_status_check CHECK ((status = ANY (ARRAY['active'::text, 'inactive'::text, 'pending'::text])))
);
ALTER TABLE platform.project_addons ENABLE ROW LEVEL SECURITY;
CREATE INDEX project_addons_addon_idx ON platform.project_addons USING btree (org_id, addon_id);
CREATE INDEX project_addons_status_idx ON platform.project_addons USING btree (org_id, status, id);
CREATE POLICY org_isolation ON platform.project_addons TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.project_addons TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.project_addons TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.project_addons TO tenantry_system;
GRANT UPDATE (activated_at, addon_id, addon_variant, currency, deactivated_at, price_per_unit, project_id, quantity, status, updated_at) ON platform.project_addons TO tenantry_app;
GRANT UPDATE (activated_at, addon_id, addon_variant, currency, deactivated_at, price_per_unit, project_id, quantity, status, updated_at) ON platform.project_addons TO tenantry_system;

CREATE TABLE platform.project_members (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  user_id uuid NOT NULL,
  role text NOT NULL,
  added_by uuid,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT project_members_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT project_members_project_user_key UNIQUE (org_id, project_id, user_id),
  CONSTRAINT project_members_added_by_fkey FOREIGN KEY (added_by) REFERENCES platform.users(id) ON DELETE SET NULL,
  CONSTRAINT project_members_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT project_members_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id) ON DELETE CASCADE,
  CONSTRAINT project_members_role_fkey FOREIGN KEY (org_id, role) REFERENCES platform.roles(org_id, key),
  CONSTRAINT project_members_user_fkey FOREIGN KEY (org_id, user_id) REFERENCES platform.organization_members(org_id, user_id) ON DELETE CASCADE
);
ALTER TABLE platform.project_members ENABLE ROW LEVEL SECURITY;
CREATE INDEX project_members_added_by_idx ON platform.project_members USING btree (added_by, org_id);
CREATE INDEX project_members_role_idx ON platform.project_members USING btree (org_id, role);
CREATE INDEX project_members_user_idx ON platform.project_members USING btree (org_id, user_id);
CREATE POLICY org_isolation ON platform.project_members TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.project_members TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.project_members TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.project_members TO tenantry_system;
GRANT UPDATE (added_by, project_id, role, updated_at) ON platform.project_members TO tenantry_app;
GRANT UPDATE (added_by, project_id, role, updated_at) ON platform.project_members TO tenantry_system;

CREATE TABLE platform.project_metrics (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  recorded_at timestamp with time zone NOT NULL DEFAULT now(),
  cpu_usage numeric(5,2),
  memory_usage numeric(5,2),
  disk_io_budget numeric(10,2),
  disk_usage_gb numeric(10,2),
  network_in_bytes bigint,
  network_out_bytes bigint,
  active_connections integer,
  query_count integer,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT project_metrics_pkey PRIMARY KEY (org_id, project_id, recorded_at, id),
  CONSTRAINT project_metrics_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT project_metrics_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id) ON DELETE CASCADE,
  CONSTRAINT project_metrics_cpu_usage_check CHECK ((((cpu_usage >= (0)::numeric) AND (cpu_usage <= (100)::numeric)) AND (cpu_usage <> 'NaN'::numeric))),
  CONSTRAINT project_metrics_disk_io_budget_check CHECK (((disk_io_budget >= (0)::numeric) AND (disk_io_budget <> 'NaN'::numeric))),
  CONSTRAINT project_metrics_disk_usage_gb_check CHECK (((disk_usage_gb >= (0)::numeric) AND (disk_usage_gb <> 'NaN'::numeric))),
  CONSTRAINT project_metrics_memory_usage_check CHECK ((((memory_usage >= (0)::numeric) AND (memory_usage <= (100)::numeric)) AND (memory_usage <> 'NaN'::numeric)))
) PARTITION BY RANGE (recorded_at);
ALTER TABLE platform.project_metrics ENABLE ROW LEVEL SECURITY;
CREATE POLICY org_isolation ON platform.project_metrics TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.project_metrics TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.project_metrics TO tenantry_system;
GRANT INSERT, SELECT ON platform.project_metrics TO tenantry_app;

CREATE TABLE platform.projects (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  slug text NOT NULL,
  ref text NOT NULL,
  status text NOT NULL DEFAULT 'active'::text,
  region text,
  database_host text,
  database_port integer,
  database_name text,
  database_user text,
  database_password bytea,
  metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
  created_by uuid,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  CONSTRAINT projects_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT projects_ref_key UNIQUE (org_id, ref),
  CONSTRAINT projects_created_by_fkey FOREIGN KEY (created_by) REFERENCES platform.users(id) ON DELETE SET NULL,
  CONSTRAINT projects_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT projects_database_port_check CHECK (((database_port >= 1) AND (database_port <= 65535))),
  CONSTRAINT projects_ref_check CHECK ((ref ~ '^[a-z0-9][a-z0-9-]{2,39}$'::text)),
  CONSTRAINT projects_slug_check CHECK ((slug = lower(slug))),
  CONSTRAINT projects_status_check CHECK ((status = ANY (ARRAY['active'::text, 'inactive'::text, 'paused'::text, 'coming_up'::text, 'going_down'::text, 'restoring'::text, 'upgrading'::text, 'unhealthy'::text])))
);
ALTER TABLE platform.projects ENABLE ROW LEVEL SECURITY;
CREATE INDEX projects_created_at_idx ON platform.projects USING btree (org_id, created_at);
CREATE INDEX projects_created_by_idx ON platform.projects USING btree (created_by, org_id);
CREATE INDEX projects_slug_prefix_idx ON platform.projects USING btree (org_id, slug COLLATE "C") WHERE (deleted_at IS NULL);
CREATE INDEX projects_status_idx ON platform.projects USING btree (org_id, status, id);
CREATE UNIQUE INDEX projects_slug_key ON platform.projects USING btree (org_id, slug) WHERE (deleted_at IS NULL);
CREATE POLICY org_isolation ON platform.projects TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.projects TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.projects TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.projects TO tenantry_system;
GRANT UPDATE (created_by, database_host, database_name, database_password, database_port, database_user, deleted_at, metadata, name, ref, region, slug, status, updated_at) ON platform.projects TO tenantry_app;
GRANT UPDATE (created_by, database_host, database_name, database_password, database_port, database_user, deleted_at, metadata, name, ref, region, slug, status, updated_at) ON platform.projects TO tenantry_system;

CREATE TABLE platform.role_permissions (
  org_id uuid NOT NULL,
  role_key text NOT NULL,
  permission text NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT role_permissions_pkey PRIMARY KEY (org_id, role_key, permission),
  CONSTRAINT role_permissions_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT role_permissions_permission_fkey FOREIGN KEY (permission) REFERENCES platform.permissions(key),
  CONSTRAINT role_permissions_role_fkey FOREIGN KEY (org_id, role_key) REFERENCES platform.roles(org_id, key) ON DELETE CASCADE
);
ALTER TABLE platform.role_permissions ENABLE ROW LEVEL SECURITY;
CREATE INDEX role_permissions_permission_idx ON platform.role_permissions USING btree (permission);
CREATE POLICY org_isolation ON platform.role_permissions TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.role_permissions TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.role_permissions TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.role_permissions TO tenantry_system;
GRANT UPDATE (updated_at) ON platform.role_permissions TO tenantry_app;
GRANT UPDATE (updated_at) ON platform.role_permissions TO tenantry_system;

CREATE TABLE platform.roles (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  key text NOT NULL,
  name text NOT NULL,
  description text,
  applies_to text NOT NULL DEFAULT 'organization'::text,
  built_in boolean,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  is_built_in boolean NOT NULL GENERATED ALWAYS AS (COALESCE(built_in, false)) STORED,
  CONSTRAINT roles_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT roles_key_key UNIQUE (org_id, key),
  CONSTRAINT roles_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT roles_applies_to_check CHECK ((applies_to = ANY (ARRAY['organization'::text, 'project'::text, 'both'::text])))
);
ALTER TABLE platform.roles ENABLE ROW LEVEL SECURITY;
CREATE POLICY org_isolation ON platform.roles TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.roles TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.roles TO tenantry_system;
GRANT DELETE, SELECT ON platform.roles TO tenantry_app;
GRANT INSERT (applies_to, created_at, description, id, key, name, org_id, updated_at) ON platform.roles TO tenantry_app;
GRANT UPDATE (applies_to, built_in, deleted_at, description, key, name, updated_at) ON platform.roles TO tenantry_system;
GRANT UPDATE (applies_to, deleted_at, description, name, updated_at) ON platform.roles TO tenantry_app;

CREATE TABLE platform.schedules (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  workflow_id uuid NOT NULL,
  name text NOT NULL,
  cron text NOT NULL,
  timezone text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  input jsonb,
  missed_runs text NOT NULL DEFAULT 'skip'::text,
  next_run_at timestamp with time zone,
  last_run_at timestamp with time zone,
  revision integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  CONSTRAINT schedules_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT schedules_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT schedules_workflow_fkey FOREIGN KEY (org_id, workflow_id) REFERENCES platform.workflows(org_id, id) ON DELETE CASCADE,
  CONSTRAINT schedules_missed_runs_check CHECK ((missed_runs = ANY (ARRAY['skip'::text, 'run_once'::text])))
);
ALTER TABLE platform.schedules ENABLE ROW LEVEL SECURITY;
CREATE INDEX schedules_created_at_idx ON platform.schedules USING btree (org_id, created_at);
CREATE INDEX schedules_due_idx ON platform.schedules USING btree (next_run_at, org_id) WHERE (enabled AND (deleted_at IS NULL));
CREATE INDEX schedules_next_run_at_idx ON platform.schedules USING btree (org_id, next_run_at) WHERE (enabled AND (deleted_at IS NULL));
CREATE INDEX schedules_workflow_idx ON platform.schedules USING btree (org_id, workflow_id);
CREATE UNIQUE INDEX schedules_name_key ON platform.schedules USING btree (org_id, name) WHERE (deleted_at IS NULL);
CREATE POLICY org_isolation ON platform.schedules TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.schedules TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.schedules TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.schedules TO tenantry_system;
GRANT UPDATE (cron, deleted_at, enabled, input, last_run_at, missed_runs, name, next_run_at, revision, timezone, updated_at, workflow_id) ON platform.schedules TO tenantry_app;
GRANT UPDATE (cron, deleted_at, enabled, input, last_run_at, missed_runs, name, next_run_at, revision, timezone, updated_at, workflow_id) ON platform.schedules TO tenantry_system;

CREATE TABLE platform.subscriptions (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  plan_id text NOT NULL,
  plan_name text NOT NULL,
  status text NOT NULL DEFAULT 'active'::text,
  current_period_start timestamp with time zone NOT NULL,
  current_period_end timestamp with time zone NOT NULL,
  cancel_at_period_end boolean NOT NULL DEFAULT false,
  canceled_at timestamp with time zone,
  trial_ends_at timestamp with time zone,
  spend_cap_enabled boolean NOT NULL DEFAULT true,
  stripe_customer_id text,
  stripe_subscription_id text,
  provider_updated_at timestamp with time zone,
  next_invoice_number integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT subscriptions_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT subscriptions_org_key UNIQUE (org_id),
  CONSTRAINT subscriptions_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT subscriptions_plan_fkey FOREIGN KEY (plan_id) REFERENCES platform.billing_plans(id),
  CONSTRAINT subscriptions_period_check CHECK ((current_period_end > current_period_start)),
  CONSTRAINT subscriptions_status_check CHECK ((status = ANY (ARRAY['trialing'::text, 'active'::text, 'past_due'::text, 'paused'::text, 'canceled'::text, 'incomplete'::text])))
);
ALTER TABLE platform.subscriptions ENABLE ROW LEVEL SECURITY;
CREATE INDEX subscriptions_plan_idx ON platform.subscriptions USING btree (plan_id);
CREATE INDEX subscriptions_status_idx ON platform.subscriptions USING btree (org_id, status);
CREATE UNIQUE INDEX subscriptions_stripe_customer_key ON platform.subscriptions USING btree (stripe_customer_id) WHERE (stripe_customer_id IS NOT NULL);
CREATE POLICY org_isolation ON platform.subscriptions TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.subscriptions TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.subscriptions TO tenantry_system;
GRANT SELECT ON platform.subscriptions TO tenantry_app;
GRANT UPDATE (cancel_at_period_end, canceled_at, current_period_end, current_period_start, next_invoice_number, plan_id, plan_name, provider_updated_at, spend_cap_enabled, status, stripe_customer_id, stripe_subscription_id, trial_ends_at, updated_at) ON platform.subscriptions TO tenantry_system;
GRANT UPDATE (cancel_at_period_end, canceled_at, next_invoice_number, plan_id, plan_name, spend_cap_enabled, updated_at) ON platform.subscriptions TO tenantry_app;

CREATE TABLE platform.system_audit_logs (
  id uuid NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  operation text NOT NULL,
  target_org_id uuid,
  target_user_id uuid,
  metadata jsonb,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT system_audit_logs_pkey PRIMARY KEY (created_at, id)
);
ALTER TABLE platform.system_audit_logs ENABLE ROW LEVEL SECURITY;
CREATE INDEX system_audit_logs_target_org_idx ON platform.system_audit_logs USING btree (target_org_id, created_at);
CREATE POLICY system_access ON platform.system_audit_logs TO tenantry_system USING (true) WITH CHECK (true);
GRANT INSERT, SELECT ON platform.system_audit_logs TO tenantry_system;

CREATE TABLE platform.tasks (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  workflow_id uuid,
  agent_id uuid,
  schedule_id uuid,
  scheduled_for timestamp with time zone,
  parent_id uuid,
  kind text NOT NULL,
  status text NOT NULL DEFAULT 'queued'::text,
  priority smallint NOT NULL DEFAULT 0,
  input jsonb,
  output jsonb,
  error jsonb,
  attempt integer NOT NULL DEFAULT 0,
  max_attempts integer NOT NULL DEFAULT 1,
  run_at timestamp with time zone NOT NULL DEFAULT now(),
  lease_owner text,
  lease_expires_at timestamp with time zone,
  started_at timestamp with time zone,
  finished_at timestamp with time zone,
  dedupe_key text,
  created_by uuid,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  lease_token uuid,
  CONSTRAINT tasks_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT tasks_schedule_key UNIQUE (org_id, schedule_id, scheduled_for),
  CONSTRAINT tasks_agent_fkey FOREIGN KEY (org_id, agent_id) REFERENCES platform.agents(org_id, id),
  CONSTRAINT tasks_created_by_fkey FOREIGN KEY (created_by) REFERENCES platform.users(id) ON DELETE SET NULL,
  CONSTRAINT tasks_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT tasks_parent_fkey FOREIGN KEY (org_id, parent_id) REFERENCES platform.tasks(org_id, id) ON DELETE CASCADE,
  CONSTRAINT tasks_schedule_fkey FOREIGN KEY (org_id, schedule_id) REFERENCES platform.schedules(org_id, id),
  CONSTRAINT tasks_workflow_fkey FOREIGN KEY (org_id, workflow_id) REFERENCES platform.workflows(org_id, id),
  CONSTRAINT tasks_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'canceled'::text])))
);
ALTER TABLE platform.tasks ENABLE ROW LEVEL SECURITY;
CREATE INDEX tasks_created_at_idx ON platform.tasks USING btree (org_id, created_at);
CREATE INDEX tasks_created_by_idx ON platform.tasks USING btree (created_by, org_id);
CREATE INDEX tasks_lease_idx ON platform.tasks USING btree (lease_expires_at, org_id) WHERE (status = 'running'::text);
CREATE INDEX tasks_of_agent_idx ON platform.tasks USING btree (org_id, agent_id) WHERE (agent_id IS NOT NULL);
CREATE INDEX tasks_of_parent_idx ON platform.tasks USING btree (org_id, parent_id) WHERE (parent_id IS NOT NULL);
CREATE INDEX tasks_of_workflow_idx ON platform.tasks USING btree (org_id, workflow_id) WHERE (workflow_id IS NOT NULL);
CREATE INDEX tasks_queue_idx ON platform.tasks USING btree (org_id, priority, run_at) WHERE (status = 'queued'::text);
CREATE INDEX tasks_run_at_idx ON platform.tasks USING btree (run_at, org_id) WHERE (status = 'queued'::text);
CREATE INDEX tasks_status_idx ON platform.tasks USING btree (org_id, status, id);
CREATE UNIQUE INDEX tasks_dedupe_key ON platform.tasks USING btree (org_id, dedupe_key) WHERE (status = ANY (ARRAY['queued'::text, 'running'::text]));
CREATE POLICY org_isolation ON platform.tasks TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.tasks TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.tasks TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.tasks TO tenantry_system;
GRANT UPDATE (agent_id, attempt, created_by, dedupe_key, error, finished_at, input, kind, lease_expires_at, lease_owner, lease_token, max_attempts, output, parent_id, priority, run_at, schedule_id, scheduled_for, started_at, status, updated_at, workflow_id) ON platform.tasks TO tenantry_app;
GRANT UPDATE (agent_id, attempt, created_by, dedupe_key, error, finished_at, input, kind, lease_expires_at, lease_owner, lease_token, max_attempts, output, parent_id, priority, run_at, schedule_id, scheduled_for, started_at, status, updated_at, workflow_id) ON platform.tasks TO tenantry_system;

CREATE TABLE platform.tax_ids (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  type text NOT NULL,
  value text NOT NULL,
  country character(2) NOT NULL,
  status text NOT NULL DEFAULT 'pending'::text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT tax_ids_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT tax_ids_value_key UNIQUE (org_id, type, value),
  CONSTRAINT tax_ids_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT tax_ids_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'verified'::text, 'unverified'::text])))
);
ALTER TABLE platform.tax_ids ENABLE ROW LEVEL SECURITY;
CREATE INDEX tax_ids_status_idx ON platform.tax_ids USING btree (org_id, status);
CREATE POLICY org_isolation ON platform.tax_ids TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.tax_ids TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.tax_ids TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.tax_ids TO tenantry_system;
GRANT UPDATE (country, status, type, updated_at, value) ON platform.tax_ids TO tenantry_app;
GRANT UPDATE (country, status, type, updated_at, value) ON platform.tax_ids TO tenantry_system;

CREATE TABLE platform.tools (
  id uuid NOT NULL,
  key text NOT NULL,
  name text NOT NULL,
  description text,
  input_schema jsonb NOT NULL DEFAULT '{}'::jsonb,
  active boolean NOT NULL DEFAULT true,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT tools_pkey PRIMARY KEY (id),
  CONSTRAINT tools_key_key UNIQUE (key)
);
GRANT DELETE, INSERT, SELECT ON platform.tools TO tenantry_system;
GRANT SELECT ON platform.tools TO tenantry_app;
GRANT UPDATE (active, description, input_schema, key, name, updated_at) ON platform.tools TO tenantry_system;

CREATE TABLE platform.usage_events (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  idempotency_key text NOT NULL,
  metric_type text NOT NULL,
  quantity numeric(30,6) NOT NULL,
  project_id uuid,
  occurred_at timestamp with time zone NOT NULL,
  body_hash bytea NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT usage_events_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT usage_events_idempotency_key UNIQUE (org_id, idempotency_key),
  CONSTRAINT usage_events_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT usage_events_quantity_check CHECK (((quantity >= (0)::numeric) AND (quantity <> 'NaN'::numeric)))
);
ALTER TABLE platform.usage_events ENABLE ROW LEVEL SECURITY;
CREATE INDEX usage_events_occurred_at_idx ON platform.usage_events USING btree (org_id, occurred_at);
CREATE POLICY org_isolation ON platform.usage_events TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.usage_events TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.usage_events TO tenantry_system;
GRANT INSERT, SELECT ON platform.usage_events TO tenantry_app;

CREATE TABLE platform.usage_metrics (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  metric_type text NOT NULL,
  metric_value numeric(30,6) NOT NULL,
  project_id uuid,
  period_start timestamp with time zone NOT NULL,
  period_end timestamp with time zone NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT usage_metrics_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT usage_metrics_period_key UNIQUE NULLS NOT DISTINCT (org_id, metric_type, project_id, period_start),
  CONSTRAINT usage_metrics_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT usage_metrics_metric_value_check CHECK ((metric_value <> 'NaN'::numeric)),
  CONSTRAINT usage_metrics_period_check CHECK ((period_end > period_start))
);
ALTER TABLE platform.usage_metrics ENABLE ROW LEVEL SECURITY;
CREATE INDEX usage_metrics_metric_type_idx ON platform.usage_metrics USING btree (org_id, metric_type, period_start);
CREATE INDEX usage_metrics_period_start_idx ON platform.usage_metrics USING btree (org_id, period_start);
CREATE INDEX usage_metrics_project_idx ON platform.usage_metrics USING btree (org_id, project_id, period_start);
CREATE POLICY org_isolation ON platform.usage_metrics TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.usage_metrics TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.usage_metrics TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.usage_metrics TO tenantry_system;
GRANT UPDATE (metric_type, metric_value, period_end, period_start, project_id, updated_at) ON platform.usage_metrics TO tenantry_app;
GRANT UPDATE (metric_type, metric_value, period_end, period_start, project_id, updated_at) ON platform.usage_metrics TO tenantry_system;

CREATE TABLE platform.user_audit_logs (
  user_id uuid NOT NULL,
  id uuid NOT NULL,
  event_type text NOT NULL,
  session_id uuid,
  ip_address inet,
  user_agent text,
  metadata jsonb,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT user_audit_logs_pkey PRIMARY KEY (user_id, created_at, id),
  CONSTRAINT user_audit_logs_user_fkey FOREIGN KEY (user_id) REFERENCES platform.users(id) ON DELETE CASCADE
);
ALTER TABLE platform.user_audit_logs ENABLE ROW LEVEL SECURITY;
CREATE POLICY system_access ON platform.user_audit_logs TO tenantry_system USING (true) WITH CHECK (true);
CREATE POLICY user_access ON platform.user_audit_logs TO tenantry_app USING ((user_id = platform.current_user_id())) WITH CHECK ((user_id = platform.current_user_id()));
GRANT DELETE, INSERT, SELECT ON platform.user_audit_logs TO tenantry_system;
GRANT INSERT, SELECT ON platform.user_audit_logs TO tenantry_app;

CREATE TABLE platform.user_sessions (
  user_id uuid NOT NULL,
  id uuid NOT NULL,
  token_hash bytea NOT NULL,
  refresh_hash bytea,
  pepper_id text NOT NULL,
  generation integer NOT NULL DEFAULT 0,
  rotated_at timestamp with time zone,
  active_org_id uuid,
  active_org_epoch integer,
  ip_address inet,
  user_agent text,
  expires_at timestamp with time zone NOT NULL,
  idle_expires_at timestamp with time zone NOT NULL,
  last_activity_at timestamp with time zone NOT NULL DEFAULT now(),
  revoked_at timestamp with time zone,
  revoked_reason text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT user_sessions_pkey PRIMARY KEY (user_id, id),
  CONSTRAINT user_sessions_token_key UNIQUE (user_id, token_hash),
  CONSTRAINT user_sessions_active_org_fkey FOREIGN KEY (active_org_id) REFERENCES platform.organizations(id) ON DELETE SET NULL,
  CONSTRAINT user_sessions_user_fkey FOREIGN KEY (user_id) REFERENCES platform.users(id) ON DELETE CASCADE
);
ALTER TABLE platform.user_sessions ENABLE ROW LEVEL SECURITY;
CREATE INDEX user_sessions_active_org_idx ON platform.user_sessions USING btree (active_org_id);
CREATE INDEX user_sessions_expires_at_idx ON platform.user_sessions USING btree (expires_at);
CREATE POLICY system_access ON platform.user_sessions TO tenantry_system USING (true) WITH CHECK (true);
CREATE POLICY user_access ON platform.user_sessions TO tenantry_app USING ((user_id = platform.current_user_id())) WITH CHECK ((user_id = platform.current_user_id()));
GRANT DELETE, INSERT, SELECT ON platform.user_sessions TO tenantry_system;
GRANT INSERT, SELECT ON platform.user_sessions TO tenantry_app;
GRANT UPDATE (active_org_epoch, active_org_id, expires_at, generation, idle_expires_at, ip_address, last_activity_at, pepper_id, refresh_hash, revoked_at, revoked_reason, rotated_at, token_hash, updated_at, user_agent) ON platform.user_sessions TO tenantry_system;
GRANT UPDATE (active_org_epoch, active_org_id, generation, idle_expires_at, ip_address, last_activity_at, pepper_id, refresh_hash, revoked_at, revoked_reason, rotated_at, token_hash, updated_at, user_agent) ON platform.user_sessions TO tenantry_app;

CREATE TABLE platform.users (
  id uuid NOT NULL,
  external_id text,
  email text NOT NULL,
  username text,
  first_name text,
  last_name text,
  avatar_url text,
  phone text,
  password_hash text,
  mfa_enabled boolean NOT NULL DEFAULT false,
  status text NOT NULL DEFAULT 'active'::text,
  email_confirmed_at timestamp with time zone,
  banned_until timestamp with time zone,
  metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  kind text NOT NULL DEFAULT 'person'::text,
  CONSTRAINT users_pkey PRIMARY KEY (id),
  CONSTRAINT users_email_check CHECK ((email = lower(email))),
  CONSTRAINT users_kind_check CHECK ((kind = ANY (ARRAY['person'::text, 'service'::text]))),
  CONSTRAINT users_status_check CHECK ((status = ANY (ARRAY['active'::text, 'suspended'::text]))),
  CONSTRAINT users_username_check CHECK ((username = lower(username)))
);
ALTER TABLE platform.users ENABLE ROW LEVEL SECURITY;
CREATE INDEX users_created_at_idx ON platform.users USING btree (created_at);
CREATE UNIQUE INDEX users_email_key ON platform.users USING btree (email) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX users_external_id_key ON platform.users USING btree (external_id) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX users_username_key ON platform.users USING btree (username) WHERE (deleted_at IS NULL);
CREATE POLICY system_access ON platform.users TO tenantry_system USING (true) WITH CHECK (true);
CREATE POLICY user_access ON platform.users TO tenantry_app USING ((id = platform.current_user_id())) WITH CHECK ((id = platform.current_user_id()));
GRANT DELETE, INSERT, SELECT ON platform.users TO tenantry_system;
GRANT SELECT (avatar_url, banned_until, created_at, deleted_at, email, email_confirmed_at, external_id, first_name, id, kind, last_name, metadata, mfa_enabled, phone, status, updated_at, username) ON platform.users TO tenantry_app;
GRANT UPDATE (avatar_url, banned_until, deleted_at, email, email_confirmed_at, external_id, first_name, kind, last_name, metadata, mfa_enabled, password_hash, phone, status, updated_at, username) ON platform.users TO tenantry_system;
GRANT UPDATE (avatar_url, first_name, last_name, metadata, phone, updated_at, username) ON platform.users TO tenantry_app;

CREATE TABLE platform.workflows (
  org_id uuid NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  slug text NOT NULL,
  description text,
  definition jsonb NOT NULL DEFAULT '{}'::jsonb,
  status text NOT NULL DEFAULT 'draft'::text,
  project_id uuid,
  revision integer NOT NULL DEFAULT 1,
  created_by uuid,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  deleted_at timestamp with time zone,
  CONSTRAINT workflows_pkey PRIMARY KEY (org_id, id),
  CONSTRAINT workflows_created_by_fkey FOREIGN KEY (created_by) REFERENCES platform.users(id) ON DELETE SET NULL,
  CONSTRAINT workflows_org_fkey FOREIGN KEY (org_id) REFERENCES platform.organizations(id) ON DELETE CASCADE,
  CONSTRAINT workflows_project_fkey FOREIGN KEY (org_id, project_id) REFERENCES platform.projects(org_id, id),
  CONSTRAINT workflows_slug_check CHECK ((slug = lower(slug))),
  CONSTRAINT workflows_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'active'::text, 'archived'::text])))
);
ALTER TABLE platform.workflows ENABLE ROW LEVEL SECURITY;
CREATE INDEX workflows_created_at_idx ON platform.workflows USING btree (org_id, created_at);
CREATE INDEX workflows_created_by_idx ON platform.workflows USING btree (created_by, org_id);
CREATE INDEX workflows_project_idx ON platform.workflows USING btree (org_id, project_id);
CREATE INDEX workflows_slug_prefix_idx ON platform.workflows USING btree (org_id, slug COLLATE "C") WHERE (deleted_at IS NULL);
CREATE INDEX workflows_status_idx ON platform.workflows USING btree (org_id, status, id);
CREATE UNIQUE INDEX workflows_slug_key ON platform.workflows USING btree (org_id, slug) WHERE (deleted_at IS NULL);
CREATE POLICY org_isolation ON platform.workflows TO tenantry_app USING ((org_id = platform.current_org())) WITH CHECK ((org_id = platform.current_org()));
CREATE POLICY system_access ON platform.workflows TO tenantry_system USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON platform.workflows TO tenantry_app;
GRANT DELETE, INSERT, SELECT ON platform.workflows TO tenantry_system;
GRANT UPDATE (created_by, definition, deleted_at, description, name, project_id, revision, slug, status, updated_at) ON platform.workflows TO tenantry_app;
GRANT UPDATE (created_by, definition, deleted_at, description, name, project_id, revision, slug, status, updated_at) ON platform.workflows TO tenantry_system;
