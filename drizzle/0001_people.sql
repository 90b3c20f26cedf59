CREATE TABLE "platform"."organizations" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"name_key" text GENERATED ALWAYS AS (lower(name)) STORED NOT NULL,
	"slug" text NOT NULL,
	"external_id" text,
	"billing_email" text,
	"temporal_namespace" text NOT NULL,
	"status" text DEFAULT 'active' NOT NULL,
	"suspended_at" timestamp with time zone,
	"suspended_reason" text,
	"settings" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"allow_user_management" boolean DEFAULT false NOT NULL,
	"provision_key" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "organizations_temporal_namespace_key" UNIQUE("temporal_namespace"),
	CONSTRAINT "organizations_provision_key" UNIQUE("provision_key"),
	CONSTRAINT "organizations_slug_check" CHECK (slug ~ '^[a-z0-9](-?[a-z0-9])*$' and length(slug) <= 63),
	CONSTRAINT "organizations_status_check" CHECK (status in ('active', 'suspended'))
);
--> statement-breakpoint
ALTER TABLE "platform"."organizations" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."user_audit_logs" (
	"user_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"event_type" text NOT NULL,
	"session_id" uuid,
	"ip_address" "inet",
	"user_agent" text,
	"metadata" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "user_audit_logs_pkey" PRIMARY KEY("user_id","created_at","id")
);
--> statement-breakpoint
ALTER TABLE "platform"."user_audit_logs" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."users" (
	"id" uuid PRIMARY KEY NOT NULL,
	"external_id" text,
	"email" text NOT NULL,
	"username" text,
	"first_name" text,
	"last_name" text,
	"avatar_url" text,
	"phone" text,
	"password_hash" text,
	"mfa_enabled" boolean DEFAULT false NOT NULL,
	"status" text DEFAULT 'active' NOT NULL,
	"email_confirmed_at" timestamp with time zone,
	"banned_until" timestamp with time zone,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "users_email_check" CHECK (email = lower(email)),
	CONSTRAINT "users_username_check" CHECK (username = lower(username)),
	CONSTRAINT "users_status_check" CHECK (status in ('active', 'suspended'))
);
--> statement-breakpoint
ALTER TABLE "platform"."users" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."permissions" (
	"key" text NOT NULL,
	"description" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "permissions_pkey" PRIMARY KEY("key")
);
--> statement-breakpoint
CREATE TABLE "platform"."role_permissions" (
	"org_id" uuid NOT NULL,
	"role_key" text NOT NULL,
	"permission" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "role_permissions_pkey" PRIMARY KEY("org_id","role_key","permission")
);
--> statement-breakpoint
ALTER TABLE "platform"."role_permissions" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."roles" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"key" text NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"applies_to" text DEFAULT 'organization' NOT NULL,
	"built_in" boolean DEFAULT false NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "roles_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "roles_key_key" UNIQUE("org_id","key"),
	CONSTRAINT "roles_applies_to_check" CHECK (applies_to in ('organization', 'project', 'both'))
);
--> statement-breakpoint
ALTER TABLE "platform"."roles" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."organization_members" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"email" text NOT NULL,
	"display_name" text,
	"role" text NOT NULL,
	"status" text DEFAULT 'active' NOT NULL,
	"invited_at" timestamp with time zone,
	"invited_by" uuid,
	"joined_at" timestamp with time zone DEFAULT now() NOT NULL,
	"auth_epoch" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "organization_members_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "organization_members_user_key" UNIQUE("org_id","user_id"),
	CONSTRAINT "organization_members_email_check" CHECK (email = lower(email)),
	CONSTRAINT "organization_members_status_check" CHECK (status in ('active', 'inactive'))
);
--> statement-breakpoint
ALTER TABLE "platform"."organization_members" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE "platform"."user_audit_logs" ADD CONSTRAINT "user_audit_logs_user_fkey" FOREIGN KEY ("user_id") REFERENCES "platform"."users"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."role_permissions" ADD CONSTRAINT "role_permissions_role_fkey" FOREIGN KEY ("org_id","role_key") REFERENCES "platform"."roles"("org_id","key") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."role_permissions" ADD CONSTRAINT "role_permissions_permission_fkey" FOREIGN KEY ("permission") REFERENCES "platform"."permissions"("key") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."role_permissions" ADD CONSTRAINT "role_permissions_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."roles" ADD CONSTRAINT "roles_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_members" ADD CONSTRAINT "organization_members_user_fkey" FOREIGN KEY ("user_id") REFERENCES "platform"."users"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_members" ADD CONSTRAINT "organization_members_role_fkey" FOREIGN KEY ("org_id","role") REFERENCES "platform"."roles"("org_id","key") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_members" ADD CONSTRAINT "organization_members_invited_by_fkey" FOREIGN KEY ("invited_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_members" ADD CONSTRAINT "organization_members_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE UNIQUE INDEX "organizations_name_key" ON "platform"."organizations" USING btree ("name_key") WHERE deleted_at is null;
--> statement-breakpoint
CREATE UNIQUE INDEX "organizations_slug_key" ON "platform"."organizations" USING btree ("slug") WHERE deleted_at is null;
--> statement-breakpoint
CREATE UNIQUE INDEX "organizations_external_id_key" ON "platform"."organizations" USING btree ("external_id") WHERE deleted_at is null;
--> statement-breakpoint
CREATE INDEX "organizations_created_at_idx" ON "platform"."organizations" USING btree ("created_at");
--> statement-breakpoint
CREATE UNIQUE INDEX "users_email_key" ON "platform"."users" USING btree ("email") WHERE deleted_at is null;
--> statement-breakpoint
CREATE UNIQUE INDEX "users_username_key" ON "platform"."users" USING btree ("username") WHERE deleted_at is null;
--> statement-breakpoint
CREATE UNIQUE INDEX "users_external_id_key" ON "platform"."users" USING btree ("external_id") WHERE deleted_at is null;
--> statement-breakpoint
CREATE INDEX "users_created_at_idx" ON "platform"."users" USING btree ("created_at");
--> statement-breakpoint
CREATE INDEX "role_permissions_permission_idx" ON "platform"."role_permissions" USING btree ("permission");
--> statement-breakpoint
CREATE UNIQUE INDEX "organization_members_email_key" ON "platform"."organization_members" USING btree ("org_id","email") WHERE deleted_at is null;
--> statement-breakpoint
CREATE INDEX "organization_members_user_idx" ON "platform"."organization_members" USING btree ("user_id","org_id");
--> statement-breakpoint
CREATE INDEX "organization_members_role_idx" ON "platform"."organization_members" USING btree ("org_id","role");
--> statement-breakpoint
CREATE INDEX "organization_members_created_at_idx" ON "platform"."organization_members" USING btree ("org_id","created_at");
--> statement-breakpoint
CREATE INDEX "organization_members_invited_by_idx" ON "platform"."organization_members" USING btree ("invited_by","org_id");
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."organizations" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (id = platform.current_org()) WITH CHECK (id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."organizations" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "user_access" ON "platform"."user_audit_logs" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (user_id = platform.current_user_id()) WITH CHECK (user_id = platform.current_user_id());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."user_audit_logs" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "user_access" ON "platform"."users" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (id = platform.current_user_id()) WITH CHECK (id = platform.current_user_id());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."users" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."role_permissions" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."role_permissions" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."roles" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."roles" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."organization_members" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."organization_members" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
create function platform.enter_org(org uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  bound text;
begin
  -- Every scope pays for what stands first. Why it did not enter is asked only then.
  if coalesce(pg_catalog.current_setting('tenantry.org_id', true), '') = ''
    and coalesce(pg_catalog.current_setting('tenantry.user_id', true), '') = '' then
    select pg_catalog.set_config('tenantry.org_id', o.id::text, true) into bound
      from platform.organizations o where o.id = org and o.deleted_at is null and o.status = 'active';
    if bound is not null then
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
revoke execute on function platform.enter_org(uuid) from public;
--> statement-breakpoint
create function platform.enter_user(person uuid) returns void
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
  perform pg_catalog.set_config('tenantry.user_id', person::text, true);
end
$$;
--> statement-breakpoint
revoke execute on function platform.enter_user(uuid) from public;
--> statement-breakpoint
create function platform.my_organizations() returns table (id uuid, slug text, name text, role text, status text, auth_epoch integer)
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
revoke execute on function platform.my_organizations() from public;
--> statement-breakpoint
create function platform.user_id_by_email(address text) returns uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
  return (select u.id from platform.users u where u.email = address and u.deleted_at is null);
end
$$;
--> statement-breakpoint
revoke execute on function platform.user_id_by_email(text) from public;
