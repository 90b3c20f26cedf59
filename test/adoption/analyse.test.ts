import { beforeAll, describe, expect, test } from 'vitest'
import { type Analysis, analyse } from '../../src/adoption/analyse.js'
import type { Decisions } from '../../src/adoption/decisions.js'
import { openSession } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'

const database = useDatabase()

const shop = `
create schema shop;
create table shop.teams (id int primary key, name text not null, provider_id text unique);
create table shop.people (id int primary key, email text not null);
create table shop.projects (id int primary key, team_id int not null references shop.teams, slug text not null);
create table shop.workflows (id int primary key, project_id int references shop.projects, title text);
create table shop.tasks (id int primary key, workflow_id int references shop.workflows, team_id int references shop.teams,
  parent_id int references shop.tasks, owner_id int references shop.people);
create table shop.comments (id int primary key, subject_type text, subject_id int);
create table shop.invoices (id int primary key, customer text not null);
create table shop.plans (id int primary key, price numeric not null);
create unlogged table shop.visits (id int primary key, team_id int references shop.teams);
create table shop.events (at timestamptz, team_id int references shop.teams);
create index tasks_price on shop.plans (price);
create index projects_lower on shop.projects (lower(slug));
create function shop.touch() returns trigger language plpgsql security definer as 'begin return new; end';
create trigger touched before update on shop.projects for each row execute function shop.touch();
create view shop.busy as select * from shop.projects;
insert into shop.teams values (1, 'one', 'cus_1'), (2, 'two', 'cus_2');
insert into shop.people values (1, 'ada@example.com');
insert into shop.projects values (1, 1, 'a'), (2, 2, 'a'), (3, 1, 'b');
insert into shop.workflows values (1, 1, 'x'), (2, 2, 'x'), (3, null, 'x');
insert into shop.tasks values (1, 1, 1, null, 1), (2, 1, 2, 1, 1), (3, 3, 1, null, 1), (4, 2, null, null, 1);
insert into shop.comments values (1, 'Project', 1), (2, 'Task', 9), (3, 'Workflow', 2);
insert into shop.invoices values (1, 'cus_1'), (2, 'cus_9');
create publication everything for table shop.tasks;
`.split(/;\n/)

beforeAll(async () => {
  for (const statement of shop) if (statement.trim() !== '') await database.admin.query(statement)
})

const analysed = async (decisions?: Partial<Decisions>): Promise<Analysis> => {
  const session = await openSession({ url: database.adminUrl })
  try {
    const given: Decisions = { version: 1, schema: 'shop', organizations: null, tables: {}, ...decisions }
    return await analyse(session, 'shop', decisions && given)
  } finally {
    await session.close()
  }
}

const found = ({ findings }: Analysis, table: string) =>
  findings.filter((finding) => finding.table === table).map(({ kind, needs, rows }) => [kind, needs, rows?.sample])

describe('without decisions', () => {
  test('the table that is named so is that of the organizations, and columns and foreign keys lead there', async () => {
    const { decisions } = await analysed()
    expect(decisions.organizations).toEqual({ table: 'teams', id: 'id' })
    expect(decisions.tables).toEqual({
      teams: { kind: 'organizations' },
      projects: { kind: 'tenant', way: { column: 'team_id' } },
      workflows: { kind: 'tenant', way: { parent: 'workflows_project_id_fkey' } },
      tasks: { kind: 'tenant', way: { column: 'team_id' } },
      comments: {
        kind: 'tenant',
        way: {
          polymorphic: {
            type: 'subject_type',
            id: 'subject_id',
            tables: { Project: 'projects', Task: 'tasks', Workflow: 'workflows' },
          },
        },
      },
      visits: { kind: 'tenant', way: { column: 'team_id' } },
      events: { kind: 'tenant', way: { column: 'team_id' } },
    })
  })

  test('rows without a way, and those whose parent is elsewhere, are counted with their keys', async () => {
    const analysis = await analysed()
    expect(found(analysis, 'workflows')).toEqual([
      ['nameless', 'decision', [{ id: 3 }]],
      ['no uuid', 'attention', undefined],
    ])
    expect(found(analysis, 'tasks')).toEqual([
      ['nameless', 'decision', [{ id: 4 }]],
      ['crossing', 'decision', [{ id: 2 }]],
      ['crossing', 'decision', [{ id: 2 }]],
      ['no uuid', 'attention', undefined],
    ])
    expect(found(analysis, 'comments')).toEqual([
      ['unreached', 'decision', [{ id: 2 }]],
      ['no uuid', 'attention', undefined],
    ])
    expect(analysis.tables.tasks).toMatchObject({ rows: 4, ways: [{ column: 'team_id' }] })
  })

  test('what the catalog has in the way is told, each in a sentence', async () => {
    const { findings } = await analysed()
    const told = findings.filter(({ rows }) => rows === undefined).map(({ needs, message }) => [needs, message])
    expect(told).toEqual(
      expect.arrayContaining([
        ['decision', 'no way leads from invoices to an organization'],
        ['decision', 'no way leads from people to an organization; tasks refer to it: perhaps "shared" or "people"'],
        ['mend', expect.stringContaining('visits loses its rows in a crash')],
        ['mend', expect.stringContaining('events has no primary key')],
        ['attention', 'shop.touch() runs with the rights of its owner: it sees the rows of every organization'],
        ['attention', 'everything sends the rows of every organization in tasks'],
        ['attention', expect.stringContaining('shop.busy reads projects')],
        ['attention', expect.stringContaining('touched of projects calls shop.touch on updates')],
        ['attention', expect.stringMatching(/projects_lower of projects .* is not used under row security: lower\(\)/)],
      ]),
    )
  })
})

describe('with decisions', () => {
  const organizations = { table: 'teams', id: 'id' }

  test('a column may hold another unique column of the organization', async () => {
    const analysis = await analysed({
      organizations,
      tables: { invoices: { kind: 'tenant', way: { mapped: { column: 'customer', to: 'provider_id' } } } },
    })
    expect(found(analysis, 'invoices')).toEqual([
      ['unreached', 'decision', [{ id: 2 }]],
      ['no uuid', 'attention', undefined],
    ])
  })

  test('what is decided of lost rows and of keys into other organizations needs no decision any more', async () => {
    const way = { column: 'team_id' }
    const crossing = ['tasks_parent_id_fkey', 'tasks_workflow_id_fkey']
    const analysis = await analysed({
      organizations,
      tables: { tasks: { kind: 'tenant', way, unreached: 'quarantine', crossing } },
    })
    expect(found(analysis, 'tasks').map(([kind, needs]) => [kind, needs])).toEqual([
      ['nameless', 'attention'],
      ['crossing', 'attention'],
      ['crossing', 'attention'],
      ['no uuid', 'attention'],
    ])
  })

  test('a shared table, and one that is left, have no organization and no obstacle', async () => {
    const analysis = await analysed({
      organizations,
      tables: { plans: { kind: 'shared' }, people: { kind: 'people' }, events: { kind: 'left' } },
    })
    for (const table of ['plans', 'people', 'events']) expect(found(analysis, table)).toEqual([])
  })

  test('everything of one organization, or an organization for each person', async () => {
    const one = await analysed({ organizations: { constant: { name: 'All', slug: 'all' } } })
    expect(one.decisions.tables.plans).toEqual({ kind: 'tenant', way: 'constant' })
    expect(one.findings.filter(({ needs }) => needs === 'decision')).toEqual([])
    const each = await analysed({ organizations: { personal: { table: 'people', id: 'id' } } })
    expect(each.decisions.tables).toMatchObject({
      people: { kind: 'organizations' },
      tasks: { kind: 'tenant', way: { column: 'owner_id' } },
    })
    expect(each.decisions.tables.projects).toBeUndefined()
  })

  test('a key that is to be unique in each organization is looked at', async () => {
    const unique = [['slug'], ['team_id']]
    const tables: Decisions['tables'] = { projects: { kind: 'tenant', way: { column: 'team_id' }, unique } }
    const analysis = await analysed({ organizations, tables })
    expect(found(analysis, 'projects').filter(([kind]) => kind === 'duplicates')).toEqual([
      ['duplicates', 'mend', [{ id: 1 }, { id: 3 }]],
    ])
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
      expect(found(analysis, table)[0]).toEqual(['undecided', 'decision', undefined])
  })

  test.each<[string, Decisions['tables'], string]>([
    ['a circle', { tasks: { kind: 'tenant', way: { parent: 'tasks_parent_id_fkey' } } }, 'tasks → tasks'],
    ['a missing key', { tasks: { kind: 'tenant', way: { parent: 'nothing' } } }, 'nothing is no foreign key'],
    ['a missing column', { tasks: { kind: 'tenant', way: { column: 'nothing' } } }, 'tasks has no column nothing'],
    [
      'a column of the organization that is not unique',
      { invoices: { kind: 'tenant', way: { mapped: { column: 'customer', to: 'name' } } } },
      'teams has no unique key of name alone',
    ],
  ])('%s is refused', async (_, tables, message) => {
    await expect(analysed({ organizations, tables })).rejects.toThrow(message)
  })

  test('a decision about a table that is not there is told', async () => {
    const analysis = await analysed({ organizations, tables: { taks: { kind: 'shared' } } })
    expect(found(analysis, 'taks')).toEqual([['unknown table', 'decision', undefined]])
  })
})

test('nothing can be written meanwhile; a schema without tables and the one of tenantry are refused', async () => {
  const session = await openSession({ url: database.adminUrl })
  try {
    await expect(analyse(session, 'nowhere', undefined)).rejects.toThrow('there are no tables in nowhere')
    await expect(analyse(session, 'platform', undefined)).rejects.toThrow('platform is the schema of tenantry')
    await expect(session.query('delete from shop.visits')).rejects.toThrow('read-only transaction')
  } finally {
    await session.close()
  }
})
