import { type SQL, sql } from 'drizzle-orm'
import { type AnyPgColumn, foreignKey, pgPolicy, pgRole } from 'drizzle-orm/pg-core'
import { organizations, users } from './anchors.js'

// Both roles are made by `tenantry bootstrap`; without existing() drizzle-kit would write CREATE ROLE into a migration.
export const tenantryApp = pgRole('tenantry_app').existing()
export const tenantrySystem = pgRole('tenantry_system').existing()

// One permissive policy per role and nothing else: permissive policies are OR-ed, so a further one would widen. Not a
// restrictive one either: Citus forwards those to the shards as permissive.
const bound = (column: string, binding: string): SQL => sql.raw(`${column} = platform.${binding}()`)

const policy = (name: string, column: string, binding: string) =>
  pgPolicy(name, { to: tenantryApp, using: bound(column, binding), withCheck: bound(column, binding) })

/** The application's role sees the rows of the bound organization and no others. */
export const orgIsolation = (column = 'org_id') => policy('org_isolation', column, 'current_org')

/** The application's role sees the bound person's rows and no others. */
export const userAccess = (column = 'user_id') => policy('user_access', column, 'current_user_id')

/** The system role, with a login and a pool of its own, works across organizations. */
export const systemAccess = () =>
  pgPolicy('system_access', { to: tenantrySystem, using: sql.raw('true'), withCheck: sql.raw('true') })

/** What makes a table an organization's: its rows go with the organization, and both roles have exactly one policy. */
export const tenantTable = (name: string, columns: { orgId: AnyPgColumn }) => [
  foreignKey({ name: `${name}_org_fkey`, columns: [columns.orgId], foreignColumns: [organizations.id] }).onDelete(
    'cascade',
  ),
  orgIsolation(),
  systemAccess(),
]

/** What makes a table a person's. */
export const userTable = (name: string, columns: { userId: AnyPgColumn }) => [
  foreignKey({ name: `${name}_user_fkey`, columns: [columns.userId], foreignColumns: [users.id] }).onDelete('cascade'),
  userAccess(),
  systemAccess(),
]
