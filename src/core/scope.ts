import type { Binding } from './executor.js'
import type { Planned } from './planned.js'
import type { Query } from './query.js'
import type { Rules } from './rules.js'

/** Who acts, as authentication found out, and what they may. */
export interface Actor {
  readonly kind: 'user' | 'api_key'
  readonly id: string
  readonly label?: string | undefined
  readonly permissions: ReadonlySet<string>
}

/** Where the request came from, for the audit log. */
export interface RequestContext {
  readonly id?: string | undefined
  readonly ip?: string | undefined
  readonly userAgent?: string | undefined
}

/** Signs cursors. The first key signs, every key verifies. */
export interface CursorKeys {
  readonly keys: readonly [Uint8Array, ...Uint8Array[]]
}

export interface ScopeContext {
  readonly binding: Binding
  readonly actor: Actor | undefined
  readonly request: RequestContext | undefined
  readonly signal: AbortSignal | undefined
  readonly readOnly: boolean
  readonly cursorKeys: CursorKeys
  readonly rules: Rules
}

/** How a statement is to be sent. */
export interface QueryOptions {
  /** Checks the binding once more behind the statement: its text is the caller's. */
  readonly reenter: boolean
}

/** What a repository works with: the owner of its rows, and a way to send statements that are bound to that owner. */
export interface Scope {
  readonly context: ScopeContext
  /**
   * Sends one planned call. What `plan` throws is the query's rejection, and nothing is sent. A plan that has to be waited for, as
   * one that seals a secret, keeps its place in the order of the calls.
   */
  query<T>(plan: () => Planned<T> | Promise<Planned<T>>, options?: QueryOptions): Query<T>
  /** Several steps that take effect together: a transaction, or a savepoint of the one that is open. */
  transaction<T>(work: (scope: Scope) => Promise<T>, options?: TransactionOptions): Promise<T>
  /**
   * `transaction` for a method of several steps, such as `agents.duplicate`. What is called beside it inside of a transaction waits
   * until it has ended, and so would a call with this scope in `work`: that must use the scope it receives.
   */
  steps<T>(work: (scope: Scope) => Promise<T>): Promise<T>
  /**
   * The promise of a method that awaits other calls. Inside a transaction its failure is reported at the end when nobody awaits
   * it, and does not end the process as an unhandled rejection.
   */
  track<T>(promise: Promise<T>): Promise<T>
  /**
   * One round trip for all calls that `collect` makes on the scope it is given; all of them take effect, or none. One more where a
   * call could be refused when others have written. Inside a transaction it is the transaction that is taken back.
   */
  batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>>
}

export interface TransactionOptions {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined
  /**
   * How often the whole function may run again after a deadlock or a serialization failure; never unless told. Before each time there
   * is a random pause, up to twice as long each time and a second at most, which ends when the scope's signal is aborted.
   */
  readonly retries?: number | undefined
}

/** What a batch gives for the calls it was given, in their order. */
export type BatchResults<Calls extends readonly unknown[]> = {
  -readonly [Index in keyof Calls]: Calls[Index] extends Query<infer T> ? T : never
}
