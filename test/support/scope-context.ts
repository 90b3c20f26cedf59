import { parseOrgId } from '../../src/core/ids.js'
import { type Rules, trusted } from '../../src/core/rules.js'
import type { ScopeContext } from '../../src/core/scope.js'

/** The context of a scope that a test makes by hand: one organization, and rules that allow everything unless told. */
export const contextOf = (orgId: string, rules: Partial<Rules> = {}): ScopeContext => ({
  binding: { kind: 'org', id: parseOrgId(orgId) },
  actor: undefined,
  request: undefined,
  signal: undefined,
  readOnly: false,
  cursorKeys: { keys: [new Uint8Array(32)] },
  rules: { ...trusted, ...rules },
})
