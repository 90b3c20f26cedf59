CREATE TABLE "platform"."projects" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"name" text NOT NULL,
	"slug" text NOT NULL,
	"ref" text NOT NULL,
	"status" text DEFAULT 'active' NOT NULL,
	"region" text,
	"database_host" text,
	"database_port" integer,
	"database_name" text,
	"database_user" text,
	"database_password" "bytea",
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_by" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "projects_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "projects_ref_key" UNIQUE("org_id","ref"),
	CONSTRAINT "projects_slug_check" CHECK (slug = lower(slug)),
	CONSTRAINT "projects_ref_check" CHECK (ref ~ '^[a-z0-9][a-z0-9-]{2,39}$'),
	CONSTRAINT "projects_database_port_check" CHECK (database_port between 1 and 65535),
	CONSTRAINT "projects_status_check" CHECK (status in ('active', 'inactive', 'paused', 'coming_up', 'going_down', 'restoring', 'upgrading', 'unhealthy'))
);
--> statement-breakpoint
ALTER TABLE "platform"."projects" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."project_members" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"project_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"role" text NOT NULL,
	"added_by" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "project_members_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "project_members_project_user_key" UNIQUE("org_id","project_id","user_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."project_members" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."credentials" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"project_id" uuid NOT NULL,
	"anon_key" "bytea",
	"service_role_key" "bytea",
	"jwt_secret" "bytea",
	"rotated_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "credentials_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "credentials_project_key" UNIQUE("org_id","project_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."credentials" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."compute_config" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"project_id" uuid NOT NULL,
	"instance_size" text NOT NULL,
	"cpu_cores" numeric(5, 2) NOT NULL,
	"memory_gb" numeric(7, 2) NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "compute_config_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "compute_config_project_key" UNIQUE("org_id","project_id"),
	CONSTRAINT "compute_config_instance_size_check" CHECK (instance_size in ('nano', 'micro', 'small', 'medium', 'large', 'xlarge', '2xlarge', '4xlarge', '8xlarge', '12xlarge', '16xlarge')),
	CONSTRAINT "compute_config_cpu_cores_check" CHECK (cpu_cores > 0 and cpu_cores <> 'NaN'),
	CONSTRAINT "compute_config_memory_gb_check" CHECK (memory_gb > 0 and memory_gb <> 'NaN')
);
--> statement-breakpoint
ALTER TABLE "platform"."compute_config" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."disk_config" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"project_id" uuid NOT NULL,
	"size_gb" integer NOT NULL,
	"io_budget" integer NOT NULL,
	"autoscale_enabled" boolean DEFAULT false NOT NULL,
	"autoscale_growth_percent" integer NOT NULL,
	"autoscale_limit_gb" integer,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "disk_config_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "disk_config_project_key" UNIQUE("org_id","project_id"),
	CONSTRAINT "disk_config_size_gb_check" CHECK (size_gb between 8 and 10000),
	CONSTRAINT "disk_config_io_budget_check" CHECK (io_budget >= 0),
	CONSTRAINT "disk_config_autoscale_growth_percent_check" CHECK (autoscale_growth_percent between 1 and 100),
	CONSTRAINT "disk_config_autoscale_limit_gb_check" CHECK (autoscale_limit_gb >= size_gb)
);
--> statement-breakpoint
ALTER TABLE "platform"."disk_config" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."project_metrics" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"project_id" uuid NOT NULL,
	"recorded_at" timestamp with time zone DEFAULT now() NOT NULL,
	"cpu_usage" numeric(5, 2),
	"memory_usage" numeric(5, 2),
	"disk_io_budget" numeric(10, 2),
	"disk_usage_gb" numeric(10, 2),
	"network_in_bytes" bigint,
	"network_out_bytes" bigint,
	"active_connections" integer,
	"query_count" integer,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "project_metrics_pkey" PRIMARY KEY("org_id","project_id","recorded_at","id"),
	CONSTRAINT "project_metrics_cpu_usage_check" CHECK (cpu_usage between 0 and 100 and cpu_usage <> 'NaN'),
	CONSTRAINT "project_metrics_memory_usage_check" CHECK (memory_usage between 0 and 100 and memory_usage <> 'NaN'),
	CONSTRAINT "project_metrics_disk_io_budget_check" CHECK (disk_io_budget >= 0 and disk_io_budget <> 'NaN'),
	CONSTRAINT "project_metrics_disk_usage_gb_check" CHECK (disk_usage_gb >= 0 and disk_usage_gb <> 'NaN')
) PARTITION BY RANGE ("recorded_at");
--> statement-breakpoint
ALTER TABLE "platform"."project_metrics" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."addon_catalog" (
	"id" uuid PRIMARY KEY NOT NULL,
	"addon_id" text NOT NULL,
	"name" text NOT NULL,
	"type" text NOT NULL,
	"description" text,
	"variants" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"active" boolean DEFAULT true NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "addon_catalog_addon_key" UNIQUE("addon_id")
);
--> statement-breakpoint
CREATE TABLE "platform"."project_addons" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"project_id" uuid NOT NULL,
	"addon_id" text NOT NULL,
	"addon_variant" text,
	"quantity" integer DEFAULT 1 NOT NULL,
	"price_per_unit" numeric(14, 2),
	"currency" char(3) NOT NULL,
	"status" text DEFAULT 'active' NOT NULL,
	"activated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deactivated_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "project_addons_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "project_addons_project_addon_key" UNIQUE("org_id","project_id","addon_id"),
	CONSTRAINT "project_addons_quantity_check" CHECK (quantity >= 1),
	CONSTRAINT "project_addons_price_per_unit_check" CHECK (price_per_unit <> 'NaN'),
	CONSTRAINT "project_addons_status_check" CHECK (status in ('active', 'inactive', 'pending'))
);
--> statement-breakpoint
ALTER TABLE "platform"."project_addons" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE "platform"."projects" ADD CONSTRAINT "projects_created_by_fkey" FOREIGN KEY ("created_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."projects" ADD CONSTRAINT "projects_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_members" ADD CONSTRAINT "project_members_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_members" ADD CONSTRAINT "project_members_user_fkey" FOREIGN KEY ("org_id","user_id") REFERENCES "platform"."organization_members"("org_id","user_id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_members" ADD CONSTRAINT "project_members_role_fkey" FOREIGN KEY ("org_id","role") REFERENCES "platform"."roles"("org_id","key") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_members" ADD CONSTRAINT "project_members_added_by_fkey" FOREIGN KEY ("added_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_members" ADD CONSTRAINT "project_members_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."credentials" ADD CONSTRAINT "credentials_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."credentials" ADD CONSTRAINT "credentials_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."compute_config" ADD CONSTRAINT "compute_config_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."compute_config" ADD CONSTRAINT "compute_config_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."disk_config" ADD CONSTRAINT "disk_config_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."disk_config" ADD CONSTRAINT "disk_config_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_metrics" ADD CONSTRAINT "project_metrics_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_metrics" ADD CONSTRAINT "project_metrics_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_addons" ADD CONSTRAINT "project_addons_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_addons" ADD CONSTRAINT "project_addons_addon_fkey" FOREIGN KEY ("addon_id") REFERENCES "platform"."addon_catalog"("addon_id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."project_addons" ADD CONSTRAINT "project_addons_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE UNIQUE INDEX "projects_slug_key" ON "platform"."projects" USING btree ("org_id","slug") WHERE deleted_at is null;
--> statement-breakpoint
CREATE INDEX "projects_status_idx" ON "platform"."projects" USING btree ("org_id","status","id");
--> statement-breakpoint
CREATE INDEX "projects_created_at_idx" ON "platform"."projects" USING btree ("org_id","created_at");
--> statement-breakpoint
CREATE INDEX "projects_created_by_idx" ON "platform"."projects" USING btree ("created_by","org_id");
--> statement-breakpoint
CREATE INDEX "project_members_user_idx" ON "platform"."project_members" USING btree ("org_id","user_id");
--> statement-breakpoint
CREATE INDEX "project_members_role_idx" ON "platform"."project_members" USING btree ("org_id","role");
--> statement-breakpoint
CREATE INDEX "project_members_added_by_idx" ON "platform"."project_members" USING btree ("added_by","org_id");
--> statement-breakpoint
CREATE INDEX "compute_config_instance_size_idx" ON "platform"."compute_config" USING btree ("org_id","instance_size");
--> statement-breakpoint
CREATE INDEX "project_addons_status_idx" ON "platform"."project_addons" USING btree ("org_id","status","id");
--> statement-breakpoint
CREATE INDEX "project_addons_addon_idx" ON "platform"."project_addons" USING btree ("org_id","addon_id");
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."projects" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."projects" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."project_members" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."project_members" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."credentials" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."credentials" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."compute_config" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."compute_config" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."disk_config" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."disk_config" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."project_metrics" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."project_metrics" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."project_addons" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."project_addons" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
-- A default partition, so that no row is ever refused, and the current and the next two months.
do $$
declare
  parent text;
  month date;
begin
  foreach parent in array array['project_metrics'] loop
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
