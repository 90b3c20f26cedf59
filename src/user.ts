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
  readonly profile: Profile
  readonly sessions: Sessions
  readonly organizations: MyOrganizations
  readonly invitations: MyInvitations
  readonly auditLog: MyAuditLog
  readonly id: string

  /** `openOrg` opens an organization without an actor: to accept an invitation there, and to leave it. */
  constructor(scope: Scope, policy: SessionPolicy, openOrg: (orgId: string) => Scope) {
    this.id = ownerId(scope, 'user')
    this.profile = new Profile(scope)
    this.sessions = new Sessions(scope, policy)
    this.organizations = new MyOrganizations(scope, openOrg)
    this.invitations = new MyInvitations(scope, openOrg)
    this.auditLog = new MyAuditLog(scope)
  }
}
