import { pgSchema, uuid } from 'drizzle-orm/pg-core'
import { expect, test } from 'vitest'
import type { PlacedTable } from '../../src/access/distribution.js'
import { planDistribution, planNewTables } from '../../src/migrations/distribution-plan.js'
import { declareTable, type TableFacts } from '../../src/schema/shared/kinds.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, tenantry } from '../cli/command-line.js'

const database = useDatabase()
const shop = pgSchema('shop')

function table(name: string, facts: TableFacts) {
  const made = shop.table(name, { orgId: uuid('org_id'), userId: uuid('user_id'), id: uuid('id') })
  declareTable(made, facts)
  return made
}

const declared = [
  table('shops', { kind: 'control' }),
  table('goods', { kind: 'tenant' }),
  table('orders', { kind: 'tenant' }),
  table('codes', { kind: 'tenant', systemKeys: ['codes_key'] }),
  table('carts', { kind: 'user' }),
  table('countries', { kind: 'catalog' }),
  table('people', { kind: 'global' }),
  table('events', { kind: 'global', appendOnly: true }),
]

const found = (name: string, references: readonly string[] = [], placement = 'local', group = 1): PlacedTable => ({
  schema: 'shop',
  name,
  label: `shop.${name}`,
  placement,
  group: placement.endsWith('_id') ? group : null,
  owners: ['org_id', 'user_id'],
  references: references.map((to) => `shop.${to}`),
})

test('each table is placed by its kind, after those that it refers to, and shares a group with its like', () => {
  const plan = planDistribution(
    [
      found('carts', ['people']),
      found('codes', ['shops']),
      found('countries'),
      found('events'),
      found('goods', ['countries', 'shops']),
      found('notes'),
      found('orders', ['goods', 'shops']),
      found('people'),
      found('shops'),
    ],
    declared,
  )
  expect(plan.tables.map(({ statement }) => statement.replaceAll('pg_catalog.', ''))).toEqual([
    `select create_reference_table('shop.countries')`,
    `select create_reference_table('shop.people')`,
    `select create_distributed_table('shop.carts', 'user_id', colocate_with => 'none')`,
    `select create_reference_table('shop.shops')`,
    `select create_reference_table('shop.codes')`,
    `select create_distributed_table('shop.goods', 'org_id', colocate_with => 'none')`,
    `select create_distributed_table('shop.orders', 'org_id', colocate_with => 'shop.goods')`,
  ])
  expect(plan.local).toEqual([
    { name: 'shop.events', reason: 'append-only, of no organization' },
    { name: 'shop.notes', reason: 'not declared' },
  ])
})

test('a table that came later joins the group of those that are distributed', () => {
  const plan = planDistribution(
    [found('goods', ['shops'], 'org_id'), found('orders', ['goods']), found('shops', [], 'reference')],
    declared,
  )
  expect(plan).toMatchObject({ before: 2, tables: [{ name: 'shop.orders', placement: 'org_id' }] })
  expect(plan.tables[0]?.statement).toContain(`colocate_with => 'shop.goods'`)
})

test('a table that is distributed in another way is an error, and so is a reference to a table that stays', () => {
  expect(() => planDistribution([found('goods', [], 'id')], declared)).toThrow(
    'shop.goods is sharded by id, and should be sharded by org_id',
  )
  expect(() => planDistribution([found('events', [], 'reference')], declared)).toThrow(
    'shop.events is a reference table, and should be on the coordinator alone',
  )
  expect(() => planDistribution([found('goods', ['notes']), found('notes')], declared)).toThrow(
    'shop.goods refers to shop.notes',
  )
})

test('a table that is sharded apart from the others of its column is an error', () => {
  const carts = found('carts', [], 'user_id', 2)
  const stray = found('orders', [], 'org_id', 3)
  const twin = table('twins', { kind: 'tenant' })
  const kept = [found('goods', [], 'org_id', 1), found('twins', [], 'org_id', 1)]
  const plan = (...more: readonly PlacedTable[]) => planDistribution([...more, ...kept], [...declared, twin])
  expect(() => plan(carts, stray)).toThrow('shop.orders, sharded by org_id')
  expect(() => plan(carts, stray)).not.toThrow(/shop\.(goods|twins|carts)/)
  expect(plan(carts).before).toBe(3)
})

test('a reference from a table that stays to one that leaves, or has left, is an error', () => {
  const named = 'shop.notes refers to shop.goods\nDeclare each of these tables'
  expect(() => planDistribution([found('goods'), found('notes', ['goods'])], declared)).toThrow(named)
  expect(() => planDistribution([found('goods', [], 'org_id'), found('notes', ['goods'])], declared)).toThrow(named)
  expect(() => planDistribution([found('countries'), found('notes', ['countries'])], declared)).toThrow(
    'shop.notes refers to shop.countries',
  )
  const managed = [found('countries', [], 'reference'), found('notes', ['countries'])]
  expect(planDistribution(managed, declared).tables).toEqual([])
})

test('of new tables, what is distributed stays as it is, and a table without its column waits', () => {
  const tables = [
    // Of another build.
    found('annexes', [], 'org_id'),
    found('goods', [], 'org_id'),
    found('shops', [], 'org_id'),
    found('orders', ['goods']),
    { ...found('carts'), owners: [] },
    found('countries'),
    found('notes'),
  ]
  expect(planNewTables(tables, declared)?.map(({ statement }) => statement.replaceAll('pg_catalog.', ''))).toEqual([
    `select create_distributed_table('shop.orders', 'org_id', colocate_with => 'shop.goods')`,
    `select create_reference_table('shop.countries')`,
  ])
})

test('there are no new tables before a declared table is distributed', () => {
  expect(planNewTables([found('goods'), found('annexes', [], 'org_id')], declared)).toBeUndefined()
})

test('without a cluster there is nothing to distribute, and the command says so', async () => {
  const env = { DATABASE_ADMIN_URL: database.adminUrl }
  for (const args of [['distribute'], ['tenant', 'list'], ['tenant', 'isolate', 'acme']]) {
    const ran = await tenantry(args, { env })
    expect(ran).toMatchObject({ code: 1, stdout: '', stderr: containing('this database is no Citus cluster') })
  }
})
