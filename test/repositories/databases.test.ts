import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import {
  BrokenReferenceError,
  ConflictError,
  ForbiddenError,
  InvalidCursorError,
  InvalidInputError,
  NotFoundError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { ProjectDatabases } from '../../src/repositories/databases.js'
import { Secret } from '../../src/schema/shared/secret.js'
import { entriesOf } from '../support/audited-rows.js'
import { contend, race, waitersFor } from '../support/contenders.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const main = { name: 'main', type: 'postgresql', connectionString: 'postgres://marker' } as const

async function newProjects() {
  const team = await teams.newTeam()
  const { id } = await team.org.projects.create({ name: 'One', slug: 'one' })
  const { id: otherId } = await team.org.projects.create({ name: 'Two', slug: 'two' })
  return { team, org: team.org, id, otherId, all: team.org.projects.databases }
}

test('a database is made, changed, hidden and restored, and belongs to one project', async () => {
  const { all, id, otherId } = await newProjects()
  const made = await all.create(id, main)
  expect(made).toMatchObject({ projectId: id, name: 'main', status: 'active', health: 'unknown', config: {} })
  expect(await all.get(id, made.id)).toEqual(made)
  expect((await all.list(id, { type: 'postgresql' })).items).toEqual([made])
  expect(await all.update(id, made.id, { status: 'inactive' })).toMatchObject({ status: 'inactive' })

  expect(await all.find(otherId, made.id)).toBeUndefined()
  expect((await all.list(otherId)).items).toEqual([])
  for (const call of [
    () => all.get(otherId, made.id),
    () => all.update(otherId, made.id, { name: 'taken' }),
    () => all.recordHealth(otherId, made.id, { health: 'down' }),
    () => all.reveal(otherId, made.id),
    () => all.delete(otherId, made.id),
    () => all.restore(otherId, made.id),
  ])
    await expect(call()).rejects.toThrow(NotFoundError)

  await all.delete(id, made.id)
  expect(await all.find(id, made.id)).toBeUndefined()
  const second = await all.create(id, main)
  await expect(all.restore(id, made.id)).rejects.toThrow(ConflictError)
  await all.update(id, second.id, { name: 'second' })
  expect(await all.restore(id, made.id)).toMatchObject({ name: 'main', status: 'inactive' })
})

test('the name is unique in the project, and an unknown project has no database', async () => {
  const { all, id, otherId } = await newProjects()
  const { won, lost } = await contend(() => all.create(id, main))
  expect(won).toHaveLength(1)
  expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
  await expect(all.create(otherId, main)).resolves.toBeDefined()
  await expect(all.create(newId(), main)).rejects.toThrow(BrokenReferenceError)
  await expect(all.create(id, { ...main, type: 'paper' as never })).rejects.toThrow(InvalidInputError)
})

test('a connection string is stored encrypted, is revealed by its own permission, and that is audited', async () => {
  const { team, all, id } = await newProjects()
  const made = await all.create(id, { ...main, connectionString: new Secret('marker-1') })
  expect(inspect([made, await all.get(id, made.id), await all.list(id)])).not.toContain('marker')
  expect((await all.reveal(id, made.id))?.reveal()).toBe('marker-1')
  await all.update(id, made.id, { connectionString: 'marker-2' })
  expect((await all.reveal(id, made.id))?.reveal()).toBe('marker-2')
  const bare = await all.create(id, { name: 'bare', type: 'redis' })
  expect(await all.reveal(id, bare.id)).toBeUndefined()

  const entries = (await entriesOf(teams.database.admin, team.id)).filter(
    ({ event_type }) => event_type === 'databases.reveal',
  )
  expect(entries).toHaveLength(3)
  expect(inspect(await entriesOf(teams.database.admin, team.id), { depth: null })).not.toContain('marker')
  const reader = await team.join('read_only')
  const reading = (await team.as(reader.userId)).projects.databases
  expect(await reading.get(id, made.id)).toMatchObject({ name: 'main' })
  await expect(reading.reveal(id, made.id)).rejects.toMatchObject({ permission: 'credentials:reveal' })
})

test('a role in the project reaches its databases alone', async () => {
  const { team, org, all, id, otherId } = await newProjects()
  const [mine, other] = [await all.create(id, main), await all.create(otherId, main)]
  const { userId } = await team.join('customer')
  await org.projects.members.add(id, { userId, role: 'developer' })
  const building = (await team.as(userId)).projects.databases
  expect(await building.get(id, mine.id)).toEqual(mine)
  expect((await building.reveal(id, mine.id))?.reveal()).toBe('postgres://marker')
  await building.metrics.record(id, mine.id, [{ metricType: 'cpu', value: 1 }])
  await building.connections.log(id, mine.id, { eventType: 'opened' })
  const range = { metricType: 'cpu', from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', step: 3600 }
  await all.metrics.record(otherId, other.id, [{ metricType: 'cpu', value: 9, recordedAt: '2026-01-01T00:30:00Z' }])
  expect(await all.metrics.query(otherId, other.id, range)).toMatchObject([{ value: 9 }])
  for (const call of [
    () => building.get(otherId, other.id),
    () => building.create(otherId, main),
    () => building.reveal(otherId, other.id),
    () => building.metrics.record(otherId, other.id, []),
    () => building.metrics.query(otherId, other.id, range),
    () => building.connections.list(otherId),
    () => building.connections.log(otherId, other.id, { eventType: 'opened' }),
  ])
    await expect(call()).rejects.toThrow(ForbiddenError)
  // The role in one project does not reach a database of another one that is named beside it.
  await expect(building.get(id, other.id)).rejects.toThrow(NotFoundError)
  await expect(building.metrics.record(id, other.id, [{ metricType: 'cpu', value: 1 }])).rejects.toThrow(
    BrokenReferenceError,
  )
  await expect(building.connections.log(id, other.id, { eventType: 'opened' })).rejects.toThrow(BrokenReferenceError)
  expect(await building.metrics.query(id, other.id, range)).toEqual([])
})

race('health is noted with its time, and an earlier check never replaces a later one', async () => {
  const { all, id } = await newProjects()
  const made = await all.create(id, main)
  const now = await all.recordHealth(id, made.id, { health: 'healthy', healthCheckedAt: '2026-01-01T00:00:00Z' })
  expect(now).toMatchObject({ health: 'healthy', healthCheckedAt: new Date('2026-01-01T00:00:00Z') })
  const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 1, minute))
  const { lost } = await contend((n) =>
    all.recordHealth(id, made.id, { health: n === 19 ? 'down' : 'degraded', healthCheckedAt: at(n) }),
  )
  expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
  expect(await all.get(id, made.id)).toMatchObject({ health: 'down', healthCheckedAt: at(19) })
  expect((await all.recordHealth(id, made.id, { health: 'healthy' })).healthCheckedAt).toBeInstanceOf(Date)
  await expect(all.recordHealth(id, made.id, { health: 'fine' as never })).rejects.toThrow('health')
})

test('measurements are recorded together or not at all, and are put into buckets', async () => {
  const { all, id } = await newProjects()
  const { id: databaseId } = await all.create(id, main)
  const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute))
  const values = [4, 1, 7, 2].map((value, index) => ({ metricType: 'cpu', value, recordedAt: at(index * 20) }))
  expect(await all.metrics.record(id, databaseId, [...values, { metricType: 'memory', value: 99.5 }])).toBe(5)
  expect(await all.metrics.record(id, databaseId, [])).toBe(0)
  const ask = (aggregate?: 'min' | 'max' | 'avg' | 'sum' | 'count' | 'last', empty = false) =>
    all.metrics.query(id, databaseId, { metricType: 'cpu', from: at(0), to: at(180), step: 3600, aggregate, empty })
  expect(await ask()).toEqual([
    { at: at(0), value: 4 },
    { at: at(60), value: 2 },
  ])
  const firsts = await Promise.all(
    (['min', 'max', 'sum', 'count', 'last'] as const).map(async (one) => (await ask(one))[0]?.value),
  )
  expect(firsts).toEqual([1, 7, 12, 3, 7])
  expect((await ask('max', true)).map(({ value }) => value)).toEqual([7, 2, null])

  const bad = [...values, { metricType: 'cpu', value: Number.NaN }]
  await expect(all.metrics.record(id, databaseId, bad)).rejects.toThrow(InvalidInputError)
  await expect(all.metrics.record(id, newId(), values)).rejects.toThrow(BrokenReferenceError)
  expect((await ask('count')).map(({ value }) => value)).toEqual([3, 1])
  await all.delete(id, databaseId)
  expect(await ask()).toEqual([])
})

test('a query of measurements is bounded', async () => {
  const { all, id } = await newProjects()
  const { id: databaseId } = await all.create(id, main)
  const from = new Date(Date.UTC(2026, 0, 1))
  const to = (seconds: number) => new Date(from.getTime() + seconds * 1000)
  const ask = (range: object) => all.metrics.query(id, databaseId, { metricType: 'cpu', ...range } as never)
  await expect(ask({ from, step: 60 })).rejects.toThrow('to: ')
  await expect(ask({ from, to: from, step: 60 })).rejects.toThrow('to: must be later than from')
  await expect(ask({ from, to: to(10_001), step: 1 })).rejects.toThrow('step: makes more than 10000 buckets')
  expect(await ask({ from, to: to(10_000), step: 1, empty: true })).toHaveLength(10_000)
  await expect(ask({ from, to: to(367 * 86_400), step: 86_400 })).rejects.toThrow('is more than 366 days after from')
  await expect(ask({ from, to: to(60), step: 0 })).rejects.toThrow('step')
})

test('events of connections are listed newest first, over a project or one of its databases', async () => {
  const { all, id, otherId } = await newProjects()
  const [one, two] = [await all.create(id, main), await all.create(id, { name: 'two', type: 'redis' })]
  const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute))
  for (const [minute, { id: databaseId }] of [one, two, one].entries())
    await all.connections.log(id, databaseId, { eventType: 'opened', message: `at ${minute}`, recordedAt: at(minute) })
  const first = await all.connections.list(id, { limit: 2 })
  expect(first.items.map(({ message }) => message)).toEqual(['at 2', 'at 1'])
  expect((await all.connections.list(id, { limit: 2, after: first.next })).items).toMatchObject([{ message: 'at 0' }])
  expect((await all.connections.list(id, { databaseId: two.id })).items).toMatchObject([{ message: 'at 1' }])
  expect(
    await all.connections.list(id, { databaseId: one.id, limit: 1, select: ['message'], total: true }),
  ).toMatchObject({
    items: [{ message: 'at 2' }],
    total: 2,
  })
  expect((await all.list(id, { type: 'redis', select: ['name'], total: true })).total).toBe(1)
  await expect(all.connections.list(otherId, { limit: 2, after: first.next })).rejects.toThrow(InvalidCursorError)
  await expect(all.connections.log(id, newId(), { eventType: 'opened' })).rejects.toThrow(BrokenReferenceError)
  await all.delete(id, one.id)
  expect((await all.connections.list(id)).items).toMatchObject([{ databaseId: two.id }])
})

test('what belongs to a deleted project is hidden, and comes back with it', async () => {
  const { org, all, id } = await newProjects()
  const { id: databaseId } = await all.create(id, main)
  const at = new Date(Date.UTC(2026, 0, 1))
  await all.metrics.record(id, databaseId, [{ metricType: 'cpu', value: 1, recordedAt: at }])
  await all.connections.log(id, databaseId, { eventType: 'opened' })
  const range = { metricType: 'cpu', from: at, to: new Date(at.getTime() + 60_000), step: 60 }
  await org.projects.delete(id)
  expect(await all.find(id, databaseId)).toBeUndefined()
  expect((await all.list(id)).items).toEqual([])
  expect(await all.metrics.query(id, databaseId, range)).toEqual([])
  expect((await all.connections.list(id)).items).toEqual([])
  await expect(all.reveal(id, databaseId)).rejects.toThrow(NotFoundError)
  await expect(all.update(id, databaseId, { name: 'x' })).rejects.toThrow(NotFoundError)
  await expect(all.metrics.record(id, databaseId, [{ metricType: 'cpu', value: 1 }])).rejects.toThrow(
    BrokenReferenceError,
  )
  await expect(all.connections.log(id, databaseId, { eventType: 'opened' })).rejects.toThrow(BrokenReferenceError)
  await org.projects.restore(id)
  expect(await all.metrics.query(id, databaseId, range)).toEqual([{ at, value: 1 }])
  expect((await all.connections.list(id)).items).toHaveLength(1)
})

describe.each(['database', 'project'] as const)('while the %s is being deleted', (deleted) => {
  const recorded = {
    database_metrics: ({ metrics }: ProjectDatabases, id: string, databaseId: string) =>
      metrics.record(id, databaseId, [{ metricType: 'cpu', value: 1 }]),
    database_connection_logs: ({ connections }: ProjectDatabases, id: string, databaseId: string) =>
      connections.log(id, databaseId, { eventType: 'opened' }),
  }

  test.each(Object.entries(recorded))('a new row of %s waits, and is refused then', async (table, record) => {
    const { org, all, id } = await newProjects()
    const { admin } = teams.database
    const { id: databaseId } = await all.create(id, main)
    const { late } = await org.transaction(async (tx) => {
      await (deleted === 'database' ? tx.projects.databases.delete(id, databaseId) : tx.projects.delete(id))
      const outcome = record(all, id, databaseId).then(
        () => 'recorded',
        (error: unknown) => error,
      )
      const isWaiting = waitersFor(admin, `%for share%${table}%`, 1).then(() => 'waits')
      expect(await Promise.race([outcome, isWaiting])).toBe('waits')
      return { late: outcome }
    })
    expect(await late).toBeInstanceOf(BrokenReferenceError)
    const [rows] = await admin.query(`select count(*)::int from platform.${table} where database_id = $1`, [databaseId])
    expect(rows).toEqual({ count: 0 })
  })
})
