import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import type { PgTable } from 'drizzle-orm/pg-core'
import { factsOf } from '../../src/schema/shared/kinds.js'
import { fillEveryTable, nameOf, sqlOf, twinIds } from '../support/every-table.js'
import { withinTransaction } from '../isolation/attempts.js'
import { openPartitionFaults, partitionFaults, type Setting } from '../isolation/behaviour.js'
import { proveStartup } from '../../src/access/startup-proof.js'
import type { Declarations } from '../../src/access/rights.js'
import { declarationsOf } from '../../src/migrations/declarations.js'
import { platformMigrations } from '../../src/migrations/migrator.js'
import { platformTables } from '../../src/schema/tables.js'
import { sqlFunctions } from '../../src/access/functions.js'
import { grantsOf } from '../../src/access/grants.js'
import { kinds, newerTables } from './mutants.js'

// Whether the tests of behaviour alone see that the catalog is not what it should be. With TENANTRY_ALL=1 every mutant is
// tried, otherwise some of the kinds that have hundreds.
const everything = process.env.TENANTRY_ALL === '1'
const most = 60
const minutes = { timeout: 1_200_000 }
const database = useDatabase()
let owner: pg.Client
let setting: Setting
let declarations: Declarations

beforeAll(async () => {
  const twins = twinIds()
  const ours = await fillEveryTable(database.admin, twins())
  const theirs = await fillEveryTable(database.admin, twins())
  const strangers = await fillEveryTable(database.admin)
  declarations = await declarationsOf(platformTables, [platformMigrations])
  owner = new pg.Client({ connectionString: database.adminUrl })
  await owner.connect()
  setting = { attempt: withinTransaction(owner, database, ours), ours, theirs, strangers }
})
afterAll(() => owner.end())

const named = kinds.map((kind) => [kind.name, kind] as const)

test.for(named)('seen: %s', minutes, async ([, { mutants, faults, unseen }]) => {
  expect(mutants.length).toBeGreaterThan(25)
  const tried = sampleOf(mutants)
  const survivors: string[] = []
  for (const { table, sql } of tried) {
    const found = await planted(sql, () => faults(setting, table))
    if (found.length === 0) survivors.push(nameOf(table))
  }
  const excused = new Set(unseen?.tables)
  expect(survivors).toEqual(tried.map(({ table }) => nameOf(table)).filter((name) => excused.has(name)))
})

test('seen: a partition is opened to a role', minutes, async () => {
  const partitions = await database.admin.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c
     where c.relispartition and c.relkind = 'r' and c.relnamespace = 'platform'::regnamespace order by 1`,
  )
  const rights = ['select', 'insert', 'update', 'delete', 'truncate'].flatMap((right) =>
    ['tenantry_app', 'tenantry_system'].map((role) => ({ right, role })),
  )
  for (const { name } of everything ? partitions : partitions.slice(0, 2)) {
    for (const { right, role } of rights) {
      const sql = `grant ${right} on ${name} to ${role}`
      expect(await planted(sql, () => partitionFaults(setting, name)), sql).not.toEqual([])
    }
  }
})

/** The partition of each partitioned table that holds the rows of the tests. */
async function filledPartitions(): Promise<{ table: PgTable; name: string }[]> {
  const found: { table: PgTable; name: string }[] = []
  for (const table of platformTables.filter((one) => factsOf(one)?.partitionedBy !== undefined)) {
    const [row] = await database.admin.query<{ name: string }>(
      `select distinct format('%I.%I', n.nspname, c.relname) as name
       from ${sqlOf(table)} t join pg_class c on c.oid = t.tableoid join pg_namespace n on n.oid = c.relnamespace`,
    )
    if (row !== undefined) found.push({ table, name: row.name })
    await database.admin.query(`analyze ${sqlOf(table)}`)
  }
  return found
}

test('seen: row security of a partition is weakened, where a grant has opened it', minutes, async () => {
  const partitions = await filledPartitions()
  expect(partitions).toHaveLength(4)
  for (const { table, name } of partitions) {
    const granted = `grant all on ${name} to tenantry_app, tenantry_system`
    expect(await planted(granted, () => openPartitionFaults(name)(setting, table)), name).toEqual([])
    for (const weakened of [
      `alter table ${name} disable row level security`,
      `drop policy org_isolation on ${name}`,
      `drop policy system_access on ${name}`,
      `alter policy org_isolation on ${name} using (true)`,
      `alter policy org_isolation on ${name} with check (true)`,
      `create policy planted on ${name} using (true)`,
    ]) {
      const faults = await planted(`${granted}; ${weakened}`, () => openPartitionFaults(name)(setting, table))
      expect(faults, weakened).not.toEqual([])
    }
  }
})

test.for(newerTables)('refused by a build that does not know the table: $name', minutes, async ({ mutants }) => {
  expect(mutants.length).toBeGreaterThan(25)
  for (const { table, sql } of sampleOf(mutants, 5))
    expect(await planted(sql, () => faultsOfOlder(roleIn(table, sql), nameOf(table))), sql).not.toEqual([])
})

test('accepted by a build that does not know it: each table as it was recorded', minutes, async () => {
  const tables = new Set(newerTables.flatMap(({ mutants }) => mutants.map((mutant) => mutant.table)))
  for (const table of sampleOf([...tables], 15))
    expect(await planted('select', () => faultsOfOlder(roleIn(table), nameOf(table))), nameOf(table)).toEqual([])
})

test.for(sqlFunctions.map(({ signature }) => signature))(
  'refused beside newer migrations: %s made another, whether it is known or not',
  minutes,
  async (signature) => {
    for (const change of ['immutable', 'set work_mem to 64']) {
      const sql = `alter function ${signature} ${change}`
      expect(await planted(sql, () => faultsOfOlder('tenantry_app', 'agent_tools'))).toContain('a function differs')
      expect(await planted(sql, () => faultsOfOlder('tenantry_app', 'agent_tools', signature))).toContain(
        'a function differs',
      )
    }
    expect(await planted('select', () => faultsOfOlder('tenantry_app', 'agent_tools', signature))).toEqual([])
  },
)

test('nothing is seen where nothing is planted', minutes, async () => {
  for (const faults of new Set(kinds.map((kind) => kind.faults))) {
    const mutants = kinds.filter((kind) => kind.faults === faults).flatMap((kind) => sampleOf(kind.mutants))
    for (const table of new Set(mutants.map((mutant) => mutant.table)))
      expect(await planted('select', () => faults(setting, table)), nameOf(table)).toEqual([])
  }
})

/** Spread over the list, always the same. */
function sampleOf<T>(all: readonly T[], count = most): readonly T[] {
  if (everything || all.length <= count) return all
  const step = all.length / count
  return Array.from({ length: count }, (_, index) => all[Math.floor(index * step)]).filter((one) => one !== undefined)
}

async function planted(sql: string, work: () => Promise<string[]>): Promise<string[]> {
  await owner.query('begin')
  try {
    await owner.query(sql)
    return await work()
  } finally {
    await owner.query('rollback')
  }
}

/** The role that a mutant widens, else the application's where it may read the table at all. */
function roleIn(table: PgTable, sql = '') {
  if (sql.endsWith(' to tenantry_app')) return 'tenantry_app'
  if (sql.endsWith(' to tenantry_system')) return 'tenantry_system'
  return grantsOf(table).tenantry_app.select.length > 0 ? 'tenantry_app' : 'tenantry_system'
}

/** What a build finds that lacks one table, one function, and the last migration. Inside of the owner's open transaction. */
async function faultsOfOlder(role: 'tenantry_app' | 'tenantry_system', table: string, signature?: string) {
  const older: Declarations = {
    tables: declarations.tables.filter(({ name }) => name !== table),
    functions: declarations.functions.filter((fn) => fn.signature !== signature),
    migrations: declarations.migrations.map((set) => ({ ...set, known: set.known.slice(0, -1) })),
  }
  await owner.query(
    `set local session authorization ${new URL(role === 'tenantry_app' ? database.appUrl : database.systemUrl).username}`,
  )
  const { faults } = await proveStartup(session, older, { role })
  return faults.map(({ fault }) => fault)
}

const session = {
  query: async <Row>(text: string, params: readonly unknown[] = []) =>
    (await owner.query(text, [...params])).rows as Row[],
}
