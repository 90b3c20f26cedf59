-- A Citus cluster writes every default of a table that is on every node out, and demands the right to write the column. The application has
-- none on built_in, and gets none: without a default it makes roles as before, whose built_in is null. Only what may write true still
-- writes true. is_built_in is what is read.
ALTER TABLE "platform"."roles" ALTER COLUMN "built_in" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "platform"."roles" ALTER COLUMN "built_in" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "platform"."roles" ADD COLUMN "is_built_in" boolean GENERATED ALWAYS AS (coalesce(built_in, false)) STORED NOT NULL;
--> statement-breakpoint
-- It writes a user and a membership with the rights of the owner. The user is always a service, in whose name nobody signs in, as
-- register_service has made them before. The membership is one of the bound organization, which the application may insert itself.
create function platform.add_service(service uuid, title text, member uuid, given_role text) returns table (org_id uuid, id uuid, user_id uuid, email text, display_name text, role text, kind text, status text, invited_at timestamptz, invited_by uuid, joined_at timestamptz, auth_epoch integer, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz)
language plpgsql volatile security definer rows 1 set search_path = pg_catalog, pg_temp set row_security = off as $$
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
$$;
--> statement-breakpoint
-- It tells the bound person one number of their own membership, of those that my_organizations lists.
create function platform.my_epoch_in(org uuid) returns int4
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
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
$$;
