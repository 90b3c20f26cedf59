import { describe, expect, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

describe('what code that knows no organizations writes meanwhile', () => {
  test('gets its organization: new teams, new rows, and rows that move', async () => {
    await run(`
create schema live;
create table live.teams (id int primary key, name text not null);
create table live.projects (id int primary key, team_id int not null references live.teams);
create table live.tasks (id int primary key, project_id int references live.projects);
insert into live.teams values (1, 'one'), (2, 'two');
insert into live.projects values (1, 1), (2, 2);
insert into live.tasks values (1, 1)
`)
    const { session, take, fill } = await adopting(database.adminUrl, 'live', {
      organizations: { table: 'teams', id: 'id', externalIds: 'none' },
    })
    await take('expand')
    // Before any row is filled: the way is followed, not the columns of the parents.
    await run(`
insert into live.tasks values (2, 2);
insert into live.teams values (3, 'three');
insert into live.projects values (3, 3);
insert into live.tasks values (3, 3);
update live.tasks set project_id = 2 where id = 1
`)
    const teams = async () =>
      (
        await session.query<{ task: string }>(
          `select t.id || ' of ' || coalesce(o.name, 'nobody') as task from live.tasks t left join platform.organizations o on o.id = t.org_id order by t.id`,
        )
      ).map(({ task }) => task)
    expect(await teams()).toEqual(['1 of two', '2 of two', '3 of three'])
    await fill()
    expect(await teams()).toEqual(['1 of two', '2 of two', '3 of three'])
    // A parent that moves after its rows were filled is found, and mended by another run.
    await run(`update live.projects set team_id = 1 where id = 2`)
    await expect(take('prove')).rejects.toThrow(
      '2 rows of tasks have no organization, or another one than their way leads to',
    )
    await fill({ again: true })
    await take('prove', 'swap')
    expect(await teams()).toEqual(['1 of one', '2 of one', '3 of three'])
    await expect(run(`update live.teams set id = 9 where id = 2`)).rejects.toThrow(
      'the id of a row that is an organization cannot be changed',
    )
    await expect(run(`update live.projects set team_id = 1 where id = 3`)).rejects.toThrow('tasks_project_id_fkey')
    await run(`insert into live.tasks values (4, 3)`)
    expect(await teams()).toEqual(['1 of one', '2 of one', '3 of three', '4 of three'])
  })

  test('stays where it is when its parent goes', async () => {
    await run(`
create schema orphan;
create table orphan.teams (id uuid primary key);
create table orphan.folders (id int primary key, team_id uuid not null references orphan.teams);
create table orphan.papers (id int primary key, folder_id int references orphan.folders on delete set null);
insert into orphan.teams values ('00000000-0000-7000-8000-0000000000c1');
insert into orphan.folders select n, '00000000-0000-7000-8000-0000000000c1' from generate_series(1, 3) n;
insert into orphan.papers select n, n from generate_series(1, 3) n
`)
    const { session, take, fill } = await adopting(database.adminUrl, 'orphan')
    await take('expand')
    await fill()
    await run('delete from orphan.folders where id = 1')
    await take('prove')
    await run('delete from orphan.folders where id = 2')
    await take('swap', 'observe', 'enforce')
    await run('delete from orphan.folders where id = 3')
    const papers = 'select id, folder_id, org_id is not null as owned from orphan.papers order by id'
    expect(await session.query(papers)).toEqual([1, 2, 3].map((id) => ({ id, folder_id: null, owned: true })))
  })

  test('is refused where a foreign key moves it against its way', async () => {
    await run(`
create schema casc;
create table casc.teams (id uuid primary key);
create table casc.projects (id int primary key, team_id uuid not null references casc.teams);
create table casc.tasks (id int primary key, team_id uuid not null references casc.teams,
  project_id int not null references casc.projects on update cascade);
insert into casc.teams values ('00000000-0000-7000-8000-0000000000b1'), ('00000000-0000-7000-8000-0000000000b2');
insert into casc.projects values (1, '00000000-0000-7000-8000-0000000000b1');
insert into casc.tasks values (1, '00000000-0000-7000-8000-0000000000b1', 1)
`)
    const { session, take, fill } = await adopting(database.adminUrl, 'casc', {
      tables: { tasks: { kind: 'tenant', way: { column: 'team_id' } } },
    })
    await take('expand')
    await fill()
    await take('prove')
    await expect(run(`update casc.projects set team_id = '00000000-0000-7000-8000-0000000000b2'`)).rejects.toThrow(
      'a row of tasks cannot move to another organization than its way leads to',
    )
    await run('update casc.projects set id = 2')
    await take('swap')
    expect(
      await session.query(
        'select count(*)::int as fitting from casc.tasks t join casc.projects p on (p.org_id, p.id) = (t.org_id, t.project_id)',
      ),
    ).toEqual([{ fitting: 1 }])
  })

  test('after the swap two organizations may use the same keys, and then the way back is refused with their number', async () => {
    await run(`
create schema keys;
create table keys.teams (id uuid primary key, name text);
create table keys.pages (id int primary key, team_id uuid not null references keys.teams, slug text unique, title text);
insert into keys.teams values ('00000000-0000-7000-8000-000000000001', 'Keys'), ('00000000-0000-7000-8000-000000000002', 'Keys');
insert into keys.pages values (1, '00000000-0000-7000-8000-000000000001', 'home')
`)
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'keys')
    await take('expand')
    await fill()
    await take('prove', 'swap')
    expect(
      await session.query(
        `select id, name, slug from platform.organizations where provision_key like 'adopt ["keys",%' order by id`,
      ),
    ).toEqual([
      { id: '00000000-0000-7000-8000-000000000001', name: 'Keys', slug: 'keys' },
      {
        id: '00000000-0000-7000-8000-000000000002',
        name: expect.stringMatching(/^Keys \([0-9a-f]{8}\)$/) as string,
        slug: expect.stringMatching(/^keys-[0-9a-f]{8}$/) as string,
      },
    ])
    await run(`insert into keys.pages values (1, '00000000-0000-7000-8000-000000000002', 'home')`)
    await expect(run(`insert into keys.pages values (1, '00000000-0000-7000-8000-000000000002', 'b')`)).rejects.toThrow(
      'pages_pkey',
    )
    await expect(
      run(`insert into keys.pages values (2, '00000000-0000-7000-8000-000000000002', 'home')`),
    ).rejects.toThrow('pages_slug_key')
    await expect(undo()).rejects.toThrow('pages: 1 values of id are used by several organizations')
    await run(`update keys.pages set id = 2 where team_id = '00000000-0000-7000-8000-000000000002'`)
    await expect(undo()).rejects.toThrow('pages: 1 values of slug are used by several organizations')
    await run(`update keys.pages set slug = 'b' where id = 2`)
    await undo()
    expect(await session.query('select id, slug from keys.pages order by id')).toEqual([
      { id: 1, slug: 'home' },
      { id: 2, slug: 'b' },
    ])
  })
})
