import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Decisions } from '../../src/adoption/decisions.js'
import { analyse } from '../../src/adoption/analyse.js'
import { plan, stepNames } from '../../src/adoption/plan.js'
import { readPlan, writePlan } from '../../src/adoption/plan-folder.js'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, ownerSession, statementsOf } from '../support/adopting.js'

const database = useDatabase()

let schemas = 0

/** A schema of its own, in which `teams` become organizations. */
async function schemaOf(script: string, decisions: Partial<Decisions> = {}) {
  const schema = `plan_${++schemas}`
  const session = await ownerSession(database.adminUrl)
  const all = `create schema S;\ncreate table S.teams (id int primary key, name text);\n${script}`
  for (const statement of statementsOf(all.replaceAll('S.', `${schema}.`).replace('schema S', `schema ${schema}`)))
    await session.query(statement)
  const given: Decisions = {
    version: 1,
    schema,
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
    tables: {},
    ...decisions,
  }
  return { session, given }
}

async function planned(script: string, decisions?: Partial<Decisions>) {
  const { session, given } = await schemaOf(script, decisions)
  return plan(session, given)
}

/** What analyse says is to be decided and to be mended. */
async function told(session: Session, given: Decisions): Promise<string> {
  const { found } = await analyse(session, given.schema, given)
  return found.findings
    .filter(({ needs }) => needs !== 'attention')
    .map(({ message }) => message)
    .join('\n')
}

describe('there is no plan while', () => {
  const tasks = 'create table S.tasks (id int primary key, team_id int not null references S.teams'
  test.each<[what: string, script: string, message: string, decisions?: Partial<Decisions>]>([
    ['a table is undecided', `create table S.plans (id int primary key)`, 'no way leads from plans to an organization'],
    [
      'a table has to be mended',
      `create table S.logs (team_id int references S.teams)`,
      'logs has no primary key: add one',
    ],
    [
      'rows lead to no organization',
      `create table S.tasks (id int primary key, team_id int references S.teams);\ninsert into S.tasks values (1, null)`,
      'tasks has rows that name no organization',
    ],
    [
      'a table is partitioned',
      `create table S.logs (team_id int references S.teams, at date, primary key (team_id, at)) partition by range (at)`,
      'logs is partitioned',
    ],
    [
      'a row without an organization refers to one with',
      `${tasks});\ncreate table S.plans (id int primary key, task_id int references S.tasks)`,
      'plans refers to tasks by plans_task_id_fkey and has no organization',
      { tables: { plans: { kind: 'shared' } } },
    ],
    [
      'a key excludes across organizations',
      `${tasks}, at int4range, exclude using gist (at with &&))`,
      'tasks_at_excl of tasks is an exclusion constraint',
    ],
    [
      'a view groups by a primary key',
      `${tasks}, note text);\ncreate view S.busy as select id, note, count(*) from S.tasks group by id`,
      'busy groups by the primary key of tasks',
    ],
    [
      'another column is called org_id',
      `${tasks}, org_id int)`,
      'tasks.org_id is not the id of its organization: rename the column',
    ],
    [
      'org_id is no uuid',
      `create table S.tasks (id int primary key, org_id int not null references S.teams)`,
      'tasks.org_id is integer, and the ids of organizations are uuid',
      { tables: { tasks: { kind: 'tenant', way: { column: 'org_id' } } } },
    ],
    [
      'a foreign key of two columns is MATCH FULL',
      `${tasks}, a int, b int, unique (a, b));\ncreate table S.notes (id int primary key, task_id int references S.tasks, a int, b int, foreign key (a, b) references S.tasks (a, b) match full)`,
      'notes_a_b_fkey of notes is MATCH FULL',
      { tables: { notes: { kind: 'tenant', way: { parent: 'notes_task_id_fkey' } } } },
    ],
    [
      'a name is taken',
      `${tasks});\ncreate table S.tasks_pkey_org (id int primary key, team_id int references S.teams)`,
      'tasks_pkey_org has a name that a new key or index of tasks is to get',
    ],
    [
      'a global key is not there',
      `${tasks})`,
      'tasks has no unique key nothing, which "global" names',
      { tables: { tasks: { kind: 'tenant', way: { column: 'team_id' }, global: ['nothing'] } } },
    ],
    [
      'a foreign key leads to a global key',
      `${tasks}, code text unique);\ncreate table S.notes (id int primary key, code text references S.tasks (code))`,
      'notes_code_fkey of notes refers to tasks by tasks_code_key',
      { tables: { tasks: { kind: 'tenant', way: { column: 'team_id' }, global: ['tasks_code_key'] } } },
    ],
    [
      'the rows of a person are given to nobody',
      `create table S.people (id int primary key);\ncreate table S.tasks (id int primary key, team_id int references S.teams, owner_id int references S.people);\ninsert into S.tasks values (1, null, null)`,
      'tasks has rows without an organization and without a person in owner_id',
      {
        tables: {
          people: { kind: 'people' },
          tasks: { kind: 'tenant', way: { column: 'team_id' }, unreached: { personal: 'owner_id' } },
        },
      },
    ],
    ['no table has rows of organizations', '', 'no table of plan_'],
    [
      'a constraint has the name of a new one',
      `${tasks}, constraint tasks_org_fkey check (id > 0))`,
      'the constraint tasks_org_fkey has a name that a new key',
    ],
    [
      'an index has the name of one of the way back',
      `${tasks});\ncreate index tasks_pkey_before on S.tasks (team_id)`,
      'tasks_pkey_before has a name',
    ],
    [
      'ids are of a type whose text depends on the session',
      `create table S.days (id date primary key);\ncreate table S.tasks (id int primary key, day date references S.days)`,
      'days.id is date: what leads to an organization may be a whole number, a uuid or text',
      { organizations: { table: 'days', id: 'id' }, tables: { teams: { kind: 'left' } } },
    ],
    [
      'a way is computed',
      `create table S.tasks (id int primary key, a int, team int generated always as (a) stored references S.teams)`,
      'tasks.team is computed after triggers have run',
      { tables: { tasks: { kind: 'tenant', way: { column: 'team' }, unreached: 'quarantine' } } },
    ],
    [
      'a primary key is deferrable',
      `create table S.tasks (id int primary key deferrable, team_id int not null references S.teams)`,
      'tasks_pkey of tasks is PRIMARY KEY (id) DEFERRABLE',
    ],
    [
      'a foreign key was not validated',
      `${tasks}, next int);\nalter table S.tasks add foreign key (next) references S.tasks not valid`,
      'tasks_next_fkey of tasks was not validated for every row',
    ],
    [
      'a foreign key empties columns on update',
      `${tasks}, next int references S.tasks on update set null)`,
      'tasks_next_fkey of tasks empties columns on update',
    ],
    [
      'a foreign key empties the organization on delete',
      `create table S.groups (id uuid primary key);\ncreate table S.tasks (id int primary key, org_id uuid references S.groups on delete set null)`,
      'tasks_org_id_fkey of tasks empties org_id on delete, and from prove on every row has an organization: make it ON DELETE RESTRICT or CASCADE',
      { organizations: { table: 'groups', id: 'id' }, tables: { teams: { kind: 'left' } } },
    ],
    [
      'different texts count as the same organization',
      `create collation S.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);\ncreate table S.groups (id text primary key);\ncreate table S.tasks (id int primary key, group_id text collate S.loose);\ninsert into S.groups values ('ab'), ('AB');\ninsert into S.tasks values (1, 'ab')`,
      'tasks.group_id has the collation plan_',
      { organizations: { table: 'groups', id: 'id' }, tables: { teams: { kind: 'left' } } },
    ],
    [
      'different texts count as the same parent',
      `create collation S.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);\n${tasks}, code text collate S.loose unique);\ncreate table S.notes (id int primary key, code text collate S.loose references S.tasks (code))`,
      'tasks.code has the collation plan_',
    ],
    [
      'an organization of rows without one would take the slug of a team',
      `alter table S.teams add slug text;\ninsert into S.teams values (1, 'Acme', 'Acme Inc.'), (2, 'Plan B', null);\ncreate table S.tasks (id int primary key, team_id int references S.teams);\ninsert into S.tasks values (1, 1), (2, null)`,
      'a row of teams becomes the organization with the slug acme-inc, and { "constant": "acme-inc" } makes another one: write another slug there',
      { tables: { tasks: { kind: 'tenant', way: { column: 'team_id' }, unreached: { constant: 'acme-inc' } } } },
    ],
    [
      'rows that stay refer to rows that are to be put aside',
      `create table S.flows (id int primary key, team_id int references S.teams);\n${tasks}, flow_id int references S.flows);\ninsert into S.teams values (1, 'one');\ninsert into S.flows values (1, 1), (2, null);\ninsert into S.tasks values (1, 1, 1), (2, 1, 2)`,
      'by tasks_flow_id_fkey, tasks has rows that stay and refer to rows of flows that are to be put aside',
      {
        tables: {
          flows: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' },
          tasks: { kind: 'tenant', way: { column: 'team_id' } },
        },
      },
    ],
    [
      'subscribers use another index',
      `${tasks}, code int not null unique);\nalter table S.tasks replica identity using index tasks_code_key`,
      'subscribers find the rows of tasks by tasks_code_key',
    ],
    [
      'the application has rights already',
      `${tasks});\ngrant truncate on S.tasks to tenantry_app`,
      'tenantry_app or tenantry_system have rights on tasks already',
    ],
    [
      'a policy has one of our names',
      `${tasks});\ncreate policy org_isolation on S.tasks using (true)`,
      'tasks has a policy with the name org_isolation',
    ],
    [
      'a trigger fires after ours',
      `${tasks});\ncreate function S.later() returns trigger language plpgsql as 'begin return new; end';\ncreate trigger zzz before insert on S.tasks for each row execute function S.later()`,
      'zzz of tasks fires after the trigger that fills organizations',
    ],
    [
      'a trigger is never silent',
      `${tasks});\ncreate function S.always() returns trigger language plpgsql as 'begin return new; end';\ncreate trigger loud before update on S.tasks for each row execute function S.always();\nalter table S.tasks enable always trigger loud`,
      'loud of tasks fires while rows are filled too',
    ],
  ])('%s, which analyse tells too', async (_, script, message, decisions) => {
    const { session, given } = await schemaOf(script, decisions)
    await expect(plan(session, given)).rejects.toThrow(message)
    expect(await told(session, given)).toContain(message)
  })

  test('other organizations have some of the ids as external ids', async () => {
    await database.admin.query(
      `insert into platform.organizations (id, name, slug, external_id, temporal_namespace) values (gen_random_uuid(), 'External', 'external', '77', 'external')`,
    )
    const script = `insert into S.teams values (77, 'Another');\ncreate table S.tasks (id int primary key, team_id int references S.teams)`
    const kept = { organizations: { table: 'teams', id: 'id' } } as const
    const { session, given } = await schemaOf(script, kept)
    const message = '1 organizations have an id of teams as their external id already'
    await expect(plan(session, given)).rejects.toThrow(message)
    expect(await told(session, given)).toContain(message)
    await expect(planned(script)).resolves.toBeDefined()
  })
})

test('with "same" the organization is used that has the id as its external id', async () => {
  const session = await ownerSession(database.adminUrl)
  for (const statement of [
    `insert into platform.organizations (id, name, slug, external_id, temporal_namespace) values ('00000000-0000-7000-8000-000000000099', 'Same', 'same', '99', 'same')`,
    'create schema same',
    'create table same.teams (id int primary key, name text)',
    'create table same.tasks (id int primary key, team_id int references same.teams)',
    `insert into same.teams values (99, 'The same'), (100, 'New')`,
    'insert into same.tasks values (1, 99), (2, 100)',
  ])
    await session.query(statement)
  const { take, fill } = await adopting(database.adminUrl, 'same', {
    organizations: { table: 'teams', id: 'id', externalIds: 'same' },
  })
  await take('expand')
  await fill()
  expect(
    await session.query(
      'select t.id, o.name, o.external_id from same.tasks t join platform.organizations o on o.id = t.org_id order by 1',
    ),
  ).toEqual([
    { id: 1, name: 'Same', external_id: '99' },
    { id: 2, name: 'New', external_id: '100' },
  ])
})

test('an adoption.json of an earlier version is read', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-plan-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true })
  })
  await writePlan(folder, await planned('create table S.tasks (id int primary key, team_id int references S.teams)'))
  const file = join(folder, 'adoption.json')
  const { sources: _, ...written } = JSON.parse(readFileSync(file, 'utf8')) as {
    sources: unknown
    tables: { hadColumn?: boolean }[]
  }
  for (const table of written.tables) delete table.hadColumn
  writeFileSync(file, JSON.stringify(written))
  await expect(readPlan(folder)).resolves.toMatchObject({ sources: [], tables: [{ name: 'tasks', hadColumn: false }] })
})

test('while steps are taken, analyse tells of no obstacle that they have made, and there is no other plan', async () => {
  const words = {
    kind: 'tenant' as const,
    way: { polymorphic: { type: 'on_type', id: 'on_id', tables: { Task: 'tasks' } } },
  }
  for (const [script, decisions] of [
    [
      `create table S.tasks (id int primary key, team_id int not null references S.teams);
create table S.notes (id int primary key, on_type text not null, on_id int not null);
insert into S.teams values (1, 'Begun');
insert into S.tasks values (1, 1);
insert into S.notes values (1, 'Task', 1)`,
      { tables: { notes: words } },
    ],
    ['create table S.tasks (id int primary key)', { organizations: { constant: { name: 'Begun', slug: 'begun' } } }],
  ] as const) {
    const { session, given } = await schemaOf(script, decisions)
    expect(await told(session, given)).toBe('')
    const { take, fill, undo } = await adopting(database.adminUrl, given.schema, given)
    for (const name of stepNames) {
      await take(name)
      if (name === 'expand') await fill()
      expect([name, await told(session, given)]).toEqual([name, ''])
      await expect(plan(session, given)).rejects.toThrow('the rows of tasks have organizations of tenantry already')
    }
    await undo()
    await expect(plan(session, given)).resolves.toBeDefined()
  }
})

test('the records of a migration tool stay as they are, where every table belongs to one customer', async () => {
  const made = await planned(
    'create table S.schema_migrations (version text);\ncreate table S.tasks (id int primary key)',
    { organizations: { constant: { name: 'Bookkeeping', slug: 'bookkeeping' } } },
  )
  expect(made.tables.map(({ name }) => name)).toEqual(['tasks', 'teams'])
})

test('a login that may not silence triggers fills no row, and is told which right it needs', async () => {
  const session = await ownerSession(database.adminUrl)
  for (const statement of [
    'create schema quiet',
    'create table quiet.teams (id int primary key)',
    'create table quiet.tasks (id int primary key, team_id int not null references quiet.teams)',
    `create trigger touched before update on quiet.tasks for each row execute function suppress_redundant_updates_trigger()`,
    'insert into quiet.teams values (1)',
    'insert into quiet.tasks values (1, 1)',
  ])
    await session.query(statement)
  const {
    take,
    fill,
    session: filling,
  } = await adopting(database.adminUrl, 'quiet', {
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
  })
  await take('expand')
  // It owns the tables as the other one does, and is no superuser.
  const owner = `${new URL(database.appUrl).username}_owner`
  await filling.query(`create role ${owner} in role current_user`)
  onTestFinished(async () => {
    await database.admin.query(`drop role ${owner}`)
  })
  await filling.query(`set role ${owner}`)
  await expect(fill()).rejects.toThrow(`grant set on parameter session_replication_role to "${owner}"`)
  expect(await session.query('select org_id from quiet.tasks')).toEqual([{ org_id: null }])
  await filling.query('reset role')
  await fill()
})

describe('the folder of a plan', () => {
  const newFolder = () => {
    const folder = mkdtempSync(join(tmpdir(), 'tenantry-plan-'))
    onTestFinished(() => {
      rmSync(folder, { recursive: true })
    })
    return folder
  }

  test('holds each step with its way back, and a new plan replaces it and nothing else', async () => {
    const folder = newFolder()
    const made = await planned('create table S.tasks (id int primary key, team_id int references S.teams)')
    await writePlan(folder, made)
    writeFileSync(join(folder, 'notes.md'), 'mine')
    await writePlan(folder, made)
    writeFileSync(join(folder, '0004_enforce.sql'), '-- mine')
    await expect(writePlan(folder, made)).rejects.toThrow('0004_enforce.sql was edited: delete it')
    rmSync(join(folder, '0004_enforce.sql'))
    await writePlan(folder, made)
    expect(readdirSync(folder).sort()).toEqual(
      [
        'adoption.json',
        'meta',
        'notes.md',
        ...['0000_expand', '0001_prove', '0002_swap', '0003_observe', '0004_enforce', '0005_contract'].flatMap(
          (tag) => [`${tag}.sql`, `${tag}.down.sql`],
        ),
      ].sort(),
    )
    expect(readFileSync(join(folder, '0000_expand.sql'), 'utf8')).toContain('add column org_id uuid;')
    await expect(readPlan(folder)).resolves.toMatchObject({ backfill: made.backfill })
  })

  test('is not written over other files', async () => {
    const folder = newFolder()
    writeFileSync(join(folder, '0000_expand.sql'), 'mine')
    const made = await planned('create table S.tasks (id int primary key, team_id int references S.teams)')
    await expect(writePlan(folder, made)).rejects.toThrow('holds other files than those of a plan')
    expect(readFileSync(join(folder, '0000_expand.sql'), 'utf8')).toBe('mine')
  })

  test('that has no plan, or a broken one, is told', async () => {
    const folder = newFolder()
    await expect(readPlan(folder)).rejects.toThrow('has no adoption.json: run tenantry adopt plan first')
    writeFileSync(join(folder, 'adoption.json'), '{')
    await expect(readPlan(folder)).rejects.toThrow('is not as tenantry adopt plan wrote it')
    writeFileSync(join(folder, 'adoption.json'), '{"version": 2}')
    await expect(readPlan(folder)).rejects.toThrow(/^version: /)
  })
})
