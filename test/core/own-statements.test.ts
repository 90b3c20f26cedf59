import { expect, test } from 'vitest'
import { NotFoundError } from '../../src/core/errors.js'
import type { Query } from '../../src/core/query.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Scope } from '../../src/core/scope.js'
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
