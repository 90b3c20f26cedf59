import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
import { expect, test } from 'vitest'
import { bootstrapRoles } from '../../src/access/bootstrap.js'
import type { Session } from '../../src/database/session.js'
import { fingerprint } from '../../scripts/catalog/fingerprint.js'
import { readFolder } from '../../src/migrations/folder.js'
import { migrateDown, migrateUp, platformMigrations } from '../../src/migrations/migrator.js'
import { platformTables } from '../../src/schema/tables.js'
import { fillTables, nameOf, type Rows } from '../support/every-table.js'
import { useEmptyDatabases } from './empty-database.js'
import { writeFolder } from './migrations-folder.js'

const emptyDatabase = useEmptyDatabases()
const sets = [platformMigrations]
const minutes = { timeout: 240_000 }

/** Without the rights, which bootstrap brings, and with which it also closes partitions. */
async function up(session: Session, to?: number): Promise<void> {
  await bootstrapRoles(session)
  await migrateUp(session, sets, to === undefined ? {} : { to })
}

test('each migration is taken back with rows in every table, and the rows of the others stay', minutes, async () => {
  const { session } = await emptyDatabase()
  const last = (await readFolder(platformMigrations.folder)).length - 1
  expect(last).toBeGreaterThanOrEqual(8)

  await up(session, 0)
  let rows: Rows = new Map()
  for (let index = 0; index < last; index += 1) {
    rows = await fillNewTables(session, rows)
    const before = await stateOf(session)
    await up(session, index + 1)
    await fillNewTables(session, rows)
    expect(await stateOf(session), `after ${index + 1}`).not.toEqual(before)
    await migrateDown(session, sets, { to: index })
    expect(await stateOf(session), `${index + 1} taken back`).toEqual(before)
    await up(session, index + 1)
  }
  rows = await fillNewTables(session, rows)
  expect([...rows.keys()].sort()).toEqual(platformTables.map(nameOf).sort())

  const whole = await fingerprint(session, { schemas: ['platform'] })
  await migrateDown(session, sets, { all: true })
  expect(await objectsOf(session)).toEqual([])
  await up(session)
  expect(await fingerprint(session, { schemas: ['platform'] })).toBe(whole)
})

test(
  "the host's own drizzle migrations stay, whoever comes first, and drizzle's migrator finds nothing to do",
  minutes,
  async () => {
    const { session, url } = await emptyDatabase()
    const orders = { tag: '0000_orders', up: ['create table orders (n int)', 'insert into orders values (1)'] }
    const parcels = { tag: '0001_parcels', up: 'create table parcels ()', when: Date.now() }
    const host = { migrationsFolder: await writeFolder([orders]) }
    const ours = {
      migrationsFolder: platformMigrations.folder,
      migrationsSchema: platformMigrations.bookkeeping.schema,
      migrationsTable: platformMigrations.bookkeeping.table,
    }
    const pool = new pg.Pool({ connectionString: url, max: 1 })
    const stock = drizzle(pool)
    const applied = async () => ({
      host: await session.query('select hash, created_at from drizzle.__drizzle_migrations order by created_at'),
      ours: await session.query('select hash, created_at from platform_migrations.migrations order by created_at'),
    })
    try {
      await migrate(stock, host)
      await up(session, 4)
      await writeFolder([orders, parcels], host.migrationsFolder)
      await migrate(stock, host)
      await up(session)
      const before = await applied()
      expect(before.host).toHaveLength(2)
      expect(before.ours).toHaveLength((await readFolder(platformMigrations.folder)).length)

      await migrate(stock, host)
      await migrate(stock, ours)
      expect(await applied()).toEqual(before)

      await migrateDown(session, sets, { all: true })
      expect(await applied()).toEqual({ host: before.host, ours: [] })
      expect(await session.query('select n from orders')).toEqual([{ n: 1 }])
      expect(await session.query('select from parcels')).toEqual([])
    } finally {
      await pool.end()
    }
  },
)

/** Rows in the tables that are there and have none of `rows`. */
async function fillNewTables(session: Session, rows: Rows): Promise<Rows> {
  const present = new Set(await tablesOf(session))
  const fresh = platformTables.filter((table) => present.has(nameOf(table)) && !rows.has(nameOf(table)))
  return fillTables(session, fresh, rows)
}

/** The catalog, the names of everything in the schema, partitions among them, and every row as text. */
async function stateOf(session: Session) {
  const rows: Record<string, string | null | undefined> = {}
  for (const name of await tablesOf(session)) {
    const [all] = await session.query<{ text: string | null }>(
      `select string_agg(t::text, e'\n' order by t::text collate "C") as text from platform.${name} t`,
    )
    rows[name] = all?.text
  }
  return {
    print: await fingerprint(session, { schemas: ['platform'] }),
    partitions: await partitionsOf(session),
    objects: await objectsOf(session),
    rows,
  }
}

/** Which partitions have row security and policies, which the fingerprint leaves out. */
const partitionsOf = (session: Session) =>
  session.query(
    `select c.relname, c.relrowsecurity, array(select p.polname from pg_policy p where p.polrelid = c.oid order by 1) as policies
     from pg_class c where c.relnamespace = 'platform'::regnamespace and c.relispartition and c.relkind = 'r' order by 1`,
  )

const tablesOf = async (session: Session) =>
  (
    await session.query<{ name: string }>(
      `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = 'platform' and c.relkind in ('r', 'p') and not c.relispartition order by c.relname`,
    )
  ).map(({ name }) => name)

/** Whatever is in the schema, and the schema itself. */
const objectsOf = async (session: Session) =>
  (
    await session.query<{ name: string }>(
      `select nspname::text as name from pg_namespace where nspname = 'platform'
       union all
       select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'platform'
       union all
       select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'platform'
       union all
       select t.typname from pg_type t join pg_namespace n on n.oid = t.typnamespace where n.nspname = 'platform'
       order by name`,
    )
  ).map(({ name }) => name)
