import { BatchScope, type BatchResults } from './batch-scope.js'
import type { Binding, BeginOptions, Call, Executor, Result } from './executor.js'
import type { Query } from './query.js'
import type { Scope, ScopeContext } from './scope.js'
import { runTransaction, type TransactionOptions } from './transaction-scope.js'

/** Outside of a transaction: each call is one round trip and takes effect by itself. */
export class LoneScope implements Scope {
  private readonly binding: Binding

  constructor(
    readonly context: ScopeContext,
    private readonly executor: Executor,
  ) {
    this.binding = { kind: 'org', id: context.orgId }
  }

  query<T>(prepare: () => Call, read: (result: Result) => T): Query<T> {
    return this.send(
      () => [prepare()],
      ([result]) => read(result as Result),
    )
  }

  together<T>(prepare: () => readonly Call[], read: (results: readonly Result[]) => T): Query<T> {
    return this.send(prepare, read)
  }

  atomic<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
    return this.transaction(work)
  }

  transaction<T>(work: (scope: Scope) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    const begin: BeginOptions = {
      signal: this.context.signal,
      readOnly: this.context.readOnly,
      isolation: options.isolation,
    }
    return runTransaction(this.context, () => this.executor.begin(this.binding, begin), work, options.retries ?? 0)
  }

  /** One round trip for all calls that `collect` makes on the scope it is given; all of them take effect, or none. */
  async batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>> {
    const batch = new BatchScope(this.context)
    const calls = batch.collect(collect)
    if (calls.length === 0) return [] as unknown as BatchResults<Calls>
    const results = await this.executor.run(this.binding, calls, this.options())
    return batch.read(results) as BatchResults<Calls>
  }

  private send<T>(prepare: () => readonly Call[], read: (results: readonly Result[]) => T): Query<T> {
    return this.run(prepare, read) as Query<T>
  }

  private async run<T>(prepare: () => readonly Call[], read: (results: readonly Result[]) => T): Promise<T> {
    return read(await this.executor.run(this.binding, prepare(), this.options()))
  }

  private options() {
    return { signal: this.context.signal, readOnly: this.context.readOnly }
  }
}
