import type pg from 'pg'
import { afterEach, beforeAll, beforeEach } from 'vitest'
import type { Binding, Call, Executor } from '../../src/core/executor.js'
import { statement } from '../../src/core/statement.js'
import { type NodePostgresOptions, openNodePostgres } from '../../src/database/node-postgres.js'
import { type TestFileDatabase, useDatabase } from '../../src/testing/vitest.js'

const org = (last: string): Binding & { kind: 'org' } => ({
  kind: 'org',
  id: `0190a000-0000-7000-8000-0000000000${last}`,
})

/** Two organizations with ten items each as a test starts, one that is suspended, and one that nobody knows. */
export const A = org('0a')
export const B = org('0b')
export const suspended = org('0c')
export const unknown = org('0d')
export const person: Binding & { kind: 'user' } = { kind: 'user', id: '0190b000-0000-7000-8000-000000000001' }

export const call = (text: string, ...values: unknown[]): Call => ({ statement: statement(text), values })

export const countItems = call('select count(*)::int from platform.items')
export const countNamed = (name: string): Call => call('select count(*)::int from platform.items where name = $1', name)
export const backend = call('select pg_backend_pid()')
export const insertItem = ({ id }: { id: string }, name: string, quantity = 0): Call =>
  call(
    'insert into platform.items (org_id, id, name, quantity) values ($1::uuid, gen_random_uuid(), $2::text, $3::int)',
    id,
    name,
    quantity,
  )

/** The first value of the first row of a lone call. */
export async function valueOf(executor: Executor, binding: Binding, one: Call): Promise<unknown> {
  const [result] = await executor.run(binding, [one])
  return result?.rows[0]?.[0]
}

/** The error that a promise ends with, and a failure when it does not. */
export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const outcome = await promise.then(
    () => new Error('it went well'),
    (error: unknown) => ({ error }),
  )
  if (outcome instanceof Error) throw outcome
  return outcome.error as Error
}

type Options = Omit<Partial<NodePostgresOptions>, 'pool'> & { pool?: pg.PoolConfig | pg.Pool }

export interface ToyDatabase {
  readonly database: TestFileDatabase
  /** An executor with one connection unless told otherwise. It is closed after the test. */
  readonly open: (options?: Options) => Executor
}

/** A database for the test file with a small schema in place of the migrated one: only what a connection sees of a tenancy. */
export function useToySchema(): ToyDatabase {
  const database = useDatabase()
  const opened: Executor[] = []
  beforeAll(async () => {
    for (const text of toySchema.split(';;')) await database.admin.query(text)
  })
  beforeEach(async () => {
    await database.admin.query('truncate platform.items')
    await database.admin.query(toyRows)
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((executor) => executor.close({ drain: 0 })))
  })
  return {
    database,
    open({ pool, ...options } = {}) {
      const isPool = pool !== undefined && 'connect' in pool
      const config = isPool ? pool : { connectionString: database.appUrl, max: 1, ...pool }
      const executor = openNodePostgres({ pool: config, ...options })
      opened.push(executor)
      return executor
    },
  }
}

export const toySchema = `
drop schema if exists platform cascade;;
create schema platform;;
grant usage on schema platform to tenantry_app;;
create table platform.organizations (id uuid primary key, status text not null default 'active');;
create table platform.users (id uuid primary key, name text not null);;
create table platform.projects (
  org_id uuid not null, id uuid not null, slug text not null,
  constraint projects_pkey primary key (org_id, id), constraint projects_slug_key unique (org_id, slug)
);;
create table platform.items (
  org_id uuid not null, id uuid not null, name text not null, quantity int not null default 0, project_id uuid,
  constraint items_pkey primary key (org_id, id),
  constraint items_project_fkey foreign key (org_id, project_id) references platform.projects (org_id, id),
  constraint items_quantity_check check (quantity >= 0)
);;
create function platform.current_org() returns uuid language plpgsql stable as $$
declare bound constant text := current_setting('tenantry.org_id', true);
begin
  if coalesce(bound, '') = '' then raise insufficient_privilege using message = 'no organization is bound'; end if;
  return bound::uuid;
end $$;;
create function platform.enter_org(org uuid) returns void language plpgsql security definer as $$
declare bound constant text := coalesce(current_setting('tenantry.org_id', true), ''); found_status text;
begin
  if bound = org::text then return; end if;
  if bound <> '' then raise insufficient_privilege using message = 'another organization is bound'; end if;
  select status into found_status from platform.organizations where id = org;
  if found_status is null then raise exception using errcode = 'TN001', message = 'no such organization'; end if;
  if found_status <> 'active' then raise exception using errcode = 'TN002', message = 'the organization is suspended'; end if;
  perform set_config('tenantry.org_id', org::text, true);
end $$;;
create function platform.current_user_id() returns uuid language plpgsql stable as $$
declare bound constant text := current_setting('tenantry.user_id', true);
begin
  if coalesce(bound, '') = '' then raise insufficient_privilege using message = 'no user is bound'; end if;
  return bound::uuid;
end $$;;
create function platform.enter_user(person uuid) returns void language plpgsql security definer as $$
declare bound constant text := coalesce(current_setting('tenantry.user_id', true), '');
begin
  if bound = person::text then return; end if;
  if bound <> '' then raise insufficient_privilege using message = 'another user is bound'; end if;
  perform set_config('tenantry.user_id', person::text, true);
end $$;;
create function platform.move_binding(org uuid) returns text language sql security definer as
  $$ select set_config('tenantry.org_id', coalesce(org::text, ''), true) $$;;
alter table platform.projects enable row level security;;
alter table platform.items enable row level security;;
alter table platform.users enable row level security;;
create policy org_isolation on platform.projects to tenantry_app
  using (org_id = platform.current_org()) with check (org_id = platform.current_org());;
create policy org_isolation on platform.items to tenantry_app
  using (org_id = platform.current_org()) with check (org_id = platform.current_org());;
create policy user_access on platform.users to tenantry_app using (id = platform.current_user_id());;
grant select, insert, update, delete on platform.projects, platform.items to tenantry_app;;
grant select on platform.users to tenantry_app;;
grant execute on all functions in schema platform to tenantry_app;;
insert into platform.organizations values ('${A.id}', 'active'), ('${B.id}', 'active'), ('${suspended.id}', 'suspended');;
insert into platform.users values ('${person.id}', 'Ada'), (gen_random_uuid(), 'Eve')`

export const toyRows = `
insert into platform.items (org_id, id, name)
  select id, gen_random_uuid(), 'item' from platform.organizations, generate_series(1, 10)`
