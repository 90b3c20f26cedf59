import { onAbort } from '../core/abort.js'
import { Pipeline, type PipelineConnection, staleness } from './pipeline.js'
import { PreparedStatements } from './prepared-statements.js'
import { type DriverError, isServerError } from './sqlstate.js'
import { asked, type Step } from './steps.js'
import type { Wire, WireListener } from './wire.js'

export interface ConnectionLimits {
  /** Behind a transaction pooler no statement has a name. */
  readonly isPooled: boolean
  /** Whether the database is one of a Citus cluster. */
  readonly isCluster: boolean
  /** The server's statement_timeout; 0 is none. */
  readonly statementTimeout: number
  /** How long after its own timeout a silent server is given up. */
  readonly grace: number
}

/** How many statements keep a name on the server. */
const statementsKept = 300
/** The longest timer of Node in milliseconds; a longer one fires at once. */
const longestTimer = 2 ** 31 - 1
/** How long an aborted statement may take to end before its connection is ended instead. */
const abortPatience = 2_000

/** How many bytes may be on their way. */
const mostBytes = 1_048_576

/** One physical connection. It answers pipelines in the order in which they were sent. */
export class Connection implements PipelineConnection, WireListener {
  private limits: ConnectionLimits = { isPooled: true, isCluster: false, statementTimeout: 0, grace: 0 }
  private statements = new PreparedStatements(0)
  private isDead = false
  /** The error with which the server ended the session while nothing ran. */
  private farewell: DriverError | undefined
  /** What was sent and is not answered, the one that is being answered first. */
  private readonly underWay: Pipeline[] = []
  /** The one that was answered last, until its caller goes on: what arrives behind its answer belongs to nobody. */
  private answered: Pipeline | undefined
  private bytes = 0
  /** When the server could begin with the first of them, and whether that was behind another's answer. */
  private headSince = 0
  private headWasBehind = false
  private isCancelling = false
  /** Set when it has lived for long enough: it takes nothing more beside what it has. */
  isRetiring = false
  /** The settings under which the connection was proved, and the names of those that have another value now. */
  private proved: Readonly<Record<string, string>> | undefined
  private readonly changed = new Set<string>()
  /** Re-armed by each pipeline and left to run out: to make and clear a timer takes six times as long. */
  private watchdog: NodeJS.Timeout | undefined
  /** How often the watchdog has looked at the active pipeline. */
  private looks = 0
  /** The milliseconds of the fastest answer so far: hardly more than the way to the server and back. */
  private fastest = Infinity

  constructor(private readonly wire: Wire) {
    wire.listen(this)
  }

  get isIdle(): boolean {
    if (this.isDead || this.farewell !== undefined || this.hasChanged) return false
    return this.wire.isReady
  }

  get isEnded(): boolean {
    return this.isDead
  }

  get processID(): number | null {
    return this.wire.processID
  }

  get isCluster(): boolean {
    return this.limits.isCluster
  }

  get active(): Pipeline | undefined {
    return this.underWay[0] ?? this.answered
  }

  /** How many pipelines it has to answer. */
  get load(): number {
    return this.underWay.length
  }

  /** Whether one more pipeline may be sent: the server has worked on the one in front for less than `limit` milliseconds. */
  takesMore(now: number, limit: number): boolean {
    if (this.limits.isPooled || !this.wire.takesSeveral || this.isCancelling || this.isRetiring) return false
    if (this.isDead || this.farewell !== undefined || this.hasChanged || this.bytes >= mostBytes) return false
    return this.underWay.length === 0 || this.headAge(now) < limit
  }

  /** How long the server has worked on the pipeline in front: without the way there and back, where it was sent alone. */
  private headAge(now: number): number {
    return now - this.headSince - (this.headWasBehind ? 0 : this.fastest)
  }

  private startHead(wasBehind: boolean): void {
    this.headSince = performance.now()
    this.headWasBehind = wasBehind
    this.looks = 0
    this.watchdog?.refresh()
  }

  /** Whether a setting has another value than when the connection was proved: answers could be read wrongly. */
  get hasChanged(): boolean {
    return this.changed.size > 0
  }

  /** The settings of the first proof count. Several tenancies can share a connection. */
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

  prepare(steps: readonly Step[], debug = false): Pipeline {
    return new Pipeline(steps, this.statements, debug)
  }

  async send(pipeline: Pipeline, signal?: AbortSignal): Promise<Pipeline> {
    if (this.isDead || this.farewell !== undefined) {
      pipeline.error = this.farewell
      pipeline.settle(undefined)
      return pipeline
    }
    pipeline.isBehind = this.underWay.push(pipeline) > 1
    this.bytes += pipeline.size
    if (!pipeline.isBehind) this.startHead(false)
    this.wire.send(pipeline)
    if (signal === undefined) await pipeline.settled
    else await this.abortable(pipeline, signal)
    if (this.answered === pipeline) this.answered = undefined
    pipeline.publishObserved()
    if (pipeline.status === undefined) this.destroy()
    return pipeline
  }

  /** Runs one statement of the library's own. Its rows are objects, by the names of their columns. */
  async query<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const statement = { name: '', text, effect: 'read', isUnguarded: true } as const
    const pipeline = await this.send(this.prepare([asked({ statement, values })]))
    const [result] = pipeline.results
    if (pipeline.error !== undefined) throw pipeline.error
    if (result === undefined || pipeline.status === undefined) throw new Error('Connection terminated unexpectedly')
    return result.rows.map((row) => Object.fromEntries(result.columns.map((name, index) => [name, row[index]])) as Row)
  }

  forgetStale(pipeline: Pipeline): boolean {
    const stale = staleness(pipeline)
    if (stale === 'certain') this.statements.forget()
    else if (stale === 'possible') pipeline.forgetStatements()
    return stale !== undefined
  }

  destroy(): void {
    this.isDead = true
    this.wire.destroy()
  }

  onAnswered(status: string | undefined): void {
    const pipeline = this.underWay.shift()
    if (pipeline === undefined) return
    const now = performance.now()
    if (!this.headWasBehind) this.fastest = Math.min(this.fastest, now - this.headSince)
    pipeline.duration = this.headAge(now)
    this.bytes -= pipeline.size
    this.answered = pipeline
    const [next] = this.underWay
    if (next === undefined) return
    next.isBehind = status !== 'I'
    // What is behind would run in the transaction that was left open.
    if (next.isBehind) this.destroy()
    else this.startHead(true)
  }

  onFailure(error: Error): void {
    if (isServerError(error)) this.farewell = error
    this.destroy()
  }

  /** Ends the connection: its answers no longer fit its queries, and could be taken for the answers to the next call. */
  onMisfit(): void {
    this.active?.misunderstand()
    this.destroy()
  }

  onSetting(name: string, value: string): void {
    if (this.proved === undefined || !Object.hasOwn(this.proved, name)) return
    if (this.proved[name] === value) {
      this.changed.delete(name)
      return
    }
    this.changed.add(name)
    if (this.active === undefined) return
    // A part of the answer may have been written with the other setting.
    this.active.settle(undefined)
    this.destroy()
  }

  onEnd(): void {
    this.isDead = true
    clearTimeout(this.watchdog)
    for (const pipeline of this.underWay.splice(0)) pipeline.settle(undefined)
  }

  /**
   * Ends the connection when the pipeline takes longer than the timeouts of all its statements together: the server, which ends each
   * statement in time, is gone.
   */
  private look(): void {
    const [head] = this.underWay
    if (head === undefined) return
    if (++this.looks < head.calls) this.watchdog?.refresh()
    else this.destroy()
  }

  private async abortable(pipeline: Pipeline, signal: AbortSignal): Promise<void> {
    let cancelled: Promise<boolean> | undefined
    let timer: NodeJS.Timeout | undefined
    const abort = (): void => {
      // The request would cancel whatever the server works on when it comes.
      if (this.underWay.length !== 1 || this.underWay[0] !== pipeline) return
      this.isCancelling = true
      // A pooler may pass the request on at any later time.
      if (this.limits.isPooled) {
        this.destroy()
        return
      }
      cancelled = this.wire.cancel()
      timer = setTimeout(() => {
        this.destroy()
      }, abortPatience)
    }
    const unlisten = onAbort(signal, abort)
    await pipeline.settled
    unlisten()
    clearTimeout(timer)
    // An unanswered request could still cancel a statement of the next user of this connection.
    if (cancelled !== undefined && !(await cancelled)) this.destroy()
    this.isCancelling = false
  }
}
