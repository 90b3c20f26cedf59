import { beforeAll, expect, test } from 'vitest'
import { analyse } from '../../src/adoption/analyse.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, ownerSession } from '../support/adopting.js'

const database = useDatabase()

beforeAll(async () => {
  for (const statement of [
    'create schema desk',
    'create table desk.teams (id int primary key, name text)',
    'create table desk.users (id int primary key, name text)',
    `create table desk.tickets (id int primary key, team_id int references desk.teams, user_id int references desk.users, title text)`,
    `insert into desk.teams select n, 'Team ' || n from generate_series(1, 3) n`,
    `insert into desk.users select n, 'User ' || n from generate_series(1, 3) n`,
    `insert into desk.tickets select n, case when n % 2 = 0 then 1 + n % 3 end, 1 + n % 3, 'Ticket' from generate_series(1, 12) n`,
  ])
    await database.admin.query(statement)
})

const decisions = {
  organizations: { table: 'teams', id: 'id' },
  tables: {
    users: { kind: 'people' as const },
    tickets: { kind: 'tenant' as const, way: { column: 'team_id' }, unreached: { personal: 'user_id' } },
  },
}

test('organizations of teams and of people are found by their external ids, also those that the application makes after contract', async () => {
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'desk', decisions)
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe', 'enforce', 'contract')
  const owners = await session.query(
    `select distinct case when t.team_id is null then 'desk.users:' || t.user_id else t.team_id::text end as expected, o.external_id as found
     from desk.tickets t join platform.organizations o on o.id = t.org_id`,
  )
  expect(owners).toHaveLength(6)
  for (const { expected, found } of owners) expect(found).toBe(expected)

  await session.query(`insert into desk.teams values (9, 'Team 9')`)
  const [made] = await session.query<{ id: string }>(
    `insert into platform.organizations (id, name, slug, external_id, temporal_namespace, provision_key)
     values (gen_random_uuid(), 'Team 9', 'team-9', '9', 'org-9', 'team-9') returning id`,
  )
  await session.query(`insert into desk.tickets (id, team_id, title, org_id) values (99, 9, 'New', $1)`, [made?.id])
  await undo('enforce')
  await take('contract')
  expect(await session.query(`select org_id as id from desk.tickets where id = 99`)).toEqual([made])
  await undo()
  // Nothing tells any more that it is the team's.
  await expect(adopting(database.adminUrl, 'desk', decisions)).rejects.toThrow(
    '1 organizations have an id of teams as their external id already',
  )
  for (const statement of ['delete from desk.tickets where id = 99', 'delete from desk.teams where id = 9'])
    await session.query(statement)
})

test('a right on a column that was dropped keeps no step from being planned', async () => {
  await database.admin.query('alter table desk.tickets add column sla int')
  await database.admin.query('grant update (sla) on desk.tickets to tenantry_app')
  await expect(adopting(database.adminUrl, 'desk', decisions)).rejects.toThrow('have rights on tickets already')
  await database.admin.query('alter table desk.tickets drop column sla')
  await adopting(database.adminUrl, 'desk', decisions)
})

test('an analysis during an adoption does not advise to take back what observe has granted', async () => {
  const { session } = await adopting(database.adminUrl, 'desk', decisions)
  await session.query('create table desk.priorities (id int primary key, name text)')
  const tables = { ...decisions.tables, priorities: { kind: 'shared' as const } }
  const { take, fill, undo } = await adopting(database.adminUrl, 'desk', { ...decisions, tables })
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe')
  const { found } = await analyse(session, 'desk', { version: 1, schema: 'desk', ...decisions, tables })
  expect(found.findings.filter(({ message }) => message.includes('have rights on'))).toEqual([])
  await undo()
  await session.query('drop table desk.priorities')
})

test('a step back that a view prevents names the view', async () => {
  const before = await catalogOf(await ownerSession(database.adminUrl), 'desk')
  const { session, take, undo } = await adopting(database.adminUrl, 'desk', decisions)
  await take('expand')
  await session.query('create view desk.open_tickets as select id, org_id from desk.tickets')
  await expect(undo()).rejects.toThrow(
    /because other objects depend on it: view desk\.open_tickets depends on .* \(2BP01\)/,
  )
  await session.query('drop view desk.open_tickets')
  await undo()
  expect(await catalogOf(session, 'desk')).toEqual(before)
})

test('a trigger of the application that is dropped meanwhile keeps no step from being taken, and one that is added does', async () => {
  const trigger = 'create trigger touched before update on desk.tickets for each row execute function desk.touch()'
  for (const statement of [
    `create function desk.touch() returns trigger language plpgsql as 'begin return new; end'`,
    trigger,
  ])
    await database.admin.query(statement)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'desk', decisions)
  await take('expand')
  await session.query('drop trigger touched on desk.tickets')
  await fill()
  await take('prove')
  await session.query(trigger.replace('touched', 'changed'))
  await expect(take('swap')).rejects.toThrow(
    /^The tables in the database \w+ are not as they were when this was planned:\n- tickets has got the trigger changed/,
  )
  await undo()
})

test('people of the same id in two schemas have organizations of their own', async () => {
  for (const statement of [
    'create schema crm',
    'create table crm.teams (id uuid primary key, name text)',
    'create table crm.users (id int primary key, name text)',
    'create table crm.notes (id int primary key, team_id uuid references crm.teams, user_id int references crm.users)',
    'insert into crm.users select n, null from generate_series(1, 3) n',
    'insert into crm.notes select n, null, n from generate_series(1, 3) n',
  ])
    await database.admin.query(statement)
  const desk = await adopting(database.adminUrl, 'desk', decisions)
  const { tickets, users } = decisions.tables
  const crm = await adopting(database.adminUrl, 'crm', { ...decisions, tables: { users, notes: tickets } })
  for (const { take, fill } of [desk, crm]) {
    await take('expand')
    await fill()
    await take('prove')
  }
  expect(
    await crm.session.query('select distinct n.user_id from crm.notes n join desk.tickets t on t.org_id = n.org_id'),
  ).toEqual([])
  await crm.undo()
  await desk.undo()
})

test('rows that a second organization got in a database of one customer are not left to the first by the way back', async () => {
  for (const statement of [
    'create schema solo',
    'create table solo.tasks (id int primary key, title text)',
    `insert into solo.tasks values (1, 'Of the first')`,
  ])
    await database.admin.query(statement)
  const { session, take, undo } = await adopting(database.adminUrl, 'solo', {
    organizations: { constant: { name: 'Solo', slug: 'solo' } },
  })
  const before = await catalogOf(session, 'solo')
  await take('expand', 'prove', 'swap', 'observe', 'enforce', 'contract')
  await session.query(
    `with made as (insert into platform.organizations (id, name, slug, temporal_namespace) values (gen_random_uuid(), 'Second', 'second', 'second') returning id)
     insert into solo.tasks (id, title, org_id) select 2, 'Of the second', id from made`,
  )
  const up = await catalogOf(session, 'solo')
  const refusal =
    'tasks: 1 rows belong to other organizations than solo, and would become its own: move them into another table, or delete them'
  await expect(undo()).rejects.toThrow(refusal)
  // Nothing was undone.
  expect(await catalogOf(session, 'solo')).toEqual(up)
  await undo('expand')
  await expect(undo()).rejects.toThrow(refusal)
  await session.query('delete from solo.tasks where id = 2')
  await undo()
  expect(await catalogOf(session, 'solo')).toEqual(before)
  expect(await session.query('select * from solo.tasks')).toEqual([{ id: 1, title: 'Of the first' }])
})
