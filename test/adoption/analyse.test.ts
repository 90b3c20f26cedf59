import { beforeAll, describe, expect, test } from 'vitest'
import { type Analysis, analyse } from '../../src/adoption/analyse.js'
import type { Decisions } from '../../src/adoption/decisions.js'
import { openSession } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'

const database = useDatabase()

const shop = `
create schema auth;
create schema shop;
create table auth.users (id int primary key);
create table shop.teams (id int primary key, name text not null, provider_id text unique);
create table shop.people (id int primary key references auth.users, email text not null);
create table shop.projects (id int primary key, team_id int not null references shop.teams, slug text not null, price numeric);
create table shop.workflows (id bigint primary key, project_id int references shop.projects, title text);
create table shop.tasks (id int primary key, workflow_id bigint references shop.workflows, team_id int references shop.teams,
  parent_id int references shop.tasks, owner_id int references shop.people, author_id int references auth.users);
create table shop.comments (id int primary key, subject_type text, subject_id int);
create table shop.reactions (id int primary key, comment_id int references shop.comments);
create table shop.cards (id int primary key, provider_id text references shop.teams (provider_id));
create table shop.replies (id int primary key, task_id int references shop.tasks, comment_id int references shop.comments);
create table shop.invoices (id int primary key, customer text not null);
create table shop.lines (invoice_id int references shop.invoices, place int, org_id uuid, primary key (invoice_id, place));
create table shop.plans (id int primary key);
create table shop.pairs (id int primary key, from_id int references shop.teams, to_id int not null references shop.teams);
create unlogged table shop.visits (id int primary key, team_id int references shop.teams);
create table shop.events (at timestamptz, team_id int references shop.teams);
create table shop.readings (team_id int references shop.teams, at timestamptz, primary key (team_id, at)) partition by range (at);
create table shop.readings_1 partition of shop.readings for values from ('2026-01-01') to ('2027-01-01');
create table shop.notes (id int primary key, team_id int references shop.teams);
create table shop.old_notes (primary key (id)) inherits (shop.notes);
create table shop.guarded (id int primary key, team_id int references shop.teams);
alter table shop.guarded enable row level security;
alter table shop.guarded force row level security;
create policy open on shop.guarded using (true);
create policy narrow on shop.guarded as restrictive using (team_id > 0);
create index projects_price on shop.projects (price);
create index projects_lower on shop.projects (lower(slug));
create function shop.touch() returns trigger language plpgsql security definer as 'begin return new; end';
create trigger touched before update on shop.projects for each row execute function shop.touch();
create view shop.busy as select * from shop.projects;
create view shop.safe with (security_invoker = true) as select * from shop.projects;
create publication everything for table shop.tasks, shop.plans;
insert into auth.users values (1);
insert into shop.teams values (1, 'one', 'cus_1'), (2, 'two', 'cus_2');
insert into shop.people values (1, 'ada@example.com');
insert into shop.projects values (1, 1, 'a'), (2, 2, 'a'), (3, 1, 'b');
insert into shop.workflows values (1, 1, 'x'), (2, 2, 'x'), (9007199254740993, null, 'x');
insert into shop.tasks values (1, 1, 1, null, 1, 1), (2, 1, 2, 1, 1, 1), (3, 9007199254740993, 1, null, 1, 1), (4, 2, null, null, 1, 1);
insert into shop.comments values (1, 'Project', 1), (2, 'App\\Models\\Task', 9), (3, 'Workflow', 2);
insert into shop.reactions values (1, 1), (2, 2);
insert into shop.invoices values (1, 'cus_1'), (2, 'cus_9');
insert into shop.lines values (1, 1), (2, 1);
insert into shop.readings values (1, '2026-05-05')
`.split(/;\n/)

beforeAll(async () => {
  for (const statement of shop) await database.admin.query(statement)
})

async function analysed(decisions?: Partial<Decisions>, schema = 'shop'): Promise<Analysis> {
  const session = await openSession({ url: database.adminUrl })
  try {
    return await analyse(
      session,
      schema,
      decisions && { version: 1, schema, organizations: null, tables: {}, ...decisions },
    )
  } finally {
    await session.close()
  }
}

const findingsOf = ({ found }: Analysis, table: string) =>
  found.findings
    .filter((finding) => finding.table === table)
    .map(({ kind, needs, rows }) => [kind, needs, rows?.sample])

const noUuid = ['no uuid', 'attention', undefined]
const polymorphic = {
  type: 'subject_type',
  id: 'subject_id',
  tables: { Project: 'projects', 'App\\Models\\Task': 'tasks', Workflow: 'workflows' },
}

describe('without decisions', () => {
  test('a table with a usual name becomes the organizations, and columns, foreign keys and words give the ways', async () => {
    const { decisions, found } = await analysed()
    expect(decisions.tables).toEqual({})
    expect(found.organizations).toEqual({ table: 'teams', id: 'id' })
    const ways = Object.entries(found.tables).map(([name, { kind, way }]) => [name, way ?? kind ?? null])
    expect(Object.fromEntries(ways)).toEqual({
      teams: 'organizations',
      projects: { column: 'team_id' },
      workflows: { parent: 'workflows_project_id_fkey' },
      tasks: { column: 'team_id' },
      comments: { polymorphic },
      reactions: { parent: 'reactions_comment_id_fkey' },
      replies: { parent: 'replies_task_id_fkey' },
      cards: { mapped: { column: 'provider_id', to: 'provider_id' } },
      events: { column: 'team_id' },
      guarded: { column: 'team_id' },
      notes: { column: 'team_id' },
      old_notes: { column: 'team_id' },
      readings: { column: 'team_id' },
      visits: { column: 'team_id' },
      invoices: null,
      lines: null,
      pairs: { column: 'to_id' },
      people: null,
      plans: null,
    })
  })

  test('rows without an organization, and rows that refer to another one, are counted with their keys', async () => {
    const analysis = await analysed()
    expect(findingsOf(analysis, 'workflows')).toEqual([['nameless', 'decision', [{ id: '9007199254740993' }]], noUuid])
    // By the workflow and by the parent. The keys to another schema say nothing.
    expect(findingsOf(analysis, 'tasks')).toEqual([
      ['nameless', 'decision', [{ id: '4' }]],
      ['crossing', 'decision', [{ id: '2' }]],
      ['crossing', 'decision', [{ id: '2' }]],
      noUuid,
    ])
    expect(findingsOf(analysis, 'comments')).toEqual([['unreached', 'decision', [{ id: '2' }]], noUuid])
    expect(findingsOf(analysis, 'reactions')).toEqual([['unreached', 'decision', [{ id: '2' }]], noUuid])
    expect(analysis.found.tables.tasks).toMatchObject({ rows: 4, isProposed: true, ways: [{ column: 'team_id' }] })
    expect(analysis.found.tables.readings?.bytes).toBeGreaterThan(0)
  })

  test('of several ways that are as short, somebody says which one counts', async () => {
    const analysis = await analysed()
    expect(findingsOf(analysis, 'notes').map(([kind]) => kind)).not.toContain('several ways')
    expect(findingsOf(analysis, 'pairs')[0]).toEqual(['several ways', 'decision', undefined])
    expect(analysis.found.tables.pairs?.ways).toEqual([{ column: 'to_id' }, { column: 'from_id' }])
  })

  test('obstacles and notes from the catalog are reported, each in a sentence', async () => {
    const { found } = await analysed()
    const told = found.findings.filter(({ rows }) => rows === undefined).map(({ needs, message }) => [needs, message])
    const starts = (text: string) => expect.stringMatching(new RegExp(`^${text}`)) as string
    expect(told).toEqual(
      expect.arrayContaining([
        ['decision', 'no way leads from invoices to an organization; lines refer to it: perhaps "shared" or "people"'],
        ['mend', starts('visits loses its rows in a crash')],
        ['mend', starts('events has no primary key')],
        ['mend', starts('notes inherits or is inherited from')],
        ['mend', starts('guarded has restrictive policies \\(narrow\\)')],
        ['mend', starts('guarded has FORCE ROW LEVEL SECURITY')],
        ['attention', starts('open of guarded would let rows through')],
        ['attention', 'shop.touch() runs with the rights of its owner: it sees the rows of every organization'],
        ['attention', 'everything sends the rows of every organization in tasks'],
        ['attention', starts('shop.busy shows or holds rows of projects')],
        ['attention', starts('touched of projects calls shop.touch on updates')],
        ['attention', starts('projects_lower of projects .* cannot serve .* lower\\(\\)')],
        ['attention', starts('projects_price of projects .* cannot serve .* on numeric')],
      ]),
    )
    expect(JSON.stringify(told)).not.toContain('shop.safe')
  })
})

describe('with decisions', () => {
  const organizations = { table: 'teams', id: 'id' }
  const mapped = { kind: 'tenant', way: { mapped: { column: 'customer', to: 'provider_id' } } } as const

  test('a column may hold another unique column of the organization, and the tables behind get a way', async () => {
    const analysis = await analysed({ organizations, tables: { invoices: mapped } })
    expect(findingsOf(analysis, 'invoices')).toEqual([['unreached', 'decision', [{ id: '2' }]], noUuid])
    expect(analysis.found.tables.lines).toMatchObject({ way: { parent: 'lines_invoice_id_fkey' }, isProposed: true })
    expect(findingsOf(analysis, 'lines')).toEqual([
      ['unreached', 'decision', [{ invoice_id: '2', place: '1' }]],
      noUuid,
      ['obstacle', 'mend', undefined],
    ])
  })

  test('nothing is proposed by way of a table that is shared or left', async () => {
    const analysis = await analysed({ organizations, tables: { projects: { kind: 'left' } } })
    expect(analysis.found.tables.workflows).toMatchObject({ kind: undefined, way: undefined })
  })

  test('decided rows and foreign keys need attention only', async () => {
    const way = { column: 'team_id' }
    const crossing = ['tasks_parent_id_fkey', 'tasks_workflow_id_fkey']
    const tables: Decisions['tables'] = { tasks: { kind: 'tenant', way, unreached: 'quarantine', crossing } }
    const analysis = await analysed({ organizations, tables })
    expect(findingsOf(analysis, 'tasks').map(([kind, needs]) => [kind, needs])).toEqual([
      ['nameless', 'attention'],
      ['crossing', 'attention'],
      ['crossing', 'attention'],
      ['no uuid', 'attention'],
    ])
  })

  test('a shared table, people, and a table that is left have no findings', async () => {
    const analysis = await analysed({
      organizations,
      tables: { plans: { kind: 'shared' }, people: { kind: 'people' }, events: { kind: 'left' } },
    })
    for (const table of ['plans', 'people', 'events']) expect(findingsOf(analysis, table)).toEqual([])
  })

  test('everything of one organization, or an organization for each person', async () => {
    const one = await analysed({ organizations: { constant: { name: 'All', slug: 'all' } } })
    expect(one.found.tables.plans).toMatchObject({ kind: 'tenant', way: 'constant' })
    expect(one.found.findings.filter(({ needs }) => needs === 'decision')).toEqual([])
    const each = await analysed({ organizations: { personal: { table: 'people', id: 'id' } } })
    expect(each.found.tables).toMatchObject({
      people: { kind: 'organizations' },
      tasks: { kind: 'tenant', way: { column: 'owner_id' } },
      projects: { kind: undefined },
    })
  })

  test('duplicates of a key that is to be unique are found', async () => {
    const unique = [['slug'], ['team_id']]
    const tables: Decisions['tables'] = { projects: { kind: 'tenant', way: { column: 'team_id' }, unique } }
    const analysis = await analysed({ organizations, tables })
    expect(findingsOf(analysis, 'projects').filter(([kind]) => kind === 'duplicates')).toEqual([
      ['duplicates', 'mend', [{ id: '1' }, { id: '3' }]],
    ])
  })

  test.each<[string, Decisions['tables'], string]>([
    [
      'a key that is not there',
      { visits: { kind: 'tenant', way: { column: 'team_id' }, crossing: ['x'] } },
      'visits has no foreign key x',
    ],
    ['a circle', { tasks: { kind: 'tenant', way: { parent: 'tasks_parent_id_fkey' } } }, 'tasks → tasks'],
    ['a missing key', { tasks: { kind: 'tenant', way: { parent: 'nothing' } } }, 'nothing is no foreign key'],
    [
      'a key to another schema',
      { tasks: { kind: 'tenant', way: { parent: 'tasks_author_id_fkey' } } },
      'is no foreign key to a table of shop',
    ],
    ['a missing column', { tasks: { kind: 'tenant', way: { column: 'nothing' } } }, 'tasks has no column nothing'],
    [
      'a column of another parent',
      { tasks: { kind: 'tenant', way: { column: 'owner_id' } } },
      'owner_id refers to people, and the organizations are teams',
    ],
    [
      'a constant beside a table',
      { plans: { kind: 'tenant', way: 'constant' } },
      'is "constant", and the organizations are teams',
    ],
    [
      'a unique column that is not there',
      { visits: { kind: 'tenant', way: { column: 'team_id' }, unique: [['x']] } },
      'visits has no column x',
    ],
    [
      'a person that is not there',
      { visits: { kind: 'tenant', way: { column: 'team_id' }, unreached: { personal: 'x' } } },
      'visits has no column x',
    ],
    [
      'a column of the organization that is not unique',
      { invoices: { kind: 'tenant', way: { mapped: { column: 'customer', to: 'name' } } } },
      'teams has no unique key of name alone',
    ],
  ])('%s is refused', async (_, tables, message) => {
    await expect(analysed({ organizations, tables })).rejects.toThrow(message)
  })

  test('organizations that are not there, and their kind on another table, are told', async () => {
    await expect(analysed({ organizations: { table: 'team', id: 'id' } })).rejects.toThrow(
      'there is no table team in shop',
    )
    const tables: Decisions['tables'] = { plans: { kind: 'organizations' }, teams: { kind: 'shared' } }
    const analysis = await analysed({ organizations, tables })
    for (const table of ['plans', 'teams'])
      expect(findingsOf(analysis, table)[0]).toEqual(['organizations', 'decision', undefined])
  })

  test('a table whose way is missing, or leads to rows without an organization, is undecided', async () => {
    const analysis = await analysed({
      organizations,
      tables: {
        plans: { kind: 'tenant' },
        tasks: { kind: 'tenant', way: { parent: 'tasks_owner_id_fkey' } },
        people: { kind: 'people' },
      },
    })
    for (const table of ['plans', 'tasks'])
      expect(findingsOf(analysis, table)[0]).toEqual(['undecided', 'decision', undefined])
  })

  test('a decision about an unknown table is reported', async () => {
    const analysis = await analysed({ organizations, tables: { taks: { kind: 'shared' } } })
    expect(findingsOf(analysis, 'taks')).toEqual([['unknown table', 'decision', undefined]])
  })
})

describe('other schemas', () => {
  test('names in camel case and names of prototypes are found, and many words or composite keys give no way', async () => {
    for (const statement of [
      'create schema prisma',
      'create table prisma."Team" (id text primary key)',
      'create table prisma."Post" (id text primary key, "teamId" text)',
      'create table prisma.constructor (id text primary key, "teamId" text references prisma."Team")',
      'create table prisma.parts (a int, b int, team_id text references prisma."Team", primary key (a, b))',
      'create table prisma.marks (id int primary key, target_type text, target_id text)',
      `insert into prisma.marks values (1, 'Part', 'x')`,
      'create table prisma.logs (id int primary key, item_type text, item_id text)',
      `insert into prisma.logs select n, case n when 21 then 'Post' else 'Post' || n end, 'x' from generate_series(1, 21) n`,
    ])
      await database.admin.query(statement)
    const { found } = await analysed(undefined, 'prisma')
    expect(found.organizations).toEqual({ table: 'Team', id: 'id' })
    expect(found.tables).toMatchObject({
      Post: { way: { column: 'teamId' } },
      constructor: { way: { column: 'teamId' } },
      parts: { way: { column: 'team_id' } },
      marks: { way: undefined },
      logs: { way: undefined },
    })
  })

  test('without organizations that alone is to be decided', async () => {
    const { found } = await analysed(undefined, 'auth')
    expect(found.findings.map(({ kind, needs }) => [kind, needs])).toEqual([['organizations', 'decision']])
  })
})

test('a schema without tables and the one of tenantry are refused', async () => {
  await expect(analysed(undefined, 'nowhere')).rejects.toThrow('there are no tables in nowhere')
  await expect(analysed(undefined, 'platform')).rejects.toThrow('platform is the schema of tenantry')
})

test('a cast that writes, and would make the session writable, is told as unreadable', async () => {
  const { admin } = database
  for (const statement of [
    'create schema trap',
    `create type trap.k as enum ('a')`,
    'create table trap.log (who text)',
    `create function trap.f(trap.k) returns text language plpgsql as $$ begin
       perform set_config('default_transaction_read_only', 'off', false);
       insert into trap.log values (current_user);
       return 'a'; end $$`,
    'create cast (trap.k as text) with function trap.f(trap.k)',
    'create table trap.teams (id trap.k primary key)',
    'create table trap.orders (id int primary key, team_id trap.k references trap.teams)',
    `insert into trap.teams values ('a')`,
    `insert into trap.orders values (1, 'a')`,
  ])
    await admin.query(statement)
  const { found } = await analysed(undefined, 'trap')
  expect(found.findings).toContainEqual(
    expect.objectContaining({
      kind: 'unreadable',
      message: expect.stringContaining('read-only transaction') as string,
    }),
  )
  expect(await admin.query('select from trap.log')).toEqual([])
})

test('a text with a backslash is no SQL, whatever standard_conforming_strings is', async () => {
  const { admin, adminUrl } = database
  for (const statement of [
    'create schema slash',
    'create table slash.teams (id int primary key)',
    'create table slash.notes (id int primary key, on_type text, on_id int)',
    'insert into slash.teams values (1), (2)',
  ])
    await admin.query(statement)
  await admin.query('insert into slash.notes values (1, $1, 1)', ["\\' or true --/team"])
  const session = await openSession({ url: adminUrl })
  try {
    await session.query('set standard_conforming_strings = off')
    const { found } = await analyse(session, 'slash')
    expect(found.tables.notes).toMatchObject({ rows: 1, unreached: { count: 0 }, nameless: { count: 0 } })
    expect(found.tables.notes?.way).toMatchObject({ polymorphic: { type: 'on_type' } })
  } finally {
    await session.close()
  }
})

test('a table that the login may not read, or from which row security hides rows, is told', async () => {
  const { admin, appUrl } = database
  const login = new URL(appUrl).username
  for (const statement of [
    'create schema hidden',
    'create table hidden.teams (id int primary key)',
    'create table hidden.orders (id int primary key, team_id int references hidden.teams)',
    'create table hidden.secrets (id int primary key, team_id int references hidden.teams)',
    'alter table hidden.orders enable row level security',
    `grant usage on schema hidden to ${login}`,
    `grant select on hidden.teams, hidden.orders to ${login}`,
  ])
    await admin.query(statement)
  const session = await openSession({ url: appUrl })
  try {
    const { found } = await analyse(session, 'hidden')
    const told = found.findings
      .filter(({ kind }) => kind === 'unreadable')
      .map(({ needs, message }) => [needs, message])
    expect(told).toEqual([
      ['mend', expect.stringContaining('row security hides rows of orders')],
      ['mend', 'secrets cannot be read: permission denied for table secrets'],
    ])
  } finally {
    await session.close()
  }
})
