import type { Call, Result } from './executor.js'
import type { OrgId } from './ids.js'
import type { Query } from './query.js'

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

/** What a change leaves behind in the audit log, decided where the statement is compiled. */
export interface AuditedWrite {
  readonly resource: string
  readonly action: 'create' | 'update' | 'delete' | 'restore'
}

/** What the core asks of the layers above, so that it knows neither tables nor rules. */
export interface Ports {
  /** Throws ForbiddenError when the actor may not. */
  authorize?(permission: string): void
  /** The same change, with its audit entry in the same statement. Gives the same rows. */
  audit?(write: AuditedWrite, call: Call): Call
  /** Locks what is counted and throws PlanLimitError when one more is not allowed. Runs in the transaction of the insert. */
  reserve?(limit: string, scope: Scope): Promise<void>
}

/** Signs cursors. The first key signs, every key verifies. */
export interface CursorKeys {
  readonly keys: readonly [Uint8Array, ...Uint8Array[]]
}

export interface ScopeContext {
  readonly orgId: OrgId
  readonly actor: Actor | undefined
  readonly request: RequestContext | undefined
  readonly signal: AbortSignal | undefined
  readonly readOnly: boolean | undefined
  readonly cursorKeys: CursorKeys
  readonly ports: Ports
}

/** How a statement is to be sent. */
export interface QueryOptions {
  /** Checks the binding once more behind the statement, whose text is the caller's. */
  readonly reenter?: boolean
}

/** What a repository works with: one organization, and a way to send statements that are bound to it. */
export interface Scope {
  readonly context: ScopeContext
  /** Sends one statement. What `prepare` throws is the query's rejection, and nothing is sent. */
  query<T>(prepare: () => Call, read: (result: Result) => T, options?: QueryOptions): Query<T>
  /** Sends several statements in one round trip; all of them take effect, or none. */
  together<T>(prepare: () => readonly Call[], read: (results: readonly Result[]) => T): Query<T>
  /** Several steps that take effect together: a transaction, or a savepoint of the one that is open. */
  transaction<T>(work: (scope: Scope) => Promise<T>, options?: TransactionOptions): Promise<T>
  /**
   * One round trip for all calls that `collect` makes on the scope it is given; all of them take effect, or none. One more where a
   * call could be refused when others have written. Inside a transaction it is the transaction that is taken back.
   */
  batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>>
}

export interface TransactionOptions {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined
  /** How often the whole function may run again after a deadlock or a serialization failure. Never unless told. */
  readonly retries?: number | undefined
}

/** What a batch gives for the calls it was given, in their order. */
export type BatchResults<Calls extends readonly unknown[]> = {
  -readonly [Index in keyof Calls]: Calls[Index] extends Query<infer T> ? T : never
}
