import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import type { Tenancy } from '../../src/tenancy.js'
import { createOrganization, createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { openWithout, type Wall } from '../../src/testing/walls.js'

// What operations send beside the repositories: the counts of a plan, the preview of an invitation, the authentication of a
// key, and the invitation that a new member takes the place of. The function that authenticates passes by row security, whatever wall is
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
    const newOrg = async () => tenancy.forOrg(await createOrganization(database.admin))
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
