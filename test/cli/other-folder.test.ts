import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { useEmptyDatabases } from '../migrations/empty-database.js'
import { writeFolder } from '../migrations/migrations-folder.js'
import { containing, example, root, tenantry } from './command-line.js'

const database = useDatabase()
const emptyDatabase = useEmptyDatabases()
let session: Session
let env: Record<string, string>

// Migrated once, in the folder of the config. Nothing below may change what is applied.
beforeAll(async () => {
  const made = await emptyDatabase()
  const app = new URL(database.appUrl)
  app.pathname = new URL(made.url).pathname
  session = made.session
  env = { DATABASE_ADMIN_URL: made.url, DATABASE_URL: app.href }
  expect(await tenantry(['migrate', 'up'], { cwd: example, env })).toMatchObject({ code: 0 })
})

const applied = () =>
  session.query(
    `select 'tenantry' as set, count(*)::int as count from platform_migrations.migrations
     union all select 'own', count(*)::int from app_migrations.migrations order by 1`,
  )

/** A project of somebody else's, whose migrations keep their records where those of the example do. */
async function otherProject(): Promise<string> {
  const project = mkdtempSync(join(tmpdir(), 'tenantry-other-'))
  onTestFinished(() => {
    rmSync(project, { recursive: true })
  })
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'))
  writeFileSync(
    join(project, 'schema.ts'),
    `import { pgSchema, text } from 'drizzle-orm/pg-core'\nexport const t = pgSchema('other').table('t', { a: text('a') })`,
  )
  writeFileSync(
    join(project, 'tenantry.config.ts'),
    `export default { schema: './schema.ts', migrations: './drizzle' }`,
  )
  mkdirSync(join(project, 'drizzle'))
  await writeFolder(
    [{ tag: '0000_other', up: 'create schema other', down: 'drop schema other' }],
    join(project, 'drizzle'),
  )
  return project
}

const writing = [
  ['migrate', 'up'],
  ['migrate', 'up', '--set', 'own'],
  ['migrate', 'down', '--yes'],
  ['migrate', 'down', '--all', '--yes'],
  ['migrate', 'down', '--set', 'tenantry', '--yes'],
  ['migrate', 'down', '--set', 'platform', '--to', '0', '--yes'],
  ['bootstrap'],
  ['partitions', 'ensure'],
  ['partitions', 'drop', '--before', '2026-01'],
].map((args): [string, string[]] => [args.join(' '), args])

test.for(writing.filter(([, args]) => !args.includes('own')))(
  'refused where no config is found: %s',
  async ([, args]) => {
    const before = await applied()
    const { code, stdout, stderr } = await tenantry(args, { env })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('own: its migrations are applied to this database (app_migrations.migrations)')
    expect(stderr).toContain('no tenantry.config.ts was found')
    expect(stderr).toContain('--config')
    expect(await applied()).toEqual(before)
  },
)

test.for(writing)('refused where the config is that of another project: %s', async ([, args]) => {
  const before = await applied()
  const cwd = await otherProject()
  const { code, stdout, stderr } = await tenantry(args, { cwd, env })
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain(`own: ${join(cwd, 'drizzle')} has none of the migrations that are applied to this database`)
  expect(stderr).toContain('--config')
  expect(await applied()).toEqual(before)
})

test("the library's migrations alone may be applied from anywhere", async () => {
  for (const cwd of [tmpdir(), await otherProject()]) {
    for (const name of ['tenantry', 'platform']) {
      expect(await tenantry(['migrate', 'up', '--set', name], { cwd, env })).toMatchObject({
        code: 0,
        stdout: containing('Nothing was pending.'),
      })
    }
  }
  expect(await tenantry(['migrate', 'down', '--yes'], { env })).toMatchObject({ code: 1 })
})

test('status and proof only warn', async () => {
  const status = await tenantry(['migrate', 'status'], { env })
  expect(status).toMatchObject({ code: 0, stdout: containing('warning: own: its migrations are applied') })
  const other = await tenantry(['migrate', 'status', '--json'], { cwd: await otherProject(), env })
  expect(other.json()).toMatchObject({ warnings: [containing('has none of the migrations')] })
  expect((await tenantry(['migrate', 'status', '--json'], { cwd: example, env })).json()).toMatchObject({
    warnings: [],
  })

  const notesIn = async (cwd: string) => {
    const { notes } = (await tenantry(['proof', '--json'], { cwd, env })).json() as {
      notes: { fault: string; detail: string }[]
    }
    return notes.filter(({ fault }) => fault === 'migrations are not in this config').map(({ detail }) => detail)
  }
  expect(await notesIn(tmpdir())).toEqual(['own (app_migrations.migrations)'])
  expect(await notesIn(example)).toEqual([])
})

test('verify is no gate for migrations that it does not see', async () => {
  expect(await tenantry(['migrate', 'verify'], { env })).toMatchObject({
    code: 3,
    stdout: containing('own: its migrations are applied'),
  })
})

test('--config names the file from anywhere', async () => {
  const config = join(example, 'tenantry.config.ts')
  expect(await tenantry(['migrate', 'up', '--config', config], { env })).toMatchObject({ code: 0 })
  expect(await tenantry(['bootstrap', '--config', config], { env })).toMatchObject({ code: 0 })
})

test('once the own migrations are taken back, those of the library may be, from anywhere', async () => {
  const { url } = await emptyDatabase()
  const there = { DATABASE_ADMIN_URL: url }
  await tenantry(['migrate', 'up'], { cwd: example, env: there })
  expect(await tenantry(['migrate', 'down', '--yes'], { env: there })).toMatchObject({ code: 1 })
  expect(
    await tenantry(['migrate', 'down', '--set', 'own', '--all', '--yes'], { cwd: example, env: there }),
  ).toMatchObject({
    code: 0,
  })
  expect(await tenantry(['migrate', 'down', '--yes'], { env: there })).toMatchObject({
    code: 0,
    stdout: containing('Migrations taken back: 1.'),
  })
})

test('the rights that a newer build set are not taken away by an older one', async () => {
  const { url, session: newer } = await emptyDatabase()
  const there = { DATABASE_ADMIN_URL: url }
  await tenantry(['migrate', 'up'], { cwd: example, env: there })
  await newer.query(`insert into app_migrations.migrations (hash, created_at) values ('newer', 9999999999999)`)
  expect(await tenantry(['bootstrap'], { cwd: example, env: there })).toMatchObject({
    code: 1,
    stderr: containing('own: the database has 1 migration(s) of a newer build; use that build'),
  })
})

test('the embedded database is guarded alike', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'tenantry-embedded-'))
  onTestFinished(() => {
    rmSync(directory, { recursive: true })
  })
  const embedded = ['--embedded', join(directory, 'data')]
  expect(await tenantry(['migrate', 'up', ...embedded], { cwd: example })).toMatchObject({ code: 0 })
  expect(await tenantry(['migrate', 'down', '--yes', ...embedded])).toMatchObject({
    code: 1,
    stderr: containing('own:'),
  })
})
