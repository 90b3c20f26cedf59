DROP INDEX "platform"."agents_username_prefix_idx";
--> statement-breakpoint
DROP INDEX "platform"."projects_slug_prefix_idx";
--> statement-breakpoint
DROP INDEX "platform"."workflows_slug_prefix_idx";
