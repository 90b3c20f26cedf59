import type { Plant } from './plants.js'

/** Makes a function of the library again with the same body, and with other arguments or another result. */
const madeAgain = (name: string, types: string, list: string, returns: string, traits: string) => `do $do$
  declare
    body text := p.prosrc from pg_catalog.pg_proc p where p.oid = 'platform.${name}(${types})'::pg_catalog.regprocedure;
    policies text[] := array(
      select format('create policy %I on %I.%I to %s using (%s) with check (%5$s)', policyname, schemaname, tablename, roles[1], qual)
      from pg_catalog.pg_policies where qual ~ '${name}\\(\\)');
    policy text;
  begin
    set local check_function_bodies = off;
    drop function platform.${name}(${types}) cascade;
    execute format('create function platform.${name}(${list}) returns ${returns} language plpgsql stable ${traits} as %L', body);
    foreach policy in array policies loop execute policy; end loop;
    grant execute on function platform.${name}(${types}) to tenantry_app;
  end $do$`

const byEmail = (list: string, returns: string) =>
  madeAgain(
    'user_id_by_email',
    'text',
    list,
    returns,
    'security definer set search_path = pg_catalog, pg_temp set row_security = off',
  )

const organizations = (columns: string) =>
  madeAgain(
    'my_organizations',
    '',
    '',
    `table (${columns})`,
    'security definer set search_path = pg_catalog, pg_temp set row_security = off',
  )

/** Functions that get around row security. */
export const functionPlants: readonly Plant[] = [
  {
    sql: [
      'create function public.planted(text, int) returns text language sql security definer return $1',
      'revoke execute on function public.planted(text, int) from public',
      'create aggregate public.planted(int) (sfunc = public.planted, stype = text)',
      'grant execute on function public.planted(int) to {role}',
    ],
    faults: ['an aggregate runs a closed function'],
  },
  {
    sql: [
      "create aggregate public.planted(text, boolean) (sfunc = pg_catalog.set_config, stype = text, initcond = 'tenantry.org_id')",
      'grant execute on function public.planted(text, boolean) to {role}',
    ],
    faults: ['an aggregate runs a closed function'],
  },
  ...['textlike(text, text)', 'textregexeq(text, text)', 'int4div(integer, integer)'].map((signature): Plant => ({
    sql: [`alter function pg_catalog.${signature} leakproof`],
    faults: ['a leakproof function sees rows before row security'],
  })),
  {
    sql: [
      "create function public.planted() returns bigint language sql set tenantry.org_id = '' as 'select count(*) from platform.agents'",
      'grant execute on function public.planted() to {role}',
    ],
    faults: ['a function sets the binding or the role'],
  },
  {
    sql: [
      'create function public.planted(text) returns boolean language plpgsql leakproof as $$ begin return true; end $$',
      'grant execute on function public.planted(text) to {role}',
    ],
    faults: ['a leakproof function sees rows before row security'],
  },
  // The body, the language and the settings are as declared.
  ...[
    byEmail('address text', 'text'),
    byEmail('address text', 'public.planted'),
    byEmail('address text', 'setof uuid'),
    byEmail('address text default null', 'uuid'),
    organizations('id public.planted, slug text, name text, role text, status text, auth_epoch integer'),
  ].map((sql): Plant => ({
    sql: ['create domain public.planted as uuid', sql],
    faults: ['a function differs'],
  })),
  // The operator is found because its argument is the domain, and the policies look as declared.
  {
    sql: [
      'create domain public.planted as uuid',
      'create function public.always(uuid, public.planted) returns boolean language sql immutable return true',
      'create operator public.= (leftarg = uuid, rightarg = public.planted, function = public.always)',
      madeAgain('current_user_id', '', '', 'public.planted', 'parallel safe'),
      'grant execute on function platform.current_user_id() to tenantry_system',
    ],
    faults: ['a function differs'],
  },
  ...['public', '{role}', '{login}'].map((grantee): Plant => ({
    sql: [
      "create function public.planted(text, text, boolean) returns text language internal as 'set_config_by_name'",
      'revoke execute on function public.planted(text, text, boolean) from public',
      `grant execute on function public.planted(text, text, boolean) to ${grantee}`,
    ],
    faults: ['may execute a function in C'],
  })),
]
