import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Invitation, organizationInvitations } from '../schema/invitations.js'

const options = { permission: 'invitations' }

/** The invitations of the organization, the settled ones too. */
export class Invitations extends ScopedRepository<Invitation> {
  constructor(scope: Scope) {
    super(scope, organizationInvitations, options)
  }
}
