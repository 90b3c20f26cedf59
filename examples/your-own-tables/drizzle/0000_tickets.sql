CREATE SCHEMA "helpdesk";
--> statement-breakpoint
CREATE TABLE "helpdesk"."tickets" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"subject" text NOT NULL,
	"status" text DEFAULT 'open' NOT NULL,
	"agent_id" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "tickets_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "tickets_status_check" CHECK (status in ('open', 'answered', 'closed'))
);
--> statement-breakpoint
ALTER TABLE "helpdesk"."tickets" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "helpdesk"."tickets" ADD CONSTRAINT "tickets_agent_fkey" FOREIGN KEY ("org_id","agent_id") REFERENCES "platform"."agents"("org_id","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "helpdesk"."tickets" ADD CONSTRAINT "tickets_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "tickets_agent_idx" ON "helpdesk"."tickets" USING btree ("org_id","agent_id");--> statement-breakpoint
CREATE INDEX "tickets_status_idx" ON "helpdesk"."tickets" USING btree ("org_id","status","id");--> statement-breakpoint
CREATE POLICY "org_isolation" ON "helpdesk"."tickets" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());--> statement-breakpoint
CREATE POLICY "system_access" ON "helpdesk"."tickets" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);