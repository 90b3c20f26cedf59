import type { TenantryError } from './errors.js'

/**
 * What a statement may do to rows. If its answer is lost, an `insert` or a `change` may have been written. Where a `change` matched
 * no row, the library throws after the server has run it; an `insert` never ends so.
 */
export type Effect = 'read' | 'insert' | 'change'

/** One SQL text and the name a connection prepares it under. With an empty name it is parsed again at every call. */
export interface Statement {
  readonly name: string
  readonly text: string
  readonly effect: Effect
  /** Its name in errors. Undefined for statements of the library and of Drizzle's builder. */
  readonly label?: string | undefined
  /** Whether it may name functions that SQL of the caller may not: it is not guarded. */
  readonly isUnguarded?: boolean
  /** The error for a refusal that the statement provokes itself, such as a division by zero. */
  readonly refusal?: (sqlstate: string | undefined) => TenantryError | undefined
}

export interface Call {
  readonly statement: Statement
  readonly values: readonly unknown[]
}

/**
 * The result of one call. A row is an array in the order of `columns`. Dates, timestamps and intervals, and arrays of them, are the
 * server's text with all its microseconds; bigint and numeric are strings; json is parsed.
 */
export interface Result {
  readonly rows: unknown[][]
  readonly columns: readonly string[]
  /** Rows returned by a query, rows changed by a write. */
  readonly rowCount: number
}

/** The organization or person that rows belong to. */
export interface Owner {
  readonly kind: 'org' | 'user'
  readonly id: string
}

/**
 * The owner that a connection is bound to. `system` binds no owner: its login has a role and a pool of its own. Its statements name
 * the owner `about` in their predicates.
 */
export type Binding = Owner | { readonly kind: 'system'; readonly about: Owner | undefined }

export interface RunOptions {
  /** Cancels the statement of the call. If the server has already finished the statement, the call succeeds. */
  readonly signal?: AbortSignal | undefined
  /** The server refuses every write. */
  readonly readOnly?: boolean | undefined
  /** Sends the binding again after the last call. If SQL text has changed it, the server refuses and rolls everything back. */
  readonly reenter?: boolean | undefined
}

export interface BeginOptions {
  readonly signal?: AbortSignal | undefined
  readonly readOnly?: boolean | undefined
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined
}

/** The port to a database. Every promise rejects with a TenantryError and no other. */
export interface Executor {
  /** All calls or none, in one round trip. */
  run(binding: Binding, calls: readonly Call[], options?: RunOptions): Promise<Result[]>
  /** Takes a connection. BEGIN and the binding are sent together with the first calls. */
  begin(binding: Binding, options?: BeginOptions): Promise<Transaction>
  ping(): Promise<void>
  /** Refuses new calls, waits up to `drain` milliseconds for running ones, and then ends all connections. */
  close(options?: { drain?: number }): Promise<void>
}

/** An open transaction. It holds its connection until `commit` or `rollback`; call one of them. */
export interface Transaction {
  /**
   * One round trip. After the server has refused a call, only `rollbackTo` and `rollback` are possible. A call that is refused before
   * it is sent leaves the transaction as it was.
   */
  run(calls: readonly Call[]): Promise<Result[]>
  /** False when `run` can only fail. */
  readonly isUsable: boolean
  /** `savepoint`, `release` and `rollbackTo` send nothing at once: they go out with the next calls. */
  savepoint(): string
  release(savepoint: string): void
  rollbackTo(savepoint: string): void
  commit(): Promise<void>
  /** Never throws: a connection that cannot roll back is ended, which does the same. */
  rollback(): Promise<void>
}
