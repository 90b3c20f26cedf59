drop function platform.my_invitations();
--> statement-breakpoint
drop table platform.api_key_windows;
--> statement-breakpoint
drop table platform.idempotency_keys;
--> statement-breakpoint
drop table platform.org_keys;
--> statement-breakpoint
drop table platform.organization_invitations;
--> statement-breakpoint
drop table platform.user_sessions;
--> statement-breakpoint
drop table platform.api_keys;
