drop table platform.billing_events;
--> statement-breakpoint
drop table platform.credit_entries;
--> statement-breakpoint
drop table platform.customer_profiles;
--> statement-breakpoint
drop table platform.invoices;
--> statement-breakpoint
drop table platform.payment_methods;
--> statement-breakpoint
drop table platform.tax_ids;
--> statement-breakpoint
drop table platform.usage_events;
--> statement-breakpoint
drop table platform.usage_metrics;
--> statement-breakpoint
drop table platform.credits;
--> statement-breakpoint
drop table platform.subscriptions;
--> statement-breakpoint
drop table platform.billing_plans;
