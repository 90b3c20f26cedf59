import type { Session } from '../database/session.js'
import { type Plan, statements } from './carry-out.js'

// Citus puts on the other nodes what a distributed table depends on, and what is created once the nodes are there. Functions and logins
// that are older are missing there until somebody asks for them.

const isNowhereElse = (catalog: string, oid: string): string =>
  `not exists (select from pg_catalog.pg_dist_object o where o.classid = '${catalog}'::pg_catalog.regclass and o.objid = ${oid})`

const functions = 'pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace'

/** Those of the library that the coordinator alone has. */
const missingFunctions = `${functions} where n.nspname = 'platform' and ${isNowhereElse('pg_catalog.pg_proc', 'p.oid')}`

const isClosed = `not exists (
  select from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a where a.grantee = 0)`

/** Citus takes the rights of a function to the nodes, and not that PUBLIC has none. */
const closing = `pg_catalog.format('revoke execute on routine %s from public', p.oid::pg_catalog.regprocedure)`

export const planNodeFunctions: Plan = (session) =>
  statements(
    session,
    `select due.statement from (select p.* from ${missingFunctions}) p cross join lateral (values
       (1, pg_catalog.format('select pg_catalog.create_distributed_function(%L)', p.oid::pg_catalog.regprocedure)),
       (2, case when ${isClosed} then ${closing} end)) due(place, statement)
     where due.statement is not null order by p.oid, due.place`,
  )

/**
 * Closes on each node the functions of these schemas that are closed here, as far as this role owns them. On those that no other node has, it
 * changes nothing.
 */
export async function closeFunctions(session: Session, schemas: readonly string[]): Promise<void> {
  const due = await statements(
    session,
    `select ${closing} as statement from ${functions}
     where n.nspname = any ($1) and p.prokind in ('f', 'p') and ${isClosed} and pg_catalog.pg_has_role(p.proowner, 'usage')`,
    [schemas],
  )
  for (const statement of due) await session.query(statement)
}

const missingLogins = `pg_catalog.pg_roles r
  where r.rolcanlogin and not r.rolsuper and ${isNowhereElse('pg_catalog.pg_authid', 'r.oid')} and exists (
    select from pg_catalog.pg_roles g where g.rolname in ('tenantry_app', 'tenantry_system') and pg_catalog.pg_has_role(r.oid, g.oid, 'member'))`

const carrier = 'platform.carry_logins()'

/**
 * For the logins of tenantry that the coordinator alone has. Only Citus may copy a password; it does so for a role that has a right to a
 * function that it takes to the nodes.
 */
export const planNodeLogins: Plan = async (session) => {
  const logins = await statements(
    session,
    `select pg_catalog.quote_ident(r.rolname) as statement from ${missingLogins} order by r.rolname`,
  )
  if (logins.length === 0) return []
  return [
    `create function ${carrier} returns void language sql as ''`,
    `grant execute on function ${carrier} to ${logins.join(', ')}`,
    `select pg_catalog.create_distributed_function('${carrier}')`,
    `drop function ${carrier}`,
  ]
}

/** What a call of this session needs, and the coordinator alone has. */
export const readMissingObjects = async (session: Pick<Session, 'query'>): Promise<string[]> => {
  const found = await session.query<{ what: string }>(`
    select 'the login ' || pg_catalog.quote_ident(r.rolname) as what from ${missingLogins} and r.rolname = session_user
    union all
    (select 'the function ' || p.oid::pg_catalog.regprocedure from ${missingFunctions} order by p.oid)`)
  return found.map(({ what }) => what)
}
