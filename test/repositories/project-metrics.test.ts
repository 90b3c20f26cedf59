import { expect, test } from 'vitest'
import { BrokenReferenceError, ForbiddenError, InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { openSession } from '../../src/database/session.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { Tenancy } from '../../src/tenancy.js'
import { recording } from '../support/recording-executor.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const start = Date.UTC(2026, 0, 1)
const at = (minutes: number) => new Date(start + minutes * 60_000)

async function newProject() {
  const team = await teams.newTeam()
  const { id } = await team.org.projects.create({ name: 'One', slug: 'one' })
  return { team, org: team.org, id, metrics: team.org.projects.metrics }
}

test('measurements come back in buckets, with what is missing left out', async () => {
  const { metrics, id } = await newProject()
  const rows = [
    { recordedAt: at(0), cpuUsage: '10', networkInBytes: 4_000_000_000_000 },
    { recordedAt: at(30), cpuUsage: '20.5', activeConnections: 7 },
    { recordedAt: at(59), activeConnections: 3 },
    { recordedAt: at(120), cpuUsage: '99.99' },
  ]
  expect(await metrics.record(id, rows)).toBe(4)
  const range = { from: at(0), to: at(180), step: 3600 }
  const none = { min: null, max: null, avg: null, last: null }
  const [first, second] = await metrics.query(id, range)
  expect(first).toMatchObject({
    at: at(0),
    count: 3,
    cpuUsage: { min: 10, max: 20.5, avg: 15.25, last: 20.5 },
    activeConnections: { min: 3, max: 7, avg: 5, last: 3 },
    networkInBytes: { min: 4e12, max: 4e12, avg: 4e12, last: 4e12 },
    memoryUsage: none,
  })
  expect(second).toMatchObject({ at: at(120), count: 1, cpuUsage: { last: 99.99 } })
  const cpu = await metrics.query(id, { ...range, metrics: ['cpuUsage'], empty: true })
  expect(cpu.map((bucket) => [bucket.at, bucket.count])).toEqual([
    [at(0), 3],
    [at(60), 0],
    [at(120), 1],
  ])
  expect(cpu[1]).toEqual({ at: at(60), count: 0, cpuUsage: none })
  // A bucket begins where the range does, and the end of the range is not in it.
  const shifted = await metrics.query(id, { from: at(30), to: at(120), step: 5400, metrics: ['cpuUsage'] })
  expect(shifted).toEqual([{ at: at(30), count: 2, cpuUsage: { min: 20.5, max: 20.5, avg: 20.5, last: 20.5 } }])
})

test('a value that is undefined is missing, as one that is left out', async () => {
  const { metrics, id } = await newProject()
  const rows = [
    { recordedAt: at(0), cpuUsage: '10' },
    { recordedAt: at(1), cpuUsage: undefined, queryCount: 7 },
  ]
  expect(await metrics.record(id, rows)).toBe(2)
  const [bucket] = await metrics.query(id, { from: at(0), to: at(60), step: 3600 })
  expect(bucket).toMatchObject({ count: 2, cpuUsage: { max: 10 }, queryCount: { max: 7 } })
})

test('tens of thousands are recorded in one statement, all or none', async () => {
  const { metrics, id } = await newProject()
  const rows = Array.from({ length: 20_000 }, (_, n) => ({ recordedAt: at(n), cpuUsage: String(n % 100) }))
  expect(await metrics.record(id, rows)).toBe(20_000)
  const [all] = await metrics.query(id, { from: at(0), to: at(20_000), step: 20_000 * 60, metrics: ['cpuUsage'] })
  expect(all).toEqual({ at: at(0), count: 20_000, cpuUsage: { min: 0, max: 99, avg: 49.5, last: 99 } })
  await expect(metrics.record(id, [...rows.slice(0, 5), { recordedAt: at(0), cpuUsage: '100.01' }])).rejects.toThrow(
    'cpuUsage',
  )
  await expect(metrics.record(id, [{ recordedAt: at(0) }, {}])).rejects.toThrow('every row must have the same fields')
  await expect(metrics.record(newId(), rows.slice(0, 5))).rejects.toThrow(BrokenReferenceError)
  expect(await metrics.record(id, [])).toBe(0)
  const [same] = await metrics.query(id, { from: at(0), to: at(20_000), step: 20_000 * 60 })
  expect(same?.count).toBe(20_000)
})

test('a query without bounds, or with too many buckets, is refused before it is sent', async () => {
  const { metrics, id } = await newProject()
  const ask = (range: object) => metrics.query(id, { from: at(0), to: at(60), step: 60, ...range })
  await expect(ask({ from: undefined })).rejects.toThrow(InvalidInputError)
  await expect(ask({ to: at(0) })).rejects.toThrow('to: must be later than from')
  await expect(ask({ to: at(10_001) })).rejects.toThrow('step: makes more than 10000 buckets')
  await expect(ask({ step: 0.5 })).rejects.toThrow('step')
  await expect(ask({ metrics: [] })).rejects.toThrow('metrics')
  await expect(ask({ metrics: ['mood'] })).rejects.toThrow('metrics')
})

test('those of a deleted project are hidden, and a role in the project reaches its own alone', async () => {
  const { team, org, metrics, id } = await newProject()
  const { id: otherId } = await org.projects.create({ name: 'Two', slug: 'two' })
  await metrics.record(id, [{ recordedAt: at(0), cpuUsage: '1' }])
  const range = { from: at(0), to: at(60), step: 3600 }
  const { userId } = await team.join('customer')
  await org.projects.members.add(id, { userId, role: 'developer' })
  const mine = (await team.as(userId)).projects.metrics
  expect(await mine.query(id, range)).toHaveLength(1)
  expect(await mine.record(id, [{ cpuUsage: '1' }])).toBe(1)
  await expect(mine.query(otherId, range)).rejects.toThrow(ForbiddenError)
  await expect(mine.record(otherId, [])).rejects.toThrow(ForbiddenError)
  await org.projects.delete(id)
  expect(await metrics.query(id, range)).toEqual([])
  await expect(metrics.record(id, [{ cpuUsage: '1' }])).rejects.toThrow(BrokenReferenceError)
})

interface PlanNode {
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Index Cond'?: string
  readonly Plans?: readonly PlanNode[]
}
const nodesOf = (plan: PlanNode): PlanNode[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

test('a query of a month reads one partition, by its index, with either kind of plan', async () => {
  const { team, id } = await newProject()
  const now = new Date()
  const month = (offset: number) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset))
  const hours = Array.from({ length: 24 * 28 }, (_, hour) => hour * 3_600_000)
  const rows = [0, 1].flatMap((offset) =>
    hours.map((hour) => ({ recordedAt: new Date(month(offset).getTime() + hour), cpuUsage: '50' })),
  )
  for (const other of [team, await teams.newTeam(), await teams.newTeam()]) {
    const project = other === team ? id : (await other.org.projects.create({ name: 'One', slug: 'one' })).id
    await other.org.projects.metrics.record(project, rows)
  }
  await teams.database.admin.query('vacuum analyze platform.project_metrics')

  const { executor, sent } = recording(openNodePostgres({ pool: { connectionString: teams.database.appUrl, max: 1 } }))
  const tenancy = new Tenancy(executor, secretsOf(passingKeyring()))
  const range = { from: month(0), to: month(1), step: 86_400 }
  expect(await tenancy.forOrg(team.id).projects.metrics.query(id, range)).toHaveLength(28)
  await tenancy.close({ drain: 0 })
  const call = [...sent.values()].find(({ statement }) => statement.text.includes('date_bin'))

  const session = await openSession({ url: teams.database.appUrl })
  await session.query('begin')
  await session.query('select platform.enter_org($1)', [team.id])
  await session.query(`prepare asked as ${call?.statement.text ?? ''}`)
  const given = [team.id, id, range.from.toISOString(), range.to.toISOString(), String(range.step)]
  const partition = `project_metrics_${month(0).toISOString().slice(0, 7).replace('-', '_')}`
  for (const kind of ['force_custom_plan', 'force_generic_plan']) {
    await session.query(`set local plan_cache_mode = ${kind}`)
    const [explained] = await session.query<{ 'QUERY PLAN': readonly [{ Plan: PlanNode }] }>(
      `explain (format json) execute asked(${given.map((value) => `'${value}'`).join()})`,
    )
    const plan = explained?.['QUERY PLAN'][0].Plan
    const nodes = nodesOf(plan ?? {}).filter((node) =>
      JSON.stringify([node['Relation Name'], node['Index Name']]).includes('project_metrics'),
    )
    const names = new Set(nodes.flatMap((node) => [node['Relation Name'], node['Index Name']]))
    names.delete(undefined)
    expect([kind, ...names].sort()).toEqual([kind, partition, `${partition}_pkey`])
    const condition = nodes.find((node) => node['Index Cond'] !== undefined)?.['Index Cond']
    expect(condition).toMatch(/org_id = .*project_id = .*recorded_at >= .*recorded_at < /)
  }
  await session.close()
})
