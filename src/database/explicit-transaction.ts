import { aborted } from '../core/abort.js'
import {
  RetryableError,
  ScopeClosedError,
  type TenantryError,
  TransactionAbortedError,
  UnsafeStatementError,
} from '../core/errors.js'
import type { BeginOptions, Binding, Call, Result, Transaction } from '../core/executor.js'
import { type Pipeline, type PipelineConnection, staleness } from './pipeline.js'
import { failureOf } from './outcome.js'
import { type FactsLookup, isForeignBinding } from './sqlstate.js'
import {
  asked,
  type Asking,
  begin,
  commit,
  enter,
  mayChange,
  release,
  rollback,
  rollbackTo,
  savepoint,
  type Step,
} from './steps.js'

interface Circumstances extends BeginOptions {
  readonly lookup: FactsLookup | undefined
  readonly debug: boolean
  /** The steps that bind the transaction; `enter` by default. */
  readonly bind?: typeof enter
  /** The steps of each call; the call alone by default. */
  readonly ask?: Asking | undefined
  /** Whether reads that are asked for at once go out one by one. */
  readonly isPlain?: boolean
  /** Gives the connection back. */
  readonly onEnd: () => void
}

/** Calls that were asked for together. */
interface Unit {
  readonly calls: readonly Call[]
  readonly resolve: (results: Result[]) => void
  readonly reject: (error: unknown) => void
}

/** How many reads go out in one write, as outside of a transaction. */
const mostReads = 32

/**
 * A transaction over one connection. Every statement binds again, and so does the pipeline with COMMIT: if a statement moved the
 * binding, that is refused, and nothing is committed.
 */
export class ExplicitTransaction implements Transaction {
  /** Steps that are sent before the next calls: BEGIN, and changes of savepoints. */
  private waiting: Step[]
  private readonly bound: readonly Step[]
  /** Whether a statement that may change rows has been sent. */
  private mayChange = false
  private turn: Promise<unknown> = Promise.resolve()
  /** Reads that go out in one write when it is their turn. What is asked for later than a write, or than the end, is not added to them. */
  private reads: Unit[] | undefined
  private state: 'unsent' | 'open' | 'failed' | 'ended' = 'unsent'
  /** Why it ended by itself. */
  private reason: TenantryError | undefined
  private savepoints = 0

  constructor(
    private readonly connection: PipelineConnection,
    binding: Binding,
    private readonly options: Circumstances,
  ) {
    this.waiting = [begin(options)]
    this.bound = (options.bind ?? enter)(binding)
  }

  run(calls: readonly Call[]): Promise<Result[]> {
    return new Promise((resolve, reject) => {
      const unit: Unit = { calls, resolve, reject }
      if (this.options.isPlain || calls.some(mayChange)) {
        this.reads = undefined
        void this.inTurn(() => this.write([unit]))
      } else if (this.reads === undefined) this.gather(unit)
      else if (this.reads.push(unit) === mostReads) this.reads = undefined
    })
  }

  private gather(first: Unit): void {
    const units = [first]
    this.reads = units
    void this.inTurn(async () => {
      // Until then the calls beside it have come here.
      await new Promise<void>((resolve) => {
        process.nextTick(resolve)
      })
      if (this.reads === units) this.reads = undefined
      await this.write(units)
    })
  }

  savepoint(): string {
    this.assertUsable()
    const name = `s${++this.savepoints}`
    // A Citus cluster forgets a binding that was made inside of a savepoint when the savepoint is released.
    if (this.state === 'unsent' && this.savepoints === 1) this.waiting.push(...this.bound)
    this.waiting.push(savepoint(name))
    return name
  }

  release(name: string): void {
    this.leave(name, release(name))
  }

  rollbackTo(name: string): void {
    this.leave(name, rollbackTo(name))
  }

  commit(): Promise<void> {
    this.reads = undefined
    return this.inTurn(() => this.writeCommit())
  }

  rollback(): Promise<void> {
    this.reads = undefined
    return this.inTurn(() => this.writeRollback())
  }

  /** Sends the units in one write, and settles each. */
  private async write(units: readonly Unit[]): Promise<void> {
    const { lookup, signal, debug, ask } = this.options
    const calls = units.flatMap((unit) => unit.calls)
    const isFirst = this.state === 'unsent'
    let pipeline: Pipeline
    try {
      if (this.state !== 'ended' && signal?.aborted) throw aborted()
      this.assertUsable()
      pipeline = await this.send([
        ...this.waiting,
        ...calls.flatMap((call) => [...this.bound, ...(ask?.(call) ?? [asked(call)])]),
      ])
    } catch (error) {
      // What cannot be sent fails alone.
      if (units.length === 1) units[0]?.reject(error)
      else for (const unit of units) await this.write([unit])
      return
    }
    this.mayChange ||= calls.some(mayChange)
    const failure = retryable(pipeline) ?? failureOf(pipeline, { lookup, signal, debug })
    if (pipeline.status === 'T') this.state = 'open'
    else if (pipeline.status !== 'E' || isForeign(pipeline)) {
      this.reason = failure ?? new UnsafeStatementError('a statement ended the transaction')
      this.connection.destroy()
      this.end()
    } else if (isFirst && pipeline.done <= this.bound.length) await this.refuse(failure)
    else this.state = 'failed'
    this.settle(units, pipeline, this.reason ?? failure)
  }

  /** As if each unit had been sent by itself: those before the refused one have their results, those behind it were not run. */
  private settle(units: readonly Unit[], { results }: Pipeline, error: TenantryError | undefined): void {
    let start = 0
    let isRefused = false
    for (const { calls, resolve, reject } of units) {
      const own = results.slice(start, (start += calls.length))
      if (error === undefined || (this.state === 'failed' && own.length === calls.length)) resolve(own)
      else if (isRefused && this.state === 'failed') reject(new TransactionAbortedError())
      else {
        isRefused = true
        reject(error)
      }
    }
  }

  /** The owner was refused in front of the first savepoint, so that there is nothing to go back to. */
  private async refuse(reason: TenantryError | undefined): Promise<void> {
    await this.send([rollback])
    this.reason = reason
    this.end()
  }

  private async writeCommit(): Promise<void> {
    if (this.state === 'ended') throw this.closed()
    if (this.state === 'unsent') {
      this.end()
      return
    }
    const { lookup, signal, debug, readOnly } = this.options
    if (signal?.aborted || !this.isUsable) {
      await this.writeRollback()
      throw signal?.aborted ? aborted() : new TransactionAbortedError()
    }
    const pipeline = await this.send([...this.waiting, ...this.bound, commit])
    const failure =
      retryable(pipeline) ??
      failureOf(pipeline, {
        lookup,
        signal,
        debug,
        commitsAfter: pipeline.steps.length - 1,
        mayWrite: () => !readOnly && this.mayChange,
      })
    if (isForeign(pipeline)) this.connection.destroy()
    else if (pipeline.status === 'E') await this.send([rollback])
    this.end()
    if (failure !== undefined) throw failure
    if (pipeline.lastTag !== 'COMMIT') throw new TransactionAbortedError()
  }

  private async writeRollback(): Promise<void> {
    if (this.state === 'open' || this.state === 'failed') await this.send([rollback])
    if (this.state !== 'ended') this.end()
  }

  private async send(steps: readonly Step[]): Promise<Pipeline> {
    const { signal, debug } = this.options
    const pipeline = this.connection.prepare(steps, debug)
    this.waiting = []
    await this.connection.send(pipeline, signal)
    if (!this.connection.forgetStale(pipeline)) return pipeline
    // Only at the start: later, the transaction has done something that a repetition would lose.
    if (this.state !== 'unsent' || signal?.aborted) return pipeline
    if (pipeline.status === 'E') await this.connection.send(this.connection.prepare([rollback]))
    return this.connection.send(this.connection.prepare(steps, debug), signal)
  }

  /** A savepoint that was never sent needs no release and no rollback: nothing ran since. */
  private leave(name: string, step: Step): void {
    if (this.state === 'ended') return
    const text = savepoint(name).statement.text
    const unsent = this.waiting.findIndex(({ statement }) => statement.text === text)
    if (unsent === -1) this.waiting.push(step)
    else this.waiting.length = unsent
  }

  /** One pipeline at a time, also when the caller does not wait. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.turn.then(work)
    this.turn = turn.catch(() => undefined)
    return turn
  }

  /** After a failure the server does nothing until it is back at a savepoint. */
  get isUsable(): boolean {
    if (this.state === 'failed') return this.waiting[0]?.statement.text.startsWith('rollback to') === true
    return this.state !== 'ended'
  }

  private assertUsable(): void {
    if (this.state === 'ended') throw this.closed()
    if (!this.isUsable) throw new TransactionAbortedError()
  }

  private closed(): TenantryError {
    return this.reason ?? new ScopeClosedError()
  }

  private end(): void {
    this.state = 'ended'
    this.options.onEnd()
  }
}

/** The error for a stale statement in a transaction that has done something already: the pipeline alone cannot be repeated. */
const retryable = (pipeline: Pipeline): RetryableError | undefined =>
  staleness(pipeline) === 'certain' ? new RetryableError('schema') : undefined

const isForeign = ({ error }: Pipeline): boolean => error !== undefined && isForeignBinding(error)
