import { describe, expect, test } from 'vitest'
import { seed } from '../../examples/api/src/seed.js'
import { findChromium, inChromium } from '../../scripts/chromium.js'
import { newId } from '../../src/core/ids.js'
import { useApi } from './api-server.js'

const api = useApi()
const { teams, call, get, post } = api

/** The path with lancio's own names in it. */
const ofLancio = (path: string) =>
  path
    .replace('{slug}', 'lancio')
    .replace('{ref}', 'default')
    .replaceAll(/\{\w+\}/g, newId())

describe('every operation of the document', () => {
  test('is there', () => {
    expect(api.operations.length).toBeGreaterThan(30)
  })

  test('answers 401 without a credential, and with one that is not accepted', async () => {
    for (const { method, path } of api.operations) {
      expect(await call({ method, path: ofLancio(path) }), path).toMatchObject({ status: 401 })
      expect(await call({ method, path: ofLancio(path), token: 'tk_live_x' }), path).toMatchObject({ status: 401 })
    }
  })

  test("refuses another organization's key and session, whatever the body is", async () => {
    for (const { method, path } of api.operations.filter((one) => /\{(?:slug|ref)\}/.test(one.path))) {
      for (const token of [api.orbita.key, api.orbita.session]) {
        const headers = path.includes('{ref}') ? { 'x-organization': 'lancio' } : {}
        const answer = await call({ method, path: ofLancio(path), token, headers })
        expect(answer, `${method} ${path}`).toMatchObject({ status: 404, body: { code: 'not_found' } })
        expect(answer.text, path).not.toContain('lancio')
      }
    }
  })

  test('that reads a list or the one row of something answers the key of the organization', async () => {
    for (const { path } of api.operations.filter(
      ({ method, path: one }) => method === 'GET' && !one.includes('{id}'),
    )) {
      const isOfPeople = !/\{(?:slug|ref)\}/.test(path)
      const token = isOfPeople ? api.lancio.session : api.lancio.key
      const answer = await call({ method: 'GET', path: ofLancio(path), token })
      expect(answer, path).toMatchObject({ status: 200 })
      expect(api.undocumented(answer.body, api.answerOf({ method: 'GET', path }, '200')), path).toEqual([])
    }
  })
})

test('a route that is not there and a body that is not JSON are documented problems', async () => {
  const path = '/api/platform/organizations/{slug}/agents'
  const problem = api.answerOf({ method: 'POST', path }, 'default')
  const answers = [
    await call({ method: 'POST', path: ofLancio(path), token: api.lancio.key, body: '{"name":' }),
    await call({ method: 'POST', path: ofLancio(path), token: api.lancio.key, body: { name: 1, username: 2 } }),
    await get('/organizations/lancio/nothing', api.lancio.key),
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
    expect(api.undocumented(body, problem)).toEqual([])
  }
})

test('usage, add-ons and measurements are those of the rows', async () => {
  const usage = await get(
    '/organizations/lancio/usage?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z',
    api.lancio.key,
  )
  expect(usage.body).toMatchObject({ totals: [{ metric: 'bandwidth_gb', quantity: '2.000000' }] })
  const addons = await get('/projects/default/billing/addons', api.lancio.key)
  expect(addons.body).toMatchObject({ totals: [{ currency: 'USD', amount: '18.00' }] })
  expect((addons.body.items as { addonId: string }[]).map(({ addonId }) => addonId)).toEqual(['custom_domain', 'ipv4'])
  const { body } = await get('/projects/default/infra-monitoring?step=86400', api.lancio.key)
  const buckets = body as unknown as { count: number; memoryUsage: { avg: number } }[]
  expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(50)
  expect(buckets[0]?.memoryUsage.avg).toBe(41.5)
  const plans = (await get('/organizations/lancio/billing/plans', api.lancio.key)).body as unknown as { id: string }[]
  expect(plans.map(({ id }) => id)).toContain('tier_free')
})

test('the two organizations of the seed differ, and have used something in this period', async () => {
  const addons = await get('/projects/default/billing/addons', api.orbita.key)
  expect((addons.body.items as { addonId: string }[]).map(({ addonId }) => addonId)).toEqual(['pitr'])
  for (const [slug, key, quantity] of [
    ['lancio', api.lancio.key, '1.250000'],
    ['orbita', api.orbita.key, '12.500000'],
  ] as const) {
    const usage = await get(`/organizations/${slug}/usage`, key)
    expect((usage.body.totals as { metric: string }[]).find(({ metric }) => metric === 'bandwidth_gb')).toMatchObject({
      quantity,
    })
  }
  const tasks = (await get('/organizations/orbita/tasks', api.orbita.key)).body.items as { kind: string }[]
  expect(tasks.map(({ kind }) => kind)).toEqual(['backup'])
})

test('a query parameter that is not known is refused by its name', async () => {
  for (const path of ['/agents?limt=1', '/usage?limt=1', '/billing/plans?limt=1', '?limt=1'])
    expect(await get(`/organizations/lancio${path}`, api.lancio.key), path).toMatchObject({
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
      token: api.lancio.key,
      body: 'name=Eve',
      headers: { 'content-type': 'text/plain' },
    }),
    await call({ method: 'POST', path, token: api.lancio.key, body: { name: 'x'.repeat(1024 * 1024) } }),
    await call({ method: 'PUT', path, token: api.lancio.key, body: {} }),
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
  const made = await call({ method: 'POST', path, token: api.lancio.key, body: { name: 'Eve', username: 'eve' } })
  expect(made).toMatchObject({ status: 201, body: { username: 'eve' } })
  const id = String(made.body.id)
  expect(await get(`/organizations/lancio/agents/${id}`, api.lancio.key)).toMatchObject({ status: 200, body: { id } })
  expect(await get(`/organizations/orbita/agents/${id}`, api.orbita.key)).toMatchObject({ status: 404 })
  expect((await get('/organizations/orbita/agents', api.orbita.key)).text).not.toContain(id)
})

test('a person has a profile and chooses an organization; a key is no person', async () => {
  expect(await get('/profile', api.lancio.session)).toMatchObject({
    status: 200,
    body: { email: 'owner@lancio.example' },
  })
  expect(await get('/profile', api.lancio.key)).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  expect(await get('/organizations', api.lancio.session)).toMatchObject({ status: 200, body: [{ slug: 'lancio' }] })
})

test('what does not fit the schema is answered with the name of the field', async () => {
  const path = '/api/platform/organizations/lancio/agents'
  const answer = await call({
    method: 'POST',
    path,
    token: api.lancio.key,
    body: { name: 'Eve', username: 'Not lower' },
  })
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
  expect(await get('/organizations/lancio', api.lancio.key)).toMatchObject({ status: 401 })
  expect(await get('/organizations/lancio', again?.key)).toMatchObject({ status: 200 })
})

test('the page that describes the API loads nothing from elsewhere', async () => {
  const page = await (await fetch(`${api.base}/`)).text()
  // Swagger would keep the credentials in the browser.
  expect(page).not.toContain('persistAuthorization')
  for (const [, file = ''] of page.matchAll(/(?:src|href)="([^"]+)"/g)) {
    expect(file).toMatch(/^\//)
    expect((await fetch(api.base + file)).status).toBe(200)
  }
})

const chromium = findChromium(process.env)

test.skipIf(chromium === undefined)('a browser shows every operation on the page', async () => {
  const shown = await inChromium(chromium ?? '', '--dump-dom', `${api.base}/`)
  const blocks = [
    ...shown.matchAll(/class="opblock-summary-method">(\w+)<.*?data-path="([^"]+)".*?-description">([^<]+)</g),
  ]
  const inDocument = api.operations.map(({ method, path }) => [
    method,
    path,
    api.document.paths[path]?.[method.toLowerCase()]?.summary,
  ])
  expect(blocks.map(([, ...parts]) => parts).sort()).toEqual(inDocument.sort())
})
