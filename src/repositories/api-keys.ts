import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type ApiKey, apiKeys } from '../schema/api-keys.js'
import { type Member, organizationMembers } from '../schema/members.js'

export interface ApiKeyRelations {
  readonly member: Member | null
  readonly predecessor: ApiKey | null
}

const options = {
  includes: {
    member: { one: organizationMembers, by: 'userId', permission: 'members' },
    predecessor: { one: apiKeys, by: 'rotatedFrom' },
  },
}

/** The organization's API keys, without their hashes. */
export class ApiKeys extends ScopedRepository<ApiKey, ApiKeyRelations> {
  constructor(scope: Scope) {
    super(scope, apiKeys, options)
  }
}
