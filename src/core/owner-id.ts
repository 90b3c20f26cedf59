import { DefinitionError } from './errors.js'
import type { Owner } from './executor.js'
import type { Scope } from './scope.js'

const words = { org: 'an organization', user: 'a person' } as const

/** The id of the organization or person that the scope is bound to. Throws DefinitionError for a scope of another kind. */
export function ownerId({ context: { binding } }: Scope, kind: Owner['kind']): string {
  if (binding.kind === kind) return binding.id
  throw new DefinitionError(`this needs a scope that is bound to ${words[kind]}`)
}
