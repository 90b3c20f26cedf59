import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApp } from '../../examples/better-auth/src/app.js'
import { openAuth } from '../../examples/better-auth/src/auth.js'
import { setUpAuth } from '../../examples/better-auth/src/set-up-auth.js'
import { newId } from '../../src/core/ids.js'
import { openSession } from '../../src/database/session.js'
import { openTenancy } from '../../src/tenancy.js'
import { useTeams } from '../support/use-teams.js'
import { behindChange } from '../support/waiting.js'

const baseURL = 'http://localhost:3000'
const teams = useTeams()
/** What was sent last to an address. */
const sent = new Map<string, string>()
let authUrl: string
let app: ReturnType<typeof createApp>
let close: () => Promise<void>

beforeAll(async () => {
  const url = new URL(teams.database.appUrl)
  // Named so that the next run of the tests drops it.
  url.username = url.username.replace(/_app$/, '_auth')
  authUrl = url.href
  await setUpAuth(teams.database.adminUrl, authUrl)
  const opened = openAuth({ url: authUrl, secret: randomBytes(32).toString('base64'), baseURL })
  close = opened.close
  app = createApp({
    tenancy: teams.tenancy,
    auth: opened.auth,
    sendInvitation: (email, token) => void sent.set(email, token),
  })
})
afterAll(() => close())

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** A browser: it keeps the cookies, and sends them with each request. */
class Browser {
  private readonly cookies = new Map<string, string>()

  get cookie(): string {
    return [...this.cookies].map((pair) => pair.join('=')).join('; ')
  }

  async request(method: string, path: string, body?: object): Promise<Answer> {
    const headers = {
      cookie: this.cookie,
      origin: baseURL,
      'content-type': 'application/json',
    }
    const response = await app.request(`${baseURL}${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    for (const cookie of response.headers.getSetCookie()) {
      const [name = '', value = ''] = (cookie.split(';')[0] ?? '').split('=')
      this.cookies.set(name, value)
    }
    const text = await response.text()
    return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Answer['body']) }
  }

  get = (path: string) => this.request('GET', path)
  post = (path: string, body: object = {}) => this.request('POST', path, body)
  delete = (path: string) => this.request('DELETE', path)
}

const password = 'correct horse battery staple'
let count = 0
const newAddress = () => `person-${(count += 1)}@acme.example`

interface Person {
  readonly browser: Browser
  readonly email: string
  /** better-auth's id. */
  readonly accountId: string
}

/** Somebody who has signed up, and has made no request to the application yet. */
async function newPerson(email = newAddress()): Promise<Person> {
  const browser = new Browser()
  const { status, body } = await browser.post('/api/auth/sign-up/email', { email, password, name: 'A person' })
  expect(status).toBe(200)
  return { browser, email, accountId: (body.user as { id: string }).id }
}

/** The owner of an organization. */
async function newOwner(): Promise<{ owner: Browser; slug: string }> {
  const { browser: owner } = await newPerson()
  const slug = `org-${(count += 1)}`
  expect(await owner.post('/organizations', { name: slug, slug })).toMatchObject({ status: 201, body: { slug } })
  return { owner, slug }
}

/** Somebody who was invited and has accepted. */
async function newMember(owner: Browser, slug: string, role: string): Promise<Person> {
  const email = newAddress()
  expect((await owner.post(`/organizations/${slug}/invitations`, { email, role })).status).toBe(201)
  const person = await newPerson(email)
  expect((await person.browser.post('/invitations/accept', { token: sent.get(email) })).status).toBe(200)
  return person
}

const refusal = (status: number, code: string) => ({ status, body: { status, code } })

describe('a person', () => {
  test('signs up and in with better-auth, and is registered by the first request', async () => {
    const { email, accountId: id } = await newPerson()
    const browser = new Browser()
    expect(await browser.get('/organizations')).toMatchObject(refusal(401, 'unauthorized'))
    expect((await browser.post('/api/auth/sign-in/email', { email, password: 'a wrong one' })).status).toBe(401)
    expect(await browser.get('/organizations')).toMatchObject(refusal(401, 'unauthorized'))

    expect((await browser.post('/api/auth/sign-in/email', { email, password })).status).toBe(200)
    expect(await teams.tenancy.users.findIdByExternalId(id)).toBeUndefined()
    expect(await browser.get('/organizations')).toEqual({ status: 200, body: [] })
    const userId = await teams.tenancy.users.findIdByExternalId(id)
    expect(await teams.system().users.find(userId ?? '')).toMatchObject({
      email,
      externalId: id,
      emailConfirmedAt: null,
    })

    await browser.post('/api/auth/sign-out')
    expect(await browser.get('/organizations')).toMatchObject(refusal(401, 'unauthorized'))
  })

  test('is not spoken for by a form of another site', async () => {
    const { browser } = await newPerson()
    const headers = { cookie: browser.cookie, origin: 'https://evil.example', 'content-type': 'text/plain' }
    const form = { method: 'POST', headers, body: JSON.stringify({ token: 'any' }) }
    const { status } = await app.request(`${baseURL}/invitations/accept`, form)
    expect(status).toBe(403)
  })

  test('is registered once by requests that come together', async () => {
    const { admin } = teams.database
    const { browser, email, accountId } = await newPerson()
    const faster = () =>
      admin.query('insert into platform.users (id, email, external_id) values ($1, $2, $3)', [
        newId(),
        email,
        accountId,
      ])
    expect(await behindChange(admin, faster, () => browser.get('/organizations'))).toEqual({ status: 200, body: [] })
  })

  test('whose address somebody else has in tenantry is not taken for them', async () => {
    const email = newAddress()
    await teams.tenancy.users.register({ email })
    const { browser } = await newPerson(email)
    expect(await browser.get('/organizations')).toMatchObject(refusal(403, 'forbidden'))
  })

  test('who is suspended in tenantry is refused at the next request', async () => {
    const { browser, email } = await newPerson()
    expect((await browser.get('/organizations')).status).toBe(200)
    const person = await teams.system().users.findByEmail(email)
    await teams.system().users.suspend(person?.id ?? '')
    expect(await browser.get('/organizations')).toMatchObject(refusal(403, 'forbidden'))
  })
})

describe('an organization', () => {
  test('is open to whom it invited, and to nobody else', async () => {
    const { owner, slug } = await newOwner()
    expect((await owner.post(`/organizations/${slug}/agents`, { name: 'Ada', username: 'ada' })).status).toBe(201)
    const email = newAddress()
    await owner.post(`/organizations/${slug}/invitations`, { email, role: 'member' })
    const { browser: invited } = await newPerson(email)
    const { browser: other } = await newPerson()
    expect(await invited.get(`/organizations/${slug}/agents`)).toMatchObject(refusal(403, 'forbidden'))

    const token = sent.get(email)
    expect(await other.post('/invitations/accept', { token })).toMatchObject(refusal(404, 'not_found'))
    expect((await invited.post('/invitations/accept', { token })).status).toBe(200)
    expect(await invited.get(`/organizations/${slug}/agents`)).toMatchObject({
      status: 200,
      body: { items: [{ username: 'ada' }] },
    })
    expect(await invited.get('/organizations')).toMatchObject({ body: [{ slug, role: 'member' }] })
    expect(await other.get(`/organizations/${slug}/agents`)).toMatchObject(refusal(403, 'forbidden'))

    const { slug: elsewhere } = await newOwner()
    expect(await invited.get(`/organizations/${elsewhere}/agents`)).toMatchObject(refusal(403, 'forbidden'))
    expect(await invited.get('/organizations/nowhere/agents')).toMatchObject(refusal(404, 'not_found'))
  })

  test('refuses a member what their role does not allow', async () => {
    const { owner, slug } = await newOwner()
    const { browser: guest } = await newMember(owner, slug, 'customer')
    expect((await guest.get(`/organizations/${slug}/agents`)).status).toBe(200)
    expect(await guest.post(`/organizations/${slug}/agents`, { name: 'Eve', username: 'eve' })).toMatchObject({
      status: 403,
      body: { code: 'forbidden', detail: 'this needs the permission agents:write' },
    })
    const invitation = { email: newAddress(), role: 'owner' }
    expect(await guest.post(`/organizations/${slug}/invitations`, invitation)).toMatchObject(refusal(403, 'forbidden'))
    expect(sent.has(invitation.email)).toBe(false)
    expect(await owner.get(`/organizations/${slug}/agents`)).toMatchObject({ body: { items: [] } })
  })

  test('refuses a removed member at the next request', async () => {
    const { owner, slug } = await newOwner()
    const { browser, email } = await newMember(owner, slug, 'member')
    expect((await browser.get(`/organizations/${slug}/agents`)).status).toBe(200)
    const { body } = await owner.get(`/organizations/${slug}/members`)
    const member = (body.items as { id: string; email: string }[]).find((one) => one.email === email)
    expect((await owner.delete(`/organizations/${slug}/members/${member?.id}`)).status).toBe(204)
    expect(await browser.get(`/organizations/${slug}/agents`)).toMatchObject(refusal(403, 'forbidden'))
    expect(await browser.get('/organizations')).toEqual({ status: 200, body: [] })
  })

  test('is made once by the same request', async () => {
    const { owner, slug } = await newOwner()
    expect((await owner.post('/organizations', { name: slug, slug })).status).toBe(201)
    expect((await owner.get('/organizations')).body).toHaveLength(1)
    const { browser } = await newPerson()
    expect(await browser.post('/organizations', { name: slug, slug })).toMatchObject(refusal(409, 'conflict'))
    expect(await browser.post('/organizations', {})).toMatchObject(refusal(400, 'invalid_input'))
  })
})

test('openTenancy serves beside the tables of better-auth, and the set-up may be repeated', async () => {
  await setUpAuth(teams.database.adminUrl, authUrl)
  const { appUrl: url, systemUrl } = teams.database
  const tenancy = await openTenancy({ url, systemUrl, keys: `test:${Buffer.alloc(32).toString('base64')}` })
  expect(await tenancy.organizations.findIdBySlug('nowhere')).toBeUndefined()
  await tenancy.close()
})

test('neither login can use what belongs to the other', async () => {
  const reachable = async (url: string, schema: string) => {
    const session = await openSession({ url })
    const tables = await session.query(
      `select from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = $1 and c.relkind in ('r', 'p') and has_any_column_privilege(c.oid, 'select, insert, update')`,
      [schema],
    )
    await session.close()
    return tables.length
  }
  const { adminUrl, appUrl, systemUrl } = teams.database
  expect(await reachable(adminUrl, 'platform')).toBeGreaterThan(40)
  expect(await reachable(authUrl, 'platform')).toBe(0)
  expect(await reachable(authUrl, 'auth')).toBe(4)
  expect(await reachable(appUrl, 'auth')).toBe(0)
  expect(await reachable(systemUrl, 'auth')).toBe(0)
})
