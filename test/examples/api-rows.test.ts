import { beforeAll, describe, expect, test } from 'vitest'
import type { Seeded } from '../../examples/api/src/seed.js'
import { newId } from '../../src/core/ids.js'
import { addMember } from '../../src/testing/members.js'
import { type Operation, useApi } from './api-server.js'

const api = useApi()
const { teams, call } = api

const inOrganization = '/api/platform/organizations/{slug}'
const inProject = '/api/platform/projects/{ref}'

type Row = Readonly<Record<string, unknown>>

/** The path of an operation, with the names of that organization in it. */
const pathOf = (path: string, slug: string, id = '') =>
  path.replace('{slug}', slug).replace('{ref}', 'default').replace('{id}', id)

const ofMethods = (...methods: string[]): Operation[] => api.operations.filter(({ method }) => methods.includes(method))

async function orgIdOf({ slug }: Pick<Seeded, 'slug'>): Promise<string> {
  const id = await teams.tenancy.organizations.findIdBySlug(slug)
  if (id === undefined) throw new Error(`there is no ${slug}`)
  return id
}

/** A valid body of each POST. */
const bodies: Readonly<Record<string, (organization: Seeded) => object | Promise<object>>> = {
  '/agents': () => ({ name: 'Made', username: `made-${newId()}` }),
  '/workflows': () => ({ name: 'Triage', slug: `triage-${newId()}` }),
  '/schedules': async (organization) => ({
    workflowId: (await make(organization, '/workflows')).id,
    name: newId(),
    cron: '0 0 1 1 *',
    timezone: 'UTC',
  }),
  '/tasks': () => ({ kind: 'report' }),
  '/invitations': () => ({ email: `${newId()}@example.com`, role: 'member' }),
  '/api-keys': () => ({ name: newId(), scopes: ['agents:read'] }),
  '/usage': () => ({ key: newId(), metric: 'calls', quantity: '1', at: '2026-02-01T00:00:00Z' }),
}

async function post(organization: Seeded, path: string) {
  const body = await bodies[path]?.(organization)
  // A key cannot make a key for itself.
  const token = path === '/api-keys' ? organization.session : organization.key
  return call({ method: 'POST', path: pathOf(inOrganization + path, organization.slug), token, ...(body && { body }) })
}

/** A new row of what the list at that path lists. */
async function make(organization: Seeded, path: string): Promise<{ readonly id: string }> {
  if (path === '/members') return addMember(teams.tenancy, teams.tenancy.forOrg(await orgIdOf(organization)))
  const { status, body } = await post(organization, path)
  expect(status, path).toBe(201)
  return (body.invitation ?? body.apiKey ?? body) as { readonly id: string }
}

test('what makes something answers 201 with the documented fields of the row, and none of its other columns', async () => {
  const described = Object.keys(bodies).map((path) => inOrganization + path)
  expect(described.toSorted()).toEqual(
    ofMethods('POST')
      .map(({ path }) => path)
      .toSorted(),
  )
  for (const { path } of ofMethods('POST')) {
    const answer = await post(api.lancio, path.slice(inOrganization.length))
    expect(answer, path).toMatchObject({ status: 201 })
    expect(Object.keys(api.document.paths[path]?.post?.responses ?? {}), path).toEqual(['201', 'default'])
    const shape = api.answerOf({ method: 'POST', path }, '201')
    expect(shape, path).not.toEqual({})
    expect(api.undocumented(answer.body, shape), path).toEqual([])
  }
})

interface List {
  readonly query?: string
  /** What the organization `$1` has, as texts. */
  readonly rows: string
  /** The same, of the answer. */
  readonly shown: (answer: never) => unknown[]
}

const idsOf = (items: readonly Row[]) => items.map(({ id }) => id)
const listOf = (table: string): List => ({
  query: '?limit=1000',
  rows: `select id from platform.${table} t where org_id = $1 and to_jsonb(t) ->> 'deleted_at' is null`,
  shown: ({ items }: { items: Row[] }) => idsOf(items),
})

const lists: Readonly<Record<string, List>> = {
  '/api/platform/organizations': { rows: 'select $1::uuid', shown: idsOf },
  [`${inOrganization}/members`]: listOf('organization_members'),
  [`${inOrganization}/invitations`]: listOf('organization_invitations'),
  [`${inOrganization}/api-keys`]: listOf('api_keys'),
  [`${inOrganization}/audit`]: listOf('audit_logs'),
  [`${inOrganization}/agents`]: listOf('agents'),
  [`${inOrganization}/workflows`]: listOf('workflows'),
  [`${inOrganization}/tasks`]: listOf('tasks'),
  [`${inOrganization}/schedules`]: listOf('schedules'),
  [`${inOrganization}/usage`]: {
    query: '?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z',
    rows: `select metric_type || ' ' || sum(quantity) from platform.usage_events
           where org_id = $1 and occurred_at = '2026-01-01T00:00:00Z' group by metric_type`,
    shown: ({ totals }: { totals: { metric: string; quantity: string }[] }) =>
      totals.map(({ metric, quantity }) => `${metric} ${quantity}`),
  },
  [`${inProject}/billing/addons`]: {
    rows: 'select addon_id from platform.project_addons where org_id = $1',
    shown: ({ items }: { items: Row[] }) => items.map(({ addonId }) => addonId),
  },
  [`${inProject}/infra-monitoring`]: {
    rows: 'select distinct memory_usage::float8 from platform.project_metrics where org_id = $1',
    shown: (buckets: { memoryUsage: { avg: number | null } }[]) => [
      ...new Set(buckets.map(({ memoryUsage }) => memoryUsage.avg)),
    ],
  },
}

/** The same for every organization. */
const catalogs = [`${inOrganization}/billing/plans`]

describe('every list', () => {
  beforeAll(async () => {
    for (const organization of [api.lancio, api.orbita])
      for (const path of ['/members', ...Object.keys(bodies)]) await make(organization, path)
  })

  test('of the document is compared here', () => {
    const isList = ({ path }: Operation) => {
      const { type, properties } = api.answerOf({ method: 'GET', path }, '200')
      return type === 'array' || [properties?.items, properties?.totals].some((shape) => shape?.type === 'array')
    }
    const listed = ofMethods('GET').filter(isList)
    expect(listed.map(({ path }) => path).sort()).toEqual([...Object.keys(lists), ...catalogs].sort())
  })

  test.each(Object.entries(lists))('at %s has the rows of its own organization alone', async (path, list) => {
    const shown: unknown[][] = []
    for (const { slug, key, session } of [api.lancio, api.orbita]) {
      const token = path === '/api/platform/organizations' ? session : key
      const answer = await call({ method: 'GET', path: pathOf(path, slug) + (list.query ?? ''), token })
      expect(answer).toMatchObject({ status: 200 })
      const rows = await teams.database.admin.query(list.rows, [await orgIdOf({ slug })])
      const own = rows.map((row) => Object.values(row as Row)[0])
      shown.push(list.shown(answer.body as never))
      expect(own).not.toEqual([])
      expect(shown.at(-1)?.sort()).toEqual(own.sort())
    }
    const [ofLancio = [], ofOrbita = []] = shown
    expect(ofLancio.filter((one) => ofOrbita.includes(one))).toEqual([])
  })
})

interface Change {
  readonly body?: object
  readonly session?: true
  /** What a list, or the route itself, shows afterwards. Undefined: nothing. */
  readonly after: object | undefined
}

const patch = (body: object): Change => ({ body, after: body })

/** Every PATCH and DELETE of the document. */
const changes: Readonly<Record<string, Change>> = {
  'PATCH /api/platform/profile': { ...patch({ firstName: 'Grace' }), session: true },
  [`PATCH ${inOrganization}`]: patch({ name: 'Renamed' }),
  [`PATCH ${inOrganization}/agents/{id}`]: patch({ name: 'Renamed' }),
  [`PATCH ${inOrganization}/workflows/{id}`]: patch({ name: 'Renamed' }),
  [`PATCH ${inOrganization}/tasks/{id}`]: patch({ priority: 7 }),
  [`PATCH ${inOrganization}/schedules/{id}`]: patch({ name: 'Renamed' }),
  [`DELETE ${inOrganization}/members/{id}`]: { after: undefined },
  [`DELETE ${inOrganization}/invitations/{id}`]: { after: { revokedAt: expect.any(String) as string } },
  [`DELETE ${inOrganization}/api-keys/{id}`]: { after: { status: 'revoked' } },
  [`DELETE ${inOrganization}/agents/{id}`]: { after: undefined },
  [`DELETE ${inOrganization}/workflows/{id}`]: { after: undefined },
  [`DELETE ${inOrganization}/tasks/{id}`]: { after: { status: 'canceled' } },
  [`DELETE ${inOrganization}/schedules/{id}`]: { after: undefined },
}

describe('every change', () => {
  test('of the document is tried here', () => {
    const documented = ofMethods('PATCH', 'DELETE').map(({ method, path }) => `${method} ${path}`)
    expect(documented.sort()).toEqual(Object.keys(changes).sort())
  })

  test.each(Object.entries(changes))('%s changes the row of its own organization alone', async (operation, change) => {
    const [method = '', path = ''] = operation.split(' ')
    const { lancio, orbita } = api
    const token = (organization: Seeded) => (change.session ? organization.session : organization.key)
    const list = path.replace('/{id}', '')
    const isOfList = list !== path
    const id = isOfList ? (await make(lancio, list.slice(inOrganization.length))).id : ''
    const rowOf = async (organization: Seeded): Promise<Row | undefined> => {
      const query = isOfList ? '?limit=1000' : ''
      const { body } = await call({
        method: 'GET',
        path: pathOf(list, organization.slug) + query,
        token: token(organization),
      })
      return isOfList ? (body.items as Row[]).find((row) => row.id === id) : body
    }
    const send = (organization: Seeded) =>
      call({
        method,
        path: pathOf(path, organization.slug, id),
        token: token(organization),
        ...(change.body && { body: change.body }),
      })

    const [before, other] = [await rowOf(lancio), await rowOf(orbita)]
    expect(before).toBeDefined()
    if (isOfList) {
      expect(await send(orbita)).toMatchObject({ status: 404, body: { code: 'not_found' } })
      expect(await rowOf(lancio)).toEqual(before)
    }

    const answer = await send(lancio)
    expect(answer).toMatchObject({ status: 200, body: change.body ?? {} })
    const shape = api.answerOf({ method, path }, '200')
    expect(shape).not.toEqual({})
    expect(api.undocumented(answer.body, shape)).toEqual([])
    const after = await rowOf(lancio)
    if (change.after === undefined) expect(after).toBeUndefined()
    else expect(after).toMatchObject(change.after)
    expect(after).not.toEqual(before)
    expect(await rowOf(orbita)).toEqual(other)
  })
})
