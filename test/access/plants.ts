import { functionPlants } from './function-plants.js'

/** A fault put into a database that was right, and what the proofs must then say: exactly that. */
export interface Plant {
  readonly sql: readonly string[]
  /** Statements of the login itself, before it is proved. */
  readonly as?: readonly string[]
  readonly faults: readonly string[]
  /** The server versions that know the statement. */
  readonly from?: number
  readonly until?: number
  /** Why its mend is advice for a person, and neither SQL nor a command. */
  readonly advice?: string
  /** Why its mend is a command that fails. */
  readonly refused?: string
}

const rows = 'what is gone can only come back from a backup'

/** `{login}`, its `{role}`, the `{database}` and its `{owner}` are filled in. Of these the connection proof, which looks at the login alone, says nothing. */
export const databasePlants: readonly Plant[] = [
  ...functionPlants,
  { sql: ['grant create on schema public to public'], faults: ['may create in a schema'] },
  { sql: ['grant create on schema platform to {role}'], faults: ['may create in a schema'] },
  { sql: ['create schema planted', 'grant create on schema planted to {login}'], faults: ['may create in a schema'] },
  { sql: ['grant create on database {database} to {role}'], faults: ['may create schemas'] },
  { sql: ['revoke all on all tables in schema platform from {role}'], faults: ['a right is missing'] },
  { sql: ['revoke usage on schema platform from {role}'], faults: ['a right is missing'] },
  {
    sql: ['create role planted', 'alter schema platform owner to planted'],
    faults: ['is owned by another role'],
  },
  { sql: ['alter default privileges grant select on tables to {role}'], faults: ['default privileges grant'] },
  {
    sql: ['alter default privileges in schema platform grant all on tables to public'],
    faults: ['default privileges grant'],
  },
  {
    sql: ['create role planted', 'alter default privileges for role planted grant usage on sequences to {login}'],
    faults: ['default privileges grant'],
  },
  { sql: ['grant set on parameter session_replication_role to {role}'], faults: ['may set a parameter'] },

  { sql: ['alter table platform.agents disable row level security'], faults: ['row security is not enabled'] },
  {
    sql: ['alter table platform.llms enable row level security'],
    faults: ['row security is enabled where none is declared'],
  },
  { sql: ['drop policy org_isolation on platform.agents'], faults: ['policies differ'] },
  { sql: ['drop policy system_access on platform.agents'], faults: ['policies differ'] },
  { sql: ['create policy planted on platform.agents to {role} using (true)'], faults: ['policies differ'] },
  { sql: ['create policy planted on platform.agents as restrictive using (true)'], faults: ['policies differ'] },
  { sql: ['alter policy org_isolation on platform.agents using (true)'], faults: ['policies differ'] },
  { sql: ['alter policy org_isolation on platform.agents with check (true)'], faults: ['policies differ'] },
  { sql: ['alter policy org_isolation on platform.agents to public'], faults: ['policies differ'] },
  {
    sql: ['alter policy org_isolation on platform.agents to tenantry_app, tenantry_system'],
    faults: ['policies differ'],
  },
  {
    sql: ['alter policy user_access on platform.users using (id = platform.current_org())'],
    faults: ['policies differ'],
  },
  {
    sql: [
      'drop policy org_isolation on platform.agents',
      `create policy org_isolation on platform.agents for select to tenantry_app
         using (org_id = platform.current_org())`,
    ],
    faults: ['policies differ'],
  },
  {
    sql: [
      'create function public.current_org() returns uuid stable return null::uuid',
      'alter policy org_isolation on platform.agents using (org_id = public.current_org())',
      'set local search_path to public',
    ],
    faults: ['policies differ'],
  },
  {
    sql: [
      'create schema hidden',
      'create view hidden.everything as select name from platform.workflows',
      'grant select on hidden.everything to {role}',
      'create view public.planted with (security_invoker) as select * from hidden.everything',
      'grant select on public.planted to {role}',
    ],
    faults: ['has rights on an undeclared relation'],
  },
  {
    sql: [
      'create schema hidden',
      'create function hidden.planted() returns int security definer return 1',
      'grant execute on function hidden.planted() to {role}',
    ],
    faults: ['may execute an undeclared definer function'],
  },
  {
    sql: ['create table public.planted (name text not null)', 'alter table platform.workflows inherit public.planted'],
    faults: ['inherits from another table'],
  },
  {
    sql: ['create table public.planted () inherits (platform.llms)'],
    faults: ['inherits from another table'],
  },
  {
    sql: [
      'alter table platform.workflows add constraint planted_key unique (slug)',
      'alter table platform.workflows add constraint planted foreign key (name) references platform.workflows (slug) on delete cascade',
    ],
    faults: ['a foreign key crosses organizations'],
  },
  {
    sql: ['alter table platform.agents drop constraint agents_project_fkey'],
    faults: ['a foreign key is missing'],
    advice: 'rows without a parent may have been written since',
  },
  ...[
    'foreign key (org_id) references platform.organizations (id)',
    'foreign key (org_id, project_id) references platform.workflows (org_id, id)',
    'foreign key (org_id, project_id) references platform.projects (org_id, id) not valid',
  ].map((definition): Plant => ({
    sql: [
      'alter table platform.agents drop constraint agents_project_fkey',
      `alter table platform.agents add constraint agents_project_fkey ${definition}`,
    ],
    faults: ['a foreign key is missing'],
    advice: 'rows without a parent may have been written since',
  })),
  { sql: ['alter table platform.agents disable trigger all'], faults: ['foreign keys are switched off'] },
  { sql: ['drop table platform.agent_tools'], faults: ['a table is missing'], advice: rows },
  { sql: ['alter table platform.agents drop column settings'], faults: ['a column is missing'], advice: rows },
  {
    sql: [
      'drop table platform.agent_tools',
      'create view platform.agent_tools with (security_invoker) as select 1 as one',
    ],
    faults: ['is not a table'],
    advice: rows,
  },
  {
    sql: ['create role planted', 'alter table platform.agents owner to planted'],
    faults: ['is owned by another role'],
  },
  {
    sql: [
      'create function public.planted() returns trigger language plpgsql as $$ begin return new; end $$',
      'create trigger planted before insert on platform.agents for each row execute function public.planted()',
    ],
    faults: ['a trigger is on a table'],
  },
  {
    sql: [
      'create function public.planted() returns trigger language plpgsql as $$ begin return new; end $$',
      'create trigger planted before insert on platform.audit_logs_default for each row execute function public.planted()',
    ],
    faults: ['a trigger is on a table'],
  },
  {
    sql: [
      'create function public.planted() returns trigger language plpgsql as $$ begin return new; end $$',
      'create trigger planted before insert on platform.audit_logs for each row execute function public.planted()',
    ],
    faults: ['a trigger is on a table'],
  },
  {
    sql: ['create rule planted as on insert to platform.agents do also select 1'],
    faults: ['a rule is on a table'],
  },

  { sql: ['revoke select on platform.agents from {role}'], faults: ['a right is missing'] },
  { sql: ['revoke update (name) on platform.agents from {role}'], faults: ['a right is missing'] },
  { sql: ['grant update on platform.agents to {role}'], faults: ['a right is not declared'] },
  { sql: ['grant update (org_id) on platform.agents to {role}'], faults: ['a right is not declared'] },
  { sql: ['grant truncate on platform.agents to {role}'], faults: ['a right is not declared'] },
  { sql: ['grant references, trigger on platform.agents to {role}'], faults: ['a right is not declared'] },
  { sql: ['grant references (id) on platform.agents to {role}'], faults: ['a right is not declared'] },
  { sql: ['grant maintain on platform.agents to {role}'], faults: ['a right is not declared'], from: 17 },
  { sql: ['grant select on platform.agents to {role} with grant option'], faults: ['a right is not declared'] },
  { sql: ['grant select on platform.agents to public'], faults: ['a right is not declared'] },
  { sql: ['grant select (name) on platform.agents to {login}'], faults: ['a right is not declared'] },
  {
    sql: ['grant update (name), delete on platform.agents to {login} with grant option'],
    faults: ['a right is not declared'],
  },

  { sql: ['grant select on platform.audit_logs_default to {role}'], faults: ['has rights on a partition'] },
  { sql: ['grant insert (org_id) on platform.audit_logs_default to public'], faults: ['has rights on a partition'] },
  { sql: ['grant select on platform.audit_logs_default to {login}'], faults: ['has rights on a partition'] },
  {
    sql: ['create role planted', 'grant select on platform.audit_logs_default to planted'],
    faults: ['has rights on a partition'],
  },
  {
    sql: ['create role planted', 'grant select (org_id) on platform.audit_logs_default to planted with grant option'],
    faults: ['has rights on a partition'],
  },
  {
    sql: ['create role planted', 'alter table platform.audit_logs_default owner to planted'],
    faults: ['is owned by another role'],
  },
  {
    sql: [
      'alter table platform.audit_logs_default disable row level security',
      'alter table platform.project_metrics_default disable row level security',
    ],
    faults: ['row security is not enabled'],
  },
  { sql: ['drop policy org_isolation on platform.audit_logs_default'], faults: ['policies differ'] },
  { sql: ['drop policy system_access on platform.audit_logs_default'], faults: ['policies differ'] },
  { sql: ['alter policy org_isolation on platform.audit_logs_default using (true)'], faults: ['policies differ'] },
  { sql: ['create policy planted on platform.audit_logs_default using (true)'], faults: ['policies differ'] },
  {
    sql: ['create policy planted on platform.audit_logs_default as restrictive using (true)'],
    faults: ['policies differ'],
  },
  {
    sql: [
      `create table public.planted partition of platform.audit_logs for values from ('2001-01-01') to ('2001-02-01')`,
      'grant select, insert on public.planted to {login}',
    ],
    faults: ['has rights on a partition', 'policies differ', 'row security is not enabled'],
  },
  {
    sql: [
      `create table public.planted partition of platform.audit_logs for values from ('2001-01-01') to ('2001-03-01')
         partition by range (created_at)`,
      `create table public.planted_january partition of public.planted for values from ('2001-01-01') to ('2001-02-01')`,
    ],
    faults: ['policies differ', 'row security is not enabled'],
  },
  {
    sql: [
      'create view platform.planted as select * from platform.agents',
      'grant select on platform.planted to {role}',
    ],
    faults: ['has rights on an undeclared relation'],
  },
  {
    sql: [
      'create materialized view public.planted as select * from platform.agents',
      'grant select on public.planted to public',
    ],
    faults: ['has rights on an undeclared relation'],
  },
  {
    sql: [
      'create foreign data wrapper planted',
      'create server planted foreign data wrapper planted',
      'create foreign table public.planted (id int) server planted',
      'grant select on public.planted to {login}',
    ],
    faults: ['has rights on an undeclared relation'],
  },
  {
    sql: ['create table platform.planted (org_id uuid)', 'grant select on platform.planted to {role}'],
    faults: ['has rights on an undeclared relation'],
  },
  {
    sql: ['create sequence public.planted', 'grant usage on sequence public.planted to {role}'],
    faults: ['has rights on an undeclared relation'],
  },
  { sql: ['grant select on pg_catalog.pg_statistic to {role}'], faults: ['has rights on an undeclared relation'] },
  {
    sql: [
      'create view public.planted with (security_invoker) as select id from platform.agents',
      'create function public.planted() returns trigger language plpgsql as $$ begin return new; end $$',
      'create trigger planted instead of insert on public.planted for each row execute function public.planted()',
      'grant select on public.planted to {role}',
    ],
    faults: ['has rights on an undeclared relation'],
  },
  {
    sql: [
      'create extension pg_stat_statements',
      'create table public.planted ()',
      'grant select on public.planted to public',
    ],
    faults: ['has rights on an undeclared relation'],
  },
  {
    sql: [
      'create view public.planted with (security_invoker = on) as select id from platform.agents',
      'create rule planted as on insert to public.planted do instead select 1',
      'grant select on public.planted to {role}',
    ],
    faults: ['has rights on an undeclared relation'],
  },

  {
    sql: ['alter function platform.current_org() immutable'],
    faults: ['a function differs'],
  },
  { sql: ['alter function platform.enter_org(uuid) reset search_path'], faults: ['a function differs'] },
  { sql: ['alter function platform.enter_org(uuid) security invoker'], faults: ['a function differs'] },
  {
    sql: [
      `create or replace function platform.current_org() returns uuid language plpgsql stable parallel safe
         as $$ begin return null; end $$`,
    ],
    faults: ['a function differs'],
  },
  {
    sql: ['create or replace function platform.current_org() returns uuid stable parallel safe return null::uuid'],
    faults: ['a function differs'],
  },
  {
    sql: ['create role planted', 'alter function platform.enter_user(uuid) owner to planted'],
    faults: ['is owned by another role'],
  },
  { sql: ['grant execute on function platform.my_organizations() to public'], faults: ['a right is not declared'] },
  { sql: ['grant execute on function platform.current_org() to {login}'], faults: ['a right is not declared'] },
  { sql: ['revoke execute on function platform.current_org() from {role}'], faults: ['a right is missing'] },
  {
    sql: [
      'create function public.planted() returns int security definer return 1',
      'grant execute on function public.planted() to public',
    ],
    faults: ['may execute an undeclared definer function'],
  },
  {
    sql: [
      `create function platform.enter_org(text) returns void security definer begin atomic; end`,
      'grant execute on function platform.enter_org(text) to {role}',
    ],
    faults: ['may execute an undeclared definer function'],
  },
  {
    sql: [
      'create procedure public.planted() security definer begin atomic; end',
      'grant execute on procedure public.planted() to {login}',
    ],
    faults: ['may execute an undeclared definer function'],
  },
  {
    sql: [
      'create function pg_catalog.planted() returns int security definer return 1',
      'grant execute on function pg_catalog.planted() to public',
    ],
    faults: ['may execute an undeclared definer function'],
  },
  {
    sql: ['grant execute on function pg_catalog.pg_read_file(text) to {role}'],
    faults: ['may execute a restricted function'],
  },

  { sql: ['revoke select on platform_migrations.migrations from {role}'], faults: ['a right is missing'] },
  { sql: ['revoke usage on schema platform_migrations from {role}'], faults: ['a right is missing'] },
  { sql: ['drop table platform_migrations.migrations'], faults: ['migrations are not applied'], advice: rows },
  { sql: ['revoke select on platform_migrations.inventory from {role}'], faults: ['a right is missing'] },
  { sql: ['grant select on platform_migrations.inventory to public'], faults: ['a right is not declared'] },
  { sql: ['grant insert on platform_migrations.inventory to {role}'], faults: ['a right is not declared'] },
  {
    sql: ['create role planted', 'alter view platform_migrations.inventory owner to planted'],
    faults: ['is owned by another role'],
  },
  {
    sql: [
      'delete from platform_migrations.migrations where created_at > (select min(created_at) from platform_migrations.migrations)',
    ],
    faults: ['migrations are not applied'],
    refused:
      'a row that somebody deleted looks like a migration that is pending: migrate up fails, and changes nothing',
  },
  { sql: ['delete from platform_migrations.migrations'], faults: ['migrations are not applied'], advice: rows },
  {
    sql: ["update platform_migrations.migrations set hash = 'planted' where id = 1"],
    faults: ['a migration was edited after it was applied'],
    advice: 'the file that was applied is in the history of the repository',
  },
]

/** What only the application's role must not do, because the system role may. */
export const appPlants: readonly Plant[] = [
  { sql: ['grant select (password_hash) on platform.users to {role}'], faults: ['a right is not declared'] },
  { sql: ['grant delete on platform.organizations to {role}'], faults: ['a right is not declared'] },
  { sql: ['grant insert on platform.llms to {role}'], faults: ['a right is not declared'] },
  { sql: ['grant select on platform.system_audit_logs to {role}'], faults: ['a right is not declared'] },
  { sql: ['drop function platform.enter_user(uuid)'], faults: ['a function is missing'] },
]

/** What only the system role must not do. */
export const systemPlants: readonly Plant[] = [
  { sql: ['grant update on platform.audit_logs to {role}'], faults: ['a right is not declared'] },
  { sql: ['grant execute on function platform.enter_org(uuid) to {role}'], faults: ['a right is not declared'] },
  { sql: ['revoke delete on platform.organizations from {role}'], faults: ['a right is missing'] },
]

/** What serving goes on with, and whoever runs the database is told. */
export const notePlants: readonly Plant[] = [
  { sql: ['grant temporary on database {database} to public'], faults: ['may make temporary tables'] },
  {
    sql: ['grant execute on function pg_catalog.set_config(text, text, boolean) to public'],
    faults: ['SQL text can move the binding'],
  },
  {
    sql: ['grant execute on function pg_catalog.lo_create(oid) to public'],
    faults: ['SQL text can make large objects'],
  },
  ...['table platform.agents', 'table platform.audit_logs_default', 'tables in schema platform', 'all tables'].map(
    (what) => ({
      sql: [`create publication planted for ${what}`],
      faults: ['is published'],
      advice: 'only a person knows whether the subscriber is to be trusted',
    }),
  ),
]
