import { InvalidInputError, ScopeClosedError } from './errors.js'
import type { Call, Result } from './executor.js'
import type { Query } from './query.js'
import type { BatchResults, Scope, ScopeContext } from './scope.js'

interface Entry {
  readonly calls: readonly Call[]
  readonly read: (results: readonly Result[]) => unknown
}

const oneStatementOnly = 'a batch takes calls of one statement and sends them when its function has returned them'

/** Sends what `collect` makes, all at once, and reads what comes. */
export async function runBatch<Calls extends readonly unknown[]>(
  context: ScopeContext,
  collect: (scope: Scope) => Calls,
  send: (calls: readonly Call[]) => Promise<Result[]>,
): Promise<BatchResults<Calls>> {
  const batch = new BatchScope(context)
  const calls = batch.collect(collect)
  const results = calls.length === 0 ? [] : await send(calls)
  return batch.read(results) as BatchResults<Calls>
}

/** Collects calls instead of sending them. */
class BatchScope implements Scope {
  private readonly entries = new Map<object, Entry>()
  private order: Entry[] = []
  private state: 'collecting' | 'ended' = 'collecting'

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
    return Promise.reject(new InvalidInputError('batch', oneStatementOnly))
  }

  batch<Calls extends readonly unknown[]>(): Promise<BatchResults<Calls>> {
    return Promise.reject(new InvalidInputError('batch', 'a batch cannot hold another'))
  }

  collect(make: (scope: Scope) => readonly unknown[]): Call[] {
    const made = this.make(make)
    // A method of several steps has begun already, and is refused when it wants its first answer.
    const given: readonly unknown[] = Array.isArray(made) ? made : [made]
    for (const item of given) if (item instanceof Promise) item.catch(() => undefined)
    if (!Array.isArray(made)) throw new InvalidInputError('batch', 'its function must return a list of calls')
    this.order = made.map((item: unknown) => {
      const entry = this.entries.get(item as object)
      if (entry === undefined) throw new InvalidInputError('batch', oneStatementOnly)
      return entry
    })
    if (new Set(this.order).size !== this.entries.size) {
      throw new InvalidInputError('batch', 'every call that is made must be returned, once')
    }
    return this.order.flatMap((entry) => entry.calls)
  }

  read(results: readonly Result[]): unknown[] {
    let from = 0
    return this.order.map(({ calls, read }) => read(results.slice(from, (from += calls.length))))
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
    const entry = new LazyCall()
    this.entries.set(entry, { calls: prepare(), read })
    return entry
  }
}

/** Stands for an answer that is not there yet. Waiting for it inside the batch would be waiting for ever. */
class LazyCall {
  then(_: unknown, refuse: (error: Error) => void): void {
    refuse(new InvalidInputError('batch', oneStatementOnly))
  }
}
