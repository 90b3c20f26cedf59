import { z } from 'zod'
import { DefinitionError, ForbiddenError, InvalidInputError } from '../core/errors.js'
import { ownerId } from '../core/owner-id.js'
import type { Statement } from '../core/executor.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { statement } from '../core/statement.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { planOf } from '../core/statements/table-plan.js'
import { parseInput } from '../core/values.js'
import { organizations } from '../schema/organizations.js'
import { type Role, rolePermissions, roles } from '../schema/roles.js'
import * as shape from '../schema/shared/shapes.js'

/** The permission under which roles are read and given and, for roles in a project, that project. */
export interface Managing {
  readonly permission: string
  readonly project?: string | undefined
}

/**
 * Locks the organization until the transaction ends, so that changes of its members and roles come one after another: none of them
 * counts owners that another one is removing. Throws ForbiddenError where an actor may not manage them, or may not act any more.
 */
export async function lockForManagement(scope: Scope, managing: Managing): Promise<void> {
  scope.context.rules.authorize(`${managing.permission}:write`, managing.project)
  const { isolation: asked = 'read committed' } = scope.context
  if (asked !== 'read committed') throw needsReadCommitted(asked)
  const [mayActors, isolation] = await lockAsActor(scope, (inner) => lockOrganization(inner, managing))
  // The default of the login.
  if (isolation !== 'read committed') throw needsReadCommitted(String(isolation))
  const { actor } = scope.context
  if (!isChecked(scope)) return
  if (actor?.impersonation !== undefined) {
    throw new ForbiddenError(
      undefined,
      'members, roles and invitations cannot be changed in the name of another person',
    )
  }
  if (mayActors !== true) {
    throw new ForbiddenError(
      undefined,
      'allow_user_management is false: only backend code changes the members, roles and invitations of this organization',
    )
  }
}

function lockOrganization(scope: Scope, managing: Managing): Query<readonly unknown[]> {
  const table = new ScopedTable(scope, organizations, undefined, managing)
  const lock = ownStatement(
    table.plan,
    lockForManagement,
    'lock',
    false,
    ({ sql, visible }) =>
      `select "allow_user_management", pg_catalog.current_setting('transaction_isolation') from ${sql} where ${visible} for no key update`,
  )
  return table.run(
    lock,
    () => [],
    ({ rows: [row] }) => row ?? [],
  )
}

/**
 * Makes the call that locks and, behind it in the same round trip, asks whether whoever acts may still do so: an actor has the rights of
 * when the request began, and could give back what was taken since. The call cannot ask itself: a statement that has waited for a lock
 * sees other tables as they were before. Nothing is asked where nobody acts. Throws ForbiddenError.
 */
export async function lockAsActor<T>(scope: Scope, lock: (scope: Scope) => Query<T>): Promise<T> {
  if (!isChecked(scope)) return lock(scope)
  const [locked, ...mayAct] = await scope.batch((inner) => [lock(inner), ...mayStillAct(inner)] as const)
  if (mayAct.every(Boolean)) return locked
  throw rightsEnded()
}

export const rightsEnded = (): ForbiddenError =>
  new ForbiddenError(
    undefined,
    'this actor may no longer act: the rights of the person or the key have ended since the request began',
  )

/** Of a key, also whether its person may. A cluster refuses a function that reads tables where it gets a value from a table of shards. */
function mayStillAct(scope: Scope): readonly Query<boolean>[] {
  const { actor } = scope.context
  const isLive = (live: Statement, ...values: readonly unknown[]): Query<boolean> =>
    scope.query(() => {
      const asked = { statement: live, values: [ownerId(scope, 'org'), ...values, actor?.epoch] }
      return planned(asked, ({ rowCount }) => rowCount === 1)
    })
  if (actor?.kind !== 'api_key') return [isLive(liveActor, actor?.id)]
  return [isLive(liveActor, actor.onBehalfOf), isLive(liveKey, actor.id, actor.onBehalfOf)]
}

/** It would count and compare what was there before it got the lock. */
const needsReadCommitted = (isolation: string): DefinitionError =>
  new DefinitionError(
    `members, roles and invitations cannot be changed in a transaction of isolation ${isolation}: use read committed, the default`,
  )

/** A live role with its permissions. */
export interface RoleRights extends Pick<Role, 'id' | 'key' | 'appliesTo' | 'isBuiltIn'> {
  readonly permissions: readonly string[]
}

export function findRights(scope: Scope, key: string, managing: Managing): Query<RoleRights | undefined> {
  const table = new ScopedTable(scope, roles, undefined, managing)
  const statement = ownStatement(table.plan, findRights, 'rights', false, (plan) => {
    const [role, held] = [plan.as('r'), planOf(rolePermissions).as('p')]
    return `select r."id", r."key", r."applies_to", r."is_built_in",
        array(select p."permission" from ${held.sql} where ${held.owned} and p."role_key" = r."key" order by p."permission")
      from ${role.sql} where ${role.visible} and r."key" = $2::text`
  })
  return table.run(
    statement,
    () => [key],
    ({ rows: [row] }) => {
      if (row === undefined) return undefined
      const [id, key, appliesTo, isBuiltIn, permissions] = row
      return { id, key, appliesTo, isBuiltIn, permissions } as RoleRights
    },
  )
}

/** The role by its key, if it may be given there by whoever acts. Throws InvalidInputError and ForbiddenError. */
export async function grantableRole(scope: Scope, key: string, managing: Managing): Promise<RoleRights> {
  const role = await findRights(scope, key, managing)
  const place = managing.project === undefined ? 'organization' : 'project'
  if (role === undefined) throw new InvalidInputError('role', 'is not a role of this organization')
  if (role.appliesTo !== 'both' && role.appliesTo !== place) {
    throw new InvalidInputError(
      'role',
      `applies to ${role.appliesTo === 'project' ? 'projects' : 'the organization'} only`,
    )
  }
  assertHeld(scope, role, managing.project)
  return role
}

/** The person who acts. Undefined for backend code, a job and a key. */
export const actingUser = ({ context: { actor } }: Scope): string | undefined =>
  actor?.kind === 'user' ? actor.id : undefined

/** Whether somebody acts whose rights are checked. Backend code and jobs have all of them. */
export const isChecked = ({ context: { actor } }: Scope): boolean => actor !== undefined && !actor.isTrusted

/** Throws ForbiddenError when that role, if it is still there, has permissions that whoever acts lacks. */
export async function assertHoldsRole(scope: Scope, key: string, managing: Managing): Promise<void> {
  if (!isChecked(scope)) return
  const role = await findRights(scope, key, managing)
  if (role !== undefined) assertHeld(scope, role, managing.project)
}

/** Throws ForbiddenError when the role has permissions that whoever acts lacks. Backend code has all of them. */
export function assertHeld(scope: Scope, role: Pick<RoleRights, 'key' | 'permissions'>, project?: string): void {
  const { actor } = scope.context
  const missing = role.permissions.filter((permission) => actor?.can(permission, project) === false)
  if (missing.length === 0) return
  const shown =
    missing.length > 3 ? `${missing.slice(0, 3).join(', ')} and ${missing.length - 3} more` : missing.join(', ')
  throw new ForbiddenError(missing[0], `the role ${role.key} has permissions that you lack: ${shown}`)
}

/**
 * Whether the person is a live member: active here, and neither suspended, banned nor deleted. Only such an owner counts as one.
 */
export const isLiveMember = (userId: string): string => `platform.is_live_member(${userId})`

const liveActor = statement(
  `select from platform.organization_members m
   where m.org_id = $1 and m.user_id = $2 and m.auth_epoch = $3 and ${isLiveMember('m.user_id')}`,
  'read',
)

const liveKey = statement(
  `select from platform.api_keys k
   where k.org_id = $1 and k.id = $2 and k.user_id = $3 and k.auth_epoch = $4 and k.deleted_at is null and k.status = 'active'
     and (k.expires_at is null or k.expires_at > statement_timestamp())
     and (k.grace_until is null or k.grace_until > statement_timestamp())`,
  'read',
)

/** Throws InvalidInputError for text that is no permission of the catalog. */
export async function assertPermissions(scope: Scope, field: string, permissions: readonly string[]): Promise<void> {
  if (permissions.length === 0) return
  const unknown = await scope.query(() =>
    planned({ statement: firstUnknown, values: [permissions] }, ({ rows: [row] }) => row?.[0] as string | undefined),
  )
  if (unknown !== undefined) throw new InvalidInputError(field, `contains ${unknown}, which is not a permission`)
}

const firstUnknown = statement(
  `select s from pg_catalog.unnest($1::text[]) s where not exists (select from platform.permissions p where p.key = s) limit 1`,
  'read',
)

const roleKey = z.strictObject({ role: shape.label(63) })

export const parseRole = (role: unknown): string => parseInput(roleKey, { role }).role
