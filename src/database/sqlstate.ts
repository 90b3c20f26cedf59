import {
  BrokenReferenceError,
  CommitUnknownError,
  ConflictError,
  DefinitionError,
  InvalidInputError,
  limitsNeedReadCommitted,
  IsolationError,
  NotFoundError,
  OrganizationSuspendedError,
  PlanLimitError,
  QueryError,
  ResourceExhaustedError,
  RetryableError,
  type TenantryError,
  TimeoutError,
  TransactionAbortedError,
  UnavailableError,
  UnsafeStatementError,
} from '../core/errors.js'
import type { Call } from '../core/executor.js'

/** The fields of an ErrorResponse that are read. Only `debug` shows any of their values. */
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

/** Whether the error came from the server, and not from the socket. */
export const isServerError = (error: Error): error is DriverError =>
  typeof (error as Partial<DriverError>).severity === 'string'

/** The database's names for what the error is about. */
export interface DatabaseNames {
  readonly schema: string | undefined
  readonly table: string | undefined
  readonly constraint: string | undefined
  readonly column: string | undefined
}

/** The resource and the fields that these names stand for. */
export interface TableFacts {
  readonly resource: string
  /** The properties of its input that the constraint or column is about. */
  readonly fields: readonly string[]
  /** The resource that a foreign key refers to. */
  readonly refersTo: string | undefined
}

export type FactsLookup = (names: DatabaseNames) => TableFacts | undefined

/** Whether something other than this scope has bound the connection. It must not serve again. */
export const isForeignBinding = (error: DriverError): boolean =>
  error.code === '42501' && /^an?(?:other)? (?:organization|user) is bound$/.test(error.message)

/**
 * Whether a prepared statement is gone, its columns have changed, or the type of a parameter is gone. The server answers all three
 * before the statement does anything.
 */
export const isStaleStatement = (error: DriverError): boolean =>
  error.code === '26000' ||
  (error.code === '0A000' && error.routine === 'RevalidateCachedQuery') ||
  (error.code === 'XX000' && error.message.startsWith('cache lookup failed for type'))

/**
 * Whether the server refused the text of the statement. The error then has a position, which an error inside a function has not. If
 * the text was accepted before, something that it names has changed. 42501, a missing right, does not count.
 */
export const isRefusedText = ({ code = '', position }: DriverError): boolean =>
  code.startsWith('42') && code !== '42501' && position !== undefined

/** Whether a value does not fit the type of its parameter. */
export const isUnfitValue = ({ code }: DriverError): boolean => code === '22003' || code === '22P02'

/**
 * Whether a COMMIT that failed so may have been carried out: an internal error, a lost connection, a server that stops. The nodes of
 * a cluster commit one after the other, and the row was there after each of these.
 */
export const leavesCommitOpen = ({ code = '' }: DriverError): boolean => /^(?:XX000|08|57P)/.test(code)

/** The typed error for a statement that the server refused. Nothing of it was written. */
export function refusal(error: DriverError, lookup?: FactsLookup): TenantryError {
  const code = error.code ?? ''
  const refuse = byCode.get(code) ?? byClass.get(code.slice(0, 2))
  return refuse?.(error, lookup) ?? new QueryError()
}

type Refuse = (error: DriverError, lookup: FactsLookup | undefined) => TenantryError | undefined

const unreachable: Refuse = () => new UnavailableError()
const tooLarge: Refuse = () => invalid([], 'a value is too long, too large or too deeply nested')
const openTooLong: Refuse = () =>
  new TimeoutError('the transaction was open for too long and was ended by the server; nothing was written')
const taken: Refuse = (error, lookup) => {
  const { resource, fields } = factsOf(error, lookup)
  return new ConflictError(resource, fields)
}
const unknownCommit: Refuse = () => new CommitUnknownError()

const byCode: ReadonlyMap<string, Refuse> = new Map<string, Refuse>([
  ['TN001', () => new NotFoundError('organization')],
  ['TN002', () => new OrganizationSuspendedError()],
  ['TN003', planLimit],
  ['TN004', () => new DefinitionError(limitsNeedReadCommitted)],
  ['23001', brokenReference],
  ['23502', missingValue],
  ['23503', brokenReference],
  ['23505', taken],
  ['23514', (error, lookup) => invalid(factsOf(error, lookup).fields, 'is not allowed', 'a value is not allowed')],
  ['23P01', taken],
  ['22001', tooLarge],
  ['54000', tooLarge],
  ['XX000', internal],
  ['54001', tooLarge],
  ['22003', () => invalid([], 'a number is out of range')],
  ['25006', () => new UnsafeStatementError('this scope only reads; nothing was written')],
  ['25P02', () => new TransactionAbortedError()],
  ['25P03', openTooLong],
  ['25P04', openTooLong],
  ['3D000', () => new UnavailableError('the database does not exist')],
  ['40001', () => new RetryableError('serialization')],
  ['40P01', () => new RetryableError('deadlock')],
  ['40003', unknownCommit],
  ['08007', unknownCommit],
  ['42501', insufficientPrivilege],
  ['55P03', () => new TimeoutError('a lock did not become free in time; nothing of the statement was written')],
  ['57014', () => new TimeoutError()],
  ['57P01', unreachable],
  ['57P02', unreachable],
  ['57P03', unreachable],
  ['57P04', unreachable],
  ['57P05', unreachable],
])

/** For codes that are not in the list above, by their class. */
const byClass: ReadonlyMap<string, Refuse> = new Map<string, Refuse>([
  ['08', unreachable],
  ['22', () => invalid([], 'a value is not valid')],
  ['28', () => new UnavailableError('the database refused the login')],
  ['53', () => new ResourceExhaustedError()],
])

/** What Postgres says of a value that it cannot make, such as a text of more than a gigabyte, and Citus of a worker that has gone. */
function internal(error: DriverError): TenantryError | undefined {
  if (error.message.startsWith('invalid memory alloc request size')) return tooLarge(error, undefined)
  if (error.message.startsWith('failure on connection marked as essential')) return new UnavailableError()
  return undefined
}

/** The message is that of `platform.assert_room`. */
function planLimit({ message }: DriverError): TenantryError | undefined {
  const [, name, allowed, used] = /^(.*): (\S+) allowed, (\S+) in use$/s.exec(message) ?? []
  return name === undefined ? undefined : new PlanLimitError(name, Number(allowed), Number(used))
}

function insufficientPrivilege(error: DriverError): TenantryError | undefined {
  if (isRowSecurity(error)) return new IsolationError()
  if (isForeignBinding(error)) return new IsolationError('the connection was bound to another scope; it was ended')
  if (/^no (?:organization|user) is bound$/.test(error.message)) return new IsolationError(error.message)
  return undefined
}

/** A worker of a Citus cluster sends the text alone. */
const isRowSecurity = ({ routine, message }: DriverError): boolean =>
  routine === 'ExecWithCheckOptions' || message.startsWith('new row violates row-level security policy')

/** The constraint and the table of the error are those of the referring row, whichever of the two rows was written. */
function brokenReference(error: DriverError, lookup: FactsLookup | undefined): TenantryError {
  const { resource, fields, refersTo } = factsOf(error, lookup)
  const [, referred, referring] = /^update or delete on table "([^"]+)".* on table "([^"]+)"/.exec(error.message) ?? []
  const isInUse = referring !== undefined || (refersTo !== undefined && namesBoth(error.message, resource, refersTo))
  if (!isInUse) return new BrokenReferenceError(resource, fields)
  return new BrokenReferenceError(refersTo ?? referred ?? resource, [], resource)
}

/** In any language, the message names one table when a row refers to nothing, and both when a row is still referred to. */
function namesBoth(message: string, referring: string, referred: string): boolean {
  if (message.startsWith('insert or update')) return false
  const words = message.match(/[\p{L}\p{N}_$]+/gu) ?? []
  return words.filter((word) => word === referring || word === referred).length > 1
}

function missingValue(error: DriverError, lookup: FactsLookup | undefined): TenantryError {
  const { fields } = factsOf(error, lookup)
  return invalid(fields, 'is required', 'a value that is required is missing')
}

const invalid = (fields: readonly string[], reason: string, unnamed = reason): InvalidInputError =>
  new InvalidInputError(
    fields.length === 0 ? [{ field: '', reason: unnamed }] : fields.map((field) => ({ field, reason })),
  )

function factsOf(error: DriverError, lookup: FactsLookup | undefined): TableFacts {
  const names = namesOf(error)
  const { table, column } = names
  return (
    lookup?.(names) ?? { resource: table ?? 'row', fields: column === undefined ? [] : [column], refersTo: undefined }
  )
}

/** Citus fills no field: the names are in the message only, with the number of a shard behind them. */
function namesOf(error: DriverError): DatabaseNames {
  const { schema, table, constraint, column } = error
  if (constraint !== undefined || column !== undefined) return { schema, table, constraint, column }
  const named = (kind: string): string | undefined =>
    new RegExp(`\\b${kind} "([^"]+)"`).exec(error.message)?.[1]?.replace(/_\d+$/, '')
  return {
    schema: undefined,
    table: named('(?:relation|table)'),
    constraint: named('constraint'),
    column: /\bcolumn "([^"]+)"/.exec(error.message)?.[1],
  }
}

/**
 * The error for a statement with the wrong number of values. The server answers with 08P01, as for other faults of the protocol; for
 * those this is undefined.
 */
export function wrongNumberOfValues(error: DriverError, { statement, values }: Call): DefinitionError | undefined {
  if (error.code !== '08P01' || error.routine !== 'exec_bind_message') return undefined
  const label = Object.hasOwn(statement, 'label') ? statement.label : undefined
  // In any language the message has two numbers: how many values were given, and how many the statement takes.
  const numbers = error.message.replace(statement.name, '').match(/\d+/g)?.map(Number) ?? []
  const taken = numbers.find((number) => number !== values.length)
  const fault = `takes ${taken ?? 'another number of'} ${taken === 1 ? 'value' : 'values'}, and ${values.length} were given`
  return new DefinitionError(
    label === undefined
      ? `the statement ${fault}`
      : `${label} ${fault}. The first is the organization's id, which the library adds`,
  )
}
