import { expect, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, statementsOf } from '../support/adopting.js'

const database = useDatabase()

test('the way back is refused while rows without a way belong to another organization than the one that a decision gave them', async () => {
  for (const statement of statementsOf(`
create schema elsewhere;
create table elsewhere.teams (id int primary key, name text);
create table elsewhere.tasks (id int primary key, team_id int references elsewhere.teams);
insert into elsewhere.teams values (1, 'one');
insert into elsewhere.tasks values (1, 1), (2, null)`))
    await database.admin.query(statement)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'elsewhere', {
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
    tables: { tasks: { kind: 'tenant', way: { column: 'team_id' }, unreached: { constant: 'house' } } },
  })
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe', 'enforce')
  // As code does that knows organizations, and teams no more.
  await session.query('insert into elsewhere.tasks (id, org_id) select 3, org_id from elsewhere.tasks where id = 1')
  const refused =
    'tasks: 1 rows belong to other organizations than house, and would become its own: move them into another table, or delete them'
  await expect(undo()).rejects.toThrow(refused)
  const mend = () => session.query('update elsewhere.tasks set team_id = 1 where id = 3')
  await mend()
  await take('contract')
  await session.query('update elsewhere.tasks set team_id = null where id = 3')
  await expect(undo()).rejects.toThrow(refused)
  await mend()
  await undo()
  expect(await session.query('select id, team_id from elsewhere.tasks order by id')).toEqual([
    { id: 1, team_id: 1 },
    { id: 2, team_id: null },
    { id: 3, team_id: 1 },
  ])
})

test('a team that is deleted and inserted again with its id keeps its organization', async () => {
  for (const statement of statementsOf(`
create schema again;
create table again.teams (id int primary key, name text);
create table again.tasks (id int primary key, team_id int references again.teams);
insert into again.teams values (1, 'one');
insert into again.tasks values (1, 1)`))
    await database.admin.query(statement)
  const { session, take } = await adopting(database.adminUrl, 'again', {
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
  })
  await take('expand')
  await session.query('insert into again.tasks values (2, 1)')
  const owner = async (id: number) => (await session.query(`select org_id from again.tasks where id = ${id}`))[0]
  const before = await owner(2)
  await session.query('delete from again.tasks')
  await session.query('delete from again.teams')
  await session.query(`insert into again.teams values (1, 'another')`)
  await session.query('insert into again.tasks values (3, 1)')
  expect(await owner(3)).toEqual(before)
})
