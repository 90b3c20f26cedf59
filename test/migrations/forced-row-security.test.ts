import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bringPermissions } from '../../src/access/permissions.js'
import { MigrationError } from '../../src/core/errors.js'
import { openSession, type Session } from '../../src/database/session.js'
import { migrateDown, migrateUp, migrationStatus, platformMigrations } from '../../src/migrations/migrator.js'
import { dropPartitions, ensurePartitions, partitionedTables } from '../../src/migrations/partitions.js'
import { seed } from '../../src/migrations/seed.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { platformTables } from '../../src/schema/tables.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { asSet, writeFolder, type WrittenMigration } from './migrations-folder.js'

// As on a managed server: the owner is no superuser, so that FORCE binds them.
const database = useDatabase()
let owner: string
let password: string
let session: Session

beforeAll(async () => {
  owner = `${new URL(database.adminUrl).pathname.slice(1)}owner`
  password = randomBytes(16).toString('hex')
  await database.admin.query(`create role ${owner} login password '${password}'`)
})
beforeEach(async () => {
  await database.admin.query(`create database ${owner} owner ${owner} template template0`)
  const url = new URL(database.adminUrl)
  Object.assign(url, { pathname: `/${owner}`, username: owner, password })
  session = await openSession({ url: url.href })
})
afterEach(async () => {
  await session.close()
  await database.admin.query(`drop database ${owner}`)
})
afterAll(() => database.admin.query(`drop role ${owner}`))

const advice = /row security binds the role that migrates.*no force row level security.*bypassrls/s

/** Two tables with a row each, one of which refers to nothing; their policies let nobody see a row. */
const forced: WrittenMigration = {
  tag: '0000_forced',
  up: [
    'create table parents (id int primary key)',
    'create table children (id int primary key, parent_id int)',
    'insert into children values (1, 99)',
    ...['parents', 'children'].flatMap((table) => [
      `alter table ${table} enable row level security`,
      `alter table ${table} force row level security`,
    ]),
  ],
  down: 'drop table children, parents',
}
const reference = 'foreign key (parent_id) references parents (id)'

const state = async () => ({
  columns: await session.query(
    `select attname, attnotnull from pg_attribute where attrelid = 'children'::regclass and attnum > 0 and not attisdropped`,
  ),
  constraints: await session.query(
    `select conname, convalidated from pg_constraint where conrelid = 'children'::regclass and contype = 'f'`,
  ),
  setting: await session.query('show row_security'),
})

describe('under FORCE a migration of the owner fails and leaves nothing half done', () => {
  test.for<[string, string[]]>([
    ['a back-fill', ['alter table children add column label text', `update children set label = 'x'`]],
    ['a delete', ['alter table children add column label text', 'delete from children where parent_id = 99']],
    ['a foreign key', [`alter table children add constraint children_fkey ${reference}`]],
    [
      'a foreign key that is validated later',
      [
        `alter table children add constraint children_fkey ${reference} not valid`,
        'alter table children validate constraint children_fkey',
      ],
    ],
  ])('%s', async ([, up]) => {
    const set = asSet(await writeFolder([forced, { tag: '0001_second', up, down: 'select 1' }]))
    await migrateUp(session, [set], { to: 0 })
    const before = await state()
    await expect(migrateUp(session, [set])).rejects.toThrow(advice)
    expect(await state()).toEqual(before)
    expect((await migrationStatus(session, [set]))[0]?.migrations.map((one) => one.state)).toEqual([
      'applied',
      'pending',
    ])
  })

  test('a file without a transaction goes on where it stopped, once FORCE is gone', async () => {
    const up = [
      '-- no-transaction\ncreate index concurrently if not exists children_idx on children (parent_id)',
      'alter table children add column label text',
      `update children set label = 'x'`,
    ]
    const set = asSet(await writeFolder([forced, { tag: '0001_second', up, down: 'select 1' }]))
    await expect(migrateUp(session, [set])).rejects.toThrow(advice)
    expect((await state()).setting).toEqual([{ row_security: 'on' }])
    await session.query('alter table children no force row level security')
    expect((await migrateUp(session, [set])).map(({ tag }) => tag)).toEqual(['0001_second'])
    expect(await session.query('select label from children')).toEqual([{ label: 'x' }])
  })

  test('the way back', async () => {
    const down = ['delete from children', 'alter table children drop column parent_id']
    const set = asSet(await writeFolder([forced, { tag: '0001_second', up: 'select 1', down }]))
    await migrateUp(session, [set])
    const before = await state()
    await expect(migrateDown(session, [set])).rejects.toThrow(advice)
    expect(await state()).toEqual(before)
  })
})

describe("under FORCE on the library's own tables", () => {
  const force = async (table: string) => {
    await session.query(`alter table platform.${table} enable row level security`)
    await session.query(`alter table platform.${table} force row level security`)
  }
  beforeEach(() => upgrade(session, { sets: [platformMigrations], tables: platformTables }))

  test('no permission is brought by halves', async () => {
    await session.query(`delete from platform.permissions where key = 'agents:read'`)
    await force('roles')
    await expect(bringPermissions(session)).rejects.toThrow(advice)
    expect(await session.query(`select from platform.permissions where key = 'agents:read'`)).toEqual([])
    await session.query('alter table platform.roles no force row level security')
    expect(await bringPermissions(session)).toEqual(['agents:read'])
  })

  test('nothing is seeded by halves', async () => {
    await force('tools')
    await expect(seed(session)).rejects.toThrow(advice)
    expect(await session.query('select from platform.llms')).toEqual([])
  })

  test('no month is made without its rows, and none dropped while the seals cannot be read', async () => {
    const logs = partitionedTables(platformTables, 'audit_logs')
    const org = await createOrganization(session)
    const log = (at: string) =>
      session.query(
        `insert into platform.audit_logs (org_id, id, event_type, created_at, seq, hash)
         values ($1, gen_random_uuid(), 'x', $2, 1, decode('0a', 'hex'))`,
        [org, at],
      )
    const partitions = () =>
      session.query(`select inhrelid::regclass from pg_inherits where inhparent = 'platform.audit_logs'::regclass`)
    await session.query(
      `create table platform.audit_logs_2020_01 partition of platform.audit_logs
         for values from ('2020-01-01Z') to ('2020-02-01Z')`,
    )
    await log('2020-01-02Z')
    await session.query(`delete from platform.audit_seals`)
    await session.query(
      `insert into platform.audit_seals (org_id, seq, hash, base_seq) values ($1, 1, decode('0a', 'hex'), 0)`,
      [org],
    )
    await force('audit_seals')
    const before = await partitions()
    await expect(dropPartitions(session, logs, { before: '2020-02' })).rejects.toThrow(advice)
    expect(await partitions()).toEqual(before)

    await session.query('drop table platform.audit_logs_2020_01')
    await force('audit_logs_default')
    const ensuring = ensurePartitions(session, logs, { months: 3 })
    await expect(ensuring).rejects.toThrow(MigrationError)
    await expect(ensuring).rejects.toThrow(advice)
    expect(await partitions()).toHaveLength(before.length - 1)
  })
})
