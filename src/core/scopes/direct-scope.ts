import type { BeginOptions, Call, Executor, Result } from '../executor.js'
import { isPlanned, type Plan, type Planned } from '../planned.js'
import type { Query } from '../query.js'
import type { BatchResults, QueryOptions, Scope, ScopeContext, TransactionOptions } from '../scope.js'
import { needsTransaction, runBatch } from './batch-scope.js'
import { isSealedTooLate, planAll, planOne, readAll, sendOne, sendPlanned } from './send-planned.js'
import { runTransaction } from './run-transaction.js'
import { assertWork, readTransactionOptions } from './transaction-options.js'
import type { TransactionScope } from './transaction-scope.js'

/**
 * Outside of a transaction: each call takes effect by itself, in one round trip. A change that matched no row may take a second one
 * to say why.
 */
export class DirectScope implements Scope {
  readonly isDirect = true

  constructor(
    readonly context: ScopeContext,
    private readonly executor: Executor,
  ) {}

  query<T>(plan: () => Plan<T>, options?: QueryOptions): Query<T> {
    return this.one(plan, options) as Query<T>
  }

  async transaction<T>(work: (scope: TransactionScope) => Promise<T>, options?: TransactionOptions): Promise<T> {
    assertWork(work)
    const { isolation, retries = 0 } = readTransactionOptions(options)
    const { signal, readOnly, binding } = this.context
    const begin: BeginOptions = { signal, readOnly, isolation }
    const context = isolation === undefined ? this.context : { ...this.context, isolation }
    return runTransaction(context, () => this.executor.begin(binding, begin), work, retries)
  }

  steps<T>(work: (scope: Scope) => Promise<T>, ended?: () => void): Promise<T> {
    const done = this.transaction(work)
    return ended === undefined ? done : done.finally(ended)
  }

  track<T>(promise: Promise<T>): Promise<T> {
    return promise
  }

  batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>> {
    return runBatch(this.context, collect, async (all) => {
      try {
        return await this.together(all)
      } catch (error) {
        if (!isSealedTooLate(error, all)) throw error
        const again = all.map((one) => one.again?.() ?? one)
        return this.together(await planAll(again, (asked) => this.together(asked)))
      }
    })
  }

  private async together(all: readonly Planned<unknown>[]): Promise<unknown[]> {
    if (needsTransaction(all)) return this.transaction((scope) => scope.together(all))
    return readAll(all, await sendPlanned(all, (calls) => this.run(calls)))
  }

  private async one<T>(plan: () => Plan<T>, options?: QueryOptions): Promise<T> {
    const made = plan()
    const one = isPlanned(made) ? made : await this.planned(await made)
    try {
      return await this.sent(one, options)
    } catch (error) {
      if (one.again === undefined || !isSealedTooLate(error, [one])) throw error
      return this.sent(await this.planned(one.again()), options)
    }
  }

  private planned<T>(plan: Plan<T>): Promise<Planned<T>> {
    return planOne(plan, (asked) => this.sent(asked))
  }

  private async sent<T>(one: Planned<T>, options?: QueryOptions): Promise<T> {
    const { result, diagnosis } = await sendOne(one, (calls) => this.run(calls, options))
    return one.read(result, diagnosis)
  }

  private run(calls: readonly Call[], options?: QueryOptions): Promise<Result[]> {
    const { binding, signal, readOnly } = this.context
    return this.executor.run(binding, calls, { signal, readOnly, reenter: options?.reenter })
  }
}
