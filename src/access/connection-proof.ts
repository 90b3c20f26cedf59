import type { ProofFault } from '../core/errors.js'
import { byText, connectWithIt, type Finding, rootCauses } from './root-causes.js'
import type { Session } from '../database/session.js'

/** The result of a proof. With a fault the connection must not be used; a note is information for the administrator. */
export interface Proof {
  readonly faults: readonly ProofFault[]
  readonly notes: readonly ProofFault[]
}

/** The role that a connection must reach, and no other. */
export interface ProvenRole {
  readonly role: 'tenantry_app' | 'tenantry_system'
  /** The schemas that may be on its search_path, besides public. */
  readonly schemas: readonly string[]
}

/** The short proof, for each new physical connection: checks the login, its role and its settings. One round trip. */
export async function proveConnection(session: Pick<Session, 'query'>, { role, schemas }: ProvenRole): Promise<Proof> {
  return asProof(await session.query<Finding>(connectionProof, [role, schemas]))
}

/** Separates faults and notes, and sorts each list. */
export function asProof(findings: readonly Finding[]): Proof {
  const sorted = rootCauses(findings).toSorted(byText)
  const pick = (wanted: boolean) =>
    sorted.filter(({ isFault }) => isFault === wanted).map(({ fault, detail, mend }) => ({ fault, detail, mend }))
  return { faults: pick(true), notes: pick(false) }
}

/** The roles that the session can act as. `$1` is the one that it should reach, `$2` the schemas that may be on its search_path. */
export const loginCtes = `
roles as materialized (
  select r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolcreaterole or r.rolcreatedb or r.rolreplication as rolcreates
  from pg_catalog.pg_roles r
),
here as materialized (
  select login.oid as login, login.rolname as login_name,
    pg_catalog.format('npx tenantry login create %s%s', login.rolname, case $1::text when 'tenantry_system' then ' --system' end) as relogin,
    case $1::text when 'tenantry_system' then 'npx tenantry login create system_login --system ${connectWithIt}'
      else 'npx tenantry login create app_login ${connectWithIt}' end as another_login,
    -- Whoever makes a role is given it with the admin option, so that only membership without it is from login create.
    not exists (
      select from pg_catalog.pg_auth_members m join roles r on r.oid = m.roleid
      where m.member = login.oid and r.rolname = $1::text and not m.admin_option) as administers,
    (select r.oid from roles r where r.rolname = $1::text) as role,
    d.oid as database, d.datname as database_name, d.datdba as database_owner
  from roles login cross join pg_catalog.pg_database d
  where login.rolname = session_user and d.datname = pg_catalog.current_database()
),
reach as (
  select here.login as oid from here
  union
  select m.roleid from pg_catalog.pg_auth_members m join reach on reach.oid = m.member
),
-- What a new connection of this login is given; the most specific entry wins.
configured as (
  select distinct on (name) name, value, d.setrole, d.setdatabase
  from pg_catalog.pg_db_role_setting d
  cross join here
  cross join lateral pg_catalog.unnest(d.setconfig) as s(entry)
  cross join lateral (
    select pg_catalog.lower(pg_catalog.split_part(s.entry, '=', 1)), pg_catalog.substr(s.entry, pg_catalog.strpos(s.entry, '=') + 1)
  ) as setting(name, value)
  where d.setrole in (0, here.login) and d.setdatabase in (0, here.database)
  order by name, d.setrole = 0, d.setdatabase = 0
)`

const isOn = '^(on|true|yes|1)$'
const isOff = '^(off|false|no|0)$'

/** The mend for a setting that neither a role nor a database sets. */
const takeOut = (name: string) =>
  `pg_catalog.format('remove %s from the connection options or from postgresql.conf', ${name})`

/** Needs `configured` as `c`, with no row where no role and no database sets it. */
const resetOf = (setting: string) => `case
    when c.value is null then ${takeOut(setting)}
    when c.setrole = 0 and c.setdatabase = 0 then pg_catalog.format('alter role all reset %s', ${setting})
    when c.setrole = 0 then pg_catalog.format('alter database %I reset %s', here.database_name, ${setting})
    when c.setdatabase = 0 then pg_catalog.format('alter role %I reset %s', here.login_name, ${setting})
    else pg_catalog.format('alter role %I in database %I reset %s', here.login_name, here.database_name, ${setting})
  end`

/** A login that is not a member of its role and can do more is an administrator's, so it is not altered. */
const mendOf = (role: string, mend: string) =>
  `case when here.administers and ${role} = here.login then here.another_login else ${mend} end`

export const loginFindings: readonly string[] = [
  `select 'is a superuser' as fault, r.rolname::text as detail,
    case r.oid when here.login then here.another_login else pg_catalog.format('alter role %I nosuperuser', r.rolname) end as mend,
    true as "isFault"
  from roles r cross join here where r.oid in (here.login, here.role) and r.rolsuper`,

  `select 'bypasses row security', r.rolname, ${mendOf('r.oid', "pg_catalog.format('alter role %I nobypassrls', r.rolname)")}, true
  from roles r cross join here where r.oid in (here.login, here.role) and r.rolbypassrls and not r.rolsuper`,

  `select 'may create roles or databases, or replicate', r.rolname,
    ${mendOf('r.oid', "pg_catalog.format('alter role %I nocreaterole nocreatedb noreplication', r.rolname)")}, true
  from roles r cross join here where r.oid in (here.login, here.role) and r.rolcreates and not r.rolsuper`,

  `select 'acts as another role', pg_catalog.format('%s logged in, but acts as %s', session_user, current_user),
    ${resetOf("'role'")}, true
  from here left join configured c on c.name = 'role' where session_user <> current_user`,

  `select 'the role is missing', $1, 'npx tenantry bootstrap', true from here where here.role is null`,

  `select 'does not have the rights of its role', $1, here.relogin, true
  from here
  where not pg_catalog.pg_has_role(here.login, here.role, 'usage')
    or here.role is not null and here.role not in (select reach.oid from reach)`,

  `select 'may administer its role', $1,
    pg_catalog.format('revoke admin option for %s from %s', m.roleid::pg_catalog.regrole, m.member::pg_catalog.regrole), true
  from pg_catalog.pg_auth_members m join here on here.login = m.member and here.role = m.roleid where m.admin_option`,

  // Policies of every role that a login reaches are OR-ed.
  `select 'is a member of another role', pg_catalog.format('%s is a member of %s', m.member::pg_catalog.regrole, m.roleid::pg_catalog.regrole),
    ${mendOf('m.member', "pg_catalog.format('revoke %s from %s', m.roleid::pg_catalog.regrole, m.member::pg_catalog.regrole)")}, true
  from pg_catalog.pg_auth_members m join reach on reach.oid = m.member cross join here
  where m.member <> here.login or m.roleid is distinct from here.role`,

  `select 'owns something', pg_catalog.format('%s owns %s%s', owned.role::pg_catalog.regrole, owned.first,
      case when owned.others > 0 then pg_catalog.format(' and %s more', owned.others) end),
    case when owned.role in (here.database_owner, owned.platform_owner) then here.another_login
      else pg_catalog.format('reassign owned by %s to %s', owned.role::pg_catalog.regrole,
        coalesce(owned.platform_owner, here.database_owner)::pg_catalog.regrole) end, true
  from (
    select d.refobjid as role, pg_catalog.count(*) - 1 as others, pg_catalog.min(pg_catalog.pg_describe_object(d.classid, d.objid, 0)) as first,
      (select n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'platform') as platform_owner
    from pg_catalog.pg_shdepend d
    cross join here
    left join pg_catalog.pg_class c on c.oid = d.objid and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass and d.refobjid in (here.login, here.role) and d.deptype = 'o'
      -- A temporary table ends with its session.
      and d.dbid in (0, here.database) and c.relpersistence is distinct from 't'
    group by d.refobjid
  ) owned cross join here`,

  `select case when s.name ~ '^tenantry' then 'a binding is ambient' else 'a setting is unsafe' end,
    pg_catalog.format('%s = %s', s.name, case when s.now ~* s.safe then c.value else s.now end),
    case when c.value ~* s.safe then ${takeOut('s.name')} else ${resetOf('s.name')} end, true
  from here
  cross join (
    select v.name, v.safe, coalesce(pg_catalog.current_setting(v.name, true), '') as now
    from (values
      ('tenantry.org_id', '^$'), ('tenantry.user_id', '^$'), ('row_security', '${isOn}'), ('standard_conforming_strings', '${isOn}'),
      ('session_replication_role', '^origin$'), ('default_transaction_read_only', '${isOff}'), ('local_preload_libraries', '^$')
    ) v(name, safe)
  ) s
  left join configured c using (name)
  where s.now !~* s.safe or c.value !~* s.safe`,

  // pg_catalog is searched first unless the path names it; another schema could have a function that fits a call better.
  `select 'search_path is unsafe', pg_catalog.current_setting('search_path'),
    -- What the connection itself says comes before every setting of its login.
    case when (select v.source from pg_catalog.pg_settings v where v.name = 'search_path') in ('client', 'session')
      then ${takeOut("'search_path'")}
      else pg_catalog.format('alter role %I in database %I set search_path = public', here.login_name, here.database_name) end, true
  from here
  cross join (
    select pg_catalog.array_agg(p.schema order by p.position) as path
    from pg_catalog.unnest(pg_catalog.current_schemas(true)) with ordinality p(schema, position)
    where p.schema !~ '^pg_temp_'
  ) s
  where s.path[1] <> 'pg_catalog' or not s.path operator(pg_catalog.<@) ('{pg_catalog,public}'::pg_catalog.name[] || $2::pg_catalog.name[])`,

  `select 'the server is a standby', '', 'connect to the primary server', true where pg_catalog.pg_is_in_recovery()`,
]

/** Builds one statement: the CTEs first, then the findings. */
export const asStatement = (
  tables: readonly string[],
  findings: Partial<Record<Finding['about'], readonly string[]>>,
) =>
  `with recursive ${tables.join(',')}\n${Object.entries(findings)
    .map(([about, list]) => `select found.*, '${about}' as about from (${list.join('\nunion all\n')}) found`)
    .join('\nunion all\n')}`

const connectionProof = asStatement([loginCtes], { login: loginFindings })
