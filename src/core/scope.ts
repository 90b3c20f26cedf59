import type { Acting } from './author.js'
import type { Binding } from './executor.js'
import type { Plan } from './planned.js'
import type { Query } from './query.js'
import type { Rules } from './rules.js'
import type { DataKeys } from './sealing.js'

/** Signs cursors. The first key signs, every key verifies. */
export interface CursorKeys {
  readonly keys: readonly [Uint8Array, ...Uint8Array[]]
}

/** Makes the tokens of API keys, invitations and sessions, and reads those that a request brings. */
export interface Tokens {
  makeKey(orgId: string): KeyToken
  /** Undefined for text that is no such token. */
  readKey(token: unknown): RoutedToken | undefined
  makeInvitation(orgId: string): InvitationToken
  readInvitation(token: unknown): RoutedToken | undefined
  /** Under every key of the keyring, the active one first. */
  makeSession(userId: string, sessionId: string, generation: number): readonly [SessionTokens, ...SessionTokens[]]
  /** Undefined for text that this library did not make. */
  readSession(token: unknown): ReadSession | undefined
  readRefresh(token: unknown): ReadSession | undefined
  /** Whether the text begins as a session token does. Nothing else of it is checked. */
  isSession(token: unknown): boolean
  /** Whether a token of any kind stands somewhere in the text. */
  isIn(text: string): boolean
}

/** A token that tells in which organization its row is. */
export interface RoutedToken {
  readonly orgId: string
  /** Under every key of the keyring, the active one first. */
  readonly hashes: readonly Uint8Array[]
  readonly pepperId: string
}

export interface ReadSession {
  readonly userId: string
  readonly sessionId: string
  readonly generation: number
  readonly hashes: readonly Uint8Array[]
}

/** The tokens of one generation of a session, and the columns that are stored of them. */
export interface SessionTokens {
  readonly token: string
  readonly refreshToken: string
  readonly tokenHash: Uint8Array
  readonly refreshHash: Uint8Array
  readonly pepperId: string
}

/** A new token, and the columns that are stored of it. */
export interface KeyToken {
  readonly token: string
  readonly keyPrefix: string
  readonly lastFour: string
  readonly keyHash: Uint8Array
  readonly pepperId: string
}

/** A new token, and the columns that are stored of it. */
export interface InvitationToken {
  readonly token: string
  readonly tokenHash: Uint8Array
  readonly pepperId: string
}

/** Chains the entries of the audit log. The first key seals, every key verifies. */
export interface ChainKeys {
  readonly keys: readonly [ChainKey, ...ChainKey[]]
}

export interface ChainKey {
  readonly id: string
  readonly secret: Uint8Array
}

/** What a tenancy needs of the master keys. */
export interface Secrets {
  readonly cursorKeys: CursorKeys
  readonly tokens: Tokens
  readonly dataKeys: DataKeys
  /** Undefined for a command that was given no keys. */
  readonly chainKeys: ChainKeys | undefined
  /** Whether the host gave a KeyProvider, which wraps the data keys in place of the keyring. */
  readonly hasKeyProvider: boolean
}

/** Only operations of the system seal the audit log, and the rules of a scope have the data keys. */
export interface ScopeContext extends Omit<Secrets, 'dataKeys' | 'chainKeys' | 'hasKeyProvider'>, Acting {
  readonly binding: Binding
  readonly signal: AbortSignal | undefined
  readonly readOnly: boolean
  readonly rules: Rules
  /** Of the transaction that the scope is in, where it was asked for. */
  readonly isolation: TransactionOptions['isolation']
}

/** How a statement is sent. */
export interface QueryOptions {
  /** Checks the binding again after the statement, because its text is the caller's. */
  readonly reenter: boolean
}

/** What a repository works with: the owner of its rows, and a way to send statements that are bound to that owner. */
export interface Scope {
  readonly context: ScopeContext
  /** Whether each call takes effect by itself, in no transaction and in no batch. */
  readonly isDirect: boolean
  /**
   * Sends one planned call. What `plan` throws rejects the query, and nothing is sent. A plan that is not ready yet, such as one that
   * seals a secret, keeps its place in the order of the calls.
   */
  query<T>(plan: () => Plan<T>, options?: QueryOptions): Query<T>
  /** Several steps that take effect together: a transaction, or a savepoint of the one that is open. */
  transaction<T>(work: (scope: Scope) => Promise<T>, options?: TransactionOptions): Promise<T>
  /**
   * `transaction` for a method of several steps, such as `agents.duplicate`. Inside a transaction, calls beside it wait until it has
   * ended. `work` must use the scope that it receives: a call with this one would wait for itself. `ended` is called when the
   * outermost transaction has ended, committed or not, and before anybody learns of it.
   */
  steps<T>(work: (scope: Scope) => Promise<T>, ended?: () => void): Promise<T>
  /**
   * For the promise of a method that awaits other calls. If it fails inside a transaction and nobody awaits it, the transaction
   * reports that at its end, and the process does not end with an unhandled rejection.
   */
  track<T>(promise: Promise<T>): Promise<T>
  /**
   * Sends all calls that `collect` makes on its scope in one round trip. All of them take effect, or none: that takes a second
   * trip where one call could be refused after another has written. Inside a transaction a failure undoes the transaction.
   */
  batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>>
}

export interface TransactionOptions {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined
  /**
   * How often the whole function may run again after a RetryableError; 0 by default. A random pause comes
   * before each retry: up to twice as long each time, one second at most. An aborted signal ends it.
   */
  readonly retries?: number | undefined
}

/** The results of a batch, in the order of its calls. */
export type BatchResults<Calls extends readonly unknown[]> = {
  -readonly [Index in keyof Calls]: Calls[Index] extends Query<infer T> ? T : never
}
