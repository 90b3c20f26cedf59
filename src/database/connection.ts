import { onAbort } from '../core/abort.js'
import { bindComplete, parseComplete, Pipeline, staleness } from './pipeline.js'
import { cancel } from './cancel.js'
import { type DriverClient, isUnaskedMessage, neverAsked } from './driver.js'
import { PreparedStatements } from './prepared-statements.js'
import { type DriverError, isServerError } from './sqlstate.js'
import type { Step } from './steps.js'

export interface ConnectionLimits {
  /** Behind a transaction pooler no statement has a name. */
  readonly isPooled: boolean
  /** The server's statement_timeout; 0 is none. */
  readonly statementTimeout: number
  /** How long after its own timeout a silent server is given up. */
  readonly grace: number
}

interface SettingReport {
  readonly parameterName: string
  readonly parameterValue: string
}

/** How many statements keep a name on the server. */
const statementsKept = 300
/** A timer of more milliseconds would fire at once. */
const longestTimer = 2 ** 31 - 1
/** How long an aborted statement may take to end before its connection is ended instead. */
const abortPatience = 2_000

/** One physical connection for as long as it lives, one batch at a time. */
export class Connection {
  private limits: ConnectionLimits = { isPooled: true, statementTimeout: 0, grace: 0 }
  private statements = new PreparedStatements(0)
  private isDead = false
  /** How the server ended the session while nothing ran. */
  private farewell: DriverError | undefined
  private active: Pipeline | undefined
  /** The settings that answers were proved to be readable with, and those of them that have another value now. */
  private proved: Readonly<Record<string, string>> | undefined
  private readonly changed = new Set<string>()
  /** Re-armed by each batch and left to run out: to make and clear a timer takes six times as long. */
  private watchdog: NodeJS.Timeout | undefined
  /** How often the watchdog has looked at the active batch. */
  private looks = 0

  constructor(readonly client: DriverClient) {
    const { connection } = client
    // Once per connection, never per checkout. Without a listener for 'error' the process would die with the backend.
    client.on('error', (error) => {
      if (isServerError(error)) this.farewell = error
      if (isUnaskedMessage(error)) this.distrust()
      else this.destroy()
    })
    // In front of pg's own listener, after which nothing tells whether somebody had asked.
    connection.prependListener('readyForQuery', ({ status }: { status: string }) => {
      this.answering()?.handleReady(status)
    })
    connection.on('parseComplete', () => this.answering()?.handlePart(parseComplete))
    connection.on('bindComplete', () => this.answering()?.handlePart(bindComplete))
    connection.on('noData', () => this.answering()?.handleNoData())
    connection.on('closeComplete', () => this.answering()?.handleClose())
    for (const message of neverAsked) {
      connection.on(message, () => this.answering()?.misunderstand())
    }
    connection.on('parameterStatus', (report: SettingReport) => {
      this.compare(report)
    })
    connection.once('end', () => {
      this.isDead = true
      clearTimeout(this.watchdog)
      this.active?.settle(undefined)
    })
  }

  get isIdle(): boolean {
    if (this.isDead || this.farewell !== undefined || this.hasChanged) return false
    return this.client.readyForQuery && this.client.getTransactionStatus() === 'I'
  }

  /** Whether a setting has another value than when the connection was proved: answers could be read wrongly. */
  get hasChanged(): boolean {
    return this.changed.size > 0
  }

  /** The settings of the first proof count, of whatever tenancy that shares the connection. */
  watch(settings: Readonly<Record<string, string>>): void {
    this.proved ??= settings
  }

  limit(limits: ConnectionLimits): void {
    this.limits = limits
    this.statements = new PreparedStatements(limits.isPooled ? 0 : statementsKept)
    clearTimeout(this.watchdog)
    if (limits.statementTimeout > 0) {
      const time = Math.min(limits.statementTimeout + limits.grace, longestTimer)
      this.watchdog = setTimeout(() => {
        this.look()
      }, time).unref()
    }
  }

  /** Throws when a text or a value cannot be sent. */
  batch(steps: readonly Step[]): Pipeline {
    return new Pipeline(steps, this.statements)
  }

  /** Comes back when the server is done with the batch or the connection is lost. Never rejects. */
  async send(batch: Pipeline, signal?: AbortSignal): Promise<Pipeline> {
    if (this.isDead || this.farewell !== undefined) {
      batch.error = this.farewell
      batch.settle(undefined)
      return batch
    }
    this.active = batch
    this.looks = 0
    this.watchdog?.refresh()
    this.client.query(batch)
    if (signal === undefined) await batch.settled
    else await this.abortable(batch, signal)
    this.active = undefined
    if (batch.status === undefined) this.destroy()
    return batch
  }

  /** Makes ready to repeat a batch whose statements no longer fit the schema, and tells whether to. */
  forgetStale(batch: Pipeline): boolean {
    const stale = staleness(batch)
    if (stale === 'certain') this.statements.forget()
    else if (stale === 'possible') batch.forgetStatements()
    return stale !== undefined
  }

  destroy(): void {
    this.isDead = true
    this.client.connection.stream.destroy()
  }

  /** The batch that a message answers; undefined for one of the host's own. An answer to nothing ends the connection. */
  private answering(): Pipeline | undefined {
    if (this.client.readyForQuery) {
      this.distrust()
      return undefined
    }
    return this.active?.sent === true ? this.active : undefined
  }

  /** What the server sends no longer fits what it was sent: the rest could be taken for the answer of the next call. */
  private distrust(): void {
    this.active?.misunderstand()
    this.destroy()
  }

  /** Back to the pool, unless it is in any state but idle. */
  release(): void {
    if (!this.isIdle) this.destroy()
    this.client.release(this.isDead)
  }

  /** The server reports a change in front of the ReadyForQuery of whatever made it. */
  private compare({ parameterName, parameterValue }: SettingReport): void {
    if (this.proved === undefined || !Object.hasOwn(this.proved, parameterName)) return
    if (this.proved[parameterName] === parameterValue) {
      this.changed.delete(parameterName)
      return
    }
    this.changed.add(parameterName)
    if (this.active === undefined) return
    // Some of its answer may have been written in the other way.
    this.active.settle(undefined)
    this.destroy()
  }

  /**
   * The server ends each statement that takes too long, and tells of the first only with the last. One that takes longer than
   * all of them may is gone.
   */
  private look(): void {
    if (this.active === undefined) return
    if (++this.looks < this.active.calls) this.watchdog?.refresh()
    else this.destroy()
  }

  private async abortable(batch: Pipeline, signal: AbortSignal): Promise<void> {
    let cancelled: Promise<boolean> | undefined
    let timer: NodeJS.Timeout | undefined
    const abort = (): void => {
      // When a pooler passes a request on is its own affair.
      if (this.limits.isPooled) {
        this.destroy()
        return
      }
      cancelled = cancel(this.client)
      timer = setTimeout(() => {
        this.destroy()
      }, abortPatience)
    }
    const unlisten = onAbort(signal, abort)
    await batch.settled
    unlisten()
    clearTimeout(timer)
    // Until the request has been answered it could still reach whoever uses this connection next.
    if (cancelled !== undefined && !(await cancelled)) this.destroy()
  }
}
