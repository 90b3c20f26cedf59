import { hash } from 'node:crypto'
import type { Effect, Statement } from './executor.js'
import { mayWrite } from './may-write.js'
import { canBeNamed } from './parameter-types.js'

/**
 * The name is a hash of the text, so two texts never have the same name. Without an `effect`, the text decides whether it may
 * write.
 */
export function statement(
  text: string,
  effect: Effect = mayWrite(text) ? 'change' : 'read',
  label?: string,
): Statement {
  return { name: `tenantry_${hash('sha256', text, 'base64url').slice(0, 22)}`, text, effect, label }
}

/** For a text of the library that names functions which the guard refuses in every other text. */
export const unguardedStatement = (...given: Parameters<typeof statement>): Statement => ({
  ...statement(...given),
  isUnguarded: true,
})

/** For a text that the library did not write. It gets no name if the server would infer types for its parameters and keep them. */
export const foreignStatement = (...given: Parameters<typeof statement>): Statement => {
  const made = statement(...given)
  return canBeNamed(made.text) ? made : { ...made, name: '' }
}
