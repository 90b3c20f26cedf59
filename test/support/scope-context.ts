import { parseOrgId } from '../../src/core/ids.js'
import { type Rules, trusted } from '../../src/core/rules.js'
import type { ScopeContext } from '../../src/core/scope.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'

const secrets = secretsOf(passingKeyring())

/** The context of a scope that a test makes by hand: one organization, and rules that allow everything unless told. */
export const contextOf = (orgId: string, rules: Partial<Rules> = {}): ScopeContext => ({
  binding: { kind: 'org', id: parseOrgId(orgId) },
  actor: undefined,
  author: undefined,
  request: undefined,
  signal: undefined,
  readOnly: false,
  isolation: undefined,
  ...secrets,
  rules: { ...trusted, ...rules },
})
