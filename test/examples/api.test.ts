import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve, type ServerType } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApp } from '../../examples/api/src/app.js'
import { seed, type Seeded } from '../../examples/api/src/seed.js'
import { newId } from '../../src/core/ids.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
let server: ServerType
let base: string
let lancio: Seeded
let orbita: Seeded
/** Every operation of the OpenAPI document. */
let operations: readonly Operation[]

interface Operation {
  readonly method: string
  readonly path: string
}

beforeAll(async () => {
  ;[lancio, orbita] = (await seed(teams.tenancy)) as [Seeded, Seeded]
  server = serve({ fetch: createApp(teams.tenancy).fetch, port: 0, hostname: '127.0.0.1' })
  await once(server, 'listening')
  base = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
  const document = (await (await fetch(`${base}/openapi.json`)).json()) as { paths: Record<string, object> }
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
  readonly body?: object
}

async function call({ method, path, token, headers, body }: Call) {
  const response = await fetch(base + path, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, text, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
}

const get = (path: string, token?: string, headers?: Record<string, string>) =>
  call({
    method: 'GET',
    path: `/api/platform${path}`,
    ...(token !== undefined && { token }),
    ...(headers && { headers }),
  })

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
      expect(await call({ method: 'GET', path: ofLancio(path), token }), path).toMatchObject({ status: 200 })
    }
  })
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

test('another organization does not see what one makes', async () => {
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
  for (const [, file = ''] of page.matchAll(/(?:src|href)="([^"]+)"/g)) {
    expect(file).toMatch(/^\//)
    expect((await fetch(base + file)).status).toBe(200)
  }
})
