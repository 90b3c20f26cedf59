import { z } from 'zod'
import {
  ConflictError,
  ForbiddenError,
  InvalidInputError,
  NotFoundError,
  OrganizationSuspendedError,
} from '../core/errors.js'
import type { Executor } from '../core/executor.js'
import { parseOrgId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { RoutedToken, Scope, Tokens } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { statement } from '../core/statement.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { parseInput } from '../core/values.js'
import { type Invitation, isPendingInvitation, organizationInvitations } from '../schema/invitations.js'
import { type Member, organizationMembers } from '../schema/members.js'
import * as shape from '../schema/shared/shapes.js'
import { isLivePerson } from '../schema/users.js'
import { admit, type Membership, membershipOf } from './membership.js'
import { actorFor } from './actors.js'
import { findRights, grantableRole, isLiveMember, lockForManagement } from './role-rights.js'
import { reserveSeat } from './seats.js'

/** An invitation, as the invited person sees it. */
export interface MyInvitation {
  readonly orgId: string
  readonly id: string
  readonly organization: { readonly name: string; readonly slug: string }
  /** The key of the role. */
  readonly role: string
  readonly expiresAt: Date
  readonly createdAt: Date
}

/** An invitation of the person's own list. */
export type InvitationReference = Pick<MyInvitation, 'orgId' | 'id'>

/** What a page shows before somebody signs in to accept. */
export interface InvitationPreview {
  readonly organization: { readonly name: string; readonly slug: string }
  readonly email: string
  readonly role: { readonly key: string; readonly name: string }
  readonly expiresAt: Date
}

// An entry of the list is one, so further fields are left out.
const reference = z.object({ orgId: shape.uuid, id: shape.uuid })
const asInvitations = { permission: 'invitations' }
const resource = 'organization_invitations'

/** The invitations of one person. */
export class MyInvitations {
  constructor(
    private readonly scope: Scope,
    private readonly openOrg: (orgId: string) => Scope,
  ) {}

  /** The pending ones to the person's address, newest first. Empty until the address is confirmed. */
  list(): Query<MyInvitation[]> {
    return this.scope.query(() =>
      planned({ statement: mine, values: [] }, ({ rows }) =>
        rows.map((row) => {
          const [orgId, id, name, slug, role, expiresAt, createdAt] = row as string[]
          return {
            orgId,
            id,
            organization: { name, slug },
            role,
            expiresAt: new Date(expiresAt ?? ''),
            createdAt: new Date(createdAt ?? ''),
          } as MyInvitation
        }),
      ),
    )
  }

  /**
   * Makes the person a member. With the token of the message the address must be the person's; with an entry of `list()` it must be
   * confirmed too. Throws NotFoundError, always the same, for an invitation that is not theirs, is settled or has expired. Throws
   * ConflictError when the role is gone or the inviter may no longer give it, and PlanLimitError when the plan has no seat left.
   */
  accept(invitation: string | InvitationReference): Promise<Member> {
    return this.settling(invitation, async (scope, rows, pending, userId) => {
      const members = new ScopedTable<Member>(scope, organizationMembers)
      const before = await membershipOf(members, userId)
      // Whoever was removed or deactivated after the invitation was sent is not invited back by it. Both moments are cut to a millisecond.
      if (before !== undefined && before.status !== 'active' && before.changedAt >= pending.updatedAt)
        throw new NotFoundError(resource)
      if (before?.status === 'active') {
        await settle(rows, pending.id, userId)
        return (await members.findRow({ userId })) as Member
      }
      await assertAcceptable(scope, pending, before)
      await reserveSeat(scope, 1)
      await settle(rows, pending.id, userId)
      const { email, role, createdAt: invitedAt, invitedBy } = pending
      const member = await admit(members, { userId, email, role, invitedAt, invitedBy }, before === undefined)
      await assertLive(scope, userId)
      return member
    })
  }

  /** Declines it. The organization can invite the person again. */
  decline(invitation: string | InvitationReference): Promise<void> {
    return this.settling(invitation, async (_scope, rows, pending) => {
      await rows.run(
        decline(rows),
        () => [pending.id],
        () => undefined,
      )
    })
  }

  /** The address is read first, under the person's own binding; the rest is one transaction in the organization. */
  private async settling<T>(
    given: unknown,
    work: (scope: Scope, rows: ScopedTable<Invitation>, pending: Invitation, userId: string) => Promise<T>,
  ): Promise<T> {
    const { orgId, found } = this.locate(given)
    const userId = ownerId(this.scope, 'user')
    const person = await this.scope.query(() =>
      planned({ statement: address, values: [userId] }, ({ rows: [row] }) => row),
    )
    if (person === undefined) throw new NotFoundError(resource)
    const [email, isConfirmed] = person
    if (!('hashes' in found) && isConfirmed !== true) throw new NotFoundError(resource)
    const settled = this.openOrg(orgId).steps(async (scope) => {
      await lockForManagement(scope, asInvitations)
      const rows = new ScopedTable<Invitation>(scope, organizationInvitations)
      const [pending] = await rows.runRows(lockPending(rows), () => [
        email,
        'hashes' in found ? null : found.id,
        'hashes' in found ? found.hashes : null,
      ])
      if (pending === undefined) throw new NotFoundError(resource)
      return work(scope, rows, pending, userId)
    })
    // An organization that cannot be entered is no other answer than an unknown invitation.
    return settled.catch((error: unknown) => {
      throw cannotEnter(error) ? new NotFoundError(resource) : error
    })
  }

  private locate(given: unknown): { readonly orgId: string; readonly found: RoutedToken | { readonly id: string } } {
    if (typeof given !== 'string') {
      const { orgId, id } = parseInput(reference, given)
      return { orgId, found: { id } }
    }
    const token = this.scope.context.tokens.readInvitation(given)
    if (token === undefined) throw new NotFoundError(resource)
    return { orgId: token.orgId, found: token }
  }
}

/** Read-only. Undefined for a token that is unknown, settled or expired, and while the organization is suspended. */
export async function previewInvitation(
  executor: Executor,
  tokens: Tokens,
  token: unknown,
): Promise<InvitationPreview | undefined> {
  const read = tokens.readInvitation(token)
  if (read === undefined) return undefined
  const { orgId, hashes } = read
  try {
    const [found] = await executor.run({ kind: 'org', id: parseOrgId(orgId) }, [
      { statement: preview, values: [orgId, hashes] },
    ])
    const [row] = found?.rows ?? []
    if (row === undefined) return undefined
    const [name, slug, email, key, title, expiresAt] = row as string[]
    return {
      organization: { name, slug },
      email,
      role: { key, name: title },
      expiresAt: new Date(expiresAt ?? ''),
    } as InvitationPreview
  } catch (error) {
    if (cannotEnter(error)) return undefined
    throw error
  }
}

const cannotEnter = (error: unknown): boolean =>
  error instanceof NotFoundError || error instanceof OrganizationSuspendedError

/** The person may have been suspended, banned or deleted after their address was read. */
async function assertLive(scope: Scope, userId: string): Promise<void> {
  const isLive = await scope.query(() =>
    planned({ statement: live, values: [userId] }, ({ rows: [row] }) => row?.[0] === true),
  )
  if (!isLive) throw new NotFoundError(resource)
}

/**
 * Throws ConflictError when the role is gone, and when the person who invited may not give it any more or, to an inactive member, may not
 * take the role that the member has. Where backend code invited, only the role is checked.
 */
async function assertAcceptable(
  scope: Scope,
  { role, invitedBy }: Invitation,
  before: Membership | undefined,
): Promise<void> {
  try {
    const { permissions } = await grantableRole(scope, role, asInvitations)
    if (invitedBy === null) return
    const inviter = await actorFor(scope, invitedBy)
    const former = before?.status === 'inactive' ? await findRights(scope, before.role, asInvitations) : undefined
    const needed = ['invitations:write', ...permissions, ...(former?.permissions ?? [])]
    if (needed.every((permission) => inviter.can(permission))) return
  } catch (error) {
    if (!(error instanceof InvalidInputError || error instanceof ForbiddenError)) throw error
  }
  throw new ConflictError(
    resource,
    ['role'],
    `${resource}: the role is gone, or the person who invited may not give it any more; ask for another invitation`,
  )
}

/** Within the organization's lock, and with the invitation locked too: nobody else settles it. */
const lockPending = (rows: ScopedTable<Invitation>) =>
  ownStatement(rows.plan, MyInvitations, 'lock pending', false, (plan) => {
    const { sql, selected, visible } = plan.as('i')
    return `select ${selected} from ${sql}
        where ${visible} and i."email" = $2::text and (i."id" = $3::uuid or i."token_hash" = any($4::bytea[])) and ${isPendingInvitation('i')}
        for no key update`
  })

async function settle(rows: ScopedTable<Invitation>, id: string, userId: string): Promise<void> {
  const accept = ownStatement(rows.plan, MyInvitations, 'accept', true, ({ sql, visible }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set "accepted_at" = now(), "accepted_by" = $3::uuid, "updated_at" = statement_timestamp()`,
    where: `${visible} and "id" = $2::uuid`,
    returning: '',
  }))
  await rows.run(
    accept,
    () => [id, userId],
    () => undefined,
  )
}

const decline = (rows: ScopedTable<Invitation>) =>
  ownStatement(rows.plan, MyInvitations, 'decline', true, ({ sql, visible }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set "declined_at" = now(), "updated_at" = statement_timestamp()`,
    where: `${visible} and "id" = $2::uuid`,
    returning: '',
  }))

const mine = statement(
  `select i.org_id, i.id, i.organization_name, i.organization_slug, i.role, i.expires_at, i.created_at
   from platform.my_invitations() i order by i.id desc`,
  'read',
)

const address = statement(
  `select u.email, u.email_confirmed_at is not null from platform.users u
   where u.id = $1 and u.kind = 'person' and ${isLivePerson('u')}`,
  'read',
)

const live = statement(`select ${isLiveMember('$1::uuid')}`, 'read')

const preview = statement(
  `select o.name, o.slug, i.email, r.key, r.name, i.expires_at
   from platform.organization_invitations i
   join platform.organizations o on o.id = $1
   join platform.roles r on r.org_id = $1 and r.key = i.role and r.deleted_at is null
   where i.org_id = $1 and i.token_hash = any($2::bytea[]) and ${isPendingInvitation('i')}`,
  'read',
)
