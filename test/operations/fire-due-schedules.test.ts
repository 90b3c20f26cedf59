import { afterEach, describe, expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openSession } from '../../src/database/session.js'
import type { NewSchedule, Schedule } from '../../src/schema/schedules.js'
import { systemBefore } from '../support/before-statement.js'
import { contend, race } from '../support/contenders.js'
import { type Team, useTeams } from '../support/use-teams.js'
import { behindChange } from '../support/waiting.js'

const teams = useTeams()
const sql = <Row>(text: string, values: readonly unknown[] = []) => teams.database.admin.query<Row>(text, values)
const fireDue = (options?: Parameters<ReturnType<typeof teams.system>['schedules']['fireDue']>[0]) =>
  teams.system().schedules.fireDue(options)

// Each test fires at a moment of its own, and what others have left would be due then.
afterEach(() => sql('update platform.schedules set enabled = false'))

/** A schedule that is due at that moment, by the organization's own workflow. */
async function newSchedule(team: Team, nextRunAt: string, values: Partial<NewSchedule> = {}): Promise<Schedule> {
  const { id } = await team.org.workflows.create({ name: 'Work', slug: newId() })
  const cron = { cron: '0 * * * *', timezone: 'UTC' }
  const schedule = await team.org.schedules.create({ workflowId: id, name: newId(), ...cron, ...values })
  await sql('update platform.schedules set next_run_at = $3 where org_id = $1 and id = $2', [
    team.id,
    schedule.id,
    nextRunAt,
  ])
  return schedule
}

/** The system's operations, with `work` between finding due schedules and locking the first of them. */
const beforeLock = (work: () => Promise<unknown>) =>
  systemBefore(teams.database.systemUrl, /for no key update of s skip locked/, work)

const runsOf = async ({ org }: Team) =>
  (await org.tasks.list({ orderBy: 'createdAt' })).items.map(({ scheduledFor }) => scheduledFor?.toISOString()).sort()

test('fires what is due in every organization, and moves it on', async () => {
  const [one, two] = [await teams.newTeam(), await teams.newTeam()]
  const first = await newSchedule(one, '2026-01-01T09:00:00Z', { input: { n: 1 } })
  const second = await newSchedule(two, '2026-01-01T09:00:00Z')
  await newSchedule(two, '2026-01-01T11:00:00Z')
  const at = new Date('2026-01-01T09:00:05Z')
  const { fired, failed } = await fireDue({ at })
  expect(failed).toEqual([])
  expect(fired.map(({ orgId, schedule }) => [orgId, schedule.id]).toSorted()).toEqual(
    [
      [one.id, first.id],
      [two.id, second.id],
    ].toSorted(),
  )
  const [task] = (await one.org.tasks.list()).items
  expect(task).toMatchObject({ scheduleId: first.id, workflowId: first.workflowId, input: { n: 1 }, status: 'queued' })
  expect(fired.map(({ taskId }) => taskId)).toContain(task?.id)
  expect((await one.org.schedules.get(first.id)).nextRunAt?.toISOString()).toBe('2026-01-01T10:00:00.000Z')
  expect(await fireDue({ at })).toEqual({ fired: [], failed: [] })

  const entries = await sql<{ metadata: object }>(
    `select metadata from platform.system_audit_logs where operation = 'schedules.fire' and target_org_id = $1`,
    [one.id],
  )
  expect(entries).toEqual([{ metadata: { scheduleId: first.id, taskId: task?.id } }])
  const { items } = await one.org.audit.list({ resourceType: 'schedules', resourceId: first.id })
  expect(items.map(({ eventType, actorKind }) => [eventType, actorKind])).toContainEqual(['schedules.fire', 'system'])
})

test('one of each organization comes first, whoever has many', async () => {
  const [many, one] = [await teams.newTeam(), await teams.newTeam()]
  for (let made = 0; made < 5; made++) await newSchedule(many, '2026-02-01T08:00:00Z')
  await newSchedule(one, '2026-02-01T09:00:00Z')
  const at = new Date('2026-02-01T09:00:05Z')
  const { fired } = await fireDue({ limit: 2, at })
  expect(fired.map(({ orgId }) => orgId).toSorted()).toEqual([many.id, one.id].toSorted())
  expect((await fireDue({ at })).fired).toHaveLength(4)
})

test('missed runs follow the policy of their schedule', async () => {
  const team = await teams.newTeam()
  const skipping = await newSchedule(team, '2026-03-01T06:00:00Z', { missedRuns: 'skip' })
  const once = await newSchedule(team, '2026-03-01T06:00:00Z', { missedRuns: 'run_once' })
  const { fired } = await fireDue({ at: new Date('2026-03-01T09:30:00Z') })
  expect(fired.find(({ schedule }) => schedule.id === skipping.id)?.taskId).toBeUndefined()
  expect(await runsOf(team)).toEqual(['2026-03-01T09:00:00.000Z'])
  for (const { id } of [skipping, once]) {
    expect((await team.org.schedules.get(id)).nextRunAt?.toISOString()).toBe('2026-03-01T10:00:00.000Z')
  }
})

test('skips what is disabled or deleted, workflows that do not run, and organizations that are closed', async () => {
  const due = '2026-04-01T08:00:00Z'
  const [team, suspended, deleted] = [await teams.newTeam(), await teams.newTeam(), await teams.newTeam()]
  await team.org.schedules.disable((await newSchedule(team, due)).id)
  await team.org.schedules.delete((await newSchedule(team, due)).id)
  await team.org.workflows.delete((await newSchedule(team, due)).workflowId)
  await team.org.workflows.archive((await newSchedule(team, due)).workflowId)
  await newSchedule(suspended, due)
  await newSchedule(deleted, due)
  await teams.system().organizations.suspend(suspended.id, 'unpaid')
  await teams.system().organizations.delete(deleted.id)
  const at = new Date('2026-04-01T08:00:05Z')
  expect(await fireDue({ at })).toEqual({ fired: [], failed: [] })
  await teams.system().organizations.reactivate(suspended.id)
  expect((await fireDue({ at })).fired.map(({ orgId }) => orgId)).toEqual([suspended.id])
})

test('a schedule that cannot be fired does not stop the others, and stays due', async () => {
  const [broken, sound] = [await teams.newTeam(), await teams.newTeam()]
  const { id } = await newSchedule(broken, '2026-05-01T08:00:00Z')
  await sql(`update platform.schedules set timezone = 'Nowhere/Else' where id = $1`, [id])
  await newSchedule(sound, '2026-05-01T08:00:00Z')
  const at = new Date('2026-05-01T08:00:05Z')
  const { fired, failed } = await fireDue({ at })
  expect(fired.map(({ orgId }) => orgId)).toEqual([sound.id])
  expect(failed).toEqual([{ orgId: broken.id, scheduleId: id, error: expect.any(InvalidInputError) as unknown }])
  await expect(fireDue({ at })).rejects.toThrow('timezone')
  expect(await broken.org.tasks.count()).toBe(0)
})

test('a schedule that fails is told, and nothing is thrown where another call has the others', async () => {
  const [broken, taken] = [await teams.newTeam(), await teams.newTeam()]
  const { id } = await newSchedule(broken, '2026-07-01T08:00:00Z')
  await sql(`update platform.schedules set timezone = 'Nowhere/Else' where id = $1`, [id])
  const other = await newSchedule(taken, '2026-07-01T08:00:00Z')
  const holder = await openSession({ url: teams.database.adminUrl })
  try {
    await holder.query('begin')
    await holder.query('select from platform.schedules where id = $1 for update', [other.id])
    const { fired, failed } = await fireDue({ at: new Date('2026-07-01T08:00:05Z') })
    expect(fired).toEqual([])
    expect(failed).toMatchObject([{ orgId: broken.id, scheduleId: id }])
  } finally {
    await holder.close()
  }
})

test('a schedule of a workflow that is archived meanwhile is not fired, and not told as fired', async () => {
  const team = await teams.newTeam()
  const { id, workflowId } = await newSchedule(team, '2026-08-01T08:00:00Z')
  const archive = () => sql(`update platform.workflows set status = 'archived' where id = $1`, [workflowId])
  const at = new Date('2026-08-01T08:00:05Z')
  const done = await behindChange(teams.database.admin, archive, () => fireDue({ at }))
  expect(done).toEqual({ fired: [], failed: [] })
  expect(await team.org.tasks.count()).toBe(0)
  expect((await team.org.schedules.get(id)).nextRunAt?.toISOString()).toBe('2026-08-01T08:00:00.000Z')
  const entries = await sql(
    `select from platform.system_audit_logs where operation = 'schedules.fire' and target_org_id = $1`,
    [team.id],
  )
  expect(entries).toEqual([])
})

describe('daylight saving', () => {
  test.each([
    // 02:30 does not exist on the 29th.
    ['Europe/Berlin', ['2026-03-28T01:30:00.000Z', '2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z']],
    // 02:30 comes twice on the 25th.
    ['Europe/Berlin', ['2026-10-24T00:30:00.000Z', '2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z']],
  ])('in %s, 02:30 runs at %j', async (timezone, expected) => {
    const team = await teams.newTeam()
    const { id } = await newSchedule(team, expected[0] ?? '', { cron: '30 2 * * *', timezone })
    for (let run = 0; run < 3; run++) {
      const { nextRunAt } = await team.org.schedules.get(id)
      await fireDue({ at: nextRunAt as Date })
      // The same moment again, as when the clock is set back.
      await fireDue({ at: nextRunAt as Date })
    }
    expect(await runsOf(team)).toEqual(expected)
  })
})

test('a schedule that another call holds is passed over at once, and stays due', async () => {
  const [held, free] = [await teams.newTeam(), await teams.newTeam()]
  const { id } = await newSchedule(held, '2026-07-01T08:00:00Z')
  await newSchedule(free, '2026-07-01T08:00:00Z')
  const at = new Date('2026-07-01T08:00:05Z')
  const holder = await openSession({ url: teams.database.adminUrl })
  try {
    await holder.query('begin')
    await holder.query('select from platform.schedules where id = $1 for no key update', [id])
    const { fired, failed } = await fireDue({ at })
    expect([fired.map(({ orgId }) => orgId), failed]).toEqual([[free.id], []])
    expect(await runsOf(held)).toEqual([])
  } finally {
    await holder.close()
  }
  expect((await fireDue({ at })).fired.map(({ orgId }) => orgId)).toEqual([held.id])
})

test('an organization that is suspended after its schedule was found is skipped', async () => {
  const [closing, open] = [await teams.newTeam(), await teams.newTeam()]
  const { id } = await newSchedule(closing, '2026-08-01T08:00:00Z')
  await newSchedule(open, '2026-08-01T08:00:00Z')
  const { schedules } = beforeLock(() => teams.system().organizations.suspend(closing.id, 'unpaid'))
  const { fired, failed } = await schedules.fireDue({ at: new Date('2026-08-01T08:00:05Z') })
  expect([fired.map(({ orgId }) => orgId), failed]).toEqual([[open.id], []])
  const [row] = await sql<object>('select next_run_at, last_run_at from platform.schedules where id = $1', [id])
  expect(row).toEqual({ next_run_at: new Date('2026-08-01T08:00:00Z'), last_run_at: null })
  expect(await sql('select from platform.tasks where org_id = $1', [closing.id])).toEqual([])
})

test.each(['disable', 'delete'] as const)(
  'a schedule is not fired after %s, though it was found before',
  async (verb) => {
    const team = await teams.newTeam()
    const [changed, sound] = [
      await newSchedule(team, '2026-09-01T08:00:00Z'),
      await newSchedule(team, '2026-09-01T08:30:00Z'),
    ]
    const { schedules } = beforeLock(() => team.org.schedules[verb](changed.id))
    const { fired, failed } = await schedules.fireDue({ at: new Date('2026-09-01T08:30:05Z') })
    expect([fired.map(({ schedule }) => schedule.id), failed]).toEqual([[sound.id], []])
    expect((await team.org.tasks.list()).items).toMatchObject([{ scheduleId: sound.id }])
    const [row] = await sql<object>('select next_run_at, last_run_at from platform.schedules where id = $1', [
      changed.id,
    ])
    expect(row).toEqual({ next_run_at: new Date('2026-09-01T08:00:00Z'), last_run_at: null })
  },
)

race('twenty at once queue each run once', async () => {
  const made = await Promise.all([teams.newTeam(), teams.newTeam(), teams.newTeam()])
  for (const team of made) await newSchedule(team, '2026-06-01T08:00:00Z')
  const { won, lost } = await contend(() => fireDue({ at: new Date('2026-06-01T08:00:05Z') }))
  expect(lost).toEqual([])
  expect(won.flatMap(({ fired }) => fired)).toHaveLength(3)
  expect(won.flatMap(({ failed }) => failed)).toEqual([])
  for (const team of made) expect(await runsOf(team)).toEqual(['2026-06-01T08:00:00.000Z'])
})

test.each([{ limit: 0 }, { at: 'soon' }, { orgId: newId() }, null])('%j is refused', async (options) => {
  await expect(fireDue(options as never)).rejects.toThrow(InvalidInputError)
})
