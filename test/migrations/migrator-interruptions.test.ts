import { type ChildProcess, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, test, vi } from 'vitest'
import type { Session } from '../../src/database/session.js'
import { fingerprint } from '../../scripts/catalog/fingerprint.js'
import {
  type MigrationSet,
  migrateDown,
  migrateUp,
  migrationStatus,
  verifyMigrations,
} from '../../src/migrations/migrator.js'
import type { MigrateOptions } from '../../src/migrations/progress.js'
import { compiled } from '../support/compiled.js'
import { useEmptyDatabases } from './empty-database.js'
import { asSet, writeFolder } from './migrations-folder.js'

const emptyDatabase = useEmptyDatabases()
const minutes = { timeout: 240_000 }
// Each moment with TENANTRY_ALL=1; otherwise some of them.
const everything = process.env.TENANTRY_ALL === '1'

// A file in one transaction, and one statement by statement that would fail or count twice if anything ran twice.
const counters = {
  tag: '0000_counters',
  up: ['create table counters (n int)', 'insert into counters values (0)'],
  down: 'drop table counters',
}
const count = {
  tag: '0001_count',
  up: [
    '-- no-transaction\ncreate index concurrently if not exists counters_idx on counters (n)',
    'update counters set n = n + 1',
  ],
  down: ['-- no-transaction\nupdate counters set n = n - 1', 'drop index concurrently if exists counters_idx'],
}

/** The catalog, the one row that tells how often the update ran, and whether an index is INVALID. */
async function stateOf(session: Session): Promise<unknown> {
  return {
    print: await fingerprint(session, { schemas: ['public'] }),
    rows: await session.query('select n from counters').catch(() => undefined),
    invalid: await session.query('select indexrelid from pg_index where not indisvalid'),
  }
}

/** One way and the other between nothing and everything applied, and what the database is afterwards. */
async function wayOf(direction: string, session: Session, set: MigrationSet) {
  const up = (over: Session, options: MigrateOptions = {}) => migrateUp(over, [set], options)
  const down = (over: Session, options: MigrateOptions = {}) => migrateDown(over, [set], { ...options, all: true })
  const [back, go] = direction === 'up' ? [down, up] : [up, down]
  await up(session)
  if (direction === 'down') await down(session)
  return { back, go, wanted: await stateOf(session) }
}

describe.each(['up', 'down'])('on the way %s', (direction) => {
  test('a connection that breaks before any of its statements is made good by the next run', minutes, async () => {
    const { session, url } = await emptyDatabase()
    const { back, go, wanted } = await wayOf(direction, session, asSet(await writeFolder([counters, count])))

    for (let at = 1; ; at += everything ? 1 : 4) {
      await back(session)
      const breaking = await breakingSession(url, at)
      const whole = await go(breaking).then(
        () => true,
        () => false,
      )
      await breaking.close()
      await go(session)
      expect(await stateOf(session), `broken before statement ${at}`).toEqual(wanted)
      if (whole) {
        expect(at).toBeGreaterThan(35)
        return
      }
    }
  })

  test('a process killed at any moment is made good by the next run', minutes, async () => {
    const { session, url } = await emptyDatabase()
    const folder = await writeFolder([counters, count])
    const { back, go, wanted } = await wayOf(direction, session, asSet(folder))

    const program = compiled('test/migrations/interrupted-migrator.js')
    // Before each statement, after the last, and once the file is recorded.
    const last = direction === 'up' ? 8 : 7
    const moments = everything ? Array.from({ length: last + 1 }, (_, moment) => moment) : [0, 3, last]
    for (const moment of moments) {
      await back(session)
      const migrator = spawn(process.execPath, [program, url, folder, direction, String(moment)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const stopped = await stopOrEnd(migrator)
      migrator.kill('SIGKILL')
      await go(session)
      expect(await stateOf(session), `killed at moment ${moment}`).toEqual(wanted)
      expect(stopped).toBe(moment !== last)
    }
  })

  test('a backend ended at any moment is made good by the next run', minutes, async () => {
    const { session, connect } = await emptyDatabase()
    const { back, go, wanted } = await wayOf(direction, session, asSet(await writeFolder([counters, count])))

    for (let moment = 0; moment < 7; moment += 1) {
      await back(session)
      const victim = await connect()
      const [{ pid } = { pid: 0 }] = await victim.query<{ pid: number }>('select pg_backend_pid() as pid')
      let reached = 0
      const onProgress = async () => {
        if (reached === moment) await session.query('select pg_terminate_backend($1, 5000)', [pid])
        reached += 1
      }
      await expect(go(victim, { onProgress }), `moment ${moment}`).rejects.toThrow('the connection was lost')
      await go(session)
      expect(await stateOf(session), `ended at moment ${moment}`).toEqual(wanted)
    }
  })
})

test('a backend that is terminated during a migration is reported as such', async () => {
  const { session, connect } = await emptyDatabase()
  const victim = await connect()
  const run = migrateUp(victim, [asSet(await writeFolder([{ tag: '0000_long', up: 'select pg_sleep(60)' }]))])
  const outcome = expect(run).rejects.toThrow(/0000_long\.sql, statement 1, line 1: the connection was lost/)
  await vi.waitFor(
    async () => {
      const ended = await session.query(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where query = 'select pg_sleep(60)' and datname = current_database()",
      )
      expect(ended).toHaveLength(1)
    },
    { timeout: 20_000, interval: 5 },
  )
  await outcome
})

test('an index left INVALID by an interrupted build is dropped and built anew', async () => {
  const { session } = await emptyDatabase()
  const index = 'create unique index concurrently if not exists "Odd name" on public.counters (n)'
  const set = asSet(await writeFolder([counters, { tag: '0001_index', up: `-- no-transaction\n${index}` }]))
  await migrateUp(session, [set], { to: 0 })
  await session.query('insert into counters values (0)')
  const valid = () => session.query(`select indisvalid from pg_index where indexrelid = '"Odd name"'::regclass`)

  await expect(migrateUp(session, [set])).rejects.toThrow(
    /0001_index\.sql, statement 1, line 1: could not create unique index/,
  )
  expect(await valid()).toEqual([{ indisvalid: false }])
  await session.query('delete from counters')
  await migrateUp(session, [set])
  expect(await valid()).toEqual([{ indisvalid: true }])
})

test('a file that is half applied is finished before anything else, and may be mended only where it has not run', async () => {
  const { session } = await emptyDatabase()
  const half = (statements: string[]) => [
    counters,
    { tag: '0001_half', up: ['-- no-transaction\nupdate counters set n = n + 1', ...statements], down: 'select 1' },
  ]
  const set = asSet(await writeFolder(half(['insert into counters values (null), (1/0)'])))
  await expect(migrateUp(session, [set])).rejects.toThrow('0001_half.sql, statement 2, line 4: division by zero')
  expect(await migrationStatus(session, [set])).toMatchObject([
    { migrations: [{ state: 'applied' }, { state: 'half up' }], faults: [] },
  ])
  expect(await verifyMigrations(session, [set])).toContain(
    '0001_half was interrupted after statement 1: run migrate again',
  )
  await expect(migrateDown(session, [set])).rejects.toThrow(
    '0001_half is half applied; finish it with migrate up first',
  )

  await writeFile(join(set.folder, '0001_half.sql'), '-- no-transaction\nupdate counters set n = n + 100')
  await expect(migrateUp(session, [set])).rejects.toThrow(
    '0001_half.sql was interrupted after statement 1, and the statements that had run were edited',
  )
  await writeFolder(half(['insert into counters values (7)']), set.folder)
  await migrateUp(session, [set])
  expect(await session.query('select n from counters order by n')).toEqual([{ n: 1 }, { n: 7 }])
})

test('a file that is half taken back is finished before anything else', async () => {
  const { session } = await emptyDatabase()
  const set = asSet(
    await writeFolder([
      counters,
      { tag: '0001_half', up: 'select 1', down: ['-- no-transaction\nupdate counters set n = n - 1', 'select 1/0'] },
    ]),
  )
  await migrateUp(session, [set])
  await expect(migrateDown(session, [set])).rejects.toThrow('0001_half.down.sql, statement 2')
  await expect(migrateUp(session, [set])).rejects.toThrow('0001_half is half undone; finish it with migrate down first')

  await writeFile(join(set.folder, '0001_half.down.sql'), '-- no-transaction\nupdate counters set n = n - 1')
  await migrateDown(session, [set])
  expect(await session.query('select n from counters')).toEqual([{ n: -1 }])
})

/** Its socket is cut instead of sending its nth statement. */
async function breakingSession(url: string, at: number): Promise<Session> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  const { stream: socket } = (client as unknown as { connection: { stream: Socket } }).connection
  let sent = 0
  return {
    engine: 'postgres',
    async query<Row>(text: string, params: readonly unknown[] = []) {
      sent += 1
      if (sent === at) socket.destroy()
      return (await client.query<Row & pg.QueryResultRow>(text, [...params])).rows
    },
    close: () => client.end(),
  }
}

/** True when the process says that it has stopped where it was told to, false when it ran to its end. */
function stopOrEnd(migrator: ChildProcess): Promise<boolean> {
  return new Promise((settle, fail) => {
    migrator.stdout?.once('data', () => {
      settle(true)
    })
    migrator.once('error', fail)
    migrator.once('exit', (code) => {
      if (code === 0) settle(false)
      else fail(new Error(`the migrator ended with ${code}`))
    })
  })
}
