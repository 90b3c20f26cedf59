CREATE TABLE "platform"."billing_plans" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"price" numeric(14, 2) NOT NULL,
	"currency" char(3) NOT NULL,
	"interval" text NOT NULL,
	"features" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"limits" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"max_projects" integer,
	"max_members" integer,
	"active" boolean DEFAULT true NOT NULL,
	"sort_order" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "billing_plans_price_check" CHECK (price <> 'NaN'),
	CONSTRAINT "billing_plans_interval_check" CHECK (interval in ('month', 'year')),
	CONSTRAINT "billing_plans_limits_check" CHECK (not (limits ?| array['max_projects','max_members']))
);
--> statement-breakpoint
CREATE TABLE "platform"."subscriptions" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"plan_id" text NOT NULL,
	"plan_name" text NOT NULL,
	"status" text DEFAULT 'active' NOT NULL,
	"current_period_start" timestamp with time zone NOT NULL,
	"current_period_end" timestamp with time zone NOT NULL,
	"cancel_at_period_end" boolean DEFAULT false NOT NULL,
	"canceled_at" timestamp with time zone,
	"trial_ends_at" timestamp with time zone,
	"spend_cap_enabled" boolean DEFAULT true NOT NULL,
	"stripe_customer_id" text,
	"stripe_subscription_id" text,
	"provider_updated_at" timestamp with time zone,
	"next_invoice_number" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "subscriptions_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "subscriptions_org_key" UNIQUE("org_id"),
	CONSTRAINT "subscriptions_period_check" CHECK (current_period_end > current_period_start),
	CONSTRAINT "subscriptions_status_check" CHECK (status in ('trialing', 'active', 'past_due', 'paused', 'canceled', 'incomplete'))
);
--> statement-breakpoint
ALTER TABLE "platform"."subscriptions" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."invoices" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"number" integer,
	"stripe_invoice_id" text,
	"subscription_id" uuid,
	"status" text DEFAULT 'draft' NOT NULL,
	"currency" char(3) NOT NULL,
	"subtotal" numeric(14, 2) NOT NULL,
	"tax" numeric(14, 2) NOT NULL,
	"total" numeric(14, 2) NOT NULL,
	"amount_due" numeric(14, 2) NOT NULL,
	"amount_paid" numeric(14, 2) NOT NULL,
	"period_start" timestamp with time zone,
	"period_end" timestamp with time zone,
	"due_at" timestamp with time zone,
	"finalized_at" timestamp with time zone,
	"paid_at" timestamp with time zone,
	"lines" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"hosted_url" text,
	"pdf_url" text,
	"provider_updated_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "invoices_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "invoices_number_key" UNIQUE("org_id","number"),
	CONSTRAINT "invoices_stripe_invoice_key" UNIQUE("org_id","stripe_invoice_id"),
	CONSTRAINT "invoices_subtotal_check" CHECK (subtotal <> 'NaN'),
	CONSTRAINT "invoices_tax_check" CHECK (tax <> 'NaN'),
	CONSTRAINT "invoices_total_check" CHECK (total <> 'NaN'),
	CONSTRAINT "invoices_amount_due_check" CHECK (amount_due <> 'NaN'),
	CONSTRAINT "invoices_amount_paid_check" CHECK (amount_paid <> 'NaN'),
	CONSTRAINT "invoices_status_check" CHECK (status in ('draft', 'open', 'paid', 'void', 'uncollectible'))
);
--> statement-breakpoint
ALTER TABLE "platform"."invoices" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."payment_methods" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"stripe_payment_method_id" text NOT NULL,
	"type" text NOT NULL,
	"card_brand" text,
	"card_last4" text,
	"card_exp_month" integer,
	"card_exp_year" integer,
	"is_default" boolean DEFAULT false NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "payment_methods_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "payment_methods_stripe_payment_method_key" UNIQUE("org_id","stripe_payment_method_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."payment_methods" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."customer_profiles" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"company_name" text,
	"contact_name" text,
	"phone" text,
	"line1" text,
	"line2" text,
	"city" text,
	"state" text,
	"postal_code" text,
	"country" char(2),
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "customer_profiles_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "customer_profiles_org_key" UNIQUE("org_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."customer_profiles" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."tax_ids" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"type" text NOT NULL,
	"value" text NOT NULL,
	"country" char(2) NOT NULL,
	"status" text DEFAULT 'pending' NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "tax_ids_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "tax_ids_value_key" UNIQUE("org_id","type","value"),
	CONSTRAINT "tax_ids_status_check" CHECK (status in ('pending', 'verified', 'unverified'))
);
--> statement-breakpoint
ALTER TABLE "platform"."tax_ids" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."credit_entries" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"credit_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"amount" numeric(14, 2) NOT NULL,
	"reference" text,
	"created_by" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "credit_entries_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "credit_entries_amount_check" CHECK (amount > 0 and amount <> 'NaN'),
	CONSTRAINT "credit_entries_kind_check" CHECK (kind in ('grant', 'spend', 'void'))
);
--> statement-breakpoint
ALTER TABLE "platform"."credit_entries" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."credits" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"amount" numeric(14, 2) NOT NULL,
	"remaining" numeric(14, 2) NOT NULL,
	"currency" char(3) NOT NULL,
	"reason" text,
	"priority" smallint DEFAULT 100 NOT NULL,
	"expires_at" timestamp with time zone,
	"voided_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "credits_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "credits_amount_check" CHECK (amount > 0 and amount <> 'NaN'),
	CONSTRAINT "credits_remaining_check" CHECK (remaining >= 0 and remaining <= amount and remaining <> 'NaN')
);
--> statement-breakpoint
ALTER TABLE "platform"."credits" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."usage_events" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"idempotency_key" text NOT NULL,
	"metric_type" text NOT NULL,
	"quantity" numeric(30, 6) NOT NULL,
	"project_id" uuid,
	"occurred_at" timestamp with time zone NOT NULL,
	"body_hash" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "usage_events_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "usage_events_idempotency_key" UNIQUE("org_id","idempotency_key"),
	CONSTRAINT "usage_events_quantity_check" CHECK (quantity >= 0 and quantity <> 'NaN')
);
--> statement-breakpoint
ALTER TABLE "platform"."usage_events" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."usage_metrics" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"metric_type" text NOT NULL,
	"metric_value" numeric(30, 6) NOT NULL,
	"project_id" uuid,
	"period_start" timestamp with time zone NOT NULL,
	"period_end" timestamp with time zone NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "usage_metrics_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "usage_metrics_period_key" UNIQUE NULLS NOT DISTINCT("org_id","metric_type","project_id","period_start"),
	CONSTRAINT "usage_metrics_period_check" CHECK (period_end > period_start),
	CONSTRAINT "usage_metrics_metric_value_check" CHECK (metric_value <> 'NaN')
);
--> statement-breakpoint
ALTER TABLE "platform"."usage_metrics" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE TABLE "platform"."billing_events" (
	"org_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"provider" text NOT NULL,
	"event_id" text NOT NULL,
	"type" text NOT NULL,
	"payload" jsonb NOT NULL,
	"provider_created_at" timestamp with time zone,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL,
	"processed_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "billing_events_pkey" PRIMARY KEY("org_id","id"),
	CONSTRAINT "billing_events_event_key" UNIQUE("org_id","provider","event_id")
);
--> statement-breakpoint
ALTER TABLE "platform"."billing_events" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE "platform"."subscriptions" ADD CONSTRAINT "subscriptions_plan_fkey" FOREIGN KEY ("plan_id") REFERENCES "platform"."billing_plans"("id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."subscriptions" ADD CONSTRAINT "subscriptions_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."invoices" ADD CONSTRAINT "invoices_subscription_fkey" FOREIGN KEY ("org_id","subscription_id") REFERENCES "platform"."subscriptions"("org_id","id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."invoices" ADD CONSTRAINT "invoices_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."payment_methods" ADD CONSTRAINT "payment_methods_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."customer_profiles" ADD CONSTRAINT "customer_profiles_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."tax_ids" ADD CONSTRAINT "tax_ids_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."credit_entries" ADD CONSTRAINT "credit_entries_credit_fkey" FOREIGN KEY ("org_id","credit_id") REFERENCES "platform"."credits"("org_id","id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."credit_entries" ADD CONSTRAINT "credit_entries_created_by_fkey" FOREIGN KEY ("created_by") REFERENCES "platform"."users"("id") ON DELETE set null ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."credit_entries" ADD CONSTRAINT "credit_entries_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."credits" ADD CONSTRAINT "credits_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."usage_events" ADD CONSTRAINT "usage_events_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."usage_metrics" ADD CONSTRAINT "usage_metrics_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "platform"."billing_events" ADD CONSTRAINT "billing_events_org_fkey" FOREIGN KEY ("org_id") REFERENCES "platform"."organizations"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX "billing_plans_active_idx" ON "platform"."billing_plans" USING btree ("active","sort_order");
--> statement-breakpoint
CREATE INDEX "subscriptions_status_idx" ON "platform"."subscriptions" USING btree ("org_id","status");
--> statement-breakpoint
CREATE INDEX "subscriptions_stripe_customer_idx" ON "platform"."subscriptions" USING btree ("stripe_customer_id");
--> statement-breakpoint
CREATE INDEX "subscriptions_plan_idx" ON "platform"."subscriptions" USING btree ("plan_id");
--> statement-breakpoint
CREATE INDEX "invoices_status_idx" ON "platform"."invoices" USING btree ("org_id","status","id");
--> statement-breakpoint
CREATE INDEX "invoices_period_idx" ON "platform"."invoices" USING btree ("org_id","period_start","period_end");
--> statement-breakpoint
CREATE INDEX "invoices_subscription_idx" ON "platform"."invoices" USING btree ("org_id","subscription_id");
--> statement-breakpoint
CREATE INDEX "invoices_created_at_idx" ON "platform"."invoices" USING btree ("org_id","created_at");
--> statement-breakpoint
CREATE UNIQUE INDEX "payment_methods_default_key" ON "platform"."payment_methods" USING btree ("org_id") WHERE is_default;
--> statement-breakpoint
CREATE INDEX "tax_ids_status_idx" ON "platform"."tax_ids" USING btree ("org_id","status");
--> statement-breakpoint
CREATE INDEX "credit_entries_credit_idx" ON "platform"."credit_entries" USING btree ("org_id","credit_id");
--> statement-breakpoint
CREATE INDEX "credit_entries_created_by_idx" ON "platform"."credit_entries" USING btree ("created_by","org_id");
--> statement-breakpoint
CREATE INDEX "credits_burn_idx" ON "platform"."credits" USING btree ("org_id","priority","expires_at","id") WHERE remaining > 0;
--> statement-breakpoint
CREATE INDEX "credits_expires_at_idx" ON "platform"."credits" USING btree ("org_id","expires_at");
--> statement-breakpoint
CREATE INDEX "usage_events_occurred_at_idx" ON "platform"."usage_events" USING btree ("org_id","occurred_at");
--> statement-breakpoint
CREATE INDEX "usage_metrics_period_start_idx" ON "platform"."usage_metrics" USING btree ("org_id","period_start");
--> statement-breakpoint
CREATE INDEX "usage_metrics_metric_type_idx" ON "platform"."usage_metrics" USING btree ("org_id","metric_type","period_start");
--> statement-breakpoint
CREATE INDEX "usage_metrics_project_idx" ON "platform"."usage_metrics" USING btree ("org_id","project_id","period_start");
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."subscriptions" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."subscriptions" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."invoices" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."invoices" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."payment_methods" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."payment_methods" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."customer_profiles" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."customer_profiles" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."tax_ids" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."tax_ids" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."credit_entries" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."credit_entries" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."credits" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."credits" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."usage_events" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."usage_events" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."usage_metrics" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."usage_metrics" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY "org_isolation" ON "platform"."billing_events" AS PERMISSIVE FOR ALL TO "tenantry_app" USING (org_id = platform.current_org()) WITH CHECK (org_id = platform.current_org());
--> statement-breakpoint
CREATE POLICY "system_access" ON "platform"."billing_events" AS PERMISSIVE FOR ALL TO "tenantry_system" USING (true) WITH CHECK (true);
