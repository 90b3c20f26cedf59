import { clusterSettings } from '../database/cluster.js'
import type { Session } from '../database/session.js'
import { type Plan, statements } from './carry-out.js'

/** The settings of the database for new connections. */
export const planClusterSettings: Plan = (session) =>
  statements(session, settingStatements, [JSON.stringify(clusterSettings)])

// On the coordinator bootstrap closes set_config, which the owner of enter_org keeps.
const onWorkers = ['set_config']
// They run SQL text on other connections, where no organization is bound and any may be.
const onAllNodes = [
  'run_command_on_workers',
  'run_command_on_all_nodes',
  'run_command_on_coordinator',
  'run_command_on_shards',
  'run_command_on_placements',
  'run_command_on_colocated_placements',
  'master_run_on_worker',
]
// They run `set local` too, and so move the binding. Citus itself calls them in the name of whoever changes a table or a role.
const forOwners = [
  'citus_run_local_command',
  'worker_apply_shard_ddl_command',
  'worker_apply_inter_shard_ddl_command',
  'alter_role_if_exists',
]

/**
 * Revokes from PUBLIC, on each node, the functions by which SQL text in a scope could leave its organization. Only a superuser may:
 * where they are closed already, nobody else can look.
 */
export const planClusterRights: Plan = async (session) =>
  (await mayLook(session))
    ? [
        ...(await statements(session, rightStatements('run_command_on_workers'), [onWorkers])),
        ...(await statements(session, grantStatements, [forOwners])),
        ...(await statements(session, rightStatements('run_command_on_all_nodes'), [[...onAllNodes, ...forOwners]])),
      ]
    : []

async function mayLook(session: Session): Promise<boolean> {
  const [row] = await session.query<{ may: boolean }>(
    `select pg_catalog.bool_and(pg_catalog.has_function_privilege(p.oid, 'execute')) as may from pg_catalog.pg_proc p
     where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace and p.proname in ('run_command_on_workers', 'run_command_on_all_nodes')`,
  )
  return row?.may === true
}

const settingStatements = `
select pg_catalog.format('alter database %I set %s = %L', d.datname, wanted.name, wanted.value) as statement
from pg_catalog.pg_database d, pg_catalog.jsonb_each_text($1::jsonb) as wanted(name, value)
where d.datname = pg_catalog.current_database() and not exists (
  select from pg_catalog.pg_db_role_setting s
  where s.setdatabase = d.oid and s.setrole = 0 and wanted.name || '=' || wanted.value = any (s.setconfig))
order by statement`

/** Every node tells which of these functions PUBLIC may execute there. */
const rightStatements = (onNodes: string) => `
select distinct pg_catalog.format('select pg_catalog.${onNodes}(%L)', 'revoke execute on function pg_catalog.' || signature || ' from public') as statement
from pg_catalog.${onNodes}(pg_catalog.format($$
  select coalesce(pg_catalog.json_agg(p.oid::pg_catalog.regprocedure::text), '[]') from pg_catalog.pg_proc p
  where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace and p.proname = any (%L::text[]) and exists (
    select from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a where a.grantee = 0)$$, $1::text[])) node
cross join lateral pg_catalog.json_array_elements_text(case when node.success then node.result::pg_catalog.json else '[]' end) signature
order by statement`

/** Owners of distributed tables and roles that may alter roles. Superusers need no grant. */
const grantStatements = `
with owner as materialized (
  select r.rolname as name from pg_catalog.pg_roles r
  where not r.rolsuper and (r.rolcreaterole or exists (
    select from pg_catalog.pg_dist_partition p join pg_catalog.pg_class c on c.oid = p.logicalrelid where c.relowner = r.oid))
)
select distinct pg_catalog.format('select pg_catalog.run_command_on_all_nodes(%L)',
  pg_catalog.format('grant execute on function pg_catalog.%s to %I', lacking.signature, lacking.owner)) as statement
from pg_catalog.run_command_on_all_nodes(pg_catalog.format($$
  select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('signature', p.oid::pg_catalog.regprocedure::text, 'owner', r.rolname)), '[]')
  from pg_catalog.pg_proc p
  join pg_catalog.pg_roles r on r.rolname = any (%L::pg_catalog.name[])
  where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace and p.proname = any (%L::text[]) and not exists (
    select from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a where a.grantee = r.oid)$$,
  (select pg_catalog.array_agg(name) from owner), $1::text[])) node
cross join lateral pg_catalog.json_to_recordset(case when node.success then node.result::pg_catalog.json else '[]' end)
  as lacking(signature text, owner text)
order by statement`
