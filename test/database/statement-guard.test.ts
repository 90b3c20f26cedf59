import { expect, test } from 'vitest'
import { UnsafeStatementError } from '../../src/core/errors.js'
import { guard } from '../../src/database/statement-guard.js'

test.each([
  'select 1',
  '  SELECT 1',
  '(select 1) union (select 2)',
  '-- why\n-- and how\nselect 1',
  'insert into t values (1)',
  'update t set a = 1',
  'delete from t',
  'merge into t using u on true when matched then do nothing',
  'with a as (select 1) select * from a',
  'values (1)',
  'select role, temp, settings from t where name = $1',
  'insert into temperatures values (1)',
  'select pg_advisory_xact_lock(1)',
  'select "tenantry"."t"."a" from "tenantry"."t"',
])('passes %j', (text) => {
  expect(() => {
    guard(text)
  }).not.toThrow()
})

test.each([
  '',
  ' ',
  '-- select',
  'begin',
  'commit',
  'commit and chain',
  'rollback',
  'start transaction',
  'savepoint a',
  'set role postgres',
  'set tenantry.org_id = 1',
  'reset all',
  'discard all',
  'deallocate all',
  'prepare a as select 1',
  'execute a',
  'declare c cursor with hold for select 1',
  'copy t from stdin',
  'copy (select 1) to stdout',
  'lock t',
  'listen a',
  'notify a',
  'truncate t',
  'create table t ()',
  'explain analyze delete from t',
  'do $$ begin end $$',
  'call p()',
  'vacuum',
  '/* a */ select 1',
  '/* /* */ select 1 -- */ commit',
  'selectt 1',
  '; select 1',
  '\u00a0commit',
])('refuses to begin with %j', (text) => {
  expect(() => {
    guard(text)
  }).toThrow(UnsafeStatementError)
})

test.each([
  "select set_config('a.b', 'c', false)",
  "select pg_catalog.SET_CONFIG('role', 'postgres', true)",
  "select pg_catalog.\"set_config\"('role', 'postgres', true)",
  "select U&\"\\0073et_config\"('a.b', 'c', false)",
  "select current_setting('tenantry.org_id')",
  "update pg_settings set setting = 'x' where name = 'role'",
  'select platform.enter_org(null)',
  'select platform.enter_user($1)',
  "select query_to_xml('select set' || '_config(...)', true, true, '')",
  "select * from ts_stat('select 1')",
  'with a as (select 1) select * into temp b from a',
  'select 1 into temporary b',
  'select 1 into pg_temp.b',
  'insert into pg_temp_3.b values (1)',
  'select pg_advisory_lock(1)',
  'select pg_try_advisory_lock_shared(1)',
  'select pg_advisory_unlock_all()',
  'select pg_terminate_backend(1)',
  'select pg_cancel_backend(1)',
  'select 1 /* set session role x */',
  'select 1\0; commit',
])('refuses what moves the binding, outlives the transaction, or reaches others: %j', (text) => {
  expect(() => {
    guard(text)
  }).toThrow(UnsafeStatementError)
})

test('a text of any length is answered', () => {
  for (const filling of [' ', '(', '--\n', '-', '/*']) {
    expect(() => {
      guard(`${filling.repeat(10_000_000)}select 1`)
    }).toThrow(UnsafeStatementError)
  }
  expect(() => {
    guard(`select ${'set '.repeat(1_000_000)}`)
  }).not.toThrow()
})

test('a text is refused again the second time, and the message does not repeat it', () => {
  for (const round of [1, 2]) {
    expect(() => {
      guard("select set_config('secret.thing', 'x', true)")
    }, `${round}`).toThrow(/^(?!.*secret).*set_config/)
  }
})
