-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_workflow_idx" ON "platform"."tasks" USING btree ("org_id","workflow_id");
--> statement-breakpoint
CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_agent_idx" ON "platform"."tasks" USING btree ("org_id","agent_id");
--> statement-breakpoint
CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_parent_idx" ON "platform"."tasks" USING btree ("org_id","parent_id");
--> statement-breakpoint
DROP INDEX CONCURRENTLY IF EXISTS "platform"."tasks_of_workflow_idx";
--> statement-breakpoint
DROP INDEX CONCURRENTLY IF EXISTS "platform"."tasks_of_agent_idx";
--> statement-breakpoint
DROP INDEX CONCURRENTLY IF EXISTS "platform"."tasks_of_parent_idx";
