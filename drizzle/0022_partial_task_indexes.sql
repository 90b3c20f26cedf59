-- no-transaction
-- Most tasks have no parent, and many no agent or no workflow: an index need not hold them. Writers go on while the indexes are built.
CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_of_workflow_idx" ON "platform"."tasks" USING btree ("org_id","workflow_id") WHERE workflow_id is not null;--> statement-breakpoint
CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_of_agent_idx" ON "platform"."tasks" USING btree ("org_id","agent_id") WHERE agent_id is not null;--> statement-breakpoint
CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_of_parent_idx" ON "platform"."tasks" USING btree ("org_id","parent_id") WHERE parent_id is not null;--> statement-breakpoint
DROP INDEX CONCURRENTLY IF EXISTS "platform"."tasks_workflow_idx";--> statement-breakpoint
DROP INDEX CONCURRENTLY IF EXISTS "platform"."tasks_agent_idx";--> statement-breakpoint
DROP INDEX CONCURRENTLY IF EXISTS "platform"."tasks_parent_idx";
