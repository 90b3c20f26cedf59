import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import * as t from 'drizzle-orm/pg-core'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { QueryError, RetryableError, TenantryError } from '../../src/core/errors.js'
import type { Executor } from '../../src/core/executor.js'
import { foreignStatement } from '../../src/core/statement.js'
import type { Scope } from '../../src/core/scope.js'
import { scopedDatabase } from '../../src/core/scoped-database.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { contextOf } from '../support/scope-context.js'
import { A, call, countNamed, failureOf, insertItem, useToySchema } from '../support/toy-schema.js'

// Somebody else changes the types of columns while statements are prepared. Drizzle itself prepares nothing: it is the reference.

const { database, open } = useToySchema()

let stock: pg.Pool
beforeAll(() => {
  stock = new pg.Pool({ connectionString: database.adminUrl, max: 1 })
})
afterAll(() => stock.end())

const scopeOver = (executor: Executor): Scope => new DirectScope(contextOf(A.id), executor)

interface Change {
  readonly what: string
  readonly type: string
  /** `TABLE` stands for the name of the table. */
  readonly before?: readonly string[]
  readonly change: readonly string[]
  readonly warm: unknown
  readonly values: readonly unknown[]
}

const changeTo = (type: string): string[] => [`alter table TABLE alter v type ${type}`]

const remade: Change = {
  what: 'an enum is made again',
  type: 'platform.MOOD',
  before: ["create type platform.MOOD as enum ('calm')"],
  change: [
    'alter table TABLE alter v type text',
    'drop type platform.MOOD',
    "create type platform.MOOD as enum ('calm', 'glad')",
    'alter table TABLE alter v type platform.MOOD using v::platform.MOOD',
  ],
  warm: 'calm',
  values: ['glad'],
}

const changes: Change[] = [
  remade,
  {
    what: 'an enum is made again while the old one stays',
    type: 'platform.MOOD',
    before: ["create type platform.MOOD as enum ('calm')"],
    change: [
      'alter type platform.MOOD rename to MOOD_before',
      "create type platform.MOOD as enum ('calm', 'glad')",
      'alter table TABLE alter v type platform.MOOD using v::text::platform.MOOD',
    ],
    warm: 'calm',
    values: ['glad'],
  },
  { what: 'integer to bigint', type: 'integer', change: changeTo('bigint'), warm: 1, values: ['4294967296'] },
  { what: 'integer to text', type: 'integer', change: changeTo('text'), warm: 1, values: ['seven', '007'] },
  { what: 'bigint to numeric', type: 'bigint', change: changeTo('numeric'), warm: 1, values: ['1.5'] },
  {
    what: 'timestamp to timestamptz',
    type: 'timestamp',
    change: changeTo('timestamptz'),
    warm: '2024-01-01 00:00:00',
    values: ['2024-01-01T00:00:00+05:45'],
  },
  {
    what: 'date to timestamp',
    type: 'date',
    change: changeTo('timestamp'),
    warm: '2024-01-01',
    values: ['2024-01-01 10:30:00'],
  },
  { what: 'real to double precision', type: 'real', change: changeTo('double precision'), warm: 0.1, values: [0.1] },
]

let tables = 0
async function made({ type, before = [] }: Pick<Change, 'type' | 'before'>) {
  const name = `changing_${++tables}`
  const named = (text: string): string =>
    text.replaceAll('TABLE', `platform.${name}`).replaceAll('MOOD', `mood_${name}`)
  const run = async (texts: readonly string[]): Promise<void> => {
    for (const text of texts) await database.admin.query(named(text))
  }
  await run(before)
  await run([
    `create table TABLE (org_id uuid not null, id uuid not null, v ${type}, primary key (org_id, id))`,
    'alter table TABLE enable row level security',
    'create policy org_isolation on TABLE using (org_id = platform.current_org())',
    'grant select, insert, update, delete on TABLE to tenantry_app',
  ])
  const stored = (id: string) =>
    database.admin.query<{ v: string }>(
      `select v::text as v, pg_typeof(v)::text as type from ${named('TABLE')} where id = $1`,
      [id],
    )
  return { name, run, named, stored }
}

const asIs = t.customType<{ data: unknown }>({ dataType: () => 'text' })
const builderTable = (name: string) =>
  t.pgSchema('platform').table(name, { orgId: t.uuid('org_id').notNull(), id: t.uuid('id').notNull(), v: asIs('v') })

type Way = 'lone' | 'in a transaction'

/** Runs what a test does over the builder, alone or as a later call of a transaction. */
async function within<T>(
  scope: Scope,
  way: Way,
  work: (db: ReturnType<typeof scopedDatabase>) => Promise<T>,
): Promise<T> {
  if (way === 'lone') return work(scopedDatabase(scope, {}))
  return scope.transaction(async (inner) => {
    const db = scopedDatabase(inner, {})
    await db.execute(sql`select 1`)
    return work(db)
  })
}

const ways: Way[] = ['lone', 'in a transaction']
const builderCases = changes.flatMap((change) => ways.map((way) => ({ ...change, way })))

test.each(builderCases)('$what: the builder stores and finds what stock drizzle does ($way)', async (change) => {
  const { name, run, stored } = await made(change)
  const table = builderTable(name)
  const scope = scopeOver(open())
  const reference = drizzle(stock)
  const row = (v: unknown) => ({ orgId: A.id, id: crypto.randomUUID(), v })
  for (let round = 0; round < 7; round++) {
    await within(scope, change.way, async (db) => {
      await db.insert(table).values(row(change.warm))
      await db
        .select()
        .from(table)
        .where(sql`${table.v} = ${change.warm}`)
    })
  }
  await run(change.change)
  for (const value of change.values) {
    const [ours, theirs] = [row(value), row(value)]
    await within(scope, change.way, (db) => db.insert(table).values(ours))
    await reference.insert(table).values(theirs)
    expect(await stored(ours.id)).toEqual(await stored(theirs.id))
    const where = sql`${table.v} = ${value}`
    const found = await within(scope, change.way, (db) => db.select({ id: table.id }).from(table).where(where))
    expect(found.length).toBe((await reference.select({ id: table.id }).from(table).where(where)).length)
  }
})

test.each(ways)('a function that is made again with another argument is called with it (%s)', async (way) => {
  const { name, run, stored } = await made({ type: 'text' })
  const shown = sql.raw(`platform.shown_${name}`)
  const create = (type: string) => [
    `create function platform.shown_${name}(given ${type}) returns text language sql as $$ select given::text $$`,
    `grant execute on function platform.shown_${name} to tenantry_app`,
  ]
  await run(create('int'))
  const scope = scopeOver(open())
  const insert = (id: string, value: string) =>
    sql`insert into platform.${sql.raw(name)} (org_id, id, v) values (${A.id}, ${id}, ${shown}(${value}))`
  for (let round = 0; round < 7; round++) await within(scope, way, (db) => db.execute(insert(crypto.randomUUID(), '7')))
  await run([`drop function platform.shown_${name}`, ...create('text')])
  const id = crypto.randomUUID()
  await within(scope, way, (db) => db.execute(insert(id, '007')))
  expect(await stored(id)).toMatchObject([{ v: '007' }])
})

/** The declared type of the build that goes on running. */
const declared: Record<string, () => t.PgColumnBuilderBase> = {
  'platform.MOOD': () => t.text('v'),
  integer: () => t.integer('v'),
  bigint: () => t.bigint('v', { mode: 'bigint' }),
  timestamp: () => t.timestamp('v', { mode: 'string' }),
  date: () => t.date('v'),
  real: () => t.real('v'),
}

type Mood = t.PgEnum<[string, ...string[]]>
const columnOf = (type: string, mood: Mood | undefined): ReturnType<typeof t.text> =>
  (mood ? mood('v') : declared[type]?.()) as never

test.each(changes)('$what: a repository stores what stock drizzle does, or fails', async (change) => {
  const { name, run, stored, named } = await made(change)
  const mood =
    change.type === 'platform.MOOD'
      ? t.pgSchema('platform').enum(named('MOOD'), ['calm', 'glad'] as [string, ...string[]])
      : undefined
  const table = t.pgSchema('platform').table(name, {
    orgId: t.uuid('org_id').notNull(),
    id: t.uuid('id').notNull(),
    v: columnOf(change.type, mood),
  })
  declareTable(table, { kind: 'tenant' })
  const anything = z.looseObject({})
  const Rows = defineRepository(table, { create: anything, patch: anything })
  const executor = open()
  const rows = new Rows(scopeOver(executor))
  const reference = drizzle(stock)
  const plain = builderTable(name)
  for (let round = 0; round < 7; round++) {
    const { id } = await rows.create({ v: change.warm })
    await rows.update(id, { v: change.warm })
  }
  await run(change.change)
  // What the declared type does not hold is cast to it, as the declaration says.
  for (const value of mood ? [change.warm, ...change.values] : [change.warm]) {
    const theirs = { orgId: A.id, id: crypto.randomUUID(), v: value }
    await reference.insert(plain).values(theirs)
    for (const write of [
      () => rows.create({ v: value }),
      async () => rows.update((await rows.create({ v: null })).id, { v: value }),
    ]) {
      const outcome = await write().catch((error: unknown) => error)
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(TenantryError)
      else expect(await stored((outcome as { id: string }).id)).toEqual(await stored(theirs.id))
      if (mood) expect(outcome).not.toBeInstanceOf(Error)
    }
  }
})

const insertMood = (named: (text: string) => string, id: string, mood: string) =>
  call(named('insert into TABLE (org_id, id, v) values ($1::uuid, $2::uuid, $3::platform.MOOD)'), A.id, id, mood)

test('a batch with a stale statement is repeated once, at the start of a transaction too, and done once', async () => {
  for (const way of ['lone', 'blocks', 'transaction']) {
    const { run, named, stored } = await made(remade)
    const executor = open({ blocks: way === 'blocks' })
    await executor.run(A, [insertMood(named, crypto.randomUUID(), 'calm')])
    await run(remade.change)
    const id = crypto.randomUUID()
    const batch = [insertItem(A, `beside ${way}`), insertMood(named, id, 'glad')]
    if (way === 'transaction') {
      const transaction = await executor.begin(A)
      await transaction.run(batch)
      await transaction.commit()
    } else {
      await executor.run(A, batch)
    }
    expect(await stored(id)).toMatchObject([{ v: 'glad' }])
    expect(await executor.run(A, [countNamed(`beside ${way}`)])).toMatchObject([{ rows: [[1]] }])
  }
})

test('later in a transaction it is an error that says to repeat the transaction, and the repetition goes well', async () => {
  const { run, named, stored } = await made(remade)
  const executor = open()
  await executor.run(A, [insertMood(named, crypto.randomUUID(), 'calm')])
  const first = await executor.begin(A)
  await first.run([insertItem(A, 'before a change')])
  await run(remade.change)
  const failure = await failureOf(first.run([insertMood(named, crypto.randomUUID(), 'glad')]))
  expect(failure).toBeInstanceOf(RetryableError)
  expect(failure).toMatchObject({ reason: 'schema' })
  await first.rollback()
  const second = await executor.begin(A)
  await second.run([insertItem(A, 'before a change')])
  const id = crypto.randomUUID()
  await second.run([insertMood(named, id, 'glad')])
  await second.commit()
  expect(await stored(id)).toMatchObject([{ v: 'glad' }])
  expect(await executor.run(A, [countNamed('before a change')])).toMatchObject([{ rows: [[1]] }])
})

test('an id is compared in its new type, though the statement was prepared for the old one', async () => {
  for (const [before, after, value] of [
    ['int', 'bigint', '4294967296'],
    ['uuid', 'text', 'not a uuid'],
  ] as const) {
    const { name, run } = await made({ type: before })
    const executor = open()
    await run([`alter table TABLE rename v to other_id`])
    const text = `select other_id::text from platform.${name} where org_id = $1 and other_id = $2`
    const find = (wanted: string | null) => ({ statement: foreignStatement(text), values: [A.id, wanted] })
    expect(find(null).statement.name).not.toBe('')
    await executor.run(A, [find(null)])
    await run([`alter table TABLE alter other_id type ${after}`])
    await run([`insert into TABLE (org_id, id, other_id) values ('${A.id}', gen_random_uuid(), '${value}')`])
    expect(await executor.run(A, [find(value)])).toMatchObject([{ rows: [[value]] }])
  }
})

test('a statement that fails for itself is tried twice at most, and its error is its own', async () => {
  const { name, run } = await made({ type: 'int' })
  const executor = open({ debug: true })
  const select = call(`select v from platform.${name}`)
  await executor.run(A, [select])
  await run([`alter table platform.${name} drop v`])
  for (let round = 0; round < 2; round++) {
    const failure = await failureOf(executor.run(A, [select]))
    expect(failure).toBeInstanceOf(QueryError)
    expect(failure).toMatchObject({ debug: { sqlstate: '42703' } })
  }
})
