drop function platform.accept_api_key(bytea[], text);
--> statement-breakpoint
drop function platform.accept_session(uuid, bytea[], interval);
