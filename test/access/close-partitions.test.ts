import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UnsafeRoleError } from '../../src/core/errors.js'
import { closePartitions } from '../../src/access/close-partitions.js'
import { manifestOf } from '../../src/access/manifest.js'
import { proveStartup } from '../../src/access/startup-proof.js'
import { openSession } from '../../src/database/session.js'
import { declarationsOf } from '../../src/migrations/declarations.js'
import { platformMigrations } from '../../src/migrations/migrator.js'
import { platformTables } from '../../src/schema/tables.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { tenantry } from '../cli/command-line.js'
import { useTenancy } from '../support/use-tenancy.js'

const { database } = useTenancy()
const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
let org: string
let login: string
let client: pg.Client

beforeAll(async () => {
  org = await createOrganization(database.admin)
  login = new URL(database.appUrl).username
  client = new pg.Client({ connectionString: database.appUrl })
  await client.connect()
})
afterAll(() => client.end())

/** What the login can do with a partition, over a connection of its own that is bound to an organization. */
async function openTo(partition: string): Promise<string[]> {
  const tries = [
    `select org_id from ${partition}`,
    `insert into ${partition} (org_id, id, event_type, created_at) values ('${org}', gen_random_uuid(), 'x', '2031-03-02Z')`,
    `select 1 / (count(*) = 0)::int from pg_stats where format('%I.%I', schemaname, tablename) = '${partition}'`,
  ]
  const open: string[] = []
  for (const text of tries) {
    await client.query('begin')
    await client.query('select platform.enter_org($1)', [org])
    const failure = await client.query(text).then(
      () => undefined,
      (error: unknown) => (error as pg.DatabaseError).code,
    )
    await client.query('rollback')
    const isStatistics = text.includes('pg_stats')
    if (failure !== (isStatistics ? undefined : '42501')) open.push(`${text}: ${failure ?? 'allowed'}`)
  }
  return open
}

const newest = async () => {
  const [row] = await database.admin.query<{ name: string }>(
    `select 'platform.' || max(relname) as name from pg_class where relname ~ '^audit_logs_[0-9]{4}_[0-9]{2}$' and relkind = 'r'`,
  )
  return row?.name ?? ''
}

/** Rows of its month, and statistics of them. */
async function fill(partition: string): Promise<void> {
  const [, year, month] = /(\d{4})_(\d{2})$/.exec(partition) ?? []
  await database.admin.query(
    `insert into platform.audit_logs (org_id, id, event_type, created_at)
     select $1, gen_random_uuid(), 'x', $2 from generate_series(1, 50)`,
    [org, `${year}-${month}-02T00:00:00Z`],
  )
  await database.admin.query(`analyze ${partition}`)
}

const partitions = (...args: string[]) =>
  tenantry(['partitions', 'ensure', '--json', ...args], { env: { DATABASE_ADMIN_URL: database.adminUrl } })

test('default privileges that grant to the login leave a new partition closed, before and after a restart', async () => {
  await database.admin.query(`alter default privileges grant all on tables to ${login}`)
  expect(await partitions('--months', '4')).toMatchObject({ code: 0, stderr: '' })
  const partition = await newest()
  expect(partition.endsWith('_default')).toBe(false)
  await fill(partition)
  expect(await openTo(partition)).toEqual([])

  // The default privileges themselves are a fault, and the only one.
  const refused = await openTenancy({ url: database.appUrl, keys }).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(UnsafeRoleError)
  const { faults } = refused as UnsafeRoleError
  expect(faults.map(({ fault }) => fault)).toEqual(['default privileges grant'])
  for (const { mend } of faults) await database.admin.query(mend)
  await (await openTenancy({ url: database.appUrl, keys })).close()
  expect(await openTo(partition)).toEqual([])
})

test('a grant to a role of the host is revoked from a new partition too', async () => {
  const role = `${login}reader`
  await database.admin.query(`create role ${role}`)
  await database.admin.query(`alter default privileges grant select on tables to ${role}`)
  await partitions('--months', '5')
  const holders = await database.admin.query(
    `select distinct a.grantee::regrole from pg_class c, aclexplode(c.relacl) a where c.relispartition and a.grantee <> c.relowner`,
  )
  await database.admin.query(`alter default privileges revoke select on tables from ${role}`)
  await database.admin.query(`drop role ${role}`)
  expect(holders).toEqual([])
})

test('a partition that the owner made by hand, and granted, is refused, and closed by the next ensure', async () => {
  const { admin } = database
  const stranger = `${login}stranger`
  await admin.query(`create role ${stranger}`)
  await admin.query(
    `create table platform.by_hand partition of platform.audit_logs for values from ('2031-03-01Z') to ('2031-04-01Z')`,
  )
  await admin.query(`grant select, insert on platform.by_hand to ${login}`)
  await admin.query(`grant select (org_id) on platform.by_hand to ${stranger}`)
  const declarations = await declarationsOf(platformTables, [platformMigrations])
  const session = await openSession({ url: database.appUrl })
  const prove = async () =>
    (await proveStartup(session, declarations, { role: 'tenantry_app' })).faults.map(
      ({ fault, detail }) => `${fault}: ${detail}`,
    )
  expect(await prove()).toEqual([
    `has rights on a partition: insert, select on table platform.by_hand to ${login}; select on table platform.by_hand to ${stranger}`,
    'policies differ: platform.by_hand',
    'row security is not enabled: platform.by_hand',
  ])

  const ensured = await partitions('--months', '2')
  expect((ensured.json() as { closed: unknown }).closed).toEqual({
    done: [
      `revoke all on table platform.by_hand from ${login} cascade`,
      `revoke all on table platform.by_hand from ${stranger} cascade`,
      'alter table platform.by_hand enable row level security',
      'create policy org_isolation on platform.by_hand to tenantry_app using (org_id = platform.current_org()) with check (org_id = platform.current_org())',
      'create policy system_access on platform.by_hand to tenantry_system using (true) with check (true)',
    ],
    remaining: [],
  })
  expect(await prove()).toEqual([])
  expect(await closePartitions(admin, manifestOf(platformTables).tables)).toEqual({ done: [], remaining: [] })
  await session.close()
  await admin.query('drop table platform.by_hand')
  await admin.query(`drop role ${stranger}`)
})
