import { expect, test } from 'vitest'
import { type AdoptionStatus, fillRows, statusOf, takeStep, undoSteps } from '../../src/adoption/run-step.js'
import { type StepName, stepNames } from '../../src/adoption/plan.js'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, rowsOf, statementsOf } from '../support/adopting.js'
import { mortal, watched } from '../support/mortal-session.js'

const database = useDatabase()

const script = `
create schema cut;
create table cut.teams (id int primary key, name text);
create table cut.projects (id int primary key, team_id int references cut.teams, slug text unique);
create table cut.tasks (id int primary key, project_id int references cut.projects on delete cascade, touched int not null default 0);
create index tasks_project_id on cut.tasks (project_id);
create function cut.touch() returns trigger language plpgsql as 'begin new.touched := old.touched + 1; return new; end';
create trigger touched before update on cut.tasks for each row execute function cut.touch();
insert into cut.teams select n, 'Cut ' || n from generate_series(1, 3) n;
insert into cut.projects select n, case when n < 40 then 1 + n % 3 end, 'p' || n from generate_series(1, 41) n;
insert into cut.tasks select n, 1 + n % 41 from generate_series(1, 1200) n
`

/** A statement of the work itself, and not of the migrator's bookkeeping. */
const isWork = (text: string) =>
  /^(?:alter|create (?!table "platform_migrations|schema "platform_migrations)|drop|do |with )/.test(text.trim())

test('killed after every second statement, expand and prove are undone from where they are', async () => {
  for (const statement of statementsOf(script.replaceAll('cut.', 'half.').replaceAll('schema cut', 'schema half')))
    await database.admin.query(statement)
  const { session, plan, take, fill } = await adopting(database.adminUrl, 'half', {
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
    tables: {
      projects: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' },
      tasks: { kind: 'tenant', way: { parent: 'tasks_project_id_fkey' }, unreached: 'quarantine' },
    },
  })
  const before = { rows: await rowsOf(session, 'half'), catalog: await catalogOf(session, 'half') }
  for (const name of ['expand', 'prove'] as const) {
    const filled = { rows: await rowsOf(session, 'half'), catalog: await catalogOf(session, 'half') }
    for (let statements = 1; ; statements += 2) {
      let commits = 0
      let isAtWork = false
      const { session: cut, died } = await mortal(database, (text) => {
        isAtWork ||= isWork(text)
        return isAtWork && text === 'commit' && ++commits === statements
      })
      await takeStep(cut, plan, name).catch(() => undefined)
      await cut.close()
      if (!died()) break
      const { steps } = await statusOf(session, plan)
      if (steps.some((step) => step.name === name && step.state === 'half up')) {
        await expect(undoSteps(session, plan, { to: name })).rejects.toThrow(`${name} is half taken`)
        expect((await statusOf(session, plan)).steps).toEqual(steps)
      }
      await undoSteps(session, plan)
      expect(await catalogOf(session, 'half')).toEqual(filled.catalog)
      expect(await rowsOf(session, 'half')).toEqual(filled.rows)
    }
    if (name === 'expand') await fill()
  }
  await take('swap')
  await undoSteps(session, plan, { all: true })
  expect(await catalogOf(session, 'half')).toEqual(before.catalog)
  expect(await rowsOf(session, 'half')).toEqual(before.rows)
})

test('killed after every statement and every commit, each step ends as if nothing had happened', async () => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
  const decisions = {
    tables: {
      projects: { kind: 'tenant' as const, way: { column: 'team_id' }, unreached: 'quarantine' as const },
      tasks: { kind: 'tenant' as const, way: { parent: 'tasks_project_id_fkey' }, unreached: 'quarantine' as const },
    },
  }
  const { session, plan } = await adopting(database.adminUrl, 'cut', decisions)
  const before = { rows: await rowsOf(session, 'cut'), catalog: await catalogOf(session, 'cut') }
  let kills = 0

  /** Repeats the work: killed after its first statement, then after its first commit of one, and so on, until nothing is left to kill. */
  async function untilDone(work: (session: Session) => Promise<unknown>): Promise<void> {
    for (;;) {
      for (const afterCommit of [false, true]) {
        let worked = false
        const { session: cut, died } = await mortal(database, (text) => {
          worked ||= isWork(text)
          return worked && (afterCommit ? text === 'commit' : isWork(text))
        })
        const error = await work(cut).then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
        await cut.close()
        if (!died()) {
          expect(error).toBeUndefined()
          return
        }
        expect(String(error)).toContain('the connection was lost. Run it again')
        kills += 1
      }
    }
  }

  let filled: AdoptionStatus['backfill'] = []
  for (const name of stepNames) {
    await untilDone((cut) => takeStep(cut, plan, name))
    if (name === 'expand') await untilDone((cut) => fillRows(cut, plan, { batchMs: 0.001 }))
    if (name === 'prove') filled = (await statusOf(session, plan)).backfill
  }
  const applied = (status: AdoptionStatus): StepName[] =>
    status.steps.filter(({ state }) => state === 'applied').map(({ name }) => name)
  expect(applied(await statusOf(session, plan))).toEqual([...stepNames])
  expect(filled).toEqual([
    { name: 'organizations of teams', rows: 3, filled: 3, unreached: 0, isDone: true },
    { name: 'projects', rows: 41, filled: 39, unreached: 2, isDone: true },
    { name: 'tasks', rows: 1200, filled: 1142, unreached: 58, isDone: true },
  ])
  // Only the rows that nobody owns are away, and no trigger has changed one.
  expect(await session.query('select count(*)::int as count, max(touched) as touched from cut.tasks')).toEqual([
    { count: 1142, touched: 0 },
  ])
  for (const name of stepNames.toReversed()) {
    const to = stepNames[stepNames.indexOf(name) - 1]
    await untilDone((cut) => undoSteps(cut, plan, to === undefined ? { all: true } : { to }))
  }
  expect(await catalogOf(session, 'cut')).toEqual(before.catalog)
  expect(await rowsOf(session, 'cut')).toEqual(before.rows)
  expect(kills).toBeGreaterThan(150)
})

test('what changes while a step is half taken stops it, and a policy that comes while enforce runs is told', async () => {
  for (const statement of statementsOf(script.replaceAll('cut.', 'amid.').replaceAll('schema cut', 'schema amid')))
    await database.admin.query(statement)
  const { session, plan, take, fill, undo } = await adopting(database.adminUrl, 'amid', {
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
    tables: {
      projects: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' },
      tasks: { kind: 'tenant', way: { parent: 'tasks_project_id_fkey' }, unreached: 'quarantine' },
    },
  })
  /** Takes a step, and dies after its first statement. */
  const begin = async (name: StepName) => {
    let isAtWork = false
    const { session: dying } = await mortal(database, (text) => {
      isAtWork ||= isWork(text)
      return isAtWork && text === 'commit'
    })
    await expect(takeStep(dying, plan, name)).rejects.toThrow('the connection was lost')
    await dying.close()
    const { steps } = await statusOf(session, plan)
    expect(steps.find((step) => step.name === name)).toMatchObject({ state: 'half up' })
  }
  const change = async (text: string) => {
    await database.admin.query(text)
  }
  await take('expand')
  await fill()
  await begin('prove')
  await change('alter table amid.tasks add note text')
  await expect(take('prove')).rejects.toThrow('tasks has got the column note text')
  await change('alter table amid.tasks drop note')
  await take('prove')
  await begin('swap')
  await take('swap', 'observe')
  await begin('enforce')
  await change('create policy later on amid.tasks for select using (true)')
  await expect(take('enforce')).rejects.toThrow('tasks has got the policy later')
  await change('drop policy later on amid.tasks')
  let isAdded = false
  const seen = await watched(database.adminUrl, async (text) => {
    if (isAdded || !/drop policy "?org_observed"? on/.test(text)) return
    isAdded = true
    await change('create policy later on amid.tasks for select using (true)')
  })
  await expect(takeStep(seen, plan, 'enforce')).rejects.toThrow('tasks has got the policy later')
  await change('drop policy later on amid.tasks')
  await take('enforce', 'contract')
  await undo()
})
