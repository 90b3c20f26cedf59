import type { Result } from '../core/executor.js'
import { type Notice, observedEvent } from '../core/observed-warnings.js'
import { infersTypes } from '../core/parameter-types.js'
import { observedChannel, type ObservedEvent } from '../core/tracing.js'
import type { DriverConnection, Field, Submittable } from './driver.js'
import type { Prepared, PreparedStatements } from './prepared-statements.js'
import { lastTextIn, noColumns, rowCountOf, RowShape } from './rows.js'
import { type DriverError, isRefusedText, isServerError, isStaleStatement, isUnfitValue } from './sqlstate.js'
import { guard } from './statement-guard.js'
import type { Step } from './steps.js'
import { Frames } from './frames.js'

let pipelines = 0

// A pipeline is encoded without a pause in between, so all pipelines share this memory.
const frames = new Frames()
const closing = new Frames()

/** Bits for the messages that come before the rows of a step, in the order of the protocol. */
export const parseComplete = 1
export const bindComplete = 2
const description = 4

/**
 * Statements in one socket write before one Sync: one round trip and, unless they hold a BEGIN, one implicit transaction. It
 * settles at ReadyForQuery and not before: an error of the commit comes after the last CommandComplete, and the status byte
 * tells whether a transaction was left open. After a message too many, too few or in the wrong place, the answer counts as not
 * understood: what follows on that connection may answer another call.
 */
export class Pipeline implements Submittable {
  /** One result for each step of the caller's. */
  readonly results: Result[] = []
  /** The transaction status at ReadyForQuery; undefined when the connection was lost before, or the answer not understood. */
  status: string | undefined
  /** The server's first error. */
  error: DriverError | undefined
  /** False when the answer does not fit what was sent. Then nothing of it is certain, neither an error nor a command tag. */
  isUnderstood = true
  /** How many steps the server has completed, and the command tag of the last. */
  done = 0
  lastTag = ''
  sent = false
  /** Whether pipelines that were sent before it are still to be answered: then the server has not begun with it. */
  isBehind = false
  /** How many milliseconds the server took, as far as it can be seen from here. */
  duration = 0
  private readonly number = ++pipelines
  private isSettled = false
  readonly settled: Promise<void>
  private settleNow!: () => void
  private readonly bytes: Buffer
  private readonly prepared: Prepared[] = []
  /** The columns of each step, where it does not describe them itself. */
  private readonly shapes: (RowShape | undefined)[] = []
  /** For each step, the messages that come before its rows. */
  private readonly expected: number[] = []
  /** Those of them that have come for the current step. */
  private seen = 0
  /** How many CloseComplete are still to come. */
  private closings = 0
  private rows: unknown[][] = []
  /** The token in the answer to a step of the library's own. */
  private token: unknown
  private observed: ObservedEvent[] | undefined

  /** Encodes everything before anything is sent: a value that cannot be sent leaves nothing behind. */
  constructor(
    readonly steps: readonly Step[],
    private readonly statements: PreparedStatements,
    private readonly debug: boolean,
  ) {
    this.settled = new Promise((resolve) => {
      this.settleNow = resolve
    })
    try {
      for (const step of steps) this.encode(step)
      frames.sync()
      for (const name of statements.trim(this.number)) this.close(name)
      // Before everything else, where no error of a statement can skip them.
      this.bytes = closing.isEmpty ? frames.take() : Buffer.concat([closing.take(), frames.take()])
    } catch (error) {
      this.remember(false)
      throw error
    } finally {
      frames.discard()
      closing.discard()
    }
  }

  /** How many statements are the caller's. */
  get calls(): number {
    return this.steps.filter(({ own }) => !own).length
  }

  /** The text of the current step, if an earlier pipeline parsed it. */
  get reused(): string | undefined {
    const isParsed = ((this.expected[this.done] ?? parseComplete) & parseComplete) !== 0
    return isParsed ? undefined : this.steps[this.done]?.statement.text
  }

  /** How many bytes are sent. */
  get size(): number {
    return this.bytes.length
  }

  /** Each of its statements is closed and parsed again when it is next used. */
  forgetStatements(): void {
    for (const prepared of this.prepared) prepared.ready = false
  }

  /** The connection is lost, or the server is ready for the next pipeline. */
  settle(status: string | undefined): void {
    if (this.isSettled) return
    this.isSettled = true
    this.status = status
    this.callback()
    this.remember(status !== undefined && this.error === undefined)
    this.settleNow()
  }

  misunderstand(): void {
    this.isUnderstood = false
    this.settle(undefined)
    // The same read may have settled it already.
    this.status = undefined
  }

  submit(connection: DriverConnection): Error | null {
    if (!connection.stream.writable) return new Error('the socket is closed')
    connection.stream.write(this.take())
    return null
  }

  /** The bytes to send. From now on the server may have run them. */
  take(): Buffer {
    this.sent = true
    return this.bytes
  }

  handleReady(status: string): void {
    const isWhole = this.error === undefined ? this.done === this.steps.length && this.seen === 0 : status !== 'T'
    if (isWhole && this.closings === 0 && 'ITE'.includes(status)) this.settle(status)
    else this.misunderstand()
  }

  handleClose(): void {
    if (this.done > 0 || this.seen > 0 || this.closings-- === 0) this.misunderstand()
  }

  handlePart(part: number): void {
    const expected = this.expected[this.done] ?? 0
    const isNext = (expected & part) !== 0 && this.seen === (expected & (part - 1))
    if (isNext && this.error === undefined) this.seen |= part
    else this.misunderstand()
  }

  handleNoData(): void {
    this.describe(noColumns)
  }

  handleRowDescription({ fields }: { fields: readonly Field[] }): void {
    this.describe(new RowShape(fields))
  }

  handleDataRow({ fields }: { fields: unknown[] }): void {
    if (!this.isBeingAnswered) this.misunderstand()
    else if (this.steps[this.done]?.own === false) this.read(fields)
    else this.token = fields.at(-1)
  }

  /** A row as the server has sent it. */
  handleRow(bytes: Buffer, start: number, end: number): void {
    try {
      if (!this.isBeingAnswered) this.misunderstand()
      else if (this.steps[this.done]?.own === false) this.rows.push(this.shape.readMessage(bytes, start, end))
      else this.token = lastTextIn(bytes, start, end)
    } catch {
      this.misunderstand()
    }
  }

  handleCommandComplete({ text }: { text: string }): void {
    if (!this.isBeingAnswered) this.misunderstand()
    this.lastTag = text
    const step = this.steps[this.done]
    if (step?.own === false) this.finish(rowCountOf(text, this.rows.length))
    else if (this.token !== step?.token) this.misunderstand()
    this.token = undefined
    this.done++
    this.seen = 0
  }

  handleEmptyQuery(): void {
    this.misunderstand()
  }

  handlePortalSuspended(): void {
    this.misunderstand()
  }

  handleCopyInResponse(): void {
    this.misunderstand()
  }

  handleCopyData(): void {
    this.misunderstand()
  }

  handleNotice(notice: Notice): void {
    const event = observedEvent(notice)
    if (event !== undefined) (this.observed ??= []).push(event)
  }

  /** Called in the caller's asynchronous context, so that a subscriber finds the caller's span. */
  publishObserved(): void {
    if (this.observed === undefined) return
    for (const event of this.observed) observedChannel.publish(event)
    this.observed = undefined
  }

  handleError(error: Error): void {
    if (isServerError(error)) this.error ??= error
    else this.settle(undefined)
  }

  /** pg replaces it by a function that stops its timer, where the host has set a `query_timeout`. */
  callback(): void {
    return
  }

  /** Empty, because pg does not call it after an error: `Connection` listens to ReadyForQuery instead. */
  handleReadyForQuery(): void {
    return
  }

  private encode({ statement, values, own }: Step): void {
    const prepared = this.statements.find(statement)
    this.prepared.push(prepared)
    const { name, text } = prepared.statement
    let expected = bindComplete
    // Checked even if it is prepared already: the library may have prepared the same text for itself, such as `commit`.
    if (!own && !prepared.isGuarded && !Object.hasOwn(statement, 'isUnguarded'))
      prepared.isGuarded = guard(text, this.debug)
    if (!prepared.ready && prepared.parser === 0) {
      // The name may exist: from a failed pipeline, or from another user of this connection.
      if (name !== '') this.close(name)
      frames.parse(name, text)
      expected |= parseComplete
      prepared.shape = undefined
      prepared.parser = this.number
    }
    prepared.pipeline = this.number
    frames.bind(name, values)
    if (!own && prepared.shape === undefined) {
      frames.describePortal()
      expected |= description
    }
    frames.execute()
    this.shapes.push(prepared.shape)
    this.expected.push(expected)
  }

  private close(name: string): void {
    closing.closeStatement(name)
    this.closings++
  }

  /** Whether a row or the end of the current step may come now: all messages before its rows have come. */
  private get isBeingAnswered(): boolean {
    return this.seen === this.expected[this.done]
  }

  private read(row: unknown[]): void {
    try {
      this.shape.read(row)
      this.rows.push(row)
    } catch {
      this.misunderstand()
    }
  }

  private finish(rowCount: number): void {
    const { columns } = this.shape
    // The command tag counts the rows that were sent, if the statement returns rows.
    if (columns.length > 0 && this.rows.length !== rowCount) this.misunderstand()
    this.results.push({ rows: this.rows, columns, rowCount })
    this.rows = []
  }

  private get shape(): RowShape {
    return this.shapes[this.done] ?? noColumns
  }

  private describe(shape: RowShape): void {
    this.handlePart(description)
    this.shapes[this.done] = shape
  }

  /** Records whether the server has the statements that the pipeline parsed, and how the rows of all are read. */
  private remember(hasSucceeded: boolean): void {
    for (const [index, prepared] of this.prepared.entries()) {
      if (prepared.parser === this.number) {
        prepared.parser = 0
        prepared.ready = hasSucceeded && prepared.statement.name !== ''
      }
      if (hasSucceeded && prepared.ready) prepared.shape ??= this.shapes[index]
    }
  }
}

/** A connection, as far as transactions use it. */
export interface PipelineConnection {
  /** Throws when a text or a value cannot be sent. With `debug`, the calls may be `explain`. */
  prepare(steps: readonly Step[], debug?: boolean): Pipeline
  /** Resolves when the server is done with the pipeline or the connection is lost. Never rejects. */
  send(pipeline: Pipeline, signal?: AbortSignal): Promise<Pipeline>
  /** Whether the pipeline failed because its statements no longer fit the schema. If so, they are parsed again when it is repeated. */
  forgetStale(pipeline: Pipeline): boolean
  /** Ends the connection instead of giving it to the next caller. */
  destroy(): void
}

/**
 * Whether the pipeline failed because a statement that was parsed earlier no longer fits the schema. It can be repeated without
 * doubling a write, because the server has undone it. `possible`: the value may also be wrong by itself.
 */
export function staleness(pipeline: Pipeline): 'certain' | 'possible' | undefined {
  const { error, status, reused } = pipeline
  if (error === undefined || status === undefined) return undefined
  if (isStaleStatement(error) || (reused !== undefined && isRefusedText(error))) return 'certain'
  return reused !== undefined && isUnfitValue(error) && infersTypes(reused) ? 'possible' : undefined
}
