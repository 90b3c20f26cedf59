import { sql } from 'drizzle-orm'
import { integer, interval, numeric, pgSchema, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Scope } from '../../src/core/scope.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { auditTrail } from '../../src/operations/audit-trail.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { entriesOf } from '../support/audited-rows.js'
import { contextOf } from '../support/scope-context.js'
import { behindChange } from '../support/waiting.js'

const database = useDatabase()

/** A table and columns with names that a statement with an audit entry could give itself. */
const odd = pgSchema('odds').table(
  'before',
  {
    orgId: uuid('org_id').notNull(),
    id: uuid('id').notNull(),
    code: text('code').notNull(),
    label: text('label').generatedAlwaysAs(sql`code || '!'`),
    size: integer('size').notNull().default(0),
    pause: interval('pause'),
    amount: numeric('amount'),
    name: text('name'),
    oldName: text('old name'),
    key: text('key 0'),
    isNew: text('is new'),
    changed: text('audited rows'),
    entry: text('audited old 1'),
  },
  (t) => [
    primaryKey({ name: 'before_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('before_code_key').on(t.orgId, t.code),
  ],
)
declareTable(odd, { kind: 'tenant', audited: true })

interface Odd {
  readonly id: string
  readonly code: string
  readonly size: number
}
const anything = z.looseObject({})

class Odds extends ScopedRepository<Odd> {
  constructor(scope: Scope) {
    super(scope, odd)
  }
  create = (values: object) => this.insertRow(anything, values)
  put = (values: object) => this.putRow(anything as never, values, 'before_code_key')
  update = (id: string, patch: object) => this.updateRow(anything, id, patch)
  updateWhere = (filter: object, values: object) => this.updateRows(filter, values as never)
}

beforeAll(async () => {
  for (const statement of [
    'create schema odds',
    'grant usage on schema odds to tenantry_app',
    `create table odds.before (org_id uuid not null, id uuid not null, code text not null, label text generated always as (code || '!') stored,
       size int not null default 0, pause interval, amount numeric, name text, "old name" text, "key 0" text, "is new" text,
       "audited rows" text, "audited old 1" text, constraint before_pkey primary key (org_id, id))`,
    'create unique index before_code_key on odds.before (org_id, code)',
    'alter table odds.before enable row level security',
    'create policy org_isolation on odds.before to tenantry_app using (org_id = platform.current_org())',
    'grant select, insert, update, delete on odds.before to tenantry_app',
  ])
    await database.admin.query(statement)
})

let open: ReturnType<typeof openNodePostgres> | undefined
afterAll(() => open?.close({ drain: 0 }))

async function newOdds() {
  open ??= openNodePostgres({ pool: { connectionString: database.appUrl, max: 20 } })
  const orgId = await createOrganization(database.admin)
  const scope = new DirectScope(contextOf(orgId, { audit: auditTrail }), open)
  const odds = new Odds(scope)
  const changes = async () => (await entriesOf(database.admin, orgId)).map(({ changes }) => changes)
  return { orgId, scope, odds, newest: async () => (await changes()).at(-1), changes }
}

test('a table and columns with the names that audited statements use for themselves are audited too', async () => {
  const { odds, newest } = await newOdds()
  const words = { name: 'a', oldName: 'b', key: 'c', isNew: 'd', changed: 'e', entry: 'f' }
  const { id } = await odds.put({ code: 'one', ...words })
  await odds.update(id, { name: 'A', oldName: 'B', key: 'C', isNew: 'D', changed: 'E', entry: 'F' })
  const upper = Object.entries(words).map(([name, old]) => [name, { old, new: old.toUpperCase() }])
  expect(await newest()).toEqual(Object.fromEntries(upper))
  await odds.put({ code: 'one', oldName: 'x' })
  expect(await newest()).toEqual({ oldName: { old: 'B', new: 'x' } })
  await odds.updateWhere({ code: 'one' }, { name: 'y' })
  expect(await newest()).toEqual({ name: { old: 'A', new: 'y' } })
})

test('a generated column is in the entry of each change', async () => {
  const { odds, newest } = await newOdds()
  const { id } = await odds.create({ code: 'one' })
  expect(await newest()).toEqual({ code: { new: 'one' }, label: { new: 'one!' }, size: { new: 0 } })
  await odds.update(id, { code: 'two' })
  expect(await newest()).toEqual({ code: { old: 'one', new: 'two' }, label: { old: 'one!', new: 'two!' } })
})

test('a value that is stored differently is in the entry as a change, although = says that both are equal', async () => {
  const { odds, newest } = await newOdds()
  const { id } = await odds.create({ code: 'one', pause: '1 day', amount: '1.0' })
  await odds.update(id, { pause: '24:00:00', amount: '1.00' })
  expect(await newest()).toEqual({
    pause: { old: '1 day', new: '24:00:00' },
    amount: { old: '1.0', new: '1.00' },
  })
})

test('the entry of a put that waited for the insert of the same row has the values of that row as old values', async () => {
  const { odds, orgId, scope, newest } = await newOdds()
  const insert = (code: string) => () =>
    database.admin.query(
      `insert into odds.before (org_id, id, code, size, name) values ($1, gen_random_uuid(), $2, 7, 'first')`,
      [orgId, code],
    )
  const expected = { size: { old: 7, new: 8 }, name: { old: 'first', new: 'second' } }
  await behindChange(database.admin, insert('one'), () => odds.put({ code: 'one', size: 8, name: 'second' }))
  expect(await newest()).toEqual(expected)
  await behindChange(database.admin, insert('two'), () =>
    scope.transaction((inner) => new Odds(inner).put({ code: 'two', size: 8, name: 'second' })),
  )
  expect(await newest()).toEqual(expected)
  const batched = await behindChange(database.admin, insert('three'), () =>
    scope.batch((inner) => [
      new Odds(inner).create({ code: 'four' }),
      new Odds(inner).put({ code: 'three', size: 8, name: 'second' }),
    ]),
  )
  expect(batched).toMatchObject([{ code: 'four' }, { code: 'three', size: 8 }])
  expect(await newest()).toEqual(expected)
})

test('of twenty puts at once each entry has as old values the new ones of another', async () => {
  const { odds, changes } = await newOdds()
  const sizes = Array.from({ length: 20 }, (_, contender) => contender + 1)
  await Promise.all(sizes.map((size) => odds.put({ code: 'one', size, name: `by ${size}` })))
  const all = (await changes()) as Readonly<Record<string, { old?: unknown; new?: unknown }>>[]
  expect(all).toHaveLength(20)
  const next = new Map(all.map(({ size, name }) => [size?.old, { size: size?.new, name }]))
  expect(next.size).toBe(20)
  let last = next.get(undefined)
  for (let step = 1; step < 20; step++) {
    const following = next.get(last?.size)
    expect(following?.name).toEqual({ old: `by ${String(last?.size)}`, new: `by ${String(following?.size)}` })
    last = following
  }
})
