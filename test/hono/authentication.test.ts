import { Hono } from 'hono'
import { requestId } from 'hono/request-id'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Scope } from '../../src/core/scope.js'
import { anyone, authenticated, type AuthenticationOptions, problems, signedIn } from '../../src/hono.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { keys, newKey, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const queries: string[] = []
let tenancy: Tenancy
beforeAll(async () => {
  tenancy = await openTenancy({
    url: teams.database.appUrl,
    keys,
    pool: { max: 4 },
    onQuery: ({ statements }) => queries.push(...statements.map(({ text }) => text)),
  })
})
afterAll(() => tenancy.close({ drain: 0 }))
beforeEach(() => {
  queries.length = 0
})

/** What a repository of the host sees of its scope. */
class Seen {
  constructor(readonly scope: Scope) {}
}

function appOf(options?: AuthenticationOptions) {
  const app = new Hono()
    .get('/agents', authenticated(tenancy, options), async (c) => c.json(await c.var.org.agents.list()))
    .post('/agents', authenticated(tenancy, options), async (c) =>
      c.json(await c.var.org.agents.create({ name: 'Ada', username: newId() }), 201),
    )
    .get('/org', authenticated(tenancy, options), (c) => {
      const { org, actor, user, session, requestId } = c.var
      return c.json({ org: org.id, actor: actor.kind, user: user?.id, session: session?.id, requestId })
    })
    .get('/origin', authenticated(tenancy, options), (c) => {
      const { request, signal } = c.var.org.repository(Seen).scope.context
      return c.json({ request, hasSignal: signal === c.req.raw.signal, requestId: c.var.requestId })
    })
    .get('/me', signedIn(tenancy, options), (c) =>
      c.json({ user: c.var.user.id, session: c.var.session.id, org: c.var.org?.id ?? null }),
    )
    .get('/public', anyone(tenancy, options), (c) =>
      c.json({ org: c.var.org?.id ?? null, user: c.var.user?.id ?? null }),
    )
  app.onError(problems())
  return app
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
const cookie = (token: string) => ({ headers: { cookie: `theme=dark; session=${token}` } })
const inCookie = { cookie: 'session' }

async function newSession(team: Team, { role = 'developer', isActive = true } = {}) {
  const { userId, memberId } = await team.join(role)
  return {
    userId,
    memberId,
    ...(await tenancy.forUser(userId).sessions.start({ activeOrg: isActive ? team.id : undefined })),
  }
}

async function expectProblem(response: Response | Promise<Response>, status: number, code: string) {
  const answered = await response
  const body = (await answered.json()) as Record<string, unknown>
  expect(body).toMatchObject({ status, code, type: 'about:blank' })
  expect(answered.status).toBe(status)
  expect(answered.headers.get('content-type')).toBe('application/problem+json')
  return { body, headers: answered.headers }
}

describe('an API key', () => {
  test('opens its organization, with the key as the actor', async () => {
    const team = await teams.newTeam()
    const { token } = await newKey(team)
    const agent = await team.org.agents.create({ name: 'Ada', username: 'ada' })
    const response = await appOf().request('/agents', bearer(token))
    expect(response.status).toBe(200)
    expect(((await response.json()) as { items: unknown[] }).items).toMatchObject([{ id: agent.id }])
    const seen = await (await appOf().request('/org', bearer(token))).json()
    expect(seen).toEqual({
      org: team.id,
      actor: 'api_key',
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    })
  })

  test('of another organization sees nothing of this one', async () => {
    const [team, other] = [await teams.newTeam(), await teams.newTeam()]
    await team.org.agents.create({ name: 'Ada', username: 'ada' })
    const { token } = await newKey(other)
    const response = await appOf().request('/agents', bearer(token))
    expect(((await response.json()) as { items: unknown[] }).items).toEqual([])
  })

  test('that is revoked is refused', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team)
    await team.org.apiKeys.revoke(apiKey.id)
    const { headers } = await expectProblem(appOf().request('/agents', bearer(token)), 401, 'unauthorized')
    expect(headers.get('www-authenticate')).toBe('Bearer')
    await expectProblem(appOf().request('/public', bearer(token)), 401, 'unauthorized')
  })

  test('without the permission is forbidden, and writes nothing', async () => {
    const team = await teams.newTeam()
    const { token } = await newKey(team, { role: 'read_only' })
    const { body } = await expectProblem(
      appOf().request('/agents', { ...bearer(token), method: 'POST' }),
      403,
      'forbidden',
    )
    expect(body.detail).toBe('this needs the permission agents:write')
    expect(await team.org.agents.count()).toBe(0)
  })

  test('is no person', async () => {
    const { token } = await newKey(await teams.newTeam())
    queries.length = 0
    await expectProblem(appOf().request('/me', bearer(token)), 401, 'unauthorized')
    expect(queries).toEqual([])
  })

  test('with a limit is told what is left, and after it when to come again', async () => {
    const { token } = await newKey(await teams.newTeam(), { rateLimitPerHour: 2 })
    const limits = ({ headers }: { headers: Headers }) =>
      ['limit', 'remaining', 'reset'].map((name) => Number(headers.get(`ratelimit-${name}`) ?? NaN))
    const [limit, remaining, reset = 0] = limits(await appOf().request('/agents', bearer(token)))
    expect([limit, remaining]).toEqual([2, 1])
    expect(reset > 0 && reset <= 3600).toBe(true)
    expect(limits(await appOf().request('/agents', bearer(token))).slice(0, 2)).toEqual([2, 0])
    const refused = await expectProblem(appOf().request('/agents', bearer(token)), 429, 'rate_limited')
    const [atLimit, left, again] = limits(refused)
    expect([atLimit, left]).toEqual([2, 0])
    expect(refused.headers.get('retry-after')).toBe(String(again))
    expect(refused.body.retryAfter).toBe(again)
  })

  test('with a limit is told what is left with an error too, and with an answer that the handler made itself', async () => {
    const { token } = await newKey(await teams.newTeam(), { rateLimitPerHour: 9 })
    const app = new Hono()
      .use(authenticated(tenancy))
      .get('/missing', async (c) => c.json(await c.var.org.agents.get(newId())))
      .get('/own', () => new Response('own'))
    app.onError(problems())
    expect((await app.request('/missing', bearer(token))).headers.get('ratelimit-remaining')).toBe('8')
    expect((await app.request('/own', bearer(token))).headers.get('ratelimit-remaining')).toBe('7')
  })

  test('without a limit is told of none', async () => {
    const { token } = await newKey(await teams.newTeam())
    const { headers } = await appOf().request('/agents', bearer(token))
    expect([...headers.keys()].filter((name) => name.startsWith('ratelimit'))).toEqual([])
  })
})

describe('a session', () => {
  test('comes in the header, or in the cookie that the host names', async () => {
    const team = await teams.newTeam()
    const { token, userId, session } = await newSession(team)
    const seen = { org: team.id, actor: 'user', user: userId, session: session.id }
    for (const [app, init] of [
      [appOf(), bearer(token)],
      [appOf(inCookie), bearer(token)],
      [appOf(inCookie), cookie(token)],
    ] as const) {
      expect(await (await app.request('/org', init)).json()).toMatchObject(seen)
    }
    await expectProblem(appOf().request('/org', cookie(token)), 401, 'unauthorized')
    await expectProblem(appOf({ cookie: 'theme' }).request('/org', cookie(token)), 401, 'unauthorized')
  })

  test('without an active organization is told so, where one is needed', async () => {
    const team = await teams.newTeam()
    const { token, userId, session } = await newSession(team, { isActive: false })
    await expectProblem(appOf().request('/agents', bearer(token)), 403, 'no_active_organization')
    const me = await (await appOf().request('/me', bearer(token))).json()
    expect(me).toEqual({ user: userId, session: session.id, org: null })
    expect(await (await appOf().request('/public', bearer(token))).json()).toEqual({ org: null, user: userId })

    await tenancy.forUser(userId).sessions.activate(session.id, team.id)
    expect(await (await appOf().request('/me', bearer(token))).json()).toMatchObject({ org: team.id })
    await teams.system().organizations.suspend(team.id, 'unpaid')
    await expectProblem(appOf().request('/agents', bearer(token)), 403, 'no_active_organization')
  })

  test('of a member without the permission is forbidden', async () => {
    const { token } = await newSession(await teams.newTeam(), { role: 'customer' })
    await expectProblem(appOf(inCookie).request('/agents', { ...cookie(token), method: 'POST' }), 403, 'forbidden')
  })

  test('that has ended is refused; for a public route its cookie counts as none', async () => {
    const { token, userId, session } = await newSession(await teams.newTeam())
    await tenancy.forUser(userId).sessions.revoke(session.id)
    await expectProblem(appOf(inCookie).request('/agents', cookie(token)), 401, 'unauthorized')
    await expectProblem(appOf(inCookie).request('/me', cookie(token)), 401, 'unauthorized')
    expect(await (await appOf(inCookie).request('/public', cookie(token))).json()).toEqual({ org: null, user: null })
    await expectProblem(appOf(inCookie).request('/public', bearer(token)), 401, 'unauthorized')
  })

  test('is not opened by the token that refreshes', async () => {
    const { refreshToken } = await newSession(await teams.newTeam())
    queries.length = 0
    await expectProblem(appOf().request('/me', bearer(refreshToken)), 401, 'unauthorized')
    await expectProblem(appOf().request('/org', bearer(refreshToken)), 401, 'unauthorized')
    expect(queries).toEqual([])
  })
})

describe('a request without credentials', () => {
  test('is refused, but for public routes', async () => {
    for (const path of ['/agents', '/me']) await expectProblem(appOf().request(path), 401, 'unauthorized')
    expect(await (await appOf().request('/public')).json()).toEqual({ org: null, user: null })
    const basic = { headers: { authorization: 'Basic YTpi' } }
    expect((await appOf().request('/public', basic)).status).toBe(200)
    expect(queries).toEqual([])
  })
})

describe('what is sent', () => {
  test('is one statement for a key and for a session', async () => {
    const team = await teams.newTeam()
    for (const { token } of [await newKey(team), await newSession(team)]) {
      queries.length = 0
      expect((await appOf().request('/org', bearer(token))).status).toBe(200)
      expect(queries).toHaveLength(1)
    }
  })

  test('is nothing for malformed text', async () => {
    const team = await teams.newTeam()
    const tokens = [(await newKey(team)).token, (await newSession(team)).token]
    queries.length = 0
    const malformed = tokens.flatMap((token) => [
      token.slice(0, -1),
      `${token}0`,
      `${token} ${token}`,
      token.replace('live', 'test'),
      token.toUpperCase(),
      `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`,
    ])
    for (const one of ['', 'tk_live_', 'tks_live_', 'x'.repeat(5000), ...malformed]) {
      for (const path of ['/agents', '/me', '/public']) {
        await expectProblem(appOf().request(path, bearer(one)), 401, 'unauthorized')
      }
      await expectProblem(appOf(inCookie).request('/agents', cookie(one)), 401, 'unauthorized')
    }
    expect(queries).toEqual([])
  })

  test('is no second query, and no second use, where several of them stand in a row', async () => {
    const team = await teams.newTeam()
    const app = new Hono()
      .use(anyone(tenancy))
      .get('/org', authenticated(tenancy), (c) => c.json({ org: c.var.org.id }))
      .get('/me', signedIn(tenancy), authenticated(tenancy), (c) => c.json({ org: c.var.org.id, user: c.var.user.id }))
    app.onError(problems())
    const { token } = await newKey(team, { rateLimitPerHour: 5 })
    const session = await newSession(team)
    queries.length = 0
    const response = await app.request('/org', bearer(token))
    expect(await response.json()).toEqual({ org: team.id })
    expect(response.headers.get('ratelimit-remaining')).toBe('4')
    const me = await app.request('/me', bearer(session.token))
    expect(await me.json()).toEqual({ org: team.id, user: session.userId })
    expect(queries).toHaveLength(2)
    await expectProblem(app.request('/me', bearer(token)), 401, 'unauthorized')
    await expectProblem(app.request('/org'), 401, 'unauthorized')
  })

  test('of another tenancy or another token is not taken from the one before', async () => {
    const team = await teams.newTeam()
    const [key, session] = [await newKey(team), await newSession(await teams.newTeam())]
    const app = new Hono()
      .use(anyone(teams.tenancy))
      .get('/', async (c, next) => {
        c.req.raw = new Request(c.req.raw, bearer(session.token))
        await next()
      })
      .get('/', authenticated(tenancy), (c) => c.json({ org: c.var.org.id, user: c.var.user?.id }))
    expect(await (await app.request('/', bearer(key.token))).json()).toMatchObject({ user: session.userId })
    expect(queries.length).toBeGreaterThan(0)
  })
})

describe('the origin of the request', () => {
  const headers = { 'user-agent': 'Firefox', 'x-forwarded-for': '192.0.2.66', 'x-request-id': 'abc-1' }

  test('arrives in the scope', async () => {
    const { token } = await newKey(await teams.newTeam())
    const origin = async (options?: AuthenticationOptions) =>
      (await appOf(options).request('/origin', { headers: { ...bearer(token).headers, ...headers } })).json()
    const request = { id: 'abc-1', userAgent: 'Firefox' }
    expect(await origin()).toEqual({ request, hasSignal: true, requestId: 'abc-1' })
    expect(await origin({ ip: () => '192.0.2.7' })).toMatchObject({ request: { ...request, ip: '192.0.2.7' } })
    const fromHeader = {
      ip: (c: { req: { header(name: string): string | undefined } }) => c.req.header('x-forwarded-for'),
    }
    expect(await origin(fromHeader)).toMatchObject({ request: { ip: '192.0.2.66' } })
  })

  test('is in the log of the person', async () => {
    const { token, userId, session } = await newSession(await teams.newTeam())
    const app = new Hono().use(signedIn(tenancy, { ip: () => '192.0.2.7' })).post('/sign-out', async (c) => {
      await c.var.user.sessions.revoke(c.var.session.id)
      return c.body(null, 204)
    })
    const init = { method: 'POST', headers: { ...bearer(token).headers, 'user-agent': 'Firefox' } }
    expect((await app.request('/sign-out', init)).status).toBe(204)
    const [last] = await teams.database.admin.query(
      `select host(ip_address) as ip, user_agent from platform.user_audit_logs
       where user_id = $1 and session_id = $2 order by id desc limit 1`,
      [userId, session.id],
    )
    expect(last).toEqual({ ip: '192.0.2.7', user_agent: 'Firefox' })
  })

  test('has the id of hono/request-id, which problems have too', async () => {
    const { token } = await newKey(await teams.newTeam())
    const app = new Hono()
      .use(requestId({ generator: () => 'made-by-hono' }))
      .use(authenticated(tenancy))
      .get('/id', (c) => c.json({ id: c.var.org.repository(Seen).scope.context.request?.id }))
    app.onError(problems())
    expect(await (await app.request('/id', bearer(token))).json()).toEqual({ id: 'made-by-hono' })
    const { body } = await expectProblem(app.request('/id'), 401, 'unauthorized')
    expect(body.instance).toBe('made-by-hono')
  })
})

test.each([[{ cookies: 'session' }], [{ cookie: 'a session' }], [{ ip: '192.0.2.7' }]])(
  'the options %o are refused where the middleware is made',
  (options) => {
    for (const middleware of [authenticated, signedIn, anyone]) {
      expect(() => middleware(tenancy, options as never)).toThrow(InvalidInputError)
    }
  },
)
