import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { DefinitionError, ForbiddenError, InvalidInputError, PlanLimitError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Scope } from '../../src/core/scope.js'
import { defineRepository } from '../../src/core/define-repository.js'
import { agents, newAgent } from '../../src/schema/agents.js'
import { computeConfig, diskConfig } from '../../src/schema/infrastructure.js'
import { newTask, tasks } from '../../src/schema/tasks.js'
import { openTenancy } from '../../src/tenancy.js'
import { contend, race, waitersFor } from '../support/contenders.js'
import { keys, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const admin = () => teams.database.admin

const planWith = (limits: Parameters<typeof teams.newPlan>[0]) => teams.newPlan(limits)
const subscribe = (team: Team, plan: string) => teams.subscribe(team, plan)

let made = 0
const project = () => ({ name: `Project ${++made}`, slug: `project-${made}` })

describe('rows', () => {
  test('up to the limit are made, and one more is refused with the limit and what is in use', async () => {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 2 }) })
    await team.org.projects.create(project())
    const second = await team.org.projects.create(project())
    const refused = await team.org.projects.create(project()).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(PlanLimitError)
    expect(refused).toMatchObject({ code: 'plan_limit', limitName: 'max_projects', limit: 2, current: 2 })

    await team.org.projects.delete(second.id)
    await expect(team.org.projects.create(project())).resolves.toBeDefined()
  })

  test('cost one round trip', async () => {
    const team = await teams.newTeam()
    const trips: unknown[] = []
    const { appUrl, systemUrl } = teams.database
    const counting = await openTenancy({
      url: appUrl,
      systemUrl,
      keys,
      onQuery: ({ statements }) => trips.push(statements.length),
    })
    onTestFinished(() => counting.close())
    await counting.forOrg(team.id).projects.create(project())
    expect(trips).toEqual([3])
  })

  test.each([
    [0, 0],
    [null, 20],
  ])('a limit of %s lets %i of 20 in', async (limit, expected) => {
    const team = await teams.newTeam({ plan: await planWith(limit === null ? {} : { maxProjects: limit }) })
    const { won } = await contend(() => team.org.projects.create(project()))
    expect(won).toHaveLength(expected)
  })

  race('of 50 who ask at once, as many are served as there is room for', async () => {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 3 }) })
    const settled = await Promise.allSettled(Array.from({ length: 50 }, () => team.org.projects.create(project())))
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    expect(settled.filter((one) => one.status === 'rejected' && one.reason instanceof PlanLimitError)).toHaveLength(47)
    expect(await team.org.projects.count()).toBe(3)
  })

  test('that another transaction is making are waited for', async () => {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 1 }) })
    let second: Promise<unknown> | undefined
    await team.org.transaction(async (org) => {
      await org.projects.create(project())
      second = team.org.projects.create(project()).catch((error: unknown) => error)
      await waitersFor(admin(), '%from platform.organizations%for no key update%', 1)
    })
    expect(await second).toBeInstanceOf(PlanLimitError)
    expect(await team.org.projects.count()).toBe(1)
  })

  test('in a batch count together, and are made together or not at all', async () => {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 3 }) })
    const two = () => team.org.batch((org) => [org.projects.create(project()), org.projects.create(project())])
    await two()
    await expect(two()).rejects.toThrow(PlanLimitError)
    expect(await team.org.projects.count()).toBe(2)
  })

  test('in a transaction count what it has made itself', async () => {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 1 }) })
    const twice = team.org.transaction(async (org) => {
      await org.projects.create(project())
      await org.projects.create(project())
    })
    await expect(twice).rejects.toThrow(PlanLimitError)
    expect(await team.org.projects.count()).toBe(0)
  })

  test.each(['repeatable read', 'serializable'] as const)(
    'are refused in a transaction of isolation %s before anything is sent',
    async (isolation) => {
      const team = await teams.newTeam()
      const inside = team.org.transaction((org) => org.projects.create(project()), { isolation })
      await expect(inside).rejects.toThrow(DefinitionError)
      await expect(inside).rejects.toThrow('use read committed, the default')
      expect(await team.org.projects.count()).toBe(0)
    },
  )

  test('are refused where the login has a higher isolation by default', async () => {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 3 }) })
    const serializable = await openTenancy({
      url: teams.database.appUrl,
      pool: { options: '-c default_transaction_isolation=serializable' },
      keys,
    })
    onTestFinished(() => serializable.close())
    await expect(serializable.forOrg(team.id).projects.create(project())).rejects.toThrow(
      'use read committed, the default',
    )
  })

  test('that come back count again', async () => {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 1 }) })
    const { id } = await team.org.projects.create(project())
    await team.org.projects.delete(id)
    const second = await team.org.projects.create(project())
    await expect(team.org.projects.restore(id)).rejects.toThrow(PlanLimitError)
    await team.org.projects.delete(second.id)
    await expect(team.org.projects.restore(id)).resolves.toMatchObject({ id })
  })

  test('that are there when a plan gets smaller stay, and can be changed and deleted', async () => {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 2 }) })
    const [first] = [await team.org.projects.create(project()), await team.org.projects.create(project())]
    await subscribe(team, await planWith({ maxProjects: 1 }))
    await expect(team.org.projects.update(first.id, { name: 'Renamed' })).resolves.toMatchObject({ name: 'Renamed' })
    await expect(team.org.projects.create(project())).rejects.toThrow(PlanLimitError)
    await team.org.projects.delete(first.id)
    await expect(team.org.projects.create(project())).rejects.toMatchObject({ current: 1, limit: 1 })
  })

  test('are refused in the order forbidden, invalid, plan_limit, conflict', async () => {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 1 }) })
    const taken = await team.org.projects.create(project())
    const { userId } = await team.join('read_only')
    const reader = await team.as(userId)
    const bad = { name: '', slug: taken.slug }
    await expect(reader.projects.create(bad)).rejects.toThrow(ForbiddenError)
    await expect(team.org.projects.create(bad)).rejects.toThrow(InvalidInputError)
    await expect(team.org.projects.create({ name: 'X', slug: taken.slug })).rejects.toThrow(PlanLimitError)
    await subscribe(team, await planWith({ maxProjects: 2 }))
    await expect(team.org.projects.create({ name: 'X', slug: taken.slug })).rejects.toMatchObject({ code: 'conflict' })
  })
})

describe('own tables', () => {
  const Counted = defineRepository(agents, { create: newAgent, patch: newAgent.partial(), limit: 'max_bots' })
  class Bulk extends ScopedRepository<object> {
    constructor(scope: Scope) {
      super(scope, agents, { limit: 'max_bots' })
    }
    createMany = (rows: readonly object[]) => this.insertRows(newAgent, rows)
    put = (values: object) => this.putRow(newAgent as never, values, 'agents_username_key')
    ensure = (values: object) => this.insertRow(newAgent, values, { existing: 'agents_username_key' })
  }
  const bot = (username: string) => ({ name: 'Bot', username })

  test('have limits by a name in the plan', async () => {
    const team = await teams.newTeam({ plan: await planWith({ max_bots: 1 }) })
    await team.org.repository(Counted).create(bot('one'))
    await expect(team.org.repository(Counted).create(bot('two'))).rejects.toMatchObject({ limitName: 'max_bots' })
    await subscribe(team, await planWith({ max_bots: null }))
    await expect(team.org.repository(Counted).create(bot('two'))).resolves.toBeDefined()
  })

  test('count each row of a bulk insert', async () => {
    const team = await teams.newTeam({ plan: await planWith({ max_bots: 2 }) })
    const all = team.org.repository(Bulk)
    await expect(all.createMany([bot('a'), bot('b'), bot('c')])).rejects.toThrow(PlanLimitError)
    expect(await all.createMany([bot('a'), bot('b')])).toHaveLength(2)
    expect(await all.createMany([])).toEqual([])
  })

  test('do not count a row that is there already', async () => {
    const team = await teams.newTeam({ plan: await planWith({ max_bots: 1 }) })
    const all = team.org.repository(Bulk)
    await all.put(bot('one'))
    await expect(all.put({ ...bot('one'), name: 'Changed' })).resolves.toMatchObject({ name: 'Changed' })
    await expect(all.ensure(bot('one'))).resolves.toMatchObject({ name: 'Changed' })
    await expect(all.put(bot('two'))).rejects.toThrow(PlanLimitError)
    await expect(all.ensure(bot('two'))).rejects.toThrow(PlanLimitError)
  })
})

test('a row outside of a partial index is a new one', async () => {
  class Tasks extends ScopedRepository<object> {
    constructor(scope: Scope) {
      super(scope, tasks, { limit: 'max_jobs' })
    }
    put = (values: object) => this.putRow(newTask as never, values, 'tasks_dedupe_key')
  }
  const team = await teams.newTeam({ plan: await planWith({ max_jobs: 1 }) })
  const { id } = await team.org.tasks.enqueue({ kind: 'mail', dedupeKey: 'one' })
  await team.org.tasks.cancel(id)
  await expect(team.org.repository(Tasks).put({ kind: 'mail', dedupeKey: 'one' })).rejects.toThrow(PlanLimitError)
})

test('a limit cannot add up what holds no numbers', () => {
  const define = () =>
    defineRepository(agents, { create: newAgent, patch: newAgent.partial(), limit: { name: 'x', sum: 'username' } })
  expect(define).toThrow('agents.username holds no numbers')
})

describe('sums', () => {
  const size = z.strictObject({
    projectId: z.guid(),
    sizeGb: z.number(),
    ioBudget: z.number(),
    autoscaleGrowthPercent: z.number(),
  })
  class Disks extends ScopedRepository<object> {
    constructor(scope: Scope) {
      super(scope, diskConfig, { permission: 'projects', limit: { name: 'disk_gb', sum: 'sizeGb' } })
    }
    create = (values: object) => this.insertRow(size, values)
    createMany = (rows: readonly object[]) => this.insertRows(size, rows)
    put = (values: object) => this.putRow(size as never, values, 'disk_config_project_key')
    update = (id: string, patch: object) => this.updateRow(size.partial(), id, patch)
    updateAll = (filter: object, patch: object) => this.updateRows(filter, patch as never)
  }

  async function disksOf(limit: number) {
    const team = await teams.newTeam({ plan: await planWith({ disk_gb: limit }) })
    const disk = async (sizeGb: number) => ({
      projectId: (await team.org.projects.create(project())).id,
      sizeGb,
      ioBudget: 0,
      autoscaleGrowthPercent: 10,
    })
    return { team, all: team.org.repository(Disks), disk }
  }

  test('add up a column, of new rows and of changed ones', async () => {
    const { all, disk } = await disksOf(100)
    const first = (await all.create(await disk(60))) as { id: string; projectId: string }
    await expect(all.create(await disk(41))).rejects.toMatchObject({ limit: 100, current: 60 })
    await all.create(await disk(40))
    await expect(all.update(first.id, { sizeGb: 61 })).rejects.toThrow(PlanLimitError)
    await expect(all.update(first.id, { sizeGb: 50 })).resolves.toMatchObject({ sizeGb: 50 })
    await expect(all.update(first.id, { ioBudget: 5 })).resolves.toMatchObject({ ioBudget: 5 })
    const put = { projectId: first.projectId, ioBudget: 5, autoscaleGrowthPercent: 10 }
    await expect(all.put({ ...put, sizeGb: 61 })).rejects.toThrow(PlanLimitError)
    await expect(all.put({ ...put, sizeGb: 60 })).resolves.toMatchObject({ sizeGb: 60 })
  })

  test('of a bulk insert are added up', async () => {
    const { all, disk } = await disksOf(100)
    await expect(all.createMany([await disk(50), await disk(51)])).rejects.toThrow(PlanLimitError)
    expect(await all.createMany([await disk(50), await disk(50)])).toHaveLength(2)
  })

  test('are of what is stored: the column rounds to its scale', async () => {
    const memory = z.strictObject({
      projectId: z.guid(),
      instanceSize: z.string(),
      cpuCores: z.string(),
      memoryGb: z.string(),
    })
    class Computes extends ScopedRepository<object> {
      constructor(scope: Scope) {
        super(scope, computeConfig, { permission: 'projects', limit: { name: 'memory_gb', sum: 'memoryGb' } })
      }
      create = (values: object) => this.insertRow(memory, values)
    }
    const team = await teams.newTeam({ plan: await planWith({ memory_gb: 2 }) })
    const { id: projectId } = await team.org.projects.create(project())
    // numeric(7,2) makes 2.00 of it.
    const values = { projectId, instanceSize: 'nano', cpuCores: '1', memoryGb: '2.004' }
    await expect(team.org.repository(Computes).create(values)).resolves.toMatchObject({ memoryGb: '2.00' })
  })

  test('can be lowered where the plan has become smaller', async () => {
    const { team, all, disk } = await disksOf(100)
    const { id } = (await all.create(await disk(60))) as { id: string }
    await subscribe(team, await planWith({ disk_gb: 20 }))
    await expect(all.update(id, { sizeGb: 50 })).resolves.toMatchObject({ sizeGb: 50 })
    await expect(all.update(id, { sizeGb: 51 })).rejects.toThrow(PlanLimitError)
  })

  test('are refused where many rows change at once', async () => {
    const { all } = await disksOf(100)
    await expect(all.updateAll({ ioBudget: 0 }, { sizeGb: 9 })).rejects.toThrow(DefinitionError)
  })
})

describe('the plan in force', () => {
  const states = {
    canceled: `status = 'canceled'`,
    incomplete: `status = 'incomplete'`,
    'past its trial': `status = 'trialing', trial_ends_at = now() - interval '1 second'`,
  }
  const others = {
    active: `status = 'active'`,
    'past due': `status = 'past_due'`,
    'in its trial': `status = 'trialing', trial_ends_at = now() + interval '1 hour'`,
  }

  async function limitIn(state: string, fallbackPlan: string | undefined): Promise<number | null | undefined> {
    const team = await teams.newTeam({ plan: await planWith({ maxProjects: 5 }) })
    await admin().query(`update platform.subscriptions set ${state} where org_id = $1`, [team.id])
    const tenancy = await openTenancy({ url: teams.database.appUrl, keys, fallbackPlan })
    onTestFinished(() => tenancy.close())
    const org = tenancy.forOrg(team.id)
    const { limits, isFallback } = await org.entitlements.get()
    const limit = limits.max_projects?.limit ?? 20
    const { won } = await contend(() => org.projects.create(project()))
    expect(won).toHaveLength(limit)
    expect(isFallback).toBe(limit === 1)
    return limit
  }

  test.each(Object.entries(states))('is the fallback while a subscription is %s', async (_, state) => {
    expect(await limitIn(state, await planWith({ maxProjects: 1 }))).toBe(1)
  })

  test.each(Object.entries(others))('is its own while a subscription is %s', async (_, state) => {
    expect(await limitIn(state, await planWith({ maxProjects: 1 }))).toBe(5)
  })

  test('stays its own without a fallback', async () => {
    expect(await limitIn(states.canceled, undefined)).toBe(5)
  })

  test('is the fallback for an organization without a subscription', async () => {
    const team = await teams.newTeam()
    await admin().query('delete from platform.subscriptions where org_id = $1', [team.id])
    const fallbackPlan = await planWith({ maxProjects: 0 })
    const tenancy = await openTenancy({ url: teams.database.appUrl, keys, fallbackPlan })
    onTestFinished(() => tenancy.close())
    await expect(tenancy.forOrg(team.id).projects.create(project())).rejects.toThrow(PlanLimitError)
    await expect(team.org.projects.create(project())).resolves.toBeDefined()
  })

  test('a fallback that is no plan is refused when the tenancy is opened', async () => {
    const opening = openTenancy({ url: teams.database.appUrl, keys, fallbackPlan: 'tier_fre' })
    await expect(opening).rejects.toThrow('fallbackPlan: is not the id of a billing plan')
  })
})

describe('entitlements', () => {
  const period = (team: Team, from: string, to: string) =>
    admin().query(
      'update platform.subscriptions set current_period_start = $2, current_period_end = $3 where org_id = $1',
      [team.id, from, to],
    )
  const used = (team: Team, at: string, quantity: number) =>
    team.org.usage.record({ key: at, metric: 'bandwidth_gb', quantity: String(quantity), at })

  test('show limits beside what is in use', async () => {
    const team = await teams.newTeam({
      plan: await planWith({ maxProjects: 3, maxMembers: 5, disk_gb: 100, seats: 1 }),
    })
    const { id } = await team.org.projects.create(project())
    const gone = await team.org.projects.create(project())
    for (const projectId of [id, gone.id]) {
      await admin().query(
        `insert into platform.disk_config (org_id, id, project_id, size_gb, io_budget, autoscale_growth_percent)
         values ($1, $2, $3, 40, 0, 10)`,
        [team.id, newId(), projectId],
      )
    }
    await team.org.projects.delete(gone.id)
    await team.org.invitations.create({ email: 'ada@example.com', role: 'member' })
    const { plan, isFallback, limits } = await team.org.entitlements.get()
    expect({ plan: plan?.id.startsWith('plan_'), isFallback }).toEqual({ plan: true, isFallback: false })
    expect(limits).toEqual({
      max_projects: { limit: 3, used: 1 },
      max_members: { limit: 5, used: 2 },
      disk_gb: { limit: 100, used: 40 },
      seats: { limit: 1, used: undefined },
    })
  })

  test.each([
    ['2026-03-01 00:00:00+00', '2026-04-01 00:00:00+00', 10 + 20],
    ['2026-03-01 12:00:00+00', '2026-04-01 00:00:00+00', 3 + 20],
    ['2026-03-01 00:00:00+00', '2026-03-02 12:00:00+00', 10 + 5],
    ['2026-03-01 06:00:00+00', '2026-03-01 18:00:00+00', 2 + 3],
  ])('count a metric from %s to %s', async (from, to, expected) => {
    const team = await teams.newTeam({ plan: await planWith({ bandwidth_gb: 100 }) })
    const hours = {
      '2026-03-01T05': 5,
      '2026-03-01T11': 2,
      '2026-03-01T13': 3,
      '2026-03-02T11': 5,
      '2026-03-02T13': 15,
    }
    for (const [at, quantity] of Object.entries({ ...hours, '2026-04-01T00': 40 }))
      await used(team, `${at}:00:00Z`, quantity)
    await period(team, from, to)
    expect((await team.org.entitlements.get()).limits.bandwidth_gb).toEqual({ limit: 100, used: expected })
  })

  test('assert that there is room, for metrics only while spending is capped', async () => {
    const team = await teams.newTeam({ plan: await planWith({ bandwidth_gb: 100, maxProjects: 0 }) })
    await used(team, '2026-03-01T12:00:00Z', 99)
    await period(team, '2026-03-01 00:00:00+00', '2026-04-01 00:00:00+00')
    await team.org.entitlements.assert('bandwidth_gb')
    await expect(team.org.entitlements.assert('bandwidth_gb', 1.5)).rejects.toMatchObject({
      code: 'plan_limit',
      limit: 100,
      current: 99,
    })
    await admin().query('update platform.subscriptions set spend_cap_enabled = false where org_id = $1', [team.id])
    await team.org.entitlements.assert('bandwidth_gb', 1.5)
    await expect(team.org.entitlements.assert('max_projects')).rejects.toThrow(PlanLimitError)
    await team.org.entitlements.assert('unknown')
    await expect(team.org.entitlements.assert('bandwidth_gb', 0)).rejects.toThrow('amount: must be more than 0')
  })

  test('show a metric once it is recorded, and the total of what callers record at once', async () => {
    const team = await teams.newTeam({ plan: await planWith({ bandwidth_gb: 2 }) })
    await period(team, '2026-03-01 06:00:00+00', '2026-04-01 00:00:00+00')
    expect((await team.org.entitlements.get()).limits.bandwidth_gb).toEqual({ limit: 2, used: undefined })
    const at = (minute: number) => `2026-03-0${(minute % 2) + 1}T07:${String(minute).padStart(2, '0')}:00Z`
    await contend((minute) => used(team, at(minute), 0.1))
    expect((await team.org.entitlements.get()).limits.bandwidth_gb).toEqual({ limit: 2, used: 2 })
    await expect(team.org.entitlements.assert('bandwidth_gb', 0.1)).rejects.toMatchObject({ limit: 2, current: 2 })
    await used(team, '2026-03-01T05:59:59Z', 5)
    await used(team, '2026-03-03T00:00:00Z', 0.5)
    expect((await team.org.entitlements.get()).limits.bandwidth_gb).toEqual({ limit: 2, used: 2.5 })
  })

  test('need the permission to see the plan, and none to be asked', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('customer')
    const customer = await team.as(userId)
    await expect(customer.entitlements.get()).rejects.toThrow(ForbiddenError)
    await customer.entitlements.assert('max_projects')
  })
})
