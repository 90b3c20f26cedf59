import type { Session } from '../database/session.js'
import { runtimeRoles } from './manifest.js'

/** An extension with functions that a role of the library may not execute, and the SQL that lets it. */
export interface ClosedExtension {
  readonly extension: string
  readonly grants: readonly string[]
}

/**
 * bootstrap revokes EXECUTE on the owner's future functions from PUBLIC. If the owner is a superuser and runs CREATE EXTENSION, the
 * functions of the extension lose EXECUTE too. They are only reported, because only the host knows which ones its application calls.
 */
export async function closedExtensions(session: Session): Promise<ClosedExtension[]> {
  const rows = await session.query<{ extension: string; grants: string[] }>(closedExtensionGrants, [runtimeRoles])
  return rows.map(({ extension, grants }) => ({ extension, grants }))
}

// Leaves out functions that the extension's own script restricted (pg_init_privs), those that run with the rights of their owner,
// which the proof refuses, and those that SQL text cannot call: their arguments or results are pseudo-types.
const closedExtensionGrants = `
with role as materialized (
  select r.oid, pg_catalog.quote_ident(r.rolname) as name from pg_catalog.pg_roles r where r.rolname = any ($1::text[])
),
closed as materialized (
  select e.extname::text as extension, role.oid as role, role.name, p.oid::pg_catalog.regprocedure::text as function, p.pronamespace
  from pg_catalog.pg_extension e
  join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.refobjid = e.oid
    and d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.deptype = 'e'
  join pg_catalog.pg_proc p on p.oid = d.objid
  cross join role
  where not p.prosecdef and p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
    and not pg_catalog.has_function_privilege(role.oid, p.oid, 'execute')
    and not exists (
      select from pg_catalog.pg_init_privs i where i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass and i.objoid = p.oid)
    and not exists (
      select from pg_catalog.unnest(p.proargtypes::pg_catalog.oid[] || p.prorettype) as named(type)
      join pg_catalog.pg_type t on t.oid = named.type
      where t.typtype = 'p' and (t.typname in ('internal', 'cstring', 'trigger', 'event_trigger') or t.typname ~ '_handler$'))
)
select extension, pg_catalog.array_agg(statement order by position, statement) as grants
from (
  select c.extension, 1 as position,
    pg_catalog.format('grant usage on schema %I to %s', n.nspname, pg_catalog.string_agg(distinct c.name, ', ')) as statement
  from closed c join pg_catalog.pg_namespace n on n.oid = c.pronamespace
  where not pg_catalog.has_schema_privilege(c.role, n.oid, 'usage') group by c.extension, n.nspname
  union all
  select c.extension, 2,
    pg_catalog.format('grant execute on routine %s to %s', pg_catalog.string_agg(c.function, ', ' order by c.function), c.roles)
  from (
    select c.extension, c.function, pg_catalog.string_agg(c.name, ', ' order by c.name) as roles
    from closed c group by c.extension, c.function
  ) c group by c.extension, c.roles
) statements
group by extension order by extension`
