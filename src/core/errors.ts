/** What Postgres said about a statement that it refused. Only with `openTenancy({ debug: true })`. */
export interface ErrorDebug {
  readonly sqlstate: string | undefined
  /** Where in `text` the fault is, in characters from 1. */
  readonly position: number | undefined
  /** The SQL text of the statement, with the literals that stand in it. Undefined where the commit failed. */
  readonly text: string | undefined
  /** The server's message. Left out where such a message can quote a value. */
  readonly message: string | undefined
}

/**
 * Every error the library throws. `code` never changes and is safe to show; a message says what to do. No error holds
 * parameters, a driver's DETAIL, a secret, or an id of another organization; none has a driver's error as its cause. SQL text and
 * SQLSTATE are in `debug` alone.
 */
export abstract class TenantryError extends Error {
  abstract readonly code: string
  /** The HTTP status an API handler would answer with. */
  abstract readonly status: ErrorStatus
  /** Only with `openTenancy({ debug: true })`, on the error of a statement that Postgres refused. Not in `toJSON`. */
  declare readonly debug?: ErrorDebug
  readonly #shown: string

  /** `shown` replaces the message in JSON: it leaves out what only the log should hold, such as the host of the database. */
  constructor(message: string, shown = message) {
    super(message)
    this.#shown = shown
    this.name = new.target.name
  }

  /** What may leave the process: a code and a message, never a stack, a host or `debug`. */
  toJSON(): { code: string; message: string } {
    return { code: this.code, message: this.#shown }
  }
}

export type ErrorStatus = 400 | 401 | 402 | 403 | 404 | 409 | 422 | 429 | 500 | 503 | 504

/** No such row here. The error is the same for a missing, a deleted and another organization's row. */
export class NotFoundError extends TenantryError {
  readonly code = 'not_found'
  readonly status = 404
  constructor(readonly resource: string) {
    super(`${resource}: not found`)
  }
}

/** Another row of this organization already has that value. */
export class ConflictError extends TenantryError {
  readonly code = 'conflict'
  readonly status = 409
  constructor(
    readonly resource: string,
    readonly fields: readonly string[] = [],
    message?: string,
  ) {
    super(message ?? `${resource}: ${fields.length > 0 ? fields.join(', ') : 'a value'} is already taken`)
  }
}

/**
 * A value refers to a row that this organization does not have. Where `referredBy` names a resource, the row cannot be deleted,
 * because rows of that resource refer to it.
 */
export class BrokenReferenceError extends TenantryError {
  readonly code = 'broken_reference'
  readonly status = 409
  constructor(
    readonly resource: string,
    readonly fields: readonly string[] = [],
    readonly referredBy?: string,
  ) {
    super(
      referredBy === undefined
        ? `${resource}: ${fields.length > 0 ? fields.join(', ') : 'a reference'} does not refer to a row of this organization`
        : `${resource}: this row cannot be deleted, because rows of ${referredBy} refer to it`,
    )
  }
}

/** One fault of an input: where it is, and what is wrong with it. */
export interface InputFault {
  readonly field: string
  readonly reason: string
}

/** The input was refused, by the library before anything was sent, or by the server. Nothing was written. */
export class InvalidInputError extends TenantryError {
  readonly code = 'invalid_input'
  readonly status = 400
  readonly faults: readonly InputFault[]
  constructor(faults: readonly InputFault[] | string, reason = 'is not valid') {
    const list = typeof faults === 'string' ? [{ field: faults, reason }] : faults
    super(list.map((fault) => (fault.field === '' ? fault.reason : `${fault.field}: ${fault.reason}`)).join('; '))
    this.faults = list
  }
}

/** The cursor was altered, is signed with a key that is no longer kept, or belongs to another list. Start again without one. */
export class InvalidCursorError extends TenantryError {
  readonly code = 'invalid_cursor'
  readonly status = 400
  constructor() {
    super('this cursor does not belong to this list; start again without a cursor')
  }
}

/** The row was changed since it was read. Read it again and repeat the change. */
export class VersionConflictError extends TenantryError {
  readonly code = 'version_conflict'
  readonly status = 409
  constructor(readonly resource: string) {
    super(`${resource}: changed since it was read; read it again and repeat the change`)
  }
}

export const limitsNeedReadCommitted =
  'limits of the plan cannot be checked at isolation repeatable read or serializable: use read committed, the default'

/** The write would exceed a limit of the organization's plan. */
export class PlanLimitError extends TenantryError {
  readonly code = 'plan_limit'
  readonly status = 402
  constructor(
    readonly limitName: string,
    readonly limit: number,
    readonly current: number,
  ) {
    super(`${limitName}: the plan allows ${limit}, and ${current} are in use; remove some, or change the plan`)
  }
}

/** Too many calls with this key. Try again after `retryAfter` seconds. `limit` is the one that was reached, where it is known. */
export class RateLimitedError extends TenantryError {
  readonly code = 'rate_limited'
  readonly status = 429
  constructor(
    readonly retryAfter: number,
    readonly limit?: number,
  ) {
    super(`too many requests; try again in ${retryAfter} s`)
  }
}

/** The organization has not enough credit of that currency left. Nothing was spent. Amounts are decimals, such as `12.50`. */
export class InsufficientCreditError extends TenantryError {
  readonly code = 'insufficient_credit'
  readonly status = 402
  constructor(
    readonly currency: string,
    readonly needed: string,
    readonly available: string,
  ) {
    super(`credits: ${needed} ${currency} are needed, and ${available} ${currency} are left`)
  }
}

/** The actor may not do this. `permission` is the one that is missing, where it is one permission. */
export class ForbiddenError extends TenantryError {
  readonly code = 'forbidden'
  readonly status = 403
  constructor(
    readonly permission: string | undefined,
    message = `this needs the permission ${String(permission)}`,
  ) {
    super(message)
  }
}

/** The token is not accepted. It does not say why. */
export class UnauthorizedError extends TenantryError {
  readonly code = 'unauthorized'
  readonly status = 401
  constructor() {
    super('the credentials are not accepted')
  }
}

/**
 * The session has no active organization: none is chosen, the organization is suspended or deleted, or the person is not an active
 * member of it. Thrown where a request needs one.
 */
export class NoActiveOrganizationError extends TenantryError {
  readonly code = 'no_active_organization'
  readonly status = 403
  constructor() {
    super(
      'this session has no active organization: none is chosen, the organization is suspended or deleted, or the person is not an active member of it; choose an organization',
    )
  }
}

/** The organization is suspended: nothing of it can be read or written. */
export class OrganizationSuspendedError extends TenantryError {
  readonly code = 'organization_suspended'
  readonly status = 403
  constructor() {
    super('this organization is suspended')
  }
}

/** `forOrg` needs the id of one organization: a UUID in lower case. */
export class InvalidOrgIdError extends TenantryError {
  readonly code = 'invalid_org_id'
  readonly status = 400
  constructor() {
    super('an organization id is a UUID string in lower case, such as 01980a1e-7b5c-7c6e-8a0d-3f1f0c2b4a69')
  }
}

/** The scope has ended: its transaction or batch is over, or the tenancy was closed. Nothing was written. */
export class ScopeClosedError extends TenantryError {
  readonly code = 'scope_closed'
  readonly status = 500
  constructor(
    message = 'this scope has ended; nothing was sent. Await every call inside the function that received the scope',
  ) {
    super(message)
  }
}

/** A statement of the transaction failed, and its error was caught inside the transaction or never awaited. Nothing was written. */
export class TransactionAbortedError extends TenantryError {
  readonly code = 'transaction_aborted'
  readonly status = 500
  constructor(
    message = 'nothing was written: a statement of this transaction failed, and its error was caught inside it',
  ) {
    super(message)
  }
}

/** The answer to a write was lost or not understood: it may have happened or not. Read before writing again. */
export class CommitUnknownError extends TenantryError {
  readonly code = 'commit_unknown'
  readonly status = 503
  constructor() {
    super(
      'it is not known whether the write happened: the answer of the server was lost or could not be understood. Read before you repeat it',
    )
  }
}

/** The same key came with another request, such as `provision` with the key of another customer. */
export class IdempotencyMismatchError extends TenantryError {
  readonly code = 'idempotency_mismatch'
  readonly status = 422
  constructor(message = 'this idempotency key was used with another request') {
    super(message)
  }
}

/**
 * Another transaction was in the way, changed the schema (`reason` is `schema`) or rotated the organization's data key (`key`).
 * Nothing was written; the whole transaction may be repeated.
 */
export class RetryableError extends TenantryError {
  readonly code = 'retryable'
  readonly status = 503
  constructor(readonly reason: 'serialization' | 'deadlock' | 'schema' | 'key') {
    super(`nothing was written: ${retryReasons[reason]}; repeat the whole transaction`)
  }
}

const retryReasons = {
  serialization: 'a concurrent change was in the way',
  deadlock: 'a deadlock was in the way',
  schema: 'a table, type or function that the transaction uses was changed meanwhile',
  key: "the organization's data key was rotated meanwhile",
}

/** The statement took longer than it may, or was cancelled. Nothing of it was written. */
export class TimeoutError extends TenantryError {
  readonly code = 'timeout'
  readonly status = 504
  constructor(
    message = 'the statement took longer than it may and was ended by the server; nothing of it was written',
  ) {
    super(message)
  }
}

/** No connection of the pool became free in time. */
export class PoolTimeoutError extends TenantryError {
  readonly code = 'pool_timeout'
  readonly status = 503
  /** `found` is what the pool looked like, and where it connects to. */
  constructor(found?: string) {
    const words = 'no database connection became free in time'
    const question = 'is a transaction held open, or the pool too small?'
    super(`${words}${found === undefined ? '' : `: ${found}`}; ${question}`, `${words}; ${question}`)
  }
}

/** The server is out of disk, memory, or connections. */
export class ResourceExhaustedError extends TenantryError {
  readonly code = 'resource_exhausted'
  readonly status = 503
  constructor() {
    super('the database server is out of disk, memory, or connections')
  }
}

/** The database cannot be reached, or ended the connection before anything could have been written. */
export class UnavailableError extends TenantryError {
  readonly code = 'unavailable'
  readonly status = 503
  constructor(message = 'the database cannot be reached', shown?: string) {
    super(message, shown)
  }
}

/** The SQL text is not one that a scope may send, it changed the transaction or the binding, or a read-only scope was asked to write. */
export class UnsafeStatementError extends TenantryError {
  readonly code = 'unsafe_statement'
  readonly status = 500
}

/** One fault that the proof of a connection found, and what mends it. */
export interface ProofFault {
  readonly fault: string
  readonly detail: string
  readonly mend: string
}

/** The connection could get around row security, or the database is not as this build declares it. Nothing is served. */
export class UnsafeRoleError extends TenantryError {
  readonly code = 'unsafe_role'
  readonly status = 500
  constructor(readonly faults: readonly ProofFault[]) {
    const lines = faults.map(({ fault, detail, mend }) => `- ${fault}${detail === '' ? '' : `: ${detail}`}\n  ${mend}`)
    super(`this connection is not safe to serve organizations with:\n${lines.join('\n')}`)
  }
}

/** A migration, or another command on the database's structure, was refused or failed. The message names the file or the object. */
export class MigrationError extends TenantryError {
  readonly code = 'migration'
  readonly status = 500
}

/** The ciphertext does not open: its key is destroyed or missing, it belongs to another row, or it was changed. */
export class DecryptError extends TenantryError {
  readonly code = 'decrypt'
  readonly status = 500
  /** `reason` is for the log, and left out of JSON. */
  constructor(reason?: string) {
    super(
      `this value cannot be decrypted${reason === undefined ? '' : `: ${reason}`}`,
      'this value cannot be decrypted',
    )
  }
}

/**
 * Row security refused a row of another organization, or the connection was bound to another owner. The verbs of a
 * repository never cause it. SQL text of your own can, such as an insert through `org.db` with a foreign `orgId`. It is a bug: alert
 * someone.
 */
export class IsolationError extends TenantryError {
  readonly code = 'isolation'
  readonly status = 500
  constructor(
    message = 'the database refused a statement that touched rows of another organization, or gave a row no organization',
  ) {
    super(message)
  }
}

/** The database refused the statement for a reason that is none of the others. */
export class QueryError extends TenantryError {
  readonly code = 'query'
  readonly status = 500
  constructor() {
    super('the database refused the statement; with openTenancy({ debug: true }) the error has the reason as `debug`')
  }
}

/** A repository or a table is defined wrongly, or a call is misused: a fault of the program, not of its user's input. */
export class DefinitionError extends TenantryError {
  readonly code = 'definition'
  readonly status = 500
}
