-- Most entries have no number yet when they are written, and then the index need not be changed with them.
DROP INDEX "platform"."audit_logs_seq_idx";--> statement-breakpoint
CREATE INDEX "audit_logs_seq_idx" ON "platform"."audit_logs" USING btree ("org_id","seq") WHERE seq is not null;
