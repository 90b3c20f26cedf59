import { expect, onTestFinished, test } from 'vitest'
import { plan } from '../../src/adoption/plan.js'
import { openSession } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, ownerSession, rowsOf, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

const uuid = (end: string) => `00000000-0000-7000-8000-0000000000${end}`

test('an operator of somebody else is not called by what may write', async () => {
  await run(`
create schema evil;
create function public.loud(varchar, varchar) returns boolean language plpgsql as $$ begin
  if current_setting('transaction_read_only') = 'off' then raise exception 'called'; end if; return $1::text = $2::text; end $$;
create operator public.= (leftarg = varchar, rightarg = varchar, function = public.loud);
create table evil.teams (id varchar(20) primary key, name text);
create table evil.notes (code varchar(20) primary key, team_id varchar(20) references evil.teams);
create table evil.marks (id int primary key, code varchar(20) references evil.notes (code));
insert into evil.teams values ('a', 'Evil');
insert into evil.notes values ('n', 'a'), ('lost', null);
insert into evil.marks values (1, 'n'), (2, 'lost')
`)
  onTestFinished(() => run('drop operator public.= (varchar, varchar);\ndrop function public.loud'))
  const { take, fill, undo } = await adopting(database.adminUrl, 'evil', {
    organizations: { table: 'teams', id: 'id' },
    tables: {
      notes: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' },
      marks: { kind: 'tenant', way: { parent: 'marks_code_fkey' }, unreached: 'quarantine' },
    },
  })
  await take('expand')
  await fill()
  await run(`insert into evil.notes values ('m', 'a')`)
  await take('prove', 'swap', 'observe', 'enforce', 'contract')
  await undo()
})

test('rights that everybody gets by default do not open what adoption keeps for itself', async () => {
  await run(`
create schema shut;
create table shut.teams (id uuid primary key);
create table shut.notes (id int primary key, team_id uuid references shut.teams);
insert into shut.notes values (1, null);
alter default privileges grant select on tables to public;
alter default privileges grant usage on schemas to public;
alter default privileges grant execute on functions to public
`)
  onTestFinished(() =>
    run(`
alter default privileges revoke select on tables from public;
alter default privileges revoke usage on schemas from public;
alter default privileges revoke execute on functions from public
`),
  )
  const { take, fill } = await adopting(database.adminUrl, 'shut', {
    tables: { notes: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' } },
  })
  await take('expand')
  await fill()
  await take('prove')
  const [rights] = await database.admin.query(
    `select has_schema_privilege(r, 'tenantry_adopt_shut', 'usage') as usage,
       has_table_privilege(r, 'tenantry_adopt_shut.quarantined_notes', 'select') as rows,
       has_function_privilege(r, 'tenantry_adopt_shut.organization_of(text)', 'execute') as making
     from (select '${new URL(database.appUrl).username}'::name) app(r)`,
  )
  expect(rights).toEqual({ usage: false, rows: false, making: false })
})

test('a row whose way another trigger changes gets the organization of that way', async () => {
  await run(`
create schema moved;
create table moved.teams (id uuid primary key);
create table moved.tasks (id int primary key, team_id uuid not null references moved.teams, owner text);
create function moved.follow() returns trigger language plpgsql as $$ begin
  new.team_id := case new.owner when 'two' then '${uuid('a2')}' else '${uuid('a1')}' end; return new; end $$;
create trigger follow before insert or update on moved.tasks for each row execute function moved.follow();
insert into moved.teams values ('${uuid('a1')}'), ('${uuid('a2')}');
insert into moved.tasks values (1, '${uuid('a1')}', 'one')
`)
  const { session, take, fill } = await adopting(database.adminUrl, 'moved')
  await take('expand')
  await fill()
  await run(`update moved.tasks set owner = 'two'`)
  await run(`insert into moved.tasks values (2, '${uuid('a1')}', 'two')`)
  expect(await session.query('select id, org_id, team_id from moved.tasks order by id')).toEqual([
    { id: 1, org_id: uuid('a2'), team_id: uuid('a2') },
    { id: 2, org_id: uuid('a2'), team_id: uuid('a2') },
  ])
})

test('an organization of a person is that of the whole id, whatever the table is called', async () => {
  await run(`
create schema faces;
create table faces."👥" (id int primary key, name text);
create table faces.teams (id uuid primary key);
create table faces.notes (id int primary key, team_id uuid references faces.teams, owner int references faces."👥");
insert into faces."👥" select n, 'Person ' || n from generate_series(1, 25) n;
insert into faces.notes values (1, null, 12), (2, null, 2), (3, null, 25)
`)
  const { session, take, fill } = await adopting(database.adminUrl, 'faces', {
    tables: {
      '👥': { kind: 'people' },
      notes: { kind: 'tenant', way: { column: 'team_id' }, unreached: { personal: 'owner' } },
    },
  })
  await take('expand')
  await fill()
  expect(
    await session.query(
      'select n.owner, o.name from faces.notes n join platform.organizations o on o.id = n.org_id order by n.id',
    ),
  ).toEqual([12, 2, 25].map((owner) => ({ owner, name: `Person ${owner}` })))
})

test('a row of the organizations without an id is passed over', async () => {
  await run(`
create schema gaps;
create table gaps.teams (no int primary key, id uuid unique);
create table gaps.tasks (id int primary key, team_id uuid not null);
insert into gaps.teams values (1, '${uuid('b1')}'), (2, null);
insert into gaps.tasks values (1, '${uuid('b1')}')
`)
  const { take, fill } = await adopting(database.adminUrl, 'gaps', { organizations: { table: 'teams', id: 'id' } })
  await take('expand')
  expect((await fill()).tables[0]).toMatchObject({ rows: 1, filled: 1, isDone: true })
  await take('prove')
})

test('another adoption by another table makes organizations of its own', async () => {
  await run(`
create schema again;
create table again.teams (id int primary key, name text);
create table again.accounts (id int primary key, name text);
create table again.tasks (id int primary key, team_id int not null references again.teams, account_id int not null references again.accounts);
insert into again.teams values (1, 'Red'), (2, 'Blue');
insert into again.accounts values (1, 'Contoso'), (2, 'Fabrikam');
insert into again.tasks values (1, 1, 2)
`)
  const namesBy = async (table: string, column: string) => {
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'again', {
      organizations: { table, id: 'id', externalIds: 'none' },
      tables: {
        teams: { kind: 'left' },
        accounts: { kind: 'left' },
        [table]: { kind: 'organizations' },
        tasks: { kind: 'tenant', way: { column } },
      },
    })
    await take('expand')
    await fill()
    const found = await session.query(
      'select o.name from again.tasks t join platform.organizations o on o.id = t.org_id',
    )
    await undo()
    return found
  }
  expect(await namesBy('teams', 'team_id')).toEqual([{ name: 'Red' }])
  expect(await namesBy('accounts', 'account_id')).toEqual([{ name: 'Fabrikam' }])
})

test('an organization that the decisions name is found again after its slug was changed', async () => {
  await run(`
create schema renamed;
create table renamed.tasks (id int primary key);
insert into renamed.tasks values (1)
`)
  const decisions = { organizations: { constant: { name: 'Renamed', slug: 'renamed' } } }
  const first = await adopting(database.adminUrl, 'renamed', decisions)
  await first.take('expand')
  const [before] = await database.admin.query('select org_id from renamed.tasks')
  await first.undo()
  await run(`update platform.organizations set slug = 'called-otherwise' where slug = 'renamed'`)
  const { take } = await adopting(database.adminUrl, 'renamed', decisions)
  await take('expand', 'prove')
  expect(await database.admin.query('select org_id from renamed.tasks')).toEqual([before])
})

test('a way without a foreign key is looked at again before rows are hidden by it', async () => {
  await run(`
create schema loose;
create table loose.teams (id uuid primary key, stripe text unique);
create table loose.invoices (id int primary key, customer text not null);
insert into loose.teams values ('${uuid('c1')}', 's1'), ('${uuid('c2')}', 's2');
insert into loose.invoices values (1, 's1')
`)
  const { take, fill } = await adopting(database.adminUrl, 'loose', {
    tables: { invoices: { kind: 'tenant', way: { mapped: { column: 'customer', to: 'stripe' } } } },
  })
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe')
  await run(`update loose.teams set stripe = case stripe when 's1' then 's3' else 's1' end`)
  await expect(take('enforce')).rejects.toThrow('1 rows of invoices have no organization, or another one')
  await run(
    `update loose.teams set stripe = 's2' where stripe = 's1';\nupdate loose.teams set stripe = 's1' where stripe = 's3'`,
  )
  await take('enforce')
})

test('a foreign key that may cross ends with the swap, and is back afterwards unless a row has gone', async () => {
  await run(`
create schema crossing;
create table crossing.teams (id uuid primary key);
create table crossing.tasks (id int primary key, team_id uuid not null references crossing.teams, like_id int references crossing.tasks);
insert into crossing.teams values ('${uuid('d1')}'), ('${uuid('d2')}');
insert into crossing.tasks values (1, '${uuid('d1')}', null), (2, '${uuid('d2')}', 1)
`)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'crossing', {
    tables: { tasks: { kind: 'tenant', way: { column: 'team_id' }, crossing: ['tasks_like_id_fkey'] } },
  })
  const before = { rows: await rowsOf(session, 'crossing'), catalog: await catalogOf(session, 'crossing') }
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe')
  await run('update crossing.tasks set like_id = 9 where id = 2')
  await expect(undo()).rejects.toThrow('tasks: 1 rows refer by tasks_like_id_fkey to rows that are gone')
  await run('update crossing.tasks set like_id = 1 where id = 2')
  await undo()
  expect(await catalogOf(session, 'crossing')).toEqual(before.catalog)
  expect(await rowsOf(session, 'crossing')).toEqual(before.rows)
})

test('whoever may not silence triggers may undo what needs no silence', async () => {
  await run(`
create schema soft;
create table soft.teams (id uuid primary key);
create table soft.notes (id int primary key, team_id uuid references soft.teams);
create trigger counted before insert on soft.notes for each row execute function suppress_redundant_updates_trigger();
alter table soft.notes disable trigger counted;
insert into soft.notes values (1, null)
`)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'soft', {
    tables: { notes: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' } },
  })
  const owner = `${new URL(database.appUrl).username}_soft`
  await session.query(`create role ${owner} in role current_user`)
  onTestFinished(async () => {
    await database.admin.query(`drop role ${owner}`)
  })
  await take('expand')
  await fill()
  await session.query(`set role ${owner}`)
  await expect(take('prove')).rejects.toThrow(`grant set on parameter session_replication_role to "${owner}"`)
  await undo()
  await session.query('reset role')
})

test('without the tables of tenantry there is no plan, and nothing is read', async () => {
  const session = await openSession({ embedded: true })
  onTestFinished(() => session.close())
  await expect(plan(session, { version: 1, schema: 'public', organizations: null, tables: {} })).rejects.toThrow(
    'run tenantry migrate up first',
  )
  const other = await ownerSession(database.adminUrl)
  await expect(plan(other, { version: 1, schema: 'platform', organizations: null, tables: {} })).rejects.toThrow(
    'platform is the schema of tenantry',
  )
})
