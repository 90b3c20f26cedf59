import { type PgTable, pgTable, timestamp } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { openSession } from '../../src/database/session.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import type { MaintenanceOptions, MaintenanceProgress } from '../../src/operations/maintenance.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { Tenancy } from '../../src/tenancy.js'
import { recording } from '../support/recording-executor.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
/** Without the entries that it sealed: the audit log has tests of its own. */
async function run(options?: MaintenanceOptions) {
  const { rows, ...maintained } = await teams.system().maintenance.run(options)
  const { auditEntries: _, ...others } = rows
  return { rows: others, ...maintained }
}
const sql = <Row>(text: string, values: readonly unknown[] = []) => teams.database.admin.query<Row>(text, values)

const nothing = { taskLeases: 0, idempotencyKeys: 0, apiKeyWindows: 0, invitations: 0, sessions: 0, subscriptions: 0 }
/** Rows that were past before a test are gone: each test counts its own. */
beforeAll(async () => {
  expect((await run()).rows).toEqual(nothing)
})

interface Place {
  readonly org: string
  readonly user: string
  readonly key: string
}

async function newPlace(): Promise<Place & { readonly team: Team }> {
  const team = await teams.newTeam()
  const { apiKey } = await team.org.apiKeys.create({ userId: team.owner.userId, name: 'ci' })
  // The entries of its audit log are no work of the pass that a test counts.
  await teams.system().audit.seal(team.id)
  return { org: team.id, user: team.owner.userId, key: apiKey.id, team }
}

const idempotencyKey = ({ org }: Place, count: number, expires: string) =>
  sql(
    `insert into platform.idempotency_keys (org_id, id, key, request_hash, state, expires_at)
     select $1, gen_random_uuid(), gen_random_uuid(), '\\x01', 'done', now() + $3::interval from generate_series(1, $2::int)`,
    [org, count, expires],
  )
const windows = ({ org, key }: Place, hoursAgo: readonly number[]) =>
  sql(
    `insert into platform.api_key_windows (org_id, api_key_id, window_start, used, allowed)
     select $1, $2, date_trunc('hour', now()) - h * interval '1 hour', 1, 10 from unnest($3::int[]) h`,
    [org, key, hoursAgo],
  )
const invitation = ({ org }: Place, expires: string, settled = 'accepted_at', at: string | null = null) =>
  sql(
    `insert into platform.organization_invitations (org_id, id, email, role, token_hash, pepper_id, expires_at, ${settled})
     values ($1, gen_random_uuid(), gen_random_uuid() || '@example.com', 'member', decode(replace(gen_random_uuid()::text, '-', ''), 'hex'),
       'test', now() + $2::interval, $3)`,
    [org, expires, at],
  )
const session = ({ user }: Place, expires: string, revoked: string | null = null) =>
  sql(
    `insert into platform.user_sessions (user_id, id, token_hash, pepper_id, expires_at, idle_expires_at, revoked_at)
     values ($1, gen_random_uuid(), decode(replace(gen_random_uuid()::text, '-', ''), 'hex'), 'test', now() + $2::interval,
       now() + $2::interval, now() + $3::interval)`,
    [user, expires, revoked],
  )
const task = ({ org }: Place, status: string, lease: string | null, attempt = 1, count = 1) =>
  sql(
    `insert into platform.tasks (org_id, id, kind, status, attempt, max_attempts, lease_owner, lease_token, lease_expires_at)
     select $1, gen_random_uuid(), 'one', $2, $4, 2, 'worker', gen_random_uuid(), now() + $3::interval from generate_series(1, $5::int)`,
    [org, status, lease, attempt, count],
  )

/** One of each that is past. */
async function addPast(place: Place): Promise<typeof nothing> {
  await idempotencyKey(place, 2, '-1 s')
  await windows(place, [26, 27, 900])
  await invitation(place, '-31 d')
  await session(place, '-31 d')
  await session(place, '10 d', '-31 d')
  await task(place, 'running', '-1 s', 1)
  await task(place, 'running', '-1 s', 2)
  return { taskLeases: 2, idempotencyKeys: 2, apiKeyWindows: 3, invitations: 1, sessions: 2, subscriptions: 0 }
}

/** Rows that are just not past, or not of those that a pass ends. */
async function addLive(place: Place): Promise<void> {
  await idempotencyKey(place, 1, '5 min')
  await windows(place, [0, 1, 24])
  await invitation(place, '1 d')
  await invitation(place, '-29 d')
  for (const settled of ['accepted_at', 'declined_at', 'revoked_at'])
    await invitation(place, '-90 d', settled, '2020-01-01T00:00:00Z')
  await session(place, '10 d')
  await session(place, '-29 d')
  await session(place, '10 d', '-29 d')
  await task(place, 'running', '5 min')
  await task(place, 'queued', null, 0)
  await task(place, 'succeeded', '-1 s')
}

const tables = ['idempotency_keys', 'api_key_windows', 'organization_invitations', 'user_sessions', 'tasks', 'api_keys']
async function photograph({ org, user }: Place): Promise<string[]> {
  const photos: string[] = []
  for (const table of tables) {
    const [owner, id] = table === 'user_sessions' ? ['user_id', user] : ['org_id', org]
    const rows = await sql<{ row: string }>(
      `select t::text as row from platform.${table} t where ${owner} = $1 order by 1`,
      [id],
    )
    photos.push(...rows.map(({ row }) => row))
  }
  return photos
}
const entries = () =>
  sql<{ actor: string; metadata: unknown }>(
    `select actor, metadata #- '{rows,auditEntries}' as metadata from platform.system_audit_logs where operation = 'maintenance.run' order by id`,
  )

describe('a pass', () => {
  test('ends what is past in every organization, leaves what is not, and again does nothing', async () => {
    const [one, other] = [await newPlace(), await newPlace()]
    await addLive(one)
    const live = await photograph(one)
    await addPast(one)
    const past = await addPast(other)
    const before = await entries()

    const { rows, isComplete, partitions } = await run()
    expect(rows).toEqual(Object.fromEntries(Object.entries(past).map(([kind, count]) => [kind, count * 2])))
    expect({ isComplete, partitions }).toEqual({ isComplete: true, partitions: { missing: [], inDefault: [] } })
    // The tasks that were requeued are there still.
    const requeued = await sql<{ id: string }>(
      `select id from platform.tasks where org_id = $1 and lease_owner is null and started_at is null`,
      [one.org],
    )
    const left = (await photograph(one)).filter((row) => !requeued.some(({ id }) => row.includes(id)))
    expect(left).toEqual(live)
    expect(live.length).toBeGreaterThan(10)

    expect((await entries()).slice(before.length)).toEqual([{ actor: 'test', metadata: { rows, isComplete: true } }])
    expect(await run()).toEqual({
      rows: nothing,
      isComplete: true,
      hasKeys: true,
      sealingStopped: null,
      notSealed: [],
      partitions,
    })
    expect(await entries()).toHaveLength(before.length + 1)
  })

  test('queues a task again while it has attempts left, and fails it otherwise', async () => {
    const { org } = (await newPlace()).team
    await org.tasks.enqueue({ kind: 'two', maxAttempts: 2 })
    await org.tasks.enqueue({ kind: 'once' })
    const claimed = await org.tasks.claim({ owner: 'worker', limit: 2 })
    await sql(`update platform.tasks set lease_expires_at = now() - interval '1 s' where org_id = $1`, [org.id])
    expect((await run()).rows).toEqual({ ...nothing, taskLeases: 2 })

    const { items } = await org.tasks.list({ orderBy: 'kind' })
    const released = { leaseOwner: null, leaseToken: null, leaseExpiresAt: null, attempt: 1 }
    expect(items).toMatchObject([
      { kind: 'once', status: 'failed', finishedAt: expect.any(Date) as unknown, ...released },
      { kind: 'two', status: 'queued', finishedAt: null, ...released },
    ])
    for (const lease of claimed) await expect(org.tasks.complete(lease)).rejects.toThrow('holds the lease')
    expect(await org.tasks.claim({ owner: 'other', limit: 2 })).toMatchObject([{ kind: 'two', attempt: 2 }])
  })

  test('keeps sessions and invitations for as long as it is told', async () => {
    const place = await newPlace()
    await session(place, '-40 d')
    await session(place, '3 d', '-40 d')
    await invitation(place, '-40 d')
    expect((await run({ keepSessionDays: 41, keepInvitationDays: 41 })).rows).toEqual(nothing)
    expect((await run({ keepSessionDays: 39, keepInvitationDays: 41 })).rows).toEqual({ ...nothing, sessions: 2 })
    expect((await run({ keepSessionDays: 41, keepInvitationDays: 39 })).rows).toEqual({ ...nothing, invitations: 1 })
  })

  test('goes in batches of 1,000 rows, and ends at the limit of each kind', async () => {
    const place = await newPlace()
    await idempotencyKey(place, 2600, '-1 s')
    await task(place, 'running', '-1 s', 1, 1100)
    const heard: MaintenanceProgress[] = []
    const onProgress = (progress: MaintenanceProgress) => void heard.push(progress)
    const first = await run({ limit: 1050, onProgress })
    expect(first).toMatchObject({ isComplete: false, rows: { taskLeases: 1050, idempotencyKeys: 1050 } })
    const total = 7
    expect(heard.filter(({ rows }) => rows > 0)).toEqual([
      { kind: 'taskLeases', rows: 1000, done: 0, total },
      { kind: 'taskLeases', rows: 1050, done: 0, total },
      { kind: 'idempotencyKeys', rows: 1000, done: 0, total },
      { kind: 'idempotencyKeys', rows: 1050, done: 0, total },
    ])
    expect(await run()).toMatchObject({
      isComplete: true,
      rows: { ...nothing, taskLeases: 50, idempotencyKeys: 1550 },
    })
  })

  test('that is stopped between two batches keeps what it did, and the next one does the rest', async () => {
    const place = await newPlace()
    await idempotencyKey(place, 2600, '-1 s')
    await windows(place, [26])
    const stop = new AbortController()
    const before = (await entries()).length
    const stopped = await run({
      signal: stop.signal,
      onProgress: ({ kind }) => {
        if (kind === 'idempotencyKeys') stop.abort()
      },
    })
    const rows = { ...nothing, idempotencyKeys: 1000 }
    expect(stopped).toMatchObject({ rows, isComplete: false })
    expect((await entries()).slice(before)).toEqual([{ actor: 'test', metadata: { rows, isComplete: false } }])
    expect((await run({ signal: stop.signal })).rows).toEqual(nothing)
    expect((await run()).rows).toEqual({ ...nothing, idempotencyKeys: 1600, apiKeyWindows: 1 })
  })

  test('that fails in the middle records what it did', async () => {
    const place = await newPlace()
    await idempotencyKey(place, 1200, '-1 s')
    const before = (await entries()).length
    const failing = run({
      onProgress: ({ rows }) => {
        if (rows > 0) throw new Error('the job is broken')
      },
    })
    await expect(failing).rejects.toThrow('the job is broken')
    expect((await entries()).slice(before)).toEqual([
      { actor: 'test', metadata: { rows: { ...nothing, idempotencyKeys: 1000 }, isComplete: false } },
    ])
    expect((await run()).rows).toEqual({ ...nothing, idempotencyKeys: 200 })
  })

  test('and others at once end each row once', async () => {
    const places = 6
    for (let made = 0; made < places; made++) {
      const place = await newPlace()
      await addPast(place)
      await idempotencyKey(place, 700, '-1 s')
      await task(place, 'running', '-1 s', 1, 300)
    }
    const passes = await Promise.all(Array.from({ length: 4 }, () => run()))
    const rows = { ...nothing }
    for (const kind of Object.keys(rows) as (keyof typeof rows)[])
      for (const pass of passes) rows[kind] += pass.rows[kind]
    expect(rows).toEqual({
      taskLeases: places * 302,
      idempotencyKeys: places * 702,
      apiKeyWindows: places * 3,
      invitations: places,
      sessions: places * 2,
      subscriptions: 0,
    })
    expect((await run()).rows).toEqual(nothing)
  })

  test('waits for nobody: a row that somebody holds is left to the next pass', async () => {
    const place = await newPlace()
    const past = await addPast(place)
    const holder = await openSession({ url: teams.database.adminUrl })
    onTestFinished(() => holder.close())
    await holder.query('begin')
    await holder.query('select from platform.tasks where org_id = $1 for update', [place.org])
    await holder.query('select from platform.idempotency_keys where org_id = $1 for update', [place.org])
    expect((await run()).rows).toEqual({ ...past, taskLeases: 0, idempotencyKeys: 0 })
    await holder.query('rollback')
    const { taskLeases, idempotencyKeys } = past
    expect((await run()).rows).toEqual({ ...nothing, taskLeases, idempotencyKeys })
  })

  test.each<[string, object, string]>([
    ['a limit of none', { limit: 0 }, 'limit'],
    ['a limit that is text', { limit: '10' }, 'limit'],
    ['half a day', { keepSessionDays: 0.5 }, 'keepSessionDays'],
    ['days below zero', { keepInvitationDays: -1 }, 'keepInvitationDays'],
    ['a misspelt option', { keepDays: 3 }, 'keepDays'],
    ['a signal that is none', { signal: {} }, 'signal'],
    ['progress for nobody', { onProgress: 'loud' }, 'onProgress'],
  ])('refuses %s', async (_, options, field) => {
    const refused = run(options)
    await expect(refused).rejects.toThrow(InvalidInputError)
    await expect(refused).rejects.toThrow(field)
  })

  test('is nothing that the login of the application could do', async () => {
    const place = await newPlace()
    await addPast(place)
    const before = await photograph(place)
    const { executor } = recording(openNodePostgres({ pool: { connectionString: teams.database.appUrl, max: 1 } }))
    const tenancy = new Tenancy(executor, ownKeys, {}, executor)
    onTestFinished(() => tenancy.close())
    await expect(tenancy.system({ actor: 'app', reason: 'a test' }).maintenance.run()).rejects.toThrow()
    expect(await photograph(place)).toEqual(before)
    await run()
  })
})

describe('the partitions', () => {
  const month = (ahead: number) => {
    const now = new Date()
    return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead)).toISOString().slice(0, 7)
  }
  const partition = (table: string, ahead: number) => `platform.${table}_${month(ahead).replace('-', '_')}`
  const log = (at: string) =>
    sql(
      `insert into platform.audit_logs (org_id, id, event_type, created_at) values (gen_random_uuid(), gen_random_uuid(), 'x', $1)`,
      [at],
    )
  const alarm = async () => (await run()).partitions

  test('of this month and the next are told when they are missing, and rows that wait for theirs', async () => {
    const lost = [partition('audit_logs', 1), partition('project_metrics', 0), partition('project_metrics', 1)]
    await sql(`drop table ${lost.join(', ')}`)
    expect(await alarm()).toEqual({ missing: lost, inDefault: [] })

    // Older than every partition: no command makes a partition for it.
    await log('2001-01-31T00:00:00Z')
    expect((await alarm()).inDefault).toEqual([])
    await log(`${month(1)}-15T00:00:00Z`)
    expect(await alarm()).toEqual({ missing: lost, inDefault: ['platform.audit_logs'] })
    await sql(`delete from platform.audit_logs where created_at > $1::timestamptz`, [`${month(1)}-02T00:00:00Z`])
    await log(`${month(9)}-01T00:00:00Z`)
    expect((await alarm()).inDefault).toEqual(['platform.audit_logs'])
  })

  test('of a table of the host are told only where the table declares what it is partitioned by', async () => {
    await sql('create table public.visits (at timestamptz not null) partition by range (at)')
    onTestFinished(async () => {
      await sql('drop table public.visits')
    })
    await sql('create table public.visits_default partition of public.visits default')
    await sql(
      `create table public.visits_2020_01 partition of public.visits for values from ('2020-01-01Z') to ('2020-02-01Z')`,
    )
    await sql('grant select on public.visits to tenantry_system')
    const missing = [0, 1].map((ahead) => `public.visits_${month(ahead).replace('-', '_')}`)
    const visits = pgTable('visits', { at: timestamp('at', { withTimezone: true }).notNull() })
    expect(await alarmOf([visits])).toEqual({ missing: [], inDefault: [] })

    await sql('drop table public.visits_2020_01')
    declareTable(visits, { kind: 'global', partitionedBy: 'at' })
    expect(await alarmOf([visits])).toEqual({ missing, inDefault: [] })
    await sql('insert into public.visits values ($1)', [`${month(-1)}-15T00:00:00Z`])
    expect(await alarmOf([visits])).toEqual({ missing, inDefault: [] })
    await sql('insert into public.visits values ($1)', [`${month(0)}-15T00:00:00Z`])
    expect(await alarmOf([visits])).toEqual({ missing, inDefault: ['public.visits'] })
  })

  test('are found without reading the others', async () => {
    const { sent } = await recordedRun()
    const checks = sent.filter(({ statement }) => statement.text.startsWith('select exists (select 1 from'))
    expect(checks).toHaveLength(4)
    for (const { statement, values } of checks) {
      const plan = JSON.stringify(await sql(`explain (format json) ${statement.text}`, values))
      expect(plan.match(/"Relation Name":"[^"]*"/g)).toEqual([expect.stringMatching(/_default"$/)])
    }
  })
})

/** One for all runs: a key of the same id with another secret is refused. */
const ownKeys = secretsOf(passingKeyring())

/** The alarm of a build that has these tables alone. */
async function alarmOf(tables: readonly PgTable[]) {
  const executor = openNodePostgres({ pool: { connectionString: teams.database.systemUrl, max: 1 } })
  const tenancy = new Tenancy(executor, ownKeys, { tables }, executor)
  onTestFinished(() => tenancy.close())
  const { partitions } = await tenancy.system({ actor: 'test', reason: 'a test' }).maintenance.run()
  return partitions
}

async function recordedRun() {
  const { executor, sent } = recording(
    openNodePostgres({ pool: { connectionString: teams.database.systemUrl, max: 1 } }),
  )
  const tenancy = new Tenancy(executor, ownKeys, {}, executor)
  onTestFinished(() => tenancy.close())
  await tenancy.system({ actor: 'test', reason: 'a test' }).maintenance.run()
  return { sent: [...sent.values()] }
}

describe('among many rows that are live', () => {
  let place: Place
  beforeAll(async () => {
    place = await newPlace()
    await idempotencyKey(place, 20_000, '1 d')
    await sql(
      `insert into platform.user_sessions (user_id, id, token_hash, pepper_id, expires_at, idle_expires_at)
       select $1, gen_random_uuid(), decode(replace(gen_random_uuid()::text, '-', ''), 'hex'), 'test', now() + i * interval '1 min', now()
       from generate_series(1, 20000) i`,
      [place.user],
    )
    await sql(
      `insert into platform.api_key_windows (org_id, api_key_id, window_start, used, allowed)
       select $1, $2, now() - i * interval '1 s', 1, 10 from generate_series(1, 20000) i`,
      [place.org, place.key],
    )
    await task(place, 'running', '1 d', 1, 20_000)
    // Found by the first pass, so that each statement is sent.
    await addPast(place)
    // Autovacuum would count the rows again between two plans.
    for (const table of tables) {
      await sql(`alter table platform.${table} set (autovacuum_enabled = off)`)
      await sql(`vacuum analyze platform.${table}`)
    }
  })
  afterAll(() => run())

  test.each([
    ['idempotency_keys', 'idempotency_keys_expires_at_idx', 'expires_at <'],
    ['api_key_windows', 'api_key_windows_start_idx', 'window_start <'],
    ['user_sessions', 'user_sessions_expires_at_idx', 'expires_at <'],
    ['tasks', 'tasks_lease_idx', 'lease_expires_at <'],
  ])('what is past of %s is found by its time', async (table, index, condition) => {
    const { sent } = await recordedRun()
    const texts = sent
      .filter(({ statement }) => new RegExp(`from "platform"\\."${table}" where .*limit`, 's').test(statement.text))
      .filter(({ statement }) => !statement.text.includes('"revoked_at" <'))
    expect(texts.length).toBeGreaterThan(0)
    for (const { statement, values } of texts) {
      const plan = JSON.stringify(await sql(`explain (format json) ${statement.text}`, values))
      expect(plan).toContain(`"Index Name":"${index}"`)
      expect(plan).toMatch(new RegExp(`"Index Cond":"[^"]*${condition}`))
      expect(plan).not.toContain('"Seq Scan"')
    }
  })
})
