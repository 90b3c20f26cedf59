import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BrokenReferenceError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { Tenancy } from '../../src/tenancy.js'
import { createOrganization, createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { openWithout, type Wall } from '../../src/testing/walls.js'

// What operations send beside the repositories: the counts of a plan, the sums of measurements and of add-ons, the flags, the preview of
// an invitation, the authentication of a key, and the invitation that a new member takes the place of. The function that authenticates passes by row security, whatever wall is
// removed here: authentication.test.ts takes out each of its conditions.
const database = useDatabase()
const walls: [string, Wall | undefined][] = [
  ['both walls', undefined],
  ['row security alone', 'predicates'],
  ['the predicates alone', 'row security'],
]

describe.each(walls)('%s', (_, without) => {
  let tenancy: Tenancy
  beforeAll(async () => {
    const { appUrl, admin } = database
    ;({ tenancy } = await openWithout({ appUrl, admin, ...(without !== undefined && { without }) }))
  })
  afterAll(() => tenancy.close({ drain: 0 }))

  const newOrg = async () => tenancy.forOrg(await createOrganization(database.admin))

  /** An organization with a plan of its own, so many projects, a member with a key, and an invitation. */
  async function organization({ projects, maxProjects }: { projects: number; maxProjects: number }) {
    const org = tenancy.forOrg(await createOrganization(database.admin))
    const plan = `plan_${newId()}`
    await database.admin.query(
      `insert into platform.billing_plans (id, name, price, currency, interval, max_projects, limits)
       values ($1, $1, '0', 'USD', 'month', $2, '{"mails": 100}')`,
      [plan, maxProjects],
    )
    await database.admin.query(
      `insert into platform.subscriptions (org_id, id, plan_id, plan_name, current_period_start, current_period_end)
       values ($1, $2, $3, $3, now() - interval '1 day', now() + interval '1 day')`,
      [org.id, newId(), plan],
    )
    await org.usage.record({ key: 'one', metric: 'mails', quantity: String(projects), at: new Date() })
    for (let made = 0; made < projects; made++) await org.projects.create({ name: `P${made}`, slug: `p${made}` })
    await org.roles.create({ key: 'worker', name: `Worker of ${org.id}`, permissions: ['agents:read'] })
    const { userId } = await org.members.addService({ name: 'bot', role: 'worker' })
    for (let made = 0; made < projects; made++) {
      const person = await createUser(database.admin)
      await org.members.add({ userId: person, email: `${person}@example.com`, role: 'worker' })
    }
    const key = await org.apiKeys.create({ userId, name: 'ci', scopes: ['agents:read'], rateLimitPerHour: 9 })
    const { token } = await org.invitations.create({ email: 'ada@example.com', role: 'worker' })
    return { org, plan, key, token }
  }

  test('the plan and what is in use are those of the organization', async () => {
    const ours = await organization({ projects: 1, maxProjects: 2 })
    const theirs = await organization({ projects: 3, maxProjects: 9 })
    expect(await ours.org.entitlements.get()).toMatchObject({
      plan: { id: ours.plan },
      limits: {
        max_projects: { limit: 2, used: 1 },
        max_members: { limit: null, used: 2 },
        mails: { limit: 100, used: 1 },
      },
    })
    await ours.org.projects.create({ name: 'Second', slug: 'second' })
    await expect(ours.org.projects.create({ name: 'Third', slug: 'third' })).rejects.toMatchObject({
      code: 'plan_limit',
      limit: 2,
      current: 2,
    })
    expect((await theirs.org.entitlements.get()).limits.max_projects).toEqual({ limit: 9, used: 3 })
  })

  test('usage and credits are added up in the organization alone', async () => {
    const ours = await organization({ projects: 1, maxProjects: 2 })
    const theirs = await organization({ projects: 3, maxProjects: 9 })
    const period = { from: new Date(Date.now() - 7_200_000), to: new Date(Date.now() + 7_200_000) }
    for (const options of [{}, period, { ...period, by: 'project' }, { ...period, by: 'day' }] as const) {
      const { totals } = await ours.org.usage.summary(options)
      expect(totals.map(({ quantity }) => quantity)).toEqual(['1.000000'])
    }
    await ours.org.credits.grant({ amount: '2', currency: 'EUR' })
    await theirs.org.credits.grant({ amount: '50', currency: 'EUR' })
    expect(await ours.org.credits.balance()).toEqual([{ currency: 'EUR', amount: '2.00' }])
    await expect(ours.org.credits.spend({ amount: '3', currency: 'EUR' })).rejects.toMatchObject({ available: '2.00' })
    await ours.org.credits.spend({ amount: '2', currency: 'EUR' })
    expect(await theirs.org.credits.balance()).toEqual([{ currency: 'EUR', amount: '50.00' }])
  })

  /** A project with a database, and the same ids in another organization. */
  async function twins() {
    const [ours, theirs] = [await newOrg(), await newOrg()]
    const { id } = await ours.projects.create({ name: 'One', slug: 'one' })
    const { id: databaseId } = await ours.projects.databases.create(id, { name: 'main', type: 'redis' })
    await database.admin.query(
      `insert into platform.projects (org_id, id, name, slug, ref) values ($1, $2, 'One', 'one', $3)`,
      [theirs.id, id, newId()],
    )
    await database.admin.query(
      `insert into platform.databases (org_id, id, project_id, name, type) values ($1, $2, $3, 'main', 'redis')`,
      [theirs.id, databaseId, id],
    )
    return { ours, theirs, id, databaseId }
  }

  test('measurements and events are those of the organization’s own project, though another one has its ids', async () => {
    const { ours, theirs, id, databaseId } = await twins()
    const at = new Date(Date.UTC(2026, 0, 1))
    const range = { from: at, to: new Date(at.getTime() + 60_000), step: 60 }
    const record = async ({ projects: { metrics, databases } }: Org, value: number) => {
      await metrics.record(id, [{ recordedAt: at, cpuUsage: String(value) }])
      await databases.metrics.record(id, databaseId, [{ metricType: 'cpu', value, recordedAt: at }])
      await databases.connections.log(id, databaseId, { eventType: `event ${value}` })
    }
    const measured = async ({ projects: { metrics, databases } }: Org) => {
      const [bucket] = await metrics.query(id, range)
      const asked = { ...range, metricType: 'cpu' } as const
      const aggregates = ['min', 'max', 'avg', 'sum', 'count', 'last'] as const
      return [
        bucket?.count,
        bucket?.cpuUsage,
        ...(await Promise.all(
          aggregates.map((aggregate) => databases.metrics.query(id, databaseId, { ...asked, aggregate })),
        )),
        (await databases.connections.list(id)).items.map(({ eventType }) => eventType),
      ]
    }
    const expected = (value: number) => [
      1,
      { min: value, max: value, avg: value, last: value },
      ...[value, value, value, value, 1, value].map((one) => [{ at, value: one }]),
      [`event ${value}`],
    ]
    await record(ours, 1)
    await record(theirs, 50)
    expect(await measured(ours)).toEqual(expected(1))
    expect(await measured(theirs)).toEqual(expected(50))

    // The project of the other organization with that id does not do for one's own that is deleted.
    await ours.projects.delete(id)
    expect(await ours.projects.databases.metrics.query(id, databaseId, { ...range, metricType: 'cpu' })).toEqual([])
    expect(await ours.projects.metrics.query(id, range)).toEqual([])
    await expect(record(ours, 2)).rejects.toThrow(BrokenReferenceError)
    const { metrics, connections } = ours.projects.databases
    for (const call of [
      () => metrics.record(id, databaseId, [{ metricType: 'cpu', value: 2 }]),
      () => connections.log(id, databaseId, { eventType: 'opened' }),
    ])
      await expect(call()).rejects.toThrow(BrokenReferenceError)
    expect(await measured(theirs)).toEqual(expected(50))
  })

  test('add-ons are added up in the organization alone, and change there alone', async () => {
    const { ours, theirs, id } = await twins()
    await database.admin.query(
      `insert into platform.addon_catalog (id, addon_id, name, type, variants)
       values (gen_random_uuid(), 'walls', 'Walls', 'backup', '[{"variant": "small", "name": "Small", "price": "5.00", "currency": "EUR"}]')
       on conflict do nothing`,
    )
    await theirs.projects.addons.activate(id, { addonId: 'walls', quantity: 10 })
    expect(await ours.projects.addons.list(id)).toEqual({ items: [], totals: [] })
    await expect(ours.projects.addons.deactivate(id, 'walls')).rejects.toThrow(NotFoundError)
    await ours.projects.addons.activate(id, { addonId: 'walls', quantity: 2 })
    const listOf = async ({ projects }: Org) => {
      const { items, totals } = await projects.addons.list(id)
      return [items.map(({ orgId, amount, status }) => [orgId, amount, status]), totals]
    }
    const untouched = [[[theirs.id, '50.00', 'active']], [{ currency: 'EUR', amount: '50.00' }]]
    expect(await listOf(ours)).toEqual([[[ours.id, '10.00', 'active']], [{ currency: 'EUR', amount: '10.00' }]])
    expect(await listOf(theirs)).toEqual(untouched)
    await ours.projects.addons.changeVariant(id, 'walls', { quantity: 3 })
    await ours.projects.addons.deactivate(id, 'walls')
    expect(await listOf(ours)).toEqual([[[ours.id, '15.00', 'inactive']], []])
    expect(await listOf(theirs)).toEqual(untouched)
  })

  test('an override of a flag is seen and cleared in its organization alone', async () => {
    const [ours, theirs] = [await newOrg(), await newOrg()]
    const key = `flag-${newId()}`
    await database.admin.query(
      `insert into platform.feature_flags (id, flag_key, flag_name, enabled) values ($1, $2, $2, true)`,
      [newId(), key],
    )
    await theirs.flags.override(key, { enabled: true })
    const seen = async ({ flags }: Org) => [
      (await flags.evaluate(key)).reason,
      (await flags.evaluateAll())[key]?.reason,
      (await flags.overrides()).map(({ orgId, enabled }) => [orgId, enabled]),
    ]
    expect(await seen(ours)).toEqual(['default', 'default', []])
    expect(await ours.flags.clear(key)).toBe(false)
    await ours.flags.override(key, { enabled: false })
    expect(await seen(ours)).toEqual(['override', 'override', [[ours.id, false]]])
    expect(await ours.flags.clear(key)).toBe(true)
    expect(await seen(theirs)).toEqual(['override', 'override', [[theirs.id, true]]])
  })

  test('a key and an invitation are found in their organization alone', async () => {
    const [ours, theirs] = [
      await organization({ projects: 0, maxProjects: 1 }),
      await organization({ projects: 0, maxProjects: 1 }),
    ]
    const { org, actor, rateLimit } = await tenancy.authenticateApiKey(ours.key.token)
    expect([org.id, actor.id, rateLimit?.remaining]).toEqual([ours.org.id, ours.key.apiKey.id, 8])
    expect(await tenancy.invitations.preview(ours.token)).toMatchObject({ role: { name: `Worker of ${ours.org.id}` } })
    // The same hash in both: only the organization in the token says which of the two is meant.
    const copied = '(select token_hash from platform.organization_invitations where org_id = $2)'
    await database.admin.query(
      `update platform.organization_invitations set token_hash = ${copied} where org_id = $1`,
      [theirs.org.id, ours.org.id],
    )
    await database.admin.query('update platform.organization_invitations set revoked_at = now() where org_id = $1', [
      ours.org.id,
    ])
    expect(await tenancy.invitations.preview(ours.token)).toBeUndefined()
    const used = await database.admin.query<{ org_id: string }>('select org_id from platform.api_key_windows')
    expect(used.filter(({ org_id }) => org_id === theirs.org.id)).toEqual([])
  })

  test('an invitation of another organization to the address of a new member is none', async () => {
    const [ours, theirs] = [await newOrg(), await newOrg()]
    await database.admin.query('update platform.organizations set allow_user_management = true')
    for (const org of [ours, theirs])
      await org.roles.create({ key: 'boss', name: 'Boss', permissions: ['agents:write'] })
    await ours.roles.create({ key: 'manager', name: 'Manager', permissions: ['members:read', 'members:write'] })
    const [manager, guest] = [await createUser(database.admin), await createUser(database.admin)]
    await ours.members.add({ userId: manager, email: `${manager}@example.com`, role: 'manager' })
    const email = `${guest}@example.com`
    const sent = await theirs.invitations.create({ email, role: 'boss' })
    const acting = tenancy.forOrg(ours.id, { actor: await ours.actorFor(manager) })
    await expect(acting.members.add({ userId: guest, email, role: 'manager' })).resolves.toMatchObject({ email })
    expect(await tenancy.invitations.preview(sent.token)).toMatchObject({ email })
  })
})
