import { channel, tracingChannel, type TracingChannel } from 'node:diagnostics_channel'
import { types } from 'node:util'
import type { BeginOptions, Binding, Call, Executor, Result, RunOptions, Transaction } from './executor.js'

/** One round trip, or one transaction. It has the texts of its statements, and never a parameter or a value of a row. */
export interface QueryEvent {
  /** `call` is one round trip. `transaction` lasts from BEGIN to COMMIT or ROLLBACK, and its statements are calls of their own. */
  readonly kind: 'call' | 'transaction'
  readonly binding: Binding['kind']
  /** The organization that is bound; undefined with any other binding. */
  readonly orgId: string | undefined
  readonly statements: readonly { readonly name: string; readonly text: string }[]
  /** The number of the transaction in this process: the same on the transaction and on its calls. */
  readonly transaction: number | undefined
  /** In milliseconds; 0 until it has ended. */
  readonly duration: number
  /** How many rows each statement returned or changed, in the order of the statements. Empty after an error. */
  readonly rowCounts: readonly number[]
  /** Whether a transaction was committed. Undefined on a call, and until a transaction has ended. */
  readonly committed: boolean | undefined
  readonly error: Error | undefined
}

/** Taking a connection from the pool (`acquire`), or making and proving a new one (`connect`). */
export interface ConnectionEvent {
  readonly kind: 'acquire' | 'connect'
  readonly host: string | undefined
  readonly port: number | undefined
  /** In milliseconds from the request to the pool; 0 until it has ended. */
  readonly duration: number
  readonly error: Error | undefined
}

/** A row of a table that is being adopted was used outside of its organization. It has no value of the row. */
export interface ObservedEvent {
  readonly schema: string
  readonly table: string
  /** `unbound`: no organization was bound. `another`: it was not that of the row. */
  readonly kind: 'unbound' | 'another'
}

/** Called after each call and each transaction. What it throws becomes a warning of the process. */
export type OnQuery = (event: QueryEvent) => unknown

type Channel<Event extends object> = TracingChannel<object, Event>
type Draft<Event> = { -readonly [Name in keyof Event]: Event[Name] }

const callChannel: Channel<QueryEvent> = tracingChannel('tenantry:call')
const transactionChannel: Channel<QueryEvent> = tracingChannel('tenantry:transaction')
export const acquireChannel: Channel<ConnectionEvent> = tracingChannel('tenantry:acquire')
export const connectChannel: Channel<ConnectionEvent> = tracingChannel('tenantry:connect')
/** Has neither start nor end, so that it is no tracing channel. */
export const observedChannel = channel('tenantry:observed')

/** The same executor, which tells subscribers and `onQuery` what it does. Without any it allocates nothing. */
export const traced = (executor: Executor, onQuery: OnQuery | undefined): Executor =>
  new TracedExecutor(executor, new Listener(onQuery))

/**
 * Publishes the start and the end of `work`. The result of `work` stays out of the event: it may hold rows, or a connection with its
 * password. `start` is when the event began, if that was earlier.
 */
export async function publish<Event extends { duration: number; error: Error | undefined }, T>(
  channel: Channel<Event>,
  event: Draft<Event>,
  work: () => Promise<T>,
  start = performance.now(),
): Promise<T> {
  let result: T | undefined
  const run = async (): Promise<void> => {
    try {
      result = await work()
    } catch (error) {
      event.error = error as Error
      throw error
    } finally {
      event.duration = performance.now() - start
    }
  }
  await channel.tracePromise(run, event)
  return result as T
}

class TracedExecutor implements Executor {
  constructor(
    private readonly executor: Executor,
    private readonly listener: Listener,
  ) {}

  run(binding: Binding, calls: readonly Call[], options?: RunOptions): Promise<Result[]> {
    if (!this.listener.hears(callChannel)) return this.executor.run(binding, calls, options)
    return this.listener.call(binding, calls, undefined, () => this.executor.run(binding, calls, options))
  }

  async begin(binding: Binding, options?: BeginOptions): Promise<Transaction> {
    const number = ++transactions
    const end = this.listener.hears(transactionChannel) ? this.listener.transaction(binding, number) : undefined
    try {
      const transaction = await this.executor.begin(binding, options)
      return new TracedTransaction(transaction, this.listener, binding, number, end)
    } catch (error) {
      await end?.(false, error as Error)
      throw error
    }
  }

  ping(): Promise<void> {
    return this.executor.ping()
  }

  close(options?: { drain?: number }): Promise<void> {
    return this.executor.close(options)
  }
}

let transactions = 0

type End = (committed: boolean, error?: Error) => Promise<void>

class TracedTransaction implements Transaction {
  constructor(
    private readonly inner: Transaction,
    private readonly listener: Listener,
    private readonly binding: Binding,
    private readonly number: number,
    private readonly end: End | undefined,
  ) {}

  run(calls: readonly Call[]): Promise<Result[]> {
    if (!this.listener.hears(callChannel)) return this.inner.run(calls)
    return this.listener.call(this.binding, calls, this.number, () => this.inner.run(calls))
  }

  get isUsable(): boolean {
    return this.inner.isUsable
  }

  savepoint(): string {
    return this.inner.savepoint()
  }

  release(savepoint: string): void {
    this.inner.release(savepoint)
  }

  rollbackTo(savepoint: string): void {
    this.inner.rollbackTo(savepoint)
  }

  async commit(): Promise<void> {
    try {
      await this.inner.commit()
    } catch (error) {
      await this.end?.(false, error as Error)
      throw error
    }
    await this.end?.(true)
  }

  async rollback(): Promise<void> {
    await this.inner.rollback()
    await this.end?.(false)
  }
}

/** The subscribers of the channels, and one tenancy's `onQuery`. */
class Listener {
  private hasWarned = false

  constructor(private readonly onQuery: OnQuery | undefined) {}

  hears(channel: Channel<QueryEvent>): boolean {
    return this.onQuery !== undefined || channel.hasSubscribers
  }

  async call(
    binding: Binding,
    calls: readonly Call[],
    transaction: number | undefined,
    work: () => Promise<Result[]>,
  ): Promise<Result[]> {
    const event = newEvent('call', binding, calls, transaction)
    try {
      return await publish(callChannel, event, async () => {
        const results = await work()
        event.rowCounts = results.map(({ rowCount }) => rowCount)
        return results
      })
    } finally {
      this.tell(event)
    }
  }

  /** Returns the function that ends it. Only the first end counts: a failed commit is rolled back afterwards. */
  transaction(binding: Binding, number: number): End {
    const event = newEvent('transaction', binding, [], number)
    let settle: (error?: Error) => void = () => undefined
    const ended = new Promise<void>((resolve, reject) => {
      settle = (error) => {
        if (error === undefined) resolve()
        else reject(error)
      }
    })
    const told = publish(transactionChannel, event, () => ended)
      .catch(() => undefined)
      .finally(() => {
        this.tell(event)
      })
    return (committed, error) => {
      event.committed ??= committed
      settle(error)
      return told
    }
  }

  private tell(event: QueryEvent): void {
    try {
      const answer = this.onQuery?.(event)
      if (types.isPromise(answer))
        answer.catch((error: unknown) => {
          this.warn(error)
        })
    } catch (error) {
      this.warn(error)
    }
  }

  /** Only once: a broken `onQuery` throws on every call. */
  private warn(error: unknown): void {
    if (this.hasWarned) return
    this.hasWarned = true
    const reason = types.isNativeError(error) ? error.message : 'something other than an Error'
    process.emitWarning(`onQuery of openTenancy threw: ${reason}`, 'TenantryWarning')
  }
}

function newEvent(
  kind: QueryEvent['kind'],
  binding: Binding,
  calls: readonly Call[],
  transaction: number | undefined,
): Draft<QueryEvent> {
  return {
    kind,
    binding: binding.kind,
    orgId: binding.kind === 'org' ? binding.id : undefined,
    // Copies: a subscriber could change the objects that the library sends again.
    statements: calls.map(({ statement: { name, text } }) => ({ name, text })),
    transaction,
    duration: 0,
    rowCounts: [],
    committed: undefined,
    error: undefined,
  }
}
