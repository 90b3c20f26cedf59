import { beforeAll, describe, expect, test } from 'vitest'
import { analyse } from '../../src/adoption/analyse.js'
import { fillRows } from '../../src/adoption/run-step.js'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, ownerSession, rowsOf, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

const organizations = { table: 'teams', id: 'id', externalIds: 'none' } as const

describe('keys of types with operators of their own', () => {
  beforeAll(() =>
    run(`
create schema kinds;
create extension citext schema kinds;
create extension ltree schema kinds
`),
  )

  test('every row is filled, batch by batch, in the order of the type', async () => {
    await run(`
create schema words;
create domain words.word as kinds.citext;
create domain words.short_word as words.word check (length(value) < 20);
create type words.level as enum ('low', 'high');
create table words.teams (id int primary key, name text);
create table words.notes (code kinds.citext primary key, team_id int not null references words.teams);
create table words.pages (code words.short_word, place int, path kinds.ltree, team_id int not null references words.teams,
  primary key (code, place, path), foreign key (code) references words.notes);
create table words.levels (level words.level, place int, team_id int not null references words.teams, primary key (level, place));
insert into words.teams values (1, 'Words 1'), (2, 'Words 2');
insert into words.notes select case n % 2 when 0 then chr(65 + n % 26) else chr(97 + n % 26) end || n, 1 + n % 2 from generate_series(1, 1200) n;
insert into words.pages select upper(code::text), n, ('a.b' || n)::kinds.ltree, team_id from words.notes, generate_series(1, 2) n;
insert into words.levels select 'high', n, 1 from generate_series(1, 600) n;
insert into words.levels select 'low', n, 2 from generate_series(1, 600) n
`)
    const team = { kind: 'tenant', way: { column: 'team_id' } } as const
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'words', {
      organizations,
      tables: { notes: team, pages: team, levels: team },
    })
    const before = { rows: await rowsOf(session, 'words'), catalog: await catalogOf(session, 'words') }
    await take('expand')
    const { tables, isComplete } = await fill()
    expect(isComplete).toBe(true)
    expect(tables.map(({ name, rows, filled, unreached }) => [name, rows, filled, unreached])).toEqual([
      ['organizations of teams', 2, 2, 0],
      ['levels', 1200, 1200, 0],
      ['notes', 1200, 1200, 0],
      ['pages', 2400, 2400, 0],
    ])
    await take('prove', 'swap', 'observe', 'enforce', 'contract')
    await undo()
    expect(await catalogOf(session, 'words')).toEqual(before.catalog)
    expect(await rowsOf(session, 'words')).toEqual(before.rows)
  })

  test('a foreign key finds the rows that the server finds by it', async () => {
    await run(`
create schema cases;
create table cases.teams (id int primary key, name text);
create table cases.notes (code kinds.citext primary key, team_id int references cases.teams);
create table cases.pages (id int primary key, code kinds.citext references cases.notes, team_id int references cases.teams);
insert into cases.teams values (1, 'Cases 1'), (2, 'Cases 2');
insert into cases.notes values ('a', 1), ('b', null);
insert into cases.pages values (1, 'A', 2), (2, 'a', 1), (3, 'B', 2)
`)
    const session = await ownerSession(database.adminUrl)
    const { found } = await analyse(session, 'cases', {
      version: 1,
      schema: 'cases',
      organizations,
      tables: {
        notes: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' },
        pages: { kind: 'tenant', way: { column: 'team_id' } },
      },
    })
    const rowsOfKind = (kind: string) =>
      found.findings.filter((one) => one.table === 'pages' && one.kind === kind).map(({ rows }) => rows)
    expect(rowsOfKind('crossing')).toEqual([{ count: 1, sample: [{ id: '1' }] }])
    expect(rowsOfKind('holding')).toEqual([{ count: 1, sample: [{ id: '3' }] }])
  })
})

describe('the key at which a batch ended', () => {
  const teams = (schema: string, key: string, rows: string) =>
    run(`
create schema ${schema};
create table ${schema}.teams (id int primary key, name text);
create table ${schema}.days (key ${key} primary key, team_id int not null references ${schema}.teams);
insert into ${schema}.teams values (1, '${schema}');
insert into ${schema}.days select ${rows}, 1 from generate_series(0, 1199) n
`)
  const filled = { name: 'days', rows: 1200, filled: 1200, unreached: 0, isDone: true }

  test('is the same for a login with another style of dates', async () => {
    await teams('german', 'date', `date '2001-02-03' + n - 499`)
    const { session, plan, take, fill } = await adopting(database.adminUrl, 'german', { organizations })
    await take('expand')
    const stop = new AbortController()
    const german = await ownerSession(database.adminUrl)
    await german.query(`set datestyle = 'German'`)
    const stopped: Session = {
      ...german,
      query(text, params) {
        if (text.startsWith('with batch') && text.includes('days')) stop.abort()
        return german.query(text, params)
      },
    }
    // The third of February ends the first batch, and would be read as the second of March.
    expect((await fillRows(stopped, plan, { signal: stop.signal })).tables).toContainEqual({
      ...filled,
      rows: 500,
      filled: 500,
      isDone: false,
    })
    expect((await fill()).tables).toContainEqual(filled)
    expect(await session.query('select key from german.days where org_id is null')).toEqual([])
  })

  test('has all digits of a number, whatever the login prints', async () => {
    await teams('digits', 'double precision', `1 + n * 1e-15::float8`)
    const { session, plan, take } = await adopting(database.adminUrl, 'digits', { organizations })
    await take('expand')
    const rounding = await ownerSession(database.adminUrl)
    await rounding.query('set extra_float_digits = 0')
    expect((await fillRows(rounding, plan)).tables).toContainEqual(filled)
    expect(await session.query('select key from digits.days where org_id is null')).toEqual([])
  })
})
