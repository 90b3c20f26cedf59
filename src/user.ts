import type { Scope } from './core/scope.js'
import { ownerId } from './core/owner-id.js'
import { MyAuditLog } from './operations/my-audit-log.js'
import { MyInvitations } from './operations/my-invitations.js'
import { MyOrganizations } from './operations/my-organizations.js'
import { Profile } from './operations/profile.js'
import type { SessionPolicy } from './operations/session-policy.js'
import { Sessions } from './operations/sessions.js'

/** One person: their own row, and their sessions, organizations and invitations. Its scope reaches nobody else. */
export class User {
  readonly id: string

  /** `openOrg` opens an organization without an actor: to accept an invitation there, and to leave it. */
  constructor(
    private readonly scope: Scope,
    private readonly policy: SessionPolicy,
    private readonly openOrg: (orgId: string) => Scope,
  ) {
    this.id = ownerId(scope, 'user')
  }

  get profile(): Profile {
    return new Profile(this.scope)
  }

  get sessions(): Sessions {
    return new Sessions(this.scope, this.policy)
  }

  get organizations(): MyOrganizations {
    return new MyOrganizations(this.scope, this.openOrg)
  }

  get invitations(): MyInvitations {
    return new MyInvitations(this.scope, this.openOrg)
  }

  /** What happened to the person's account. */
  get auditLog(): MyAuditLog {
    return new MyAuditLog(this.scope)
  }
}
