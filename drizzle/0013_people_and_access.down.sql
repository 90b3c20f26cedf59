drop function platform.session_actor(uuid);
--> statement-breakpoint
drop function platform.member_actor(uuid);
--> statement-breakpoint
drop function platform.register_service(uuid, text);
--> statement-breakpoint
drop function platform.register_user(uuid, text, boolean, text, text, text, text, text, text, jsonb);
--> statement-breakpoint
create or replace function platform.my_invitations() returns table (org_id uuid, id uuid, organization_name text, organization_slug text, role text, expires_at timestamptz, created_at timestamptz)
language plpgsql stable security definer rows 4 set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return query
    select i.org_id, i.id, o.name, o.slug, i.role, i.expires_at, i.created_at
    from platform.users u
    join platform.organization_invitations i on i.email = u.email
    join platform.organizations o on o.id = i.org_id
    where u.id = me and u.email_confirmed_at is not null and u.status = 'active' and u.deleted_at is null
      and i.accepted_at is null and i.declined_at is null and i.revoked_at is null
      and i.expires_at > pg_catalog.statement_timestamp()
      and o.status = 'active' and o.deleted_at is null;
end
$$;
--> statement-breakpoint
drop function platform.organization_id_by_slug(text);
--> statement-breakpoint
drop function platform.user_id_by_external_id(text);
--> statement-breakpoint
create or replace function platform.user_id_by_email(address text) returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
  return (select u.id from platform.users u where u.email = address and u.deleted_at is null);
end
$$;
--> statement-breakpoint
create or replace function platform.my_organizations() returns table (id uuid, slug text, name text, role text, status text, auth_epoch integer)
language plpgsql stable security definer rows 8 set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return query
    select o.id, o.slug, o.name, m.role, o.status, m.auth_epoch
    from platform.organization_members m
    join platform.organizations o on o.id = m.org_id
    join platform.users u on u.id = m.user_id
    where m.user_id = me and m.status = 'active' and m.deleted_at is null and o.deleted_at is null
      and u.status = 'active' and u.deleted_at is null;
end
$$;
--> statement-breakpoint
ALTER TABLE "platform"."organization_members" DROP CONSTRAINT "organization_members_kind_check";
--> statement-breakpoint
ALTER TABLE "platform"."users" DROP CONSTRAINT "users_kind_check";
--> statement-breakpoint
DROP INDEX "platform"."subscriptions_stripe_customer_key";
--> statement-breakpoint
ALTER TABLE "platform"."organization_members" DROP COLUMN "kind";
--> statement-breakpoint
ALTER TABLE "platform"."organizations" DROP COLUMN "provision_hash";
--> statement-breakpoint
ALTER TABLE "platform"."users" DROP COLUMN "kind";
--> statement-breakpoint
CREATE INDEX "subscriptions_stripe_customer_idx" ON "platform"."subscriptions" USING btree ("stripe_customer_id");
