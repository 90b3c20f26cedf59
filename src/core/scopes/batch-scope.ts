import { types } from 'node:util'
import { DefinitionError, ScopeClosedError } from '../errors.js'
import { isPlanned, type Plan, type Planned } from '../planned.js'
import type { Query } from '../query.js'
import type { BatchResults, Scope, ScopeContext } from '../scope.js'
import { ownItems, touch } from '../values.js'
import { callsOf, planAll } from './send-planned.js'

const maxCalls = 10_000
const oneStatementOnly =
  'batch: only calls of one statement can be made inside, and the function must return them without awaiting them'

/** Sends the calls that `collect` makes in one round trip. `send` returns their results, and throws when a row is missing. */
export async function runBatch<Calls extends readonly unknown[]>(
  context: ScopeContext,
  collect: (scope: Scope) => Calls,
  send: (all: readonly Planned<unknown>[]) => Promise<unknown[]>,
): Promise<BatchResults<Calls>> {
  const plans = new BatchScope(context).collect(collect)
  // Without a plan to wait for, the batch takes its connection in the order in which it was called.
  const all = plans.every(isPlanned) ? plans : await planAll(await Promise.all(plans.map(async (plan) => plan)), send)
  return (all.length === 0 ? [] : await send(all)) as BatchResults<Calls>
}

/**
 * Whether one of these calls can be refused after the server has run them all, because a row is missing. If others have written by
 * then, only a transaction can undo them. Reads need no undoing, and an insert always returns its row.
 */
export function needsTransaction(all: readonly Planned<unknown>[]): boolean {
  if (all.length < 2) return false
  const effects = new Set(callsOf(all).map(({ statement }) => statement.effect))
  // A check in front of an insert, such as a plan limit, fails on the server, and the whole unit with it. So it needs no transaction.
  if (all.every(({ call }) => call.statement.effect === 'insert')) effects.delete('read')
  return effects.size > 1 || effects.has('change')
}

/** Collects calls instead of sending them. */
class BatchScope implements Scope {
  readonly isDirect = false
  private readonly plans = new Map<object, Plan<unknown>>()
  private state: 'collecting' | 'ended' = 'collecting'
  private isRefused = false

  constructor(readonly context: ScopeContext) {}

  query<T>(plan: () => Plan<T>): Query<T> {
    return this.add(plan) as Query<T>
  }

  transaction<T>(): Promise<T> {
    return refused(oneStatementOnly)
  }

  steps<T>(): Promise<T> {
    return refused(oneStatementOnly)
  }

  track<T>(promise: Promise<T>): Promise<T> {
    return promise
  }

  batch<Calls extends readonly unknown[]>(): Promise<BatchResults<Calls>> {
    return refused('batch: a batch cannot be made inside another')
  }

  collect(make: (scope: Scope) => readonly unknown[]): Plan<unknown>[] {
    try {
      if (typeof make !== 'function')
        throw new DefinitionError('batch: the argument must be a function, such as (org) => [org.agents.find(id)]')
      return this.plansOf(this.make(make))
    } catch (error) {
      this.isRefused = true
      throw error
    }
  }

  private plansOf(made: unknown): Plan<unknown>[] {
    if (types.isPromise(made)) made.catch(ignore)
    if (!touch('batch', () => Array.isArray(made))) throw new DefinitionError(oneStatementOnly)
    const items = ownItems(made, 'batch', maxCalls)
    for (const item of items) if (types.isPromise(item)) item.catch(ignore)
    const order = items.map((item) => {
      const plan = this.plans.get(item as object)
      if (plan === undefined) throw new DefinitionError(oneStatementOnly)
      return plan
    })
    if (new Set(items).size !== this.plans.size || order.length !== this.plans.size) {
      throw new DefinitionError('batch: the function must return each call that it makes exactly once')
    }
    return order
  }

  private make(make: (scope: Scope) => readonly unknown[]): readonly unknown[] {
    try {
      return make(this)
    } finally {
      this.state = 'ended'
    }
  }

  private add(plan: () => Plan<unknown>): unknown {
    if (this.state === 'ended') return Promise.reject(new ScopeClosedError())
    const call = new LazyCall(() => this.isRefused)
    const made = plan()
    if (types.isPromise(made)) made.catch(ignore)
    this.plans.set(call, made)
    return call
  }
}

/** Stands for an answer that is not there yet. Awaiting it inside the batch throws: it would wait for ever. */
class LazyCall {
  constructor(private readonly isRefused: () => boolean) {}

  then(_: unknown, refuse?: (error: Error) => void): unknown {
    // The batch has already been rejected with the reason. Another rejection here would be unhandled and end the process.
    if (this.isRefused()) return undefined
    if (refuse === undefined) return refused(oneStatementOnly)
    refuse(new DefinitionError(oneStatementOnly))
    return undefined
  }
}

/** The rejection is marked as handled: the batch may fail before the caller awaits this promise. */
function refused(reason: string): Promise<never> {
  const refusal = Promise.reject(new DefinitionError(reason))
  refusal.catch(ignore)
  return refusal
}

const ignore = () => undefined
