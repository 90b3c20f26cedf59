import { ownerId } from '../core/owner-id.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { reserve } from './plan-limits.js'

/** A pending invitation that has not expired. */
export const isPendingInvitation = (alias: string): string =>
  `coalesce(${alias}.accepted_at, ${alias}.declined_at, ${alias}.revoked_at) is null and ${alias}.expires_at > statement_timestamp()`

/**
 * Active people and those who were invited, as a sub-select. Services and inactive members are free. Written so that it does not fit the
 * index over everybody's pending invitations, in which the organization is not.
 */
export const seatsInUse = `(
  (select count(*) from platform.organization_members m
   where m.org_id = $1 and m.deleted_at is null and m.status = 'active' and m.kind = 'person')
  + (select count(*) from platform.organization_invitations i where i.org_id = $1 and ${isPendingInvitation('i')})
)`

/** Throws PlanLimitError when the plan has no seat left. */
export const reserveSeat = (scope: Scope): Query<void> =>
  reserve(scope, { limit: 'max_members', used: seatsInUse, added: '1', values: [ownerId(scope, 'org')] })
