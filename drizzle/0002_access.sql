CREATE TABLE "platform"."user_sessions" (
	"user_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"token_hash" "bytea" NOT NULL,
	"refresh_hash" "bytea",
	"pepper_id" text NOT NULL,
	"generation" integer DEFAULT 0 NOT NULL,
	"rotated_at" timestamp with time zone,
	"active_org_id" uuid,
	"active_org_epoch" integer,
	"ip_address" "inet",
	"user_agent" text,
	"expires_at" timestamp with time zone NOT NULL,
	"idle_expires_at" timestamp with time zone NOT NULL,
	"last_activity_at" timestamp with time zone DEFAULT now() NOT NULL,
	"revoked_at" timestamp with time zone,
	"revoked_reason" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "user_sessions_pkey" PRIMARY KEY("user_id","id"),
	CONSTRAINT "user_sessions_token_key" UNIQUE("user_id","token_hash")
);
--> statement-breakpoint
ALTER TABLE "platform"."user_sessions" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."organization_invitations" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"email" text NOT NULL,
	"role" text NOT NULL,
	"token_hash" "bytea" NOT NULL,
	"pepper_id" text NOT NULL,
	"invited_by" uuid,
	"expires_at" timestamp with time zone NOT NULL,
	"accepted_at" timestamp with time zone,
	"accepted_by" uuid,
	"revoked_at" timestamp with time zone,
	"declined_at" timestamp with time zone,
	"sent_count" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "organization_invitations_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "organization_invitations_token_key" UNIQUE("org_id","token_hash"),
	CONSTRAINT "organization_invitations_email_check" CHECK (email = lower(email))
);
--> statement-breakpoint
ALTER TABLE "platform"."organization_invitations" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."api_key_windows" (
	"org_id" uuid NOT NULL,
	"api_key_id" uuid NOT NULL,
	"window_start" timestamp with time zone NOT NULL,
	"used" integer NOT NULL,
	"allowed" integer NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "api_key_windows_pkey" PRIMARY KEY("org_id","api_key_id","window_start")
);
--> statement-breakpoint
ALTER TABLE "platform"."api_key_windows" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."api_keys" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"auth_epoch" integer NOT NULL,
	"name" text NOT NULL,
	"key_prefix" text NOT NULL,
	"key_hash" "bytea" NOT NULL,
	"pepper_id" text NOT NULL,
	"last_four" text NOT NULL,
	"scopes" text[] DEFAULT '{}'::text[] NOT NULL,
	"rate_limit_per_hour" integer,
	"status" text DEFAULT 'active' NOT NULL,
	"last_used_at" timestamp with time zone,
	"expires_at" timestamp with time zone,
	"revoked_at" timestamp with time zone,
	"grace_until" timestamp with time zone,
	"rotated_from" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "api_keys_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "api_keys_hash_key" UNIQUE("org_id","key_hash"),
	CONSTRAINT "api_keys_prefix_key" UNIQUE("org_id","key_prefix"),
	CONSTRAINT "api_keys_status_check" CHECK (status in ('active', 'revoked'))
);
--> statement-breakpoint
ALTER TABLE "platform"."api_keys" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."idempotency_keys" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"key" text NOT NULL,
	"actor" text DEFAULT '' NOT NULL,
	"request_hash" "bytea" NOT NULL,
	"state" text DEFAULT 'queued' NOT NULL,
	"result" jsonb,
	"expires_at" timestamp with time zone NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "idempotency_keys_key_key" UNIQUE("org_id","actor","key"),
	CONSTRAINT "idempotency_keys_state_check" CHECK (state in ('queued', 'done'))
);
--> statement-breakpoint
ALTER TABLE "platform"."idempotency_keys" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."org_keys" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"kek_id" text NOT NULL,
	"wrapped" "bytea",
	"state" text DEFAULT 'active' NOT NULL,
	"destroyed_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "org_keys_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "org_keys_state_check" CHECK (state in ('active', 'decrypt_only', 'destroyed')),
	CONSTRAINT "org_keys_wrapped_check" CHECK ((state = 'destroyed') = (wrapped is null))
);
--> statement-breakpoint
ALTER TABLE "platform"."org_keys" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE "platform"."user_sessions" ADD CONSTRAINT "user_sessions_active_org_fkey" FOREIGN KEY ("active_org_id") REFERENCES "platform"."organizations"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."user_sessions" ADD CONSTRAINT "user_sessions_user_fkey" FOREIGN KEY ("user_id") REFERENCES "platform"."users"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_invitations" ADD CONSTRAINT "organization_invitations_invited_by_fkey" FOREIGN KEY ("invited_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_invitations" ADD CONSTRAINT "organization_invitations_accepted_by_fkey" FOREIGN KEY ("accepted_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_invitations" ADD CONSTRAINT "organization_invitations_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."api_key_windows" ADD CONSTRAINT "api_key_windows_api_key_fkey" FOREIGN KEY ("org_id","api_key_id") REFERENCES "platform"."api_keys"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."api_key_windows" ADD CONSTRAINT "api_key_windows_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."api_keys" ADD CONSTRAINT "api_keys_user_fkey" FOREIGN KEY ("org_id","user_id") REFERENCES "platform"."organization_members"("org_id","user_id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."api_keys" ADD CONSTRAINT "api_keys_rotated_from_fkey" FOREIGN KEY ("org_id","rotated_from") REFERENCES "platform"."api_keys"("org_id","id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."api_keys" ADD CONSTRAINT "api_keys_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."idempotency_keys" ADD CONSTRAINT "idempotency_keys_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."org_keys" ADD CONSTRAINT "org_keys_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX "user_sessions_active_org_idx" ON "platform"."user_sessions" USING btree ("active_org_id");
--> statement-breakpoint
CREATE INDEX "user_sessions_expires_at_idx" ON "platform"."user_sessions" USING btree ("expires_at");
--> statement-breakpoint
CREATE UNIQUE INDEX "organization_invitations_email_key" ON "platform"."organization_invitations" USING btree ("org_id","email") WHERE accepted_at is null and declined_at is null and revoked_at is null;
--> statement-breakpoint
CREATE INDEX "organization_invitations_email_idx" ON "platform"."organization_invitations" USING btree ("email") WHERE accepted_at is null and declined_at is null and revoked_at is null;
--> statement-breakpoint
CREATE INDEX "organization_invitations_invited_by_idx" ON "platform"."organization_invitations" USING btree ("invited_by","org_id");
--> statement-breakpoint
CREATE INDEX "organization_invitations_accepted_by_idx" ON "platform"."organization_invitations" USING btree ("accepted_by","org_id");
--> statement-breakpoint
CREATE INDEX "api_key_windows_start_idx" ON "platform"."api_key_windows" USING btree ("window_start");
--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_name_key" ON "platform"."api_keys" USING btree ("org_id","name") WHERE deleted_at is null and revoked_at is null and grace_until is null;
--> statement-breakpoint
CREATE INDEX "api_keys_member_idx" ON "platform"."api_keys" USING btree ("org_id","user_id");
--> statement-breakpoint
CREATE INDEX "api_keys_user_idx" ON "platform"."api_keys" USING btree ("user_id","org_id");
--> statement-breakpoint
CREATE INDEX "api_keys_rotated_from_idx" ON "platform"."api_keys" USING btree ("org_id","rotated_from");
--> statement-breakpoint
CREATE INDEX "api_keys_created_at_idx" ON "platform"."api_keys" USING btree ("org_id","created_at");
--> statement-breakpoint
CREATE INDEX "idempotency_keys_expires_at_idx" ON "platform"."idempotency_keys" USING btree ("expires_at");
--> statement-breakpoint
CREATE UNIQUE INDEX "org_keys_active_key" ON "platform"."org_keys" USING btree ("org_id") WHERE state = 'active';
--> statement-breakpoint
CREATE POLICY "user_access" ON "platform"."user_sessions" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (user_id = platform.current_user_id()) WITH CHECK (user_id = platform.current_user_id());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."user_sessions" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."organization_invitations" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."organization_invitations" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."api_key_windows" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."api_key_windows" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."api_keys" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."api_keys" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."idempotency_keys" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."idempotency_keys" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."org_keys" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."org_keys" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
create function platform.my_invitations() returns table (org_id uuid, id uuid, organization_name text, organization_slug text, role text, expires_at timestamptz, created_at timestamptz)
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
revoke execute on function platform.my_invitations() from public;
