import { types } from 'node:util'
import { RetryableError, ScopeClosedError, TransactionAbortedError } from '../errors.js'
import { runBatch } from './batch-scope.js'
import type { Transaction } from '../executor.js'
import type { Planned } from '../planned.js'
import type { Query } from '../query.js'
import type { BatchResults, Scope, ScopeContext, TransactionOptions } from '../scope.js'
import { type Outcome, readAll, sendPlanned } from './send-planned.js'
import { refuseOwnOptions } from './transaction-options.js'

/** Runs `work` in a transaction: all of it takes effect, or none. Its scope is dead afterwards. */
export async function runTransaction<T>(
  context: ScopeContext,
  begin: () => Promise<Transaction>,
  work: (scope: TransactionScope) => Promise<T>,
  retries: number,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await attemptTransaction(context, await begin(), work)
    } catch (error) {
      if (!(error instanceof RetryableError) || attempt >= retries) throw error
    }
  }
}

async function attemptTransaction<T>(
  context: ScopeContext,
  transaction: Transaction,
  work: (scope: TransactionScope) => Promise<T>,
): Promise<T> {
  const scope = new TransactionScope(context, transaction)
  try {
    const result = await work(scope)
    await scope.finish()
    await transaction.commit()
    return result
  } catch (error) {
    await scope.abandon()
    await transaction.rollback()
    throw error
  }
}

/** Inside a transaction. Calls go out one after the other; the handle ends with the function that received it. */
export class TransactionScope implements Scope {
  private state: 'open' | 'nested' | 'ended' = 'open'
  /** A statement failed and nothing took it back: the server will not commit. */
  private failed = false
  private waiting = 0
  private last: Promise<unknown> = Promise.resolve()

  constructor(
    readonly context: ScopeContext,
    private readonly open: Transaction,
  ) {}

  query<T>(plan: () => Planned<T> | Promise<Planned<T>>): Query<T> {
    return this.queue(
      async () => [await plan()],
      ([first]) => first as T,
    ) as Query<T>
  }

  batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>> {
    return runBatch(this.context, collect, (all) => this.together(all))
  }

  /** Planned calls in one round trip. */
  together(all: readonly Planned<unknown>[]): Promise<unknown[]> {
    return this.queue(
      () => all,
      (values) => [...values],
    )
  }

  /** A savepoint: what `work` does can fail without ending the transaction around it. */
  transaction<T>(work: (scope: TransactionScope) => Promise<T>, options?: TransactionOptions): Promise<T> {
    this.waiting++
    const nested = this.nest(work, options).finally(() => this.waiting--)
    nested.catch(ignore)
    return nested
  }

  /** Refuses to end well while a call is on its way, or after one has failed without anybody's saying so. */
  async finish(): Promise<void> {
    const forgotten = this.waiting
    this.state = 'ended'
    await this.last
    if (forgotten > 0) {
      throw new ScopeClosedError(
        `nothing was written: the transaction ended before ${forgotten} of its calls; await each`,
      )
    }
    if (this.failed) throw new TransactionAbortedError()
  }

  async abandon(): Promise<void> {
    this.state = 'ended'
    await this.last
  }

  private async nest<T>(work: (scope: TransactionScope) => Promise<T>, options?: TransactionOptions): Promise<T> {
    refuseOwnOptions(options)
    this.assertOpen()
    await this.last
    this.assertOpen()
    const savepoint = this.open.savepoint()
    this.state = 'nested'
    const inner = new TransactionScope(this.context, this.open)
    try {
      const result = await work(inner)
      await inner.finish()
      this.open.release(savepoint)
      return result
    } catch (error) {
      await inner.abandon()
      this.open.rollbackTo(savepoint)
      throw error
    } finally {
      this.reopen()
    }
  }

  /** Unless it ended meanwhile, because nobody awaited the nested one. */
  private reopen(): void {
    if (this.state === 'nested') this.state = 'open'
  }

  private queue<T>(
    plan: () => readonly Planned<unknown>[] | Promise<readonly Planned<unknown>[]>,
    read: (values: readonly unknown[]) => T,
  ): Promise<T> {
    this.waiting++
    const sent = this.take(plan, this.last).finally(() => this.waiting--)
    this.last = sent.catch(ignore)
    const answer = sent.then(({ all, outcomes }) => read(readAll(all, outcomes)))
    // A call that nobody awaits is reported when the transaction ends; it must not end the process as well.
    answer.catch(ignore)
    return answer
  }

  private async take(
    plan: () => readonly Planned<unknown>[] | Promise<readonly Planned<unknown>[]>,
    earlier: Promise<unknown>,
  ): Promise<{ all: readonly Planned<unknown>[]; outcomes: Outcome[] }> {
    this.assertOpen()
    const made = plan()
    // It is waited for only in its turn; until then a rejection must not count as unhandled.
    if (types.isPromise(made)) made.catch(ignore)
    await earlier
    const all = await made
    return { all, outcomes: await this.run(all) }
  }

  private async run(all: readonly Planned<unknown>[]): Promise<Outcome[]> {
    if (this.state === 'ended') throw new ScopeClosedError()
    if (this.failed) throw new TransactionAbortedError()
    try {
      return await sendPlanned(all, (calls) => this.open.run(calls))
    } catch (error) {
      this.failed = true
      throw error
    }
  }

  private assertOpen(): void {
    if (this.state === 'ended') throw new ScopeClosedError()
    if (this.state === 'nested') {
      throw new ScopeClosedError('a nested transaction is open; use the handle that its function received')
    }
  }
}

const ignore = (): undefined => undefined
