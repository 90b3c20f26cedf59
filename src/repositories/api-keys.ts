import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type ApiKey, apiKeys } from '../schema/api-keys.js'

/** The organization's API keys, without their hashes. */
export class ApiKeys extends ScopedRepository<ApiKey> {
  constructor(scope: Scope) {
    super(scope, apiKeys)
  }
}
