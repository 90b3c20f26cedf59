drop function platform.assert_room(text, numeric, numeric, numeric);
--> statement-breakpoint
drop function platform.is_live_member(uuid);
