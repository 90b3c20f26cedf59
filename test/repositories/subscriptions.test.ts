import { describe, expect, test } from 'vitest'
import {
  ConflictError,
  ForbiddenError,
  InvalidInputError,
  NotFoundError,
  PlanLimitError,
} from '../../src/core/errors.js'
import type { OrganizationSubscription } from '../../src/repositories/subscriptions.js'
import { type Subscription, subscriptionEnd } from '../../src/schema/subscriptions.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { entriesOf } from '../support/audited-rows.js'
import { contend, race } from '../support/contenders.js'
import { keys, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const set = (team: Team, values: string) =>
  teams.database.admin.query(`update platform.subscriptions set ${values} where org_id = $1`, [team.id])
const past = `current_period_start = now() - interval '2 months', current_period_end = now() - interval '1 month'`
const entries = async ({ id }: Team) =>
  (await entriesOf(teams.database.admin, id)).filter(({ event_type: event }) => event.startsWith('subscriptions.'))

test('an organization without a subscription has none to read or change', async () => {
  const { subscription } = teams.tenancy.forOrg(await createOrganization(teams.database.admin))
  for (const call of [
    () => subscription.get(),
    () => subscription.changePlan('tier_pro'),
    () => subscription.cancel(),
    () => subscription.resume(),
    () => subscription.update({ spendCapEnabled: false }),
  ]) {
    await expect(call()).rejects.toThrow(NotFoundError)
  }
})

describe('changePlan', () => {
  test('copies the name of the plan, and the entry tells both plans', async () => {
    const team = await teams.newTeam({ plan: 'tier_free' })
    const before = await team.org.subscription.get()
    const after = await team.org.subscription.changePlan('tier_pro')
    expect(after).toEqual({ ...before, planId: 'tier_pro', planName: 'Pro', updatedAt: after.updatedAt })
    expect(await team.org.subscription.get()).toEqual(after)
    expect((await entries(team)).at(-1)).toMatchObject({
      event_type: 'subscriptions.changePlan',
      resource_id: before.id,
      changes: { planId: { old: 'tier_free', new: 'tier_pro' }, planName: { old: before.planName, new: 'Pro' } },
    })
  })

  test('refuses a plan that is unknown or archived, and keeps an archived one that is subscribed to', async () => {
    const [archived, other] = [await teams.newPlan({}), await teams.newPlan({})]
    const team = await teams.newTeam({ plan: archived })
    const before = await team.org.subscription.get()
    await teams.system().catalog.plans.archive(archived)
    for (const plan of [archived, 'tier_nothing', '', 7 as never, null as never, 'x'.repeat(64)]) {
      const refused = team.org.subscription.changePlan(plan)
      await expect(refused).rejects.toThrow(InvalidInputError)
      await expect(refused).rejects.toThrow('planId')
    }
    expect(await team.org.subscription.get()).toEqual(before)
    await expect(team.org.subscription.changePlan(other)).resolves.toMatchObject({ planId: other })
  })

  test('to a plan that allows less deletes nothing, and blocks what is new', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ maxProjects: 2 }) })
    for (const slug of ['one', 'two']) await team.org.projects.create({ name: slug, slug })
    await team.org.subscription.changePlan(await teams.newPlan({ maxProjects: 1 }))
    expect(await team.org.projects.count()).toBe(2)
    const more = team.org.projects.create({ name: 'three', slug: 'three' })
    await expect(more).rejects.toMatchObject({ limitName: 'max_projects', limit: 1, current: 2 })
    await expect(more).rejects.toThrow(PlanLimitError)
    await team.org.subscription.changePlan(await teams.newPlan({ maxProjects: 3 }))
    await team.org.projects.create({ name: 'three', slug: 'three' })
  })

  race('twenty at once leave one plan with its name, and a chain of entries', async () => {
    const team = await teams.newTeam({ plan: 'tier_free' })
    const plans = await Promise.all(Array.from({ length: 20 }, () => teams.newPlan({})))
    const { won, lost } = await contend((contender) => team.org.subscription.changePlan(plans[contender] ?? ''))
    expect(lost).toEqual([])
    expect(won.every(({ planId, planName }) => planId === planName)).toBe(true)
    const changes = (await entries(team)).flatMap(({ changes }) => {
      const plan = changes?.planId
      return plan === undefined || plan === 'changed' || plan.old === undefined ? [] : [[plan.old, plan.new]]
    })
    expect(changes).toHaveLength(20)
    // Each entry begins with the plan with which another one ended.
    const next = new Map(changes.map(([from, to]) => [from, to]))
    let plan: unknown = 'tier_free'
    for (let step = 0; step < 20; step++) plan = next.get(plan)
    expect((await team.org.subscription.get()).planId).toBe(plan)
  })
})

describe('cancel and resume', () => {
  test('a subscription ends with its period, and goes on when that is taken back', async () => {
    const team = await teams.newTeam()
    const before = await team.org.subscription.get()
    const canceled = await team.org.subscription.cancel()
    expect(canceled).toMatchObject({ status: 'active', cancelAtPeriodEnd: true, canceledAt: expect.any(Date) as Date })
    expect(subscriptionEnd(canceled)).toEqual(before.currentPeriodEnd)
    await expect(team.org.subscription.cancel()).rejects.toThrow('it already ends with its period')

    const resumed = await team.org.subscription.resume()
    expect(resumed).toEqual({ ...before, updatedAt: resumed.updatedAt })
    expect(subscriptionEnd(resumed)).toBeUndefined()
    await expect(team.org.subscription.resume()).rejects.toThrow('no end is set')
    expect((await entries(team)).map(({ event_type: event }) => event)).toEqual([
      'subscriptions.create',
      'subscriptions.cancel',
      'subscriptions.resume',
    ])
  })

  test('one that was ended at once is over', async () => {
    const team = await teams.newTeam()
    await team.org.subscription.cancel()
    const ended = await team.org.subscription.cancel({ atPeriodEnd: false })
    expect(ended).toMatchObject({ cancelAtPeriodEnd: false, canceledAt: expect.any(Date) as Date })
    expect(subscriptionEnd(ended)).toEqual(ended.canceledAt)
    await allRefused(team.org.subscription)
  })

  test.each([
    ['whose period has ended', `cancel_at_period_end = true, canceled_at = now() - interval '5 weeks', ${past}`],
    ['whose period has ended, without the time', `cancel_at_period_end = true, ${past}`],
    ['that is canceled', `status = 'canceled'`],
  ])('one %s is over, and its end is as before', async (_, state) => {
    const team = await teams.newTeam()
    await set(team, state)
    const before = await team.org.subscription.get()
    await allRefused(team.org.subscription)
    expect(await team.org.subscription.get()).toEqual(before)
    expect(subscriptionEnd(before)).toEqual(before.currentPeriodEnd)
  })

  test('one that is canceled after its period, before that is rolled, ends with the next one', async () => {
    const team = await teams.newTeam()
    await set(team, past)
    const canceled = await team.org.subscription.cancel()
    expect(subscriptionEnd(canceled)).toBeUndefined()
    await expect(team.org.subscription.resume()).resolves.toMatchObject({ cancelAtPeriodEnd: false, canceledAt: null })
  })

  async function allRefused(subscription: OrganizationSubscription): Promise<void> {
    for (const call of [
      () => subscription.resume(),
      () => subscription.cancel(),
      () => subscription.cancel({ atPeriodEnd: false }),
      () => subscription.changePlan('tier_pro'),
    ]) {
      await expect(call()).rejects.toThrow(ConflictError)
      await expect(call()).rejects.toThrow('the subscription has ended')
    }
  }

  race('of twenty at once one cancels, and of twenty one resumes', async () => {
    const team = await teams.newTeam()
    const canceled = await contend(() => team.org.subscription.cancel())
    expect(canceled.won).toHaveLength(1)
    expect(canceled.lost.every((error) => error instanceof ConflictError)).toBe(true)
    const resumed = await contend(() => team.org.subscription.resume())
    expect(resumed.won).toHaveLength(1)
    expect(await entries(team)).toHaveLength(3)
    const ended = await contend(() => team.org.subscription.cancel({ atPeriodEnd: false }))
    expect(ended.won).toHaveLength(1)
  })
})

test.each<[string, Partial<Subscription>]>([
  ['ended at once', { canceledAt: new Date(0) }],
  ['ended with its period', { cancelAtPeriodEnd: true }],
])('the fallback plan counts as soon as a subscription has %s', async (_, { cancelAtPeriodEnd = false }) => {
  const team = await teams.newTeam({ plan: await teams.newPlan({ maxProjects: 5 }) })
  const tenancy = await openTenancy({
    url: teams.database.appUrl,
    keys,
    fallbackPlan: await teams.newPlan({ maxProjects: 0 }),
  })
  const org = tenancy.forOrg(team.id)
  await org.subscription.cancel({ atPeriodEnd: cancelAtPeriodEnd })
  if (cancelAtPeriodEnd) {
    await expect(org.entitlements.get()).resolves.toMatchObject({ isFallback: false })
    await set(team, `canceled_at = now() - interval '5 weeks', ${past}`)
  }
  await expect(org.entitlements.get()).resolves.toMatchObject({ isFallback: true })
  await expect(org.projects.create({ name: 'one', slug: 'one' })).rejects.toThrow(PlanLimitError)
  await tenancy.close()
})

test('the cap on spending is switched, and nothing else is taken', async () => {
  const { org } = await teams.newTeam()
  await expect(org.subscription.update({ spendCapEnabled: false })).resolves.toMatchObject({ spendCapEnabled: false })
  for (const [field, patch] of [
    ['status', { status: 'active' }],
    ['planId', { planId: 'tier_free' }],
    ['currentPeriodEnd', { currentPeriodEnd: new Date() }],
    ['spendCapEnabled', { spendCapEnabled: 'no' }],
  ] as const) {
    await expect(org.subscription.update(patch as never)).rejects.toThrow(InvalidInputError)
    await expect(org.subscription.update(patch as never)).rejects.toThrow(field)
  }
  for (const options of [{ atPeriodEnd: 'no' }, { when: 'now' }]) {
    await expect(org.subscription.cancel(options as never)).rejects.toThrow(InvalidInputError)
  }
})

test('reading and changing need their permissions', async () => {
  const team = await teams.newTeam()
  const admin = await team.as((await team.join('admin')).userId)
  await admin.subscription.get()
  const [billing, member] = [(await team.join('billing_admin')).userId, (await team.join('member')).userId]
  await expect((await team.as(member)).subscription.get()).rejects.toThrow('subscriptions:read')
  for (const call of [
    () => admin.subscription.changePlan('nonsense'),
    () => admin.subscription.cancel(),
    () => admin.subscription.resume(),
    () => admin.subscription.update({ spendCapEnabled: false }),
  ]) {
    await expect(call()).rejects.toThrow(ForbiddenError)
  }
  const writer = await team.org.roles.create({ key: 'writer', name: 'Writer', permissions: ['subscriptions:write'] })
  const { subscription: written } = await team.as((await team.join(writer.key)).userId)
  await written.changePlan('tier_pro')
  await written.cancel()
  await written.resume()
  await written.update({ spendCapEnabled: false })
  await expect(written.get()).rejects.toThrow('subscriptions:read')
  const { subscription } = await team.as(billing)
  await subscription.changePlan('tier_pro')
  await subscription.cancel()
  expect((await entries(team)).at(-1)).toMatchObject({ actor_kind: 'user', actor_id: billing })
})
