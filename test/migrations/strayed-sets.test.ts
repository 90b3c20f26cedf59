import { beforeAll, expect, test } from 'vitest'
import type { Session } from '../../src/database/session.js'
import { migrateDown, type MigrationSet, platformMigrations } from '../../src/migrations/migrator.js'
import { strayedSets } from '../../src/migrations/strayed-sets.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { undone } from '../support/nested-session.js'
import { platformTables } from '../../src/schema/tables.js'
import { useEmptyDatabases } from './empty-database.js'
import { writeFolder } from './migrations-folder.js'

const emptyDatabase = useEmptyDatabases()
const first = { tag: '0000_first', up: 'create schema shop', down: 'drop schema shop' }
const second = { tag: '0001_second', up: 'create table shop.t ()', down: 'drop table shop.t' }
const bookkeeping = { schema: 'app_migrations', table: 'migrations' }
const absent = [{ name: 'own', table: 'app_migrations.migrations' }]

let session: Session
let own: MigrationSet
beforeAll(async () => {
  ;({ session } = await emptyDatabase())
  own = { name: 'own', folder: await writeFolder([first, second]), bookkeeping }
  await upgrade(session, { sets: [platformMigrations, own], tables: platformTables })
})

const recordedHashes = async (within: Session) =>
  (
    await within.query<{ hashes: string[] }>(
      `select facts -> 'hashes' as hashes from platform_migrations.inventory where what = 'set' and name = 'app_migrations.migrations'`,
    )
  ).map(({ hashes }) => hashes)

const appliedHashes = async (within: Session) =>
  (await within.query<{ hash: string }>('select hash from app_migrations.migrations order by created_at')).map(
    ({ hash }) => hash,
  )

test('the record has the hashes of what is applied, and follows a down', async () => {
  const both = await appliedHashes(session)
  expect(both).toHaveLength(2)
  expect(await recordedHashes(session)).toEqual([both])
  await undone(session, async (within) => {
    await migrateDown(within, [own])
    expect(await recordedHashes(within)).toEqual([both.slice(0, 1)])
    await migrateDown(within, [own])
    expect(await recordedHashes(within)).toEqual([])
    expect(await strayedSets(within, [platformMigrations])).toEqual([])
  })
})

test('a set is known by the record where its own bookkeeping was emptied, dropped or closed', async () => {
  for (const sql of [
    'truncate app_migrations.migrations',
    'drop table app_migrations.migrations',
    'drop schema app_migrations cascade',
  ]) {
    await undone(session, async (within) => {
      await within.query(sql)
      expect(await strayedSets(within, [platformMigrations]), sql).toEqual(absent)
      // Where the project has the set, its migrations are pending: that is for the migrator to say.
      expect(await strayedSets(within, [platformMigrations, own]), sql).toEqual([])
    })
  }
})

test('a set is known by its own bookkeeping where the record was made before there were hashes in it', async () => {
  await undone(session, async (within) => {
    await within.query(
      `create or replace view platform_migrations.inventory with (security_invoker) as
       select 'app_migrations.migrations' as "set", 'set' as what, 'app_migrations.migrations' as name,
         '{"name":"own","schema":"app_migrations","table":"migrations"}'::jsonb as facts`,
    )
    expect(await strayedSets(within, [platformMigrations])).toEqual(absent)
  })
})

test('a set whose bookkeeping table was moved is the same set', async () => {
  const moved = { ...own, bookkeeping: { schema: 'moved', table: 'applied' } }
  await undone(session, async (within) => {
    expect(await strayedSets(within, [platformMigrations, moved])).toEqual(absent)
    await within.query('create schema moved')
    await within.query('alter table app_migrations.migrations rename to applied')
    await within.query('alter table app_migrations.applied set schema moved')
    expect(await strayedSets(within, [platformMigrations, moved])).toEqual([])
    expect(await strayedSets(within, [platformMigrations])).toEqual(absent)
  })
})

test('one migration in common is enough, and edited files are named where there is none', async () => {
  const shorter = { ...own, folder: await writeFolder([first]) }
  expect(await strayedSets(session, [platformMigrations, shorter])).toEqual([])
  const oneEdited = { ...own, folder: await writeFolder([first, { ...second, up: 'select 1' }]) }
  expect(await strayedSets(session, [platformMigrations, oneEdited])).toEqual([])

  const edited = { ...own, folder: await writeFolder([{ ...first, up: 'select 1' }]) }
  const others = { ...own, folder: await writeFolder([{ ...first, up: 'select 1', when: 1_600_000_000_000 }]) }
  const missing = { ...own, folder: '/nowhere' }
  for (const [set, files] of [
    [edited, [`${edited.folder}/0000_first.sql`]],
    [others, []],
    [missing, []],
  ] as const) {
    expect(await strayedSets(session, [platformMigrations, set])).toEqual([
      { ...absent[0], instead: { folder: set.folder, edited: files } },
    ])
  }
})
