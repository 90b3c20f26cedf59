import { isActor } from '../actor.js'
import { InvalidInputError } from '../errors.js'
import { readRequestContext } from '../request-context.js'
import type { ScopeContext } from '../scope.js'
import { readOptions } from '../values.js'

/** The options of a scope, after they were checked. */
export type ScopeOptions = Pick<ScopeContext, 'actor' | 'request' | 'signal' | 'readOnly'>

const names = ['actor', 'request', 'signal', 'readOnly'] as const

/** Read where the scope is made. A misspelt `readOnly` is refused: it would be a scope that writes. */
export function readScopeOptions(options: unknown): ScopeOptions {
  const { actor, request, signal, readOnly } = readOptions(options, names)
  if (actor !== undefined && !isActor(actor)) {
    throw new InvalidInputError('actor', 'must be an actor, such as `await org.actorFor(userId)` gives')
  }
  if (signal !== undefined && !isSignal(signal)) throw new InvalidInputError('signal', 'must be an AbortSignal')
  if (readOnly !== undefined && typeof readOnly !== 'boolean') {
    throw new InvalidInputError('readOnly', 'must be true or false')
  }
  return { actor, request: readRequestContext(request), signal, readOnly: readOnly === true } as ScopeOptions
}

/** Tests the class itself: an object that only has the prototype of AbortSignal fails when a listener is added. */
function isSignal(value: unknown): boolean {
  try {
    const { prototype } = AbortSignal
    return Object.getPrototypeOf(value) === prototype && typeof Reflect.get(prototype, 'aborted', value) === 'boolean'
  } catch {
    return false
  }
}
