import { z } from 'zod'
import { ConflictError, InvalidInputError, NotFoundError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { ownItems, ownProperties, parseInput, readOptions } from '../core/values.js'
import { Roles } from '../repositories/roles.js'
import { isUnsettled, organizationInvitations } from '../schema/invitations.js'
import { organizationMembers } from '../schema/members.js'
import { projectMembers } from '../schema/project-members.js'
import { newRole, type NewRole, type Role, rolePatch, type RolePatch } from '../schema/roles.js'
import * as shape from '../schema/shared/shapes.js'
import {
  assertHeld,
  assertPermissions,
  findRights,
  grantableRole,
  lockForManagement,
  parseRole,
  type RoleRights,
} from './role-rights.js'

const asRoles = { permission: 'roles' }
const heldPermission = z.strictObject({ roleKey: z.string(), permission: shape.label(100) })
const maxPermissions = 1000

export interface NewCustomRole extends NewRole {
  /** What members with the role may do. Each must be held by whoever creates it. */
  readonly permissions?: readonly string[] | undefined
}

/**
 * The roles with the verbs that change them. A role is named by its key, which never changes. With an actor, nobody gives a
 * permission that the actor lacks.
 */
export class ManagedRoles extends Roles {
  /** Throws ConflictError when the key is taken. The key of a deleted role can be used again. */
  create(values: NewCustomRole): Promise<Role> {
    return this.atomically(async (inner) => {
      inner.authorize()
      const { permissions = [], ...given } = ownProperties(values)
      const role = parseInput(newRole, given)
      const held = permissionsFrom(role.key, permissions as readonly string[])
      await lockForManagement(inner.scope, asRoles)
      await assertGivable(inner.scope, role.key, permissionsIn(held))
      const made = (await inner.revive(role)) ?? (await inner.insertRow(newRole, role))
      await inner.permissions.linkRows(heldPermission, held)
      return made
    })
  }

  /** Changes the name and the description. */
  update(key: string, patch: RolePatch): Promise<Role> {
    return this.managing(key, (inner, role) => inner.updateRow(rolePatch, role.id, patch))
  }

  /** Gives the role further permissions. Returns all that it has then. */
  grant(key: string, permissions: string | readonly string[]): Promise<string[]> {
    return this.managing(key, async (inner, role) => {
      assertCustom(role)
      const held = permissionsFrom(role.key, permissions)
      await assertGivable(inner.scope, role.key, permissionsIn(held))
      await inner.permissions.linkRows(heldPermission, held)
      return inner.permissionsOf(role.key)
    })
  }

  /** Takes permissions from the role. Returns those that it has then. */
  revoke(key: string, permissions: string | readonly string[]): Promise<string[]> {
    return this.managing(key, async (inner, role) => {
      assertCustom(role)
      const taken = permissionsIn(permissionsFrom(role.key, permissions))
      await assertPermissions(inner.scope, 'permissions', taken)
      if (taken.length > 0) await inner.permissions.deleteRows({ roleKey: role.key, permission: { in: taken } })
      return inner.permissionsOf(role.key)
    })
  }

  /**
   * Deletes a role of the organization's own. While members, project members or pending invitations have it, name another role for
   * them: `delete('support', { reassignTo: 'member' })`. Otherwise it throws ConflictError.
   */
  delete(key: string, options?: { readonly reassignTo?: string | undefined }): Promise<Role> {
    return this.managing(key, async (inner, role) => {
      if (role.isBuiltIn) throw new ConflictError('roles', ['key'], 'roles: a built-in role cannot be deleted')
      const { reassignTo } = readOptions(options, ['reassignTo'])
      const holders = await inner.holdersOf(role.key)
      if (holders.organization + holders.projects > 0) {
        if (reassignTo === undefined) throw stillHeld(holders)
        await inner.reassign(role.key, parseRole(reassignTo), holders)
      }
      await inner.permissions.deleteRows({ roleKey: role.key })
      return inner.hideRow(role.id)
    })
  }

  /** Locks the organization and reads the role. Throws ForbiddenError when it has a permission that the actor lacks. */
  private managing<T>(key: string, work: (inner: this, role: RoleRights) => Promise<T>): Promise<T> {
    return this.atomically(async (inner) => {
      inner.authorize()
      const wanted = parseInput(roleKey, { key }).key
      await lockForManagement(inner.scope, asRoles)
      const role = await findRights(inner.scope, wanted, asRoles)
      if (role === undefined) throw new NotFoundError('roles')
      assertHeld(inner.scope, role)
      return work(inner, role)
    })
  }

  private authorize(): void {
    this.scope.context.rules.authorize(`${asRoles.permission}:write`, undefined)
  }

  /** The deleted role with that key, as a new one. */
  private async revive({ key, name, description = null, appliesTo = 'organization' }: z.output<typeof newRole>) {
    const back = this.change('create', ({ sql, selected }) => ({
      verb: 'update',
      ctes: [],
      head: `update ${sql} set "name" = $3::text, "description" = $4::text, "applies_to" = $5::text, "updated_at" = statement_timestamp(), "deleted_at" = null`,
      where: `"org_id" = $1 and "key" = $2::text and "deleted_at" is not null`,
      returning: selected,
    }))
    const [role] = await this.runRows(back, () => [key, name, description, appliesTo])
    return role
  }

  private holdersOf(key: string): Query<Holders> {
    const count = this.query('holders', () => {
      const [member, admitted, invited] = [
        this.child(organizationMembers).plan,
        this.child(projectMembers).plan,
        this.child(organizationInvitations).plan,
      ]
      return `select
        (select count(*) from ${member.sql} where ${member.visible} and "role" = $2::text)::int,
        (select count(*) from ${invited.sql} where ${invited.visible} and "role" = $2::text and ${isUnsettled('organization_invitations')})::int,
        (select count(*) from ${admitted.sql} where ${admitted.visible} and "role" = $2::text)::int`
    })
    return this.run(
      count,
      () => [key],
      ({ rows: [row] }) => {
        const [members, invitations, projects] = row as [number, number, number]
        return { members, invitations, organization: members + invitations, projects }
      },
    )
  }

  private async reassign(from: string, to: string, holders: Holders): Promise<void> {
    if (to === from) throw new InvalidInputError('reassignTo', 'is the role that is deleted')
    // Only active people can own an organization, and some of these may be none.
    if (to === 'owner') throw new InvalidInputError('reassignTo', 'cannot be owner: use members.changeRole for that')
    if (holders.organization > 0) await grantableRole(this.scope, to, asRoles)
    if (holders.projects > 0) {
      const role = await findRights(this.scope, to, asRoles)
      if (role === undefined || role.appliesTo === 'organization')
        throw new InvalidInputError(
          'reassignTo',
          'must be a role that applies to projects, because project members have it',
        )
      assertHeld(this.scope, role)
    }
    for (const [table, condition, touched] of holding) {
      const rows = new ScopedTable(this.scope, table, undefined, asRoles)
      const move = ownStatement(
        rows.plan,
        ManagedRoles,
        `reassign ${rows.plan.resource}`,
        true,
        ({ sql, visible }) => ({
          verb: 'update',
          ctes: [],
          head: `update ${sql} set "role" = $3::text${touched}`,
          where: `${visible} and "role" = $2::text and ${condition}`,
          returning: '',
        }),
      )
      await rows.run(
        move,
        () => [from, to],
        () => undefined,
      )
    }
  }
}

interface Holders {
  readonly members: number
  readonly invitations: number
  readonly organization: number
  readonly projects: number
}

const touched = ', "updated_at" = statement_timestamp()'

// An invitation keeps its moment: it brings back nobody who was removed after it was sent.
const holding = [
  [organizationMembers, 'true', touched],
  [projectMembers, 'true', touched],
  [organizationInvitations, isUnsettled('organization_invitations'), ''],
] as const

const roleKey = z.strictObject({ key: shape.label(63) })

const permissionsFrom = (roleKey: string, permissions: string | readonly string[]) =>
  (typeof permissions === 'string' ? [permissions] : ownItems(permissions, 'permissions', maxPermissions)).map(
    (permission) => parseInput(heldPermission, { roleKey, permission }),
  )

const permissionsIn = (held: readonly { readonly permission: string }[]): string[] =>
  held.map(({ permission }) => permission)

/** First whether they exist: nobody has a permission that is misspelt. */
async function assertGivable(scope: Scope, key: string, permissions: readonly string[]): Promise<void> {
  await assertPermissions(scope, 'permissions', permissions)
  assertHeld(scope, { key, permissions })
}

function assertCustom({ isBuiltIn }: RoleRights): void {
  if (isBuiltIn)
    throw new ConflictError('roles', ['key'], 'roles: the permissions of a built-in role cannot be changed')
}

function stillHeld({ members, invitations, projects }: Holders): ConflictError {
  const counts = `${members} members, ${invitations} pending invitations and ${projects} project members`
  return new ConflictError(
    'roles',
    ['key'],
    `roles: this role is in use by ${counts}; pass reassignTo with another role`,
  )
}
