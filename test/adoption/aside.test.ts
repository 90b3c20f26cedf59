// Rows that are put aside: which ones, and how they come back.
import { describe, expect, test } from 'vitest'
import { analyse } from '../../src/adoption/analyse.js'
import type { Decisions } from '../../src/adoption/decisions.js'
import { statusOf, takeStep } from '../../src/adoption/run-step.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { type Adoption, adopting, ownerSession, rowsOf, statementsOf } from '../support/adopting.js'
import { waitersFor } from '../support/contenders.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

const organizations: Decisions['organizations'] = { table: 'teams', id: 'id', externalIds: 'none' }

const asideIn = async (schema: string, table: string) =>
  (
    await database.admin.query<{ id: number }>(
      `select id from tenantry_adopt_${schema}.quarantined_${table} order by id`,
    )
  ).map(({ id }) => id)

describe('rows that are put aside', () => {
  test('are those that lead nowhere at that moment, and not those that an organization has come to', async () => {
    await run(`
create schema late;
create table late.teams (id int primary key, name text);
create table late.flows (id int primary key, team_id int references late.teams);
create table late.tasks (id int primary key, flow_id int references late.flows);
create table late.notes (id int primary key, task_id int);
create table late.boxes (id int primary key, flow_id int references late.flows, team_id int);
insert into late.teams values (1, 'Late 1'), (2, 'Late 2');
insert into late.flows values (1, 1), (2, 2), (3, null);
insert into late.tasks values (1, 1), (2, 2);
insert into late.notes values (1, 1), (2, 2), (3, null);
insert into late.boxes values (1, 1, null), (2, null, 2), (3, null, null)
`)
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'late', {
      organizations,
      tables: {
        flows: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' },
        tasks: { kind: 'tenant', way: { parent: 'tasks_flow_id_fkey' }, unreached: 'quarantine' },
        notes: { kind: 'tenant', way: { row: { column: 'task_id', of: 'tasks' } }, unreached: 'quarantine' },
        boxes: {
          kind: 'tenant',
          way: { either: [{ parent: 'boxes_flow_id_fkey' }, { column: 'team_id' }] },
          unreached: 'quarantine',
        },
      },
    })
    await take('expand')
    await fill()
    // A child before its parent, a parent that gets its team later, and a team that comes last.
    await run(`
insert into late.notes values (10, 100);
insert into late.tasks values (100, 2);
insert into late.tasks values (200, 3);
update late.flows set team_id = 1 where id = 3;
insert into late.boxes values (10, null, 7);
insert into late.teams values (7, 'Late 7')
`)
    const before = await rowsOf(session, 'late')
    await expect(take('prove')).rejects.toThrow(
      [
        '1 rows of boxes have no organization, or another one than their way leads to',
        '1 rows of notes have no organization, or another one than their way leads to',
        '1 rows of tasks have no organization, or another one than their way leads to',
        'Mend them; before prove, tenantry adopt backfill --again does it',
      ].join('\n'),
    )
    await fill({ again: true })
    await take('prove')
    for (const table of ['flows', 'tasks']) expect(await asideIn('late', table)).toEqual([])
    for (const table of ['notes', 'boxes']) expect(await asideIn('late', table)).toEqual([3])
    await undo('expand')
    expect(Object.keys(await rowsOf(session, 'late'))).toEqual(Object.keys(before))
    expect(await session.query('select count(*)::int as rows from late.notes')).toEqual([{ rows: 4 }])
  })

  test('stay where their way reaches an organization while the step is under way', async () => {
    await run(`
create schema between;
create table between.teams (id int primary key, name text);
create table between.notes (id int primary key, team_id int);
insert into between.teams values (1, 'Between 1');
insert into between.notes values (1, 1), (2, 2), (3, null)
`)
    const { session, plan, take, fill, undo } = await adopting(database.adminUrl, 'between', {
      organizations,
      tables: { notes: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' } },
    })
    await take('expand')
    await fill()
    const watched: typeof session = {
      ...session,
      query: async (text, params) => {
        const rows = await session.query(text, params)
        if (text.includes('"notes_org_id_set" check')) await run(`insert into between.teams values (2, 'Between 2')`)
        return rows as never
      },
    }
    await expect(takeStep(watched, plan, 'prove')).rejects.toThrow(
      'rows of notes lead to an organization by now and have none yet, or lost theirs at this moment: undo this step with tenantry adopt down, and run tenantry adopt backfill --again',
    )
    expect(await asideIn('between', 'notes')).toEqual([])
    await undo('expand')
    await fill({ again: true })
    await take('prove')
    expect(await asideIn('between', 'notes')).toEqual([3])
  })

  test('are also those with an id of their own of no organization', async () => {
    const id = (digit: number) => `00000000-0000-7000-8000-0000000000f${digit}`
    await run(`
create schema dangling;
create table dangling.teams (id uuid primary key, name text);
create table dangling.docs (id int primary key, org_id uuid);
insert into dangling.teams values ('${id(1)}', 'Dangling 1'), ('${id(2)}', 'Dangling 2');
insert into dangling.docs values (1, '${id(1)}'), (2, '${id(2)}'), (3, null), (4, '${id(9)}')
`)
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'dangling', {
      organizations: { table: 'teams', id: 'id' },
      tables: { docs: { kind: 'tenant', way: { column: 'org_id' }, unreached: 'quarantine' } },
    })
    const before = await rowsOf(session, 'dangling')
    await take('expand')
    await fill()
    // What the application writes into a column of its own stays.
    await run('update dangling.docs set org_id = null where id = 1')
    expect(await session.query('select org_id from dangling.docs where id = 1')).toEqual([{ org_id: null }])
    await run(`update dangling.docs set org_id = '${id(1)}' where id = 1`)
    // The organization of a team that goes stays, and its rows with it.
    await run(`delete from dangling.teams where id = '${id(2)}'`)
    await take('prove', 'swap')
    expect(await asideIn('dangling', 'docs')).toEqual([3, 4])
    await run(`insert into dangling.teams values ('${id(2)}', 'Dangling 2')`)
    await undo()
    expect(await rowsOf(session, 'dangling')).toEqual(before)
  })

  test('come back only where their keys are free and what they refer to is there', async () => {
    await run(`
create schema again_used;
create table again_used.teams (id int primary key, name text);
create table again_used.users (id int primary key);
create table again_used.tags (id int primary key, team_id int references again_used.teams, label text,
  user_id int references again_used.users on delete cascade, parent_id int references again_used.tags);
create unique index tags_label on again_used.tags (lower(label)) where label <> '';
insert into again_used.teams values (1, 'Again used');
insert into again_used.users values (1), (2);
insert into again_used.tags values (1, 1, 'a', 1, null), (2, null, 'b', 2, null), (3, null, '', 1, 2)
`)
    const { session, plan, take, fill, undo } = await adopting(database.adminUrl, 'again_used', {
      organizations,
      tables: {
        users: { kind: 'people' },
        tags: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' },
      },
    })
    const before = await rowsOf(session, 'again_used')
    await take('expand')
    await fill()
    await take('prove', 'swap')
    const steps = (await statusOf(session, plan)).steps
    for (const [change, back, message] of [
      [
        `insert into again_used.tags values (2, 1, 'c', 1, null)`,
        'delete from again_used.tags where id = 2',
        'tags: 1 values of id are used again, of rows that wait in "tenantry_adopt_again_used"."quarantined_tags": change them in one of the two tables',
      ],
      [
        `insert into again_used.tags values (4, 1, 'B', 1, null)`,
        'delete from again_used.tags where id = 4',
        'tags: 1 values of lower(label) are used again',
      ],
      [
        'delete from again_used.users where id = 2',
        'insert into again_used.users values (2)',
        'tags: 1 rows that wait in "tenantry_adopt_again_used"."quarantined_tags" refer by tags_user_id_fkey to rows that are gone: change or delete them there',
      ],
    ] as const) {
      await run(change)
      await expect(undo()).rejects.toThrow(message)
      expect((await statusOf(session, plan)).steps).toEqual(steps)
      await run(back)
    }
    await undo()
    expect(await rowsOf(session, 'again_used')).toEqual(before)
  })
})

const idOf = (digits: string) => `00000000-0000-7000-8000-0000000000${digits}`

describe('rows with an organization in a column of their own', () => {
  const quarantined = { kind: 'tenant' as const, way: { column: 'org_id' }, unreached: 'quarantine' as const }
  const docs = (schema: string, more: string) => `
create schema ${schema};
create table ${schema}.teams (id uuid primary key, name text);
create table ${schema}.docs (id int primary key, org_id uuid, note text, unique (org_id, id));
insert into ${schema}.teams values ('${idOf('a1')}', '${schema}');
insert into ${schema}.docs values (1, '${idOf('a1')}', 'kept'), (2, '${idOf('af')}', 'lost');
${more}`
  const decisions = { organizations: { table: 'teams', id: 'id' }, tables: { docs: quarantined } }
  const adopted = async (schema: string, more: string, tables: Decisions['tables'] = {}) => {
    await run(docs(schema, more))
    const adoption = await adopting(database.adminUrl, schema, {
      ...decisions,
      tables: { ...decisions.tables, ...tables },
    })
    await adoption.take('expand')
    await adoption.fill()
    return adoption
  }

  /** Takes the step, and lets its statement that moves rows wait for a transaction of somebody else, which goes on and commits meanwhile. */
  async function proveBehind({ session, plan }: Adoption, first: string, then?: string): Promise<void> {
    const watcher = await ownerSession(database.adminUrl)
    let isFirst = true
    const watched: typeof session = {
      ...session,
      async query(text, params) {
        if (!isFirst || !text.includes('do $body$') || !text.includes('"quarantined_docs"'))
          return session.query(text, params)
        isFirst = false
        await run(`begin;\n${first}`)
        const moving = session.query(text, params)
        moving.catch(() => undefined)
        await waitersFor(watcher, '%#variable_conflict use_column%', 1)
        await run(`${then ?? ''};\ncommit`)
        return moving as never
      },
    }
    await takeStep(watched, plan, 'prove')
  }

  test('are put aside as they were written at that moment', async () => {
    const adoption = await adopted('written', '')
    const { session, undo } = adoption
    const before = await rowsOf(session, 'written')
    await proveBehind(adoption, `update written.docs set note = 'written' where id = 2`)
    expect(await session.query('select id, note from tenantry_adopt_written.quarantined_docs')).toEqual([
      { id: 2, note: 'written' },
    ])
    await undo()
    await run(`update written.docs set note = 'lost' where id = 2`)
    expect(await rowsOf(session, 'written')).toEqual(before)
  })

  test('stay where a row comes to refer to them at that moment', async () => {
    const adoption = await adopted(
      'referred',
      `create table referred.pins (id int primary key, team_id uuid not null references referred.teams,
  doc_id int references referred.docs on delete cascade)`,
    )
    const { session, take, undo } = adoption
    await expect(proveBehind(adoption, `insert into referred.pins values (1, '${idOf('a1')}', 2)`)).rejects.toThrow(
      'rows of pins refer by pins_doc_id_fkey to rows of docs that are to be put aside',
    )
    expect(await asideIn('referred', 'docs')).toEqual([])
    await run('delete from referred.pins')
    await take('prove')
    expect(await asideIn('referred', 'docs')).toEqual([2])
    await undo()
    expect(await session.query('select id from referred.docs')).toHaveLength(2)
  })

  test('stay, with those that refer to them, where they lose their organization at that moment', async () => {
    const adoption = await adopted(
      'losing',
      `create table losing.a_pins (id int primary key, team_id uuid not null references losing.teams,
  doc_id int references losing.docs on delete cascade);
create table losing.marks (id int primary key, team_id uuid not null references losing.teams, doc_id int references losing.docs);
insert into losing.a_pins values (1, '${idOf('a1')}', 1)`,
    )
    const { session, undo, take } = adoption
    // The step has looked at the pins by then, and not at the marks.
    await expect(
      proveBehind(
        adoption,
        'lock table losing.marks in access exclusive mode',
        `update losing.docs set org_id = '${idOf('af')}' where id = 1`,
      ),
    ).rejects.toThrow('rows of docs lead to an organization by now')
    expect(await session.query('select id from losing.a_pins')).toEqual([{ id: 1 }])
    expect(await asideIn('losing', 'docs')).toEqual([])
    await expect(take('prove')).rejects.toThrow('rows of a_pins refer by a_pins_doc_id_fkey to rows of docs')
    await run(`update losing.docs set org_id = '${idOf('a1')}' where id = 1`)
    await take('prove')
    expect(await asideIn('losing', 'docs')).toEqual([2])
    await undo()
  })

  test('stay where a row refers to them by a foreign key with the organization', async () => {
    const { session, take, undo } = await adopted(
      'keyed',
      `create table keyed.marks (id int primary key, org_id uuid, doc_id int,
  foreign key (org_id, doc_id) references keyed.docs (org_id, id) on delete cascade)`,
      { marks: { kind: 'tenant', way: { column: 'org_id' } } },
    )
    // Since the plan, which would have told that it leads to no organization.
    await run(`insert into keyed.marks values (1, '${idOf('af')}', 2)`)
    await expect(take('prove')).rejects.toThrow(
      'rows of marks refer by marks_org_id_doc_id_fkey to rows of docs that are to be put aside: give both an organization',
    )
    expect(await session.query('select id from keyed.marks')).toEqual([{ id: 1 }])
    await run('delete from keyed.marks')
    await take('prove')
    await undo()
  })

  test('are told before the plan by what prove would find of them', async () => {
    await run(
      docs(
        'foretold',
        `insert into platform.organizations (id, name, slug, temporal_namespace) values ('${idOf('b1')}', 'Foretold', 'foretold', 'foretold'), ('${idOf('b2')}', 'Foretold too', 'foretold-2', 'foretold-2');
create table foretold.pins (id int primary key, team_id uuid not null references foretold.teams, doc_id int references foretold.docs);
create table foretold.pages (id int primary key, org_id uuid, doc_id int references foretold.docs);
insert into foretold.docs values (3, '${idOf('b1')}', 'of an organization that is no team');
insert into foretold.pins values (1, '${idOf('a1')}', 1), (2, '${idOf('a1')}', 2), (3, '${idOf('a1')}', 3);
insert into foretold.pages values (1, '${idOf('b1')}', 1), (2, '${idOf('b1')}', 2), (3, '${idOf('b1')}', 3), (4, '${idOf('af')}', 2), (5, null, 3), (6, '${idOf('b2')}', 3)`,
      ),
    )
    const session = await ownerSession(database.adminUrl)
    const told = async () => {
      const { found } = await analyse(session, 'foretold', {
        version: 1,
        schema: 'foretold',
        organizations: decisions.organizations,
        tables: { docs: quarantined, pages: quarantined },
      })
      return found.findings
        .filter(({ kind }) => kind === 'holding' || kind === 'crossing')
        .map(({ kind, table, rows }) => `${kind} ${table}: ${rows?.sample.map((key) => JSON.stringify(key)).join(' ')}`)
    }
    expect(await told()).toEqual([
      'holding pages: {"id":"2"}',
      'crossing pages: {"id":"1"} {"id":"6"}',
      'holding pins: {"id":"2"}',
      'crossing pins: {"id":"3"}',
    ])
    // A login that may not read the organizations of tenantry is asked about all that lead to none of the teams.
    await run(`create role foretold_reader;
grant usage on schema foretold to foretold_reader;
grant select on all tables in schema foretold to foretold_reader`)
    await session.query('set role foretold_reader')
    try {
      expect(await told()).toEqual(['holding pins: {"id":"2"} {"id":"3"}'])
    } finally {
      await session.query('reset role')
      await run('drop owned by foretold_reader;\ndrop role foretold_reader')
    }
  })
})
