import { describe, expect, test } from 'vitest'
import { BrokenReferenceError, ConflictError, ForbiddenError, InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { NewUsageEvent } from '../../src/schema/usage.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { race, waitersFor } from '../support/contenders.js'
import { keys, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const admin = () => teams.database.admin
const newOrg = async (): Promise<Org> => teams.tenancy.forOrg(await createOrganization(admin()))

const noon = new Date('2026-03-01T12:00:00Z')
const event = (values: Partial<NewUsageEvent> = {}): NewUsageEvent => ({
  key: newId(),
  metric: 'mails',
  quantity: '1.5',
  at: noon,
  ...values,
})

/** The totals by day as they are stored: metric, project, day and value. */
async function totalsOf({ id }: Org): Promise<string[]> {
  const rows = await admin().query<{ total: string }>(
    `select concat_ws(' ', metric_type, project_id, to_char(period_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
       extract(epoch from period_end - period_start) / 3600, trim_scale(metric_value)) as total
     from platform.usage_metrics where org_id = $1 order by 1`,
    [id],
  )
  return rows.map(({ total }) => total.replace(' 24.0000000000000000 ', ' '))
}

async function eventsOf({ id }: Org): Promise<number> {
  const [row] = await admin().query<{ count: number }>(
    'select count(*)::int as count from platform.usage_events where org_id = $1',
    [id],
  )
  return row?.count ?? 0
}

async function refusal(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => 'not refused',
    (error: unknown) => error,
  )
}

describe('record', () => {
  test('stores the event and adds it to the total of its UTC day', async () => {
    const org = await newOrg()
    const recorded = await org.usage.record(event({ key: 'one', quantity: '2.000001' }))
    expect(recorded).toMatchObject({
      orgId: org.id,
      idempotencyKey: 'one',
      metricType: 'mails',
      quantity: '2.000001',
      projectId: null,
      occurredAt: noon,
    })
    expect(recorded).not.toHaveProperty('bodyHash')
    await org.usage.record(event({ quantity: '0.5' }))
    await org.usage.record(event({ at: '2026-03-02T00:30:00+01:00' }))
    await org.usage.record(event({ at: '2026-03-02T00:00:00Z', quantity: '7' }))
    await org.usage.record(event({ metric: 'gb', quantity: '0' }))
    expect(await totalsOf(org)).toEqual([
      'gb 2026-03-01 00:00 0',
      'mails 2026-03-01 00:00 4.000001',
      'mails 2026-03-02 00:00 7',
    ])
    expect(await org.usage.findByKey('one')).toEqual(recorded)
  })

  test('takes one round trip, again and for a project too', async () => {
    const { id, org } = await teams.newTeam()
    const { id: projectId } = await org.projects.create({ name: 'One', slug: 'one' })
    const trips: number[] = []
    const counting = await openTenancy({
      url: teams.database.appUrl,
      keys,
      onQuery: ({ statements }) => trips.push(statements.length),
    })
    const counted = counting.forOrg(id).usage
    await counted.record(event({ key: 'one' }))
    await counted.record(event({ key: 'one' }))
    await counted.record(event({ projectId }))
    await counting.close()
    expect(trips).toEqual([1, 1, 1])
  })

  test('with the same body again is the first event and counts once', async () => {
    const org = await newOrg()
    const first = await org.usage.record(event({ key: 'one', quantity: '1.50' }))
    const again = [
      event({ key: 'one', quantity: '1.5' }),
      event({ key: 'one', quantity: '1.500000', at: '2026-03-01T13:00:00+01:00', projectId: null }),
    ]
    for (const same of again) expect(await org.usage.record(same)).toEqual(first)
    expect(await totalsOf(org)).toEqual(['mails 2026-03-01 00:00 1.5'])
  })

  test.each<[string, Partial<NewUsageEvent>]>([
    ['metric', { metric: 'calls' }],
    ['quantity', { quantity: '1.500001' }],
    ['time', { at: new Date(noon.getTime() + 1) }],
  ])('with another %s under the same key is a conflict that tells nothing of the first', async (_, other) => {
    const org = await newOrg()
    await org.usage.record(event({ key: 'one', quantity: '1.5' }))
    const refused = await refusal(org.usage.record(event({ key: 'one', ...other })))
    expect(refused).toBeInstanceOf(ConflictError)
    expect(refused).toMatchObject({ resource: 'usage_events', fields: ['key'] })
    expect(String(refused)).not.toMatch(/mails|1\.5/)
    expect(await totalsOf(org)).toEqual(['mails 2026-03-01 00:00 1.5'])
  })

  test('a key and its events are each organization’s own', async () => {
    const [ours, theirs] = [await newOrg(), await newOrg()]
    await ours.usage.record(event({ key: 'one', quantity: '1' }))
    await theirs.usage.record(event({ key: 'one', quantity: '2' }))
    expect(await totalsOf(ours)).toEqual(['mails 2026-03-01 00:00 1'])
    expect(await theirs.usage.list()).toMatchObject({ items: [{ quantity: '2.000000' }] })
  })

  test('a project must be live and of this organization, and its usage stays when it is gone', async () => {
    const [org, other] = [await newOrg(), await newOrg()]
    const { id: projectId } = await org.projects.create({ name: 'One', slug: 'one' })
    const { id: deleted } = await org.projects.create({ name: 'Two', slug: 'two' })
    await org.projects.delete(deleted)
    const { id: theirs } = await other.projects.create({ name: 'One', slug: 'one' })
    const { id: anotherId } = await org.projects.create({ name: 'Three', slug: 'three' })
    const first = await org.usage.record(event({ key: 'one', projectId }))
    for (const elsewhere of [anotherId, null]) {
      const refused = await refusal(org.usage.record(event({ key: 'one', projectId: elsewhere })))
      expect(refused).toBeInstanceOf(ConflictError)
      expect(refused).toMatchObject({ resource: 'usage_events', fields: ['key'] })
    }
    for (const bad of [deleted, theirs, newId()]) {
      const refused = await refusal(org.usage.record(event({ projectId: bad })))
      expect(refused).toBeInstanceOf(BrokenReferenceError)
      expect(refused).toMatchObject({ fields: ['projectId'] })
      const many = await refusal(org.usage.recordMany([event(), event({ projectId: bad })]))
      expect(many).toMatchObject({ name: 'BrokenReferenceError', fields: ['1.projectId'] })
    }
    expect(await eventsOf(org)).toBe(1)
    expect(await totalsOf(org)).toEqual([`mails ${projectId} 2026-03-01 00:00 1.5`])

    await org.projects.delete(projectId)
    expect(await org.usage.record(event({ key: 'one', projectId }))).toEqual(first)
    await org.projects.purge(projectId)
    expect(await org.usage.list({ projectId })).toMatchObject({ items: [{ id: first.id }] })
  })

  test.each([
    '-1',
    '+1',
    'NaN',
    'Infinity',
    '-Infinity',
    '1e3',
    '',
    ' ',
    ' 1',
    '1 ',
    '1.',
    '.5',
    '01',
    '0x1F',
    '1_000',
    '1,5',
    '1.0000001',
    '1'.repeat(25),
  ])('the quantity %j is refused before anything is sent', async (quantity) => {
    const org = await newOrg()
    const refused = await refusal(org.usage.record(event({ quantity })))
    expect(refused).toBeInstanceOf(InvalidInputError)
    expect(refused).toMatchObject({ faults: [{ field: 'quantity' }] })
    expect(await refusal(org.usage.recordMany([event(), event({ quantity })]))).toMatchObject({
      faults: [{ field: 'events.1.quantity' }],
    })
    expect(await eventsOf(org)).toBe(0)
  })

  test.each([1.5, 1n, null, undefined, { toString: () => '1' }])(
    'a quantity that is no text is refused',
    async (quantity) => {
      const org = await newOrg()
      await expect(org.usage.record(event({ quantity: quantity as never }))).rejects.toThrow(InvalidInputError)
    },
  )

  test.each([
    ['metric', { metric: ' ' }],
    ['key', { key: '' }],
    ['key', { key: 'x'.repeat(256) }],
    ['at', { at: 'yesterday' }],
    ['at', { at: new Date(NaN) }],
    ['projectId', { projectId: 'none' }],
    ['orgId', { orgId: newId() }],
  ])('%s is checked', async (field, values) => {
    const org = await newOrg()
    expect(await refusal(org.usage.record(event(values as object)))).toMatchObject({ faults: [{ field }] })
  })

  test('the database refuses what is no quantity too', async () => {
    const { id } = await newOrg()
    for (const quantity of ['-1', 'NaN']) {
      const insert = admin().query(
        `insert into platform.usage_events (org_id, id, idempotency_key, metric_type, quantity, occurred_at, body_hash)
         values ($1, $2::uuid, $2::text, 'mails', $3, now(), '\\x00')`,
        [id, newId(), quantity],
      )
      await expect(insert).rejects.toThrow('usage_events_quantity_check')
    }
  })

  test('a total that the database cannot hold refuses the event, and nothing is recorded', async () => {
    const org = await newOrg()
    const quantity = '9'.repeat(24)
    await org.usage.record(event({ quantity }))
    await expect(org.usage.record(event({ quantity }))).rejects.toThrow(InvalidInputError)
    expect(await eventsOf(org)).toBe(1)
  })

  test('any instant has its day', async () => {
    const org = await newOrg()
    for (const at of [
      '0001-01-01T00:00:00Z',
      '9999-12-31T23:59:59.999Z',
      '2024-02-29T23:59:59.999Z',
      '2026-03-29T01:30:00Z',
    ])
      await org.usage.record(event({ at, quantity: '1' }))
    const days = ['0001-01-01', '2024-02-29', '2026-03-29', '9999-12-31']
    expect(await totalsOf(org)).toEqual(days.map((day) => `mails ${day} 00:00 1`))
  })

  test('goes into a batch and a transaction, and is undone with them', async () => {
    const org = await newOrg()
    await org.batch((inner) => [inner.usage.record(event({ key: 'one' })), inner.usage.record(event({ key: 'two' }))])
    const conflicting = org.batch((inner) => [
      inner.usage.record(event({ key: 'three' })),
      inner.usage.record(event({ key: 'one', quantity: '9' })),
    ])
    await expect(conflicting).rejects.toThrow(ConflictError)
    const undone = org.transaction(async (inner) => {
      await inner.usage.record(event({ key: 'four' }))
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    expect(await eventsOf(org)).toBe(2)
    expect(await totalsOf(org)).toEqual(['mails 2026-03-01 00:00 3'])
  })

  test('is never refused because of a limit of the plan', async () => {
    const { org } = await teams.newTeam({ plan: await teams.newPlan({ mails: 0 }) })
    await expect(org.usage.record(event())).resolves.toBeDefined()
    await expect(org.usage.recordMany([event()])).resolves.toEqual({ recorded: 1, repeated: 0 })
  })

  test('follows the role in the organization alone', async () => {
    const team = await teams.newTeam()
    const { id: projectId } = await team.org.projects.create({ name: 'One', slug: 'one' })
    const { userId } = await team.join('member')
    await team.org.projects.members.add(projectId, { userId, role: 'owner' })
    const member = await team.as(userId)
    await expect(member.usage.record(event({ projectId }))).rejects.toThrow(ForbiddenError)
    await expect(member.usage.recordMany([])).rejects.toThrow(ForbiddenError)
    await expect(member.usage.summary({ projectId })).resolves.toMatchObject({ totals: [] })
    const { userId: customer } = await team.join('customer')
    const outside = await team.as(customer)
    await expect(outside.usage.list()).rejects.toThrow(ForbiddenError)
    await expect(outside.usage.summary()).rejects.toThrow(ForbiddenError)
  })
})

describe('recordMany', () => {
  test('records thousands at once, and the same ones again as nothing new', async () => {
    const org = await newOrg()
    const days = ['2026-03-01', '2026-03-02', '2026-03-03']
    const many = Array.from({ length: 6000 }, (_, index) =>
      event({
        key: `key ${index}`,
        metric: index % 2 === 0 ? 'mails' : 'calls',
        quantity: '0.000001',
        at: `${days[index % 3] ?? ''}T08:00:00Z`,
      }),
    )
    expect(await org.usage.recordMany(many)).toEqual({ recorded: 6000, repeated: 0 })
    const before = await totalsOf(org)
    expect(before).toHaveLength(6)
    expect(before[0]).toBe('calls 2026-03-01 00:00 0.001')
    expect(await org.usage.recordMany([...many.slice(0, 100), event({ quantity: '1' })])).toEqual({
      recorded: 1,
      repeated: 100,
    })
    expect(await eventsOf(org)).toBe(6001)
    expect((await totalsOf(org)).slice(0, 3)).toEqual(before.slice(0, 3))
  })

  test('counts an event once that stands in the list twice', async () => {
    const org = await newOrg()
    const one = event({ quantity: '2' })
    expect(await org.usage.recordMany([one, { ...one, quantity: '2.0' }, event({ quantity: '1' })])).toEqual({
      recorded: 2,
      repeated: 1,
    })
    expect(await totalsOf(org)).toEqual(['mails 2026-03-01 00:00 3'])
    expect(await org.usage.recordMany([])).toEqual({ recorded: 0, repeated: 0 })
  })

  test('records nothing where one key belongs to another event, in the list or before it', async () => {
    const org = await newOrg()
    const first = await org.usage.record(event({ key: 'one' }))
    const before = [event(), event(), event({ key: 'one', quantity: '9' })]
    expect(await refusal(org.usage.recordMany(before))).toMatchObject({ name: 'ConflictError', fields: ['2.key'] })
    const inside = [event({ key: 'two' }), event({ key: 'two', quantity: '9' })]
    expect(await refusal(org.usage.recordMany(inside))).toMatchObject({ name: 'ConflictError', fields: ['1.key'] })
    expect((await org.usage.list()).items).toEqual([first])
    expect(await totalsOf(org)).toEqual(['mails 2026-03-01 00:00 1.5'])
  })

  test.each(['no list', { length: 3 }, [undefined], [[]]])('what is no list of events is refused', async (events) => {
    const org = await newOrg()
    await expect(org.usage.recordMany(events as never)).rejects.toThrow(InvalidInputError)
  })

  test('more than 50,000 are refused', async () => {
    const org = await newOrg()
    const events = Array<NewUsageEvent>(50_001).fill(event())
    await expect(org.usage.recordMany(events)).rejects.toThrow('events: has more than 50000 items')
  })
})

describe('at once', () => {
  race('50 callers add up exactly on one day, with repeated keys among them', async () => {
    const org = await newOrg()
    const calls = Array.from({ length: 50 }, (_, caller) =>
      org.usage.record(event({ key: `key ${caller % 40}`, quantity: '0.1' })),
    )
    const recorded = await Promise.all(calls)
    expect(new Set(recorded.map(({ id }) => id)).size).toBe(40)
    expect(await eventsOf(org)).toBe(40)
    expect(await totalsOf(org)).toEqual(['mails 2026-03-01 00:00 4'])
  })

  race('of 20 with one key and bodies of their own one is recorded', async () => {
    const org = await newOrg()
    const settled = await Promise.allSettled(
      Array.from({ length: 20 }, (_, caller) => org.usage.record(event({ key: 'one', quantity: `${caller + 1}` }))),
    )
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(settled.filter((one) => one.status === 'rejected' && one.reason instanceof ConflictError)).toHaveLength(19)
    expect(await totalsOf(org)).toHaveLength(1)
  })

  test.each<[string, (word: string) => NewUsageEvent]>([
    ['keys', (word) => event({ key: word, quantity: '1' })],
    ['metrics', (word) => event({ metric: word, quantity: '1' })],
  ])('lists with the same %s in opposite orders, both held up halfway, do not deadlock', async (_, one) => {
    const org = await newOrg()
    const words = ['a', 'm', 'z']
    const lists: Promise<unknown>[] = []
    const held = org.transaction(async (inner) => {
      await inner.usage.record(one('m'))
      for (const list of [words, words.toReversed()]) lists.push(org.usage.recordMany(list.map(one)))
      await waitersFor(admin(), '%insert into "platform"."usage_events"%', 2)
      throw new Error('undone')
    })
    await expect(held).rejects.toThrow('undone')
    await expect(Promise.all(lists)).resolves.toHaveLength(2)
  })

  race('lists with the same keys and days in opposite orders neither deadlock nor count twice', async () => {
    const org = await newOrg()
    const all = Array.from({ length: 30 }, (_, index) =>
      event({
        key: `key ${index}`,
        metric: `metric ${index % 5}`,
        quantity: '1',
        at: `2026-03-0${(index % 3) + 1}T08:00:00Z`,
      }),
    )
    const callers = Array.from({ length: 24 }, (_, caller) => {
      const own = event({ key: `own ${caller}`, metric: `metric ${caller % 5}`, quantity: '1' })
      const mixed = [...all.slice(caller), own, ...all.slice(0, caller)]
      return org.usage.recordMany(caller % 2 === 0 ? mixed : mixed.reverse())
    })
    const recorded = await Promise.all(callers)
    expect(recorded.reduce((sum, one) => sum + one.recorded, 0)).toBe(54)
    expect(await eventsOf(org)).toBe(54)
    const totals = await totalsOf(org)
    expect(totals.reduce((sum, total) => sum + Number(total.split(' ').at(-1)), 0)).toBe(54)
  })
})
