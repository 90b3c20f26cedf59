drop table platform.organization_feature_flags;
--> statement-breakpoint
drop table platform.feature_flags;
