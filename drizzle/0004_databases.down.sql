drop table platform.database_connection_logs;
--> statement-breakpoint
drop table platform.database_metrics;
--> statement-breakpoint
drop table platform.databases;
