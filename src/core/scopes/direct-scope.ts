import { needsTakingBack, runBatch } from './batch-scope.js'
import type { Binding, BeginOptions, Call, Executor, Result } from '../executor.js'
import { diagnosed } from './diagnose.js'
import type { Query } from '../query.js'
import type { BatchResults, QueryOptions, Scope, ScopeContext, TransactionOptions } from '../scope.js'
import { assertWork, readTransactionOptions } from './transaction-options.js'
import { runTransaction } from './run-transaction.js'

/** Outside of a transaction: each call is one round trip and takes effect by itself. */
export class DirectScope implements Scope {
  private readonly binding: Binding

  constructor(
    readonly context: ScopeContext,
    private readonly executor: Executor,
  ) {
    this.binding = { kind: 'org', id: context.orgId }
  }

  query<T>(prepare: () => Call, read: (result: Result) => T, options?: QueryOptions): Query<T> {
    return this.one(prepare, read, options) as Query<T>
  }

  together<T>(prepare: () => readonly Call[], read: (results: readonly Result[]) => T): Query<T> {
    return this.all(prepare, read) as Query<T>
  }

  async transaction<T>(work: (scope: Scope) => Promise<T>, options?: TransactionOptions): Promise<T> {
    assertWork(work)
    const { isolation, retries = 0 } = readTransactionOptions(options)
    const { signal, readOnly } = this.context
    const begin: BeginOptions = { signal, readOnly, isolation }
    return runTransaction(this.context, () => this.executor.begin(this.binding, begin), work, retries)
  }

  steps<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
    return this.transaction(work)
  }

  track<T>(promise: Promise<T>): Promise<T> {
    return promise
  }

  batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>> {
    return runBatch(this.context, collect, async (calls, read) =>
      needsTakingBack(calls)
        ? this.transaction((scope) => scope.together(() => calls, read))
        : read(await this.send(calls)),
    )
  }

  private async one<T>(prepare: () => Call, read: (result: Result) => T, options?: QueryOptions): Promise<T> {
    const [result] = await this.send([prepare()], options)
    return read(result as Result)
  }

  private async all<T>(prepare: () => readonly Call[], read: (results: readonly Result[]) => T): Promise<T> {
    return read(await this.send(prepare()))
  }

  private send(calls: readonly Call[], options?: QueryOptions): Promise<Result[]> {
    const { signal, readOnly } = this.context
    const run = { signal, readOnly, reenter: options?.reenter }
    return diagnosed(calls, (calls) => this.executor.run(this.binding, calls, run))
  }
}
