import { sql } from 'drizzle-orm'
import { boolean, foreignKey, index, primaryKey, text, unique } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { id, orgId, platform, softDelete, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const rolePlaces = ['organization', 'project', 'both'] as const

/** A named set of permissions. Its key never changes, because members and invitations refer to it. */
export const roles = platform.table(
  'roles',
  {
    orgId: orgId(),
    id: id(),
    key: text('key').notNull(),
    name: text('name').notNull(),
    description: text('description'),
    appliesTo: state('applies_to', rolePlaces).notNull().default('organization'),
    /**
     * True in a built-in role, else null. Only provisioning writes it. No default: a Citus cluster writes every default of a table that is on
     * every node out, and the application has no right to write this column.
     */
    builtIn: boolean('built_in'),
    isBuiltIn: boolean('is_built_in')
      .notNull()
      .generatedAlwaysAs(sql`coalesce(built_in, false)`),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    primaryKey({ name: 'roles_pkey', columns: [t.orgId, t.id] }),
    // Not partial: creating a deleted role again revives its row, to which the members' foreign keys refer.
    unique('roles_key_key').on(t.orgId, t.key),
    stateCheck('roles_applies_to_check', 'applies_to', rolePlaces),
    ...tenantTable('roles', t),
  ],
)
declareTable(roles, { kind: 'control', audited: true, hidden: ['built_in'] })

/** All permissions. The code defines them, and migrations add new ones. */
export const permissions = platform.table(
  'permissions',
  {
    /** `<repository>:read`, `<repository>:write`, and a few others such as `credentials:reveal`. */
    key: text('key').notNull(),
    description: text('description').notNull(),
    ...timestamps(),
  },
  (t) => [primaryKey({ name: 'permissions_pkey', columns: [t.key] })],
)
declareTable(permissions, { kind: 'catalog' })

/** The permissions of a role. */
export const rolePermissions = platform.table(
  'role_permissions',
  {
    orgId: orgId(),
    roleKey: text('role_key').notNull(),
    permission: text('permission').notNull(),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'role_permissions_pkey', columns: [t.orgId, t.roleKey, t.permission] }),
    foreignKey({
      name: 'role_permissions_role_fkey',
      columns: [t.orgId, t.roleKey],
      foreignColumns: [roles.orgId, roles.key],
    }).onDelete('cascade'),
    foreignKey({
      name: 'role_permissions_permission_fkey',
      columns: [t.permission],
      foreignColumns: [permissions.key],
    }),
    index('role_permissions_permission_idx').on(t.permission),
    ...tenantTable('role_permissions', t),
  ],
)
declareTable(rolePermissions, { kind: 'tenant', audited: true })

export const newRole = z.strictObject({
  key: z
    .string()
    .max(63)
    .regex(/^[a-z][a-z0-9_]*$/, 'must be lower-case letters, digits and underscores'),
  name: shape.label(),
  description: shape.text(1000).nullish(),
  appliesTo: z.enum(rolePlaces).optional(),
})
export const rolePatch = newRole.pick({ name: true, description: true }).partial()

export interface Role extends Omit<Row<typeof roles>, 'builtIn'> {}
export interface NewRole extends z.input<typeof newRole> {}
export interface RolePatch extends z.input<typeof rolePatch> {}
export interface Permission extends Row<typeof permissions> {}
export interface RolePermission extends Row<typeof rolePermissions> {}
