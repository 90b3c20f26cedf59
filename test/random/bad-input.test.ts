import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { DefinitionError, InvalidInputError, UnavailableError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { parseInput } from '../../src/core/values.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import type { Org } from '../../src/org.js'
import { Projects } from '../../src/repositories/projects.js'
import { tasks } from '../../src/schema/index.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { openWithout } from '../../src/testing/walls.js'
import { contextOf } from '../support/scope-context.js'
import { badInputs } from './bad-input.js'
import type { Entry } from './bad-input-side.js'

const database = useDatabase()
let tenancy: Tenancy
let count: () => number

beforeAll(async () => {
  const opened = await openWithout(database)
  tenancy = opened.tenancy
  count = opened.count
})
afterAll(() => tenancy.close({ drain: 0 }))

const newOrg = async (): Promise<Org> => tenancy.forOrg(await createOrganization(database.admin))

/** Refused for its shape, and nothing was sent. */
async function expectRefused(
  work: () => unknown,
  reason?: string | RegExp,
  type: typeof InvalidInputError | typeof DefinitionError = InvalidInputError,
): Promise<void> {
  const before = count()
  const refusal: unknown = await Promise.resolve()
    .then(work)
    .catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(type)
  if (reason !== undefined) expect(() => throwAgain(refusal)).toThrow(reason)
  expect(count() - before).toBe(0)
}

function throwAgain(error: unknown): never {
  throw error
}

function catchSync(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}

const throwing = (): never => {
  throw new Error('a trap of the input')
}

function revoked<T extends object>(target: T): T {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

function endless<T>(list: T[]): T[] {
  return Object.defineProperty(list, Symbol.iterator, {
    *value() {
      for (;;) yield undefined
    },
  })
}

test('thousands of bad inputs end in a typed error, or are right after all', async () => {
  const report = await badInputs({ ...database, inputs: 4000, seed: 1 })
  expect(report.faults).toEqual([])
  expect(Object.keys(report.outcomes)).toEqual(expect.arrayContaining(['InvalidInputError', 'NotFoundError', 'done']))
})

test('an untyped error, a late refusal and an effect elsewhere are found', async () => {
  const args = () => ['name']
  const planted: Entry[] = [
    { name: 'untyped', args, call: (_, [name]) => (name as string).slice(1) },
    {
      name: 'late',
      args,
      call: async ({ org }, [name]) => {
        await org.agents.count()
        return org.agents.findByUsername(name as string)
      },
    },
    { name: 'rejected by the database', args, call: ({ org }) => org.db.execute('select nothing') },
    {
      name: 'elsewhere',
      args,
      call: () => database.admin.query(`update platform.customer_profiles set city = 'Taken'`),
    },
  ]
  const { faults } = await badInputs({ ...database, inputs: 200, seed: 1, entries: planted })
  expect(faults).toEqual([
    expect.stringMatching(/^untyped, .*none of ours/),
    expect.stringMatching(/^late, .*refused after 1 round trips/),
    expect.stringMatching(/^rejected by the database, /),
    'rows of another organization have changed',
  ])
})

test('an object or a list that cannot be looked at is refused', async () => {
  const { agents, tasks } = await newOrg()
  await expectRefused(() => agents.create(revoked({ name: 'Ada', username: 'ada' })), 'cannot be read')
  await expectRefused(() => agents.create(new Proxy({} as never, { getPrototypeOf: throwing })), 'cannot be read')
  await expectRefused(() => agents.list(revoked({})), 'cannot be read')
  await expectRefused(() => agents.findMany(revoked([])), 'ids: cannot be read')
  await expectRefused(() => agents.findMany(new Proxy([], { get: throwing })), 'ids: cannot be read')
  await expectRefused(() => agents.count({ createdAt: new Proxy({}, { getPrototypeOf: throwing }) }), 'cannot be read')
  await expectRefused(() => tasks.update(newId(), { runAt: revoked([]) as never }), 'cannot be read')
})

test('a list whose iterator never ends is read by its places', async () => {
  const org = await newOrg()
  const { id } = await org.tasks.enqueue({ kind: 'greet', input: endless([1, 2]) })
  expect((await org.tasks.findMany(endless([id]))).map(({ input }) => input)).toEqual([[1, 2]])
})

test('a list of four billion holes is refused before it is read', async () => {
  const { tasks } = await newOrg()
  const kinds: string[] = []
  kinds.length = 2 ** 32 - 1
  await expectRefused(() => tasks.claim({ owner: 'worker', kinds }), 'kinds: has more than 100 items')
  await expectRefused(() => tasks.enqueue({ kind: 'greet', input: kinds }), 'input: is larger')
})

test('a list with a negative length is refused, and makes no room for a value that is too large', async () => {
  const { tasks } = await newOrg()
  const lying = new Proxy([], { get: (list, key) => (key === 'length' ? -1e9 : (Reflect.get(list, key) as unknown)) })
  const large = ['x'.repeat(1_000_000), 'x'.repeat(1_000_000)]
  await expectRefused(
    () => tasks.enqueue({ kind: 'greet', input: { large, first: [lying] } }),
    'input: contains a list',
  )
})

test('a Date counts as the moment that it says, whatever methods it brings', async () => {
  class LyingDate extends Date {
    override toISOString = throwing
  }
  const { tasks } = await newOrg()
  const moment = Date.UTC(2030, 0, 1)
  const task = await tasks.enqueue({ kind: 'greet', runAt: new LyingDate(moment) })
  expect(task.runAt).toEqual(new Date(moment))
  expect(await tasks.count({ runAt: new LyingDate(moment) })).toBe(1)
})

test('the options of a stream are read once, and refused like those of a list', async () => {
  const { agents } = await newOrg()
  const trap = Object.defineProperty({}, 'status', { enumerable: true, get: throwing })
  await expectRefused(() => agents.stream(trap).next(), 'options: cannot be read')
  await expectRefused(() => agents.stream('active' as never).next(), 'options: must be an object')
})

test('the name of a copy is checked before the agent is read', async () => {
  const { agents } = await newOrg()
  const { id } = await agents.create({ name: 'Ada', username: 'ada' })
  await expectRefused(() => agents.duplicate(id, null as never), 'must be an object')
  await expectRefused(
    () => agents.duplicate(id, { username: 'eve', settings: {} } as never),
    'settings: is not a field',
  )
  await expectRefused(() => agents.duplicate(id, { username: 'Eve' }), 'username')
  expect(await agents.duplicate(id, { username: 'eve' })).toMatchObject({ name: 'Ada', username: 'eve' })
})

test('a change of a schedule is checked before the schedule is read', async () => {
  const org = await newOrg()
  const workflow = await org.workflows.create({ name: 'Triage', slug: 'triage' })
  const plan = { workflowId: workflow.id, cron: '0 * * * *', timezone: 'UTC' }
  const { id } = await org.schedules.create({ name: 'hourly', ...plan })
  await expectRefused(() => org.schedules.update(id, { cron: 'often' }), 'cron: must be five fields')
  await expectRefused(() => org.schedules.update(id, { cron: '0 0 30 2 *' }), 'cron: matches no moment')
  await expectRefused(() => org.schedules.update(id, { timezone: 'Mars' }), 'timezone: must be an IANA time zone')
  await expectRefused(() => org.schedules.update(id, {}), 'there is nothing to change')
  await expectRefused(() => org.schedules.update(id, { name: 'a' }, { revision: 0 }), 'revision')
  await expectRefused(() => org.schedules.update(id, { name: 'a' }, null as never), 'options')
  await expectRefused(() => org.schedules.fire(id, null as never), 'at')
  await expectRefused(() => org.schedules.due(null as never), 'must be an object')
})

test('a project is looked at before its place in the plan is', async () => {
  const orgId = await createOrganization(database.admin)
  const executor = openNodePostgres({ pool: { connectionString: database.appUrl, max: 1 } })
  let reserved = 0
  const reserve = () => {
    reserved++
    return []
  }
  const scope = new DirectScope(contextOf(orgId, { reserve }), executor)
  await expect(new Projects(scope).create({ name: '', slug: 'one' })).rejects.toThrow('name: is blank')
  expect(reserved).toBe(0)
  expect(await new Projects(scope).create({ name: 'One', slug: 'one' })).toMatchObject({ slug: 'one' })
  expect(reserved).toBe(1)
  await executor.close({ drain: 0 })
})

test('the error for an input lists up to twenty faults with their places', async () => {
  const { agents } = await newOrg()
  const ada = { name: 'Ada', username: 'ada' }
  const faultsOf = async (input: object) => {
    const error: unknown = await agents.create(input as never).catch((error: unknown) => error)
    return error instanceof InvalidInputError ? error.faults : error
  }
  const unknown = 'is not a field that can be given'
  expect(await faultsOf({ ...ada, name: ' ', [`${'x'.repeat(60)}y`]: 1, color: 'red' })).toEqual([
    { field: 'name', reason: 'is blank' },
    { field: 'x'.repeat(60), reason: unknown },
    { field: 'color', reason: unknown },
  ])
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`field${index}`, index]))
  expect(await faultsOf({ ...ada, ...many })).toHaveLength(20)

  const deep = z.strictObject({ rooms: z.array(z.strictObject({ name: z.string() })) })
  const rooms = Array.from({ length: 30 }, () => ({ name: 1, size: 2 }))
  const refusal = catchSync(() => parseInput(deep, { rooms }))
  expect(refusal).toBeInstanceOf(InvalidInputError)
  const { faults } = refusal as InvalidInputError
  expect(faults).toHaveLength(20)
  expect(faults[0]).toMatchObject({ field: 'rooms.0.name' })
  expect(faults).toContainEqual({ field: 'rooms.3.size', reason: unknown })
  expect(catchSync(() => parseInput(z.string(), {}))).toMatchObject({ faults: [{ field: '' }] })
})

describe('a batch', () => {
  test('that a bad call ends leaves no rejection that nobody handles', async () => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    const org = await newOrg()
    const worker = { owner: 'worker' }
    await expectRefused(
      () => org.batch(({ tasks }) => [(tasks as Org['tasks']).claim(worker), tasks.find('nobody')]),
      'id:',
    )
    await expectRefused(() =>
      org.batch(({ agents }) => [(agents as Org['agents']).setTools(newId(), []), agents.find('nobody')]),
    )
    const forgotten = () =>
      org.batch(({ tasks }) => {
        void (tasks as Org['tasks']).claim(worker)
        return [tasks.count()]
      })
    await expectRefused(forgotten, undefined, DefinitionError)
    // An unhandled rejection is reported after the microtasks.
    await new Promise(setImmediate)
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })

  test('takes a function that gives a list', async () => {
    const org = await newOrg()
    await expectRefused(() => org.batch(undefined as never), 'batch: the argument must be a function', DefinitionError)
    await expectRefused(() => org.batch(() => null as never), 'batch: only calls', DefinitionError)
    await expectRefused(() => org.batch(() => revoked([])), 'batch: cannot be read')
    await expectRefused(() => org.batch(() => [revoked({})]), 'batch: ', DefinitionError)
  })
})

test.each([
  undefined,
  'tasks',
  {},
  () => 'tasks',
  function* () {
    yield 'tasks'
  },
])('%o is not a repository', async (type) => {
  const org = await newOrg()
  await expectRefused(() => org.repository(type as never), 'repository: must be a class')
})

test('errors that the constructor of a repository throws are passed on', async () => {
  const org = await newOrg()
  const failure = new Error('not today')
  class Refusing extends Projects {
    constructor(scope: DirectScope) {
      super(scope)
      throw failure
    }
  }
  expect(() => org.repository(Refusing as never)).toThrow(failure)
})

test('a transaction takes a function', async () => {
  const org = await newOrg()
  await expectRefused(
    () => org.transaction('work' as never),
    'transaction: the argument must be a function',
    DefinitionError,
  )
})

describe('the options of a scope', () => {
  test('that are misspelt or of another kind are refused', async () => {
    const { id } = await newOrg()
    const forOrg = (options: unknown) => () => tenancy.forOrg(id, options as never)
    await expectRefused(forOrg(null), 'options: must be an object')
    await expectRefused(
      forOrg({ readonly: true }),
      'readonly: is not an option; the options are actor, request, signal, readOnly',
    )
    await expectRefused(
      forOrg({ orgId: newId() }),
      'orgId: is not an option; the options are actor, request, signal, readOnly',
    )
    await expectRefused(
      forOrg({ ports: {} }),
      'ports: is not an option; the options are actor, request, signal, readOnly',
    )
    await expectRefused(forOrg({ ['x'.repeat(100)]: 1 }), new RegExp(`^${'x'.repeat(60)}: is not an option;`))
    await expectRefused(forOrg({ actor: null }), 'actor: must be an actor')
    await expectRefused(forOrg({ request: null }), 'request: must be an object')
    await expectRefused(forOrg({ readOnly: 'no' }), 'readOnly: must be true or false')
    await expectRefused(forOrg({ signal: {} }), 'signal: must be an AbortSignal')
    await expectRefused(
      forOrg({ signal: Object.create(AbortSignal.prototype) as unknown }),
      'signal: must be an AbortSignal',
    )
    const { signal } = new AbortController()
    await expectRefused(forOrg({ signal: Object.create(signal) as unknown }), 'signal: must be an AbortSignal')
    await expectRefused(forOrg({ actor: 'root' }), 'actor: must be an actor')
    await expectRefused(forOrg({ request: 5 }), 'request: must be an object')
  })

  test('that are right are taken', async () => {
    const { id } = await newOrg()
    const { signal } = new AbortController()
    const org = tenancy.forOrg(id, { signal, readOnly: true, request: { id: 'request' } })
    await expect(org.agents.count()).resolves.toBe(0)
  })
})

test('`drain` must be an integer of milliseconds', async () => {
  await expectRefused(() => tenancy.close({ drain: '5' } as never), 'drain: must be an integer of milliseconds')
  await expectRefused(() => tenancy.close({ drain: 2 ** 31 }), 'drain: must be an integer of milliseconds')
  await expectRefused(() => tenancy.close({ wait: 5 } as never), 'wait: is not an option; the options are drain')
  await expectRefused(() => tenancy.close(null as never), 'options: must be an object')
  await expect(tenancy.ping()).resolves.toBeUndefined()
})

test('a repository is refused where it is defined', async () => {
  const create = z.strictObject({ kind: z.string() })
  const patch = create.partial()
  const define = (table: unknown, definition: unknown) => () => defineRepository(table as never, definition as never)
  await expectRefused(define({}, { create, patch }), 'table: must be a table')
  await expectRefused(define(revoked({}), { create, patch }), 'table: cannot be read')
  await expectRefused(define(tasks, null), 'definition: must be an object')
  await expectRefused(define(tasks, { create }), 'patch: must be a zod schema')
  await expectRefused(define(tasks, { create, patch, parent: {} }), 'parent: is not an option')
  await expectRefused(define(tasks, { create, patch, parents: {} }), 'parents: is not an option')
  await expectRefused(
    define(tasks, { create, patch, references: [{ table: 'agents' }] }),
    'references: must be a table',
  )
  await expectRefused(define(tasks, { create, patch, permission: 5 }), 'permission: must be the name')
  for (const limit of ['max tasks', '\0', '', { name: 'Max', sum: 'priority' }])
    await expectRefused(define(tasks, { create, patch, limit }), 'limit: must be at most 63 lower-case letters')
  expect(define(tasks, { create, patch, unlockedParents: {}, references: [], permission: 'tasks' })).not.toThrow()
})

test('the owner of a row cannot be set, whatever the schema of a repository accepts', async () => {
  const org = await newOrg()
  const values = { kind: 'x', orgId: newId() }
  const schema = z.strictObject({ kind: z.string(), orgId: z.string() })
  const loose = org.repository(defineRepository(tasks, { create: schema, patch: schema }))
  await expectRefused(() => loose.create(values), 'orgId: cannot be set: only the scope sets the owner')
  await expectRefused(() => loose.createMany([values]), 'orgId: cannot be set: only the scope sets the owner')
  await expectRefused(
    () => loose.updateWhere({ kind: 'x' }, values),
    'orgId: cannot be set: only the scope sets the owner',
  )
  await expectRefused(() => loose.update(newId(), values), 'orgId: cannot be set: only the scope sets the owner')
  const update = loose.update.bind(loose) as (...args: readonly unknown[]) => Promise<unknown>
  await expectRefused(
    () => update(newId(), values, { revision: 1 }),
    'orgId: cannot be set: only the scope sets the owner',
  )
})

describe('openTenancy', () => {
  const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`

  test.each([
    [null, 'options: must be an object'],
    ['postgres://', 'options: must be an object'],
    [{ uri: 'postgres://' }, /^uri: is not an option; the options are url, /],
    [{ url: 5, keys }, 'url: must be text'],
    [{ pool: 'postgres://', keys }, 'pool: must be a pool'],
    [{ pool: null, keys }, 'pool: must be a pool'],
    [{ url: 'postgres://', pool: new pg.Pool(), keys }, 'pool: must be pool options, not a pool, when a url is given'],
    [{ embedded: false, keys }, 'embedded: must be true'],
    [{ url: 'postgres://', embedded: true, keys }, 'embedded: cannot be combined'],
    [{ pool: {}, embedded: './data', keys }, 'embedded: cannot be combined'],
    [{ embedded: '', keys }, 'embedded: must be true'],
    [{ embedded: {}, keys }, 'embedded: must be true'],
    [{ url: 'postgres://', keys: 5 }, 'keys: must be text'],
    [{ url: 'postgres://', keys: { file: 5 } }, 'keys: must be text, or an object with file'],
    [{ url: 'postgres://', keys, keyProvider: {} }, 'keyProvider: must be an object with activeId'],
    [{ url: 'postgres://', keys, own: null }, 'own: must be an object'],
    [{ url: 'postgres://', keys, own: { schema: 5, migrations: 'drizzle' } }, 'own: must be an object with schema'],
    [{ url: 'postgres://', keys, own: { schema: {} } }, 'own: must be an object with schema'],
    [{ url: 'postgres://', keys, transactionPooler: 1 }, 'transactionPooler: must be true or false'],
    [{ url: 'postgres://', keys, allowRelations: 'public.countries' }, 'must be a list'],
    [{ url: 'postgres://', keys, allowFunctions: [5] }, 'allowFunctions: must be a list of names'],
    [{ url: 'postgres://', keys: 'no keys' }, 'TENANTRY_KEYS'],
    [{ pool: { connectionString: 'postgres://a:word@[' }, keys }, 'pool.connectionString: must look like postgres://'],
    [{ pool: { connectionString: 5 }, keys }, 'pool.connectionString: must look like postgres://'],
  ])('refuses %o', async (options, reason) => {
    await expectRefused(() => openTenancy(options as never), reason)
  })

  test.each(['no url', 'http://', '\0', 'postgres://127.0.0.1:1/none', 'postgres://[', 'postgres://%zz@127.0.0.1:1/a'])(
    'cannot reach %o, and says so',
    async (url) => {
      const opening = openTenancy({ url, keys, pool: { host: '127.0.0.1', port: 1 } })
      await expect(opening).rejects.toSatisfy(
        (error) => error instanceof UnavailableError || error instanceof InvalidInputError,
      )
    },
  )
})
