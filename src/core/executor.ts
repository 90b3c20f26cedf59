import { hash } from 'node:crypto'

/** One SQL text and the name a connection prepares it under. An empty name is prepared anew for every call. */
export interface Statement {
  readonly name: string
  readonly text: string
  /** What errors call it; undefined for what the library or a builder has made. */
  readonly label?: string | undefined
}

/** The name follows from the text, so that no name ever stands for two texts and every connection agrees on it. */
export function statement(text: string, label?: string): Statement {
  return { name: `tenantry_${hash('sha256', text, 'base64url').slice(0, 22)}`, text, label }
}

export interface Call {
  readonly statement: Statement
  readonly values: readonly unknown[]
  /** For the scope: asked in a round trip of its own when the call gave and changed no row. Only then, so that success is cheap. */
  readonly why?: Call
}

/**
 * What one call gave. A row is an array in the order of `columns`. Dates, timestamps and intervals, and arrays of them, are the
 * server's text with all its microseconds; bigint and numeric are strings; json is parsed.
 */
export interface Result {
  readonly rows: unknown[][]
  readonly columns: readonly string[]
  /** Rows returned by a query, rows changed by a write. */
  readonly rowCount: number
  /** What the call's `why` gave. */
  readonly why?: Result | undefined
}

/** Whose rows the statements may touch. `system` binds nothing: its login has a role and a pool of its own. */
export type Binding =
  | { readonly kind: 'org'; readonly id: string }
  | { readonly kind: 'user'; readonly id: string }
  | { readonly kind: 'system' }

export interface RunOptions {
  /** Ends the call's own statement. When the server had already finished it, the call succeeds. */
  readonly signal?: AbortSignal | undefined
  /** The server refuses every write. */
  readonly readOnly?: boolean | undefined
  /** Binds once more behind the last call: SQL text that moved the binding is refused and rolled back. */
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
  /** Takes a connection and sends nothing yet: BEGIN and the binding go out with the first calls. */
  begin(binding: Binding, options?: BeginOptions): Promise<Transaction>
  ping(): Promise<void>
  /** Refuses new work, lets running work finish for `drain` milliseconds, then ends its connections. */
  close(options?: { drain?: number }): Promise<void>
}

/** One open transaction. It holds its connection until commit or rollback, one of which must be called. */
export interface Transaction {
  /** One round trip. After a failure only `rollbackTo` and `rollback` help. */
  run(calls: readonly Call[]): Promise<Result[]>
  /** The three below go out with the next calls. */
  savepoint(): string
  release(savepoint: string): void
  rollbackTo(savepoint: string): void
  commit(): Promise<void>
  /** Never throws: a connection that cannot roll back is ended, which does the same. */
  rollback(): Promise<void>
}
