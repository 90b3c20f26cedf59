drop table platform.audit_logs;
--> statement-breakpoint
drop table platform.audit_seals;
--> statement-breakpoint
drop table platform.system_audit_logs;
