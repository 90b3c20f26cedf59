drop function platform.current_user_id();
--> statement-breakpoint
drop function platform.current_org();
--> statement-breakpoint
drop schema platform;
