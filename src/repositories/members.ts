import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type ApiKey, apiKeys } from '../schema/api-keys.js'
import { type Member, organizationMembers } from '../schema/members.js'
import { type Role, roles } from '../schema/roles.js'

export interface MemberRelations {
  readonly heldRole: Role | null
  readonly apiKeys: ApiKey[]
}

const options = {
  permission: 'members',
  includes: {
    heldRole: { one: roles, by: 'role' },
    apiKeys: { many: apiKeys, by: 'userId' },
  },
}

/** The members of the organization: people, and services that keys are made out to. Removed members are hidden from every read. */
export class Members extends ScopedRepository<Member, MemberRelations> {
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
