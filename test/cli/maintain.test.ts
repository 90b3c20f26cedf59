import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { openSession } from '../../src/database/session.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { keys } from '../support/use-teams.js'
import { containing, start, tenantry } from './command-line.js'

const database = useDatabase()
let env: Record<string, string>
let org = ''
beforeAll(async () => {
  env = { SYSTEM_DATABASE_URL: database.systemUrl, TENANTRY_KEYS: keys }
  org = await createOrganization(database.admin)
})
beforeEach(() => database.admin.query('delete from platform.idempotency_keys'))

const maintain = (...args: string[]) => tenantry(['maintain', ...args], { env })
const expiredKeys = (count: number) =>
  database.admin.query(
    `insert into platform.idempotency_keys (org_id, id, key, request_hash, expires_at)
     select $1, gen_random_uuid(), gen_random_uuid(), '\\x01', now() - interval '1 s' from generate_series(1, $2::int)`,
    [org, count],
  )
const runs = () =>
  database.admin.query<{ actor: string; reason: string; keys: number }>(
    `select actor, reason, (metadata #>> '{rows,idempotencyKeys}')::int as keys
     from platform.system_audit_logs where operation = 'maintenance.run' order by id`,
  )

test('says what it removed, and again that nothing is past', async () => {
  await expiredKeys(3)
  const by = ['--actor', 'cron', '--reason', 'nightly']
  expect(await maintain(...by)).toMatchObject({
    code: 0,
    stdout: '3 expired idempotency keys removed\n',
    stderr: '',
  })
  expect(await maintain(...by)).toMatchObject({ code: 0, stdout: 'Nothing is past.\n', stderr: '' })
  expect(await runs()).toEqual([{ actor: 'cron', reason: 'nightly', keys: 3 }])
})

test('ends at the limit, and says that there may be more', async () => {
  await expiredKeys(3)
  const { code, stdout } = await maintain('--limit', '2')
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: '2 expired idempotency keys removed\nThere may be more: run it again, or raise --limit.\n',
  })
  expect((await maintain('--json')).json()).toEqual({
    rows: {
      taskLeases: 0,
      idempotencyKeys: 1,
      apiKeyWindows: 0,
      invitations: 0,
      sessions: 0,
      subscriptions: 0,
      auditEntries: 0,
    },
    isComplete: true,
    hasKeys: true,
    sealingStopped: null,
    notSealed: [],
    partitions: { missing: [], inDefault: [] },
  })
})

test('refuses what is no number, and a login that is not that of the system', async () => {
  for (const option of ['--limit', '--keep-session-days', '--keep-invitation-days'])
    expect(await maintain(option, 'many')).toMatchObject({ code: 2 })
  expect(await maintain('--url', database.appUrl)).toMatchObject({
    code: 1,
    stderr: containing('is not safe to serve organizations with'),
  })
  expect(await tenantry(['maintain'])).toMatchObject({ code: 2, stderr: containing('SYSTEM_DATABASE_URL: is not set') })
})

test('that is interrupted ends its batch, and records what it did', async () => {
  await expiredKeys(1200)
  const before = (await runs()).length
  const holder = await openSession({ url: database.adminUrl })
  await holder.query('begin')
  // The proof of the login may read it, so that the pass is under way when it waits.
  await holder.query('lock table platform.user_sessions in exclusive mode')
  const child = start(['maintain'], { env: { PATH: process.env.PATH, ...env } })
  const waiting = `select from pg_locks where not granted and relation = 'platform.user_sessions'::regclass
    and database = (select oid from pg_database where datname = current_database())`
  await vi.waitFor(
    async () => {
      expect(await database.admin.query(waiting)).toHaveLength(1)
    },
    { timeout: 60_000 },
  )
  const ended = once(child, 'close')
  child.kill('SIGINT')
  await once(child.stderr, 'data')
  await holder.query('rollback')
  await holder.close()
  expect(await ended).toEqual([130, null])
  expect((await runs()).slice(before)).toMatchObject([{ keys: 1200 }])
})

test('seals the audit log with the keys of the application, and without them says that it does not', async () => {
  const entry = () =>
    database.admin.query(
      `insert into platform.audit_logs (org_id, id, event_type) values ($1, gen_random_uuid(), 'report.sent')`,
      [org],
    )
  await entry()
  const bare = { SYSTEM_DATABASE_URL: database.systemUrl }
  expect(await tenantry(['maintain'], { env: bare })).toMatchObject({
    code: 0,
    stdout: 'Nothing is past.\nWithout master keys (TENANTRY_KEYS) no audit entries were sealed.\n',
  })
  await entry()
  // Those of what the other tests did too.
  expect(await maintain()).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\d+ audit entries sealed\n$/) as string,
    stderr: '',
  })
  expect(await maintain()).toMatchObject({ code: 0, stdout: 'Nothing is past.\n' })
})

test('a missing partition is told, and ends with 3', async () => {
  const [month] = await database.admin.query<{ name: string }>(
    `select to_char(now() at time zone 'UTC' + interval '1 month', '"platform.audit_logs_"YYYY_MM') as name`,
  )
  await database.admin.query(`drop table ${month?.name ?? ''}`)
  expect(await maintain()).toMatchObject({
    code: 3,
    stdout: `Nothing is past.\n${month?.name ?? ''} is missing: the owner runs tenantry partitions ensure\n`,
  })
  await tenantry(['partitions', 'ensure'], { env: { DATABASE_ADMIN_URL: database.adminUrl } })
  expect(await maintain()).toMatchObject({ code: 0 })
})

test('maintains an embedded database', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tenantry-maintain-'))
  const where = ['--embedded', join(directory, 'data')]
  await tenantry(['partitions', 'ensure', ...where])
  expect(await tenantry(['maintain', ...where], { env: { TENANTRY_KEYS: keys } })).toMatchObject({
    code: 0,
    stdout: 'Nothing is past.\n',
  })
  await rm(directory, { recursive: true })
})
