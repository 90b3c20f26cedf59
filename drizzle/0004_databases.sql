CREATE TABLE "platform"."database_connection_logs" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"database_id" uuid NOT NULL,
	"project_id" uuid NOT NULL,
	"event_type" text NOT NULL,
	"message" text,
	"recorded_at" timestamp with time zone DEFAULT now() NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "database_connection_logs_pkey" PRIMARY KEY("org_id","recorded_at","id")
) PARTITION BY RANGE ("recorded_at");
--> statement-breakpoint
ALTER TABLE "platform"."database_connection_logs" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."database_metrics" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"database_id" uuid NOT NULL,
	"metric_type" text NOT NULL,
	"value" double precision NOT NULL,
	"recorded_at" timestamp with time zone DEFAULT now() NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "database_metrics_pkey" PRIMARY KEY("org_id","database_id","metric_type","recorded_at","id"),
	CONSTRAINT "database_metrics_value_check" CHECK (value > '-Infinity' and value < 'Infinity' and value <> 'NaN')
) PARTITION BY RANGE ("recorded_at");
--> statement-breakpoint
ALTER TABLE "platform"."database_metrics" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."databases" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"project_id" uuid NOT NULL,
	"name" text NOT NULL,
	"type" text NOT NULL,
	"connection_string" "bytea",
	"config" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"status" text DEFAULT 'active' NOT NULL,
	"health" text DEFAULT 'unknown' NOT NULL,
	"health_checked_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "databases_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "databases_type_check" CHECK (type in ('postgresql', 'mongodb', 'redis')),
	CONSTRAINT "databases_status_check" CHECK (status in ('active', 'inactive', 'error')),
	CONSTRAINT "databases_health_check" CHECK (health in ('healthy', 'degraded', 'down', 'unknown'))
);
--> statement-breakpoint
ALTER TABLE "platform"."databases" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE "platform"."database_connection_logs" ADD CONSTRAINT "database_connection_logs_database_fkey" FOREIGN KEY ("org_id","database_id") REFERENCES "platform"."databases"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."database_connection_logs" ADD CONSTRAINT "database_connection_logs_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."database_connection_logs" ADD CONSTRAINT "database_connection_logs_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."database_metrics" ADD CONSTRAINT "database_metrics_database_fkey" FOREIGN KEY ("org_id","database_id") REFERENCES "platform"."databases"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."database_metrics" ADD CONSTRAINT "database_metrics_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."databases" ADD CONSTRAINT "databases_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."databases" ADD CONSTRAINT "databases_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX "database_connection_logs_database_idx" ON "platform"."database_connection_logs" USING btree ("org_id","database_id","recorded_at");
--> statement-breakpoint
CREATE INDEX "database_connection_logs_project_idx" ON "platform"."database_connection_logs" USING btree ("org_id","project_id","recorded_at");
--> statement-breakpoint
CREATE UNIQUE INDEX "databases_name_key" ON "platform"."databases" USING btree ("org_id","project_id","name") WHERE deleted_at is null;
--> statement-breakpoint
CREATE INDEX "databases_project_idx" ON "platform"."databases" USING btree ("org_id","project_id");
--> statement-breakpoint
CREATE INDEX "databases_type_idx" ON "platform"."databases" USING btree ("org_id","type");
--> statement-breakpoint
CREATE INDEX "databases_status_idx" ON "platform"."databases" USING btree ("org_id","status","id");
--> statement-breakpoint
CREATE INDEX "databases_health_checked_at_idx" ON "platform"."databases" USING btree ("org_id","health_checked_at");
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."database_connection_logs" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."database_connection_logs" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."database_metrics" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."database_metrics" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."databases" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."databases" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
-- A default partition, so that no row is ever refused, and the current and the next two months.
do $$
declare
  parent text;
  month date;
begin
  foreach parent in array array['database_connection_logs', 'database_metrics'] loop
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
