import { refuseFilteredRows } from '../database/row-security.js'
import { withContext } from '../database/session-failure.js'
import type { Session } from '../database/session.js'
import { builtInRoles, permissionCatalog } from '../schema/built-in-roles.js'

/**
 * Adds the permissions that this build has and the database lacks, also to the built-in roles of the existing organizations: all of
 * them or none. A role that was changed by hand keeps its change, because only permissions that are new to the database are added.
 */
export async function bringPermissions(direct: Session): Promise<string[]> {
  const session = withContext(direct, 'permissions')
  await session.query('begin')
  try {
    await session.query(refuseFilteredRows)
    const keys = await insertNew(session)
    await session.query('commit')
    return keys
  } catch (error) {
    await session.query('rollback').catch(() => undefined)
    throw error
  }
}

async function insertNew(session: Session): Promise<string[]> {
  const catalog = Object.entries(permissionCatalog).map(([key, description]) => ({ key, description }))
  const held = builtInRoles.flatMap((role) => role.permissions.map((permission) => ({ role: role.key, permission })))
  const rows = await session.query<{ key: string }>(
    `with wanted as (
       select w.key, w.description from json_to_recordset($1::json) w(key text, description text)
     ), fresh as (
       insert into platform.permissions (key, description)
       select w.key, w.description from wanted w
       on conflict (key) do nothing
       returning key
     ), reworded as (
       update platform.permissions p set description = w.description, updated_at = statement_timestamp()
       from wanted w where w.key = p.key and w.description <> p.description
     ), given as (
       insert into platform.role_permissions (org_id, role_key, permission)
       select r.org_id, r.key, f.key
       from fresh f
       join json_to_recordset($2::json) h(role text, permission text) on h.permission = f.key
       join platform.roles r on r.key = h.role and r.built_in
       on conflict do nothing
     )
     select key from fresh order by key`,
    [JSON.stringify(catalog), JSON.stringify(held)],
  )
  return rows.map((row) => row.key)
}
