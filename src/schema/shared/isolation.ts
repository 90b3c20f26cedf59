import { type SQL, sql } from 'drizzle-orm'
import { type AnyPgColumn, foreignKey, pgPolicy, pgRole } from 'drizzle-orm/pg-core'
import { organizations, users } from './anchors.js'

// `tenantry bootstrap` creates both roles; without existing() drizzle-kit would write CREATE ROLE into a migration.
export const tenantryApp = pgRole('tenantry_app').existing()
export const tenantrySystem = pgRole('tenantry_system').existing()

// One permissive policy per role and no other: permissive policies are OR-ed, so a further one would let more rows through. Nor a
// restrictive one: Citus forwards those to the shards as permissive.
const bound = (column: string, binding: string): SQL => sql.raw(`${column} = platform.${binding}()`)

const policy = (name: string, column: string, binding: string) =>
  pgPolicy(name, { to: tenantryApp, using: bound(column, binding), withCheck: bound(column, binding) })

/** The application's role reaches only the rows of the bound organization. */
export const orgIsolation = (column = 'org_id') => policy('org_isolation', column, 'current_org')

/** The application's role reaches only the rows of the bound person. */
export const userAccess = (column = 'user_id') => policy('user_access', column, 'current_user_id')

/** The system role, with a login and a pool of its own, works across organizations. */
export const systemAccess = () =>
  pgPolicy('system_access', { to: tenantrySystem, using: sql.raw('true'), withCheck: sql.raw('true') })

/** Makes a table an organization's: rows are deleted with the organization, and both roles have exactly one policy. */
export const tenantTable = (name: string, columns: { orgId: AnyPgColumn }) => [
  foreignKey({ name: `${name}_org_fkey`, columns: [columns.orgId], foreignColumns: [organizations.id] }).onDelete(
    'cascade',
  ),
  orgIsolation(),
  systemAccess(),
]

/** Makes a table a person's. */
export const userTable = (name: string, columns: { userId: AnyPgColumn }) => [
  foreignKey({ name: `${name}_user_fkey`, columns: [columns.userId], foreignColumns: [users.id] }).onDelete('cascade'),
  userAccess(),
  systemAccess(),
]
