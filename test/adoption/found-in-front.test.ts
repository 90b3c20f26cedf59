// What would stop a step half way is told before, and what a step can cope with does not stop it.
import { expect, test } from 'vitest'
import { analyse } from '../../src/adoption/analyse.js'
import type { Decisions } from '../../src/adoption/decisions.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, ownerSession, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

const teams = { organizations: { table: 'teams', id: 'id', externalIds: 'none' } } as const

async function findings(schema: string, decisions: Partial<Decisions> = {}) {
  const session = await ownerSession(database.adminUrl)
  const { found } = await analyse(session, schema, { version: 1, schema, tables: {}, ...teams, ...decisions })
  return found.findings
}

test('a deferrable foreign key that leads to the organization is told, since no child is written before its parent', async () => {
  await run(`
create schema deferred;
create table deferred.teams (id int primary key, name text);
create table deferred.projects (id int primary key, team_id int not null references deferred.teams);
create table deferred.tasks (id int primary key, project_id int not null references deferred.projects deferrable initially deferred, next int references deferred.tasks deferrable);
insert into deferred.teams values (1, 'one')`)
  expect((await findings('deferred')).filter(({ kind }) => kind === 'deferrable')).toEqual([
    expect.objectContaining({
      table: 'tasks',
      needs: 'attention',
      message: expect.stringMatching(
        /^tasks_project_id_fkey of tasks is deferrable, and leads to the organization: from prove on, a row that is written before the row of projects/,
      ) as unknown,
    }),
  ])
})

test('what depends on a key that the swap replaces is told by analyse, and by the swap before it replaces one', async () => {
  await run(`
create schema bodies;
create table bodies.teams (id int primary key, name text);
create table bodies.tasks (id int primary key, team_id int not null references bodies.teams, title text, code text unique);
create table bodies.notes (id int primary key, task_id int not null references bodies.tasks);
insert into bodies.teams values (1, 'one');
insert into bodies.tasks values (1, 1, 'a', 'a')`)
  const grouped = `create function bodies.titles() returns setof text begin atomic select t.title from bodies.tasks t group by t.id; end`
  const written = `create function bodies.write() returns void begin atomic insert into bodies.tasks values (1, 1, 'b', 'a') on conflict on constraint tasks_code_key do nothing; end`
  await run(grouped)
  await run(written)
  const told = [
    'function bodies.titles() depends on tasks_pkey of tasks, which the swap replaces',
    'function bodies.write() depends on tasks_code_key of tasks, which the swap replaces',
  ]
  const mend = (await findings('bodies')).filter(({ needs }) => needs === 'mend').map(({ message }) => message)
  expect(mend.toSorted().map((message) => message.split(':')[0])).toEqual(told)
  await run('drop function bodies.titles();\ndrop function bodies.write()')

  const { session, take, fill, undo } = await adopting(database.adminUrl, 'bodies', teams)
  await take('expand')
  await fill()
  await take('prove')
  const before = await catalogOf(session, 'bodies')
  for (const [made, name, key] of [
    [grouped, 'titles', 'tasks_pkey'],
    [written, 'write', 'tasks_code_key'],
  ]) {
    await run(String(made))
    await expect(take('swap')).rejects.toThrow(`function bodies.${name}() depends on ${key} of bodies.tasks`)
    await run(`drop function bodies.${name}()`)
    expect(await catalogOf(session, 'bodies')).toEqual(before)
  }
  await take('swap')
  const swapped = await catalogOf(session, 'bodies')
  await run(grouped.replace('t.id;', 't.org_id, t.id;'))
  await expect(undo('prove')).rejects.toThrow('function bodies.titles() depends on tasks_pkey of bodies.tasks')
  await run('drop function bodies.titles()')
  expect(await catalogOf(session, 'bodies')).toEqual(swapped)
  await undo()
})

test('rules of a table are silent while its rows are filled, put aside and brought back', async () => {
  await run(`
create schema ruled;
create table ruled.teams (id int primary key, name text);
create table ruled.written (id int, event text);
create table ruled.tasks (id int primary key, team_id int references ruled.teams);
insert into ruled.teams values (1, 'one');
insert into ruled.tasks values (1, 1), (2, null);
create rule also as on update to ruled.tasks do also insert into ruled.written values (new.id, 'update');
create rule gone as on delete to ruled.tasks do also insert into ruled.written values (old.id, 'delete');
create rule made as on insert to ruled.tasks do also insert into ruled.written values (new.id, 'insert')`)
  const tables: Decisions['tables'] = {
    written: { kind: 'left' },
    tasks: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' },
  }
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'ruled', { ...teams, tables })
  await take('expand')
  await fill()
  await take('prove')
  expect(await session.query('select id from ruled.tasks')).toEqual([{ id: 1 }])
  await undo()
  expect(await session.query('select id from ruled.tasks order by id')).toEqual([{ id: 1 }, { id: 2 }])
  expect(await session.query('select * from ruled.written')).toEqual([])

  await run('alter table ruled.tasks enable always rule also')
  expect((await findings('ruled', { tables })).map(({ message }) => message)).toContain(
    'also of tasks is a rule that fires while rows are filled too: `alter table … enable rule` without ALWAYS and REPLICA',
  )
})

test('a foreign key of which the triggers are disabled is told, since the one of the swap would have enabled ones', async () => {
  await run(`
create schema muted;
create table muted.teams (id int primary key, name text);
create table muted.tasks (id int primary key, team_id int not null references muted.teams, next int references muted.tasks);
alter table muted.tasks disable trigger all`)
  const mend = (await findings('muted')).filter(({ needs }) => needs === 'mend').map(({ message }) => message)
  expect(mend).toEqual([
    'tasks_next_fkey of tasks has disabled triggers, and is not checked; the key of the swap would be: `alter table … enable trigger all` for tasks and tasks, or drop it',
    'tasks_team_id_fkey of tasks has disabled triggers, and is not checked; the key of the swap would be: `alter table … enable trigger all` for tasks and teams, or drop it',
  ])
})

test('a foreign key that the server does not enforce is told with what makes it so', async () => {
  const [{ version } = { version: 0 }] = await database.admin.query<{ version: number }>(
    `select current_setting('server_version_num')::int as version`,
  )
  await run(`
create schema slack;
create table slack.teams (id int primary key, name text);
create table slack.tasks (id int primary key, team_id int not null references slack.teams, next int);
alter table slack.tasks add constraint next foreign key (next) references slack.tasks ${version < 180_000 ? 'not valid' : 'not enforced'}`)
  const mend = (await findings('slack')).filter(({ needs }) => needs === 'mend').map(({ message }) => message)
  expect(mend).toEqual([
    version < 180_000
      ? 'next of tasks was not validated for every row: `alter table … validate constraint`'
      : 'next of tasks is NOT ENFORCED, so that rows may refer to none: `alter table … alter constraint … enforced`, or drop it',
  ])
})
