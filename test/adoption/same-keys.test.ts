import { describe, expect, onTestFinished, test } from 'vitest'
import { takeStep, undoSteps } from '../../src/adoption/run-step.js'
import { openSession } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { type Adoption, adopting, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

/** The team of a row is the digit that its organization is called by. */
const team = (number: number) => `(select id from platform.organizations o where o.name = 'S ' || ${number})`

/** Boards with a key that two teams may use from the swap on, and rows that lead to them. */
async function swapped(schema: string, tables: string, decisions: Parameters<typeof adopting>[2] = {}) {
  const inSchema = (text: string) => text.replaceAll(/\bS\b/g, schema)
  await run(
    inSchema(`
create schema S;
create table S.teams (id int primary key, name text);
create table S.boards (code text primary key, team_id int not null references S.teams);
insert into S.teams values (1, 'S 1'), (2, 'S 2');
insert into S.boards values ('main', 1), ('other', 2);
${tables}`),
  )
  const adoption = await adopting(database.adminUrl, schema, {
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
    ...decisions,
  })
  await adoption.take('expand')
  await adoption.fill()
  await adoption.take('prove', 'swap')
  return {
    ...adoption,
    run: (script: string) => run(inSchema(script)),
    /** Each row of a table with the name of its organization. */
    rows: async (table: string, columns: string) =>
      (
        await database.admin.query<{ row: string }>(
          inSchema(
            `select concat_ws(' ', ${columns}, 'of', (select o.name from platform.organizations o where o.id = t.org_id)) as row from S.${table} t order by 1`,
          ),
        )
      ).map(({ row }) => row.replace(schema, 'S')),
  }
}

const enforced = ({ take }: Adoption) => take('observe', 'enforce', 'contract')

const cards = `
create table S.cards (id int primary key, board text not null references S.boards on update cascade);
insert into S.cards values (1, 'main'), (2, 'other'), (3, 'other')`

const secondMain = `insert into S.boards (org_id, code, team_id) values (${team(2)}, 'main', 2)`

describe('two organizations that use the same key after the swap', () => {
  test('keep their rows when a parent gets the key of another one', async () => {
    const shop = await swapped('renames', cards)
    await shop.run(`update S.boards set code = 'main' where code = 'other'`)
    expect(await shop.rows('cards', 'id, board')).toEqual(['1 main of S 1', '2 main of S 2', '3 main of S 2'])
    await enforced(shop)
  })

  test('keep rows that move to a parent of their own, and the steps go on', async () => {
    const shop = await swapped('own_key', cards)
    await shop.run(secondMain)
    await shop.run(`insert into S.cards (org_id, id, board) values (${team(2)}, 4, 'main')`)
    await shop.run(`update S.cards set board = 'main' where id = 2`)
    expect(await shop.rows('cards', 'id, board')).toEqual([
      '1 main of S 1',
      '2 main of S 2',
      '3 other of S 2',
      '4 main of S 2',
    ])
    // By hand too, where the other one has the key.
    await shop.run(`update S.cards set org_id = ${team(1)} where id = 2`)
    await shop.run(`update S.cards set org_id = ${team(2)} where id = 2`)
    await expect(shop.run(`update S.cards set org_id = ${team(1)} where id = 3`)).rejects.toThrow(
      'a row of cards cannot move to another organization than its way leads to',
    )
    await enforced(shop)
  })

  test('get new rows by the bound organization, and without one the statement has to name it', async () => {
    const shop = await swapped('bound_key', cards)
    await shop.take('observe', 'enforce')
    const app = await openSession({ url: database.appUrl })
    onTestFinished(() => app.close())
    const organizations = await database.admin.query<{ org_id: string; code: string }>(
      'select org_id, code from bound_key.boards order by code',
    )
    const asBound = async (org: string | undefined, ...statements: string[]) => {
      await app.query('begin')
      await app.query('select platform.enter_org($1)', [org])
      for (const statement of statements) await app.query(statement)
      await app.query('commit')
    }
    const [one, two] = organizations.map(({ org_id }) => org_id)
    await asBound(
      two,
      `insert into bound_key.boards (org_id, code, team_id) values ('${two}', 'main', 2)`,
      `insert into bound_key.cards (id, board) values (10, 'main')`,
      `update bound_key.cards set board = 'main' where org_id = '${two}' and id = 2`,
    )
    await asBound(one, `insert into bound_key.cards (id, board) values (10, 'main')`)
    expect(await shop.rows('cards', 'id, board')).toEqual([
      '1 main of S 1',
      '10 main of S 1',
      '10 main of S 2',
      '2 main of S 2',
      '3 other of S 2',
    ])
    await expect(shop.run(`insert into S.cards (id, board) values (11, 'main')`)).rejects.toThrow(
      'a row of cards leads to rows of several organizations: name the organization in org_id, or bind one',
    )
    // The one that has the key, where there is only one.
    await shop.run(`insert into S.cards (id, board) values (11, 'other')`)
    // A setting that is no id binds nobody.
    await database.admin.query(`select set_config('tenantry.org_id', 'garbage', false)`)
    await shop.run(`insert into S.cards (id, board) values (12, 'other')`)
    await database.admin.query(`select set_config('tenantry.org_id', '', false)`)
    await shop.take('contract')
  })

  test('keep rows that lead to their parents by a column without a foreign key, by words, or by one of several ways', async () => {
    const shop = await swapped(
      'loose_key',
      `
create table S.pages (id int primary key, board_code text not null);
create table S.notes (id int primary key, subject_type text, subject_id text);
create table S.pins (id int primary key, page int references S.pages, board_code text);
create table S.spots (id int primary key, pin_id int not null);
insert into S.pages values (1, 'main'), (2, 'other');
insert into S.notes values (1, 'Board', 'main'), (2, 'Board', 'other');
insert into S.pins values (1, null, 'main'), (2, null, 'other'), (3, 2, null);
insert into S.spots values (1, 1), (2, 2)`,
      {
        tables: {
          pages: { kind: 'tenant', way: { row: { column: 'board_code', of: 'boards' } } },
          pins: {
            kind: 'tenant',
            way: { either: [{ parent: 'pins_page_fkey' }, { row: { column: 'board_code', of: 'boards' } }] },
          },
          spots: { kind: 'tenant', way: { row: { column: 'pin_id', of: 'pins' } } },
        },
      },
    )
    await shop.run(secondMain)
    await shop.run(`insert into S.pins (org_id, id, board_code) values (${team(2)}, 1, 'main')`)
    await shop.run(`update S.pages set board_code = 'main' where id = 2`)
    await shop.run(`update S.notes set subject_id = 'main' where id = 2`)
    await shop.run(`update S.pins set board_code = 'main' where id = 2`)
    // By two steps: the pin of its own organization leads to the board of its own organization.
    await shop.run(`update S.spots set pin_id = 1 where id = 2`)
    expect(await shop.rows('pages', 'id, board_code')).toEqual(['1 main of S 1', '2 main of S 2'])
    expect(await shop.rows('notes', 'id, subject_id')).toEqual(['1 main of S 1', '2 main of S 2'])
    expect(await shop.rows('pins', 'id, board_code')).toEqual([
      '1 main of S 1',
      '1 main of S 2',
      '2 main of S 2',
      '3 of S 2',
    ])
    expect(await shop.rows('spots', 'id, pin_id')).toEqual(['1 1 of S 1', '2 1 of S 2'])
    for (const [columns, values] of [
      ['pages (id, board_code)', `9, 'main'`],
      ['notes (id, subject_type, subject_id)', `9, 'Board', 'main'`],
      ['pins (id, board_code)', `9, 'main'`],
      ['spots (id, pin_id)', '9, 1'],
    ] as const)
      await expect(shop.run(`insert into S.${columns} values (${values})`)).rejects.toThrow(
        'leads to rows of several organizations',
      )
    // A key that its organization has not leads to the one that has it.
    await shop.run(`insert into S.pins (org_id, id, board_code) values (${team(1)}, 7, 'main')`)
    await shop.run(`update S.spots set pin_id = 7 where id = 2`)
    expect(await shop.rows('spots', 'id, pin_id')).toEqual(['1 1 of S 1', '2 7 of S 1'])
    await enforced(shop)
  })

  test('are told of a row that has no parent in its organization, once', async () => {
    const shop = await swapped(
      'no_parent',
      `
create table S.pages (id int primary key, board_code text not null);
insert into S.pages values (1, 'other')`,
      { tables: { pages: { kind: 'tenant', way: { row: { column: 'board_code', of: 'boards' } } } } },
    )
    await shop.run(`insert into S.teams values (3, 'S 3')`)
    for (const number of [1, 3])
      await shop.run(`insert into S.boards (org_id, code, team_id) values (${team(number)}, 'other', ${number})`)
    await shop.run(`delete from S.boards where org_id = ${team(2)}`)
    // A new key that it has not is of several others.
    await shop.run(`insert into S.boards (org_id, code, team_id) values (${team(3)}, 'main', 3)`)
    const move = () => shop.run(`update S.pages set board_code = 'main'`)
    await expect(move()).rejects.toThrow('a row of pages leads to rows of several organizations')
    await shop.run(`select set_config('tenantry.org_id', ${team(3)}::text, false)`)
    await move()
    expect(await shop.rows('pages', 'id')).toEqual(['1 of S 3'])
    await shop.run(`select set_config('tenantry.org_id', '', false)`)
    await shop.run(`update S.pages set board_code = 'other'`)
    await shop.run(`delete from S.boards where code = 'other' and org_id = ${team(3)}`)
    await shop.run(`insert into S.boards (org_id, code, team_id) values (${team(2)}, 'other', 2)`)
    await shop.take('observe')
    await expect(shop.take('enforce')).rejects.toThrow('1 rows of pages have no organization, or another one')
    await shop.run(`update S.pages set org_id = ${team(2)}`)
    await enforced({ ...shop, take: (...names) => shop.take(...names.filter((name) => name !== 'observe')) })
  })
})

test('rows are written at each moment of expand, whatever the names of the tables', async () => {
  await run(`
create schema moments;
create table moments.teams (id int primary key, name text);
create table moments.zones (id int primary key, team_id int not null references moments.teams);
create table moments.middles (id int primary key, zone_id int not null references moments.zones);
create table moments.atoms (id int primary key, middle_id int not null references moments.middles);
insert into moments.teams values (1, 'Moments');
insert into moments.zones values (1, 1);
insert into moments.middles values (1, 1)
`)
  const { session, plan, take, undo } = await adopting(database.adminUrl, 'moments', {
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
  })
  await take('expand')
  await undo()
  const writes = 'insert into moments.atoms (id, middle_id) values (1, 1)'
  const watched = {
    ...session,
    query: async <Row>(text: string, params?: readonly unknown[]) => {
      const rows = await session.query<Row>(text, params)
      if (text === 'commit') for (const statement of ['begin', writes, 'rollback']) await session.query(statement)
      return rows
    },
  }
  await takeStep(watched, plan, 'expand')
  await undoSteps(watched, plan)
})
