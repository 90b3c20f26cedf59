import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { loadProject } from '../../src/cli/config-file.js'
import type { Session } from '../../src/database/session.js'
import { withMigrationLock } from '../../src/database/session-lock.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { openTenancy } from '../../src/tenancy.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { useEmptyDatabases } from '../migrations/empty-database.js'
import { writeFolder } from '../migrations/migrations-folder.js'
import { containing, example, root, tenantry } from './command-line.js'

const database = useDatabase()
const emptyDatabase = useEmptyDatabases()

/** The application's login on another database of the server. */
function asApp(adminUrl: string): string {
  const url = new URL(database.appUrl)
  url.pathname = new URL(adminUrl).pathname
  return url.href
}

/** A project of somebody else's. It declares a table of the name that the example has, which is not the same. */
async function otherProject(config = ''): Promise<string> {
  const project = mkdtempSync(join(tmpdir(), 'tenantry-other-'))
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'))
  writeFileSync(
    join(project, 'schema.ts'),
    `import { pgSchema, text } from 'drizzle-orm/pg-core'\nexport const t = pgSchema('helpdesk').table('tickets', { a: text('a') })`,
  )
  writeFileSync(
    join(project, 'tenantry.config.ts'),
    `export default { schema: './schema.ts', migrations: './drizzle', ${config} }`,
  )
  mkdirSync(join(project, 'drizzle'))
  await writeFolder(
    [{ tag: '0000_other', up: 'create schema other', down: 'drop schema other' }],
    join(project, 'drizzle'),
  )
  return project
}

/** The folders of two other projects: one keeps its records in the table that the example has, one elsewhere. */
let sameTable: string
let otherTable: string
beforeAll(async () => {
  sameTable = await otherProject()
  otherTable = await otherProject(`bookkeeping: { schema: 'other_migrations', table: 'm' }`)
})
afterAll(() => {
  for (const folder of [sameTable, otherTable]) rmSync(folder, { recursive: true })
})

describe("beside the example's migrations", () => {
  let session: Session
  let env: Record<string, string>

  // Migrated once, in the folder of the config. Nothing below may change what is applied.
  beforeAll(async () => {
    const made = await emptyDatabase()
    session = made.session
    env = { DATABASE_ADMIN_URL: made.url, DATABASE_URL: asApp(made.url) }
    expect(await tenantry(['migrate', 'up'], { cwd: example, env })).toMatchObject({ code: 0 })
  })

  const state = () =>
    session.query(
      `select (select count(*)::int from platform_migrations.migrations) as library,
         (select count(*)::int from app_migrations.migrations) as own,
         (select relacl::text from pg_class where oid = 'helpdesk.tickets'::regclass) as rights,
         (select count(*)::int from platform.billing_plans) as plans,
         (select count(*)::int from pg_roles where rolname = 'tenantry_other_folder') as logins`,
    )

  const writing = [
    'migrate up',
    'migrate up --json',
    'migrate down --yes',
    'migrate down --all --yes',
    'migrate down --set tenantry --yes',
    'migrate down --set platform --to 0 --yes',
    'bootstrap',
    'seed',
    'login create tenantry_other_folder',
    'partitions ensure',
    'partitions drop --before 2026-01',
  ]

  test.for(writing)('refused where no config is found: %s', async (line) => {
    const before = await state()
    const { code, stderr } = await tenantry(line.split(' '), { env })
    expect(code).toBe(1)
    expect(stderr).toContain(
      `own: its migrations are applied to this database (app_migrations.migrations), but no tenantry.config.ts was found in ${tmpdir()} or above it\n`,
    )
    expect(stderr).toContain('Run this in the folder of the tenantry.config.ts that names them')
    expect(stderr).toContain('--config')
    expect(await state()).toEqual(before)
  })

  test.for([...writing, 'migrate up --set own', 'migrate down --set own --yes'])(
    'refused where the config is that of another project: %s',
    async (line) => {
      const before = await state()
      const same = await tenantry(line.split(' '), { cwd: sameTable, env })
      expect(same.code).toBe(1)
      expect(same.stderr).toContain(
        `but none of them is in ${join(sameTable, 'drizzle')}, the folder that ${join(sameTable, 'tenantry.config.ts')} names\n`,
      )
      const other = await tenantry([...line.split(' '), '--config', join(otherTable, 'tenantry.config.ts')], { env })
      expect(other.code).toBe(1)
      expect(other.stderr).toContain(
        `own: its migrations are applied to this database (app_migrations.migrations), but ${join(otherTable, 'tenantry.config.ts')} does not name them: its own migrations are recorded in other_migrations.m\n`,
      )
      expect(await state()).toEqual(before)
    },
  )

  test("the library's migrations alone may be applied from anywhere, and leave the rights on other tables alone", async () => {
    const before = await state()
    expect(await tenantry(['migrate', 'up'], { env })).toMatchObject({
      stderr: containing('migrate up --set tenantry'),
    })
    for (const [cwd, set] of [
      [tmpdir(), 'tenantry'],
      [tmpdir(), 'platform'],
      [sameTable, 'tenantry'],
      [otherTable, 'platform'],
    ] as const) {
      expect(await tenantry(['migrate', 'up', '--set', set], { cwd, env })).toMatchObject({
        code: 0,
        stdout: 'Nothing was pending.\nRoles and rights: as declared.\n',
      })
    }
    expect(await state()).toEqual(before)
    // It has not made the database forget what is applied.
    expect(await tenantry(['migrate', 'down', '--yes'], { env })).toMatchObject({ code: 1 })
  })

  test('status only warns, and does not where the config has everything', async () => {
    const status = (cwd: string, ...args: string[]) => tenantry(['migrate', 'status', ...args], { cwd, env })
    const nowhere = await status(tmpdir())
    expect(nowhere).toMatchObject({ code: 0, stderr: '' })
    expect(nowhere.stdout).toContain('warning: own: its migrations are applied')
    expect(nowhere.stdout).toContain('Commands that write are refused here. Run this in the folder')
    for (const cwd of [sameTable, otherTable]) {
      const { code, json } = await status(cwd, '--json')
      expect(code).toBe(0)
      expect(json()).toMatchObject({ warnings: [containing('own: its migrations are applied')] })
    }
    const here = await status(example)
    expect(here).toMatchObject({ code: 0 })
    expect(here.stdout).not.toContain('warning')
    expect((await status(example, '--json')).json()).toMatchObject({ warnings: [] })
  })

  test('proof only notes it, and the application starts', async () => {
    const notesIn = async (cwd: string) => {
      const { notes } = (await tenantry(['proof', '--json'], { cwd, env })).json() as {
        notes: { fault: string; detail: string; mend: string }[]
      }
      return notes.filter(({ fault }) => fault === 'the config does not name all applied migrations')
    }
    expect(await notesIn(tmpdir())).toEqual([
      expect.objectContaining({
        detail: containing('own: its migrations are applied'),
        mend: containing('--config'),
      }),
    ])
    expect(await notesIn(example)).toEqual([])

    const tenancy = await openTenancy({
      url: env.DATABASE_URL,
      keys: `test:${Buffer.alloc(32, 7).toString('base64')}`,
      allowRelations: ['helpdesk.tickets', 'app_migrations.migrations'],
    })
    await tenancy.ping()
    await tenancy.close()
  })

  test('verify ends with 3 when an applied set is missing from the config', async () => {
    expect(await tenantry(['migrate', 'verify'], { env })).toMatchObject({
      code: 3,
      stdout: containing('own: its migrations are applied'),
    })
  })

  test('--config names the file from anywhere', async () => {
    const before = await state()
    const config = join(example, 'tenantry.config.ts')
    for (const command of [['migrate', 'up'], ['bootstrap'], ['partitions', 'ensure']]) {
      expect(await tenantry([...command, '--config', config], { env })).toMatchObject({ code: 0 })
    }
    expect(await state()).toEqual(before)
  })

  test('a role that may not read what is applied is told what it may not do, not that the folder is wrong', async () => {
    const url = new URL(database.appUrl)
    url.username = url.username.replace(/_app$/, '_otherfolder')
    await session.query(`create role ${url.username} login createrole password '${url.password}'`)
    url.pathname = new URL(env.DATABASE_ADMIN_URL ?? '').pathname
    const there = { DATABASE_ADMIN_URL: url.href }
    for (const args of [['bootstrap'], ['login', 'create', `${url.username}_login`]]) {
      const { stderr } = await tenantry(args, { cwd: example, env: there })
      expect(stderr).not.toContain('tenantry.config.ts')
      expect(stderr).not.toContain('permission denied for')
    }
  })
})

test('a down that waits for the first migration of a set is refused when it is applied', async () => {
  const { url, session } = await emptyDatabase()
  const there = { DATABASE_ADMIN_URL: url }
  expect(await tenantry(['migrate', 'up'], { env: there })).toMatchObject({ code: 0 })

  let down: ReturnType<typeof tenantry> | undefined
  await withMigrationLock(session, {}, async () => {
    down = tenantry(['migrate', 'down', '--yes'], { env: there })
    await vi.waitFor(
      async () => {
        const waiting = await session.query(
          `select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query like '%pg_try_advisory_lock%'`,
        )
        expect(waiting).toHaveLength(1)
      },
      { timeout: 30_000 },
    )
    await upgrade(session, await loadProject(example, undefined))
  })
  expect(await down).toMatchObject({ code: 1, stderr: containing('own: its migrations are applied') })
})

test('after the own migrations are undone, the library’s may be undone without the config', async () => {
  const { url } = await emptyDatabase()
  const there = { DATABASE_ADMIN_URL: url }
  expect(await tenantry(['migrate', 'up'], { cwd: example, env: there })).toMatchObject({ code: 0 })
  expect(
    await tenantry(['migrate', 'down', '--set', 'own', '--all', '--yes'], { cwd: example, env: there }),
  ).toMatchObject({ code: 0 })
  expect(await tenantry(['migrate', 'down', '--yes'], { env: there })).toMatchObject({
    code: 0,
    stdout: containing('Migrations undone: 1.'),
  })
})

test('a database that an older version migrated has no record, and is recorded in the right folder', async () => {
  const { url, session } = await emptyDatabase()
  const there = { DATABASE_ADMIN_URL: url }
  await tenantry(['migrate', 'up'], { cwd: example, env: there })
  await session.query('drop view platform_migrations.inventory')

  for (const command of ['seed', 'bootstrap', 'migrate status', 'migrate up']) {
    expect(await tenantry(command.split(' '), { env: there }), command).toMatchObject({ code: 0, stderr: '' })
  }
  expect(await tenantry(['migrate', 'up'], { cwd: example, env: there })).toMatchObject({ code: 0 })
  expect(await tenantry(['migrate', 'up'], { env: there })).toMatchObject({ code: 1 })

  // Beside migrations of a newer version, whose tables this one does not know.
  await session.query(`insert into app_migrations.migrations (hash, created_at) values ('newer', 9999999999999)`)
  expect(await tenantry(['bootstrap'], { cwd: example, env: there })).toMatchObject({
    code: 1,
    stderr: containing('own: the database has 1 migration(s) of a newer build; use that build'),
  })
})
