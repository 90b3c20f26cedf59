import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { validator } from 'hono/validator'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  InvalidInputError,
  NotFoundError,
  PlanLimitError,
  QueryError,
  UnavailableError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { authenticated, problems, type ProblemsOptions } from '../../src/hono.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
afterEach(() => {
  vi.restoreAllMocks()
})

/** What is answered to a handler that throws, and what the host is told. */
async function answerTo(thrown: Error, options?: ProblemsOptions) {
  const told: unknown[] = []
  const app = new Hono().get('/', () => {
    throw thrown
  })
  app.onError(problems({ onUnexpected: (error, problem, c) => told.push(error, problem, c.req.path), ...options }))
  const response = await app.request('/', { headers: { 'x-request-id': 'abc-1' } })
  return { response, told, text: await response.text() }
}

describe('an error of this library', () => {
  test('is a problem with the id of the request', async () => {
    const { response, text, told } = await answerTo(new PlanLimitError('max_members', 5, 5))
    expect(response.status).toBe(402)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(JSON.parse(text)).toEqual({
      type: 'about:blank',
      title: 'Payment Required',
      status: 402,
      detail: 'max_members: the plan allows 5, and 5 are in use; remove some, or change the plan',
      instance: 'abc-1',
      code: 'plan_limit',
      limitName: 'max_members',
      limit: 5,
      current: 5,
    })
    expect(told).toEqual([])
  })

  test('has the host’s own url as its type', async () => {
    const { text } = await answerTo(new NotFoundError('agents'), { types: 'https://acme.example/' })
    expect(JSON.parse(text)).toMatchObject({ type: 'https://acme.example/not_found' })
  })

  test.each([new QueryError(), new UnavailableError('db.internal cannot be reached')])(
    'from status 500 on goes to the host: %s',
    async (error) => {
      const { response, text, told } = await answerTo(error)
      expect(response.status).toBe(error.status)
      expect(text).not.toContain('reached')
      expect(told).toEqual([error, JSON.parse(text), '/'])
    },
  )
})

describe('an error of anybody else', () => {
  test('is a 500 without its message, and goes to the host', async () => {
    const error = new Error('password=secret')
    const { response, text, told } = await answerTo(error)
    expect(response.status).toBe(500)
    expect(JSON.parse(text)).toEqual({
      type: 'about:blank',
      title: 'Internal Server Error',
      status: 500,
      instance: 'abc-1',
      code: 'internal',
    })
    expect(told).toEqual([error, JSON.parse(text), '/'])
  })

  test('is printed where the host says nothing else', async () => {
    const printed = vi.spyOn(console, 'error').mockReturnValue(undefined)
    const error = new Error('unforeseen')
    await answerTo(error, { onUnexpected: undefined })
    expect(printed.mock.calls).toEqual([[error]])
    await answerTo(new NotFoundError('agents'), { onUnexpected: undefined })
    expect(printed).toHaveBeenCalledTimes(1)
  })
})

test('an exception of Hono keeps its own response', async () => {
  const own = new Response('teapot', { status: 418, headers: { 'x-own': 'yes' } })
  const { response, text, told } = await answerTo(new HTTPException(418, { res: own, cause: new Error() }))
  expect([response.status, text, response.headers.get('x-own')]).toEqual([418, 'teapot', 'yes'])
  const plain = await answerTo(new HTTPException(409, { message: 'taken' }))
  expect([plain.response.status, plain.text]).toEqual([409, 'taken'])
  expect([...told, ...plain.told]).toEqual([])

  const app = new Hono().post(
    '/',
    validator('json', (body: object) => body),
    (c) => c.json({}),
  )
  app.onError(problems())
  const init = { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } }
  expect((await app.request('/', init)).status).toBe(400)
})

test('headers that were set before are kept', async () => {
  const app = new Hono().use(async (c, next) => {
    c.header('access-control-allow-origin', '*')
    await next()
  })
  app.get('/', () => {
    throw new NotFoundError('agents')
  })
  app.onError(problems())
  const { headers } = await app.request('/')
  expect(headers.get('access-control-allow-origin')).toBe('*')
  expect(headers.get('content-type')).toBe('application/problem+json')
})

test('a call that ends with the request is cancelled, and told to nobody', async () => {
  const team = await teams.newTeam()
  const { token } = await team.org.apiKeys.create({ userId: team.owner.userId, name: newId(), scopes: ['agents:read'] })
  const told: unknown[] = []
  const leaving = new AbortController()
  const app = new Hono()
    .use(authenticated(teams.tenancy))
    .get('/leave', async (c) => {
      leaving.abort()
      return c.json(await c.var.org.agents.list())
    })
    .get('/fail', () => {
      throw new QueryError()
    })
  app.onError(problems({ onUnexpected: (error) => told.push(error) }))
  const request = (path: string) =>
    new Request(`http://localhost${path}`, { headers: { authorization: `Bearer ${token}` }, signal: leaving.signal })
  const [during, fault] = [
    request('/leave'),
    new Request('http://localhost/fail', { headers: { authorization: `Bearer ${token}` } }),
  ]
  const response = await app.request(during)
  expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([504, 'timeout'])
  const before = await app.request(request('/leave'))
  expect(before.status).toBe(504)
  expect(told).toEqual([])
  await app.request(fault)
  expect(told).toHaveLength(1)
})

test('a misspelt option is refused', () => {
  expect(() => problems({ onUnexpeted: () => undefined } as never)).toThrow(InvalidInputError)
})
