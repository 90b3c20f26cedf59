import { expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { bringPermissions } from '../../src/access/permissions.js'
import { builtInRoles, permissionCatalog } from '../../src/schema/built-in-roles.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'

const database = useDatabase()

/** An organization with the built-in roles as they were before `audit:export` was thought of. */
async function olderOrganization(): Promise<string> {
  const { admin } = database
  const orgId = await createOrganization(admin)
  for (const { key, name, permissions } of builtInRoles) {
    await admin.query('insert into platform.roles (org_id, id, key, name, built_in) values ($1, $2, $3, $4, true)', [
      orgId,
      newId(),
      key,
      name,
    ])
    await admin.query(
      'insert into platform.role_permissions (org_id, role_key, permission) select $1, $2, unnest($3::text[])',
      [orgId, key, permissions.filter((permission) => permission !== 'audit:export')],
    )
  }
  await admin.query(`insert into platform.roles (org_id, id, key, name) values ($1, $2, 'own', 'Own')`, [
    orgId,
    newId(),
  ])
  return orgId
}

const holders = async (orgId: string, permission: string): Promise<string[]> => {
  const rows = await database.admin.query<{ role: string }>(
    'select role_key as role from platform.role_permissions where org_id = $1 and permission = $2 order by 1',
    [orgId, permission],
  )
  return rows.map(({ role }) => role)
}

test('a permission that is new to the database reaches the built-in roles of the organizations that exist', async () => {
  const { admin } = database
  const orgId = await olderOrganization()
  await admin.query(`delete from platform.role_permissions where org_id = $1 and role_key = 'member'`, [orgId])
  await admin.query(`delete from platform.permissions where key = 'audit:export'`)
  await admin.query(`update platform.permissions set description = 'old words' where key = 'agents:read'`)

  expect(await bringPermissions(admin)).toEqual(['audit:export'])
  expect(await holders(orgId, 'audit:export')).toEqual(['admin', 'owner'])
  // A role that was changed by hand keeps its change.
  expect(await holders(orgId, 'agents:read')).not.toContain('member')
  const [reworded] = await admin.query(`select description from platform.permissions where key = 'agents:read'`)
  expect(reworded).toEqual({ description: permissionCatalog['agents:read'] })

  expect(await bringPermissions(admin)).toEqual([])
})

test('a migrated database has every permission', async () => {
  const rows = await database.admin.query<{ key: string }>('select key from platform.permissions')
  expect(rows.map(({ key }) => key).sort()).toEqual(Object.keys(permissionCatalog).sort())
})

test('the built-in roles allow what their names promise', () => {
  const of = (key: string) => builtInRoles.find((role) => role.key === key)?.permissions ?? []
  expect(builtInRoles.map(({ key }) => key)).toEqual([
    'owner',
    'admin',
    'developer',
    'manager',
    'billing_admin',
    'member',
    'customer',
    'read_only',
  ])
  expect(of('owner')).toHaveLength(Object.keys(permissionCatalog).length)
  expect(of('admin')).not.toContain('payment_methods:write')
  expect(of('admin')).toContain('payment_methods:read')
  expect(of('manager')).not.toContain('credentials:reveal')
  expect(of('customer')).not.toContain('members:read')
  expect(of('read_only').every((permission) => permission.endsWith(':read'))).toBe(true)
  for (const { key, permissions } of builtInRoles) {
    expect(new Set(permissions).size, key).toBe(permissions.length)
    for (const permission of permissions.filter((one) => one.endsWith(':write'))) {
      // Nobody changes what they cannot see.
      expect(permissions, key).toContain(permission.replace(':write', ':read'))
    }
  }
})
