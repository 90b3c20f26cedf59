import { beforeAll, describe, expect, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, ownerSession, rowsOf, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

describe('teams become organizations, and rows follow columns and foreign keys', () => {
  beforeAll(() =>
    run(`
create schema shop;
create table shop.teams (id int primary key, name text not null, slug text);
create table shop.people (id int primary key, email text not null);
create table shop.projects (id serial primary key, team_id int not null references shop.teams on delete cascade, slug text not null unique,
  title text);
create table shop.workflows (id uuid primary key default gen_random_uuid(), project_id int not null references shop.projects on delete cascade,
  name text, price numeric(10, 2), upper_name text generated always as (upper(name)) stored);
create table shop.tasks (id bigint generated always as identity primary key, workflow_id uuid references shop.workflows on delete set null,
  parent_id bigint references shop.tasks, team_id int not null references shop.teams, author_id int references shop.people,
  project_id int not null references shop.projects deferrable initially deferred, note text, touched int not null default 0);
create unique index tasks_note_key on shop.tasks (note) where note <> '';
create index tasks_project on shop.tasks (project_id);
create table shop.lines (task_id bigint references shop.tasks on update cascade, place int, text varchar(20), primary key (task_id, place));
create function shop.touch() returns trigger language plpgsql as 'begin new.touched := old.touched + 1; return new; end';
create trigger touched before update on shop.tasks for each row execute function shop.touch();
insert into shop.teams select n, case when n < 3 then 'Acme' else 'Team ' || n end, null from generate_series(1, 7) n;
insert into shop.people select n, n || '@example.com' from generate_series(1, 5) n;
insert into shop.projects (team_id, slug) select 1 + n % 7, 'p' || n from generate_series(1, 50) n;
insert into shop.workflows (project_id, name, price) select 1 + n % 50, 'w' || n, n / 3.0 from generate_series(1, 1000) n;
insert into shop.tasks (workflow_id, team_id, project_id, author_id, note)
  select w.id, p.team_id, p.id, 1 + n % 5, 'note ' || n || w.name from shop.workflows w join shop.projects p on p.id = w.project_id
  cross join generate_series(1, 3) n;
update shop.tasks t set parent_id = (select max(o.id) from shop.tasks o where o.workflow_id = t.workflow_id and o.id < t.id), touched = 0;
update shop.tasks set touched = 0;
insert into shop.lines select t.id, n, 'line ' || n from shop.tasks t cross join generate_series(1, 2) n
`),
  )

  test('all the way and back, every row and the catalog are as before', async () => {
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'shop', {
      tables: { people: { kind: 'people' }, tasks: { kind: 'tenant', way: { column: 'team_id' } } },
    })
    const before = { rows: await rowsOf(session, 'shop'), catalog: await catalogOf(session, 'shop') }
    await take('expand')
    const filled = await fill()
    expect(filled).toMatchObject({ isComplete: true })
    await take('prove', 'swap', 'observe', 'enforce')
    // Code that asks for a row without its organization finds it as fast as before, until the last step.
    await session.query('analyze shop.tasks')
    const planOf = async (condition: string) =>
      JSON.stringify(await session.query(`explain select from shop.tasks where ${condition}`))
    expect(await planOf('id = 7')).toContain('Index Only Scan using tasks_pkey_alone')
    expect(await planOf(`note = 'x' and note <> ''`)).toContain('tasks_note_key_alone')
    await take('contract')
    expect((await catalogOf(session, 'shop')).filter((line) => line.includes('_alone'))).toEqual([])
    const [wrong] = await session.query(
      `select count(*)::int as count from shop.lines l join shop.tasks t on t.id = l.task_id join shop.teams m on m.id = t.team_id
       join platform.organizations o on o.id = l.org_id where o.external_id <> m.id::text`,
    )
    expect(wrong).toEqual({ count: 0 })
    await undo()
    expect(await catalogOf(session, 'shop')).toEqual(before.catalog)
    expect(await rowsOf(session, 'shop')).toEqual(before.rows)
  })
})

test('a database of one customer gets its organization as a constant, without a rewrite', async () => {
  await run(`
create schema single;
create table single.workflows (id serial primary key, name text not null unique);
create table single.tasks (id serial primary key, workflow_id int not null references single.workflows, state text);
create table single.schedules (id serial primary key, workflow_id int references single.workflows on delete cascade, cron text);
insert into single.workflows (name) select 'w' || n from generate_series(1, 20) n;
insert into single.tasks (workflow_id, state) select 1 + n % 20, 'done' from generate_series(1, 100) n;
insert into single.schedules (workflow_id, cron) select n, '* * * * *' from generate_series(1, 20) n
`)
  const { session, plan, take, undo } = await adopting(database.adminUrl, 'single', {
    organizations: { constant: { name: 'Acme Single', slug: 'acme-single' } },
  })
  const files = () =>
    session.query(
      `select relname, relfilenode from pg_class where relnamespace = 'single'::regnamespace and relkind = 'r' order by 1`,
    )
  const before = {
    rows: await rowsOf(session, 'single'),
    catalog: await catalogOf(session, 'single'),
    files: await files(),
  }
  expect(plan.backfill).toEqual([])
  await take('expand', 'prove', 'swap', 'observe', 'enforce')
  expect(await files()).toEqual(before.files)
  await run(`insert into single.workflows (name) values ('new')`)
  expect(
    await session.query(
      `select o.name, o.slug, count(*)::int as rows from single.workflows w join platform.organizations o on o.id = w.org_id group by 1, 2`,
    ),
  ).toEqual([{ name: 'Acme Single', slug: 'acme-single', rows: 21 }])
  expect(
    await session.query(
      `select count(distinct r.key)::int as roles, count(*)::int > 50 as permissions from platform.organizations o join platform.roles r on r.org_id = o.id
       join platform.role_permissions p on p.org_id = o.id and p.role_key = r.key where o.slug = 'acme-single'`,
    ),
  ).toEqual([{ roles: 8, permissions: true }])
  await take('contract')
  await expect(run(`insert into single.workflows (name) values ('without')`)).rejects.toThrow(
    'no organization is bound',
  )
  await run(`delete from single.workflows where name = 'new'`)
  await undo()
  expect(await catalogOf(session, 'single')).toEqual(before.catalog)
  expect(await rowsOf(session, 'single')).toEqual(before.rows)
  // The organization stays, and is found again.
  await take('expand')
  expect(
    await session.query(`select count(*)::int as count from platform.organizations where name like 'Acme Single%'`),
  ).toEqual([{ count: 1 }])
})

describe('rows that no way reaches', () => {
  test('go to an organization of their own, to that of a person, or aside until they are brought back', async () => {
    await run(`
create schema lost;
create table lost.people (id int primary key, email text not null);
create table lost.teams (id text primary key, name text);
create table lost.projects (id int primary key, team_id text references lost.teams, owner_id int references lost.people);
create table lost.tasks (id int primary key, project_id int references lost.projects);
create table lost.tags (id int primary key, team_id text references lost.teams, label text);
create table lost.notes (id int generated always as identity primary key, team_id text references lost.teams, text text,
  size int generated always as (length(text)) stored);
create table lost.marks (id int primary key, note_id int references lost.notes on delete cascade, mark_of int references lost.marks);
create function lost.refuse() returns trigger language plpgsql as 'begin raise exception ''a trigger has fired''; end';
create trigger refusing before delete on lost.notes for each row execute function lost.refuse();
insert into lost.people values (1, 'ada@example.com'), (2, 'bob@example.com');
insert into lost.teams values ('t-1', 'Lost One');
insert into lost.projects values (1, 't-1', 1), (2, null, 2), (3, null, 1);
insert into lost.tasks values (1, 1), (2, 2), (3, 3);
insert into lost.tags values (1, 't-1', 'a'), (2, null, 'b');
insert into lost.notes (team_id, text) values ('t-1', 'kept'), (null, 'lost'), (null, 'also lost');
insert into lost.marks values (1, 1, null), (2, 2, null), (3, 3, 2)
`)
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'lost', {
      organizations: { table: 'teams', id: 'id' },
      tables: {
        people: { kind: 'people' },
        projects: { kind: 'tenant', way: { column: 'team_id' }, unreached: { personal: 'owner_id' } },
        tags: { kind: 'tenant', way: { column: 'team_id' }, unreached: { constant: 'everybody' } },
        notes: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' },
        marks: { kind: 'tenant', way: { parent: 'marks_note_id_fkey' }, unreached: 'quarantine' },
      },
    })
    const before = { rows: await rowsOf(session, 'lost'), catalog: await catalogOf(session, 'lost') }
    await take('expand')
    const { tables } = await fill()
    expect(Object.fromEntries(tables.map(({ name, unreached }) => [name, unreached]))).toEqual({
      'organizations of teams': 0,
      marks: 2,
      notes: 2,
      projects: 0,
      tags: 0,
      tasks: 0,
    })
    await take('prove', 'swap', 'observe', 'enforce', 'contract')
    const owned = (table: string, column: string) =>
      session.query(
        `select t.${column} as row, o.name from lost.${table} t join platform.organizations o on o.id = t.org_id order by 1`,
      )
    expect(await owned('projects', 'id')).toEqual([
      { row: 1, name: 'Lost One' },
      { row: 2, name: 'bob@example.com' },
      { row: 3, name: 'ada@example.com' },
    ])
    expect(await owned('tasks', 'id')).toEqual(await owned('projects', 'id'))
    expect(await owned('tags', 'label')).toEqual([
      { row: 'a', name: 'Lost One' },
      { row: 'b', name: 'everybody' },
    ])
    expect(await owned('notes', 'text')).toEqual([{ row: 'kept', name: 'Lost One' }])
    expect(await owned('marks', 'id')).toEqual([{ row: 1, name: 'Lost One' }])
    await undo()
    expect(await catalogOf(session, 'lost')).toEqual(before.catalog)
    expect(await rowsOf(session, 'lost')).toEqual(before.rows)
  })

  test('stay where a row refers to them that stays', async () => {
    await run(`
create schema held;
create table held.teams (id int primary key);
create table held.notes (id int primary key, team_id int references held.teams);
create table held.marks (id int primary key, team_id int not null references held.teams, note_id int references held.notes on delete cascade);
insert into held.teams values (1);
insert into held.notes values (1, null)
`)
    const { session, take, fill } = await adopting(database.adminUrl, 'held', {
      organizations: { table: 'teams', id: 'id', externalIds: 'none' },
      tables: { notes: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' } },
    })
    await take('expand')
    await fill()
    // Since the plan, which would have told it.
    await run('insert into held.marks values (1, 1, 1)')
    await expect(take('prove')).rejects.toThrow(
      'rows of marks refer by marks_note_id_fkey to rows of notes that are to be put aside: give both an organization',
    )
    expect(await session.query('select id from held.marks')).toEqual([{ id: 1 }])
    await run(`update held.notes set team_id = 1`)
    await take('prove', 'swap')
  })
})

test('ways by words, by another unique column, and by a column org_id that is there already', async () => {
  await run(`
create schema ways;
create table ways.accounts (id uuid primary key, "Title" text, stripe_id text unique);
create table ways.tasks (id int primary key, org_id uuid references ways.accounts, unique (org_id, id));
create table ways.invoices (id int primary key, customer varchar(40) not null);
create table ways.comments (id int primary key, subject_type text not null, subject_id text not null);
insert into ways.accounts values ('00000000-0000-7000-8000-00000000000a', 'A of ways', 'cus_a'), ('00000000-0000-7000-8000-00000000000b', 'B of ways', 'cus_b');
insert into ways.tasks values (1, '00000000-0000-7000-8000-00000000000a'), (2, '00000000-0000-7000-8000-00000000000b');
insert into ways.invoices values (1, 'cus_b');
insert into ways.comments values (1, 'Task', '1'), (2, 'Invoice', '1')
`)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'ways', {
    organizations: { table: 'accounts', id: 'id', name: 'Title' },
    tables: {
      invoices: { kind: 'tenant', way: { mapped: { column: 'customer', to: 'stripe_id' } } },
    },
  })
  const before = { rows: await rowsOf(session, 'ways'), catalog: await catalogOf(session, 'ways') }
  await take('expand')
  await fill()
  await take('prove', 'swap')
  expect(
    await session.query(
      `select t.of || ' ' || t.id || ' of ' || o.name as row from (select 'task' as of, id, org_id from ways.tasks union all
         select 'invoice', id, org_id from ways.invoices union all select 'comment', id, org_id from ways.comments) t
       join platform.organizations o on o.id = t.org_id order by 1`,
    ),
  ).toEqual([
    { row: 'comment 1 of A of ways' },
    { row: 'comment 2 of B of ways' },
    { row: 'invoice 1 of B of ways' },
    { row: 'task 1 of A of ways' },
    { row: 'task 2 of B of ways' },
  ])
  await undo()
  expect(await catalogOf(session, 'ways')).toEqual(before.catalog)
  expect(await rowsOf(session, 'ways')).toEqual(before.rows)
})

test('names of any characters', async () => {
  const [at, order, wide] = [`"Odd $body$ ""S"""`, `"order $body$ USING b ('x'"`, `"${'ü'.repeat(31)}"`]
  await run(`
create schema ${at};
create table ${at}."teams" ("I d" text primary key, "na'me" text);
create table ${at}.${order} ("$1" int primary key, "te am" text not null references ${at}.teams, "select" text unique);
create table ${at}.${wide} (id int primary key, "from" int references ${at}.${order});
insert into ${at}.teams values ('/constant/x', 'Odd'), ('a''b"c\\', null);
insert into ${at}.${order} values (1, '/constant/x', 'x'), (2, 'a''b"c\\', 'y');
insert into ${at}.${wide} values (1, 1), (2, 2)
`)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'Odd $body$ "S"', {
    organizations: { table: 'teams', id: 'I d', name: "na'me" },
  })
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe', 'enforce', 'contract')
  const owned = `select t.id, o.external_id from ${at}.${wide} t join platform.organizations o on o.id = t.org_id order by 1`
  expect(await session.query(owned)).toEqual([
    { id: 1, external_id: '/constant/x' },
    { id: 2, external_id: `a'b"c\\` },
  ])
  await undo()
  expect(await session.query(`select * from ${at}.${order} order by 1`)).toEqual([
    { $1: 1, 'te am': '/constant/x', select: 'x' },
    { $1: 2, 'te am': `a'b"c\\`, select: 'y' },
  ])
})

describe('from enforce on', () => {
  const bound = async (org: string | undefined, statement: string) => {
    const app = await ownerSession(database.appUrl)
    await app.query('begin')
    try {
      if (org !== undefined) await app.query('select platform.enter_org($1)', [org])
      return await app.query(statement)
    } finally {
      await app.query('rollback')
    }
  }
  const one = '00000000-0000-7000-8000-0000000000e1'
  const two = '00000000-0000-7000-8000-0000000000e2'

  test('a login sees the rows of the bound organization alone, whatever the policies of the table were, and they are back afterwards', async () => {
    await run(`
create schema walls;
create table walls.teams (id uuid primary key, name text);
create table walls.tasks (id serial primary key, team_id uuid not null references walls.teams, note text);
create table walls.files (id int primary key, team_id uuid not null references walls.teams);
alter table walls.files enable row level security;
create policy everybody on walls.files for select using (true);
create policy odd on walls.files as permissive for update to public using (id % 2 = 1) with check (id < 9);
insert into walls.teams values ('${one}', 'Walls one'), ('${two}', 'Walls two');
insert into walls.tasks (team_id) values ('${one}'), ('${two}');
insert into walls.files values (1, '${one}'), (2, '${two}')
`)
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'walls')
    const before = { rows: await rowsOf(session, 'walls'), catalog: await catalogOf(session, 'walls') }
    await take('expand')
    await fill()
    await take('prove', 'swap', 'observe')
    expect(await bound(one, 'select id from walls.tasks order by id')).toEqual([{ id: 1 }, { id: 2 }])
    await take('enforce')
    for (const table of ['tasks', 'files']) {
      expect(await bound(one, `select id from walls.${table}`)).toEqual([{ id: 1 }])
      expect(await bound(two, `select id from walls.${table}`)).toEqual([{ id: 2 }])
      await expect(bound(undefined, `select id from walls.${table}`)).rejects.toThrow('no organization is bound')
    }
    expect(await bound(one, `update walls.tasks set note = 'x' returning id`)).toEqual([{ id: 1 }])
    await expect(bound(one, `insert into walls.tasks (org_id, team_id) values ('${two}', '${two}')`)).rejects.toThrow(
      'row-level security',
    )
    expect(await bound(one, `insert into walls.tasks (team_id) values ('${one}') returning org_id`)).toEqual([
      { org_id: one },
    ])
    await expect(bound(one, `update walls.tasks set org_id = '${two}'`)).rejects.toThrow('permission denied')
    await take('contract')
    expect(await bound(two, `insert into walls.tasks (team_id) values ('${two}') returning org_id`)).toEqual([
      { org_id: two },
    ])
    await expect(bound(undefined, `insert into walls.tasks (team_id) values ('${two}')`)).rejects.toThrow(
      'no organization is bound',
    )
    expect(await bound(two, 'delete from walls.tasks returning id')).toEqual([{ id: 2 }])
    await undo('swap')
    await undo()
    expect(await catalogOf(session, 'walls')).toEqual(before.catalog)
    expect(await rowsOf(session, 'walls')).toEqual(before.rows)
  })
})
