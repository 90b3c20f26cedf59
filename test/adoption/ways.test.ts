import { describe, expect, test } from 'vitest'
import { analyse } from '../../src/adoption/analyse.js'
import type { Decisions } from '../../src/adoption/decisions.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, ownerSession, rowsOf, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

const analysed = async (schema: string, decisions: Partial<Decisions> = {}) =>
  (
    await analyse(await ownerSession(database.adminUrl), schema, {
      version: 1,
      schema,
      organizations: null,
      tables: {},
      ...decisions,
    })
  ).found

describe('a row that belongs to one parent or to another', () => {
  test('gets the organization of the one that it has, all the way and back', async () => {
    await run(`
create schema papers;
create table papers."Person" (id serial primary key, email text not null);
create table papers."Team" (id serial primary key, name text not null, url text not null unique);
create table papers."Paper" (id serial primary key, "teamId" int references papers."Team" on update cascade on delete set null,
  "ownerId" int not null references papers."Person" on update cascade on delete cascade);
create table papers."Form" (id text primary key, "teamId" int references papers."Team" on update cascade on delete cascade,
  "ownerId" int not null references papers."Person" on update cascade on delete cascade);
create table papers."Box" (id serial primary key, "paperId" int references papers."Paper" on update cascade on delete cascade,
  "formId" text references papers."Form" on update cascade on delete cascade, label text not null, check (("paperId" is null) <> ("formId" is null)));
insert into papers."Person" (email) select n || '@example.com' from generate_series(1, 4) n;
insert into papers."Team" (name, url) select 'Team ' || n, 't' || n from generate_series(1, 3) n;
insert into papers."Paper" ("teamId", "ownerId") select nullif(n % 4, 0), 1 + n % 4 from generate_series(1, 40) n;
insert into papers."Form" select 'cForm' || n, nullif(n % 4, 0), 1 + n % 4 from generate_series(1, 40) n;
insert into papers."Box" ("paperId", "formId", label) select case when n % 2 = 0 then 1 + n % 40 end, case when n % 2 = 1 then 'cForm' || 1 + n % 40 end,
  'box' || n from generate_series(1, 400) n
`)
    const owned = { kind: 'tenant', way: { column: 'teamId' }, unreached: { personal: 'ownerId' } } as const
    const either = [{ parent: 'Box_paperId_fkey' }, { parent: 'Box_formId_fkey' }]
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'papers', {
      organizations: { table: 'Team', id: 'id', slug: 'url' },
      tables: { Person: { kind: 'people' }, Paper: owned, Form: owned, Box: { kind: 'tenant', way: { either } } },
    })
    const before = { rows: await rowsOf(session, 'papers'), catalog: await catalogOf(session, 'papers') }
    await take('expand')
    expect(await fill()).toMatchObject({ isComplete: true })
    const wrong = `select count(*)::int as count from papers."Box" b left join papers."Paper" p on p.id = b."paperId" left join papers."Form" f on f.id = b."formId"
      where b.org_id is distinct from coalesce(p.org_id, f.org_id)`
    expect(await session.query(wrong)).toEqual([{ count: 0 }])
    // A new row of each kind, and one that moves from a paper to a form of another organization.
    await run(`insert into papers."Box" ("paperId", label) values (1, 'new'), (2, 'new');
insert into papers."Box" ("formId", label) values ('cForm3', 'new'), ('cForm4', 'new');
update papers."Box" set "paperId" = null, "formId" = 'cForm2' where id = (select max(id) - 3 from papers."Box")`)
    expect(await session.query(wrong)).toEqual([{ count: 0 }])
    await run(`delete from papers."Box" where label = 'new'`)
    await take('prove', 'swap', 'observe', 'enforce', 'contract')
    await undo()
    expect(await rowsOf(session, 'papers')).toEqual(before.rows)
    expect(await catalogOf(session, 'papers')).toEqual(before.catalog)
  })

  test('is found where its two parents are of different organizations', async () => {
    await run(`
create schema twins;
create table twins.teams (id int primary key);
create table twins.papers (id int primary key, team_id int references twins.teams);
create table twins.forms (id int primary key, team_id int not null references twins.teams);
create table twins.boxes (id int primary key, paper_id int references twins.papers, form_id int references twins.forms);
insert into twins.teams values (1), (2);
insert into twins.papers values (1, 1), (2, 2), (3, null);
insert into twins.forms values (1, 1), (2, 2);
insert into twins.boxes values (1, 1, 1), (2, 1, 2), (3, null, 2), (4, 2, null), (5, null, null), (6, 3, null)
`)
    const either = [{ parent: 'boxes_paper_id_fkey' }, { parent: 'boxes_form_id_fkey' }]
    const { findings } = await analysed('twins', { tables: { boxes: { kind: 'tenant', way: { either } } } })
    const found = findings.filter(({ table, needs }) => table === 'boxes' && needs === 'decision')
    expect(found.map(({ kind, rows }) => [kind, rows?.sample])).toEqual([
      ['nameless', [{ id: '5' }]],
      ['unreached', [{ id: '6' }]],
      ['crossing', [{ id: '2' }]],
    ])
  })
})

describe('several foreign keys that are as short', () => {
  test('need a decision where they do not agree about all rows, or one reaches rows that the first does not', async () => {
    await run(`
create schema several;
create table several.teams (id int primary key);
create table several.papers (id int primary key, team_id int not null references several.teams);
create table several.pens (id int primary key, team_id int not null references several.teams);
create table several.marks (id int primary key, paper_id int not null references several.papers, pen_id int references several.pens);
create table several.notes (id int primary key, paper_id int references several.papers, pen_id int references several.pens);
create table several.lines (id int primary key, paper_id int not null references several.papers, pen_id int references several.pens);
create table several.loans (id int primary key, from_id int not null references several.teams, to_id int not null references several.teams);
insert into several.teams values (1), (2);
insert into several.papers values (1, 1), (2, 2);
insert into several.pens values (1, 1), (2, 2);
insert into several.marks values (1, 1, 1), (2, 2, 2), (3, 2, null);
insert into several.notes values (1, 1, 1), (2, 1, 2), (3, null, 2), (4, null, null), (5, 2, null);
insert into several.loans values (1, 1, 1)
`)
    const { findings, tables } = await analysed('several')
    const found = findings.filter(({ kind }) => kind === 'several ways').map(({ table, rows }) => [table, rows?.sample])
    // Nothing is known of a table without rows, and nothing makes two columns agree.
    expect(found).toEqual([
      ['lines', undefined],
      ['loans', undefined],
      ['notes', [{ id: '2' }, { id: '3' }]],
    ])
    expect(tables.marks).toMatchObject({ way: { parent: 'marks_paper_id_fkey' }, isProposed: true })
  })

  test('one that is never null counts before a shorter one that may be', async () => {
    await run(`
create schema longer;
create table longer.teams (id int primary key);
create table longer.fees (id int primary key, team_id int not null references longer.teams);
create table longer.plans (id int primary key, team_id int not null references longer.teams);
create table longer.notes (id int primary key, plan_id int not null references longer.plans);
create table longer.items (id int primary key, fee_id int references longer.fees, note_id int not null references longer.notes);
create table longer.marks (id int primary key, fee_id int references longer.fees)
`)
    const { tables } = await analysed('longer')
    expect(tables).toMatchObject({
      items: { way: { parent: 'items_note_id_fkey' } },
      marks: { way: { parent: 'marks_fee_id_fkey' } },
    })
  })

  test('a column is a row of the table of that name, and not of one that has the same row as its key', async () => {
    await run(`
create schema keyed;
create table keyed.teams (id text primary key);
create table keyed.projects (id text primary key, team_id text not null references keyed.teams);
create table keyed.settings (project_id text primary key references keyed.projects);
create table keyed.alarms (project_id text primary key references keyed.projects);
create table keyed.files (id text primary key, project_id text not null);
create table keyed.visit (visit_no text primary key, project_id text not null references keyed.projects);
create table keyed.calls (visit_no text primary key references keyed.visit);
create table keyed.marks (id text primary key, visit_no text not null)
`)
    const { tables } = await analysed('keyed')
    expect(tables).toMatchObject({
      files: { ways: [{ row: { column: 'project_id', of: 'projects' } }] },
      marks: { ways: [{ row: { column: 'visit_no', of: 'visit' } }] },
    })
  })

  test('a column that is only named after a table does not count beside them', async () => {
    await run(`
create schema guessed;
create table guessed.teams (id int primary key);
create table guessed.papers (id int primary key, team_id int not null references guessed.teams);
create table guessed.sheets (id int primary key, paper_id int not null references guessed.papers);
create table guessed.pens (id int primary key, team_id int not null references guessed.teams);
create table guessed.lines (id int primary key, sheet_id int not null references guessed.sheets, pen_id int not null);
create table guessed.dots (id int primary key, line_id int not null)
`)
    const { tables } = await analysed('guessed')
    expect(tables).toMatchObject({
      lines: { ways: [{ parent: 'lines_sheet_id_fkey' }] },
      dots: { ways: [{ row: { column: 'line_id', of: 'lines' } }] },
    })
  })
})

describe('tables without foreign keys', () => {
  const script = (schema: string) => `
create schema ${schema};
create table ${schema}."user" (user_id uuid primary key default gen_random_uuid(), username varchar(255) not null unique);
create table ${schema}.team (team_id uuid primary key default gen_random_uuid(), name varchar(50) not null);
create table ${schema}.site (site_id uuid primary key default gen_random_uuid(), user_id uuid, team_id uuid, name varchar(100) not null);
create table ${schema}.visit (visit_id uuid primary key default gen_random_uuid(), site_id uuid not null, browser varchar(20));
create table ${schema}.mark (id serial primary key, visit_id uuid not null, site_id int, label text);
insert into ${schema}."user" (username) select 'u' || n from generate_series(1, 3) n;
insert into ${schema}.team (name) select 'Team ' || n from generate_series(1, 2) n;
insert into ${schema}.site (team_id, name) select team_id, 'site of ' || name from ${schema}.team;
insert into ${schema}.site (user_id, name) select user_id, 'site of ' || username from ${schema}."user";
insert into ${schema}.visit (site_id, browser) select site_id, 'b' || n from ${schema}.site, generate_series(1, 20) n;
insert into ${schema}.mark (visit_id, label) select visit_id, browser from ${schema}.visit`

  test('follow columns that are named after a table and have the type of its key', async () => {
    await run(script('named'))
    const { tables } = await analysed('named')
    expect(Object.fromEntries(Object.entries(tables).map(([name, { kind, way }]) => [name, way ?? kind]))).toEqual({
      team: 'organizations',
      user: undefined,
      site: { column: 'team_id' },
      visit: { row: { column: 'site_id', of: 'site' } },
      mark: { row: { column: 'visit_id', of: 'visit' } },
    })
  })

  test('go all the way and back, and rows without a team go to the person that a column names', async () => {
    await run(script('loose'))
    const nobody = '00000000-0000-4000-8000-000000000000'
    await run(`insert into loose.site (user_id, name) values ('${nobody}', 'site of nobody')`)
    const unreached = { personal: { column: 'user_id', of: 'user' } }
    const tables: Decisions['tables'] = {
      user: { kind: 'people' },
      site: { kind: 'tenant', way: { column: 'team_id' }, unreached },
    }
    const { findings } = await analysed('loose', { tables })
    expect(findings.filter(({ needs }) => needs === 'decision').map(({ kind, rows }) => [kind, rows?.count])).toEqual([
      ['unresolved', 1],
    ])
    await run(`delete from loose.site where user_id = '${nobody}'`)

    const { session, take, fill, undo } = await adopting(database.adminUrl, 'loose', { tables })
    const before = { rows: await rowsOf(session, 'loose'), catalog: await catalogOf(session, 'loose') }
    await take('expand')
    await run(`insert into loose.visit (site_id, browser) select site_id, 'new' from loose.site`)
    expect(await fill()).toMatchObject({ isComplete: true })
    await run(
      `update loose.visit set site_id = (select site_id from loose.site where name = 'site of u1') where browser = 'new'`,
    )
    expect(
      await session.query(
        `select count(distinct o.id)::int as organizations, count(*)::int as visits, count(*) filter (where v.org_id = s.org_id)::int as same
         from loose.visit v join loose.site s using (site_id) join platform.organizations o on o.id = v.org_id`,
      ),
    ).toEqual([{ organizations: 5, visits: 105, same: 105 }])
    await take('prove', 'swap', 'observe', 'enforce')
    // No foreign key takes the visits along when a site moves, so that the next step looks again.
    const move = (from: string, to: string) =>
      run(
        `update loose.site set team_id = (select team_id from loose.team where name = '${to}') where name = 'site of ${from}'`,
      )
    await move('Team 1', 'Team 2')
    await expect(take('contract')).rejects.toThrow(
      '20 rows of visit have no organization, or another one than their way',
    )
    await move('Team 1', 'Team 1')
    await take('contract')
    await undo()
    await run(`delete from loose.visit where browser = 'new'`)
    expect(await rowsOf(session, 'loose')).toEqual(before.rows)
    expect(await catalogOf(session, 'loose')).toEqual(before.catalog)
  })

  test.each<[string, Decisions['tables'], string]>([
    [
      'a table that is not there',
      { visit: { kind: 'tenant', way: { row: { column: 'site_id', of: 'sites' } } } },
      'there is no table sites',
    ],
    [
      'a table with a key of two columns',
      { visit: { kind: 'tenant', way: { row: { column: 'site_id', of: 'pair' } } } },
      'pair has no primary key of one column',
    ],
    [
      'a person by a column without a foreign key',
      { site: { kind: 'tenant', way: { column: 'team_id' }, unreached: { personal: 'user_id' } } },
      'write { "column": "user_id", "of": … } with their table',
    ],
    [
      'people with a key of two columns',
      {
        site: {
          kind: 'tenant',
          way: { column: 'team_id' },
          unreached: { personal: { column: 'user_id', of: 'pair' } },
        },
      },
      'pair has no primary key of one column',
    ],
  ])('%s is refused', async (name, tables, message) => {
    const schema = `refused_${name.replaceAll(/\W/g, '_')}`.slice(0, 40)
    await run(`${script(schema)};\ncreate table ${schema}.pair (a int, b int, primary key (a, b))`)
    await expect(analysed(schema, { tables })).rejects.toThrow(message)
  })
})

describe('the organizations that are proposed', () => {
  test.each<[string, string, object | null]>([
    [
      'beside teams, accounts and customers are something else',
      `create table "Team" (id text primary key);
create table customers (id int primary key, "teamId" text not null references "Team");
create table "Account" (id text primary key, customer_id int not null references customers)`,
      { table: 'Team', id: 'id' },
    ],
    [
      'accounts to which no row refers are those of people at providers',
      `create table users (id text primary key);
create table "Account" (id text primary key, user_id text not null references users)`,
      null,
    ],
    [
      'accounts to which rows refer are organizations',
      `create table accounts (id int primary key);
create table tasks (id int primary key, account_id int references accounts)`,
      { table: 'accounts', id: 'id' },
    ],
    [
      'without foreign keys in the schema, accounts are organizations',
      `create table accounts (id int primary key);
create table tasks (id int primary key, account_id int)`,
      { table: 'accounts', id: 'id' },
    ],
  ])('%s', async (name, tables, organizations) => {
    const schema = name.replaceAll(/\W/g, '_').slice(0, 40)
    await run(`create schema "${schema}"`)
    await run(
      tables.replaceAll(/create table ("?\w+)|references ("?\w+)/g, (text) => text.replace(/("?\w+)$/, `${schema}.$1`)),
    )
    expect((await analysed(schema)).organizations).toEqual(organizations)
  })
})

test('the id of a row itself is no half of a polymorphic pair', async () => {
  await run(`
create schema shares;
create table shares.team (team_id int primary key);
create table shares.share (share_id int primary key, share_type int not null, entity_id int not null)
`)
  const { findings } = await analysed('shares')
  expect(findings.filter(({ table }) => table === 'share').map(({ message }) => message)).toEqual([
    'no way leads from share to an organization',
  ])
})

test('a table with a unique index and without a primary key is told the statement that makes the one of the other', async () => {
  await run(`
create schema keyless;
create table keyless."Team" (id int primary key);
create table keyless."Settings" ("teamId" int not null references keyless."Team", "memberId" int, place int not null, label text not null);
create unique index "Settings_memberId_key" on keyless."Settings" ("memberId");
create unique index "Settings_place_key" on keyless."Settings" (place) where place > 0;
create unique index "Settings_first_key" on keyless."Settings" (place desc);
create unique index "Settings_pattern_key" on keyless."Settings" (label text_pattern_ops);
create unique index "Settings_sum_key" on keyless."Settings" ((place + "teamId"));
alter table keyless."Settings" add constraint "Settings_place_teamId_key" unique (place, "teamId")
`)
  const told = async () =>
    (await analysed('keyless')).findings.flatMap(({ kind, message }) => (kind === 'no primary key' ? [message] : []))
  expect(await told()).toEqual(['Settings has no primary key: add one, or give the table the kind "left"'])
  await run(`create unique index "Settings_teamId_key" on keyless."Settings" ("teamId", place)`)
  expect(await told()).toEqual([
    'Settings has no primary key: `alter table … add primary key using index "Settings_teamId_key"`, or give the table the kind "left"',
  ])
  await run(`alter table keyless."Settings" add primary key using index "Settings_teamId_key"`)
  expect(await told()).toEqual([])
})

test('a table of people stays as it is, whatever it has', async () => {
  await run(`
create schema persons;
create table persons.teams (id int primary key);
create table persons.tokens (identifier text not null, token text not null unique)
`)
  const { findings } = await analysed('persons', { tables: { tokens: { kind: 'people' } } })
  expect(findings.filter(({ table }) => table === 'tokens')).toEqual([])
})

test('the two columns of a way may have collations of their own', async () => {
  await run(`
create schema collated;
create table collated.teams (id text collate "C" primary key, name text);
create table collated.boards (code text collate "C" primary key, team_id text collate "POSIX" not null references collated.teams);
create table collated.cards (id int primary key, board text collate "POSIX" not null references collated.boards);
create table collated.notes (id int primary key, card_board text collate "POSIX" not null);
insert into collated.teams values ('a', 'Collated A'), ('b', 'Collated B');
insert into collated.boards values ('x', 'a'), ('y', 'b');
insert into collated.cards values (1, 'x'), (2, 'y');
insert into collated.notes values (1, 'x'), (2, 'y')
`)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'collated', {
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
    tables: { notes: { kind: 'tenant', way: { row: { column: 'card_board', of: 'boards' } } } },
  })
  const before = await catalogOf(session, 'collated')
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe', 'enforce', 'contract')
  for (const table of ['cards', 'notes'])
    expect(
      await session.query(
        `select t.id, o.name from collated.${table} t join platform.organizations o on o.id = t.org_id order by 1`,
      ),
    ).toEqual([
      { id: 1, name: 'Collated A' },
      { id: 2, name: 'Collated B' },
    ])
  await undo()
  expect(await catalogOf(session, 'collated')).toEqual(before)
})

test('a table of the name that migration tools use is one of rows where it has a foreign key', async () => {
  await run(`
create schema moves;
create table moves.teams (id int primary key);
create table moves.migrations (id int primary key, team_id int not null references moves.teams);
create table moves.knex_migrations (id int primary key, name text)
`)
  const { tables } = await analysed('moves')
  expect(tables.migrations).toMatchObject({ kind: 'tenant', way: { column: 'team_id' } })
  expect(tables.knex_migrations).toMatchObject({ kind: 'left' })
})

test('sequences are told of which columns take their defaults, whether they own them or not', async () => {
  await run(`
create schema numbered;
create sequence numbered.shared_numbers;
create table numbered.teams (id int primary key);
create table numbered.tasks (id int primary key default nextval('numbered.shared_numbers'), no serial, team_id int not null references numbered.teams)
`)
  const { findings } = await analysed('numbered')
  expect(findings.find(({ kind }) => kind === 'sequence')?.message).toContain(
    "allowRelations: ['numbered.shared_numbers', 'numbered.tasks_no_seq']",
  )
})
