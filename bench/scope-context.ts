import { parseOrgId, passingKeyring, secretsOf } from './built.js'

/** The context of a scope of the organization, to which a bench adds the rules. */
export const contextIn = (orgId: string) => ({
  binding: { kind: 'org', id: parseOrgId(orgId) } as const,
  actor: undefined,
  author: undefined,
  request: undefined,
  signal: undefined,
  readOnly: false,
  isolation: undefined,
  ...secretsOf(passingKeyring()),
})
