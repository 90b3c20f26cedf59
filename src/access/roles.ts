import { MigrationError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import { runtimeRoles } from './manifest.js'
import { type Plan, statements } from './carry-out.js'

/** Both roles exist, have no attributes, and are members of no role. */
export const planRoles: Plan = (session) => statements(session, roleStatements, [runtimeRoles])

/**
 * The roles may connect and may create nothing. EXECUTE on the owner's future functions is revoked from PUBLIC. If no other
 * application uses the database (`exclusive`), TEMPORARY is revoked from PUBLIC too.
 */
export function planDatabase(exclusive: boolean): Plan {
  return (session) => statements(session, databaseStatements, [runtimeRoles, exclusive])
}

/** Revokes set_config from PUBLIC and grants it to the owner of enter_org, so that SQL text in a scope cannot change the binding. */
export const planSetConfig: Plan = (session) => statements(session, setConfigStatements)

/**
 * Grants set_config to the owner of enter_org, which runs with the rights of its owner. Required for scopes; the other statements
 * are hardening.
 */
export const planSetConfigForOwner: Plan = (session) => statements(session, setConfigForOwnerStatements)

/**
 * Only a superuser may use large objects. They have no row security, so every organization could read them; and the role that
 * creates one owns it, which the next proof of the login refuses.
 */
export const planLargeObjects: Plan = (session) => statements(session, largeObjectStatements)

/** Throws when the roles are missing: the policies of the migrations name them. */
export async function requireRoles(session: Session): Promise<void> {
  const missing = await session.query<{ name: string; grant: string }>(
    `select name, pg_catalog.format('alter role %I createrole', current_user) as "grant" from pg_catalog.unnest($1::text[]) name
     where not exists (select from pg_catalog.pg_roles r where r.rolname = name) order by name`,
    [runtimeRoles],
  )
  if (missing.length === 0) return
  const statements = missing.map(({ name }) => `create role ${name};`)
  throw new MigrationError(
    'roles are missing, and this login may not create them because it lacks CREATEROLE. Let a superuser grant it ' +
      `(${missing[0]?.grant}), or run:\n${statements.join('\n')}`,
  )
}

const owner = `
owner as materialized (
  select r.oid, r.rolname from pg_catalog.pg_roles r
  where r.oid = coalesce(
    (select n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'platform'),
    (select c.oid from pg_catalog.pg_roles c where c.rolname = current_user))
)`

const roleStatements = `
with wanted as (
  select name, r.* from pg_catalog.unnest($1::text[]) name left join pg_catalog.pg_roles r on r.rolname = name
)
select pg_catalog.format('create role %I', name) as statement from wanted where oid is null
union all
select pg_catalog.format('alter role %I%s%s%s%s%s', name,
  case when rolsuper then ' nosuperuser' end, case when rolbypassrls then ' nobypassrls' end, case when rolcreaterole then ' nocreaterole' end,
  case when rolcreatedb then ' nocreatedb' end, case when rolreplication then ' noreplication' end)
from wanted where rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication
union all
select pg_catalog.format('revoke %s from %I', m.roleid::pg_catalog.regrole, name)
from wanted join pg_catalog.pg_auth_members m on m.member = wanted.oid
order by statement`

const databaseStatements = `
with ${owner},
role as materialized (select r.oid, r.rolname from pg_catalog.pg_roles r where r.rolname = any ($1::text[])),
grantee(oid, name) as materialized (select 0::pg_catalog.oid, 'public' union all select oid, pg_catalog.quote_ident(rolname) from role),
here as materialized (
  select d.datname, d.oid, coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba)) as acl
  from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()
),
held as materialized (
  select g.oid, g.name, a.privilege_type from here cross join lateral pg_catalog.aclexplode(here.acl) a join grantee g on g.oid = a.grantee
)
select pg_catalog.format('alter default privileges for role %I revoke execute on functions from public', owner.rolname) as statement
from owner
where not exists (
  select from pg_catalog.pg_default_acl d
  where d.defaclrole = owner.oid and d.defaclnamespace = 0 and d.defaclobjtype = 'f'
    and not exists (select from pg_catalog.aclexplode(d.defaclacl) a where a.grantee = 0)
)
union all
select pg_catalog.format('revoke create on schema %I from %s', n.nspname, g.name)
from pg_catalog.pg_namespace n
cross join lateral pg_catalog.aclexplode(n.nspacl) a
join grantee g on g.oid = a.grantee
where n.nspname in ('public', 'platform') and a.privilege_type = 'CREATE'
union all
select pg_catalog.format('grant connect on database %I to %I', here.datname, role.rolname)
from here cross join role where not pg_catalog.has_database_privilege(role.oid, here.oid, 'connect')
union all
select pg_catalog.format('revoke %s on database %I from %s', pg_catalog.lower(held.privilege_type), here.datname, held.name)
from here cross join held
where held.privilege_type = 'CREATE' or held.privilege_type = 'TEMPORARY' and (held.oid <> 0 or $2::boolean)`

const setConfig = "'pg_catalog.set_config(text,text,boolean)'::pg_catalog.regprocedure"
const grantToOwner =
  "pg_catalog.format('grant execute on function pg_catalog.set_config(text, text, boolean) to %I', owner.rolname)"

const setConfigForOwnerStatements = `
with ${owner}
select ${grantToOwner} as statement from owner where not pg_catalog.has_function_privilege(owner.oid, ${setConfig}, 'execute')`

const setConfigStatements = `
with ${owner},
held as materialized (
  select a.grantee from pg_catalog.pg_proc p
  cross join lateral pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
  where p.oid = ${setConfig}
)
select ${grantToOwner} as statement
from owner where not exists (select from held where held.grantee = owner.oid)
union all
select 'revoke execute on function pg_catalog.set_config(text, text, boolean) from public' from held where held.grantee = 0`

const largeObjectStatements = `
with open_function as (
  select pg_catalog.format('pg_catalog.%I(%s)', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) as name
  from pg_catalog.pg_proc p
  cross join lateral pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
  where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace and p.prosrc ~ '^be_lo' and a.grantee = 0
)
select pg_catalog.format('revoke execute on function %s from public', pg_catalog.string_agg(name, ', ' order by name)) as statement
from open_function having pg_catalog.count(*) > 0`
