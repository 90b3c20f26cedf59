import { quoted } from '../../core/statements/column-plan.js'
import type { observedStates } from '../../core/observed-warnings.js'
import type { Step } from './step.js'
import { literal } from '../sql.js'

/** The tables that are observed, and the schema for everything that the adoption needs for a time. */
export interface Observed {
  readonly home: string
  readonly schema: string
  readonly tables: readonly { readonly name: string }[]
}

/** What is counted for each table. */
export const counters = ['seen', 'unbound', 'another'] as const

/**
 * The statements that report each use of a row outside of its organization, and those that end this. No row is hidden at any time. Each
 * statement may have a transaction of its own.
 */
export function observe(observed: Observed): Step {
  const counting = observing(observed)
  const tables = numbered(observed)
  return {
    up: [...counting.up, ...tables.map(({ number, table }) => enter(quoted(observed.home), number, table))],
    down: [...tables.map(({ table }) => leave(table)).reverse(), ...counting.down],
  }
}

/** The policy that `observe` made of a table, where row security is on in any case. */
export function observingPolicy(observed: Observed, place: number, form: 'permissive' | 'restrictive'): string {
  const { number = 0, table = '' } = numbered(observed)[place] ?? {}
  return policy(quoted(observed.home), number, table, form)
}

const numbered = ({ schema, tables }: Observed) =>
  tables.map(({ name }, index) => ({
    number: index + 1,
    name: literal(name),
    table: `${quoted(schema)}.${quoted(name)}`,
  }))

/** What the policies call and count with. */
export function observing(observed: Observed): Step {
  const { home, schema, tables } = observed
  const at = quoted(home)
  const all = numbered(observed)
  const sequences = all.flatMap(({ number }) => counters.map((counter) => `${at}.${counter}_${number}`))
  return {
    up: [
      `create table ${at}.observed_tables (number integer primary key, name text not null unique, since timestamptz not null default pg_catalog.now())`,
      ...all.map(({ number, name }) => `insert into ${at}.observed_tables (number, name) values (${number}, ${name})`),
      ...sequences.map((sequence) => `create sequence ${sequence}`),
      ...functions(at, schema, tables),
    ],
    down: [
      ...[...called, note].map((signature) => `drop function ${at}.${signature}`),
      ...sequences.map((sequence) => `drop sequence ${sequence}`),
      `drop table ${at}.observed_tables`,
    ],
  }
}

const current = (setting: string) => `coalesce(pg_catalog.current_setting('${setting}', true), '')`
const bound = current('tenantry.org_id')
/** What has been counted in this transaction. */
const noted = current('tenantry_adopt.noted')
/** The text in `tenantry.org_id`, once it is known to be a uuid: a cast of any other text would fail. */
const checked = current('tenantry_adopt.org_id')

/**
 * Postgres runs a sub-select that depends on no row once in a statement, and only when its value is needed: `observed` at the first row of
 * another organization. It always returns true; with `is not null` the planner expects all rows. Looking at the settings first saves a
 * call of `bound`, which takes longer. `late` is never called: its cost makes the planner look at the conditions of the statement first,
 * so that one which names the organization meets no row of another.
 */
function policy(at: string, number: number, table: string, form: 'permissive' | 'restrictive'): string {
  const condition = `org_id = (select case
      when pg_catalog.strpos(${noted}, ${literal(`${at}.${number} seen;`)}) > 0 and ${checked} = ${bound} then nullif(${bound}, '')::uuid
      else ${at}.bound(${number}, current_user) end)
    or (select ${at}.observed(${number}, current_user)) is not null or ${at}.late()`
  return `create policy org_observed on ${table} as ${form} for all to public using (${condition}) with check (${condition})`
}

function enter(at: string, number: number, table: string): string {
  return block(`
begin
  lock table only ${table} in access exclusive mode;
  if (select relrowsecurity from pg_catalog.pg_class where oid = ${literal(table)}::pg_catalog.regclass) then
    -- A permissive policy would show rows that the policies of the table hide.
    ${policy(at, number, table, 'restrictive')};
  else
    ${policy(at, number, table, 'permissive')};
    alter table ${table} enable row level security;
  end if;
end
`)
}

const leave = (table: string): string =>
  block(`
begin
  lock table only ${table} in access exclusive mode;
  -- It is permissive where row security was enabled for it.
  if (select polpermissive from pg_catalog.pg_policy
      where polrelid = ${literal(table)}::pg_catalog.regclass and polname = 'org_observed') then
    alter table ${table} disable row level security;
  end if;
  drop policy org_observed on ${table};
end
`)

const block = (body: string): string => `do ${literal(body)}`

const [note, ...called] = [
  'note(integer, text, name, uuid)',
  'bound(integer, name)',
  'observed(integer, name)',
  'late()',
] as const

/**
 * Nobody is granted the use of the schema: policies do not need it, and so only they can call the functions. In a parallel plan settings
 * and sequences cannot be changed: then nothing is counted, and every use is reported.
 */
function functions(at: string, schema: string, tables: Observed['tables']): string[] {
  const define = (traits: string, signature: string, returns: string, body: string) =>
    `create function ${at}.${signature} returns ${returns} language plpgsql volatile parallel unsafe cost 1 ${traits}as ${literal(body)}`
  const definer = 'security definer set search_path = pg_catalog, pg_temp '
  const readOrganization = `
  -- Takes a tenth of the time of a regular expression.
  begin
    organization := nullif(${bound}, '')::uuid;
  exception when others then
    organization := null;
  end;`
  const mark = (what: string) => `(${literal(`${at}.`)} || number || ' ' || ${what} || ';')`
  const report = (state: keyof typeof observedStates, message: string) =>
    `raise warning using errcode = '${state}', schema = ${literal(schema)}, table = used,
        message = pg_catalog.format('${message}', ${literal(schema)}::text, used);`
  return [
    define(
      '',
      'note(number integer, what text, login name, organization uuid)',
      'boolean',
      `
declare
  valid constant text := case when organization is null then '' else ${bound} end;
  is_noted constant boolean := pg_catalog.strpos(${noted}, ${mark('what')}) > 0;
  notes constant text := ${noted} || case when is_noted then '' else ${mark('what')} end;
  ignored text;
begin
  -- set_config is quicker, and may be revoked.
  if pg_catalog.has_function_privilege('pg_catalog.set_config(text, text, boolean)'::pg_catalog.regprocedure, 'execute') then
    ignored := pg_catalog.set_config('tenantry_adopt.org_id', valid, true);
    ignored := pg_catalog.set_config('tenantry_adopt.noted', notes, true);
  else
    if ${checked} <> valid then
      execute pg_catalog.format('set local tenantry_adopt.org_id = %L', valid);
    end if;
    execute pg_catalog.format('set local tenantry_adopt.noted = %L', notes);
  end if;
  if is_noted then
    return false;
  end if;
  -- The system works across organizations: the exact policies let it through.
  if pg_catalog.pg_has_role(login, pg_catalog.to_regrole('tenantry_system'), 'usage') then
    return false;
  end if;
  if pg_catalog.current_setting('transaction_read_only') = 'off' then
    ignored := pg_catalog.nextval((${literal(`${at}.`)} || what || '_' || number)::pg_catalog.regclass);
  end if;
  return true;
exception when others then
  -- What fails here must not fail the statement of the application.
  return true;
end
`,
    ),
    define(
      definer,
      'bound(number integer, login name)',
      'uuid',
      `
declare
  organization uuid;
  is_new boolean;
begin${readOrganization}
  is_new := ${at}.note(number, 'seen', login, organization);
  return organization;
end
`,
    ),
    define(
      definer,
      'observed(number integer, login name)',
      'boolean',
      `
declare
  organization uuid;
  kind text;
  used constant text := (array[${tables.map(({ name }) => literal(name)).join(', ')}]::text[])[number];
begin${readOrganization}
  kind := case when organization is null then 'unbound' else 'another' end;
  if pg_catalog.strpos(${noted}, ${mark('kind')}) = 0 and ${at}.note(number, kind, login, organization) then
    if kind = 'unbound' then
      ${report('TN101', 'no organization is bound where %I.%I is used')}
    else
      ${report('TN102', 'another organization is bound than that of a row in %I.%I')}
    end if;
  end if;
  return true;
end
`,
    ),
    `create function ${at}.late() returns boolean language plpgsql stable parallel safe cost 20 as ${literal('begin return true; end')}`,
    `revoke execute on function ${at}.${note} from public`,
    ...called.map((signature) => `grant execute on function ${at}.${signature} to public`),
  ]
}
