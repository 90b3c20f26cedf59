import { z } from 'zod'
import { databaseTime } from '../core/database-time.js'
import { ConflictError, InvalidInputError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import { planOf } from '../core/statements/table-plan.js'
import { unguarded } from '../core/statements/updates.js'
import { parseInput } from '../core/values.js'
import { Invitations } from '../repositories/invitations.js'
import { type Invitation, invitationState, newInvitation, type NewInvitation } from '../schema/invitations.js'
import { apiKeys } from '../schema/api-keys.js'
import { organizationMembers } from '../schema/members.js'
import * as shape from '../schema/shared/shapes.js'
import { actingUser, assertHoldsRole, grantableRole, lockForManagement, rightsEnded } from './role-rights.js'
import { reserveSeat } from './seats.js'
import { findUnsettled, type UnsettledInvitation } from './unsettled-invitation.js'

const asInvitations = { permission: 'invitations' }
const resource = 'organization_invitations'
const usualDays = 7
const mostDays = 365

const resending = z.strictObject({
  /** Default: in seven days. */
  expiresAt: shape.instant.optional(),
})

export interface ResendOptions extends z.input<typeof resending> {}

/** An invitation with its token, which is shown only now: it is not stored. */
export interface SentInvitation {
  readonly invitation: Invitation
  /** For the link in your message: `tenancy.invitations.preview(token)`, `user.invitations.accept(token)`. */
  readonly token: string
}

/**
 * The invitations with the verbs that send and revoke them. With an actor, nobody invites to a role that has permissions which the actor
 * lacks. A pending invitation takes a seat of the plan until it is settled or expires.
 */
export class ManagedInvitations extends Invitations {
  /**
   * Invites an address. One that is invited already gets a new token, and the earlier one is void. Throws ConflictError for the address
   * of an active member, and PlanLimitError when the plan has no seat left. Sending the message is up to you.
   */
  create(values: NewInvitation): Promise<SentInvitation> {
    return this.atomically(async (inner) => {
      inner.authorize()
      const { email, role, expiresAt } = parseInput(newInvitation, values)
      await lockForManagement(inner.scope, asInvitations)
      await grantableRole(inner.scope, role, asInvitations)
      const unsettled = await findUnsettled(inner.rows, email)
      if (unsettled !== undefined) await assertHoldsRole(inner.scope, unsettled.role, asInvitations)
      if (unsettled?.isPending !== true) await reserveSeat(inner.scope)
      await inner.assertNoMember(email)
      if (unsettled !== undefined) return inner.renew(unsettled.id, role, expiresAt)
      const { token, ...stored } = inner.scope.context.tokens.makeInvitation(ownerId(inner.scope, 'org'))
      const now = await databaseTime(inner.scope)
      const managed = {
        email,
        role,
        ...stored,
        invitedBy: await inner.inviter(),
        expiresAt: endOf(now, expiresAt),
        updatedAt: now,
      }
      return { invitation: await inner.insertRow(shape.noInput, {}, { managed }), token }
    })
  }

  /** Gives an open invitation a new token and a new end; the earlier token is void. Whoever resends it becomes the inviter. */
  resend(id: string, options: ResendOptions = {}): Promise<SentInvitation> {
    return this.managing(id, async (inner, invitation) => {
      const { expiresAt } = parseInput(resending, options)
      await grantableRole(inner.scope, invitation.role, asInvitations)
      const { isPending } = await inner.stillUnsettled(invitation)
      if (!isPending) await reserveSeat(inner.scope)
      await inner.assertNoMember(invitation.email)
      return inner.renew(invitation.id, invitation.role, expiresAt)
    })
  }

  /** Its token is void from now on. Throws ConflictError for an invitation that was accepted, declined or revoked before. */
  revoke(id: string): Promise<Invitation> {
    return this.managing(id, async (inner, invitation) => {
      await assertHoldsRole(inner.scope, invitation.role, asInvitations)
      await inner.stillUnsettled(invitation)
      return inner.guardedRow('revoke', id, unguarded(resource, '"revoked_at" = now()'), () => [])
    })
  }

  private managing<T>(id: string, work: (inner: this, invitation: Invitation) => Promise<T>): Promise<T> {
    return this.atomically(async (inner) => {
      inner.authorize()
      parseId(id)
      await lockForManagement(inner.scope, asInvitations)
      return work(inner, await inner.lockRow(id))
    })
  }

  private authorize(): void {
    this.scope.context.rules.authorize(`${asInvitations.permission}:write`, undefined)
  }

  /**
   * The person who acts, or the one whose key does. Null for backend code and jobs alone: an invitation without an inviter can be accepted
   * whatever they may still do. Throws ForbiddenError for a key that is not there any more.
   */
  private async inviter(): Promise<string | null> {
    const { actor } = this.scope.context
    if (actor?.kind !== 'api_key') return actingUser(this.scope) ?? null
    const key = this.query('holder', () => {
      const { sql, owned } = planOf(apiKeys)
      return `select "user_id" from ${sql} where ${owned} and "id" = $2`
    })
    return this.run(
      key,
      () => [actor.id],
      ({ rows: [row] }) => {
        if (row === undefined) throw rightsEnded()
        return row[0] as string
      },
    )
  }

  private async assertNoMember(email: string): Promise<void> {
    const member = this.query('active member', () => {
      const { sql, visible } = planOf(organizationMembers)
      return `select from ${sql} where ${visible} and "email" = $2::text and "status" = 'active' limit 1`
    })
    const members = await this.run(
      member,
      () => [email],
      ({ rowCount }) => rowCount,
    )
    if (members > 0)
      throw new ConflictError(resource, ['email'], `${resource}: this address is that of an active member`)
  }

  private async stillUnsettled(invitation: Invitation): Promise<UnsettledInvitation> {
    const isSettled = ['accepted', 'declined', 'revoked'].includes(invitationState(invitation))
    const unsettled = isSettled ? undefined : await findUnsettled(this.rows, invitation.email)
    if (unsettled !== undefined) return unsettled
    throw new ConflictError(
      resource,
      ['id'],
      `${resource}: this invitation was accepted, declined or revoked; invite the address again`,
    )
  }

  private async renew(id: string, role: string, expiresAt: Date | undefined): Promise<SentInvitation> {
    const { token, tokenHash, pepperId } = this.scope.context.tokens.makeInvitation(ownerId(this.scope, 'org'))
    const set = `"token_hash" = $3::bytea, "pepper_id" = $4::text, "role" = $5::text, "invited_by" = $6::uuid,
      "expires_at" = $7::timestamptz, "sent_count" = "sent_count" + 1`
    const end = endOf(await databaseTime(this.scope), expiresAt).toISOString()
    const values = [tokenHash, pepperId, role, await this.inviter(), end]
    return { invitation: await this.guardedRow('resend', id, unguarded(resource, set), () => values), token }
  }
}

function endOf(now: Date, asked: Date | undefined): Date {
  const from = now.getTime()
  const end = asked?.getTime() ?? from + usualDays * day
  if (end > from && end <= from + mostDays * day) return new Date(end)
  throw new InvalidInputError('expiresAt', `must be in the future, and at most ${mostDays} days from now`)
}

const day = 86_400_000
