drop table platform.compute_config;
--> statement-breakpoint
drop table platform.credentials;
--> statement-breakpoint
drop table platform.disk_config;
--> statement-breakpoint
drop table platform.project_addons;
--> statement-breakpoint
drop table platform.project_members;
--> statement-breakpoint
drop table platform.project_metrics;
--> statement-breakpoint
drop table platform.addon_catalog;
--> statement-breakpoint
drop table platform.projects;
