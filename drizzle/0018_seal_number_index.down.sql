DROP INDEX "platform"."audit_logs_seq_idx";--> statement-breakpoint
CREATE INDEX "audit_logs_seq_idx" ON "platform"."audit_logs" USING btree ("org_id","seq");
