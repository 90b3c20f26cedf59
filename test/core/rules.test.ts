import { beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { ForbiddenError } from '../../src/core/errors.js'
import type { Call, Executor } from '../../src/core/executor.js'
import { newId } from '../../src/core/ids.js'
import type { Change, Rules } from '../../src/core/rules.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { contextOf } from '../support/scope-context.js'
import { comments, links, makeToyTables, notes } from '../support/toy-tables.js'

const database = useDatabase()
beforeAll(() => makeToyTables(database.admin))

interface Note {
  readonly orgId: string
  readonly id: string
  readonly slug: string | null
  readonly code: string | null
  readonly title: string
  readonly status: string
  readonly revision: number
  readonly deletedAt: Date | null
}

const newNote = z.strictObject({
  title: z.string(),
  slug: z.string().optional(),
  code: z.string().optional(),
})
const withSecret = z.strictObject({ title: z.string(), secret: z.string().optional() })
const link = z.strictObject({ fromId: z.string(), toId: z.string() })

/** Every verb there is, over a table that is audited, counted and has a sealed column. */
class Notes extends ScopedRepository<Note> {
  constructor(scope: Scope) {
    super(scope, notes, { limit: 'max_notes' })
  }

  create = (values: object) => this.insertRow(newNote, values)
  createSecret = (values: object) => this.insertRow(withSecret, values)
  createMany = (values: readonly object[]) => this.insertRows(newNote, values)
  createSecrets = (values: readonly object[]) => this.insertRows(withSecret, values)
  append = (values: readonly object[]) => this.appendRows(newNote, values)
  put = (values: object) => this.putRow(newNote, values, 'notes_code_key')
  rename = (id: string, title: string) => this.updateRow(newNote.partial(), id, { title })
  keep = (id: string, secret: string) => this.updateRow(withSecret.partial(), id, { secret })
  renameAll = (title: string) => this.updateRows({ status: 'open' }, { title })
  close = (id: string) => this.transitionRow(id, { verb: 'close', from: ['open'], to: 'closed' })
  hide = (id: string) => this.hideRow(id)
  restore = (id: string) => this.restoreRow(id)
  purge = (id: string) => this.purgeRow(id)
  remove = (id: string) => this.deleteRow(id)
  removeAll = (title: string) => this.deleteRows({ title })
  link = (values: object) => this.child(links).linkRow(link, values)
  comment = (noteId: string) => this.child(comments).insertRow(z.strictObject({ noteId: z.string() }), { noteId })
  open = () =>
    this.runRows(
      this.query('open', ({ sql, selected, visible }) => `select ${selected} from ${sql} where ${visible}`),
      () => [],
    )
  shout = () =>
    this.run(
      this.shouting(),
      () => [],
      ({ rowCount }) => rowCount,
    )

  private shouting() {
    return this.change('shout', ({ sql, visible }) => ({
      verb: 'update',
      ctes: [],
      head: `update ${sql} set "title" = upper("title")`,
      where: visible,
      returning: '1',
    }))
  }
}

interface Recorded {
  readonly asked: string[]
  readonly changes: Change[]
  readonly reserved: string[]
  readonly sealed: string[]
}

const text = new TextEncoder()

/** Rules that write down what they were asked, in its order. */
function recording(): { rules: Rules; seen: Recorded } {
  const seen: Recorded = { asked: [], changes: [], reserved: [], sealed: [] }
  const rules: Rules = {
    authorize: (permission) => void seen.asked.push(permission),
    projectsWith: () => undefined,
    fallbackPlan: undefined,
    flags: undefined,
    audit(change, call) {
      seen.changes.push(change)
      return call
    },
    reserve({ limit, values: [, rows] }) {
      seen.reserved.push(`${limit} ${typeof rows === 'number' ? rows : 'for one that comes back'}`)
      return []
    },
    seal({ cells }) {
      seen.sealed.push(...cells.map(({ rowId }) => rowId))
      const values = cells.map((cell) => text.encode(`${cell.rowId}:${cell.text}`))
      return { ask: undefined, seal: () => Promise.resolve({ values, before: [] }) }
    },
    wrappedKey: () => 'null',
    open: () => Promise.resolve(''),
  }
  return { rules, seen }
}

async function withNotes(
  work: (all: { notes: Notes; seen: Recorded; scope: DirectScope; orgId: string }) => Promise<void>,
) {
  const executor = openNodePostgres({ pool: { connectionString: database.appUrl, max: 2 } })
  const orgId = await createOrganization(database.admin)
  const { rules, seen } = recording()
  const scope = new DirectScope(contextOf(orgId, rules), executor)
  try {
    await work({ notes: new Notes(scope), seen, scope, orgId })
  } finally {
    await executor.close({ drain: 0 })
  }
}

const change = (event: string, resource = 'notes') => ({ plan: { resource }, event, isOne: true })
const changeOfMany = (event: string) => ({ ...change(event), isOne: false })

test('every verb asks for its permission, and every change of an audited table passes the audit log', () =>
  withNotes(async ({ notes, seen }) => {
    const { id } = await notes.create({ title: 'One', slug: 'one', code: 'c1' })
    const calls: [name: string, call: () => PromiseLike<unknown>, asked: string, change?: object][] = [
      ['find', () => notes.find(id), 'notes:read'],
      ['get', () => notes.get(id), 'notes:read'],
      ['findMany', () => notes.findMany([id]), 'notes:read'],
      ['getMany', () => notes.getMany([id]), 'notes:read'],
      ['list', () => notes.list(), 'notes:read'],
      ['count', () => notes.count(), 'notes:read'],
      ['exists', () => notes.exists(), 'notes:read'],
      ['open', () => notes.open(), 'notes:read'],
      ['create', () => notes.create({ title: 'Two' }), 'notes:write', change('create')],
      ['createMany', () => notes.createMany([{ title: 'T' }]), 'notes:write', changeOfMany('create')],
      ['append', () => notes.append([{ title: 'T' }]), 'notes:write', changeOfMany('create')],
      ['put', () => notes.put({ title: 'P', code: 'c1' }), 'notes:write', change('put')],
      ['rename', () => notes.rename(id, 'R'), 'notes:write', change('update')],
      ['renameAll', () => notes.renameAll('A'), 'notes:write', changeOfMany('update')],
      ['shout', () => notes.shout(), 'notes:write', changeOfMany('shout')],
      ['close', () => notes.close(id), 'notes:write', change('close')],
      ['hide', () => notes.hide(id), 'notes:write', change('delete')],
      ['restore', () => notes.restore(id), 'notes:write', change('restore')],
      ['link', () => notes.link({ fromId: id, toId: id }), 'notes:write', change('create', 'links')],
      ['comment', () => notes.comment(id), 'notes:write'],
      ['removeAll', () => notes.removeAll('T'), 'notes:write', changeOfMany('delete')],
      ['remove', () => notes.remove(newId()), 'notes:write', change('delete')],
      ['purge', () => notes.purge(newId()), 'notes:write', change('purge')],
    ]
    for (const [name, call, asked, change] of calls) {
      seen.asked.length = 0
      seen.changes.length = 0
      await Promise.allSettled([call()])
      expect({ name, asked: seen.asked }).toEqual({ name, asked: [asked] })
      expect({ name, changes: seen.changes }).toMatchObject({ name, changes: change === undefined ? [] : [change] })
    }
  }))

test('a refusal comes before the input is looked at, and nothing is sent', async () => {
  let sent = 0
  const executor = { run: () => Promise.reject(new Error(`sent ${++sent}`)) } as unknown as Executor
  const authorize = (permission: string) => {
    throw new ForbiddenError(permission)
  }
  const notes = new Notes(new DirectScope(contextOf(newId(), { authorize }), executor))
  for (const call of [
    () => notes.create({}),
    () => notes.createSecret({}),
    () => notes.get('no id'),
    () => notes.shout(),
  ]) {
    await expect(call()).rejects.toThrow(ForbiddenError)
  }
  expect(sent).toBe(0)
})

test('rows are counted against the limit in front of each insert, and of no other call', () =>
  withNotes(async ({ notes, seen }) => {
    const { id } = await notes.create({ title: 'One' })
    await notes.createMany([{ title: 'a' }, { title: 'b' }])
    await notes.append([{ title: 'c' }])
    await notes.createMany([])
    await notes.rename(id, 'Two')
    await notes.hide(id)
    await notes.restore(id)
    expect(seen.reserved).toEqual(['max_notes 1', 'max_notes 2', 'max_notes 1', 'max_notes for one that comes back'])
  }))

test('a secret is sealed for the id of the row that keeps it', () =>
  withNotes(async ({ notes, seen, orgId }) => {
    const made = await notes.createSecret({ title: 'One', secret: 'x' })
    const many = await notes.createSecrets([
      { title: 'Two', secret: 'y' },
      { title: 'Three', secret: 'z' },
    ])
    await notes.keep(made.id, 'new')
    expect(seen.sealed).toEqual([made.id, ...many.map(({ id }) => id), made.id])
    const rows = await database.admin.query<{ id: string; secret: string }>(
      `select id, convert_from(secret, 'UTF8') as secret from toys.notes where org_id = $1 order by id`,
      [orgId],
    )
    const [two = made, three = made] = many
    expect(rows).toEqual([
      { id: made.id, secret: `${made.id}:new` },
      { id: two.id, secret: `${two.id}:y` },
      { id: three.id, secret: `${three.id}:z` },
    ])
    expect(made).not.toHaveProperty('secret')
  }))

test('a call that seals keeps its place among the calls of its transaction', () =>
  withNotes(async ({ scope, orgId }) => {
    const order: string[] = []
    await scope.transaction(async (inner) => {
      const notes = new Notes(inner)
      const sealed = notes.createSecret({ title: 'first', secret: 'x' }).then(() => order.push('first'))
      const plain = notes.create({ title: 'second' }).then(() => order.push('second'))
      await Promise.all([sealed, plain])
    })
    expect(order).toEqual(['first', 'second'])
    const rows = await database.admin.query('select title from toys.notes where org_id = $1 order by ctid', [orgId])
    expect(rows).toEqual([{ title: 'first' }, { title: 'second' }])
  }))

test('a call that seals can stand in a batch, and takes its input once', () =>
  withNotes(async ({ scope }) => {
    const input = { title: 'One', secret: 'x' }
    const [made] = await scope.batch((inner) => {
      const call = new Notes(inner).createSecret(input)
      input.title = 'changed'
      return [call]
    })
    expect(made.title).toBe('One')
  }))

test('without a rule that seals, a secret is refused and nothing is sent', async () => {
  const sent: Call[] = []
  const executor = { run: (_: unknown, calls: readonly Call[]) => sent.push(...calls) } as unknown as Executor
  const notes = new Notes(new DirectScope(contextOf(newId()), executor))
  await expect(notes.createSecret({ title: 'One', secret: 'x' })).rejects.toThrow('no keys to seal it with')
  expect(sent).toEqual([])
})
