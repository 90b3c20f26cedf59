import { types } from 'node:util'
import { InvalidInputError, ScopeClosedError } from '../errors.js'
import type { Call, Result } from '../executor.js'
import type { Query } from '../query.js'
import type { BatchResults, Scope, ScopeContext } from '../scope.js'
import { ownItems } from '../values.js'

interface Entry {
  readonly calls: readonly Call[]
  readonly read: (results: readonly Result[]) => unknown
}

const maxCalls = 10_000
const oneStatementOnly = 'a batch takes calls of one statement and sends them when its function has returned them'

/** Sends what `collect` makes, all at once. `read` makes the answer of what came, and throws when a row is not there. */
export async function runBatch<Calls extends readonly unknown[]>(
  context: ScopeContext,
  collect: (scope: Scope) => Calls,
  send: <T>(calls: readonly Call[], read: (results: readonly Result[]) => T) => Promise<T>,
): Promise<BatchResults<Calls>> {
  const batch = new BatchScope(context)
  const calls = batch.collect(collect)
  const read = (results: readonly Result[]) => batch.read(results) as BatchResults<Calls>
  return calls.length === 0 ? read([]) : send(calls, read)
}

/**
 * Whether one of these calls can be refused for what it gave when others have written: a row to read or to change that is not
 * there. Reads leave nothing to take back, and an insert gives its row.
 */
export const needsTakingBack = (calls: readonly Call[]): boolean =>
  calls.length > 1 &&
  ['select', 'insert'].every((verb) => !calls.every(({ statement }) => statement.text.startsWith(verb)))

/** Collects calls instead of sending them. */
class BatchScope implements Scope {
  private readonly entries = new Map<object, Entry>()
  private order: Entry[] = []
  private state: 'collecting' | 'ended' = 'collecting'
  private isRefused = false

  constructor(readonly context: ScopeContext) {}

  query<T>(prepare: () => Call, read: (result: Result) => T): Query<T> {
    return this.add(
      () => [prepare()],
      ([result]) => read(result as Result),
    ) as Query<T>
  }

  together<T>(prepare: () => readonly Call[], read: (results: readonly Result[]) => T): Query<T> {
    return this.add(prepare, read) as Query<T>
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
    return refused('a batch cannot hold another')
  }

  collect(make: (scope: Scope) => readonly unknown[]): Call[] {
    try {
      if (typeof make !== 'function') throw new InvalidInputError('batch', 'takes a function of an organization')
      return this.callsOf(this.make(make))
    } catch (error) {
      this.isRefused = true
      throw error
    }
  }

  read(results: readonly Result[]): unknown[] {
    let from = 0
    return this.order.map(({ calls, read }) => read(results.slice(from, (from += calls.length))))
  }

  private callsOf(made: unknown): Call[] {
    if (types.isPromise(made)) made.catch(ignore)
    const items = ownItems(made, 'batch', maxCalls)
    for (const item of items) if (types.isPromise(item)) item.catch(ignore)
    this.order = items.map((item) => {
      const entry = this.entries.get(item as object)
      if (entry === undefined) throw new InvalidInputError('batch', oneStatementOnly)
      return entry
    })
    if (new Set(this.order).size !== this.entries.size || this.order.length !== this.entries.size) {
      throw new InvalidInputError('batch', 'every call that is made must be returned, once')
    }
    return this.order.flatMap((entry) => entry.calls)
  }

  private make(make: (scope: Scope) => readonly unknown[]): readonly unknown[] {
    try {
      return make(this)
    } finally {
      this.state = 'ended'
    }
  }

  private add(prepare: () => readonly Call[], read: Entry['read']): unknown {
    if (this.state === 'ended') return Promise.reject(new ScopeClosedError())
    const entry = new LazyCall(() => this.isRefused)
    this.entries.set(entry, { calls: prepare(), read })
    return entry
  }
}

/** Stands for an answer that is not there yet. Waiting for it inside the batch would be waiting for ever. */
class LazyCall {
  constructor(private readonly isRefused: () => boolean) {}

  then(_: unknown, refuse: (error: Error) => void): void {
    // Then the batch has said why, and nobody has the promise of a method of several steps: its rejection would end the process.
    if (!this.isRefused()) refuse(new InvalidInputError('batch', oneStatementOnly))
  }
}

/** Handled, for the batch that it was called in may fail before anybody has the promise. */
function refused(reason: string): Promise<never> {
  const refusal = Promise.reject(new InvalidInputError('batch', reason))
  refusal.catch(ignore)
  return refusal
}

const ignore = () => undefined
