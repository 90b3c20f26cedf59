import type { PermissionsOf } from 'tenantry'

/** For tenantry.config.ts and for openTenancy. */
export const access = {
  permissions: { 'tickets:read': 'See tickets', 'tickets:write': 'Change tickets' },
  /** The roles `owner` and `admin` have all of them. */
  roles: { member: ['tickets:read'] },
} as const

declare module 'tenantry' {
  // For `org.can('tickets:read')`.
  interface Permissions extends PermissionsOf<typeof access> {}
}
