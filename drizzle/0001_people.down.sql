drop function platform.user_id_by_email(text);
--> statement-breakpoint
drop function platform.my_organizations();
--> statement-breakpoint
drop function platform.enter_user(uuid);
--> statement-breakpoint
drop function platform.enter_org(uuid);
--> statement-breakpoint
drop table platform.organization_members;
--> statement-breakpoint
drop table platform.role_permissions;
--> statement-breakpoint
drop table platform.user_audit_logs;
--> statement-breakpoint
drop table platform.permissions;
--> statement-breakpoint
drop table platform.roles;
--> statement-breakpoint
drop table platform.users;
--> statement-breakpoint
drop table platform.organizations;
