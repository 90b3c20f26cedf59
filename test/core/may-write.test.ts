import { expect, test } from 'vitest'
import { harmless, mayWrite } from '../../src/core/may-write.js'
import { useDatabase } from '../../src/testing/vitest.js'

const database = useDatabase()

test.each([
  'select 1',
  '  SELECT 1',
  '(select 1) union (select 2)',
  '/* a /* nested */ comment */ select 1 -- delete from t',
  'values (1), (2)',
  'select * from t where updated_at > $1',
  'select "t"."id" from "platform"."t" where "t"."id" in ($1) and "t"."a" = any($2)',
  'select "delete", t."update" from "insert" t',
  "select 'delete from t; add_agent(1)', $$ insert into t $$, $a$ $$ merge $a$",
  "select e'tab', b'1', x'ff', 1.5e10, $1::numeric(10, 2), cast($2 as varchar(3))",
  'select count(*) filter (where a > 1) over (partition by b order by c) from t group by grouping sets ((a), (b))',
  'select coalesce(max(a), 0), NOW(), "lower"(b), pg_catalog.upper(c) from t',
  'with a as (select 1), b as materialized (select 2) select * from a, b',
  'with recursive tree(id) as (select 1 union all select id + 1 from tree where id < 3) select * from tree',
  'select * from json_to_recordset($1) as given(a int, b text)',
  'select * from t where exists (select from u where u.a = t.a) order by a limit (1) offset 2',
  'select (a).*, (t.b).*, c[1], t.d from t',
  'select * from t for update',
  'select * from t for no key update of t skip locked',
])('%j only reads', (text) => {
  expect(mayWrite(text)).toBe(false)
})

test.each([
  '',
  '-- select 1',
  'insert into t values (1)',
  'update t set a = 1',
  'delete from t',
  'merge into t using u on true when matched then do nothing',
  'WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a',
  'with a as (insert into t values (1) returning 1) select * from a',
  'select * into u from t',
  'explain analyze delete from t',
  'call p()',
  'select add_agent($1)',
  'select 1 + (select Add_Agent ($1))',
  'select add_agent/* hidden */($1)',
  'select add_agent--\n($1)',
  'select "Lower"(a) from t',
  'select lower(add_agent($1))',
  'select * from add_agent($1) as added(id)',
  'select platform.fire($1)',
  'select "platform"."fire"($1)',
  'select platform . lower ($1)',
  'select pg_catalog.fire($1)',
  'select pg_catalog.lower.fire($1)',
  'select (a).fire from t as a',
  'select (a) . /**/ "fire" from t as a',
  'select b[1].fire, $1.fire from t',
  'select U&"\\0066ire"($1)',
  'select façade($1)',
  'select \u212abtrim($1)',
  'select\u00a0lower($1)',
  "select nextval('s')",
  "select setval('s', 1)",
  "select pg_notify('a', 'b')",
  'select lo_create(0)',
  'select pg_advisory_xact_lock(1)',
  // Where a backslash escapes, the literal goes on behind its quote.
  "select '\\', add_agent(1) --'",
  "select e'\\', add_agent(1) --'",
  // Without an end nothing is certain.
  "select 'a",
  'select "a',
  'select $$ a',
])('%j may write', (text) => {
  expect(mayWrite(text)).toBe(true)
})

test('a text of any length is answered', () => {
  for (const filling of [' ', '(', '-', '--\n', '/*', "'", "''", '"', '$', '$$', 'a', '1', '\\', "'a' "]) {
    expect(typeof mayWrite(`select ${filling.repeat(200_000)}`), filling).toBe('boolean')
  }
})

test('every function listed as harmless is built in, and all but these are not volatile', async () => {
  const grammar = ['cast', 'coalesce', 'greatest', 'least', 'nullif', 'trim', 'xmlconcat', 'xmlelement', 'xmlforest']
  const volatile = await database.admin.query<{ name: string }>(
    `select name from unnest($1::text[]) name where exists (
       select from pg_proc where pronamespace = 'pg_catalog'::regnamespace and proname = name
         and (provolatile = 'v' or prokind = 'p'))`,
    [[...harmless]],
  )
  expect(volatile.map(({ name }) => name).sort()).toEqual([
    'clock_timestamp',
    'gen_random_uuid',
    'pg_sleep',
    'random',
    'timeofday',
  ])
  const missing = await database.admin.query<{ name: string }>(
    `select name from unnest($1::text[]) name where not exists (
       select from pg_proc where pronamespace = 'pg_catalog'::regnamespace and proname = name)`,
    [[...harmless]],
  )
  expect(missing.map(({ name }) => name).sort()).toEqual(grammar)
})
