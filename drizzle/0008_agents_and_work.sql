CREATE TABLE "platform"."llms" (
	"id" uuid PRIMARY KEY NOT NULL,
	"key" text NOT NULL,
	"name" text NOT NULL,
	"provider" text NOT NULL,
	"models" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"active" boolean DEFAULT true NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "llms_key_key" UNIQUE("key")
);
--> statement-breakpoint
CREATE TABLE "platform"."organization_llms" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"llm_id" uuid NOT NULL,
	"api_key" "bytea",
	"default_model" text,
	"models" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "organization_llms_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "organization_llms_llm_key" UNIQUE("org_id","llm_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."organization_llms" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."organization_tools" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"tool_id" uuid NOT NULL,
	"custom_config" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "organization_tools_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "organization_tools_tool_key" UNIQUE("org_id","tool_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."organization_tools" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."tools" (
	"id" uuid PRIMARY KEY NOT NULL,
	"key" text NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"input_schema" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"active" boolean DEFAULT true NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "tools_key_key" UNIQUE("key")
);
--> statement-breakpoint
CREATE TABLE "platform"."agent_tools" (
	"org_id" uuid NOT NULL,
	"agent_id" uuid NOT NULL,
	"organization_tool_id" uuid NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "agent_tools_pkey" PRIMARY KEY("org_id","agent_id","organization_tool_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."agent_tools" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."agents" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"name" text NOT NULL,
	"username" text NOT NULL,
	"instructions" text,
	"status" text DEFAULT 'draft' NOT NULL,
	"project_id" uuid,
	"organization_llm_id" uuid,
	"model" text,
	"settings" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"revision" integer DEFAULT 1 NOT NULL,
	"created_by" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "agents_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "agents_username_check" CHECK (username = lower(username)),
	CONSTRAINT "agents_status_check" CHECK (status in ('draft', 'active', 'paused'))
);
--> statement-breakpoint
ALTER TABLE "platform"."agents" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."workflows" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"name" text NOT NULL,
	"slug" text NOT NULL,
	"description" text,
	"definition" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"status" text DEFAULT 'draft' NOT NULL,
	"project_id" uuid,
	"revision" integer DEFAULT 1 NOT NULL,
	"created_by" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "workflows_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "workflows_slug_check" CHECK (slug = lower(slug)),
	CONSTRAINT "workflows_status_check" CHECK (status in ('draft', 'active', 'archived'))
);
--> statement-breakpoint
ALTER TABLE "platform"."workflows" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."schedules" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"workflow_id" uuid NOT NULL,
	"name" text NOT NULL,
	"cron" text NOT NULL,
	"timezone" text NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"input" jsonb,
	"missed_runs" text DEFAULT 'skip' NOT NULL,
	"next_run_at" timestamp with time zone,
	"last_run_at" timestamp with time zone,
	"revision" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp with time zone,
	CONSTRAINT "schedules_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "schedules_missed_runs_check" CHECK (missed_runs in ('skip', 'run_once'))
);
--> statement-breakpoint
ALTER TABLE "platform"."schedules" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."tasks" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"workflow_id" uuid,
	"agent_id" uuid,
	"schedule_id" uuid,
	"scheduled_for" timestamp with time zone,
	"parent_id" uuid,
	"kind" text NOT NULL,
	"status" text DEFAULT 'queued' NOT NULL,
	"priority" smallint DEFAULT 0 NOT NULL,
	"input" jsonb,
	"output" jsonb,
	"error" jsonb,
	"attempt" integer DEFAULT 0 NOT NULL,
	"max_attempts" integer DEFAULT 1 NOT NULL,
	"run_at" timestamp with time zone DEFAULT now() NOT NULL,
	"lease_owner" text,
	"lease_expires_at" timestamp with time zone,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	"dedupe_key" text,
	"created_by" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "tasks_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "tasks_schedule_key" UNIQUE("org_id","schedule_id","scheduled_for"),
	CONSTRAINT "tasks_status_check" CHECK (status in ('queued', 'running', 'succeeded', 'failed', 'canceled'))
);
--> statement-breakpoint
ALTER TABLE "platform"."tasks" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE "platform"."organization_llms" ADD CONSTRAINT "organization_llms_llm_fkey" FOREIGN KEY ("llm_id") REFERENCES "platform"."llms"("id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_llms" ADD CONSTRAINT "organization_llms_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_tools" ADD CONSTRAINT "organization_tools_tool_fkey" FOREIGN KEY ("tool_id") REFERENCES "platform"."tools"("id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."organization_tools" ADD CONSTRAINT "organization_tools_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."agent_tools" ADD CONSTRAINT "agent_tools_agent_fkey" FOREIGN KEY ("org_id","agent_id") REFERENCES "platform"."agents"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."agent_tools" ADD CONSTRAINT "agent_tools_organization_tool_fkey" FOREIGN KEY ("org_id","organization_tool_id") REFERENCES "platform"."organization_tools"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."agent_tools" ADD CONSTRAINT "agent_tools_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."agents" ADD CONSTRAINT "agents_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."agents" ADD CONSTRAINT "agents_organization_llm_fkey" FOREIGN KEY ("org_id","organization_llm_id") REFERENCES "platform"."organization_llms"("org_id","id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."agents" ADD CONSTRAINT "agents_created_by_fkey" FOREIGN KEY ("created_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."agents" ADD CONSTRAINT "agents_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."workflows" ADD CONSTRAINT "workflows_project_fkey" FOREIGN KEY ("org_id","project_id") REFERENCES "platform"."projects"("org_id","id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."workflows" ADD CONSTRAINT "workflows_created_by_fkey" FOREIGN KEY ("created_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."workflows" ADD CONSTRAINT "workflows_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."schedules" ADD CONSTRAINT "schedules_workflow_fkey" FOREIGN KEY ("org_id","workflow_id") REFERENCES "platform"."workflows"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."schedules" ADD CONSTRAINT "schedules_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."tasks" ADD CONSTRAINT "tasks_workflow_fkey" FOREIGN KEY ("org_id","workflow_id") REFERENCES "platform"."workflows"("org_id","id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."tasks" ADD CONSTRAINT "tasks_agent_fkey" FOREIGN KEY ("org_id","agent_id") REFERENCES "platform"."agents"("org_id","id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."tasks" ADD CONSTRAINT "tasks_schedule_fkey" FOREIGN KEY ("org_id","schedule_id") REFERENCES "platform"."schedules"("org_id","id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."tasks" ADD CONSTRAINT "tasks_parent_fkey" FOREIGN KEY ("org_id","parent_id") REFERENCES "platform"."tasks"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."tasks" ADD CONSTRAINT "tasks_created_by_fkey" FOREIGN KEY ("created_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."tasks" ADD CONSTRAINT "tasks_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX "organization_llms_llm_idx" ON "platform"."organization_llms" USING btree ("llm_id");
--> statement-breakpoint
CREATE INDEX "organization_tools_tool_idx" ON "platform"."organization_tools" USING btree ("tool_id");
--> statement-breakpoint
CREATE INDEX "agent_tools_organization_tool_idx" ON "platform"."agent_tools" USING btree ("org_id","organization_tool_id");
--> statement-breakpoint
CREATE UNIQUE INDEX "agents_username_key" ON "platform"."agents" USING btree ("org_id","username") WHERE deleted_at is null;
--> statement-breakpoint
CREATE INDEX "agents_project_idx" ON "platform"."agents" USING btree ("org_id","project_id");
--> statement-breakpoint
CREATE INDEX "agents_organization_llm_idx" ON "platform"."agents" USING btree ("org_id","organization_llm_id");
--> statement-breakpoint
CREATE INDEX "agents_status_idx" ON "platform"."agents" USING btree ("org_id","status","id");
--> statement-breakpoint
CREATE INDEX "agents_created_at_idx" ON "platform"."agents" USING btree ("org_id","created_at");
--> statement-breakpoint
CREATE INDEX "agents_created_by_idx" ON "platform"."agents" USING btree ("created_by","org_id");
--> statement-breakpoint
CREATE UNIQUE INDEX "workflows_slug_key" ON "platform"."workflows" USING btree ("org_id","slug") WHERE deleted_at is null;
--> statement-breakpoint
CREATE INDEX "workflows_status_idx" ON "platform"."workflows" USING btree ("org_id","status","id");
--> statement-breakpoint
CREATE INDEX "workflows_project_idx" ON "platform"."workflows" USING btree ("org_id","project_id");
--> statement-breakpoint
CREATE INDEX "workflows_created_at_idx" ON "platform"."workflows" USING btree ("org_id","created_at");
--> statement-breakpoint
CREATE INDEX "workflows_created_by_idx" ON "platform"."workflows" USING btree ("created_by","org_id");
--> statement-breakpoint
CREATE UNIQUE INDEX "schedules_name_key" ON "platform"."schedules" USING btree ("org_id","name") WHERE deleted_at is null;
--> statement-breakpoint
CREATE INDEX "schedules_workflow_idx" ON "platform"."schedules" USING btree ("org_id","workflow_id");
--> statement-breakpoint
CREATE INDEX "schedules_next_run_at_idx" ON "platform"."schedules" USING btree ("org_id","next_run_at") WHERE enabled and deleted_at is null;
--> statement-breakpoint
CREATE INDEX "schedules_due_idx" ON "platform"."schedules" USING btree ("next_run_at","org_id") WHERE enabled and deleted_at is null;
--> statement-breakpoint
CREATE INDEX "schedules_created_at_idx" ON "platform"."schedules" USING btree ("org_id","created_at");
--> statement-breakpoint
CREATE UNIQUE INDEX "tasks_dedupe_key" ON "platform"."tasks" USING btree ("org_id","dedupe_key") WHERE status in ('queued', 'running');
--> statement-breakpoint
CREATE INDEX "tasks_queue_idx" ON "platform"."tasks" USING btree ("org_id","priority","run_at") WHERE status = 'queued';
--> statement-breakpoint
CREATE INDEX "tasks_status_idx" ON "platform"."tasks" USING btree ("org_id","status","id");
--> statement-breakpoint
CREATE INDEX "tasks_workflow_idx" ON "platform"."tasks" USING btree ("org_id","workflow_id");
--> statement-breakpoint
CREATE INDEX "tasks_agent_idx" ON "platform"."tasks" USING btree ("org_id","agent_id");
--> statement-breakpoint
CREATE INDEX "tasks_parent_idx" ON "platform"."tasks" USING btree ("org_id","parent_id");
--> statement-breakpoint
CREATE INDEX "tasks_created_at_idx" ON "platform"."tasks" USING btree ("org_id","created_at");
--> statement-breakpoint
CREATE INDEX "tasks_run_at_idx" ON "platform"."tasks" USING btree ("run_at","org_id") WHERE status = 'queued';
--> statement-breakpoint
CREATE INDEX "tasks_lease_idx" ON "platform"."tasks" USING btree ("lease_expires_at","org_id") WHERE status = 'running';
--> statement-breakpoint
CREATE INDEX "tasks_created_by_idx" ON "platform"."tasks" USING btree ("created_by","org_id");
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."organization_llms" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."organization_llms" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."organization_tools" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."organization_tools" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."agent_tools" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."agent_tools" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."agents" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."agents" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."workflows" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."workflows" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."schedules" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."schedules" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."tasks" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."tasks" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
