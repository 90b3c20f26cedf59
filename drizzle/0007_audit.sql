CREATE TABLE "platform"."audit_logs" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"project_id" uuid,
	"actor_kind" text DEFAULT 'system' NOT NULL,
	"actor_id" uuid,
	"actor_label" text,
	"on_behalf_of" uuid,
	"event_type" text NOT NULL,
	"action" text DEFAULT 'other' NOT NULL,
	"resource_type" text,
	"resource_id" text,
	"changes" jsonb,
	"metadata" jsonb,
	"severity" text DEFAULT 'info' NOT NULL,
	"ip_address" "inet",
	"user_agent" text,
	"request_id" text,
	"seq" bigint,
	"prev_hash" "bytea",
	"hash" "bytea",
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "audit_logs_pkey" PRIMARY KEY("org_id","created_at","id"),
	CONSTRAINT "audit_logs_actor_kind_check" CHECK (actor_kind in ('user', 'api_key', 'system', 'anonymous')),
	CONSTRAINT "audit_logs_action_check" CHECK (action in ('create', 'update', 'delete', 'restore', 'invite', 'other')),
	CONSTRAINT "audit_logs_severity_check" CHECK (severity in ('info', 'warning', 'error', 'critical'))
) PARTITION BY RANGE ("created_at");
--> statement-breakpoint
ALTER TABLE "platform"."audit_logs" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."audit_seals" (
	"org_id" uuid NOT NULL,
	"seq" bigint NOT NULL,
	"hash" "bytea" NOT NULL,
	"base_seq" bigint NOT NULL,
	"base_hash" "bytea",
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "audit_seals_pkey" PRIMARY KEY("org_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."audit_seals" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."system_audit_logs" (
	"id" uuid NOT NULL,
	"actor" text NOT NULL,
	"reason" text NOT NULL,
	"operation" text NOT NULL,
	"target_org_id" uuid,
	"target_user_id" uuid,
	"metadata" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "system_audit_logs_pkey" PRIMARY KEY("created_at","id")
);
--> statement-breakpoint
ALTER TABLE "platform"."system_audit_logs" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE INDEX "audit_logs_event_type_idx" ON "platform"."audit_logs" USING btree ("org_id","event_type","created_at");
--> statement-breakpoint
CREATE INDEX "audit_logs_resource_idx" ON "platform"."audit_logs" USING btree ("org_id","resource_type","resource_id","created_at");
--> statement-breakpoint
CREATE INDEX "audit_logs_actor_idx" ON "platform"."audit_logs" USING btree ("org_id","actor_id","created_at");
--> statement-breakpoint
CREATE INDEX "audit_logs_unsealed_idx" ON "platform"."audit_logs" USING btree ("org_id","created_at") WHERE seq is null;
--> statement-breakpoint
CREATE INDEX "audit_logs_seq_idx" ON "platform"."audit_logs" USING btree ("org_id","seq");
--> statement-breakpoint
CREATE INDEX "system_audit_logs_target_org_idx" ON "platform"."system_audit_logs" USING btree ("target_org_id","created_at");
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."audit_logs" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."audit_logs" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."audit_seals" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."audit_seals" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."system_audit_logs" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
-- A default partition, so that no row is ever refused, and the current and the next two months.
do $$
declare
  parent text;
  month date;
begin
  foreach parent in array array['audit_logs'] loop
    execute format('create table platform.%I partition of platform.%I default', parent || '_default', parent);
    for ahead in 0..2 loop
      month := date_trunc('month', now() at time zone 'UTC') + make_interval(months => ahead);
      execute format(
        'create table platform.%I partition of platform.%I for values from (%L) to (%L)',
        parent || to_char(month, '"_"YYYY"_"MM'), parent, month::timestamp at time zone 'UTC', (month + interval '1 month')::timestamp at time zone 'UTC'
      );
    end loop;
  end loop;
end
$$;
