import { describe, expect, onTestFinished, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, rowsOf, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

describe('what changed since the plan', () => {
  const tasks = `
create schema drift;
create table drift.teams (id uuid primary key);
create table drift.projects (id int primary key, team_id uuid not null references drift.teams);
create table drift.tasks (id int primary key, team_id uuid not null references drift.teams, project_id int not null references drift.projects);
insert into drift.teams values ('00000000-0000-7000-8000-0000000000d1'), ('00000000-0000-7000-8000-0000000000d2');
insert into drift.projects values (1, '00000000-0000-7000-8000-0000000000d1'), (2, '00000000-0000-7000-8000-0000000000d2');
insert into drift.tasks values (1, '00000000-0000-7000-8000-0000000000d1', 1)
`

  test('is refused before a step, and rows that cross stop prove, which can be undone', async () => {
    await run(tasks)
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'drift', {
      tables: { tasks: { kind: 'tenant', way: { column: 'team_id' } } },
    })
    const before = { rows: await rowsOf(session, 'drift'), catalog: await catalogOf(session, 'drift') }
    await take('expand')
    await fill()
    for (const [change, back, message] of [
      [
        'create policy later on drift.tasks using (true)',
        'drop policy later on drift.tasks',
        'tasks has got the policy later',
      ],
      [
        'alter table drift.tasks add note text',
        'alter table drift.tasks drop note',
        'tasks has got the column note text',
      ],
      [
        'create table drift.marks (id int primary key, task_id int references drift.tasks on delete cascade)',
        'drop table drift.marks',
        'drift.marks refers to tasks by marks_task_id_fkey',
      ],
      [
        `create trigger later before update on drift.tasks for each row execute function suppress_redundant_updates_trigger()`,
        'drop trigger later on drift.tasks',
        'tasks has got the trigger later',
      ],
      [
        'alter table drift.tasks drop constraint tasks_team_id_fkey',
        'alter table drift.tasks add foreign key (team_id) references drift.teams',
        'tasks has lost the foreign key tasks_team_id_fkey',
      ],
    ] as const) {
      await run(change)
      await expect(take('prove')).rejects.toThrow(message)
      await run(back)
    }
    // A row that crosses came after the plan: half of the step is taken.
    await run('insert into drift.tasks (id, team_id, project_id) select 2, id, 2 from drift.teams order by id limit 1')
    await expect(take('prove')).rejects.toThrow(/tasks_project_id_fkey_org.*undo the step with tenantry adopt down/s)
    await undo('expand')
    await expect(take('prove')).rejects.toThrow('tasks_project_id_fkey_org')
    await run('delete from drift.tasks where id = 2')
    await take('prove', 'swap')
    await undo()
    expect(await catalogOf(session, 'drift')).toEqual(before.catalog)
    expect(await rowsOf(session, 'drift')).toEqual(before.rows)
  })

  test('is refused too where it is the table of the organizations, or that of people by whom rows are resolved', async () => {
    await run(`
create schema roots;
create table roots.teams (id int primary key, name text, slug text, note text);
create table roots.users (id int primary key, email text);
create table roots.tasks (id int primary key, team_id int, owner_id int);
insert into roots.teams values (1, 'Roots', 'roots');
insert into roots.users values (1, 'roots@example.com');
insert into roots.tasks values (1, 1, 1), (2, null, 1)
`)
    const { take, fill } = await adopting(database.adminUrl, 'roots', {
      organizations: { table: 'teams', id: 'id', externalIds: 'none' },
      tables: {
        users: { kind: 'people' },
        tasks: {
          kind: 'tenant',
          way: { column: 'team_id' },
          unreached: { personal: { column: 'owner_id', of: 'users' } },
        },
      },
    })
    const changes = [
      [
        'alter table roots.teams rename column slug to handle',
        'alter table roots.teams rename column handle to slug',
        'teams has lost the column slug text',
      ],
      [
        'alter table roots.users rename to persons',
        'alter table roots.persons rename to users',
        'users is not there any more',
      ],
    ] as const
    const refused = async (step: () => Promise<unknown>) => {
      for (const [change, back, message] of changes) {
        await run(change)
        await expect(step()).rejects.toThrow(message)
        await run(back)
      }
    }
    await refused(() => take('expand'))
    // What no step reads may change.
    await run('alter table roots.teams drop column note')
    await take('expand')
    await refused(() => fill())
    await fill()
    await take('prove')
  })
})

test('row security that is switched off after observe is told, and leaves no table open', async () => {
  await run(`
create schema unlocked;
create table unlocked.tasks (id int primary key, title text);
insert into unlocked.tasks values (1, 'Of Unlocked')
`)
  const { session, take, undo } = await adopting(database.adminUrl, 'unlocked', {
    organizations: { constant: { name: 'Unlocked', slug: 'unlocked' } },
  })
  await take('expand', 'prove', 'swap', 'observe')
  for (const step of ['enforce', 'contract'] as const) {
    await session.query('alter table unlocked.tasks disable row level security')
    await expect(take(step)).rejects.toThrow('tasks has lost its row security')
    await session.query('alter table unlocked.tasks enable row level security')
    await take(step)
  }
  await undo()
})

test('a publication of some columns is told before it would refuse updates', async () => {
  await run(`
create schema narrow;
create table narrow.tasks (id int primary key, title text, note text);
insert into narrow.tasks values (1, 'First', 'Not for others');
create publication some_columns for table narrow.tasks (id, title)
`)
  onTestFinished(() => run('drop publication some_columns'))
  const { session, take, undo } = await adopting(database.adminUrl, 'narrow', {
    organizations: { constant: { name: 'Narrow', slug: 'narrow' } },
  })
  await take('expand', 'prove')
  await expect(take('swap')).rejects.toThrow(
    'the publication some_columns sends some columns of narrow.tasks without org_id, which its primary key gets',
  )
  await session.query(`update narrow.tasks set title = 'Second'`)
  await session.query('alter publication some_columns set table narrow.tasks (org_id, id, title)')
  await take('swap')
  await session.query(`update narrow.tasks set title = 'Third'`)
  await session.query(`alter publication some_columns set (publish = 'insert')`)
  await undo('prove')
  await session.query('alter publication some_columns set table narrow.tasks (id, title)')
  await take('swap')
  await session.query(`update narrow.tasks set title = 'Fourth'`)
  await undo()
})
