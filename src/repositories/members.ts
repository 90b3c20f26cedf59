import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Member, organizationMembers } from '../schema/members.js'

const options = { permission: 'members' }

/** The members of the organization: people, and services that keys are made out to. Removed members are hidden from every read. */
export class Members extends ScopedRepository<Member> {
  constructor(scope: Scope) {
    super(scope, organizationMembers, options)
  }

  findByUser(userId: string): Query<Member | undefined> {
    return this.findRow({ userId })
  }

  /** By the address that the member has in this organization, in lower case. */
  findByEmail(email: string): Query<Member | undefined> {
    return this.findRow({ email })
  }
}
