import {
  BrokenReferenceError,
  CommitUnknownError,
  ConflictError,
  InvalidInputError,
  IsolationError,
  NotFoundError,
  OrganizationSuspendedError,
  QueryError,
  ResourceExhaustedError,
  RetryableError,
  type TenantryError,
  TimeoutError,
  TransactionAbortedError,
  UnavailableError,
  UnsafeStatementError,
} from '../core/errors.js'

/** The fields of an ErrorResponse as pg and PGlite give them. Only these are looked at, and none of their values is passed on. */
export interface DriverError extends Error {
  readonly severity: string
  readonly code?: string | undefined
  readonly schema?: string | undefined
  readonly table?: string | undefined
  readonly column?: string | undefined
  readonly constraint?: string | undefined
  readonly routine?: string | undefined
  /** Where in the text of the statement, from 1. */
  readonly position?: string | undefined
}

/** The server said so, and not the socket. */
export const isServerError = (error: Error): error is DriverError =>
  typeof (error as Partial<DriverError>).severity === 'string'

/** The names by which a database complains. */
export interface DatabaseNames {
  readonly schema?: string | undefined
  readonly table?: string | undefined
  readonly constraint?: string | undefined
  readonly column?: string | undefined
}

/** What the caller knows them by: the resource, and the properties of its input. */
export interface TableFacts {
  readonly resource: string
  readonly fields: readonly string[]
}

export type FactsLookup = (names: DatabaseNames) => TableFacts | undefined

/** Something else than this scope has bound the connection: it must not serve again. */
export const isForeignBinding = (error: DriverError): boolean =>
  error.code === '42501' && /^an?(?:other)? (?:organization|user) is bound$/.test(error.message)

/** A statement of that name is gone, or its plan is too old. Both are answered before the statement does anything. */
export const isStaleStatement = (error: DriverError): boolean =>
  error.code === '26000' || (error.code === '0A000' && error.routine === 'RevalidateCachedQuery')

/** The error of a statement that the server has refused, of which nothing was written. */
export function refusal(error: DriverError, lookup?: FactsLookup): TenantryError {
  const code = error.code ?? ''
  return exact(code, error, lookup) ?? byClass(code) ?? new QueryError()
}

function exact(code: string, error: DriverError, lookup: FactsLookup | undefined): TenantryError | undefined {
  switch (code) {
    case 'TN001':
      return new NotFoundError('organization')
    case 'TN002':
      return new OrganizationSuspendedError()
    case '23505':
    case '23P01':
      return about(error, lookup, (resource, fields) => new ConflictError(resource, fields))
    case '23503':
    case '23001':
      return about(error, lookup, (resource, fields) => new BrokenReferenceError(resource, fields))
    case '23502':
      return about(error, lookup, (_resource, fields) => invalid(fields, 'is required'))
    case '23514':
      return about(error, lookup, (_resource, fields) => invalid(fields, 'is not allowed'))
    case '42501':
      return insufficientPrivilege(error)
    case '40001':
      return new RetryableError('serialization')
    case '40P01':
      return new RetryableError('deadlock')
    case '40003':
    case '08007':
      return new CommitUnknownError()
    case '57014':
      return new TimeoutError()
    case '55P03':
      return new TimeoutError('a lock did not become free in time; nothing of the statement was written')
    case '25P03':
    case '25P04':
      return new TimeoutError('the transaction was open for too long and was ended by the server; nothing was written')
    case '25P02':
      return new TransactionAbortedError()
    case '25006':
      return new UnsafeStatementError('this scope only reads; nothing was written')
    case '22001':
    case '54000':
    case '54001':
      return invalid([], 'a value is too long, too large or too deeply nested')
    case '22003':
      return invalid([], 'a number is out of range')
    case '57P01':
    case '57P02':
    case '57P03':
    case '57P04':
    case '57P05':
      return new UnavailableError()
    case '3D000':
      return new UnavailableError('the database does not exist')
    default:
      return undefined
  }
}

function byClass(code: string): TenantryError | undefined {
  switch (code.slice(0, 2)) {
    case '22':
      return invalid([], 'a value is not valid')
    case '53':
      return new ResourceExhaustedError()
    case '08':
      return new UnavailableError()
    case '28':
      return new UnavailableError('the database refused the login')
    default:
      return undefined
  }
}

function insufficientPrivilege(error: DriverError): TenantryError | undefined {
  if (error.routine === 'ExecWithCheckOptions') return new IsolationError()
  if (isForeignBinding(error)) return new IsolationError('the connection was bound to another scope; it was ended')
  if (/^no (?:organization|user) is bound$/.test(error.message)) return new IsolationError(error.message)
  return undefined
}

const invalid = (fields: readonly string[], reason: string): InvalidInputError =>
  new InvalidInputError(fields.length === 0 ? [{ field: '', reason }] : fields.map((field) => ({ field, reason })))

function about(
  error: DriverError,
  lookup: FactsLookup | undefined,
  build: (resource: string, fields: readonly string[]) => TenantryError,
): TenantryError {
  const names = namesOf(error)
  const facts = lookup?.(names)
  return build(facts?.resource ?? names.table ?? 'row', facts?.fields ?? [])
}

/** Citus fills no field: the names are in the message only, with the number of a shard behind them. */
function namesOf(error: DriverError): DatabaseNames {
  if (error.constraint !== undefined || error.column !== undefined) return error
  const named = (kind: string): string | undefined =>
    new RegExp(`\\b${kind} "([^"]+)"`).exec(error.message)?.[1]?.replace(/_\d+$/, '')
  return {
    table: named('(?:relation|table)'),
    constraint: named('constraint'),
    column: /\bcolumn "([^"]+)"/.exec(error.message)?.[1],
  }
}
