import { expect, test } from 'vitest'
import * as errors from '../../src/core/errors.js'
import { problemOf } from '../../src/http/problem.js'

const { ForbiddenError, InvalidInputError, NotFoundError, PlanLimitError, RateLimitedError, RetryableError } = errors

test('an error of this library is told with its code, status and message', () => {
  expect(problemOf(new NotFoundError('agents'), { instance: 'abc' })).toEqual({
    status: 404,
    headers: { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store' },
    body: {
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'agents: not found',
      instance: 'abc',
      code: 'not_found',
    },
  })
  const { body } = problemOf(new NotFoundError('agents'), { types: 'https://acme.example/problems/' })
  expect(body.type).toBe('https://acme.example/problems/not_found')
  expect(body).not.toHaveProperty('instance')
})

test('refused input names its fields', () => {
  const [name, age] = [
    { field: 'name', reason: 'is missing' },
    { field: 'age', reason: 'is no number' },
  ]
  expect(problemOf(new InvalidInputError([name])).body).toMatchObject({ field: 'name', faults: [name] })
  const both = problemOf(new InvalidInputError([name, age])).body
  expect(both.faults).toEqual([name, age])
  const [nameless, none] = [
    problemOf(new InvalidInputError('', 'must be an object')).body,
    problemOf(new InvalidInputError([])).body,
  ]
  for (const body of [both, nameless, none]) expect(body).not.toHaveProperty('field')
})

test('limits tell their numbers, and a 401 how to authenticate', () => {
  expect(problemOf(new PlanLimitError('max_members', 5, 5))).toMatchObject({
    status: 402,
    body: { code: 'plan_limit', limitName: 'max_members', limit: 5, current: 5 },
  })
  expect(problemOf(new errors.InsufficientCreditError('EUR', '5.00', '1.20'))).toMatchObject({
    status: 402,
    body: { code: 'insufficient_credit', currency: 'EUR', needed: '5.00', available: '1.20' },
  })
  expect(problemOf(new ForbiddenError('agents:write')).body).toMatchObject({ status: 403, permission: 'agents:write' })
  expect(problemOf(new ForbiddenError(undefined, 'not here')).body).not.toHaveProperty('permission')
  expect(problemOf(new RateLimitedError(90, 10))).toMatchObject({
    status: 429,
    headers: {
      'Retry-After': '90',
      'RateLimit-Limit': '10',
      'RateLimit-Remaining': '0',
      'RateLimit-Reset': '90',
    },
    body: { retryAfter: 90 },
  })
  expect(problemOf(new RateLimitedError(90)).headers).not.toHaveProperty('RateLimit-Limit')
  expect(problemOf(new RetryableError('deadlock'))).toMatchObject({
    status: 503,
    headers: { 'Retry-After': '1' },
    body: { retryAfter: 1 },
  })
  expect(problemOf(new errors.CommitUnknownError()).headers).not.toHaveProperty('Retry-After')
  expect(problemOf(new errors.UnauthorizedError()).headers['WWW-Authenticate']).toBe('Bearer')
  expect(problemOf(new NotFoundError('agents')).headers).not.toHaveProperty('WWW-Authenticate')
})

const inside = 'postgres://app:secret@10.0.0.7/app'
const unexpected = [
  new Error(inside),
  new TypeError(inside),
  inside,
  undefined,
  null,
  { code: 'not_found', status: 404, message: inside, toJSON: () => ({ code: inside, message: inside }) },
  new errors.UnavailableError(inside),
  new errors.PoolTimeoutError(inside),
  new errors.IsolationError(inside),
  new errors.DefinitionError(inside),
  new errors.UnsafeRoleError([{ fault: inside, detail: inside, mend: inside }]),
  new errors.TimeoutError(inside),
]

test.each(unexpected)('what happened inside is told to the host alone: %o', (error) => {
  const told: unknown[] = []
  const { status, headers, body } = problemOf(error, {
    instance: 'abc',
    onUnexpected: (...given) => told.push(...given),
  })
  expect(status).toBeGreaterThanOrEqual(500)
  expect(JSON.stringify([headers, body])).not.toContain('secret')
  expect(body).not.toHaveProperty('detail')
  expect(told).toEqual([error, body])
  if (!(error instanceof errors.TenantryError)) expect(body).toMatchObject({ status: 500, code: 'internal' })
})

test('an expected error is not told to the host', () => {
  const told: unknown[] = []
  problemOf(new NotFoundError('agents'), { onUnexpected: (error) => told.push(error) })
  expect(told).toEqual([])
})

test('a misspelt option is refused', () => {
  expect(() => problemOf(new Error(), { onUnexpeted: () => undefined } as never)).toThrow(InvalidInputError)
})
