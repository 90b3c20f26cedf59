import { ConflictError, NotFoundError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import type { Member } from '../schema/members.js'
import { type ProjectMember, projectMembers } from '../schema/project-members.js'
import * as shape from '../schema/shared/shapes.js'

export const membersResource = 'organization_members'

/** A person who becomes a member. */
export interface Admission extends Pick<Member, 'userId' | 'email' | 'role'> {
  readonly displayName?: string | null | undefined
  readonly invitedAt?: Date | undefined
  readonly invitedBy?: string | null | undefined
}

/** What somebody is, or was, in the organization. */
export interface Membership {
  readonly status: Member['status'] | 'removed'
  readonly role: string
  /** When it last changed. */
  readonly changedAt: Date
}

/** Undefined for somebody who never was a member. */
export function membershipOf(rows: ScopedTable<Member>, userId: string): Query<Membership | undefined> {
  const known = ownStatement(
    rows.plan,
    membershipOf,
    'membership of a user',
    false,
    ({ sql }) =>
      `select case when "deleted_at" is null then "status" else 'removed' end, "role", greatest("updated_at", "deleted_at")
       from ${sql} where "org_id" = $1 and "user_id" = $2`,
  )
  return rows.run(
    known,
    () => [userId],
    ({ rows: [row] }) => {
      if (row === undefined) return undefined
      const [status, role, changedAt] = row as [Membership['status'], string, string]
      return { status, role, changedAt: new Date(changedAt) }
    },
  )
}

/**
 * Makes the person a member. Somebody who was one is back with nothing of their old rights: another role, none in projects, and another
 * epoch, so that their old sessions and keys stay invalid.
 */
export async function admit(
  rows: ScopedTable<Member>,
  { userId, email, displayName = null, role, invitedAt, invitedBy = null }: Admission,
  isNew: boolean,
): Promise<Member> {
  const invited = { invitedAt: invitedAt ?? null, invitedBy }
  const managed = { userId, email, displayName, role, ...invited }
  if (isNew) return rows.insertRow(shape.noInput, {}, { managed, event: 'add' })
  await new ScopedTable<ProjectMember>(rows.scope, projectMembers, undefined, { permission: 'members' }).deleteRows({
    userId,
  })
  const back = ownStatement(rows.plan, admit, 'add', true, ({ sql, selected }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set "email" = $3::text, "display_name" = $4::text, "role" = $5::text, "invited_at" = $6::timestamptz,
      "invited_by" = $7::uuid, "status" = 'active', "joined_at" = now(), "auth_epoch" = "auth_epoch" + 1, "updated_at" = statement_timestamp(),
      "deleted_at" = null`,
    where: `"org_id" = $1 and "user_id" = $2 and ("deleted_at" is not null or "status" = 'inactive')`,
    returning: selected,
  }))
  const values = [userId, email, displayName, role, invitedAt?.toISOString() ?? null, invitedBy]
  const [member] = await rows.runRows(back, () => values)
  if (member === undefined) throw new NotFoundError(membersResource)
  return member
}

export const alreadyMember = (status: Member['status']): ConflictError =>
  new ConflictError(
    membersResource,
    ['userId'],
    status === 'active'
      ? `${membersResource}: this person is a member already`
      : `${membersResource}: this person is an inactive member; reactivate them`,
  )
