DROP INDEX "platform"."subscriptions_stripe_customer_idx";--> statement-breakpoint
ALTER TABLE "platform"."organization_members" ADD COLUMN "kind" text DEFAULT 'person' NOT NULL;--> statement-breakpoint
ALTER TABLE "platform"."organizations" ADD COLUMN "provision_hash" "bytea";--> statement-breakpoint
ALTER TABLE "platform"."users" ADD COLUMN "kind" text DEFAULT 'person' NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "subscriptions_stripe_customer_key" ON "platform"."subscriptions" USING btree ("stripe_customer_id") WHERE stripe_customer_id is not null;--> statement-breakpoint
ALTER TABLE "platform"."organization_members" ADD CONSTRAINT "organization_members_kind_check" CHECK (kind in ('person', 'service'));--> statement-breakpoint
ALTER TABLE "platform"."users" ADD CONSTRAINT "users_kind_check" CHECK (kind in ('person', 'service'));
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
      and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp());
end
$$;
--> statement-breakpoint
create or replace function platform.user_id_by_email(address text) returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
  return (select u.id from platform.users u where u.email = address and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp()));
end
$$;
--> statement-breakpoint
create function platform.user_id_by_external_id(host_id text) returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
  return (select u.id from platform.users u where u.external_id = host_id and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp()));
end
$$;
--> statement-breakpoint
create function platform.organization_id_by_slug(wanted text) returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
  return (select o.id from platform.organizations o where o.slug = wanted and o.deleted_at is null);
end
$$;
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
    where u.id = me and u.email_confirmed_at is not null and u.status = 'active' and u.deleted_at is null and (u.banned_until is null or u.banned_until <= pg_catalog.statement_timestamp())
      and i.accepted_at is null and i.declined_at is null and i.revoked_at is null
      and i.expires_at > pg_catalog.statement_timestamp()
      and o.status = 'active' and o.deleted_at is null;
end
$$;
--> statement-breakpoint
create function platform.register_user(person uuid, address text, is_confirmed boolean, host_id text, handle text, first text, last text, avatar text, telephone text, more jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
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
$$;
--> statement-breakpoint
create function platform.register_service(service uuid, title text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
  perform platform.current_org();
  insert into platform.users (id, email, first_name, kind)
  values (service, service::text || '@service.invalid', pg_catalog.left(title, 200), 'service');
end
$$;
--> statement-breakpoint
create function platform.member_actor(person uuid) returns table (kind text, role text, auth_epoch integer, permissions text[], projects jsonb)
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
create function platform.session_actor(session_id uuid) returns table (org_id uuid, role text, auth_epoch integer, permissions text[], projects jsonb)
language plpgsql stable security definer rows 1 set search_path = pg_catalog, pg_temp set row_security = off as $$
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
$$;
