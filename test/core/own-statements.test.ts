import { expect, test } from 'vitest'
import { NotFoundError } from '../../src/core/errors.js'
import type { Query } from '../../src/core/query.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Scope } from '../../src/core/scope.js'
import { type Agent, agents } from '../../src/schema/agents.js'
import { type Task, tasks } from '../../src/schema/tasks.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg } = useTenancy()

/** Every one of these classes has the same name, as classes of a bundle have. */
const tasksOf = (kind: string) =>
  class Found extends ScopedRepository<Task> {
    constructor(scope: Scope) {
      super(scope, tasks)
    }

    all(): Query<Task[]> {
      const statement = this.query(
        'all',
        ({ sql, selected, visible }) => `select ${selected} from ${sql} where ${visible} and kind = '${kind}'`,
      )
      return this.runRows(statement, () => [])
    }
  }

test('two classes of one name have statements of their own', async () => {
  const org = await newOrg()
  await org.tasks.enqueue({ kind: 'mail' })
  await org.tasks.enqueue({ kind: 'call' })
  for (const kind of ['mail', 'call']) {
    expect((await org.repository(tasksOf(kind)).all()).map((task) => task.kind)).toEqual([kind])
  }
})

test('guarded changes that differ only in what they read from have plans of their own', async () => {
  class Marked extends ScopedRepository<Task> {
    constructor(scope: Scope) {
      super(scope, tasks)
    }

    mark(id: string, from: string): Query<Task> {
      const change = {
        set: '"kind" = mark.word',
        from,
        when: 'true',
        ask: 'true',
        refuse: () => new NotFoundError('task'),
      }
      return this.guardedRow('mark', id, change, () => [])
    }
  }
  const org = await newOrg()
  const { id } = await org.tasks.enqueue({ kind: 'mail' })
  const marked = org.repository(Marked)
  for (const word of ['call', 'visit']) {
    expect((await marked.mark(id, `(select '${word}'::text as word) as mark`)).kind).toBe(word)
  }
})

test('a text that names no organization is refused before it is sent', async () => {
  const org = await newOrg()
  class Everything extends ScopedRepository<Task> {
    constructor(scope: Scope) {
      super(scope, tasks)
    }

    all(): Query<Task[]> {
      const statement = this.query('all', ({ sql, selected }) => `select ${selected} from ${sql}`)
      return this.runRows(statement, () => [])
    }
  }
  expect(() => org.repository(Everything).all()).toThrow('must have "org_id" = $1')
})

test('a statement with an uncast parameter is not prepared under a name', async () => {
  const org = await newOrg()
  class ByKind extends ScopedRepository<Task> {
    readonly cast = this.query('cast', ({ sql }) => `select from ${sql} where "org_id" = $1 and kind = $2::text`)
    readonly uncast = this.query('uncast', ({ sql }) => `select from ${sql} where "org_id" = $1 and kind = $2`)

    constructor(scope: Scope) {
      super(scope, tasks)
    }
  }
  const { cast, uncast } = org.repository(ByKind)
  expect(cast.name).not.toBe('')
  expect(uncast.name).toBe('')
})

class Own extends ScopedRepository<Task> {
  constructor(scope: Scope) {
    super(scope, tasks)
  }
  read = (name: string, text: string) =>
    this.run(
      this.query(name, () => text),
      () => [],
      ({ rowCount }) => rowCount,
    )
  write = (name: string, text: string) =>
    this.run(
      this.change(name, () => text),
      () => [],
      ({ rowCount }) => rowCount,
    )
}

test.each([
  `update platform.tasks set kind = 'x' where "org_id" = $1`,
  `with u as (delete from platform.tasks where "org_id" = $1 returning 1) select count(*) from u`,
  `with u as (INSERT INTO platform.tasks ("org_id") values ($1) returning 1) select 1 from u where "org_id" = $1`,
  `select 1 into t from platform.tasks where "org_id" = $1`,
])('a query that writes is refused before it is sent: %s', async (text) => {
  const own = (await newOrg()).repository(Own)
  expect(() => own.read(text, text)).toThrow('is a query and has a word that writes: write it with change()')
})

test.each([
  `select from platform.tasks where "org_id" = $1 for no key update`,
  `select "update" from (select 'delete from t' as "update" from platform.tasks where "org_id" = $1) as merged`,
])('a query that only reads or locks is sent: %s', async (text) => {
  expect(await (await newOrg()).repository(Own).read(text, text)).toBe(0)
})

test('a change that writes another table which is audited is refused before it is sent', async () => {
  const own = (await newOrg()).repository(Own)
  const behind = `update platform.tasks set kind = 'x' where "org_id" = $1`
  for (const cte of [
    `with a as (update only platform.agents set name = 'x' where "org_id" = $1 returning 1)`,
    `with a as (delete from "agents" where "org_id" = $1 returning 1)`,
    `with a as (insert into platform."agents" ("org_id") values ($1) on conflict do nothing returning 1)`,
  ])
    expect(() => own.write(cte, `${cte} ${behind}`)).toThrow('writes the audited table agents without an entry')
  const unaudited = `with u as (delete from platform.task_leftovers where "org_id" = $1 returning 1)`
  await expect(own.write('unaudited', `${unaudited} ${behind}`)).rejects.toThrow('the database refused')

  class Renamed extends ScopedRepository<Agent> {
    constructor(scope: Scope) {
      super(scope, agents)
    }
    rename = () =>
      this.change('rename', ({ sql, visible, owned }) => ({
        verb: 'update',
        ctes: [`other as (update ${sql} set "name" = 'by the CTE' where ${owned} returning 1)`],
        head: `update ${sql} set "name" = 'x'`,
        where: visible,
        returning: '',
      }))
  }
  const renamed = (await newOrg()).repository(Renamed)
  expect(() => renamed.rename()).toThrow(
    'Renamed: the statement rename writes the audited table agents without an entry',
  )
})
