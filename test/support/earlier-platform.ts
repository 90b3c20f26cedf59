import type { Session } from '../../src/database/session.js'

/**
 * A platform of before: thirteen tables, or twenty-eight with people, plans, flags and databases. Secrets are in clear, rows get a new
 * `updated_at` by a trigger, a view and functions read the tables, and one function runs with the rights of its owner.
 */
export interface EarlierTables {
  readonly schema: string
  readonly isLarge: boolean
}

const times = `created_at timestamptz default now(), updated_at timestamptz default now()`

function smallTables(s: string): string[] {
  const ofOrganization = `organization_id uuid not null references ${s}.organizations (id) on delete cascade`
  const ofProject = `project_id uuid not null references ${s}.projects (id) on delete cascade`
  const id = 'id uuid primary key default gen_random_uuid()'
  return [
    `create table ${s}.organizations (${id}, name text not null, slug text not null unique, billing_email text, ${times})`,
    `create table ${s}.projects (${id}, ${ofOrganization}, name text not null, slug text not null, ref text not null unique, database_host text not null,
       database_port int not null default 5432, database_name text not null, database_user text not null, database_password text not null,
       postgres_meta_url text not null, supabase_url text not null, status text not null default 'ACTIVE_HEALTHY', ${times})`,
    `create table ${s}.credentials (${id}, ${ofProject} unique, anon_key text not null check (length(trim(anon_key)) > 0), service_role_key text not null,
       jwt_secret text not null, ${times})`,
    `create table ${s}.subscriptions (${id}, ${ofOrganization} unique, plan_id text not null, plan_name text not null, status text not null default 'active',
       current_period_start bigint, current_period_end bigint, spend_cap_enabled boolean default false, customer_balance numeric(10,2) default 0,
       stripe_customer_id text, stripe_subscription_id text, ${times})`,
    `create table ${s}.invoices (${id}, ${ofOrganization}, stripe_invoice_id text unique, invoice_number text, amount_due numeric(10,2) not null,
       amount_paid numeric(10,2) default 0, amount_remaining numeric(10,2), currency text default 'usd', status text not null, period_start bigint,
       period_end bigint, due_date bigint, paid_at bigint, invoice_pdf text, hosted_invoice_url text, ${times})`,
    `create table ${s}.payment_methods (${id}, ${ofOrganization}, stripe_payment_method_id text unique not null, type text not null,
       is_default boolean default false, card_brand text, card_last4 text, card_exp_month int, card_exp_year int, billing_details jsonb, ${times})`,
    `create table ${s}.tax_ids (${id}, ${ofOrganization}, type text not null, value text not null, country text, status text default 'active', ${times},
       unique (organization_id, type, value))`,
    `create table ${s}.usage_metrics (${id}, organization_id uuid references ${s}.organizations on delete cascade, project_id uuid references ${s}.projects on delete cascade,
       metric_type text not null, metric_value numeric not null, metric_unit text not null, period_start timestamptz not null, period_end timestamptz not null,
       cost numeric(10,2), created_at timestamptz default now())`,
    `create table ${s}.addons (${id}, ${ofProject}, addon_type text not null, addon_variant text not null, quantity int default 1, price_per_unit numeric(10,2),
       metadata jsonb, status text default 'active', activated_at timestamptz default now(), deactivated_at timestamptz, ${times})`,
    `create index addons_project on ${s}.addons (project_id)`,
    `create table ${s}.customer_profiles (${id}, organization_id uuid unique not null references ${s}.organizations on delete cascade, company_name text,
       address_line1 text, address_line2 text, city text, state text, postal_code text, country text, tax_id text, ${times})`,
    `create table ${s}.credits (${id}, ${ofOrganization}, amount numeric(10,2) not null, remaining numeric(10,2) not null, description text,
       status text not null default 'active', expires_at timestamptz, ${times})`,
    `create table ${s}.disk_config (${id}, ${ofProject} unique, size_gb int not null default 8, io_budget int not null default 2400,
       autoscale_enabled boolean default false, autoscale_limit_gb int, status text default 'active', ${times})`,
    `create table ${s}.compute_config (${id}, ${ofProject} unique, instance_size text not null default 'micro', cpu_cores numeric(3,1), memory_gb numeric(4,1),
       architecture text, ${times})`,
  ]
}

function largeTables(s: string): string[] {
  const ofOrganization = `organization_id uuid not null references ${s}.organizations (id) on delete cascade`
  const ofProject = `project_id uuid not null references ${s}.projects (id) on delete cascade`
  const ofUser = `user_id uuid not null references ${s}.users (id) on delete cascade`
  const id = 'id uuid primary key default gen_random_uuid()'
  return [
    `create table ${s}.users (${id}, email text not null unique, username text unique, first_name text, last_name text, password_hash text,
       mfa_enabled boolean default false, email_confirmed_at timestamptz, deleted_at timestamptz, metadata jsonb default '{}', last_sign_in_at timestamptz,
       active_org_id uuid references ${s}.organizations on delete set null, ${times})`,
    `create table ${s}.user_sessions (${id}, ${ofUser}, token text not null unique, refresh_token text unique, ip_address inet, expires_at timestamptz not null,
       created_at timestamptz default now())`,
    `create table ${s}.organization_members (${id}, ${ofOrganization}, ${ofUser}, role text not null, invited_at timestamptz,
       invited_by uuid references ${s}.users on delete set null, joined_at timestamptz default now(), ${times}, unique (organization_id, user_id))`,
    `create table ${s}.project_members (${id}, ${ofProject}, ${ofUser}, role text not null, added_by uuid references ${s}.users on delete set null, ${times},
       unique (project_id, user_id))`,
    `create table ${s}.billing_plans (id text primary key, name text not null, description text, price numeric(10,2) not null, interval text not null,
       features jsonb default '[]', limits jsonb default '{}', max_projects int, max_members int, active boolean default true, sort_order int default 0, ${times})`,
    `create table ${s}.project_addons (${id}, ${ofProject}, addon_id text not null, addon_variant text, quantity int default 1, price_per_unit numeric(10,2),
       status text default 'active', activated_at timestamptz default now(), deactivated_at timestamptz, ${times}, unique (project_id, addon_id))`,
    `create table ${s}.project_metrics (${id}, ${ofProject}, "timestamp" timestamptz not null default now(), cpu_usage numeric(5,2), memory_usage numeric(5,2),
       disk_io_budget numeric(10,2), disk_usage_gb numeric(10,2), network_in_bytes bigint, network_out_bytes bigint, active_connections int, query_count int,
       created_at timestamptz default now())`,
    `create table ${s}.organization_invitations (${id}, ${ofOrganization}, invited_email text not null, invited_by uuid not null references ${s}.users,
       role text not null, token text not null unique, expires_at timestamptz not null, accepted_at timestamptz, created_at timestamptz default now())`,
    `create table ${s}.api_keys (${id}, ${ofOrganization}, ${ofUser}, name text not null, key_prefix text not null, key_hash text not null unique,
       scopes jsonb default '[]', expires_at timestamptz, revoked_at timestamptz, created_at timestamptz default now())`,
    `create table ${s}.audit_logs (${id}, organization_id uuid references ${s}.organizations on delete set null, project_id uuid references ${s}.projects on delete set null,
       user_id uuid references ${s}.users on delete set null, event_type text not null, resource_type text, resource_id uuid, action text not null,
       ip_address inet, user_agent text, metadata jsonb default '{}', severity text default 'info', created_at timestamptz default now())`,
    `create table ${s}.feature_flags (${id}, flag_key text not null unique, flag_name text not null, description text, enabled boolean default false,
       rollout_percentage int default 0, ${times})`,
    `create table ${s}.organization_feature_flags (${id}, ${ofOrganization}, flag_id uuid not null references ${s}.feature_flags on delete cascade,
       enabled boolean not null, ${times}, unique (organization_id, flag_id))`,
    `create table ${s}.databases (${id}, ${ofProject}, name text not null, type text not null, connection_string text not null, config jsonb default '{}',
       status text default 'active', last_health_check_at timestamptz, health_check_status text, ${times}, unique (project_id, name))`,
    `create table ${s}.database_metrics (${id}, database_id uuid not null references ${s}.databases on delete cascade, metric_type text not null,
       value numeric not null, "timestamp" timestamptz default now(), metadata jsonb default '{}')`,
    `create table ${s}.database_connection_logs (${id}, database_id uuid not null references ${s}.databases on delete cascade, ${ofProject},
       event_type text not null, message text, created_at timestamptz default now())`,
  ]
}

const objects = (s: string, names: readonly string[]): string[] => [
  `create function ${s}.touch() returns trigger language plpgsql as 'begin new.updated_at = clock_timestamp(); return new; end'`,
  ...names.map(
    (name) => `create trigger touched before update on ${s}.${name} for each row execute function ${s}.touch()`,
  ),
  `create view ${s}.projects_with_credentials as select p.id, p.ref, p.database_password, c.jwt_secret from ${s}.projects p left join ${s}.credentials c on c.project_id = p.id`,
  `create function ${s}.available_credits(org uuid) returns numeric language sql stable as 'select coalesce(sum(remaining), 0) from ${s}.credits where organization_id = org'`,
  `create function ${s}.rename_organization(org uuid, called text) returns void language plpgsql security definer as
     'begin update ${s}.organizations set name = called where id = org; end'`,
]

/** The statements that make the tables, in their order. */
function earlierTables({ schema, isLarge }: EarlierTables): string[] {
  const tables = [...smallTables(schema), ...(isLarge ? largeTables(schema) : [])]
  const names = tables
    .filter((text) => text.includes('updated_at'))
    .map((text) => /create table \w+\.(\w+)/.exec(text)?.[1] ?? '')
  return [`create schema if not exists ${schema}`, ...tables, ...objects(schema, names)]
}

/** The statements that fill the tables: `rows` in each of the long ones. */
function earlierRows({ schema: s, isLarge }: EarlierTables, rows: number): string[] {
  const organizations = Math.max(2, Math.trunc(rows / 50))
  const projects = Math.max(4, Math.trunc(rows / 5))
  const one = (table: string, offset = 0) =>
    `(array(select id from ${s}.${table} order by created_at, id))[1 + (n + ${offset}) % (select count(*)::int from ${s}.${table})]`
  /** Numbered rows of a table, so that one is found without reading all of them for each new row. */
  const numbered = (table: string, alias: string) =>
    `(select *, row_number() over (order by created_at, id) - 1 as place from ${s}.${table}) ${alias}`
  // A sub-select, since only a number that is not of the joined row lets the server join by hashes.
  const total = (table: string) => `(select count(*) from ${s}.${table})`
  const on = (table: string, alias: string, place = 'n') =>
    `join ${numbered(table, alias)} on ${alias}.place = ${place} % ${total(table)}`
  const onProject = on('projects', 'p')
  const onOrganization = on('organizations', 'o')
  const series = (count: number) => `generate_series(1, ${count}) n`
  return [
    `insert into ${s}.organizations (name, slug, billing_email) select 'Organization ' || n || ' of ${s}', '${s}-' || n, 'billing' || n || '@example.com' from ${series(organizations)}`,
    `insert into ${s}.projects (organization_id, name, slug, ref, database_host, database_name, database_user, database_password, postgres_meta_url, supabase_url, status)
     select o.id, 'Project ' || n, 'project-' || n, 'ref' || lpad(n::text, 8, '0'), 'db' || n, 'postgres', 'admin', 'password of ' || n, 'http://meta', 'https://api' || n,
       (array['ACTIVE_HEALTHY', 'PAUSED', 'ACTIVE_UNHEALTHY'])[1 + n % 3] from ${series(projects)} ${onOrganization}`,
    `insert into ${s}.credentials (project_id, anon_key, service_role_key, jwt_secret)
     select p.id, 'anon ' || p.place, 'service ' || p.place, 'jwt 🔑 ' || p.place from ${numbered('projects', 'p')}`,
    `insert into ${s}.subscriptions (organization_id, plan_id, plan_name, current_period_start, current_period_end, stripe_customer_id)
     select o.id, 'tier_free', 'Free', case when o.place % 2 = 0 then 1700000000 end, case when o.place % 2 = 0 then 1702592000 end, 'cus_${s}_' || o.place
     from ${numbered('organizations', 'o')}`,
    `insert into ${s}.invoices (organization_id, stripe_invoice_id, invoice_number, amount_due, amount_paid, status, period_start, paid_at)
     select o.id, 'in_' || n, n::text, 25.50, case when n % 2 = 0 then 25.50 else 0 end, case when n % 2 = 0 then 'paid' else 'open' end, 1700000000 + n,
       case when n % 2 = 0 then 1700003600 + n end from ${series(rows)} ${onOrganization}`,
    `insert into ${s}.payment_methods (organization_id, stripe_payment_method_id, type, is_default, card_last4) select o.id, 'pm_' || n, 'card', n <= ${organizations}, '4242' from ${series(organizations * 2)} ${onOrganization}`,
    `insert into ${s}.tax_ids (organization_id, type, value, country, status) select o.id, 'eu_vat', 'DE' || n, 'DE', case when n % 10 = 0 then 'deleted' else 'active' end from ${series(organizations * 2)} ${onOrganization}`,
    `insert into ${s}.usage_metrics (organization_id, project_id, metric_type, metric_value, metric_unit, period_start, period_end)
     select p.organization_id, p.id, 'egress', n, 'bytes', timestamptz '2026-01-01 00:00Z' + n * interval '1 day', timestamptz '2026-01-02 00:00Z' + n * interval '1 day'
     from ${series(rows)} ${onProject}`,
    `insert into ${s}.addons (project_id, addon_type, addon_variant, price_per_unit, status, activated_at)
     select p.id, (array['pitr', 'custom_domain', 'disk_expansion'])[1 + (p.place / 2) % 3], case when n % 2 = 0 then 'small' else 'large' end, 10 + n % 2,
       case when n <= ${total('projects')} then 'active' else 'inactive' end, now() - n * interval '1 hour' from ${series(Math.trunc(projects * 1.25))} ${onProject}`,
    `insert into ${s}.customer_profiles (organization_id, company_name, address_line1, city, country, tax_id) select o.id, 'Company ' || o.place, 'Street 1', 'Berlin', 'DE', 'T' || o.place from ${numbered('organizations', 'o')}`,
    `insert into ${s}.credits (organization_id, amount, remaining, description) select o.id, 100, case when n % 3 = 0 then 100 else n % 100 end, 'Welcome' from ${series(organizations * 2)} ${onOrganization}`,
    `insert into ${s}.disk_config (project_id) select p.id from ${numbered('projects', 'p')}`,
    `insert into ${s}.compute_config (project_id, cpu_cores, memory_gb) select p.id, 2, 1 from ${numbered('projects', 'p')}`,
    ...(isLarge
      ? [
          `insert into ${s}.users (email, username, password_hash, metadata) select 'Person' || n || '@${s}.Example.com', 'Person-${s}-' || n, 'hash ' || n, '{"n": 1}' from ${series(organizations * 3)}`,
          `insert into ${s}.user_sessions (user_id, token, expires_at) select u.id, 'token ' || u.place, now() + interval '1 day' from ${numbered('users', 'u')}`,
          `insert into ${s}.organization_members (organization_id, user_id, role, invited_by)
           select o.id, u.id, (array['owner', 'admin', 'developer', 'billing_admin', 'member'])[1 + u.place % 5], u.id from ${numbered('users', 'u')} ${on('organizations', 'o', 'u.place')}`,
          `insert into ${s}.project_members (project_id, user_id, role) select distinct on (m.user_id) p.id, m.user_id, 'developer' from ${s}.organization_members m join ${s}.projects p on p.organization_id = m.organization_id`,
          `insert into ${s}.billing_plans (id, name, price, interval, features, limits, max_projects, max_members) values
           ('tier_free', 'Free', 0, 'month', '["500 MB"]', '{"max_projects": 2, "disk_gb": 8, "storage_gb": -1}', 2, 5), ('tier_pro', 'Pro', 25, 'month', '[]', '{}', -1, -1)`,
          `insert into ${s}.project_addons (project_id, addon_id, addon_variant, price_per_unit, status) select p.id, 'ipv4', 'ipv4_default', 4, case when p.place % 2 = 0 then 'active' else 'cancelled' end from ${numbered('projects', 'p')}`,
          `insert into ${s}.project_metrics (project_id, cpu_usage, network_in_bytes, "timestamp") select p.id, n % 100, n, now() - n * interval '1 minute' from ${series(rows)} ${onProject}`,
          `insert into ${s}.organization_invitations (organization_id, invited_email, invited_by, role, token, expires_at) select o.id, 'New@example.com', ${one('users')}, 'member', 'invite ' || n, now() + interval '1 day' from ${series(organizations)} ${onOrganization}`,
          `insert into ${s}.api_keys (organization_id, user_id, name, key_prefix, key_hash) select o.id, ${one('users')}, 'Key', 'ogel', 'h' || n from ${series(organizations)} ${onOrganization}`,
          `insert into ${s}.audit_logs (organization_id, user_id, event_type, action, metadata, created_at) select case when n % 10 > 0 then o.id end, u.id, 'project.created', case when n % 2 = 0 then 'create' else 'accept' end, '{"n": 1}', now() - n * interval '1 hour'
           from ${series(rows)} ${onOrganization} ${on('users', 'u')}`,
          `insert into ${s}.feature_flags (flag_key, flag_name, enabled, rollout_percentage) values ('dashboard_of_${s}', 'New dashboard', true, 10), ('beta_of_${s}', 'Beta', false, 0)`,
          `insert into ${s}.organization_feature_flags (organization_id, flag_id, enabled) select o.id, f.id, true from ${s}.organizations o, ${s}.feature_flags f`,
          `insert into ${s}.databases (project_id, name, type, connection_string, health_check_status) select p.id, 'main', case when p.place % 2 = 0 then 'postgres' else 'redis' end, 'postgres://admin:secret-' || p.place || '@db/x', 'unhealthy' from ${numbered('projects', 'p')}`,
          `insert into ${s}.database_metrics (database_id, metric_type, value) select d.id, 'latency_ms', n / 3.0 from ${series(rows)} ${on('databases', 'd')}`,
          `insert into ${s}.database_connection_logs (database_id, project_id, event_type) select d.id, d.project_id, 'connect' from ${s}.databases d`,
        ]
      : []),
  ]
}

export async function makeEarlierPlatform(session: Session, tables: EarlierTables, rows = 60): Promise<void> {
  for (const statement of [...earlierTables(tables), ...earlierRows(tables, rows)]) await session.query(statement)
}
