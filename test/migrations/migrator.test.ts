import { spawn } from 'node:child_process'
import { readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate as stockMigrate } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
import { expect, test } from 'vitest'
import { MigrationError } from '../../src/core/errors.js'
import { fingerprint } from '../../scripts/catalog/fingerprint.js'
import { migrateDown, migrateUp, migrationStatus, verifyMigrations } from '../../src/migrations/migrator.js'
import { draftLine } from '../../src/migrations/script.js'
import { type EmptyDatabase, useEmptyDatabases } from './empty-database.js'
import { asSet, writeFolder, type WrittenMigration } from './migrations-folder.js'
import { shop } from './shop.js'

const emptyDatabase = useEmptyDatabases()

const notes: readonly WrittenMigration[] = [
  { tag: '0000_notes', up: 'create table notes (id int)', down: 'drop table notes' },
  { tag: '0001_title', up: 'alter table notes add column title text', down: 'alter table notes drop column title' },
  { tag: '0002_body', up: 'alter table notes add column body text', down: 'alter table notes drop column body' },
]
const tags = (steps: readonly { tag: string }[]) => steps.map(({ tag }) => tag)
const recorded = ({ session }: EmptyDatabase, name = 'shop') =>
  session.query<{ hash: string; created_at: string }>(`select * from ${name}_migrations.migrations order by id`)

test('up applies what is pending, once and in order', async () => {
  const { session } = await emptyDatabase()
  const set = asSet(await writeFolder(notes))

  expect(tags(await migrateUp(session, [set], { to: 1 }))).toEqual(['0000_notes', '0001_title'])
  expect(tags(await migrateUp(session, [set]))).toEqual(['0002_body'])
  expect(await migrateUp(session, [set])).toEqual([])
  await session.query("insert into notes (id, title, body) values (1, '', '')")
  expect(await verifyMigrations(session, [set])).toEqual([])
})

test('down takes back the last one, those after a migration, or all', async () => {
  const { session } = await emptyDatabase()
  const set = asSet(await writeFolder(notes))
  await migrateUp(session, [set])

  expect(tags(await migrateDown(session, [set]))).toEqual(['0002_body'])
  await migrateUp(session, [set])
  expect(tags(await migrateDown(session, [set], { to: '0000_notes' }))).toEqual(['0002_body', '0001_title'])
  expect(tags(await migrateDown(session, [set], { all: true }))).toEqual(['0000_notes'])
  expect(await session.query("select to_regclass('notes') as notes")).toEqual([{ notes: null }])
  await expect(migrateDown(session, [set], { to: 7 })).rejects.toThrow('there is no migration 7')
})

test('a migration with everything in it goes up, down and up again to the same catalog', async () => {
  const { session } = await emptyDatabase()
  const set = asSet(await writeFolder(shop))
  const empty = await fingerprint(session, { schemas: ['shop'] })
  const prints: string[] = []
  for (const [index] of shop.entries()) {
    await migrateUp(session, [set], { to: index })
    prints.push(await fingerprint(session, { schemas: ['shop'] }))
  }
  expect(new Set(prints).size).toBe(shop.length)

  for (const index of [2, 1, 0]) {
    await migrateDown(session, [set], { to: index })
    expect(await fingerprint(session, { schemas: ['shop'] })).toBe(prints[index])
  }
  await migrateDown(session, [set], { all: true })
  expect(await fingerprint(session, { schemas: ['shop'] })).toBe(empty)
  await migrateUp(session, [set])
  expect(await fingerprint(session, { schemas: ['shop'] })).toBe(prints.at(-1))
})

test('a statement that fails leaves nothing of its file, and the error says where, without values of rows', async () => {
  const { session } = await emptyDatabase()
  const up = [
    'create table people (email text)',
    "insert into people values ('ada@b'), ('ada@b')",
    'alter table people\n  add unique (email)',
  ]
  const set = asSet(await writeFolder([...notes, { tag: '0003_people', up }]))

  const failure = migrateUp(session, [set])
  await expect(failure).rejects.toThrow(MigrationError)
  await expect(failure).rejects.toThrow(
    /0003_people\.sql, statement 3, line 5: could not create unique index .* \(23505\)/,
  )
  await expect(failure).rejects.not.toThrow('ada@b')
  expect(await recorded({ session } as EmptyDatabase)).toHaveLength(3)
  expect(await session.query("select to_regclass('people') as people")).toEqual([{ people: null }])
})

test('the line of a fault inside a long statement is found', async () => {
  const { session } = await emptyDatabase()
  const set = asSet(
    await writeFolder([{ tag: '0000_typo', up: '-- why\n\ncreate table a (\n  id int,\n  name txt\n)' }]),
  )
  await expect(migrateUp(session, [set])).rejects.toThrow('0000_typo.sql, statement 1, line 5')
})

test('what one file sets on the connection does not reach the next', async () => {
  const { session } = await emptyDatabase()
  const set = asSet(
    await writeFolder([
      { tag: '0000_elsewhere', up: ['create schema elsewhere', 'set search_path = elsewhere'] },
      { tag: '0001_table', up: 'create table things ()' },
    ]),
  )
  await migrateUp(session, [set])
  expect(await session.query("select to_regclass('public.things') is not null as here")).toEqual([{ here: true }])
})

test('a migration without a down, or with one that nobody has read, is not taken back, and nothing before it', async () => {
  const { session } = await emptyDatabase()
  const folder = await writeFolder(notes)
  const set = asSet(folder)
  await migrateUp(session, [set])

  const down = join(folder, '0001_title.down.sql')
  await writeFile(down, `${draftLine}\nalter table notes drop column title`)
  await expect(migrateDown(session, [set], { all: true })).rejects.toThrow('0001_title.down.sql is a draft')
  expect(await verifyMigrations(session, [set])).toEqual([expect.stringContaining('0001_title.down.sql is a draft')])

  await rm(down)
  await expect(migrateDown(session, [set], { all: true })).rejects.toThrow('0001_title.sql has no down')
  expect(await verifyMigrations(session, [set])).toEqual([expect.stringContaining('0001_title.sql has no down')])
  expect(await recorded({ session } as EmptyDatabase)).toHaveLength(3)
})

test('an edited migration is refused by name', async () => {
  const { session } = await emptyDatabase()
  const folder = await writeFolder(notes)
  await migrateUp(session, [asSet(folder)], { to: 1 })
  await writeFile(join(folder, '0000_notes.sql'), 'create table notes (id bigint)')

  for (const migrate of [migrateUp, migrateDown]) {
    await expect(migrate(session, [asSet(folder)])).rejects.toThrow('0000_notes.sql was edited after it was applied')
  }
  expect(await verifyMigrations(session, [asSet(folder)])).toEqual([
    expect.stringContaining('0000_notes.sql was edited'),
    expect.stringContaining('0002_body.sql is not applied'),
  ])
  expect(await recorded({ session } as EmptyDatabase)).toHaveLength(2)
})

test('reordered migrations are refused by name', async () => {
  const { session } = await emptyDatabase()
  const [first, second, third] = notes as [WrittenMigration, WrittenMigration, WrittenMigration]
  await migrateUp(session, [asSet(await writeFolder(notes))])

  const swapped = asSet(await writeFolder([first, third, second]))
  await expect(migrateUp(session, [swapped])).rejects.toThrow(
    /lists \S*0002_body\.sql at the place where \S*0001_title\.sql was applied/,
  )
  const moved = asSet(await writeFolder([first, { ...second, when: 1_700_000_001_500 }, third]))
  await expect(migrateUp(session, [moved])).rejects.toThrow(/0001_title\.sql was applied with another "when"/)
})

test('a migration that was slipped in before an applied one is refused by name', async () => {
  const { session } = await emptyDatabase()
  const [first, second, third] = notes as [WrittenMigration, WrittenMigration, WrittenMigration]
  const last = { ...third, when: 1_700_000_009_000 }
  await migrateUp(session, [asSet(await writeFolder([first, last]))])
  await expect(migrateUp(session, [asSet(await writeFolder([first, second, last]))])).rejects.toThrow(
    '0001_title.sql was never applied, although newer migrations were applied',
  )
})

test('a migration that the folder does not have is refused', async () => {
  const { session } = await emptyDatabase()
  const [first, , third] = notes as [WrittenMigration, WrittenMigration, WrittenMigration]
  await migrateUp(session, [asSet(await writeFolder(notes))])
  const set = asSet(await writeFolder([first, { ...third, when: 1_700_000_002_000 }]))
  await expect(migrateUp(session, [set])).rejects.toThrow('"when": 1700000001000')
  await expect(migrateUp(session, [set])).rejects.toThrow('is not in this folder')
})

test('migrations of a newer build are refused by up and down, and are no fault', async () => {
  const { session } = await emptyDatabase()
  await migrateUp(session, [asSet(await writeFolder(notes))])
  const older = asSet(await writeFolder(notes.slice(0, 2)))

  await expect(migrateUp(session, [older])).rejects.toThrow('shop: the database has 1 migration(s) of a newer build')
  await expect(migrateDown(session, [older])).rejects.toThrow('of a newer build')
  expect(await verifyMigrations(session, [older])).toEqual([])
  expect(await migrationStatus(session, [older])).toMatchObject([{ later: 1, faults: [] }])
})

test('status tells what is applied, and writes nothing', async () => {
  const { session } = await emptyDatabase()
  const set = asSet(await writeFolder(notes))
  const states = async () =>
    (await migrationStatus(session, [set])).flatMap(({ migrations }) => migrations.map(({ state }) => state))

  expect(await states()).toEqual(['pending', 'pending', 'pending'])
  expect(await session.query("select from pg_namespace where nspname = 'shop_migrations'")).toEqual([])
  await migrateUp(session, [set], { to: '0001' })
  expect(await states()).toEqual(['applied', 'applied', 'pending'])
})

test('two sets go up in order and down in reverse, each in a table of its own', async () => {
  const { session } = await emptyDatabase()
  const ground = asSet(await writeFolder(notes), 'ground')
  const house = asSet(
    await writeFolder([
      { tag: '0000_house', up: 'alter table notes add column house int', down: 'alter table notes drop column house' },
    ]),
    'house',
  )
  expect(tags(await migrateUp(session, [ground, house]))).toEqual([
    '0000_notes',
    '0001_title',
    '0002_body',
    '0000_house',
  ])
  expect(await recorded({ session } as EmptyDatabase, 'house')).toHaveLength(1)
  await expect(migrateUp(session, [ground, house], { to: 1 })).rejects.toThrow('say to which one the target belongs')
  expect(tags(await migrateDown(session, [ground, house]))).toEqual(['0000_house'])
  await migrateUp(session, [ground, house])
  expect(tags(await migrateDown(session, [ground, house], { all: true }))).toEqual([
    '0000_house',
    '0002_body',
    '0001_title',
    '0000_notes',
  ])
})

test('one unsound set keeps every set untouched', async () => {
  const { session } = await emptyDatabase()
  const ground = asSet(await writeFolder(notes), 'ground')
  const houseFolder = await writeFolder([{ tag: '0000_house', up: 'create table house ()' }])
  await migrateUp(session, [asSet(houseFolder, 'house')])
  await writeFile(join(houseFolder, '0000_house.sql'), 'create table houses ()')
  await expect(migrateUp(session, [ground, asSet(houseFolder, 'house')])).rejects.toThrow('0000_house.sql was edited')
  expect(await session.query("select to_regclass('notes') as notes")).toEqual([{ notes: null }])
})

test("a set may share neither another set's table nor the host application's", async () => {
  const { session } = await emptyDatabase()
  const set = asSet(await writeFolder(notes))
  await expect(migrateUp(session, [set, { ...set, name: 'other' }])).rejects.toThrow(
    'shop_migrations.migrations belongs to shop',
  )
  const stock = { ...set, bookkeeping: { schema: 'drizzle', table: '__drizzle_migrations' } }
  await expect(migrateUp(session, [stock])).rejects.toThrow("the host application's own drizzle migrations")
})

test.each(['before', 'after'])("the host application's own drizzle migrations may come %s", async (order) => {
  const { session, url } = await emptyDatabase()
  // Older than ours: in a shared table the stock migrator would skip the host's.
  const host = await writeFolder([{ tag: '0000_host', up: 'create table host ()', when: 1_600_000_000_000 }])
  const set = asSet(await writeFolder(notes))

  if (order === 'before') await runStock(url, host)
  await migrateUp(session, [set])
  if (order === 'after') await runStock(url, host)

  expect(
    await session.query("select to_regclass('host') is not null and to_regclass('notes') is not null as both"),
  ).toEqual([{ both: true }])
  expect(await verifyMigrations(session, [set])).toEqual([])
})

test("drizzle-orm's migrator finds nothing left to do, and ours nothing after it", async () => {
  const transactional = await writeFolder(shop.slice(0, 3))
  const ours = await emptyDatabase()
  await migrateUp(ours.session, [asSet(transactional)])
  const before = await recorded(ours)
  await runStock(ours.url, transactional, 'shop_migrations')
  expect(await recorded(ours)).toEqual(before)

  const theirs = await emptyDatabase()
  await runStock(theirs.url, transactional, 'shop_migrations')
  expect(await migrateUp(theirs.session, [asSet(transactional)])).toEqual([])
  expect((await recorded(theirs)).map(({ hash }) => hash)).toEqual(before.map(({ hash }) => hash))
})

test('drizzle-kit migrate finds nothing left to do', async () => {
  const database = await emptyDatabase()
  const folder = await writeFolder(shop)
  await migrateUp(database.session, [asSet(folder)])
  const before = await recorded(database)

  await symlink(join(import.meta.dirname, '../../node_modules'), join(folder, 'node_modules'))
  const config = {
    dialect: 'postgresql',
    out: '.',
    dbCredentials: { url: database.url },
    migrations: { schema: 'shop_migrations', table: 'migrations' },
  }
  await writeFile(join(folder, 'drizzle.config.json'), JSON.stringify(config))
  const kit = spawn(
    process.execPath,
    ['node_modules/drizzle-kit/bin.cjs', 'migrate', '--config', 'drizzle.config.json'],
    { cwd: folder },
  )
  expect(await new Promise((settle) => kit.on('close', settle))).toBe(0)
  expect(await recorded(database)).toEqual(before)
  expect(await readFile(join(folder, 'meta/_journal.json'), 'utf8')).toContain('0003_search')
})

async function runStock(url: string, migrationsFolder: string, migrationsSchema?: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const table = migrationsSchema === undefined ? {} : { migrationsSchema, migrationsTable: 'migrations' }
  await stockMigrate(drizzle(client), { migrationsFolder, ...table })
  await client.end()
}
