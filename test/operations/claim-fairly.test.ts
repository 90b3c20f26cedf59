import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ConflictError, InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { openSession } from '../../src/database/session.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import type { FairClaimOptions } from '../../src/operations/claim-fairly.js'
import { Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { systemBefore } from '../support/before-statement.js'
import { contend, race } from '../support/contenders.js'
import { recording } from '../support/recording-executor.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const sql = <Row>(text: string, values: readonly unknown[] = []) => teams.database.admin.query<Row>(text, values)
const queue = () => teams.system().tasks
const owner = 'worker'
// So long that no lease ends while a test runs.
const leaseSeconds = 3600
const claim = (options: Partial<FairClaimOptions>) => queue().claimFair({ owner, leaseSeconds, ...options })

/** Queues so many tasks of a kind, oldest first, in a new organization. Each test has a kind of its own. */
async function newQueue(kind: string, count: number, runAt = '-1 h'): Promise<string> {
  const orgId = await createOrganization(teams.database.admin)
  await sql(
    `insert into platform.tasks (org_id, id, kind, run_at)
     select $1, gen_random_uuid(), $2, now() + $4::interval + n * interval '1 ms' from generate_series(1, $3::int) n`,
    [orgId, kind, count, runAt],
  )
  return orgId
}

const queuedIn = async (orgId: string) =>
  (await sql<{ id: string }>('select id from platform.tasks where org_id = $1 order by run_at', [orgId])).map(
    ({ id }) => id,
  )

/** The system's operations, with `work` between finding organizations and claiming their tasks. */
const beforeClaim = (work: () => Promise<unknown>) =>
  systemBefore(teams.database.systemUrl, /update "platform"\."tasks"/, work)

const countBy = (tasks: readonly { orgId: string }[]) =>
  tasks.reduce((counts, { orgId }) => counts.set(orgId, (counts.get(orgId) ?? 0) + 1), new Map<string, number>())

const entriesOf = (operation: string, kind: string) =>
  sql<{ metadata: { tasks: number } }>(
    `select metadata from platform.system_audit_logs where operation = $1 and metadata->>'owner' = $2
     order by created_at, id`,
    [operation, kind],
  )

test('a tenant with 10,000 older tasks does not keep twenty others waiting', async () => {
  const kind = newId()
  const large = await newQueue(kind, 10_000, '-2 d')
  const small: string[] = []
  for (let made = 0; made < 20; made++) small.push(await newQueue(kind, 1))
  const claimed = await claim({ limit: 25, kinds: [kind] })
  const counts = countBy(claimed)
  expect(small.map((id) => counts.get(id))).toEqual(small.map(() => 1))
  expect(counts.get(large)).toBe(5)
  expect(claimed).toHaveLength(25)
  expect(countBy(await claim({ limit: 25, kinds: [kind] }))).toEqual(new Map([[large, 25]]))
})

test('each gets one in turn, and no more than perOrg', async () => {
  const kind = newId()
  const orgs = [await newQueue(kind, 7), await newQueue(kind, 2), await newQueue(kind, 1)]
  // Of each organization the oldest come first.
  const left = new Map(await Promise.all(orgs.map(async (id) => [id, await queuedIn(id)] as const)))
  const served = async (options: object) => {
    const claimed = await claim({ kinds: [kind], ...options })
    return orgs.map((orgId) => {
      const ids = claimed.filter((task) => task.orgId === orgId).map(({ id }) => id)
      expect(ids).toEqual(left.get(orgId)?.splice(0, ids.length))
      return ids.length
    })
  }
  expect(await served({ limit: 5 })).toEqual([2, 2, 1])
  expect(await served({ perOrg: 3 })).toEqual([3, 0, 0])
  expect(await served({})).toEqual([2, 0, 0])
  expect(await served({})).toEqual([0, 0, 0])
})

test('where there are more organizations than tasks to claim, each gets its turn', async () => {
  const kind = newId()
  for (let made = 0; made < 4; made++) await newQueue(kind, 30)
  const served = new Set<string>()
  for (let call = 0; call < 60; call++) {
    for (const { orgId } of await claim({ limit: 1, kinds: [kind] })) served.add(orgId)
  }
  // That one of four is never drawn happens once in ten million times.
  expect(served.size).toBe(4)
})

test('a claimed task has its lease, which its organization’s own calls take', async () => {
  const team = await teams.newTeam()
  const kind = newId()
  const first = await team.org.tasks.enqueue({ kind, priority: 1 })
  const urgent = await team.org.tasks.enqueue({ kind, input: { n: 1 } })
  const later = await team.org.tasks.enqueue({ kind, runAt: new Date(Date.now() + 3_600_000) })
  const claimed = await queue().claimFair({ owner, kinds: [kind], leaseSeconds: 300 })
  expect(claimed.map(({ id }) => id)).toEqual([urgent.id, first.id])
  const [task] = claimed
  expect(task).toMatchObject({ orgId: team.id, status: 'running', attempt: 1, leaseOwner: owner, input: { n: 1 } })
  const lasts = (task?.leaseExpiresAt?.getTime() ?? 0) - (task?.updatedAt.getTime() ?? 0)
  expect(Math.round(lasts / 1000)).toBe(300)
  const org = teams.tenancy.forOrg(task?.orgId ?? '')
  await org.tasks.heartbeat(task as never)
  expect(await org.tasks.complete(task as never, { output: 1 })).toMatchObject({ status: 'succeeded' })
  expect(await team.org.tasks.get(later.id)).toMatchObject({ status: 'queued' })
})

test('suspended and deleted organizations are skipped, and workflows that are deleted or archived', async () => {
  const kind = newId()
  const [suspended, deleted, open] = [await teams.newTeam(), await teams.newTeam(), await teams.newTeam()]
  for (const { org } of [suspended, deleted, open]) await org.tasks.enqueue({ kind })
  const gone = await open.org.workflows.create({ name: 'Gone', slug: 'gone' })
  const archived = await open.org.workflows.create({ name: 'Archived', slug: 'archived' })
  const active = await open.org.workflows.create({ name: 'Active', slug: 'active' })
  for (const { id } of [gone, archived, active]) await open.org.tasks.enqueue({ kind, workflowId: id })
  await open.org.workflows.delete(gone.id)
  await open.org.workflows.archive(archived.id)
  await teams.system().organizations.suspend(suspended.id, 'unpaid')
  await teams.system().organizations.delete(deleted.id)
  const claimed = await claim({ kinds: [kind] })
  expect(countBy(claimed)).toEqual(new Map([[open.id, 2]]))
  expect(claimed.map(({ workflowId }) => workflowId).toSorted()).toEqual([active.id, null].toSorted())
  await teams.system().organizations.reactivate(suspended.id)
  expect(countBy(await claim({ kinds: [kind] }))).toEqual(new Map([[suspended.id, 1]]))
})

test('an organization that is suspended after its tasks were found is skipped', async () => {
  const kind = newId()
  const [closing, open] = [await newQueue(kind, 2), await newQueue(kind, 2)]
  const { tasks } = beforeClaim(() => teams.system().organizations.suspend(closing, 'unpaid'))
  const claimed = await tasks.claimFair({ owner, leaseSeconds, kinds: [kind] })
  expect(countBy(claimed)).toEqual(new Map([[open, 2]]))
  expect(await sql(`select from platform.tasks where org_id = $1 and status = 'queued'`, [closing])).toHaveLength(2)
})

test('a task that is cancelled, deleted or put off after its organization was found is not claimed', async () => {
  const kind = newId()
  const { org, id } = await teams.newTeam()
  const made = [1, 2, 3, 4].map((priority) => org.tasks.enqueue({ kind, priority }))
  const [cancelled = '', deleted = '', later = '', left = ''] = (await Promise.all(made)).map((task) => task.id)
  const { tasks } = beforeClaim(async () => {
    await org.tasks.cancel(cancelled)
    await sql('delete from platform.tasks where org_id = $1 and id = $2', [id, deleted])
    await sql(`update platform.tasks set run_at = now() + interval '1 h' where org_id = $1 and id = $2`, [id, later])
  })
  const claimed = await tasks.claimFair({ owner, leaseSeconds, kinds: [kind] })
  expect(claimed.map((task) => task.id)).toEqual([left])
  expect(await org.tasks.get(cancelled)).toMatchObject({ status: 'canceled', attempt: 0, leaseOwner: null })
  expect(await org.tasks.get(later)).toMatchObject({ status: 'queued', attempt: 0 })
  expect(await org.tasks.find(deleted)).toBeUndefined()
})

test('what an organization cannot run leaves its place to the others', async () => {
  const kind = newId()
  const blocked = await teams.newTeam()
  const { id: workflowId } = await blocked.org.workflows.create({ name: 'One', slug: 'one' })
  for (let made = 0; made < 5; made++) await blocked.org.tasks.enqueue({ kind, workflowId })
  await blocked.org.workflows.archive(workflowId)
  const other = await newQueue(kind, 4)
  expect(countBy(await claim({ limit: 4, kinds: [kind] }))).toEqual(new Map([[other, 4]]))
})

test('a claim is recorded when it claimed something', async () => {
  const kind = newId()
  await newQueue(kind, 3)
  await newQueue(kind, 1)
  await claim({ owner: kind, kinds: [kind], limit: 3 })
  await claim({ owner: kind, kinds: [kind] })
  await claim({ owner: kind, kinds: [kind] })
  const entries = await entriesOf('tasks.claimFair', kind)
  expect(entries.map(({ metadata }) => metadata)).toEqual([
    { owner: kind, tasks: 3, organizations: 2 },
    { owner: kind, tasks: 1, organizations: 1 },
  ])
})

test.each([
  {},
  { owner: ' ' },
  { owner, limit: 0 },
  { owner, perOrg: 0 },
  { owner, kinds: [] },
  { owner, orgId: newId() },
])('a claim with %j is refused', async (options) => {
  await expect(queue().claimFair(options as never)).rejects.toThrow(InvalidInputError)
})

race('twenty workers never claim one task twice, and leave none', async () => {
  const kind = newId()
  const orgs = [
    await newQueue(kind, 150),
    ...(await Promise.all([20, 5, 1, 1, 1].map((count) => newQueue(kind, count)))),
  ]
  const { won, lost } = await contend(async () => {
    const mine: { id: string; orgId: string; leaseToken: string }[] = []
    for (;;) {
      const claimed = await claim({ owner: kind, limit: 5, kinds: [kind] })
      if (claimed.length === 0) return mine
      mine.push(...claimed)
    }
  })
  expect(lost).toEqual([])
  const all = won.flat()
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
  expect(orgs.map((id) => countBy(all).get(id))).toEqual([150, 20, 5, 1, 1, 1])
  const entries = await entriesOf('tasks.claimFair', kind)
  expect(entries.reduce((sum, { metadata }) => sum + metadata.tasks, 0)).toBe(178)
})

describe('expired leases', () => {
  const expire = (kind: string) =>
    sql(`update platform.tasks set lease_expires_at = now() - interval '1 s' where kind = $1 and status = 'running'`, [
      kind,
    ])

  test('are queued again or failed in every organization, and the first worker is refused', async () => {
    const kind = newId()
    const team = await teams.newTeam()
    await team.org.tasks.enqueue({ kind, maxAttempts: 2 })
    await team.org.tasks.enqueue({ kind })
    const other = await newQueue(kind, 3)
    const claimed = await claim({ kinds: [kind] })
    const pass = teams.tenancy.system({ actor: 'test', reason: kind }).tasks
    expect(await pass.requeueExpired()).toBe(0)
    await expire(kind)
    expect(await pass.requeueExpired({ limit: 2 })).toBe(2)
    expect(await pass.requeueExpired()).toBe(3)
    const [row] = await sql<object>(
      `select count(*) filter (where status = 'queued')::int queued, count(*) filter (where status = 'failed')::int failed
       from platform.tasks where kind = $1 and org_id = any($2::uuid[])`,
      [kind, [team.id, other]],
    )
    expect(row).toEqual({ queued: 1, failed: 4 })
    const again = await claim({ kinds: [kind] })
    expect(again).toHaveLength(1)
    const first = claimed.find(({ id }) => id === again[0]?.id)
    await expect(team.org.tasks.complete(first as never)).rejects.toThrow(ConflictError)
    const recorded = await sql<{ metadata: object }>(
      `select metadata from platform.system_audit_logs where operation = 'tasks.requeueExpired' and reason = $1
       order by created_at, id`,
      [kind],
    )
    expect(recorded.map(({ metadata }) => metadata)).toEqual([{ tasks: 2 }, { tasks: 3 }])
    await expect(queue().requeueExpired({ limit: 0 })).rejects.toThrow(InvalidInputError)
  })

  test('are queued again in as many organizations as there are', async () => {
    const kind = newId()
    await Promise.all(Array.from({ length: 101 }, () => newQueue(kind, 1)))
    expect(await claim({ kinds: [kind], limit: 1000 })).toHaveLength(101)
    await sql(`update platform.tasks set max_attempts = 2 where kind = $1`, [kind])
    await expire(kind)
    expect(await queue().requeueExpired()).toBe(101)
    expect(await sql(`select from platform.tasks where kind = $1 and status = 'queued'`, [kind])).toHaveLength(101)
  })

  test('a task that another transaction holds is neither claimed nor queued again, and nobody waits for it', async () => {
    const kind = newId()
    const orgId = await newQueue(kind, 2)
    const [held, free] = await queuedIn(orgId)
    const holder = await openSession({ url: teams.database.adminUrl })
    const hold = () => holder.query('select from platform.tasks where id = $1 for no key update', [held])
    try {
      await holder.query('begin')
      await hold()
      expect((await claim({ kinds: [kind] })).map(({ id }) => id)).toEqual([free])
      await holder.query('rollback')
      expect((await claim({ kinds: [kind] })).map(({ id }) => id)).toEqual([held])
      await expire(kind)
      await holder.query('begin')
      await hold()
      expect(await queue().requeueExpired()).toBe(1)
    } finally {
      await holder.close()
    }
    expect(await queue().requeueExpired()).toBe(1)
  })

  race('twenty passes at once queue each task again once', async () => {
    const kind = newId()
    const team = await teams.newTeam()
    for (let made = 0; made < 30; made++) await team.org.tasks.enqueue({ kind, maxAttempts: 2 })
    await claim({ kinds: [kind] })
    await expire(kind)
    const { won, lost } = await contend(() => queue().requeueExpired())
    expect(lost).toEqual([])
    expect(won.reduce((sum, count) => sum + count, 0)).toBe(30)
    expect(await team.org.tasks.count({ kind, status: 'queued' })).toBe(30)
  })
})

describe('among many tasks that are done or not due', () => {
  const kind = newId()
  beforeAll(async () => {
    await sql('delete from platform.tasks')
    for (let made = 0; made < 8; made++) {
      const id = await newQueue(kind, 20)
      await sql(
        `insert into platform.tasks (org_id, id, kind, status, run_at)
         select $1, gen_random_uuid(), $2, case when n % 2 = 0 then 'queued' else 'succeeded' end, now() + n * interval '1 h'
         from generate_series(1, 5000) n`,
        [id, kind],
      )
    }
    await sql('alter table platform.tasks set (autovacuum_enabled = off)')
    await sql('vacuum analyze platform.tasks')
    await sql('vacuum analyze platform.organizations')
  })

  test('no statement of a claim reads the whole table', async () => {
    const { executor, sent } = recording(
      openNodePostgres({ pool: { connectionString: teams.database.systemUrl, max: 1 } }),
    )
    const tenancy = new Tenancy(executor, secretsOf(passingKeyring()), {}, executor)
    onTestFinished(() => tenancy.close({ drain: 0 }))
    const { tasks } = tenancy.system({ actor: 'test', reason: 'a test' })
    expect(await tasks.claimFair({ owner, kinds: [kind], limit: 10 })).toHaveLength(10)
    await tasks.requeueExpired()
    const texts = [...sent.values()].filter(({ statement }) => statement.text.includes('"platform"."tasks"'))
    expect(texts).toHaveLength(3)
    const plans: string[] = []
    for (const { statement, values } of texts) {
      plans.push(JSON.stringify(await sql(`explain (format json) ${statement.text}`, values)))
    }
    expect(plans.filter((plan) => /"Seq Scan"[^{}]*"Relation Name":"tasks"/.test(plan))).toEqual([])
    expect(plans[0]).toMatch(/"Index Name":"tasks_run_at_idx"[^{}]*"Index Cond":"[^"]*run_at <=/)
    expect(plans[1]).toMatch(/"Index Name":"tasks_(?:queue|run_at)_idx"/)
    expect(plans[2]).toContain('"Index Name":"tasks_lease_idx"')
  })
})
