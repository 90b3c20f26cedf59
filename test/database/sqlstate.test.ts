import { inspect } from 'node:util'
import { expect, test } from 'vitest'
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
  TimeoutError,
  TransactionAbortedError,
  UnavailableError,
  UnsafeStatementError,
} from '../../src/core/errors.js'
import { statement } from '../../src/core/statement.js'
import {
  type DatabaseNames,
  type DriverError,
  isForeignBinding,
  isStaleStatement,
  refusal,
  wrongNumberOfValues,
} from '../../src/database/sqlstate.js'

const error = (code: string, fields: Partial<DriverError> = {}): DriverError =>
  Object.assign(new Error('the message'), { severity: 'ERROR', code, ...fields })

const facts = (names: DatabaseNames) => {
  const about = (field: string, refersTo?: string) => ({ resource: 'agents', fields: [field], refersTo })
  if (names.constraint === 'agents_username_key') return about('username')
  if (names.constraint === 'agents_project_fkey') return about('projectId', 'projects')
  if (names.constraint === 'agents_parent_fkey') return about('parentId', 'agents')
  if (names.constraint === 'agents_status_check') return about('status')
  if (names.table === 'agents' && names.column === 'project_id') return about('projectId')
  return undefined
}

test.each([
  ['TN001', NotFoundError],
  ['TN002', OrganizationSuspendedError],
  ['23505', ConflictError],
  ['23P01', ConflictError],
  ['23503', BrokenReferenceError],
  ['23001', BrokenReferenceError],
  ['23502', InvalidInputError],
  ['23514', InvalidInputError],
  ['22001', InvalidInputError],
  ['22003', InvalidInputError],
  ['22P02', InvalidInputError],
  ['22021', InvalidInputError],
  ['54001', InvalidInputError],
  ['40001', RetryableError],
  ['40P01', RetryableError],
  ['40003', CommitUnknownError],
  ['57014', TimeoutError],
  ['55P03', TimeoutError],
  ['25P03', TimeoutError],
  ['25P04', TimeoutError],
  ['25P02', TransactionAbortedError],
  ['25006', UnsafeStatementError],
  ['53100', ResourceExhaustedError],
  ['53200', ResourceExhaustedError],
  ['53300', ResourceExhaustedError],
  ['57P01', UnavailableError],
  ['57P02', UnavailableError],
  ['57P03', UnavailableError],
  ['08006', UnavailableError],
  ['28P01', UnavailableError],
  ['3D000', UnavailableError],
  ['42501', QueryError],
  ['42P01', QueryError],
  ['XX000', QueryError],
])('%s is %o', (code, expected) => {
  expect(refusal(error(code))).toBeInstanceOf(expected)
})

test('an internal error is one of the input where Postgres cannot make so large a value', () => {
  const message = 'invalid memory alloc request size 1073741824'
  expect(refusal(error('XX000', { message }))).toBeInstanceOf(InvalidInputError)
  expect(refusal(error('XX000', { message: 'cache lookup failed for type 1' }))).toBeInstanceOf(QueryError)
})

test('an internal error of a cluster is that a worker has gone', () => {
  const message = 'failure on connection marked as essential: 10.0.0.3:5432'
  expect(refusal(error('XX000', { message }))).toBeInstanceOf(UnavailableError)
})

test('the same code is a wall that held when row security says so', () => {
  expect(refusal(error('42501', { routine: 'ExecWithCheckOptions' }))).toBeInstanceOf(IsolationError)
  const message = 'new row violates row-level security policy for table "agents_102046"'
  expect(refusal(error('42501', { message, routine: 'ReportResultError' }))).toBeInstanceOf(IsolationError)
  for (const message of ['no organization is bound', 'no user is bound']) {
    expect(refusal(error('42501', { message }))).toBeInstanceOf(IsolationError)
    expect(isForeignBinding(error('42501', { message }))).toBe(false)
  }
  for (const message of [
    'another organization is bound',
    'another user is bound',
    'a user is bound',
    'an organization is bound',
  ]) {
    expect(refusal(error('42501', { message }))).toBeInstanceOf(IsolationError)
    expect(isForeignBinding(error('42501', { message }))).toBe(true)
  }
})

test('a constraint is reported by the resource and fields that the caller uses', () => {
  const conflict = refusal(error('23505', { table: 'agents', constraint: 'agents_username_key' }), facts)
  expect(conflict).toMatchObject({ resource: 'agents', fields: ['username'] })
  const reference = refusal(error('23503', { table: 'agents', constraint: 'agents_project_fkey' }), facts)
  expect(reference).toMatchObject({ resource: 'agents', fields: ['projectId'] })
  const check = refusal(error('23514', { table: 'agents', constraint: 'agents_status_check' }), facts)
  expect(check).toMatchObject({ faults: [{ field: 'status', reason: 'is not allowed' }] })
  const missing = refusal(error('23502', { table: 'agents', column: 'project_id' }), facts)
  expect(missing).toMatchObject({ faults: [{ field: 'projectId', reason: 'is required' }] })
})

test('an unknown constraint is told by its table, and one without a table too', () => {
  expect(refusal(error('23505', { table: 'notes', constraint: 'notes_key' }), facts)).toMatchObject({
    resource: 'notes',
    fields: [],
  })
  expect(refusal(error('23505'))).toMatchObject({ resource: 'row', fields: [] })
})

test.each([
  ['23505', 'duplicate key value violates unique constraint "agents_username_key_102046"', 'username'],
  [
    '23503',
    'insert or update on table "agents_102046" violates foreign key constraint "agents_project_fkey_102046"',
    'projectId',
  ],
  ['23514', 'new row for relation "agents_102046" violates check constraint "agents_status_check_102046"', 'status'],
  ['23502', 'null value in column "project_id" of relation "agents_102046" violates not-null constraint', 'projectId'],
])('Citus names shards, and only in the message: %s', (code, message, field) => {
  const told = refusal(error(code, { message }), facts)
  const fields =
    told instanceof InvalidInputError
      ? told.faults.map((fault) => fault.field)
      : (told as { fields?: readonly string[] }).fields
  expect(fields).toEqual([field])
})

test.each([
  [
    '23503',
    'update or delete on table "projects" violates foreign key constraint "agents_project_fkey" on table "agents"',
  ],
  [
    '23001',
    'update or delete on table "projects" violates RESTRICT setting of foreign key constraint "agents_project_fkey" on table "agents"',
  ],
  [
    '23503',
    'Aktualisieren oder Löschen in Tabelle »projects« verletzt Fremdschlüssel-Constraint »agents_project_fkey« von Tabelle »agents«',
  ],
])('a parent that is in use names who refers to it: %s %s', (code, message) => {
  const told = refusal(error(code, { table: 'agents', constraint: 'agents_project_fkey', message }), facts)
  expect(told).toMatchObject({ resource: 'projects', fields: [], referredBy: 'agents' })
  const unknown = refusal(error(code, { table: 'agents', constraint: 'agents_project_fkey', message }))
  if (message.startsWith('update')) expect(unknown).toMatchObject({ resource: 'projects', referredBy: 'agents' })
})

test('a table that refers to itself is told apart by how often it is named', () => {
  const about = { table: 'agents', constraint: 'agents_parent_fkey' }
  const missing =
    'Einfügen oder Aktualisieren in Tabelle »agents« verletzt Fremdschlüssel-Constraint »agents_parent_fkey«'
  const inUse =
    'Aktualisieren oder Löschen in Tabelle »agents« verletzt Fremdschlüssel-Constraint »agents_parent_fkey« von Tabelle »agents«'
  expect(refusal(error('23503', { ...about, message: missing }), facts)).toMatchObject({ fields: ['parentId'] })
  expect(refusal(error('23503', { ...about, message: inUse }), facts)).toMatchObject({
    fields: [],
    referredBy: 'agents',
  })
})

test('another number of values is a fault of who wrote the statement, and 08P01 of a pooler is not', () => {
  const call = { statement: { ...statement('select $1'), label: 'Notes: the statement newest' }, values: [1, 2] }
  const message = `bind message supplies 2 parameters, but prepared statement "${call.statement.name}" requires 1`
  const bind = error('08P01', { routine: 'exec_bind_message', message })
  expect(wrongNumberOfValues(bind, call)?.message).toMatch(
    /^Notes: the statement newest takes 1 value, and 2 were given/,
  )
  expect(wrongNumberOfValues(error('08P01', { message: 'query_wait_timeout' }), call)).toBeUndefined()
  expect(refusal(error('08P01', { message: 'query_wait_timeout' }))).toBeInstanceOf(UnavailableError)
})

test('what is said of a constraint that names no field reads as a sentence', () => {
  expect(refusal(error('23502')).message).toBe('a value that is required is missing')
  expect(refusal(error('23514')).message).toBe('a value is not allowed')
})

test('a stale statement is distinguished from a missing feature', () => {
  expect(isStaleStatement(error('26000'))).toBe(true)
  expect(isStaleStatement(error('0A000', { routine: 'RevalidateCachedQuery' }))).toBe(true)
  expect(isStaleStatement(error('0A000', { routine: 'transformSelectStmt' }))).toBe(false)
  expect(isStaleStatement(error('XX000', { message: 'cache lookup failed for type 16400' }))).toBe(true)
  expect(isStaleStatement(error('XX000', { message: 'cache lookup failed for relation 16400' }))).toBe(false)
})

test('nothing of the driver’s error survives, whatever it holds', () => {
  const secret = 'hunter2'
  for (const code of [
    '23505',
    '23503',
    '23502',
    '23514',
    '22P02',
    '42501',
    '42P01',
    '57014',
    'XX000',
    '40001',
    'TN001',
  ]) {
    const full = error(code, {
      message: `duplicate ${secret}`,
      ...{
        detail: secret,
        hint: secret,
        where: secret,
        internalQuery: secret,
        stack: secret,
        query: secret,
        params: [secret],
      },
    })
    const told = refusal(full, facts)
    expect(inspect(told, { depth: null, showHidden: true }) + JSON.stringify(told)).not.toContain(secret)
  }
})
