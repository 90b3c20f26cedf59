import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Member, organizationMembers } from '../schema/members.js'
import { type Role, rolePermissions, roles } from '../schema/roles.js'

export interface RoleRelations {
  readonly members: Member[]
}

const options = { includes: { members: { many: organizationMembers, by: 'role', permission: 'members' } } }

/** The organization's roles: the built-in ones, and its own. */
export class Roles extends ScopedRepository<Role, RoleRelations> {
  protected readonly permissions = this.child(rolePermissions)

  constructor(scope: Scope) {
    super(scope, roles, options)
  }

  findByKey(key: string): Query<Role | undefined> {
    return this.findRow({ key })
  }

  /** The permissions of the role, in alphabetical order. Empty for a role that is not there. */
  permissionsOf(key: string): Query<string[]> {
    const statement = this.query('permissions', () => {
      const [permission, role] = [this.permissions.plan.as('p'), this.plan.as('r')]
      return `select p."permission" from ${permission.sql} join ${role.sql} on r."key" = p."role_key"
        where ${permission.owned} and ${role.visible} and r."key" = $2::text order by p."permission"`
    })
    return this.run(
      statement,
      () => [key],
      ({ rows }) => rows.map(([permission]) => permission as string),
    )
  }
}
