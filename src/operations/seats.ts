import { ownerId } from '../core/owner-id.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { isPendingInvitation } from '../schema/invitations.js'
import { reserve } from './plan-limits.js'

/** Active people and those who were invited, as a sub-select. Services and inactive members are free. */
export const seatsInUse = `(
  (select count(*) from platform.organization_members m
   where m.org_id = $1 and m.deleted_at is null and m.status = 'active' and m.kind = 'person')
  + (select count(*) from platform.organization_invitations i where i.org_id = $1 and ${isPendingInvitation('i')})
)`

/**
 * Throws PlanLimitError when the plan has no seat left. `held` is how many of the seats in use are the person's own: whoever accepts has
 * that of the invitation.
 */
export const reserveSeat = (scope: Scope, held: 0 | 1 = 0): Query<void> =>
  reserve(scope, {
    limit: 'max_members',
    used: `(${seatsInUse} - ${held})`,
    added: '1',
    values: [ownerId(scope, 'org')],
  })
