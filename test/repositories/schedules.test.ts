import { describe, expect, test } from 'vitest'
import { BrokenReferenceError, ConflictError, NotFoundError, VersionConflictError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { NewSchedule, Schedule } from '../../src/schema/schedules.js'
import { entriesOf } from '../support/audited-rows.js'
import { contend } from '../support/contenders.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg, database } = useTenancy()

/** A schedule of a new workflow: every hour, unless told. */
async function newSchedule(org: Org, values: Partial<NewSchedule> = {}): Promise<Schedule> {
  const workflow = await org.workflows.create({ name: 'x', slug: newId() })
  return org.schedules.create({
    workflowId: workflow.id,
    name: 'hourly',
    cron: '0 * * * *',
    timezone: 'UTC',
    ...values,
  })
}

/** As if the schedule had last been moved on long ago. */
async function rewind({ orgId, id }: Schedule, nextRunAt: string): Promise<void> {
  await database.admin.query('update platform.schedules set next_run_at = $3 where org_id = $1 and id = $2', [
    orgId,
    id,
    nextRunAt,
  ])
}

const iso = (moment: Date | null | undefined) => moment?.toISOString()
const runsOf = async (org: Org) =>
  (await org.tasks.list({ orderBy: 'id' })).items.map(({ scheduledFor }) => iso(scheduledFor))

test('a schedule is created with its next run, and changed', async () => {
  const org = await newOrg()
  const before = Date.now()
  const schedule = await newSchedule(org, { input: { n: 1 } })
  expect(schedule).toMatchObject({ orgId: org.id, enabled: true, missedRuns: 'skip', input: { n: 1 }, lastRunAt: null })
  const next = schedule.nextRunAt?.getTime() ?? 0
  expect(next % 3_600_000).toBe(0)
  expect(next).toBeGreaterThan(before)
  expect(next).toBeLessThanOrEqual(Date.now() + 3_600_000)
  expect(await org.schedules.get(schedule.id)).toEqual(schedule)
  expect(await org.schedules.update(schedule.id, { name: 'x', input: null })).toMatchObject({
    name: 'x',
    input: null,
    revision: 2,
  })
})

test('a name is unique in its organization while the schedule lives', async () => {
  const org = await newOrg()
  const { workflowId } = await newSchedule(org, { name: 'first' })
  const create = () => org.schedules.create({ workflowId, name: 'daily', cron: '0 9 * * *', timezone: 'UTC' })
  const { won, lost } = await contend(create)
  expect(won).toHaveLength(1)
  expect(lost).toEqual(Array.from({ length: 19 }, () => expect.any(ConflictError) as unknown))

  const { id } = won[0] as Schedule
  await org.schedules.delete(id)
  expect(await org.schedules.find(id)).toBeUndefined()
  await expect(org.schedules.fire(id)).rejects.toThrow(NotFoundError)
  await expect(org.schedules.update(id, { name: 'x' })).rejects.toThrow(NotFoundError)
  const heir = await create()
  await expect(org.schedules.restore(id)).rejects.toThrow(ConflictError)
  await org.schedules.delete(heir.id)
  await expect(org.schedules.restore(id)).resolves.toMatchObject({ id, deletedAt: null })
})

test.each([
  ['cron', { cron: '* * * *' }],
  ['cron', { cron: '60 * * * *' }],
  ['cron', { cron: 'every hour' }],
  ['cron', { cron: '0 0 1 1 * * 2027' }],
  ['cron', { cron: '2030-01-01T00:00:00' }],
  ['cron', { cron: '@daily' }],
  ['cron', { cron: '0 0 31 2 *' }],
  ['cron', { cron: ' ' }],
  ['cron', { cron: 5 }],
  ['timezone', { timezone: 'Mars/Olympus' }],
  ['timezone', { timezone: '+01:00' }],
  ['timezone', { timezone: '' }],
  ['timezone', { timezone: 'x'.repeat(65) }],
  ['missedRuns', { missedRuns: 'all' }],
  ['nextRunAt', { nextRunAt: new Date() }],
  ['orgId', { orgId: newId() }],
  ['id', { id: newId() }],
  ['createdAt', { createdAt: new Date() }],
])('%s is named when it is wrong: %j', async (field, values) => {
  const org = await newOrg()
  const schedule = await newSchedule(org)
  const refusal = { code: 'invalid_input', faults: [{ field, reason: expect.any(String) as unknown }] }
  await expect(newSchedule(org, { name: 'x', ...values } as never)).rejects.toMatchObject(refusal)
  await expect(org.schedules.update(schedule.id, values as never)).rejects.toMatchObject(refusal)
  expect(await org.schedules.list()).toMatchObject({ items: [schedule] })
})

test('a workflow that is missing, deleted or another organization’s is refused in the same words', async () => {
  const org = await newOrg()
  const theirs = await newSchedule(await newOrg())
  const deleted = await org.workflows.create({ name: 'x', slug: 'x' })
  await org.workflows.delete(deleted.id)
  for (const workflowId of [newId(), deleted.id, theirs.workflowId]) {
    await expect(newSchedule(org, { workflowId })).rejects.toMatchObject({
      name: 'BrokenReferenceError',
      message: 'schedules: workflowId does not refer to a row of this organization',
    })
  }
})

test('no schedule is made for a workflow after the workflow was deleted', async () => {
  const org = await newOrg()
  const { id: workflowId } = await org.workflows.create({ name: 'x', slug: 'x' })
  const create = (contender: number) =>
    org.schedules.create({ workflowId, name: `${contender}`, cron: '0 * * * *', timezone: 'UTC' })
  const [{ won, lost }] = await Promise.all([contend(create), org.workflows.delete(workflowId)])
  expect(lost.filter((error) => !(error instanceof BrokenReferenceError))).toEqual([])
  await expect(create(20)).rejects.toThrow(BrokenReferenceError)
  expect(await org.schedules.count()).toBe(won.length)
})

describe('a change', () => {
  test('of the cron expression, the zone, or from disabled to enabled gives the next run anew', async () => {
    const org = await newOrg()
    const schedule = await newSchedule(org, { cron: '0 9 1 1 *', timezone: 'UTC' })
    const hourly = await org.schedules.update(schedule.id, { cron: '30 * * * *' })
    expect(hourly.nextRunAt?.getUTCMinutes()).toBe(30)
    const kolkata = await org.schedules.update(schedule.id, { timezone: 'Asia/Kolkata' })
    expect(kolkata.nextRunAt?.getUTCMinutes()).toBe(0)

    await org.schedules.disable(schedule.id)
    await rewind(schedule, '2020-01-01T00:00:00Z')
    const enabled = await org.schedules.enable(schedule.id)
    expect(enabled.nextRunAt?.getTime()).toBeGreaterThan(Date.now())
  })

  test('to disabled or enabled has an entry of that name in the audit log', async () => {
    const org = await newOrg()
    const { id } = await newSchedule(org)
    await org.schedules.disable(id)
    await org.schedules.enable(id)
    await org.schedules.update(id, { enabled: false })
    const entries = await entriesOf(database.admin, org.id)
    expect(entries.slice(-3).map(({ event_type: event }) => event)).toEqual([
      'schedules.disable',
      'schedules.enable',
      'schedules.update',
    ])
  })

  test('of anything else does not lose a run that is due', async () => {
    const org = await newOrg()
    const schedule = await newSchedule(org)
    await rewind(schedule, '2026-01-01T09:00:00Z')
    const { cron, timezone } = schedule
    const patch = { name: 'x', input: 1, missedRuns: 'run_once', enabled: true, cron, timezone } as const
    expect(iso((await org.schedules.update(schedule.id, patch)).nextRunAt)).toBe('2026-01-01T09:00:00.000Z')
    expect(iso((await org.schedules.disable(schedule.id)).nextRunAt)).toBe('2026-01-01T09:00:00.000Z')
  })

  test('of one revision by twenty is made by one; without a revision all are made', async () => {
    const org = await newOrg()
    const { id, revision } = await newSchedule(org)
    const { won, lost } = await contend((contender) => org.schedules.update(id, { input: contender }, { revision }))
    expect(won).toMatchObject([{ revision: 2 }])
    expect(lost).toEqual(Array.from({ length: 19 }, () => expect.any(VersionConflictError) as unknown))

    const all = await contend((contender) => org.schedules.update(id, { input: contender }))
    expect(all.lost).toEqual([])
    expect(await org.schedules.get(id)).toMatchObject({ revision: 22 })
  })

  test('with options or a patch that are none is refused', async () => {
    const org = await newOrg()
    const { id } = await newSchedule(org)
    for (const options of [null, { revision: '1' }, { revison: 1 }]) {
      await expect(org.schedules.update(id, { name: 'x' }, options as never)).rejects.toMatchObject({
        code: 'invalid_input',
      })
    }
    for (const patch of [null, {}, { workflowId: newId() }]) {
      await expect(org.schedules.update(id, patch as never)).rejects.toMatchObject({ code: 'invalid_input' })
    }
  })
})

describe('due', () => {
  test('gives what should have run, the longest waiting first', async () => {
    const org = await newOrg()
    const [first, second, third] = [
      await newSchedule(org, { name: 'first' }),
      await newSchedule(org, { name: 'second' }),
      await newSchedule(org, { name: 'third' }),
    ]
    await rewind(second, '2026-01-01T08:00:00Z')
    await rewind(first, '2026-01-01T09:00:00Z')
    expect((await org.schedules.due()).map(({ name }) => name)).toEqual(['second', 'first'])
    expect((await org.schedules.due({ limit: 1 })).map(({ name }) => name)).toEqual(['second'])
    expect(await org.schedules.due({ at: new Date('2026-01-01T07:59:59Z') })).toEqual([])
    expect(await org.schedules.due({ at: '2026-01-01T08:00:00Z' })).toMatchObject([{ name: 'second' }])
    expect(await org.schedules.due({ at: third.nextRunAt as Date })).toHaveLength(3)
  })

  test('passes over what is disabled or deleted, and what is of a deleted or archived workflow', async () => {
    const org = await newOrg()
    const all: Schedule[] = []
    for (const name of ['disabled', 'deleted', 'of a deleted one', 'of an archived one', 'left']) {
      const schedule = await newSchedule(org, { name })
      await rewind(schedule, '2026-01-01T08:00:00Z')
      all.push(schedule)
    }
    const [disabled, deleted, ofDeleted, ofArchived] = all as [Schedule, Schedule, Schedule, Schedule]
    await org.schedules.disable(disabled.id)
    await org.schedules.delete(deleted.id)
    await org.workflows.delete(ofDeleted.workflowId)
    await org.workflows.archive(ofArchived.workflowId)
    await rewind(await newSchedule(await newOrg()), '2026-01-01T08:00:00Z')
    expect((await org.schedules.due()).map(({ name }) => name)).toEqual(['left'])
  })

  test.each([null, { limit: 0 }, { at: 'now' }, { orgId: newId() }])('with %j is refused', async (options) => {
    const org = await newOrg()
    await expect(org.schedules.due(options as never)).rejects.toMatchObject({ code: 'invalid_input' })
  })
})

describe('fire', () => {
  test('queues the run and moves the schedule on', async () => {
    const org = await newOrg()
    const schedule = await newSchedule(org, { input: { n: 1 } })
    await rewind(schedule, '2026-01-01T09:00:00Z')
    const fired = await org.schedules.fire(schedule.id, new Date('2026-01-01T09:00:05Z'))
    expect(iso(fired.schedule.nextRunAt)).toBe('2026-01-01T10:00:00.000Z')
    expect(iso(fired.schedule.lastRunAt)).toBe('2026-01-01T09:00:00.000Z')
    expect(await org.tasks.get(fired.taskId ?? '')).toMatchObject({
      workflowId: schedule.workflowId,
      scheduleId: schedule.id,
      scheduledFor: new Date('2026-01-01T09:00:00Z'),
      input: { n: 1 },
      status: 'queued',
    })
    expect(await org.tasks.claim({ owner: 'w' })).toMatchObject([{ id: fired.taskId }])
  })

  test('is audited as such', async () => {
    const org = await newOrg()
    const schedule = await newSchedule(org)
    await rewind(schedule, '2026-01-01T09:00:00Z')
    await org.schedules.fire(schedule.id, new Date('2026-01-01T09:00:05Z'))
    const { items } = await org.audit.list({ resourceType: 'schedules', resourceId: schedule.id })
    expect(items.map(({ eventType, action }) => [eventType, action])).toEqual([
      ['schedules.fire', 'update'],
      ['schedules.create', 'create'],
    ])
  })

  test('does nothing before the time has come, or a second time', async () => {
    const org = await newOrg()
    const { id } = await newSchedule(org)
    expect(await org.schedules.fire(id)).toMatchObject({
      taskId: undefined,
      schedule: { revision: 1, lastRunAt: null },
    })
    expect(await org.tasks.count()).toBe(0)
  })

  test('twenty that fire one run queue one task', async () => {
    const org = await newOrg()
    const schedule = await newSchedule(org)
    await rewind(schedule, '2026-01-01T09:00:00Z')
    const at = new Date('2026-01-01T09:00:05Z')
    const { won, lost } = await contend(() => org.schedules.fire(schedule.id, at))
    expect(lost).toEqual([])
    expect(won.filter(({ taskId }) => taskId !== undefined)).toHaveLength(1)
    expect(await runsOf(org)).toEqual(['2026-01-01T09:00:00.000Z'])
    expect(await org.schedules.get(schedule.id)).toMatchObject({ revision: 2 })
  })

  test('gives the task that is there when the schedule was set back', async () => {
    const org = await newOrg()
    const schedule = await newSchedule(org)
    const at = new Date('2026-01-01T09:00:05Z')
    await rewind(schedule, '2026-01-01T09:00:00Z')
    const first = await org.schedules.fire(schedule.id, at)
    await rewind(schedule, '2026-01-01T09:00:00Z')
    expect((await org.schedules.fire(schedule.id, at)).taskId).toBe(first.taskId)
    expect(await org.tasks.count()).toBe(1)
  })

  test('skips runs that were missed, where the policy says so', async () => {
    const org = await newOrg()
    const schedule = await newSchedule(org)
    await rewind(schedule, '2026-01-01T06:00:00Z')
    const fired = await org.schedules.fire(schedule.id, new Date('2026-01-01T09:30:00Z'))
    expect(fired.taskId).toBeUndefined()
    expect(iso(fired.schedule.nextRunAt)).toBe('2026-01-01T10:00:00.000Z')
    expect(fired.schedule.lastRunAt).toBeNull()
    expect(await org.tasks.count()).toBe(0)
  })

  test.each([
    ['0 * * * *', '2026-01-01T09:30:00Z', '2026-01-01T09:00:00.000Z'],
    ['0 * * * *', '2026-01-01T09:00:00Z', '2026-01-01T09:00:00.000Z'],
    ['* * * * * *', '2026-01-01T09:00:02.500Z', '2026-01-01T09:00:02.000Z'],
    ['* * * * * *', '2026-01-01T09:00:02.999Z', '2026-01-01T09:00:02.000Z'],
  ])('queues the last run of %s that was missed at %s, once', async (cron, at, last) => {
    const org = await newOrg()
    const schedule = await newSchedule(org, { cron, missedRuns: 'run_once' })
    await rewind(schedule, '2026-01-01T06:00:00Z')
    const fired = await org.schedules.fire(schedule.id, new Date(at))
    expect(iso(fired.schedule.lastRunAt)).toBe(last)
    expect(fired.schedule.nextRunAt?.getTime()).toBeGreaterThan(Date.parse(at))
    await org.schedules.fire(schedule.id, new Date(at))
    expect(await runsOf(org)).toEqual([last])
  })

  test('is refused for a disabled schedule, and by anything that is no moment', async () => {
    const org = await newOrg()
    const { id } = await newSchedule(org)
    for (const at of ['soon', 1, null, new Date(NaN), {}]) {
      await expect(org.schedules.fire(id, at as never)).rejects.toMatchObject({ code: 'invalid_input' })
    }
    await org.schedules.disable(id)
    await expect(org.schedules.fire(id)).rejects.toMatchObject({ code: 'conflict', fields: ['enabled'] })
    await expect(org.schedules.fire(newId())).rejects.toThrow(NotFoundError)
    await expect((await newOrg()).schedules.fire(id)).rejects.toThrow(NotFoundError)
  })

  test('does nothing while the workflow is deleted or archived', async () => {
    const org = await newOrg()
    const schedule = await newSchedule(org)
    await rewind(schedule, '2026-01-01T09:00:00Z')
    const fire = () => org.schedules.fire(schedule.id, new Date('2026-01-01T09:00:05Z'))
    await org.workflows.delete(schedule.workflowId)
    expect(await fire()).toMatchObject({ taskId: undefined, schedule: { revision: 1 } })
    await org.workflows.restore(schedule.workflowId)
    await org.workflows.archive(schedule.workflowId)
    expect(await fire()).toMatchObject({ taskId: undefined, schedule: { revision: 1 } })
    expect(await org.tasks.count()).toBe(0)
  })
})

describe('daylight saving', () => {
  /** Fires run after run, each at its own moment. */
  async function runs(org: Org, schedule: Schedule, count: number): Promise<(string | undefined)[]> {
    for (let run = 0; run < count; run++) {
      const { nextRunAt } = await org.schedules.get(schedule.id)
      await org.schedules.fire(schedule.id, nextRunAt as Date)
    }
    return runsOf(org)
  }

  test.each([
    // 02:30 does not exist on the 29th: the clock goes from 02:00 to 03:00.
    [
      'Europe/Berlin',
      '30 2 * * *',
      ['2026-03-28T01:30:00.000Z', '2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z'],
    ],
    // 02:30 comes twice on the 25th.
    [
      'Europe/Berlin',
      '30 2 * * *',
      ['2026-10-24T00:30:00.000Z', '2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z'],
    ],
    [
      'America/New_York',
      '30 2 * * *',
      ['2026-03-07T07:30:00.000Z', '2026-03-08T07:00:00.000Z', '2026-03-09T06:30:00.000Z'],
    ],
    // 01:30 comes twice on the 1st.
    [
      'America/New_York',
      '30 1 * * *',
      ['2026-10-31T05:30:00.000Z', '2026-11-01T05:30:00.000Z', '2026-11-02T06:30:00.000Z'],
    ],
    // Every hour is every hour.
    [
      'Europe/Berlin',
      '0 * * * *',
      ['2026-10-25T00:00:00.000Z', '2026-10-25T01:00:00.000Z', '2026-10-25T02:00:00.000Z'],
    ],
    [
      'Europe/Berlin',
      '0 * * * *',
      ['2026-03-29T00:00:00.000Z', '2026-03-29T01:00:00.000Z', '2026-03-29T02:00:00.000Z'],
    ],
  ])('in %s, %s runs at %j', async (timezone, cron, expected) => {
    const org = await newOrg()
    const schedule = await newSchedule(org, { cron, timezone })
    await rewind(schedule, expected[0] as string)
    expect(await runs(org, schedule, 3)).toEqual(expected)
  })
})

test('a purge takes the schedule and leaves the tasks of its runs, without it', async () => {
  const org = await newOrg()
  const schedule = await newSchedule(org)
  const { taskId = '' } = await org.schedules.fire(schedule.id, schedule.nextRunAt as Date)
  await org.schedules.delete(schedule.id)
  expect(await org.schedules.purge(schedule.id)).toMatchObject({ id: schedule.id })
  expect(await org.tasks.get(taskId)).toMatchObject({ scheduleId: null, scheduledFor: schedule.nextRunAt })
  await expect(org.schedules.restore(schedule.id)).rejects.toThrow(NotFoundError)
})
