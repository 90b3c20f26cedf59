CREATE TABLE "platform"."feature_flags" (
	"id" uuid PRIMARY KEY NOT NULL,
	"flag_key" text NOT NULL,
	"flag_name" text NOT NULL,
	"description" text,
	"enabled" boolean DEFAULT false NOT NULL,
	"default_value" boolean DEFAULT false NOT NULL,
	"rollout_percentage" smallint DEFAULT 0 NOT NULL,
	"archived_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "feature_flags_flag_key_key" UNIQUE("flag_key"),
	CONSTRAINT "feature_flags_rollout_percentage_check" CHECK (rollout_percentage between 0 and 100)
);
--> statement-breakpoint
CREATE TABLE "platform"."organization_feature_flags" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"flag_id" uuid NOT NULL,
	"enabled" boolean NOT NULL,
	"reason" text,
	"expires_at" timestamp with time zone,
	"set_by" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "organization_feature_flags_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "organization_feature_flags_flag_key" UNIQUE("org_id","flag_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."organization_feature_flags" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE "platform"."organization_feature_flags" ADD CONSTRAINT "organization_feature_flags_flag_fkey" FOREIGN KEY ("flag_id") REFERENCES "platform"."feature_flags"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_feature_flags" ADD CONSTRAINT "organization_feature_flags_set_by_fkey" FOREIGN KEY ("set_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_feature_flags" ADD CONSTRAINT "organization_feature_flags_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX "organization_feature_flags_flag_idx" ON "platform"."organization_feature_flags" USING btree ("flag_id");
--> statement-breakpoint
CREATE INDEX "organization_feature_flags_set_by_idx" ON "platform"."organization_feature_flags" USING btree ("set_by","org_id");
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."organization_feature_flags" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."organization_feature_flags" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
