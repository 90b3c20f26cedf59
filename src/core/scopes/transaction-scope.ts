// Not the global function: the tests of an application may replace it by a fake clock.
import { setImmediate } from 'node:timers'
import { types } from 'node:util'
import { ScopeClosedError, TenantryError, TransactionAbortedError } from '../errors.js'
import { isPlanned, type Plan, type Planned } from '../planned.js'
import type { Query } from '../query.js'
import type { BatchResults, Scope, ScopeContext, TransactionOptions } from '../scope.js'
import { Answer } from './answer.js'
import { needsTransaction, runBatch } from './batch-scope.js'
import { CallQueue, type Work as Queued } from './call-queue.js'
import { isRead, type Outcome, planOne, readAll } from './send-planned.js'
import { patience, type SharedTransaction } from './shared-transaction.js'
import { assertWork, refuseOwnOptions } from './transaction-options.js'

type Work<T> = (scope: TransactionScope) => Promise<T>

/**
 * The scope inside a transaction. Calls, methods of several steps and nested transactions are queued as they are called, and sent
 * one after the other. The scope ends with the function that received it.
 */
export class TransactionScope implements Scope {
  readonly isDirect = false
  private readonly queue = new CallQueue()
  private state: 'open' | 'lent' | 'ended' = 'open'
  /** A statement failed and nothing took it back: the server will not commit. */
  private failed = false
  private nested: TransactionScope | undefined
  private watch: NodeJS.Timeout | undefined
  /** How many promises of `track` are not settled. */
  private tracked = 0
  private readonly failures = new Map<Answer<unknown>, unknown>()

  constructor(
    readonly context: ScopeContext,
    private readonly shared: SharedTransaction,
  ) {}

  query<T>(plan: () => Plan<T>): Query<T> {
    const answer: Promise<T> = this.inTurn(() => {
      const made = plan()
      // It is waited for only in its turn; until then a rejection must not count as unhandled.
      if (types.isPromise(made)) made.catch(() => undefined)
      const run = async (): Promise<T> => {
        const one = await planOne(await made, async (asked) => {
          const [outcome] = await this.send([asked])
          return (outcome as Outcome).result
        })
        const [value] = readAll([one], await this.send([one]))
        return value as T
      }
      return { run, isRead: isPlanned(made) && isRead(made) }
    })
    return answer as Query<T>
  }

  batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>> {
    return this.track(runBatch(this.context, collect, (all) => this.together(all)))
  }

  /** Planned calls in one round trip: all of them take effect, or the transaction none. */
  together(all: readonly Planned<unknown>[]): Promise<unknown[]> {
    return this.oneByOne(() => async () => {
      const outcomes = await this.send(all)
      try {
        return readAll(all, outcomes)
      } catch (error) {
        this.failed = needsTransaction(all)
        throw error
      }
    })
  }

  /** A savepoint: what `work` does can fail without ending the transaction around it. */
  transaction<T>(work: Work<T>, options?: TransactionOptions): Promise<T> {
    return this.oneByOne(() => {
      assertWork(work)
      refuseOwnOptions(options)
      return () => this.lend(work)
    })
  }

  steps<T>(work: Work<T>, ended?: () => void): Promise<T> {
    if (ended !== undefined) this.shared.whenEnded(ended)
    return this.oneByOne(() => () => this.nest(work))
  }

  track<T>(promise: Promise<T>): Promise<T> {
    this.tracked++
    const done = (): void => {
      this.tracked--
    }
    promise.then(done, done)
    return this.answer((resolve, reject) => {
      promise.then(resolve, reject)
    })
  }

  /** Ends the handle. Throws unless every call has ended, and every failure was awaited and taken back. */
  async finish(): Promise<void> {
    // A tracked promise usually waits for a call in the queue, so adding both counts would count it twice.
    const forgotten = Math.max(this.queue.size, this.tracked)
    await this.stop()
    if (forgotten > 0) {
      throw new ScopeClosedError(
        `nothing was written: the transaction ended before ${forgotten} of its calls; await each`,
      )
    }
    if (this.failed) throw new TransactionAbortedError()
    for (const [answer, error] of this.failures) if (!answer.isAwaited) throw failedUnseen(error)
  }

  /** Ends the handle. Resolves when nothing more is sent with it or with a handle nested in it. */
  async stop(): Promise<void> {
    this.state = 'ended'
    clearInterval(this.watch)
    this.queue.refuseWaiting(() => new ScopeClosedError())
    await this.nested?.stop()
    await this.shared.idle()
  }

  /** Queues the work that `prepare` returns. What `prepare` throws rejects the call, and nothing is sent. */
  private inTurn<T>(prepare: () => Queued<T>): Answer<T> {
    return this.answer((resolve, reject) => {
      this.assertOpen()
      this.queue.add(prepare(), resolve, reject)
    })
  }

  private oneByOne<T>(prepare: () => () => Promise<T>): Answer<T> {
    return this.inTurn(() => ({ run: prepare(), isRead: false }))
  }

  private answer<T>(settle: ConstructorParameters<typeof Answer<T>>[0]): Answer<T> {
    return new Answer(settle, (answer, error) => {
      if (!answer.isAwaited) this.failures.set(answer, error)
    })
  }

  private async send(all: readonly Planned<unknown>[]): Promise<Outcome[]> {
    if (this.failed) throw new TransactionAbortedError()
    try {
      return await this.shared.send(all)
    } catch (error) {
      // A call that was refused before it was sent changes nothing.
      this.failed = !this.shared.isUsable
      throw error
    }
  }

  /**
   * Refuses calls with this handle while the caller's function runs: a call made inside of it would wait for itself. The function
   * begins in the next turn of the event loop, when the calls beside it are in the queue.
   */
  private async lend<T>(work: Work<T>): Promise<T> {
    await new Promise(setImmediate)
    return this.nest((scope) => {
      this.state = 'lent'
      return work(scope)
    })
  }

  private async nest<T>(work: Work<T>): Promise<T> {
    if (this.hasEnded()) throw new ScopeClosedError()
    if (this.failed) throw new TransactionAbortedError()
    const savepoint = this.shared.savepoint()
    const nested = new TransactionScope(this.context, this.shared)
    this.nested = nested
    this.watch = this.shared.watch(() => {
      this.queue.refuseWaiting(waitedInVain)
    })
    try {
      const result = await work(nested)
      await nested.finish()
      if (this.hasEnded()) throw new ScopeClosedError()
      this.shared.release(savepoint)
      return result
    } catch (error) {
      await nested.stop()
      if (!this.hasEnded()) this.shared.rollbackTo(savepoint)
      throw error
    } finally {
      clearInterval(this.watch)
      this.nested = undefined
      if (!this.hasEnded()) this.state = 'open'
    }
  }

  private hasEnded(): boolean {
    return this.state === 'ended'
  }

  private assertOpen(): void {
    if (this.state === 'ended') throw new ScopeClosedError()
    if (this.state === 'lent') {
      throw new ScopeClosedError(
        'nothing was sent: a nested transaction is running. Inside its function use the handle that the function received; elsewhere await the nested transaction first',
      )
    }
  }
}

/** Only an error of ours says nothing that the caller may not see. */
const failedUnseen = (error: unknown): TransactionAbortedError =>
  new TransactionAbortedError(
    `nothing was written: a call that was not awaited failed${error instanceof TenantryError ? ` (${error.message})` : ''}; await each`,
  )

const waitedInVain = (): ScopeClosedError =>
  new ScopeClosedError(
    `nothing was sent: the call waited behind a nested transaction that sent nothing for ${patience / 1000} s, perhaps because its function awaits this call; inside it use the handle that it received`,
  )
