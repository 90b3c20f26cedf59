drop function platform.authenticate_api_key(bytea[], text);
--> statement-breakpoint
drop function platform.authenticate_session(uuid, bytea[], integer);
