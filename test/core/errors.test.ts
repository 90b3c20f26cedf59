import { expect, test } from 'vitest'
import * as errors from '../../src/core/errors.js'

// A host compares with these, and stores them: none is ever changed or used for something else.
const codes: Readonly<Record<string, readonly [code: string, status: number]>> = {
  BrokenReferenceError: ['broken_reference', 409],
  CommitUnknownError: ['commit_unknown', 503],
  ConflictError: ['conflict', 409],
  DecryptError: ['decrypt', 500],
  DefinitionError: ['definition', 500],
  ForbiddenError: ['forbidden', 403],
  IdempotencyMismatchError: ['idempotency_mismatch', 422],
  InsufficientCreditError: ['insufficient_credit', 402],
  InvalidCursorError: ['invalid_cursor', 400],
  InvalidInputError: ['invalid_input', 400],
  InvalidOrgIdError: ['invalid_org_id', 400],
  IsolationError: ['isolation', 500],
  MigrationError: ['migration', 500],
  NoActiveOrganizationError: ['no_active_organization', 403],
  NotFoundError: ['not_found', 404],
  OrganizationSuspendedError: ['organization_suspended', 403],
  PlanLimitError: ['plan_limit', 402],
  PoolTimeoutError: ['pool_timeout', 503],
  QueryError: ['query', 500],
  RateLimitedError: ['rate_limited', 429],
  ResourceExhaustedError: ['resource_exhausted', 503],
  RetryableError: ['retryable', 503],
  ScopeClosedError: ['scope_closed', 500],
  TimeoutError: ['timeout', 504],
  TransactionAbortedError: ['transaction_aborted', 500],
  UnauthorizedError: ['unauthorized', 401],
  UnavailableError: ['unavailable', 503],
  UnsafeRoleError: ['unsafe_role', 500],
  UnsafeStatementError: ['unsafe_statement', 500],
  VersionConflictError: ['version_conflict', 409],
}

test('each error has its code and status, and one base class', () => {
  const classes = Object.entries(errors as unknown as Record<string, typeof errors.ConflictError>).filter(
    ([name, one]) => typeof one === 'function' && name !== 'TenantryError',
  )
  const found = classes.map(([name, Class]) => {
    const error = new Class([] as never, [])
    expect(error, name).toBeInstanceOf(errors.TenantryError)
    expect(error.name).toBe(name)
    return [name, [error.code, error.status]]
  })
  expect(Object.fromEntries(found)).toEqual(codes)
})

test('what leaves the process of an error is its code and its message', () => {
  const error = new errors.NotFoundError('agents')
  expect(JSON.parse(JSON.stringify(error))).toEqual({ code: 'not_found', message: 'agents: not found' })
})
