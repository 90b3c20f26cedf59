import { expect, test, vi } from 'vitest'
import { openSession, type Session } from '../../src/database/session.js'
import { withMigrationLock } from '../../src/database/session-lock.js'
import { migrateUp } from '../../src/migrations/migrator.js'
import type { MigrationProgress } from '../../src/migrations/progress.js'
import { useEmptyDatabases } from './empty-database.js'
import { asSet, writeFolder } from './migrations-folder.js'
import { shop } from './shop.js'

const emptyDatabase = useEmptyDatabases()

const change = [
  { tag: '0000_read', up: ['create table log (id int)', 'create table read (id int)'] },
  { tag: '0001_change', up: ['insert into log values (1)', 'alter table read add column name text'] },
]
const logged = (session: Session) => session.query('select id from log')

test('of ten migrators at once one applies, and none fails', async () => {
  const { connect } = await emptyDatabase()
  const set = asSet(await writeFolder(shop))
  const migrators = await Promise.all(Array.from({ length: 10 }, connect))
  const steps = await Promise.all(migrators.map((session) => migrateUp(session, [set])))
  expect(steps.map(({ length }) => length).sort()).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 4])
})

test('a migrator waits for another one, and says for whom', async () => {
  const { session, connect } = await emptyDatabase()
  const set = asSet(await writeFolder(shop))
  const other = await connect()
  const [{ pid } = { pid: 0 }] = await other.query<{ pid: number }>('select pg_backend_pid() as pid')
  const told: MigrationProgress[] = []
  let waited: Promise<unknown> | undefined

  await withMigrationLock(other, {}, async () => {
    await expect(migrateUp(session, [set], { patience: 0 })).rejects.toThrow(
      `another migrator is still at work on this database: server process ${pid} (tenantry)`,
    )
    await new Promise<void>((settle) => {
      const onProgress = (progress: MigrationProgress) => {
        told.push(progress)
        settle()
      }
      waited = migrateUp(session, [set], { onProgress })
    })
  })
  await expect(waited).resolves.toHaveLength(4)
  expect(told[0]).toEqual({ kind: 'waiting', holder: expect.stringContaining(`server process ${pid}`) as string })
  expect(told.filter(({ kind }) => kind === 'waiting')).toHaveLength(1)
})

test('the lock is free again after a run, also after one that failed', async () => {
  const { session, connect } = await emptyDatabase()
  const other = await connect()
  await migrateUp(session, [asSet(await writeFolder(shop.slice(0, 1)))])
  await expect(
    migrateUp(session, [asSet(await writeFolder([{ tag: '0000_typo', up: 'creat' }]), 'typo')]),
  ).rejects.toThrow('creat')
  await expect(withMigrationLock(other, { patience: 0 }, () => Promise.resolve('free'))).resolves.toBe('free')
})

test('the lock nests', async () => {
  const { session, connect } = await emptyDatabase()
  const other = await connect()
  await withMigrationLock(session, {}, async () => {
    await withMigrationLock(session, {}, () => Promise.resolve())
    await expect(withMigrationLock(other, { patience: 0 }, () => Promise.resolve())).rejects.toThrow('another migrator')
  })
})

test('a table that stays locked ends the run by name, with nothing of the file applied', async () => {
  const { session, connect } = await emptyDatabase()
  const set = asSet(await writeFolder(change))
  await migrateUp(session, [set], { to: 0 })
  const reader = await connect()
  await reader.query('begin')
  await reader.query('select from read')

  await expect(migrateUp(session, [set], { lockTimeout: 20, attempts: 3 })).rejects.toThrow(
    /0001_change\.sql, statement 2, line 3: a lock was not free in time \(55P03\)\. Gave up after 3 attempts/,
  )
  expect(await logged(session)).toEqual([])
  await reader.query('rollback')
  await migrateUp(session, [set])
  expect(await logged(session)).toHaveLength(1)
})

test('a migration steps back for those who queued behind it, and gets its turn', async () => {
  const { session, connect } = await emptyDatabase()
  const set = asSet(await writeFolder(change))
  await migrateUp(session, [set], { to: 0 })
  const reader = await connect()
  await reader.query('begin')
  await reader.query('select from read')
  const queued = await connect()
  await queued.query('set statement_timeout = 20000')

  const retries: number[] = []
  const run = migrateUp(session, [set], {
    lockTimeout: 500,
    attempts: 50,
    onProgress(progress) {
      if (progress.kind === 'retrying') retries.push(progress.attempt)
    },
  })
  const watch = await connect()
  await vi.waitFor(
    async () => {
      const waiting = await watch.query(
        `select from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and query like 'alter table read%'`,
      )
      expect(waiting).toHaveLength(1)
    },
    { timeout: 20_000, interval: 5 },
  )
  // Behind the waiting ALTER TABLE, and answered although the first reader is still there.
  await queued.query('select from read')
  await reader.query('rollback')
  await expect(run).resolves.toHaveLength(1)
  expect(retries[0]).toBe(1)
  // Each attempt began anew.
  expect(await logged(session)).toHaveLength(1)
})

test('a build that waits for an old transaction is not given up', async () => {
  const { url, session, connect } = await emptyDatabase()
  const index = '-- no-transaction\ncreate index concurrently if not exists read_idx on read (id)'
  const set = asSet(await writeFolder([...change, { tag: '0002_index', up: index }]))
  await migrateUp(session, [set], { to: 1 })
  const reader = await connect()
  await reader.query('begin isolation level repeatable read')
  await reader.query('select from log')

  const watch = await connect()
  // A limit of the role or the database does not count either.
  const impatient = await openSession({ url: `${url}?options=-c%20lock_timeout%3D1` })
  const run = migrateUp(impatient, [set], { lockTimeout: 1, attempts: 1 })
  await vi.waitFor(
    async () => {
      const waiting = await watch.query(
        "select from pg_stat_activity where datname = current_database() and wait_event = 'virtualxid'",
      )
      expect(waiting).toHaveLength(1)
    },
    { timeout: 20_000, interval: 5 },
  )
  await reader.query('rollback')
  await expect(run).resolves.toHaveLength(1)
  await impatient.close()
})

test('behind a transaction pooler nothing is applied, and the error says so', async () => {
  const { session, connect } = await emptyDatabase()
  const backends = [session, await connect()] as const
  let transactions = 0
  const pooled: Session = {
    engine: 'postgres',
    query<Row>(text: string, params?: readonly unknown[]) {
      if (text === 'begin') transactions += 1
      return backends[transactions % 2 === 1 ? 1 : 0].query<Row>(text, params)
    },
    close: () => Promise.resolve(),
  }
  const set = asSet(await writeFolder(change))
  await expect(migrateUp(pooled, [set])).rejects.toThrow('Migrate over a direct connection')
  expect(await session.query("select to_regclass('read') as read")).toEqual([{ read: null }])
})
