import type { Session } from '../database/session.js'
import { type Plan, statements } from './carry-out.js'

// Citus puts on the other nodes what a distributed table depends on, and what is created once the nodes are there. Functions and logins
// that are older are missing there until somebody asks for them.

const isNowhereElse = (catalog: string, oid: string): string =>
  `not exists (select from pg_catalog.pg_dist_object o where o.classid = '${catalog}'::pg_catalog.regclass and o.objid = ${oid})`

const ownFunctions = `
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname = any ($1) and p.prokind in ('f', 'p') and not exists (
    select from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e')`

const isClosed = `not exists (
  select from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a where a.grantee = 0)`

/** Citus takes the rights of a function to the nodes, and not that PUBLIC has none. */
const closing = `pg_catalog.format('revoke execute on routine %s from public', p.oid::pg_catalog.regprocedure)`

/** The functions of these schemas that the coordinator alone has. */
export const planNodeFunctions =
  (schemas: readonly string[]): Plan =>
  (session) =>
    statements(
      session,
      `select made.statement from (
         select p.oid, 1 as place, pg_catalog.format('select pg_catalog.create_distributed_function(%L)', p.oid::pg_catalog.regprocedure) as statement
         ${ownFunctions} and ${isNowhereElse('pg_catalog.pg_proc', 'p.oid')}
         union all
         select p.oid, 2, ${closing} ${ownFunctions} and ${isNowhereElse('pg_catalog.pg_proc', 'p.oid')} and ${isClosed}
       ) made order by made.oid, made.place`,
      [schemas],
    )

/** Closes on each node the functions of these schemas that are closed here. On those that no other node has, it changes nothing. */
export async function closeFunctions(session: Session, schemas: readonly string[]): Promise<void> {
  const due = await statements(session, `select ${closing} as statement ${ownFunctions} and ${isClosed}`, [schemas])
  for (const statement of due) await session.query(statement)
}

const carrier = 'platform.carry_logins()'

const missingLogins = `
  from pg_catalog.pg_roles r
  where r.rolcanlogin and not r.rolsuper and ${isNowhereElse('pg_catalog.pg_authid', 'r.oid')} and exists (
    select from pg_catalog.pg_roles g where g.rolname in ('tenantry_app', 'tenantry_system') and pg_catalog.pg_has_role(r.oid, g.oid, 'member'))`

/**
 * The logins of tenantry that the coordinator alone has. Only Citus may copy a password; it does so for a role that has a right to a function
 * that it takes to the nodes.
 */
export const planNodeLogins: Plan = async (session) => {
  const [found] = await session.query<{ logins: string | null }>(
    `select pg_catalog.string_agg(pg_catalog.quote_ident(r.rolname), ', ' order by r.rolname) as logins ${missingLogins}`,
  )
  if (found?.logins === null || found === undefined) return []
  return [
    `create function ${carrier} returns void language sql as ''`,
    `grant execute on function ${carrier} to ${found.logins}`,
    `select pg_catalog.create_distributed_function('${carrier}')`,
    `drop function ${carrier}`,
  ]
}

/** Whether the login of this session is one that other nodes do not know. */
export const isLoginNowhereElse = `exists (select ${missingLogins} and r.rolname = session_user)`

/** The functions of these schemas that other nodes do not have, as a list. */
export const functionsNowhereElse = `select p.oid::pg_catalog.regprocedure::text as name ${ownFunctions} and ${isNowhereElse('pg_catalog.pg_proc', 'p.oid')} order by 1`
