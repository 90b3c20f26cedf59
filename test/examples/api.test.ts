import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve, type ServerType } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApp } from '../../examples/api/src/app.js'
import { seed, type Seeded } from '../../examples/api/src/seed.js'
import { findChromium, inChromium } from '../../scripts/chromium.js'
import { newId } from '../../src/core/ids.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
let server: ServerType
let base: string
let lancio: Seeded
let orbita: Seeded
/** Every operation of the OpenAPI document. */
let operations: readonly Operation[]

let document: Document

interface Document {
  readonly paths: Record<
    string,
    Record<string, { readonly summary: string; readonly responses: Record<string, Answer> }>
  >
  readonly components: { readonly schemas: Record<string, Shape> }
}
interface Answer {
  readonly content: Record<string, { readonly schema: Shape }>
}
interface Shape {
  readonly $ref?: string
  readonly properties?: Record<string, Shape>
  readonly items?: Shape
}

/** The places of the fields in a value that the document does not name. */
function undocumented(value: unknown, shape: Shape, place = ''): string[] {
  const { properties, items } = document.components.schemas[shape.$ref?.split('/').at(-1) ?? ''] ?? shape
  if (Array.isArray(value)) return items ? value.flatMap((item) => undocumented(item, items, `${place}[]`)) : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => {
    const known = properties?.[name]
    return known === undefined ? [`${place}.${name}`] : undocumented(inner, known, `${place}.${name}`)
  })
}

const answerOf = ({ method, path }: Operation, status: '200' | 'default') => {
  const { content } = document.paths[path]?.[method.toLowerCase()]?.responses[status] ?? { content: {} }
  return content['application/json']?.schema ?? content['application/problem+json']?.schema ?? {}
}

interface Operation {
  readonly method: string
  readonly path: string
}

beforeAll(async () => {
  ;[lancio, orbita] = (await seed(teams.tenancy)) as [Seeded, Seeded]
  server = serve({ fetch: createApp(teams.tenancy).fetch, port: 0, hostname: '127.0.0.1' })
  await once(server, 'listening')
  base = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
  document = (await (await fetch(`${base}/openapi.json`)).json()) as Document
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
  )
})
afterAll(() => {
  server.close()
})

interface Call extends Operation {
  readonly token?: string
  readonly headers?: Record<string, string>
  readonly body?: object | string
}

async function call({ method, path, token, headers, body }: Call) {
  const response = await fetch(base + path, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  const type = response.headers.get('content-type')
  return { status: response.status, type, text, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
}

const get = (path: string, token?: string, headers?: Record<string, string>) =>
  call({
    method: 'GET',
    path: `/api/platform${path}`,
    ...(token !== undefined && { token }),
    ...(headers && { headers }),
  })

const post = (path: string, body: object) =>
  call({ method: 'POST', path: `/api/platform/organizations/lancio${path}`, token: lancio.key, body })

/** The path with lancio's own names in it. */
const ofLancio = (path: string) =>
  path
    .replace('{slug}', 'lancio')
    .replace('{ref}', 'default')
    .replaceAll(/\{\w+\}/g, newId())

describe('every operation of the document', () => {
  test('is there', () => {
    expect(operations.length).toBeGreaterThan(30)
  })

  test('answers 401 without a credential, and with one that is not accepted', async () => {
    for (const { method, path } of operations) {
      expect(await call({ method, path: ofLancio(path) }), path).toMatchObject({ status: 401 })
      expect(await call({ method, path: ofLancio(path), token: 'tk_live_x' }), path).toMatchObject({ status: 401 })
    }
  })

  test("refuses another organization's key and session, whatever the body is", async () => {
    for (const { method, path } of operations.filter((one) => /\{(?:slug|ref)\}/.test(one.path))) {
      for (const token of [orbita.key, orbita.session]) {
        const headers = path.includes('{ref}') ? { 'x-organization': 'lancio' } : {}
        const answer = await call({ method, path: ofLancio(path), token, headers })
        expect(answer, `${method} ${path}`).toMatchObject({ status: 404, body: { code: 'not_found' } })
        expect(answer.text, path).not.toContain('lancio')
      }
    }
  })

  test('that reads a list or the one row of something answers the key of the organization', async () => {
    for (const { path } of operations.filter(({ method, path: one }) => method === 'GET' && !one.includes('{id}'))) {
      const isOfPeople = !/\{(?:slug|ref)\}/.test(path)
      const token = isOfPeople ? lancio.session : lancio.key
      const answer = await call({ method: 'GET', path: ofLancio(path), token })
      expect(answer, path).toMatchObject({ status: 200 })
      expect(undocumented(answer.body, answerOf({ method: 'GET', path }, '200')), path).toEqual([])
    }
  })

  test('that changes something answers the documented fields of the row, and none of its other columns', async () => {
    const workflow = (await get('/organizations/lancio/workflows', lancio.key)).body.items as { id: string }[]
    expect(workflow).toEqual([])
    const made = await post('/workflows', { name: 'Triage', slug: 'triage' })
    const bodies = {
      '/agents': { name: 'Shown', username: 'shown' },
      '/schedules': { workflowId: made.body.id, name: 'yearly', cron: '0 0 1 1 *', timezone: 'UTC' },
      '/tasks': { kind: 'report' },
      '/invitations': { email: 'grace@lancio.example', role: 'member' },
      '/api-keys': { name: 'shown', scopes: ['agents:read'] },
      '/usage': { key: 'shown', metric: 'calls', quantity: '1', at: '2026-02-01T00:00:00Z' },
    }
    for (const [path, body] of [...Object.entries(bodies), ['/', {}] as const]) {
      const isPatch = path === '/'
      const route = `/api/platform/organizations/{slug}${isPatch ? '' : path}`
      const method = isPatch ? 'PATCH' : 'POST'
      const token = path === '/api-keys' ? lancio.session : lancio.key
      const answer = await call({ method, path: ofLancio(route), token, body: isPatch ? { name: 'Lancio' } : body })
      expect(answer, path).toMatchObject({ status: 200 })
      const shape = answerOf({ method, path: route }, '200')
      expect(shape, path).not.toEqual({})
      expect(undocumented(answer.body, shape), path).toEqual([])
    }
  })
})

test('a route that is not there and a body that is not JSON are documented problems', async () => {
  const path = '/api/platform/organizations/{slug}/agents'
  const problem = answerOf({ method: 'POST', path }, 'default')
  const answers = [
    await call({ method: 'POST', path: ofLancio(path), token: lancio.key, body: '{"name":' }),
    await call({ method: 'POST', path: ofLancio(path), token: lancio.key, body: { name: 1, username: 2 } }),
    await get('/organizations/lancio/nothing', lancio.key),
    await call({ method: 'GET', path: '/nothing' }),
  ]
  expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
    [400, 'invalid_input'],
    [400, 'invalid_input'],
    [404, 'not_found'],
    [404, 'not_found'],
  ])
  for (const { type, body } of answers) {
    expect(type).toBe('application/problem+json')
    expect(undocumented(body, problem)).toEqual([])
  }
})

test('usage, add-ons and measurements are those of the rows', async () => {
  const usage = await get('/organizations/lancio/usage?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z', lancio.key)
  expect(usage.body).toMatchObject({ totals: [{ metric: 'bandwidth_gb', quantity: '2.000000' }] })
  const addons = await get('/projects/default/billing/addons', lancio.key)
  expect(addons.body).toMatchObject({ totals: [{ currency: 'USD', amount: '18.00' }] })
  expect((addons.body.items as { addonId: string }[]).map(({ addonId }) => addonId)).toEqual(['custom_domain', 'ipv4'])
  const { body } = await get('/projects/default/infra-monitoring?step=86400', lancio.key)
  const buckets = body as unknown as { count: number; memoryUsage: { avg: number } }[]
  expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(50)
  expect(buckets[0]?.memoryUsage.avg).toBe(41.5)
  const plans = (await get('/organizations/lancio/billing/plans', lancio.key)).body as unknown as { id: string }[]
  expect(plans.map(({ id }) => id)).toContain('tier_free')
})

test('the two organizations of the seed differ, and have used something in this period', async () => {
  const addons = await get('/projects/default/billing/addons', orbita.key)
  expect((addons.body.items as { addonId: string }[]).map(({ addonId }) => addonId)).toEqual(['pitr'])
  for (const [slug, key, quantity] of [
    ['lancio', lancio.key, '1.250000'],
    ['orbita', orbita.key, '12.500000'],
  ] as const) {
    const usage = await get(`/organizations/${slug}/usage`, key)
    expect((usage.body.totals as { metric: string }[]).find(({ metric }) => metric === 'bandwidth_gb')).toMatchObject({
      quantity,
    })
  }
  const tasks = (await get('/organizations/orbita/tasks', orbita.key)).body.items as { kind: string }[]
  expect(tasks.map(({ kind }) => kind)).toEqual(['backup'])
})

test('a query parameter that is not known is refused by its name', async () => {
  for (const path of ['/agents?limt=1', '/usage?limt=1', '/billing/plans?limt=1', '?limt=1'])
    expect(await get(`/organizations/lancio${path}`, lancio.key), path).toMatchObject({
      status: 400,
      body: { code: 'invalid_input', field: 'limt' },
    })
})

test('a body of another type, one that is too large, and another method are problems', async () => {
  const path = '/api/platform/organizations/lancio/agents'
  const answers = [
    await call({
      method: 'POST',
      path,
      token: lancio.key,
      body: 'name=Eve',
      headers: { 'content-type': 'text/plain' },
    }),
    await call({ method: 'POST', path, token: lancio.key, body: { name: 'x'.repeat(1024 * 1024) } }),
    await call({ method: 'PUT', path, token: lancio.key, body: {} }),
  ]
  expect(answers.map(({ status, type, body }) => [status, type, body.code])).toEqual([
    [415, 'application/problem+json', 'unsupported_media_type'],
    [413, 'application/problem+json', 'content_too_large'],
    [405, 'application/problem+json', 'method_not_allowed'],
  ])
})

test('many faults of a body are told in part', async () => {
  const body = Object.fromEntries(Array.from({ length: 5000 }, (_, place) => [`unknown${place}`, 1]))
  const answer = await post('/agents', body)
  expect(answer).toMatchObject({ status: 400 })
  expect(answer.body.faults).toHaveLength(20)
  expect(answer.text.length).toBeLessThan(5000)
})

test('what is missing is named: whose a key is, and the time of usage', async () => {
  const key = await post('/api-keys', { name: 'of nobody', scopes: ['agents:read'] })
  expect(key).toMatchObject({ status: 400, body: { field: 'userId' } })
  expect(key.body.detail).toContain('a call by an API key must name a service')
  const usage = await post('/usage', { key: 'x', metric: 'calls', quantity: '1' })
  expect(usage).toMatchObject({ status: 400, body: { field: 'at' } })
  expect(usage.body.detail).toContain('must be a Date, or a text such as')
})

test('an organization does not see what another one creates', async () => {
  const path = '/api/platform/organizations/lancio/agents'
  const made = await call({ method: 'POST', path, token: lancio.key, body: { name: 'Eve', username: 'eve' } })
  expect(made).toMatchObject({ status: 200, body: { username: 'eve' } })
  const id = String(made.body.id)
  expect(await get(`/organizations/lancio/agents/${id}`, lancio.key)).toMatchObject({ status: 200, body: { id } })
  expect(await get(`/organizations/orbita/agents/${id}`, orbita.key)).toMatchObject({ status: 404 })
  expect((await get('/organizations/orbita/agents', orbita.key)).text).not.toContain(id)
})

test('a person has a profile and chooses an organization; a key is no person', async () => {
  expect(await get('/profile', lancio.session)).toMatchObject({ status: 200, body: { email: 'owner@lancio.example' } })
  expect(await get('/profile', lancio.key)).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  expect(await get('/organizations', lancio.session)).toMatchObject({ status: 200, body: [{ slug: 'lancio' }] })
})

test('what does not fit the schema is answered with the name of the field', async () => {
  const path = '/api/platform/organizations/lancio/agents'
  const answer = await call({ method: 'POST', path, token: lancio.key, body: { name: 'Eve', username: 'Not lower' } })
  expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_input', field: 'username' } })
})

test('a second run of the seed adds no rows, and replaces the credentials', async () => {
  const rows = async () =>
    teams.database.admin.query(
      `select (select count(*) from platform.organizations) as organizations, (select count(*) from platform.projects) as projects,
         (select count(*) from platform.agents) as agents, (select count(*) from platform.api_keys where status = 'active') as keys`,
    )
  const before = await rows()
  const [again] = await seed(teams.tenancy)
  expect(await rows()).toEqual(before)
  expect(await get('/organizations/lancio', lancio.key)).toMatchObject({ status: 401 })
  expect(await get('/organizations/lancio', again?.key)).toMatchObject({ status: 200 })
})

test('the page that describes the API loads nothing from elsewhere', async () => {
  const page = await (await fetch(`${base}/`)).text()
  // Swagger would keep the credentials in the browser.
  expect(page).not.toContain('persistAuthorization')
  for (const [, file = ''] of page.matchAll(/(?:src|href)="([^"]+)"/g)) {
    expect(file).toMatch(/^\//)
    expect((await fetch(base + file)).status).toBe(200)
  }
})

const chromium = findChromium(process.env)

test.skipIf(chromium === undefined)('a browser shows every operation on the page', async () => {
  const shown = await inChromium(chromium ?? '', '--dump-dom', `${base}/`)
  const blocks = [
    ...shown.matchAll(/class="opblock-summary-method">(\w+)<.*?data-path="([^"]+)".*?-description">([^<]+)</g),
  ]
  const inDocument = operations.map(({ method, path }) => [
    method,
    path,
    document.paths[path]?.[method.toLowerCase()]?.summary,
  ])
  expect(blocks.map(([, ...parts]) => parts).sort()).toEqual(inDocument.sort())
})
