// The mistakes by which others have lost rows when they brought tables under organizations. Each is made here in SQL on a copy of the same
// tables, so that the test shows that the fault is real. What happens to rows that are written meanwhile is in meanwhile.test.ts, what an
// interruption leaves in interruptions.test.ts.
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { analyse } from '../../src/adoption/analyse.js'
import type { Decisions } from '../../src/adoption/decisions.js'
import { plan, stepNames } from '../../src/adoption/plan.js'
import { fillRows, statusOf, takeStep } from '../../src/adoption/run-step.js'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, ownerSession, rowsOf, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

const organizations: Decisions['organizations'] = { table: 'teams', id: 'id', externalIds: 'none' }

/** Makes the tables of a script twice: in a schema that is adopted, and in one where the mistake is made. `S` stands for the schema. */
async function twice(schema: string, script: string) {
  const naive = `${schema}_naive`
  const inSchema = (text: string, name: string) => text.replaceAll(/\bS\b/g, name)
  for (const name of [schema, naive])
    await run(inSchema(`create schema S;\ncreate table S.teams (id int primary key, name text);\n${script}`, name))
  const query = async (sql: string) => database.admin.query(sql)
  return {
    adopted: (decisions: Partial<Decisions> = {}) =>
      adopting(database.adminUrl, schema, { organizations, ...decisions }),
    /** Statements in the schema of the mistake. */
    naively: (text: string) => run(inSchema(text, naive)),
    ask: (sql: string) => query(inSchema(sql, schema)),
    askNaive: (sql: string) => query(inSchema(sql, naive)),
  }
}

/** A session that is cut off at a statement. */
const stoppedAt = (session: Session, part: string): Session => ({
  ...session,
  query: (text, params) =>
    text.includes(part) ? Promise.reject(new Error('stopped here')) : session.query(text, params),
})

/** An organization is the id of a team here, which is enough to show what becomes of rows. */
const naiveColumn = 'alter table S.tasks add column org_id int'

test('a loop over rows without an organization never ends on an orphan, a keyset does', async () => {
  const { adopted, naively, ask, askNaive } = await twice(
    'orphans',
    `create table S.tasks (id int primary key, team_id int references S.teams);
insert into S.teams values (1, 'Orphans');
insert into S.tasks select n, case when n > 600 then 1 end from generate_series(1, 900) n`,
  )
  await naively(naiveColumn)
  const batch = () =>
    naively(
      `update S.tasks t set org_id = t.team_id where id in (select id from S.tasks where org_id is null order by id limit 100)`,
    )
  const open = 'select count(*)::int as rows from S.tasks where org_id is null'
  for (let turn = 0; turn < 20; turn++) {
    await batch()
    // It takes the same hundred orphans each time.
    expect(await askNaive(open)).toEqual([{ rows: 900 }])
  }

  const { take, fill } = await adopted({
    tables: { tasks: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' } },
  })
  await take('expand')
  // One batch of 500 rows, and then those of ten, the smallest.
  expect(await fill({ batchMs: 0.001 })).toMatchObject({
    isComplete: true,
    tables: [{}, { name: 'tasks', rows: 900, filled: 300, unreached: 600 }],
  })
  expect(await ask(open)).toEqual([{ rows: 600 }])
})

test('a backfill that fires triggers changes every row, ours changes none', async () => {
  const { adopted, naively, ask, askNaive } = await twice(
    'touched',
    `create table S.tasks (id int primary key, team_id int not null references S.teams, updated_at timestamptz not null default '2026-01-01');
create table S.log (id int generated always as identity primary key, task_id int not null references S.tasks on delete cascade);
create function S.touch() returns trigger language plpgsql as 'begin new.updated_at := now(); return new; end';
create function S.note() returns trigger language plpgsql as 'begin insert into S.log (task_id) values (new.id); return null; end';
create trigger touched before update on S.tasks for each row execute function S.touch();
create trigger noted after update on S.tasks for each row execute function S.note();
insert into S.teams values (1, 'Touched');
insert into S.tasks select n, 1 from generate_series(1, 50) n`,
  )
  const changed = `select count(*) filter (where updated_at > '2026-01-01')::int as changed, (select count(*)::int from S.log) as noted from S.tasks`
  await naively(`${naiveColumn};\nupdate S.tasks set org_id = team_id`)
  expect(await askNaive(changed)).toEqual([{ changed: 50, noted: 50 }])

  const { take, fill } = await adopted({ tables: { log: { kind: 'tenant', way: { parent: 'log_task_id_fkey' } } } })
  await take('expand')
  await fill()
  expect(await ask(changed)).toEqual([{ changed: 0, noted: 0 }])
  // Those of the application fire as before.
  await ask('update S.tasks set team_id = 1 where id = 7')
  expect(await ask(changed)).toEqual([{ changed: 1, noted: 1 }])
})

test('IF NOT EXISTS takes a column and an index of another meaning for its own, ours refuses both', async () => {
  const { adopted, naively, ask, askNaive } = await twice(
    'there',
    `create table S.tasks (id int primary key, team_id int not null references S.teams);
insert into S.teams values (1, 'There'), (2, 'Other');
insert into S.tasks values (1, 1), (2, 1)`,
  )
  // Since the plan somebody has added the organization of a government, and an index for it.
  const column = 'alter table S.tasks add column org_id uuid'
  const values = `update S.tasks set org_id = '00000000-0000-7000-8000-0000000000f1'`
  const index = 'create unique index tasks_pkey_org on S.tasks (id, team_id)'
  await naively(`${column};\n${values};\n${index}`)
  await naively('alter table S.tasks add column if not exists org_id uuid')
  await naively('create unique index if not exists tasks_pkey_org on S.tasks (org_id, id)')
  expect(
    await askNaive(
      `select min(t.org_id::text) as org_id, min(i.indexdef) as index from S.tasks t, pg_indexes i where i.schemaname = 'S' and i.indexname = 'tasks_pkey_org'`,
    ),
  ).toEqual([
    { org_id: '00000000-0000-7000-8000-0000000000f1', index: expect.stringMatching(/\(id, team_id\)$/) as string },
  ])

  const { session, plan: written, take, fill, undo } = await adopted()
  for (const statement of [column, values]) await ask(statement)
  const before = { rows: await rowsOf(session, 'there'), catalog: await catalogOf(session, 'there') }
  await expect(take('expand')).rejects.toThrow('tasks has got the column org_id')
  // Nothing is begun, so that no way back takes the column for ours.
  await undo()
  expect((await statusOf(session, written)).steps.every(({ state }) => state === 'pending')).toBe(true)
  expect(await catalogOf(session, 'there')).toEqual(before.catalog)
  expect(await rowsOf(session, 'there')).toEqual(before.rows)

  await ask('alter table S.tasks drop column org_id')

  // The same while the step is at work.
  const broken = stoppedAt(session, 'add column org_id')
  const begun = await rowsOf(session, 'there')
  await expect(takeStep(broken, written, 'expand')).rejects.toThrow('the connection was lost')
  for (const statement of [column, values]) await ask(statement)
  await expect(take('expand')).rejects.toThrow('column "org_id" of relation "tasks" already exists')
  await expect(undo()).rejects.toThrow('tasks.org_id is not as this adoption has made it: rename it if it is yours')
  expect(await rowsOf(session, 'there')).toEqual(before.rows)
  await ask('alter table S.tasks rename column org_id to government_id')
  await undo()
  await ask('alter table S.tasks drop column government_id')
  expect(await rowsOf(session, 'there')).toEqual(begun)

  await take('expand')
  await fill()
  await ask(index)
  await expect(take('prove')).rejects.toThrow('has a name that an index of tenantry is to get: rename it')
  await ask('drop index S.tasks_pkey_org')

  // And on the way back.
  await take('prove', 'swap', 'observe', 'enforce', 'contract')
  const adoptedRows = await rowsOf(session, 'there')
  for (const name of ['tasks_pkey_before', 'tasks_pkey_alone']) {
    await ask(`create index ${name} on S.tasks (team_id)`)
    await expect(undo()).rejects.toThrow(`there.${name} has a name that an index of tenantry is to get: rename it`)
    expect(await rowsOf(session, 'there')).toEqual(adoptedRows)
    await ask(`drop index S.${name}`)
  }
  await undo()
  expect(await rowsOf(session, 'there')).toEqual(begun)
})

test('a column of that name stays too where everything belongs to one organization', async () => {
  await run('create schema fixed;\ncreate table fixed.tasks (id int primary key)')
  const {
    session,
    plan: written,
    take,
    undo,
  } = await adopting(database.adminUrl, 'fixed', {
    organizations: { constant: { name: 'Fixed', slug: 'fixed' } },
  })
  await expect(takeStep(stoppedAt(session, 'add column org_id'), written, 'expand')).rejects.toThrow(
    'the connection was lost',
  )
  await run('alter table fixed.tasks add column org_id uuid default gen_random_uuid()')
  await expect(undo()).rejects.toThrow('tasks.org_id is not as this adoption has made it')
  await run('alter table fixed.tasks drop column org_id')
  await undo()
  await take('expand')
  await undo()
  expect((await catalogOf(session, 'fixed')).filter((line) => line.includes('org_id'))).toEqual([])
})

test('rows that are added between a backfill and the triggers have no organization, ours are filled from the first moment', async () => {
  const { adopted, naively, ask, askNaive } = await twice(
    'gap',
    `create table S.tasks (id int primary key, team_id int not null references S.teams);
insert into S.teams values (1, 'Gap');
insert into S.tasks values (1, 1)`,
  )
  await naively(`${naiveColumn};
update S.tasks set org_id = team_id;
insert into S.tasks values (2, 1);
create function S.fill() returns trigger language plpgsql as 'begin new.org_id := new.team_id; return new; end';
create trigger filled before insert on S.tasks for each row execute function S.fill();
insert into S.tasks (id, team_id) values (3, 1)`)
  const open = 'select id from S.tasks where org_id is null'
  expect(await askNaive(open)).toEqual([{ id: 2 }])
  await expect(naively('alter table S.tasks alter column org_id set not null')).rejects.toThrow('contains null values')

  const { session, plan: written, take, fill } = await adopted()
  await expect(fill()).rejects.toThrow('there is no column to fill yet: run tenantry adopt expand first')
  let added = 1
  // After each statement of the step, and between it and the next one, the application goes on.
  const watched: Session = {
    ...session,
    async query<Row>(text: string, params?: readonly unknown[]) {
      const rows = await session.query<Row>(text, params)
      if (text === 'commit') await ask(`insert into S.tasks (id, team_id) values (${++added}, 1)`)
      return rows
    },
  }
  await takeStep(watched, written, 'expand')
  expect(added).toBeGreaterThan(10)
  expect((await ask(open)).length).toBeGreaterThan(1)
  await fillRows(watched, written)
  expect(await ask(open)).toEqual([])
  await take('prove')
})

test('one forgotten row meets NOT NULL when all is done, ours are found before the first statement', async () => {
  const { adopted, naively, ask } = await twice(
    'forgotten',
    `create table S.tasks (id int primary key, team_id int references S.teams);
insert into S.teams values (1, 'Forgotten');
insert into S.tasks select n, 1 from generate_series(1, 100) n`,
  )
  const forgotten = 'insert into S.tasks (id, team_id) values (101, null)'
  await naively(`${forgotten};\n${naiveColumn};\nupdate S.tasks set org_id = team_id`)
  await expect(naively('alter table S.tasks alter column org_id set not null')).rejects.toThrow('contains null values')

  const { session, take, fill } = await adopted()
  await take('expand')
  await ask(forgotten)
  await fill()
  const before = await catalogOf(session, 'forgotten')
  await expect(take('prove')).rejects.toThrow(
    '1 rows of tasks have no organization, or another one than their way leads to',
  )
  expect(await catalogOf(session, 'forgotten')).toEqual(before)
  await ask('update S.tasks set team_id = 1 where id = 101')
  await take('prove')
  // And from then on none can be added.
  await expect(ask('insert into S.tasks (id, team_id) values (102, null)')).rejects.toThrow(
    'violates not-null constraint',
  )
})

test('a link table that is dropped before its rows are carried loses them, ours keep every link', async () => {
  const { adopted, naively, ask, askNaive } = await twice(
    'links',
    `create table S.tasks (id int primary key, team_id int not null references S.teams);
create table S.labels (id int primary key, team_id int not null references S.teams, name text);
create table S.task_labels (task_id int references S.tasks on delete cascade, label_id int references S.labels on delete cascade,
  at timestamptz not null default '2026-01-01', primary key (task_id, label_id));
create table S.label_pairs (a int not null references S.labels, b int not null references S.labels, unique (a, b), id int primary key);
insert into S.teams values (1, 'Links'), (2, 'Other links');
insert into S.tasks select n, 1 + n % 2 from generate_series(1, 20) n;
insert into S.labels select n, 1 + n % 2, 'label ' || n from generate_series(1, 10) n;
insert into S.task_labels select t.id, l.id from S.tasks t join S.labels l on l.team_id = t.team_id;
insert into S.label_pairs select a.id, b.id, a.id * 100 + b.id from S.labels a join S.labels b on b.team_id = a.team_id and b.id > a.id`,
  )
  const links = 'select count(*)::int as links from S.task_labels'
  expect(await askNaive(links)).toEqual([{ links: 100 }])
  // The new table is there, and the old one in its way: the rows were to be carried afterwards.
  await naively(`drop table S.task_labels;
create table S.task_labels (org_id int not null, task_id int, label_id int, primary key (org_id, task_id, label_id));
insert into S.task_labels select t.team_id, t.id, l.id from S.tasks t join S.labels l on false`)
  expect(await askNaive(links)).toEqual([{ links: 0 }])

  const {
    session,
    plan: written,
    take,
    fill,
    undo,
  } = await adopted({
    tables: {
      task_labels: { kind: 'tenant', way: { parent: 'task_labels_task_id_fkey' } },
      label_pairs: { kind: 'tenant', way: { parent: 'label_pairs_a_fkey' } },
    },
  })
  const before = { rows: await rowsOf(session, 'links'), catalog: await catalogOf(session, 'links') }
  for (const name of stepNames) {
    await take(name)
    if (name === 'expand') await fill()
    expect(await ask(links)).toEqual([{ links: 100 }])
  }
  const [key] = await ask(
    `select pg_get_constraintdef(oid) as key from pg_constraint where conrelid = 'S.task_labels'::regclass and contype = 'p'`,
  )
  expect(key).toEqual({ key: 'PRIMARY KEY (org_id, task_id, label_id)' })
  await expect(
    ask(`insert into S.task_labels (org_id, task_id, label_id) select org_id, 1, 2 from S.tasks where id = 1`),
  ).rejects.toThrow('task_labels_label_id_fkey')
  await undo()
  expect(await catalogOf(session, 'links')).toEqual(before.catalog)
  expect(await rowsOf(session, 'links')).toEqual(before.rows)
  expect((await statusOf(session, written)).steps.every(({ state }) => state === 'pending')).toBe(true)
})

test('two environments of one organization collide on what was unique in each, which is told before anything is changed', async () => {
  const { adopted, naively, ask, askNaive } = await twice(
    'merged',
    `create table S.environments (id int primary key, team_id int not null references S.teams, name text not null);
create table S.secrets (id int primary key, environment_id int not null references S.environments, key text not null, value text,
  unique (environment_id, key));
insert into S.teams values (1, 'Merged');
insert into S.environments values (1, 1, 'staging'), (2, 1, 'production');
insert into S.secrets values (1, 1, 'TOKEN', 'of staging'), (2, 2, 'TOKEN', 'of production'), (3, 2, 'PORT', '80')`,
  )
  const values = 'select value from S.secrets order by 1'
  await naively(`create table S.merged (org_id int, key text, value text, primary key (org_id, key));
insert into S.merged select e.team_id, s.key, s.value from S.secrets s join S.environments e on e.id = s.environment_id order by s.id
  on conflict do nothing;
drop table S.secrets;
alter table S.merged rename to secrets`)
  expect(await askNaive(values)).toEqual([{ value: '80' }, { value: 'of staging' }])

  const decisions: Decisions = {
    version: 1,
    schema: 'merged',
    organizations,
    tables: { secrets: { kind: 'tenant', way: { parent: 'secrets_environment_id_fkey' }, unique: [['key']] } },
  }
  const session = await ownerSession(database.adminUrl)
  const before = { rows: await rowsOf(session, 'merged'), catalog: await catalogOf(session, 'merged') }
  const { found } = await analyse(session, 'merged', decisions)
  expect(found.findings.filter(({ needs }) => needs !== 'attention')).toMatchObject([
    { table: 'secrets', kind: 'duplicates', rows: { count: 2, sample: [{ id: '1' }, { id: '2' }] } },
  ])
  await expect(plan(session, decisions)).rejects.toThrow(
    'secrets has rows with the same key as another row of their organization: change or merge them, or take key out of "unique", ' +
      'so that the keys of the table stay as they are beside the organization',
  )
  expect(await catalogOf(session, 'merged')).toEqual(before.catalog)
  expect(await rowsOf(session, 'merged')).toEqual(before.rows)

  // Without that wish the environment stays in the key, and nothing collides.
  const { take, fill } = await adopted()
  await take('expand')
  await fill()
  await take('prove', 'swap')
  expect(await ask(values)).toEqual([{ value: '80' }, { value: 'of production' }, { value: 'of staging' }])
})

test('CASCADE takes what depends on a column with it, ours fails and goes on once that is mended', async () => {
  const { adopted, naively, ask, askNaive } = await twice(
    'depending',
    `create table S.tasks (id int primary key, team_id int not null references S.teams, title text);
create table S.notes (id int primary key, task_id int not null references S.tasks);
create index notes_task on S.notes (task_id);
insert into S.teams values (1, 'Depending');
insert into S.tasks select n, 1, 'task ' || n from generate_series(1, 10) n;
insert into S.notes select n, n from generate_series(1, 10) n`,
  )
  await naively(`${naiveColumn};
update S.tasks set org_id = team_id;
alter table S.tasks add unique (org_id, id);
create table S.assignments (org_id int, task_id int, foreign key (org_id, task_id) references S.tasks (org_id, id));
create view S.owned as select org_id, count(*) from S.tasks group by org_id;
insert into S.assignments values (1, 1);
alter table S.tasks drop column org_id cascade;
delete from S.notes where task_id = 1;
delete from S.tasks where id = 1`)
  // The view is gone, and the assignment is one of a task that is not there.
  expect(
    await askNaive(
      `select to_regclass('S.owned') as view, count(*)::int as orphans from S.assignments a left join S.tasks t on t.id = a.task_id where t.id is null`,
    ),
  ).toEqual([{ view: null, orphans: 1 }])

  const { session, plan: written, take, fill, undo } = await adopted()
  const texts = await Promise.all(
    readdirSync(written.set.folder)
      .filter((file) => file.endsWith('.sql'))
      .map((file) => readFile(join(written.set.folder, file), 'utf8')),
  )
  expect(texts.join('\n').replaceAll(/on (?:delete|update) cascade/gi, '')).not.toMatch(/cascade;|cascade\s*$/im)
  const before = { rows: await rowsOf(session, 'depending'), catalog: await catalogOf(session, 'depending') }
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe', 'enforce')

  // A view on what the step drops.
  await ask(`create view S.counted as select * from ${written.home}.observed_tables`)
  await expect(take('contract')).rejects.toThrow(
    'cannot drop table tenantry_adopt_depending.observed_tables because other objects depend on it',
  )
  expect(await ask('select count(*)::int as rows from S.counted')).toEqual([{ rows: 2 }])
  await ask('drop view S.counted')
  await take('contract')

  // New code that relies on the organization, and the way back.
  const added = [
    'create table S.assignments (org_id uuid, task_id int, foreign key (org_id, task_id) references S.tasks (org_id, id))',
    'insert into S.assignments select org_id, id from S.tasks where id = 1',
    'create view S.owned as select org_id, count(*)::int as tasks from S.tasks group by org_id',
  ]
  for (const statement of added) await ask(statement)
  const rows = await rowsOf(session, 'depending')
  await expect(undo()).rejects.toThrow(/tasks_pkey.*because other objects depend on it/)
  await ask('alter table S.assignments drop constraint assignments_org_id_task_id_fkey')
  await expect(undo()).rejects.toThrow(
    'cannot drop column org_id of table depending.tasks because other objects depend on it',
  )
  expect(await ask('select tasks from S.owned')).toEqual([{ tasks: 10 }])
  expect(await rowsOf(session, 'depending')).toMatchObject({ assignments: rows.assignments })
  await ask('drop view S.owned')
  await ask('drop table S.assignments')
  await undo()
  expect(await catalogOf(session, 'depending')).toEqual(before.catalog)
  expect(await rowsOf(session, 'depending')).toEqual(before.rows)
})
