import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Before } from '../../src/adoption/before.js'
import { openSession, type Session } from '../../src/database/session.js'
import { quarantineOf } from '../../src/adoption/home.js'
import { takeBefore, type Verified, verify } from '../../src/adoption/verify.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { engines } from '../support/engines.js'

const database = useDatabase()

const sessions = new Map<(typeof engines)[number], Session>()
beforeAll(async () => {
  sessions.set('server', await openSession({ url: database.adminUrl }))
  sessions.set('embedded', await openSession({ embedded: true }))
})
afterAll(async () => {
  for (const session of sessions.values()) await session.close()
})

let schemas = 0

/** A schema of its own, whose name stands in the statements as `$s`. */
async function newSchema(statements: readonly string[], engine: (typeof engines)[number] = 'server') {
  const session = sessions.get(engine)
  if (session === undefined) throw new Error('not open yet')
  schemas += 1
  const schema = `s${schemas}`
  const run = async (...texts: readonly string[]) => {
    for (const text of texts) await session.query(text.replaceAll('$s', schema))
  }
  await run('create schema $s', ...statements)
  return { schema, session, run, before: (size = 3) => takeBefore(session, schema, undefined, size) }
}

/** What differs: each range with its rows before and now, and then the number of new rows. */
const told = ({ tables }: Verified) =>
  Object.fromEntries(
    tables.flatMap(({ name, different, newRows }) =>
      different.length === 0 && newRows === 0
        ? []
        : [
            [
              name,
              [
                ...different.map((one) => [one.first.join(), one.last.join(), one.rowsBefore, one.rowsNow]),
                ...(newRows === 0 ? [] : [newRows]),
              ],
            ],
          ],
    ),
  )

/** A range, or the number of new rows. */
type Range = readonly (string | number)[] | number

const rows = [
  `insert into $s.items select n, 'a' || n, null, n / 10.0, '2026-01-01 10:00:00.000001+00' from generate_series(1, 10) n`,
  `insert into $s.items values (11, 'x,y', '', 0.3, null), (12, '', 'x,"y"', 0.3, null)`,
]
const items = ['create table $s.items (id int primary key, a text, b text, n float8, at timestamptz)', ...rows]
const range2 = ['4', '6', 3, 3]
const range4 = ['10', '12', 3, 3]

describe.each(engines)('%s', (engine) => {
  let made: Awaited<ReturnType<typeof newSchema>>
  let taken: Before
  beforeAll(async () => {
    made = await newSchema(items, engine)
    taken = await made.before()
  })

  test.each<[string, string[], Range[]]>([
    ['a changed value', [`update $s.items set a = 'a6' where id = 5`], [range2]],
    ['a changed case', [`update $s.items set a = 'A5' where id = 5`], [range2]],
    [
      'values that two rows have swapped',
      [`update $s.items set a = case id when 4 then 'a5' else 'a4' end where id in (4, 5)`],
      [range2],
    ],
    [
      'values that rows of two ranges have swapped',
      [`update $s.items set a = case id when 4 then 'a10' else 'a4' end where id in (4, 10)`],
      [range2, range4],
    ],
    ['a lost row', ['delete from $s.items where id = 5'], [['4', '6', 3, 2]]],
    ['lost rows of a whole range', ['delete from $s.items where id between 4 and 6'], [['4', '6', 3, 0]]],
    [
      'a lost row, and another with the values of its neighbour',
      ['delete from $s.items where id = 5', 'insert into $s.items select 5, a, b, n, at from $s.items where id = 6'],
      [range2],
    ],
    ['null for an empty text', ['update $s.items set b = null where id = 11'], [range4]],
    ['an empty text for null', [`update $s.items set b = '' where id = 5`], [range2]],
    ['a text that says null', [`update $s.items set b = 'null' where id = 5`], [range2]],
    ['a value in the next column', ['update $s.items set b = a, a = b where id = 5'], [range2]],
    ['a separator in another column', [`update $s.items set a = 'x', b = 'y' where id = 11`], [range4]],
    ['quotes in another column', [`update $s.items set a = b, b = a where id = 12`], [range4]],
    ['the last digit of a float', ['update $s.items set n = 0.30000000000000004 where id = 11'], [range4]],
    ['a microsecond', [`update $s.items set at = at + interval '1 us' where id = 5`], [range2]],
    ['a row in another place', ['update $s.items set id = 50 where id = 12'], [['10', '12', 3, 2], 1]],
  ])('%s is told with its range', async (_, changes, ranges) => {
    onTestFinished(() => made.run('truncate $s.items', ...rows))
    await made.run(...changes)
    expect(told(await verify(made.session, taken))).toEqual({ items: ranges })
  })

  test('the settings of a session do not matter', async () => {
    const { before, session, run } = await newSchema(
      [
        ...items,
        'create table $s.printed (at timestamptz primary key, d date, f real, i interval, m money, b bytea, r regclass)',
        `insert into $s.printed select timestamptz '2026-01-13 00:00+00' + n * interval '1 hour', '2026-01-13', 1.0 / (n + 2),
           '-1 year 2 days 03:04:05', '1234.5', '\\x00ff5c', '$s.items' from generate_series(1, 8) n`,
      ],
      engine,
    )
    const taken = await before()
    const set = [
      `timezone = 'Asia/Kathmandu'`,
      `datestyle = 'SQL, DMY'`,
      `intervalstyle = 'sql_standard'`,
      'extra_float_digits = -10',
      `bytea_output = 'escape'`,
      'search_path = $s',
      'quote_all_identifiers = on',
      'standard_conforming_strings = off',
      'escape_string_warning = off',
    ]
    await run(...set.map((one) => `set ${one}`))
    try {
      expect(told(await verify(session, taken))).toEqual({})
      expect({ ...(await before()), takenAt: '' }).toEqual({ ...taken, takenAt: '' })
    } finally {
      await run(...set.map((one) => `reset ${one.replace(/ = .*/, '')}`))
    }
  })

  test('an adopted table is equal, and its rows that were moved into quarantine count', async () => {
    const { before, session, run, schema } = await newSchema(items, engine)
    const taken = await before()
    const org = `'00000000-0000-7000-8000-000000000001'`
    await run(
      'create schema tenantry_adopt_$s',
      'create table tenantry_adopt_$s.quarantined_items (like $s.items)',
      'insert into tenantry_adopt_$s.quarantined_items select * from $s.items where id in (5, 12)',
      'delete from $s.items where id in (5, 12)',
      'alter table $s.items add column org_id uuid',
      `update $s.items set org_id = ${org}`,
      'alter table $s.items drop constraint items_pkey, add primary key (org_id, id)',
      'alter table $s.items enable row level security',
      'cluster $s.items using items_pkey',
      'vacuum full $s.items',
    )
    expect(await verify(session, taken)).toMatchObject({
      isEqual: true,
      tables: [{ name: 'items', ranges: 4, different: [], newRows: 0, missingColumns: [] }],
    })
    // Under two organizations, an id may come twice. And a row that is moved and stays as well is one too many.
    await run(
      `insert into $s.items select 7, a, b, n, at, '00000000-0000-7000-8000-000000000002' from $s.items where id = 7`,
      'insert into tenantry_adopt_$s.quarantined_items select id, a, b, n, at from $s.items where id = 4',
      'delete from $s.items where id = 6',
      `insert into $s.items values (-1, '', '', 0, null, ${org}), (13, '', '', 0, null, ${org})`,
    )
    expect(told(await verify(session, taken))).toEqual({ items: [range2, ['7', '9', 3, 4], 2] })
    await run('alter table tenantry_adopt_$s.quarantined_items drop column b')
    expect(await verify(session, taken)).toMatchObject({
      isEqual: false,
      tables: [{ missingColumns: ['quarantined_items.b'] }],
    })
    await session.query(`drop schema tenantry_adopt_${schema} cascade`)
  })

  test('names of any characters, and more ranges than one part of the bounds', async () => {
    const names = ['__proto__', 'constructor', `O'd "d" %s \\ $1`, 'x'.repeat(63)].map((name) => [
      name,
      `"${name.replaceAll('"', '""')}"`,
    ])
    const { before, session, run, schema } = await newSchema(
      names.flatMap(([, name]) => [
        `create table $s.${name} (${name} text primary key, "__proto__ " int, "select" int)`,
        `insert into $s.${name} select 'key ' || n, n, n from generate_series(1, 700) n`,
      ]),
      engine,
    )
    const taken = await before()
    expect(taken.tables.map(({ ranges }) => ranges.map(({ rows }) => rows))).toEqual(
      names.map(() => [...Array.from({ length: 233 }, () => 3), 1]),
    )
    expect(told(await verify(session, taken))).toEqual({})
    await run(
      `create schema tenantry_adopt_$s`,
      `create table tenantry_adopt_$s.${quarantineOf('x'.repeat(63))} (like $s.${'x'.repeat(63)})`,
      `with moved as (delete from $s.${'x'.repeat(63)} where "select" = 5 returning *)
         insert into tenantry_adopt_$s.${quarantineOf('x'.repeat(63))} select * from moved`,
      ...names.slice(0, 3).map(([, name]) => `update $s.${name} set "select" = 0 where "select" = 500`),
    )
    const { tables } = await verify(session, taken)
    expect(tables.map(({ different }) => different.length)).toEqual([1, 1, 1, 0])
    expect(tables[0]?.different[0]).toMatchObject({ rowsBefore: 3, rowsNow: 3 })
    await session.query(`drop schema tenantry_adopt_${schema} cascade`)
  })
})

test('keys are compared as their index compares them', async () => {
  const { before, session, run } = await newSchema([
    `create collation $s.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
    `create domain $s.code as text collate "C"`,
    `create type $s.size as enum ('small', 'big', 'a')`,
    `create function $s.never($s.size) returns text language plpgsql as 'begin raise exception ''called''; end'`,
    'create cast ($s.size as text) with function $s.never($s.size)',
    'create table $s.texts (id text collate $s.ci primary key, v int)',
    'create table $s.pairs (a text collate $s.ci, b int, v int, primary key (a, b))',
    'create table $s.codes (id $s.code collate $s.ci primary key, v int)',
    'create table $s.sizes (id $s.size primary key, v int)',
    'create table $s.lists (id int[] primary key, v int)',
    'create table $s.decimals (id numeric primary key, v int)',
    'create table $s.chars (id char(4) primary key, v int)',
    'create table $s.ids (id uuid primary key, v int)',
    'create type $s.pair as (a text, b int)',
    `create table $s.mixed (a bytea, b timestamptz, c inet, d $s.pair, e int4range, f float8, "G" $s.size[],
       primary key (a, b, c, d, e, f, "G"))`,
    `insert into $s.texts select chr(case n % 2 when 0 then 64 else 96 end + n), n from generate_series(1, 20) n`,
    `insert into $s.pairs select id, v % 3 + 9, v from $s.texts union all select id, -1, v from $s.texts`,
    `insert into $s.codes select id, v from $s.texts`,
    `insert into $s.chars select id, v from $s.texts`,
    `insert into $s.sizes values ('small', 1), ('big', 2), ('a', 3)`,
    'insert into $s.lists select array[v, 1], v from $s.texts union all select array[v], v from $s.texts',
    `insert into $s.decimals select (v || '.00')::numeric, v from $s.texts`,
    `insert into $s.ids select md5(v::text)::uuid, v from $s.texts`,
    `insert into $s.mixed select '\\x5c00', case when n > 9 then timestamptz 'infinity' else '2026-01-01' end, '10.0.0.1/8', ('a,"b"', n % 5)::$s.pair,
       int4range(n % 7, 9), 1 / (n + 2.0), '{small,a}' from generate_series(1, 20) n`,
  ])
  const taken = await before()
  const rowsOf = (name: string) => taken.tables.find((one) => one.name === name)?.ranges.map(({ rows }) => rows)
  for (const table of ['texts', 'codes', 'decimals', 'chars', 'ids', 'mixed'])
    expect([table, rowsOf(table)]).toEqual([table, [3, 3, 3, 3, 3, 3, 2]])
  for (const table of ['pairs', 'lists'])
    expect([table, rowsOf(table)]).toEqual([table, [...Array.from({ length: 13 }, () => 3), 1]])
  expect(taken.tables.find(({ name }) => name === 'texts')?.ranges[0]).toMatchObject({ first: ['a'], last: ['c'] })
  expect(taken.tables.find(({ name }) => name === 'sizes')?.ranges[0]).toMatchObject({ first: ['small'], last: ['a'] })
  expect(told(await verify(session, taken))).toEqual({})
  await run(
    `update $s.texts set v = 0 where id = 'b'`,
    `update $s.codes set id = 'b' where id = 'b'`,
    `update $s.pairs set v = 0 where a = 'D' and b = 10`,
    'update $s.lists set v = 0 where id = array[2, 1]',
    `insert into $s.pairs values ('A', -2, 0), ('z', 0, 0)`,
  )
  expect(told(await verify(session, taken))).toEqual({
    texts: [['a', 'c', 3, 3]],
    codes: [['a', 'c', 3, 3]],
    pairs: [['D,-1', 'e,-1', 3, 3], 2],
    lists: [['{2,1}', '{3,1}', 3, 3]],
  })
})

test('a key that cannot be read back from its text is refused', async () => {
  const { before, run } = await newSchema([
    'create table $s.documents (id jsonb primary key)',
    `insert into $s.documents select jsonb_build_array(n) from generate_series(1, 9) n`,
  ])
  await expect(before()).rejects.toThrow('documents: its primary key (id) cannot be read back')
  await run('drop table $s.documents')
})

test('partitions, tables that inherit, generated columns and empty tables', async () => {
  const { before, session, run } = await newSchema([
    'create table $s.readings (day int, id int, v int, primary key (day, id)) partition by range (day)',
    'create table $s.readings_1 partition of $s.readings for values from (1) to (3)',
    'create table $s.readings_2 partition of $s.readings for values from (3) to (9)',
    'insert into $s.readings select d, n, n from generate_series(1, 3) d, generate_series(1, 2) n',
    'create table $s.notes (id int primary key, v int)',
    'create table $s.old_notes (primary key (id)) inherits ($s.notes)',
    'insert into $s.notes values (1, 1)',
    'insert into $s.old_notes values (1, 2)',
    'create table $s.made (id int primary key, v int, twice int generated always as (v * 2) stored)',
    'insert into $s.made (id, v) values (1, 1)',
    'create table $s.none (id int primary key)',
    'create table $s.events (at timestamptz)',
  ])
  const taken = await before()
  expect(taken.leftOut).toEqual([{ table: 'events', reason: 'it has no primary key' }])
  expect(taken.tables.map(({ name, ranges }) => [name, ranges.map(({ rows }) => rows)])).toEqual([
    ['made', [1]],
    ['none', []],
    ['notes', [1]],
    ['old_notes', [1]],
    ['readings', [3, 3]],
  ])
  expect(await verify(session, taken)).toMatchObject({ isEqual: true })
  await run(
    'alter table $s.readings detach partition $s.readings_2',
    'update $s.old_notes set v = 3',
    'alter table $s.made drop column twice',
    'alter table $s.made add column twice int generated always as (v * 3) stored',
    'insert into $s.none values (1)',
  )
  expect(told(await verify(session, taken))).toEqual({
    readings: [['2,2', '3,2', 3, 1]],
    old_notes: [['1', '1', 1, 1]],
    made: [['1', '1', 1, 1]],
    none: [1],
  })
})

test('a table and a column that are missing are told, and a foreign table is left out', async () => {
  const { before, session, run } = await newSchema([
    ...items,
    'create table $s.gone (id int primary key)',
    'create foreign data wrapper $s_wrapper',
    'create server $s_server foreign data wrapper $s_wrapper',
    'create foreign table $s.far (id int) server $s_server',
  ])
  const taken = await before()
  expect(taken.leftOut).toEqual([{ table: 'far', reason: 'it is on another server' }])
  await run('alter table $s.gone rename to moved')
  expect(await verify(session, taken)).toMatchObject({ isEqual: false })
  await run('alter table $s.moved rename to gone', 'alter table $s.items rename a to c')
  expect(await verify(session, taken)).toMatchObject({ isEqual: false })
  await run('drop table $s.gone')
  expect(await verify(session, taken)).toMatchObject({
    isEqual: false,
    tables: [
      { name: 'gone', isMissing: true },
      { name: 'items', isMissing: false, missingColumns: ['a'] },
    ],
  })
  await run('drop foreign data wrapper $s_wrapper cascade')
})

test('while others write, all tables are read in one snapshot, and only the ranges that are written to differ', async () => {
  const { session, run, schema } = await newSchema([
    ...items,
    'create table $s.later (id int primary key, v int)',
    'insert into $s.later select n, n from generate_series(1, 9) n',
  ])
  const written: Session = {
    ...session,
    async query<Row>(text: string, params?: readonly unknown[]) {
      if (text.includes('hashtextextended')) {
        await database.admin.query(`update ${schema}.later set v = v + 1 where id > 6`)
        const rewriting = `do $$ begin lock table ${schema}.later in access exclusive mode nowait; end $$`
        await expect(database.admin.query(rewriting)).rejects.toMatchObject({ code: '55P03' })
      }
      return session.query<Row>(text, params)
    },
  }
  const taken = await takeBefore(written, schema, undefined, 3)
  expect(taken.tables.find(({ name }) => name === 'later')?.ranges.at(-1)).toMatchObject({ rows: 3 })
  expect(told(await verify(written, taken))).toEqual({ later: [['7', '9', 3, 3]] })
  await run('update $s.later set v = id where id > 6')
  expect(told(await verify(session, taken))).toEqual({})
})

test('rows that row security hides are refused, and so are tables that may not be read', async () => {
  const { schema, run } = await newSchema([
    ...items,
    'alter table $s.items enable row level security',
    `grant usage on schema $s to ${new URL(database.appUrl).username}`,
  ])
  const session = await openSession({ url: database.appUrl })
  try {
    await expect(takeBefore(session, schema)).rejects.toThrow('permission denied for table items (42501)')
    await run(`grant select on $s.items to ${new URL(database.appUrl).username}`)
    await expect(takeBefore(session, schema)).rejects.toThrow('Connect as the owner of the tables')
    await expect(takeBefore(session, 'nowhere')).rejects.toThrow('there are no tables with a primary key in nowhere')
  } finally {
    await session.close()
  }
})
