CREATE SCHEMA "platform";
--> statement-breakpoint
create function platform.current_org() returns uuid
language plpgsql stable parallel safe as $$
declare
  -- A setting of an ended transaction reads as '', not as null.
  bound constant pg_catalog.uuid := nullif(pg_catalog.current_setting('tenantry.org_id', true), '')::pg_catalog.uuid;
begin
  if bound is null then
    raise insufficient_privilege using message = 'no organization is bound';
  end if;
  return bound;
end
$$;
--> statement-breakpoint
revoke execute on function platform.current_org() from public;
--> statement-breakpoint
create function platform.current_user_id() returns uuid
language plpgsql stable parallel safe as $$
declare
  bound constant pg_catalog.uuid := nullif(pg_catalog.current_setting('tenantry.user_id', true), '')::pg_catalog.uuid;
begin
  if bound is null then
    raise insufficient_privilege using message = 'no user is bound';
  end if;
  return bound;
end
$$;
--> statement-breakpoint
revoke execute on function platform.current_user_id() from public;
