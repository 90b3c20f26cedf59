create or replace function platform.enter_org(org uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  bound text;
begin
  -- Every scope pays for what stands first. Why it did not enter is asked only then.
  if coalesce(pg_catalog.current_setting('tenantry.org_id', true), '') = ''
    and coalesce(pg_catalog.current_setting('tenantry.user_id', true), '') = '' then
    if exists (select from platform.organizations o where o.id = org and o.deleted_at is null and o.status = 'active') then
      -- A Citus cluster passes SET LOCAL on to its workers, and set_config not.
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
$$;
--> statement-breakpoint
create or replace function platform.enter_user(person uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
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
  execute pg_catalog.format('set local tenantry.user_id = %L', person);
end
$$;
