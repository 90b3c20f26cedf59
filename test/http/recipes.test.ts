import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { compileFunction } from 'node:vm'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeBlocks } from '../../scripts/code-blocks.js'
import { aborted } from '../../src/core/abort.js'
import { newId } from '../../src/core/ids.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { keys, newKey, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const document = join(import.meta.dirname, '../../docs/requests.md')
const blocks = codeBlocks('docs/requests.md', readFileSync(document, 'utf8'))
const logged: object[] = []
const closing: (() => unknown)[] = []
afterAll(() => Promise.all(closing.map((close) => close())))

const modules: Readonly<Record<string, () => Promise<object>>> = {
  hono: () => import('hono'),
  'hono/cookie': () => import('hono/cookie'),
  'hono/csrf': () => import('hono/csrf'),
  'hono/validator': () => import('hono/validator'),
  express: () => import('express'),
  fastify: () => import('fastify'),
  tenantry: () => import('../../src/index.js'),
  'tenantry/hono': () => import('../../src/hono.js'),
  zod: () => import('zod'),
}

/** Runs the block of the document that has this line, and gives what it exports. */
async function recipe(
  line: string,
  tenancy: Tenancy,
  edit = (text: string) => text,
): Promise<Readonly<Record<string, unknown>>> {
  const block = blocks.find(({ text }) => text.includes(line))
  const { outputText } = ts.transpileModule(edit(block?.text ?? ''), {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 },
  })
  const loaded = new Map<string, object>()
  for (const [name, load] of Object.entries(modules)) loaded.set(name, { __esModule: true, ...(await load()) })
  const exported = {}
  const log = { error: (what: object) => logged.push(what) }
  const checkPassword = (email: string, password: string) =>
    password === 'right' ? tenancy.users.findIdByEmail(email) : undefined
  const names = ['require', 'exports', 'tenancy', 'log', 'checkPassword']
  const run = compileFunction(outputText, names) as (...values: unknown[]) => void
  run((name: string) => loaded.get(name), exported, tenancy, log, checkPassword)
  return exported
}

/** Answers a request to `/agents`. */
type Serve = (init: RequestInit) => Promise<Response>

type Fetch = (request: Request) => Promise<Response>
const url = 'http://localhost/agents'

async function hono(tenancy: Tenancy): Promise<Serve> {
  const { app } = await recipe("from 'tenantry/hono'", tenancy)
  return (init) => (app as { fetch: Fetch }).fetch(new Request(url, init))
}

async function express(tenancy: Tenancy): Promise<Serve> {
  const { app } = await recipe("from 'express'", tenancy)
  const server = createServer(app as RequestListener)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  closing.push(() => server.close())
  const { port } = server.address() as AddressInfo
  return (init) => fetch(`http://127.0.0.1:${port}/agents`, init)
}

async function fastify(tenancy: Tenancy): Promise<Serve> {
  const { app } = await recipe("from 'fastify'", tenancy)
  const served = app as { listen(options: { port: number }): Promise<string>; close(): Promise<void> }
  const at = await served.listen({ port: 0 })
  closing.push(() => served.close())
  return (init) => fetch(`${at}/agents`, init)
}

/** The Next recipe with this handler for GET in place of its own. */
async function nextAnswering(handler: string): Promise<Serve> {
  const own = 'withOrg(async (org) => Response.json(await org.agents.list()))'
  const { GET } = await recipe('export const GET', teams.tenancy, (text) => {
    expect(text).toContain(own)
    return text.replace(own, `withOrg(${handler})`)
  })
  return (init) => (GET as Fetch)(new Request(url, init))
}

async function next(tenancy: Tenancy): Promise<Serve> {
  const handlers = (await recipe('export const GET', tenancy)) as Record<string, Fetch>
  return async (init) => (await handlers[init.method ?? 'GET']?.(new Request(url, init))) ?? Response.error()
}

const bearer = ({ token }: { token: string }) => ({ authorization: `Bearer ${token}` })
const json = { 'content-type': 'application/json' }

async function problem(response: Promise<Response>) {
  const answered = await response
  expect(answered.headers.get('content-type')).toMatch(/^application\/problem\+json/)
  const body = (await answered.json()) as Record<string, unknown>
  expect(body.status).toBe(answered.status)
  return { body, headers: answered.headers }
}

describe.each([
  ['Hono', hono],
  ['Express', express],
  ['Fastify', fastify],
  ['Next', next],
])('the recipe for %s', (_, open) => {
  let serve: Serve
  beforeAll(async () => {
    serve = await open(teams.tenancy)
  })

  test('serves the organization of the key, and no other', async () => {
    const [team, other] = [await teams.newTeam(), await teams.newTeam()]
    const [key, foreign] = [await newKey(team), await newKey(other)]
    const body = JSON.stringify({ name: 'Ada', username: 'ada' })
    const created = await serve({ method: 'POST', headers: { ...bearer(key), ...json }, body })
    expect(created.status).toBe(201)
    const agent = (await created.json()) as { id: string; orgId: string }
    expect(agent.orgId).toBe(team.id)
    const listed = async (key: { token: string }) =>
      ((await (await serve({ headers: bearer(key) })).json()) as { items: unknown[] }).items
    expect(await listed(key)).toMatchObject([{ id: agent.id }])
    expect(await listed(foreign)).toEqual([])
  })

  test('refuses what is not allowed', async () => {
    const team = await teams.newTeam()
    const anonymous = await problem(serve({ headers: { 'x-request-id': 'abc-1' } }))
    expect(anonymous.body).toMatchObject({ status: 401, code: 'unauthorized', instance: 'abc-1' })
    expect(anonymous.headers.get('www-authenticate')).toBe('Bearer')
    const post = { method: 'POST', headers: { ...bearer(await newKey(team, { role: 'read_only' })), ...json } }
    const forbidden = await problem(serve({ ...post, body: JSON.stringify({ name: 'Ada', username: 'ada' }) }))
    expect(forbidden.body).toMatchObject({ status: 403, code: 'forbidden' })
  })

  test('tells which field is wrong, and takes a body that is no JSON for a mistake of the client', async () => {
    const told = logged.length
    const post = { method: 'POST', headers: { ...bearer(await newKey(await teams.newTeam())), ...json } }
    const body = JSON.stringify({ name: 'Ada', username: 'ada', orgId: newId() })
    expect((await problem(serve({ ...post, body }))).body).toMatchObject({ status: 400, field: 'orgId' })
    expect((await serve({ ...post, body: '{' })).status).toBe(400)
    expect(logged).toHaveLength(told)
  })

  test('tells the limit of a key', async () => {
    const headers = bearer(await newKey(await teams.newTeam(), { rateLimitPerHour: 1 }))
    expect((await serve({ headers })).headers.get('ratelimit-remaining')).toBe('0')
    const refused = await problem(serve({ headers }))
    expect(refused.body).toMatchObject({ status: 429, code: 'rate_limited' })
    expect(refused.headers.get('retry-after')).toBe(refused.headers.get('ratelimit-reset'))
  })

  test('takes a session in a cookie, which needs an active organization', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('developer')
    const { sessions } = teams.tenancy.forUser(userId)
    const { token, session } = await sessions.start()
    const headers = { cookie: `theme=dark; __Host-session=${token}` }
    expect((await problem(serve({ headers }))).body).toMatchObject({ status: 403, code: 'no_active_organization' })
    await sessions.activate(session.id, team.id)
    expect((await serve({ headers })).status).toBe(200)
  })

  test('tells the host what went wrong inside, and the client that something did', async () => {
    const closed = await openTenancy({
      url: teams.database.appUrl,
      keys,
    })
    await closed.close()
    const broken = await open(closed)
    const told = logged.length
    const { body } = await problem(broken({ headers: bearer(await newKey(await teams.newTeam())) }))
    expect(body.status).toBeGreaterThanOrEqual(500)
    expect(body).not.toHaveProperty('detail')
    expect(logged.slice(told)).toMatchObject([{ error: { code: body.code } }])
  })
})

describe('the application for people and keys', () => {
  let app: { request(path: string, init?: RequestInit): Promise<Response> }
  beforeAll(async () => {
    const { app: made } = await recipe("from 'hono/csrf'", teams.tenancy)
    app = made as typeof app
  })
  const signIn = (email: string, password: string) =>
    app.request('/session', { method: 'POST', headers: json, body: JSON.stringify({ email, password }) })
  /** The cookies of the answer, as a browser sends them to the path. */
  const cookiesOf = (response: Response, path: string) =>
    response.headers
      .getSetCookie()
      .filter((cookie) => path.startsWith(/Path=([^;]*)/.exec(cookie)?.[1] ?? '/'))
      .map((cookie) => cookie.split(';')[0])
      .join('; ')

  const origin = 'http://localhost'
  const browse = (path: string, cookie: string, method = 'GET') =>
    app.request(path, { method, headers: { cookie, ...(method !== 'GET' && { origin }) } })

  test('signs a person in, who chooses an organization, refreshes and signs out', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('developer')
    const { email } = await teams.tenancy.forUser(userId).profile.get()
    const first = await signIn(email, 'right')
    expect(first.status).toBe(204)
    const cookie = cookiesOf(first, '/me')
    expect(await (await browse('/me', cookie)).json()).toMatchObject({ id: userId })
    expect((await browse('/api/agents', cookie)).status).toBe(403)
    await browse(`/me/organizations/${team.id}/activate`, cookie, 'POST')
    expect((await browse('/api/agents', cookie)).status).toBe(200)

    const refreshed = await browse('/session/refresh', cookiesOf(first, '/session/refresh'), 'POST')
    const next = cookiesOf(refreshed, '/session')
    expect((await browse('/me', cookie)).status).toBe(401)
    const gone = await browse('/session', next, 'DELETE')
    expect([gone.status, gone.headers.getSetCookie().length]).toEqual([204, 2])
    expect((await browse('/me', next)).status).toBe(401)
  })

  test('refuses a wrong password, a body without one, a cookie that is none, and another origin', async () => {
    expect((await signIn('ada@acme.example', 'wrong')).status).toBe(401)
    expect((await app.request('/session', { method: 'POST', headers: json, body: '{}' })).status).toBe(400)
    expect((await browse('/session/refresh', '', 'POST')).status).toBe(401)
    const foreign = { origin: 'https://elsewhere.example' }
    expect((await app.request('/session/refresh', { method: 'POST', headers: foreign })).status).toBe(403)
  })

  test('serves a key under /api alone', async () => {
    const headers = bearer(await newKey(await teams.newTeam()))
    expect((await app.request('/api/agents', { headers })).status).toBe(200)
    expect((await app.request('/me', { headers })).status).toBe(401)
    expect((await app.request('/api/agents', { method: 'POST', headers })).status).toBe(404)
  })
})

describe('the recipe for Next', () => {
  const limited = async () => ({ headers: bearer(await newKey(await teams.newTeam(), { rateLimitPerHour: 5 })) })

  test('passes on a response that cannot be changed, with the limit of the key', async () => {
    const serve = await nextAnswering(`async () => Response.redirect('http://localhost/agents/new', 303)`)
    const response = await serve(await limited())
    expect(response.status).toBe(303)
    expect(response.headers.get('location')).toBe('http://localhost/agents/new')
    expect(response.headers.get('ratelimit-remaining')).toBe('4')
  })

  test('tells the limit of the key beside a problem too', async () => {
    const serve = await nextAnswering(`(org) => org.agents.get('${newId()}')`)
    const { body, headers } = await problem(serve(await limited()))
    expect(body).toMatchObject({ status: 404, code: 'not_found' })
    expect(headers.get('ratelimit-limit')).toBe('5')
    expect(headers.get('ratelimit-remaining')).toBe('4')
  })
})

test.each([
  ['Express', express],
  ['Fastify', fastify],
])('with the recipe for %s, a statement is cancelled when the client goes away', async (_, open) => {
  const serve = await open(teams.tenancy)
  const headers = bearer(await newKey(await teams.newTeam()))
  const { admin } = teams.database
  const waiting = async () =>
    (
      await admin.query(
        `select from pg_locks where not granted and relation = 'platform.agents'::regclass
         and database = (select oid from pg_database where datname = current_database())`,
      )
    ).length
  const leaving = new AbortController()
  const told = logged.length
  await admin.query('begin')
  try {
    await admin.query('lock table platform.agents in access exclusive mode')
    const left = serve({ headers, signal: leaving.signal }).catch((error: unknown) => error)
    await expect.poll(waiting, { interval: 5, timeout: 20_000 }).toBe(1)
    leaving.abort()
    expect(await left).toMatchObject({ name: 'AbortError' })
    await expect.poll(waiting, { interval: 5, timeout: 20_000 }).toBe(0)
    // Without the signal it would end too, at the timeout for locks.
    await expect.poll(() => logged.length, { interval: 5, timeout: 20_000 }).toBe(told + 1)
    expect(logged.at(-1)).toMatchObject({ error: aborted() })
  } finally {
    await admin.query('rollback')
  }
})
