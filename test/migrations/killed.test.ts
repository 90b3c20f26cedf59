import { type ChildProcess, spawn } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import type { Session } from '../../src/database/session.js'
import { fingerprint } from '../../scripts/catalog/fingerprint.js'
import { type Migration, readFolder } from '../../src/migrations/folder.js'
import { migrateDown, migrateUp, platformMigrations, verifyMigrations } from '../../src/migrations/migrator.js'
import type { MigrateOptions } from '../../src/migrations/progress.js'
import { compiled } from '../support/compiled.js'
import { useEmptyDatabases } from './empty-database.js'
import { asSet } from './migrations-folder.js'

// The library's own migrations. All of their statements with TENANTRY_ALL=1, which takes minutes; otherwise one of every third file each way.
const everything = process.env.TENANTRY_ALL === '1'
const emptyDatabase = useEmptyDatabases()
const minutes = { timeout: 1_800_000 }
const { folder } = platformMigrations
const set = asSet(folder, 'killed')

const print = (session: Session) => fingerprint(session, { schemas: ['platform'] })

describe.each(['up', 'down'] as const)('on the way %s', (direction) => {
  test('a backend that is ended between two statements is made good by the next run', minutes, async () => {
    const { session, connect } = await emptyDatabase()
    const go = (over: Session, index: number, options: MigrateOptions = {}) =>
      direction === 'up'
        ? migrateUp(over, [set], { ...options, to: index })
        : migrateDown(over, [set], { ...options, ...before(index) })

    for (const migration of await readFolder(folder)) {
      const { index } = migration
      if (!everything && index % 3 !== (direction === 'up' ? 0 : 1)) {
        await migrateUp(session, [set], { to: index })
        continue
      }
      const without = await print(session)
      await migrateUp(session, [set], { to: index })
      const whole = await print(session)
      for (const done of momentsOf(index, migration[direction]?.statements.length ?? 0)) {
        await (direction === 'up'
          ? migrateDown(session, [set], before(index))
          : migrateUp(session, [set], { to: index }))
        const victim = await connect()
        await expect(go(victim, index, endedAt(session, await pidOf(victim), done))).rejects.toThrow(
          'the connection was lost',
        )
        // What a file does outside of a transaction stays, and is not done again.
        if (migration[direction]?.transactional === true)
          expect(await print(session), `${migration.tag}, ended at ${done}`).toBe(direction === 'up' ? without : whole)
        await go(session, index)
        expect(await print(session), `${migration.tag} after ${done}`).toBe(direction === 'up' ? whole : without)
      }
      await migrateUp(session, [set], { to: index })
      expect(await print(session)).toBe(whole)
    }
    expect(await verifyMigrations(session, [set])).toEqual([])
  })

  test('a migrator killed at any moment is made good by the next run', minutes, async () => {
    const { session, url } = await emptyDatabase()
    const shop = asSet(folder)
    const program = compiled('test/migrations/interrupted-migrator.js')
    const empty = await print(session)
    await migrateUp(session, [shop])
    const whole = await print(session)

    const count = reportsOf(await readFolder(folder), direction)
    for (const moment of everything
      ? Array.from({ length: count }, (_, at) => at)
      : [Math.floor(count / 2), count - 2]) {
      await (direction === 'up' ? migrateDown(session, [shop], { all: true }) : migrateUp(session, [shop]))
      const migrator = spawn(process.execPath, [program, url, folder, direction, String(moment)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      await stopped(migrator)
      migrator.kill('SIGKILL')
      await (direction === 'up' ? migrateUp(session, [shop]) : migrateDown(session, [shop], { all: true }))
      expect(await print(session), `killed at moment ${moment}`).toBe(direction === 'up' ? whole : empty)
    }
  })
})

/** Everything up to the one before. */
const before = (index: number) => (index === 0 ? { all: true } : { to: index - 1 })

/** How many statements of the file have run when the blow comes. After the last one the file is not yet recorded. */
const momentsOf = (index: number, statements: number): number[] =>
  everything
    ? Array.from({ length: statements + 1 }, (_, done) => done)
    : [index % 4 < 2 ? Math.ceil(statements / 2) : statements]

/** Before each statement, after a file's last, and once the file is recorded. */
const reportsOf = (migrations: readonly Migration[], direction: 'up' | 'down') =>
  migrations.reduce((sum, migration) => sum + (migration[direction]?.statements.length ?? 0) + 2, 0)

async function pidOf(session: Session): Promise<number> {
  const [row] = await session.query<{ pid: number }>('select pg_backend_pid() as pid')
  return row?.pid ?? 0
}

const endedAt = (session: Session, pid: number, done: number): MigrateOptions => ({
  onProgress: async (progress) => {
    if (progress.kind === 'running' && progress.done === done)
      await session.query('select pg_terminate_backend($1, 5000)', [pid])
  },
})

/** Once the process says that it has stopped where it was told to. */
function stopped(migrator: ChildProcess): Promise<void> {
  return new Promise((settle, fail) => {
    migrator.stdout?.once('data', () => {
      settle()
    })
    migrator.once('error', fail)
    migrator.once('exit', (code, signal) => {
      if (signal === null) fail(new Error(`the migrator ended with ${code} before it was stopped`))
    })
  })
}
