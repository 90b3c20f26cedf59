import type { Result } from '../core/executor.js'
import type { DriverConnection, Field, Submittable } from './driver.js'
import type { Prepared, PreparedStatements } from './prepared-statements.js'
import { noColumns, rowCountOf, RowShape } from './rows.js'
import { type DriverError, isServerError, isStaleStatement } from './sqlstate.js'
import { guard } from './statement-guard.js'
import type { Step } from './steps.js'
import { Frames } from './wire.js'

// Every batch is encoded in one go, so that they can share the memory.
const frames = new Frames()
const closing = new Frames()

/**
 * Statements in one socket write before one Sync: one round trip and, unless they hold a BEGIN, one implicit transaction. It
 * settles at ReadyForQuery and not before: an error of the commit comes after the last CommandComplete, and the status byte
 * tells whether a transaction was left open.
 */
export class Pipeline implements Submittable {
  /** One of each step that is not our own. */
  readonly results: Result[] = []
  /** The transaction status at ReadyForQuery; undefined when the connection was lost before. */
  status: string | undefined
  /** The server's first error. */
  error: DriverError | undefined
  /** What could not be understood of an answer. */
  fault: unknown
  /** How many steps the server has completed, and the command tag of the last. */
  done = 0
  lastTag = ''
  sent = false
  private isSettled = false
  readonly settled: Promise<void>
  private settleNow!: () => void
  private readonly bytes: Buffer
  private readonly prepared: Prepared[] = []
  private rows: unknown[][] = []

  /** Encodes everything before anything is sent: a value that cannot be sent leaves nothing behind. */
  constructor(
    readonly steps: readonly Step[],
    private readonly statements: PreparedStatements,
  ) {
    this.settled = new Promise((resolve) => {
      this.settleNow = resolve
    })
    try {
      for (const step of steps) this.encode(step)
      frames.sync()
      for (const name of statements.trim(this)) closing.closeStatement(name)
      // In front, where no error of a statement can skip them.
      this.bytes = closing.isEmpty ? frames.take() : Buffer.concat([closing.take(), frames.take()])
    } finally {
      frames.discard()
      closing.discard()
    }
  }

  /** How many statements of the caller's it holds. */
  get calls(): number {
    return this.steps.filter(({ own }) => !own).length
  }

  settle(status: string | undefined): void {
    if (this.isSettled) return
    this.isSettled = true
    this.status = status
    this.callback()
    if (status !== undefined && this.error === undefined) this.remember()
    this.settleNow()
  }

  submit(connection: DriverConnection): Error | null {
    if (!connection.stream.writable) return new Error('the socket is closed')
    this.sent = true
    connection.stream.write(this.bytes)
    return null
  }

  handleRowDescription({ fields }: { fields: readonly Field[] }): void {
    const prepared = this.prepared[this.done]
    if (prepared) prepared.shape = new RowShape(fields)
  }

  handleDataRow({ fields }: { fields: unknown[] }): void {
    if (this.steps[this.done]?.own !== false) return
    try {
      this.prepared[this.done]?.shape?.read(fields)
      this.rows.push(fields)
    } catch (error) {
      this.fault ??= error
    }
  }

  handleCommandComplete({ text }: { text: string }): void {
    this.lastTag = text
    if (this.steps[this.done]?.own === false) {
      const columns = (this.prepared[this.done]?.shape ?? noColumns).columns
      this.results.push({ rows: this.rows, columns, rowCount: rowCountOf(text, this.rows.length) })
      this.rows = []
    }
    this.done++
  }

  handleEmptyQuery(): void {
    this.fault ??= new Error('an empty statement')
    this.done++
  }

  handlePortalSuspended(): void {
    this.fault ??= new Error('a portal was suspended')
  }

  /** The server swallows our Sync while it waits for data, so that no ReadyForQuery would come. */
  handleCopyInResponse(connection: DriverConnection): void {
    connection.stream.destroy()
  }

  handleCopyData(): void {
    this.fault ??= new Error('a COPY')
  }

  handleError(error: Error): void {
    if (isServerError(error)) this.error ??= error
    else this.settle(undefined)
  }

  /** With a `query_timeout` of the host's, pg puts its own here, which stops its timer. */
  callback(): void {
    return
  }

  /** The connection's listener settles the batch: pg does not call this one after an error. */
  handleReadyForQuery(): void {
    return
  }

  private encode({ statement, values, own }: Step): void {
    const prepared = this.statements.find(statement)
    const { name, text } = prepared.statement
    // Not only when it is parsed: we may have prepared the same text ourselves, such as a commit.
    if (!own && !prepared.isGuarded) {
      guard(text)
      prepared.isGuarded = true
    }
    if (!prepared.ready && prepared.batch !== this) {
      // It may be there: from a batch that failed, or of somebody else's who has used this connection.
      if (name !== '') closing.closeStatement(name)
      frames.parse(name, text)
      prepared.shape = undefined
    }
    prepared.batch = this
    frames.bind(name, values)
    if (!own && prepared.shape === undefined) frames.describePortal()
    frames.execute()
    this.prepared.push(prepared)
  }

  /** The server has every statement now, and one that it did not describe has no columns. */
  private remember(): void {
    for (const prepared of this.prepared) {
      prepared.ready = prepared.statement.name !== ''
      prepared.shape ??= noColumns
    }
  }
}

/** The server has refused the whole batch before it did anything: to repeat it cannot double a write. */
export const isStale = ({ error, status }: Pipeline): boolean =>
  error !== undefined && status !== undefined && isStaleStatement(error)
