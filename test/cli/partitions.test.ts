import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { openSession } from '../../src/database/session.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, tenantry } from './command-line.js'

const database = useDatabase()

let env: Record<string, string>
let org: string
beforeAll(async () => {
  env = { DATABASE_ADMIN_URL: database.adminUrl }
  org = await createOrganization(database.admin)
})
// Each test begins with the months that the migrations made, and without rows.
beforeEach(async () => {
  await database.admin.query('truncate platform.audit_logs')
  const months = (await children()).filter((name) => name !== 'default')
  await database.admin.query(`drop table ${months.map((name) => `platform.audit_logs_${name}`).join(', ')}`)
  await tenantry(['partitions', 'ensure', '--months', '2', '--table', 'audit_logs'], { env })
})

const partitions = (...args: string[]) => tenantry(['partitions', ...args, '--table', 'audit_logs'], { env })

/** `2026_11` for this month, and for those before and after it. */
const month = (ahead: number) => {
  const now = new Date()
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead)).toISOString().slice(0, 7).replace('-', '_')
}
const first = (ahead: number) => `${month(ahead).replace('_', '-')}-01T00:00:00Z`

const children = async () =>
  (
    await database.admin.query<{ name: string }>(
      `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'platform.audit_logs'::regclass order by 1`,
    )
  ).map(({ name }) => name.replace(/^.*audit_logs_/, ''))

const log = (at: string, seq?: number) =>
  database.admin.query(
    `insert into platform.audit_logs (org_id, id, event_type, created_at, seq, hash)
     values ($1, gen_random_uuid(), $2, $3, $4, decode('0a', 'hex'))`,
    [org, at, at, seq ?? null],
  )

const lying = (partition: string) =>
  database.admin.query(`select event_type from platform.audit_logs_${partition} order by created_at`)

/** A partition of the past, as if it had been made in its month. */
const makePast = async (ahead: number) => {
  const child = `platform.audit_logs_${month(ahead)}`
  await database.admin.query(
    `create table ${child} partition of platform.audit_logs for values from ('${first(ahead)}') to ('${first(ahead + 1)}')`,
  )
}

describe('ensure', () => {
  test('makes the months that are asked for, for every partitioned table, and again nothing', async () => {
    const made = await tenantry(['partitions', 'ensure', '--months', '4', '--json'], { env })
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const tables = ['audit_logs', 'database_connection_logs', 'database_metrics', 'project_metrics']
    const expected = tables.flatMap((table) =>
      [3, 4].map((ahead) => ({ table, partition: `${table}_${month(ahead)}`, moved: 0 })),
    )
    const { made: list } = made.json() as { made: { partition: string }[] }
    expect(list.sort((a, b) => (a.partition < b.partition ? -1 : 1))).toEqual(
      expected.sort((a, b) => (a.partition < b.partition ? -1 : 1)),
    )
    expect(await tenantry(['partitions', 'ensure', '--months', '4'], { env })).toMatchObject({
      code: 0,
      stdout: 'No partition is missing.\n',
    })
  })

  test('moves what lies in the default partition, at both ends of the month, and nothing else', async () => {
    await log(first(7))
    await log(`${month(7).replace('_', '-')}-28T23:59:59.999999Z`)
    await log(first(9))
    const { stdout } = await partitions('ensure', '--months', '7')
    expect(stdout).toContain(`audit_logs_${month(7)} created, 2 rows moved into it\n`)
    expect(await lying(month(7))).toHaveLength(2)
    expect(await lying('default')).toEqual([{ event_type: first(9) }])
  })

  test('fills a gap since the oldest month', async () => {
    await makePast(-2)
    await log(first(-1))
    expect((await partitions('ensure', '--months', '2', '--json')).json()).toMatchObject({
      made: [{ table: 'audit_logs', partition: `audit_logs_${month(-1)}`, moved: 1 }],
    })
  })

  test('grants no rights on a partition, whatever default privileges grant on new tables', async () => {
    const everybody = `public, tenantry_app, ${new URL(database.appUrl).username}`
    await database.admin.query(`alter default privileges grant select on tables to ${everybody}`)
    await partitions('ensure', '--months', '3')
    await database.admin.query(`alter default privileges revoke select on tables from ${everybody}`)
    expect(
      await database.admin.query(
        `select relname from pg_class where relispartition and exists (
           select from aclexplode(relacl) a where a.grantee <> relowner)`,
      ),
    ).toEqual([])
  })

  test('has the keys, checks and indexes that every partition has', async () => {
    await partitions('ensure', '--months', '3')
    const shape = (partition: string) =>
      database.admin.query(
        `select replace(pg_get_indexdef(indexrelid), $1, '') as definition from pg_index where indrelid = $2::regclass
         union all
         select pg_get_constraintdef(oid) from pg_constraint where conrelid = $2::regclass and contype <> 'n'
         order by 1`,
        [partition, `platform.audit_logs_${partition}`],
      )
    expect(await shape(month(3))).toEqual(await shape(month(0)))
  })

  test('two at once make each month once', async () => {
    const runs = await Promise.all([
      partitions('ensure', '--months', '5', '--json'),
      partitions('ensure', '--months', '5', '--json'),
    ])
    expect(runs.map(({ code }) => code)).toEqual([0, 0])
    const made = runs.flatMap((run) =>
      (run.json() as { made: { partition: string }[] }).made.map(({ partition }) => partition),
    )
    expect(new Set(made).size).toBe(made.length)
    expect(await children()).toContain(month(5))
  })

  test('steps back from a lock that is not free, and tries again', async () => {
    const reader = await openSession({ url: database.adminUrl })
    await reader.query('begin')
    await reader.query('lock table platform.audit_logs_default in access share mode')
    const blocked = () =>
      database.admin.query(
        `select from pg_locks where not granted and relation = 'platform.audit_logs_default'::regclass and mode = 'AccessExclusiveLock'
         and database = (select oid from pg_database where datname = current_database())`,
      )
    const run = partitions('ensure', '--months', '3')
    await vi.waitFor(
      async () => {
        expect(await blocked()).toHaveLength(1)
      },
      { timeout: 10_000 },
    )
    await vi.waitFor(
      async () => {
        expect(await blocked()).toEqual([])
      },
      { timeout: 10_000 },
    )
    await reader.query('rollback')
    expect(await run).toMatchObject({ code: 0, stdout: `audit_logs_${month(3)} created\n` })
    await reader.close()
  })

  test('refuses a number of months that is none, and a table that has no partitions', async () => {
    for (const months of ['-1', '1.5', 'many'])
      expect(await partitions('ensure', '--months', months)).toMatchObject({ code: 2 })
    expect(await tenantry(['partitions', 'ensure', '--table', 'agents'], { env })).toMatchObject({
      code: 2,
      stderr: containing('audit_logs'),
    })
  })
})

describe('drop', () => {
  test('drops whole months that are over, of the audit log only when they are sealed', async () => {
    await makePast(-2)
    await makePast(-1)
    await log(first(-2), 1)
    await log(first(-1))
    await database.admin.query(
      `insert into platform.audit_seals (org_id, seq, hash, base_seq) values ($1, 1, decode('0a', 'hex'), 0)`,
      [org],
    )
    const before = ['drop', '--before', month(0).replace('_', '-')]

    const partly = await partitions(...before)
    expect(partly).toMatchObject({ code: 3, stderr: '' })
    expect(partly.stdout).toBe(
      `audit_logs_${month(-2)} dropped\naudit_logs_${month(-1)} stays: 1 entry of it is not sealed: run tenantry audit seal\n`,
    )
    expect(await lying(month(-1))).toHaveLength(1)
    // The chain begins where the entries that are left begin.
    expect(await database.admin.query('select base_seq::int, base_hash from platform.audit_seals')).toEqual([
      { base_seq: 1, base_hash: Buffer.from('0a', 'hex') },
    ])

    await database.admin.query(`update platform.audit_logs set seq = 2 where seq is null`)
    expect((await partitions(...before, '--json')).json()).toEqual({
      dropped: [{ table: 'audit_logs', partition: `audit_logs_${month(-1)}` }],
      kept: [],
    })
    expect(await partitions(...before)).toMatchObject({ code: 0, stdout: containing('No partition is older than') })
    expect(await children()).toContain(month(0))
  })

  test('refuses months that are not over, and what is no month', async () => {
    for (const before of [month(1).replace('_', '-'), '2026-13', '2026', 'soon']) {
      expect(await partitions('drop', '--before', before)).toMatchObject({
        code: 2,
        stderr: containing('before: must'),
      })
    }
    expect(await partitions('drop')).toMatchObject({ code: 2 })
  })

  test('refuses a partition that is not what its name says', async () => {
    const child = `platform.audit_logs_${month(-3)}`
    await database.admin.query(
      `create table ${child} partition of platform.audit_logs for values from ('${first(-3)}') to ('${first(-1)}')`,
    )
    expect(await partitions('drop', '--before', month(0).replace('_', '-'))).toMatchObject({
      code: 1,
      stderr: containing('does not cover exactly its month'),
    })
  })
})
