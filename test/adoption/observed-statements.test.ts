import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const one = '00000000-0000-7000-8000-0000000000a1'
const other = '00000000-0000-7000-8000-0000000000b2'

const script = `
create schema seen;
create table seen.teams (id uuid primary key);
create table seen.tasks (id int primary key, team_id uuid not null references seen.teams, title text);
insert into seen.teams values ('${one}'), ('${other}');
insert into seen.tasks select n, case when n % 2 = 0 then '${one}'::uuid else '${other}' end, 'task' from generate_series(1, 20) n
`

test('a statement that names the bound organization is not reported, though it reads the whole table', async () => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
  const { take, fill } = await adopting(database.adminUrl, 'seen')
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe')
  const app = new pg.Client({ connectionString: database.appUrl })
  const told: (string | undefined)[] = []
  app.on('notice', ({ code }) => told.push(code))
  await app.connect()
  onTestFinished(() => app.end())
  const bound = async (statement: string) => {
    await app.query('begin')
    await app.query('select platform.enter_org($1)', [one])
    await app.query('set local enable_indexscan = off')
    await app.query('set local enable_bitmapscan = off')
    await app.query(statement)
    await app.query('rollback')
    return told.splice(0)
  }
  for (const statement of [
    `select id from seen.tasks where org_id = '${one}' and title is distinct from 'x'`,
    `update seen.tasks set title = title where title is distinct from 'x' and org_id = '${one}'`,
    `delete from seen.tasks where org_id = '${one}' and title = 'nobody'`,
    `select count(*) from seen.tasks a join seen.tasks b on b.org_id = a.org_id where a.org_id = '${one}'`,
  ])
    expect([statement, await bound(statement)]).toEqual([statement, []])
  expect(await bound('select id from seen.tasks')).toEqual(['TN102'])
})
