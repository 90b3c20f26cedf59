import { DecryptError, InvalidInputError } from '../../core/errors.js'
import { newId } from '../../core/ids.js'
import type { DataKeys } from '../../core/sealing.js'
import type { Session } from '../../database/session.js'
import { builtInRoles } from '../../schema/built-in-roles.js'

/** Gives organizations their built-in roles and a key for their sealed columns, as far as they have none. */
export async function completeOrganizations(
  session: Session,
  dataKeys: DataKeys,
  ids: readonly string[],
): Promise<void> {
  const bare = await session.query<{ id: string }>(
    `select o.id from platform.organizations o where o.id = any ($1::text[]::uuid[])
     and not exists (select from platform.roles r where r.org_id = o.id)`,
    [ids],
  )
  const roles = bare.flatMap(({ id }) => builtInRoles.map((role) => ({ ...role, orgId: id, id: newId() })))
  if (roles.length > 0) await addRoles(session, roles)
  const open = await session.query<{ id: string }>(
    `select o.id from platform.organizations o where o.id = any ($1::text[]::uuid[])
     and not exists (select from platform.org_keys k where k.org_id = o.id and k.state = 'active')`,
    [ids],
  )
  const keys = await Promise.all(
    open.map(async ({ id: orgId }) => {
      const keyId = newId()
      return { orgId, keyId, ...(await dataKeys.make({ orgId, keyId })) }
    }),
  )
  await session.query(
    `insert into platform.org_keys (org_id, id, kek_id, wrapped)
     select k.* from rows from (pg_catalog.unnest($1::uuid[]), pg_catalog.unnest($2::uuid[]), pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::bytea[])) k`,
    [
      keys.map(({ orgId }) => orgId),
      keys.map(({ keyId }) => keyId),
      keys.map(({ masterKeyId }) => masterKeyId),
      keys.map(({ wrapped }) => wrapped),
    ],
  )
}

async function addRoles(
  session: Session,
  roles: readonly ((typeof builtInRoles)[number] & { readonly orgId: string; readonly id: string })[],
): Promise<void> {
  const rows = JSON.stringify(
    roles.map(({ appliesTo, orgId, ...role }) => ({ ...role, org_id: orgId, applies_to: appliesTo })),
  )
  await session.query(
    `insert into platform.roles (org_id, id, key, name, description, applies_to, built_in)
     select r.org_id, r.id, r.key, r.name, r.description, r.applies_to, true
     from pg_catalog.json_to_recordset($1::json) r(org_id uuid, id uuid, key text, name text, description text, applies_to text)`,
    [rows],
  )
  await session.query(
    `insert into platform.role_permissions (org_id, role_key, permission)
     select r.org_id, r.key, p.key from pg_catalog.json_to_recordset($1::json) r(org_id uuid, key text, permissions json)
     cross join lateral pg_catalog.json_array_elements_text(r.permissions) held(key) join platform.permissions p on p.key = held.key`,
    [rows],
  )
  // The host's own permissions, as the last `migrate up` recorded them.
  await session.query(
    `insert into platform.role_permissions (org_id, role_key, permission)
     select r.org_id, r.key, p.key from pg_catalog.json_to_recordset($1::json) r(org_id uuid, key text)
     join platform_migrations.inventory i on i.what = 'permission' and i.facts -> 'roles' operator(pg_catalog.?) r.key
     join platform.permissions p on p.key = i.name on conflict do nothing`,
    [rows],
  )
}

/**
 * Refuses master keys under which the secrets of this database could not be opened: one that has the id of a key that it was used with, and
 * another secret, or a ring without such a key.
 */
export async function assertRightMasterKey(session: Session, dataKeys: DataKeys): Promise<void> {
  const known = await session.query<{ masterKeyId: string; orgId: string; keyId: string; wrapped: Uint8Array }>(
    `select m.kek_id as "masterKeyId", k.org_id as "orgId", k.id as "keyId", k.wrapped
     from (select distinct d.kek_id from platform.org_keys d where d.wrapped is not null) m
     cross join lateral (select o.* from platform.org_keys o where o.kek_id = m.kek_id and o.wrapped is not null limit 20) k`,
  )
  for (const masterKeyId of new Set(known.map((row) => row.masterKeyId))) {
    if (!dataKeys.provider.ids.includes(masterKeyId))
      throw new InvalidInputError(
        'TENANTRY_KEYS',
        `has no key ${masterKeyId}, with which this database was used: add it behind the others`,
      )
    const keys = known.filter((row) => row.masterKeyId === masterKeyId)
    if (!(await opensOne(keys, dataKeys)))
      throw new InvalidInputError(
        'TENANTRY_KEYS',
        `the key ${masterKeyId} is not the one that this database was used with`,
      )
  }
}

async function opensOne(
  keys: readonly { masterKeyId: string; orgId: string; keyId: string; wrapped: Uint8Array }[],
  dataKeys: DataKeys,
): Promise<boolean> {
  for (const { masterKeyId, wrapped, orgId, keyId } of keys) {
    try {
      await dataKeys.unwrap({ masterKeyId, wrapped }, { orgId, keyId })
      return true
    } catch (error) {
      if (!(error instanceof DecryptError)) throw error
    }
  }
  return false
}
