import type { Executor } from '../executor.js'
import type { Scope, ScopeContext } from '../scope.js'
import { DebugScope } from './debug-scope.js'
import { DirectScope } from './direct-scope.js'

/** A scope outside of a transaction. With `debug` its errors name the caller's line. */
export function openScope(context: ScopeContext, executor: Executor, debug: boolean): Scope {
  const scope = new DirectScope(context, executor)
  return debug ? new DebugScope(scope) : scope
}
