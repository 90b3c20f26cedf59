drop function platform.my_epoch_in(uuid);
--> statement-breakpoint
drop function platform.add_service(uuid, text, uuid, text);
--> statement-breakpoint
ALTER TABLE "platform"."roles" DROP COLUMN "is_built_in";
--> statement-breakpoint
update platform.roles set built_in = false where built_in is null;
--> statement-breakpoint
ALTER TABLE "platform"."roles" ALTER COLUMN "built_in" SET DEFAULT false;
--> statement-breakpoint
ALTER TABLE "platform"."roles" ALTER COLUMN "built_in" SET NOT NULL;
