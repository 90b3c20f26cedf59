import { z } from 'zod'
import { ConflictError, InvalidInputError, NotFoundError } from '../core/errors.js'
import { newId, parseId } from '../core/ids.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { unguarded } from '../core/statements/updates.js'
import { parseInput, readOptions } from '../core/values.js'
import { Members } from '../repositories/members.js'
import { apiKeys } from '../schema/api-keys.js'
import { organizationInvitations } from '../schema/invitations.js'
import { type Member, memberPatch, type MemberPatch, newMember, type NewMember } from '../schema/members.js'
import { projectMembers } from '../schema/project-members.js'
import { rolePermissions } from '../schema/roles.js'
import * as shape from '../schema/shared/shapes.js'
import { admit, alreadyMember, membershipOf, membersResource as resource } from './membership.js'
import {
  actingUser,
  assertHeld,
  assertHoldsRole,
  grantableRole,
  isChecked,
  isLiveMember,
  lockForManagement,
  parseRole,
} from './role-rights.js'
import { revokeInvitations } from './revoke-invitations.js'
import { reserveSeat } from './seats.js'
import { findUnsettled } from './unsettled-invitation.js'

const asMembers = { permission: 'members' }
const newService = z.strictObject({ name: shape.label(), role: shape.label(63) })

export interface NewServiceMember extends z.input<typeof newService> {}

export interface Transfer {
  /** The member who steps down. Default: whoever acts. */
  readonly from?: string | undefined
  /** The role of that member afterwards. Default: `admin`. */
  readonly role?: string | undefined
}

/**
 * The members with the verbs that change their rights. With an actor, nobody gives, changes or takes a role that has permissions
 * which the actor lacks. The last active owner stays one.
 */
export class ManagedMembers extends Members {
  /**
   * Adds a person. A removed member is back with nothing of their old rights. Throws PlanLimitError when the plan has no seat left, and
   * ConflictError when they are a member already.
   */
  add(values: NewMember): Promise<Member> {
    return this.atomically(async (inner) => {
      inner.authorize()
      const given = parseInput(newMember, values)
      await lockForManagement(inner.scope, asMembers)
      await grantableRole(inner.scope, given.role, asMembers)
      await inner.revokeInvitationTo(given.email)
      await reserveSeat(inner.scope)
      const known = await membershipOf(inner.rows, given.userId)
      if (known?.status === 'active' || known?.status === 'inactive') throw alreadyMember(known.status)
      return admit(inner.rows, given, known === undefined)
    })
  }

  /** A member that is no person: it has no session and takes no seat. Keys made out to it outlive people. */
  addService(values: NewServiceMember): Promise<Member> {
    return this.atomically(async (inner) => {
      inner.authorize()
      const { name, role } = parseInput(newService, values)
      if (role === 'owner')
        throw new InvalidInputError('role', 'cannot be owner: only a person can own an organization')
      await lockForManagement(inner.scope, asMembers)
      await grantableRole(inner.scope, role, asMembers)
      const add = inner.change('addService', ({ selected }) => ({
        verb: 'call',
        ctes: [],
        head: 'select * from platform.add_service($2::uuid, $3::text, $4::uuid, $5::text)',
        where: '"org_id" = $1',
        returning: selected,
      }))
      const [member] = await inner.runRows(add, () => [newId(), name, newId(), role])
      if (member === undefined) throw new NotFoundError(resource)
      return member
    })
  }

  /** Changes the name and the address that the member has in this organization. */
  update(id: string, patch: MemberPatch): Promise<Member> {
    return this.managing(id, async (inner) => inner.updateRow(memberPatch, id, patch))
  }

  /** Throws ConflictError for the last active owner, and when anybody but an active person would become an owner. */
  changeRole(id: string, role: string): Promise<Member> {
    return this.managing(id, async (inner, member) => {
      const { key } = await grantableRole(inner.scope, parseRole(role), asMembers)
      if (key === 'owner') await inner.assertMayOwn(member)
      else await inner.assertAnotherOwner(member)
      return inner.updateRow(shape.noInput, id, {}, { managed: { role: key }, event: 'changeRole' })
    })
  }

  /** The member keeps their row and their role, and cannot act. Their sessions and keys end for this organization. */
  deactivate(id: string): Promise<Member> {
    return this.managing(id, async (inner, member) => {
      if (member.status === 'inactive') return member
      await inner.assertAnotherOwner(member)
      const set = `"status" = 'inactive', "auth_epoch" = "auth_epoch" + 1`
      return inner.guardedRow('deactivate', id, unguarded(resource, set), () => [])
    })
  }

  /** Sessions and keys of before stay invalid. Throws PlanLimitError when the plan has no seat left. */
  reactivate(id: string): Promise<Member> {
    return this.managing(id, async (inner, member) => {
      if (member.status === 'active') return member
      if (member.kind === 'person') await reserveSeat(inner.scope)
      return inner.updateRow(shape.noInput, id, {}, { managed: { status: 'active' }, event: 'reactivate' })
    })
  }

  /** Removes the member from the organization and its projects, and revokes their keys. */
  remove(id: string): Promise<Member> {
    return this.managing(id, async (inner, member) => {
      await inner.assertAnotherOwner(member)
      return inner.removeMember(member)
    })
  }

  /** Makes that member an owner. The one who acts, or `from`, steps down in the same transaction. */
  transferOwnership(to: string, options?: Transfer): Promise<Member> {
    return this.managing(to, async (inner, member) => {
      const { from, role = 'admin' } = readOptions(options, ['from', 'role'])
      await inner.assertMayOwn(member)
      const source = await inner.steppingDown(from)
      if (source.id === member.id) throw new InvalidInputError('from', 'is the same member as the new owner')
      await grantableRole(inner.scope, 'owner', asMembers)
      const { key } = await grantableRole(inner.scope, parseRole(role), asMembers)
      const event = 'transferOwnership'
      const owner = await inner.updateRow(shape.noInput, to, {}, { managed: { role: 'owner' }, event })
      await inner.updateRow(shape.noInput, source.id, {}, { managed: { role: key }, event })
      return owner
    })
  }

  /** Locks the organization and the member. Throws ForbiddenError when one of the member's roles has a permission that the actor lacks. */
  private managing<T>(id: string, work: (inner: this, member: Member) => Promise<T>): Promise<T> {
    return this.atomically(async (inner) => {
      inner.authorize()
      parseId(id)
      await lockForManagement(inner.scope, asMembers)
      const member = await inner.lockRow(id)
      if (isChecked(inner.scope)) {
        await assertHoldsRole(inner.scope, member.role, asMembers)
        await inner.assertHeldInProjects(member)
      }
      return work(inner, member)
    })
  }

  private authorize(): void {
    this.scope.context.rules.authorize(`${asMembers.permission}:write`, undefined)
  }

  /** It would take a seat beside that of the member. Throws ForbiddenError when its role has a permission that the actor lacks. */
  private async revokeInvitationTo(email: string): Promise<void> {
    const invitations = this.child(organizationInvitations)
    if (isChecked(this.scope)) {
      const unsettled = await findUnsettled(invitations, email)
      if (unsettled !== undefined) await assertHoldsRole(this.scope, unsettled.role, asMembers)
    }
    await revokeInvitations(invitations, 'to an address', email)
  }

  private async assertAnotherOwner({ id, role, status }: Member): Promise<void> {
    if (role !== 'owner' || status !== 'active') return
    const another = this.query(
      'another owner',
      ({ sql, visible }) =>
        `select from ${sql} where ${visible} and "role" = 'owner' and "kind" = 'person' and "id" <> $2 and ${isLiveMember('"user_id"')} limit 1`,
    )
    const others = await this.run(
      another,
      () => [id],
      ({ rowCount }) => rowCount,
    )
    if (others === 0) {
      throw new ConflictError(
        resource,
        ['role'],
        `${resource}: this is the last active owner; make somebody else an owner first`,
      )
    }
  }

  private async assertMayOwn({ id, kind }: Member): Promise<void> {
    const live = this.query(
      'may own',
      ({ sql, visible }) => `select ${isLiveMember('"user_id"')} from ${sql} where ${visible} and "id" = $2`,
    )
    const isLive = await this.run(
      live,
      () => [id],
      ({ rows: [row] }) => row?.[0] === true,
    )
    if (isLive && kind === 'person') return
    throw new ConflictError(resource, ['status'], `${resource}: only an active person can own an organization`)
  }

  /** Whoever acts must hold what the member's roles in projects allow there. */
  private async assertHeldInProjects({ userId }: Member): Promise<void> {
    const rights = this.query('rights in projects', () => {
      const [admitted, held] = [this.child(projectMembers).plan.as('a'), this.child(rolePermissions).plan.as('p')]
      return `select a."project_id", a."role", pg_catalog.array_agg(p."permission") from ${admitted.sql}
        join ${held.sql} on p."role_key" = a."role"
        where ${admitted.owned} and ${held.owned} and a."user_id" = $2 group by 1, 2`
    })
    const roles = await this.run(
      rights,
      () => [userId],
      ({ rows }) => rows as [string, string, string[]][],
    )
    for (const [project, key, permissions] of roles) assertHeld(this.scope, { key, permissions }, project)
  }

  private async steppingDown(from: unknown): Promise<Member> {
    const source =
      from === undefined ? await this.findRow({ userId: this.ownUser() }) : await this.lockRow(parseId(from, 'from'))
    if (source === undefined) throw new NotFoundError(resource)
    if (source.role !== 'owner') throw new ConflictError(resource, ['role'], `${resource}: from is not an owner`)
    return source
  }

  private ownUser(): string {
    const userId = actingUser(this.scope)
    if (userId !== undefined) return userId
    throw new InvalidInputError('from', 'is missing: name the member who steps down, because no person acts')
  }

  private async removeMember({ id, userId }: Member): Promise<Member> {
    await this.child(projectMembers).deleteRows({ userId })
    const keys = this.child(apiKeys)
    const revoke = ownStatement(keys.plan, ManagedMembers, 'revoke', true, ({ sql, visible }) => ({
      verb: 'update',
      ctes: [],
      head: `update ${sql} set "status" = 'revoked', "revoked_at" = now(), "updated_at" = statement_timestamp()`,
      where: `${visible} and "user_id" = $2 and "status" = 'active'`,
      returning: '',
    }))
    await keys.run(
      revoke,
      () => [userId],
      () => undefined,
    )
    // Not the start of the transaction: an invitation that was sent since then must not bring the member back.
    const set = `"deleted_at" = statement_timestamp(), "auth_epoch" = "auth_epoch" + 1`
    return this.guardedRow('remove', id, unguarded(resource, set), () => [])
  }
}
