import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import {
  DefinitionError,
  InvalidInputError,
  IsolationError,
  QueryError,
  TenantryError,
  UnavailableError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Query } from '../../src/core/query.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import { loadKeyring } from '../../src/encryption/keyring.js'
import { agents, tasks } from '../../src/schema/index.js'
import { openTenancy } from '../../src/tenancy.js'
import { failureOf } from '../support/toy-schema.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg } = useTenancy()

type Row = Readonly<Record<string, unknown>>

/** A repository whose author makes every mistake there is. */
class Bots extends ScopedRepository<Row> {
  constructor(scope: Scope) {
    super(scope, agents)
  }

  given = (...values: readonly unknown[]): Query<Row[]> => {
    const statement = this.query(
      'two names',
      ({ sql, selected, visible }) => `select ${selected} from ${sql} where ${visible} and "name" in ($2, $3)`,
    )
    return this.runRows(statement, () => values)
  }

  unowned = (): Query<Row[]> => {
    const statement = this.query('everybody', ({ sql, selected }) => `select ${selected} from ${sql}`)
    return this.runRows(statement, () => [])
  }

  findByColour = (): Query<Row | undefined> => this.findRow({ colour: 'red' })
  create = (values: Row) => this.insertRow(z.looseObject({}), values)
  createMany = (values: readonly Row[]) => this.insertRows(z.looseObject({}), values)
  update = (id: string, values: Row) => this.updateRow(z.looseObject({}), id, values)
  updateWhere = (values: Row) => this.updateRows({ name: 'Ada' } as object, values)
  delete = (id: string) => this.deleteRow(id)
}

const ada = { name: 'Ada', username: 'ada' }

test('a wrong number of values is an error that names the statement, and the scope stays usable', async () => {
  const org = await newOrg()
  const bots = org.repository(Bots)
  await expect(bots.given('Ada', 'Eve')).resolves.toEqual([])
  for (const values of [[], ['Ada'], ['Ada', 'Eve', 'Bob']]) {
    const error = await failureOf(bots.given(...values))
    expect(error).toBeInstanceOf(DefinitionError)
    expect(error.message).toContain('Bots: the statement two names ')
    expect(error.message).toContain(`takes 3 values, and ${values.length + 1} were given`)
  }
  await expect(org.transaction((org) => org.repository(Bots).given('Ada'))).rejects.toThrow('two names')
  await expect(org.batch((org) => [org.agents.count(), org.repository(Bots).given('Ada')])).rejects.toThrow('two names')
  await expect(bots.given('Ada', 'Eve')).resolves.toEqual([])
})

test('a value of a statement that cannot be sent is named by its place', async () => {
  const org = await newOrg()
  for (const value of [circular, { count: 1n }, () => 1, Symbol('secret'), new Date(NaN)]) {
    const error = await failureOf(org.repository(Bots).given('Ada', value))
    expect(error).toMatchObject({ faults: [{ field: '$3' }] })
    expect(error.message).not.toContain('secret')
  }
})

test('text of the builder with another number of values is a refused statement, not a database that is gone', async () => {
  const org = await newOrg()
  const error = await failureOf(org.db.execute(sql.raw('select $1::text')))
  expect(error).toBeInstanceOf(DefinitionError)
  expect(error.message).toContain('takes 1 value, and 0 were given')
})

test('transaction() of the builder, which its type leaves out, says what to call', async () => {
  const { db } = await newOrg()
  const work = vi.fn()
  const untyped = db as unknown as { transaction: (work: () => unknown) => Promise<unknown> }
  const error = await failureOf(untyped.transaction(work))
  expect(error).toBeInstanceOf(DefinitionError)
  expect(error.message).toContain('org.transaction(')
  expect(work).not.toHaveBeenCalled()
})

test('a statement that names no organization is refused by its name', async () => {
  const org = await newOrg()
  const error = await failureOf((async () => org.repository(Bots).unowned())())
  expect(error).toBeInstanceOf(DefinitionError)
  expect(error.message).toMatch(/everybody.* must have "?org_id"? = \$1/)
})

test('a column that the table does not have is a fault of who names it', async () => {
  const org = await newOrg()
  const bots = org.repository(Bots)
  const named = await failureOf(bots.findByColour())
  expect(named).toBeInstanceOf(DefinitionError)
  expect(named.message).toContain('agents has no column colour')
  const calls = [
    () => bots.create({ ...ada, colour: 'red' }),
    () => bots.createMany([{ ...ada, colour: 'red' }]),
    () => bots.update(newId(), { colour: 'red' }),
    () => bots.updateWhere({ colour: 'red' }),
  ]
  for (const call of calls) expect(await failureOf(call())).toMatchObject({ faults: [{ field: 'colour' }] })
})

const circular: Record<string, unknown> = {}
circular.self = circular

function nested(depth: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < depth; level++) value = [value]
  return value
}

const unstorable: readonly (readonly [what: string, field: 'settings' | 'createdAt', value: unknown])[] = [
  ['a circle', 'settings', circular],
  ['a BigInt in JSON', 'settings', { count: 1n }],
  ['JSON 65 deep', 'settings', nested(65)],
  ['JSON 100,000 deep', 'settings', nested(100_000)],
  ['JSON of more than a megabyte', 'settings', 'a'.repeat(1_048_577)],
  ['a function for JSON', 'settings', () => 1],
  ['text for a timestamp', 'createdAt', 'yesterday'],
  ['a Date that is none', 'createdAt', new Date(NaN)],
  ['a number for a timestamp', 'createdAt', 5],
]

test.each(unstorable)('%s is refused by the name of its field, before anything is sent', async (_, field, value) => {
  const org = await newOrg()
  const bots = org.repository(Bots)
  const calls = [
    () => bots.create({ ...ada, [field]: value }),
    () => bots.createMany([{ ...ada, [field]: value }]),
    () => bots.update(newId(), { [field]: value }),
    () => bots.updateWhere({ [field]: value }),
    // The builder takes the type of a column at its word.
    async () => org.db.insert(agents).values({ orgId: org.id, id: newId(), ...ada, [field]: value }),
    async () => org.db.update(agents).set({ [field]: value }),
  ]
  for (const call of calls) {
    const error = await failureOf(call())
    expect(error).toBeInstanceOf(InvalidInputError)
    expect(error.message).toMatch(field === 'settings' ? /^settings: / : /^created(?:At|_at): /)
  }
})

test('the largest JSON that is taken is stored as it is', async () => {
  const org = await newOrg()
  const settings = { list: nested(62), text: '[{"'.repeat(10_000) }
  const made = await org.repository(Bots).create({ ...ada, settings })
  expect(made.settings).toEqual(settings)
})

test('deleting a row that others refer to is an error that names their resource and no field', async () => {
  const org = await newOrg()
  const { id } = await org.agents.create(ada)
  await org.tasks.enqueue({ kind: 'mail', agentId: id })
  const inUse = {
    code: 'broken_reference',
    resource: 'agents',
    fields: [],
    referredBy: 'tasks',
    message: 'agents: this row cannot be deleted, because rows of tasks refer to it',
  }
  expect(await failureOf(org.repository(Bots).delete(id))).toMatchObject(inUse)
  expect(await failureOf((async () => org.db.delete(agents))())).toMatchObject(inUse)
  const deferred = org.transaction((org) => org.repository(Bots).delete(id))
  expect(await failureOf(deferred)).toMatchObject(inUse)
})

test('a row that refers to nothing names the field', async () => {
  const org = await newOrg()
  const values = { orgId: org.id, id: newId(), kind: 'mail', agentId: newId() }
  expect(await failureOf((async () => org.db.insert(tasks).values(values))())).toMatchObject({
    resource: 'tasks',
    fields: ['agentId'],
    referredBy: undefined,
    message: 'tasks: agentId does not refer to a row of this organization',
  })
})

test('a value that must not be missing names its field', async () => {
  const org = await newOrg()
  const missing = { faults: [{ field: 'username', reason: 'is required' }] }
  expect(await failureOf(org.repository(Bots).create({ name: 'Ada' }))).toMatchObject(missing)
  expect(
    await failureOf(
      (async () =>
        org.db.execute(sql`
    insert into platform.agents (org_id, id, name) values (${org.id}, ${newId()}, 'Ada')`))(),
    ),
  ).toMatchObject(missing)
})

test('a column that the server does not know is a refused statement', async () => {
  const org = await newOrg()
  const error = await failureOf(org.db.execute(sql`select colour from platform.agents`))
  expect(error).toBeInstanceOf(QueryError)
  expect(error).toMatchObject({ status: 500 })
})

test('a prepared query of the builder refuses a placeholder without a value, and one that its column cannot write', async () => {
  const org = await newOrg()
  const values = { orgId: org.id, id: newId(), ...ada, createdAt: sql.placeholder('at') }
  const insert = org.db.insert(agents).values(values).returning({ name: agents.name }).prepare('insert')
  for (const given of [{}, undefined, { at: 'yesterday' }]) {
    expect(await failureOf((async () => insert.execute(given))())).toBeInstanceOf(InvalidInputError)
  }
  expect(await insert.execute({ at: new Date() })).toEqual([{ name: 'Ada' }])
})

test('a folder that cannot hold the embedded database, or the keys of development, is named', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'tenantry-')), 'file')
  writeFileSync(file, '')
  const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
  const database = await failureOf(openTenancy({ embedded: join(file, 'data'), keys }))
  expect(database).toBeInstanceOf(UnavailableError)
  expect(database.message).toContain(`${join(file, 'data')} cannot be opened: EEXIST`)
  const cwd = vi.spyOn(process, 'cwd').mockReturnValue(file)
  try {
    expect(() => loadKeyring(undefined, {})).toThrow(InvalidInputError)
  } finally {
    cwd.mockRestore()
  }
})

test('every error of the tests above is a TenantryError without values in its message', async () => {
  const org = await newOrg()
  const secret = 'hunter2'
  for (const settings of [Object.assign(() => secret, { secret }), { secret, self: circular, count: 1n }]) {
    const error = await failureOf(org.repository(Bots).create({ ...ada, settings }))
    expect(error).toBeInstanceOf(TenantryError)
    expect(error.message + JSON.stringify(error)).not.toContain(secret)
  }
})

test('an insert through org.db without orgId is refused with a hint at it', async () => {
  const org = await newOrg()
  const insert = org.db.insert(agents).values({ id: newId(), name: 'A', username: 'a' } as never)
  await expect(insert).rejects.toThrow(IsolationError)
  await expect(insert).rejects.toThrow('or gave a row no organization')
})
