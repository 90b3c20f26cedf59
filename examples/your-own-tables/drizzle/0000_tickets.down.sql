DROP TABLE "helpdesk"."tickets";
--> statement-breakpoint
DROP SCHEMA "helpdesk";
