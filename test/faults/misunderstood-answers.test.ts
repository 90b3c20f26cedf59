import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  CommitUnknownError,
  InvalidInputError,
  TenantryError,
  UnavailableError,
  UnsafeStatementError,
} from '../../src/core/errors.js'
import type { Call, Executor, Result } from '../../src/core/executor.js'
import {
  type Answers,
  type Changed,
  interceptAnswers,
  joined,
  message,
  type Message,
  readyForQuery,
} from '../support/answers.js'
import { type Proxy, startProxy } from '../support/proxy.js'
import { A, B, backend, call, failureOf, useToySchema, valueOf } from '../support/toy-schema.js'

const { database, open } = useToySchema()

let proxy: Proxy
let answers: Answers

beforeEach(async () => {
  proxy = await startProxy(database.appUrl)
  answers = interceptAnswers(proxy)
})

afterEach(async () => {
  await Promise.all(hostPools.map((pool) => pool.end()))
  hostPools = []
  await proxy.close()
})

let hostPools: pg.Pool[] = []

function hostPool(): pg.Pool {
  const pool = new pg.Pool({ connectionString: proxy.url, max: 1, options: '-c timezone=UTC' })
  // The host's own listener, which stays when the executor is closed.
  pool.on('error', () => undefined)
  hostPools.push(pool)
  return pool
}

const read = call('select org_id, name from platform.items where name = $1 limit 3', 'item')
const write = call(
  `insert into platform.items (org_id, id, name)
     select platform.current_org(), gen_random_uuid(), $1 from generate_series(1, 3) returning org_id, name`,
  'misunderstood',
)

async function stored(): Promise<number> {
  const rows = await database.admin.query("select from platform.items where name = 'misunderstood'")
  return rows.length
}

type Outcome = readonly unknown[][] | Error

const outcomeOf = (running: Promise<readonly Result[]>): Promise<Outcome> =>
  running.then(
    (results) => results.flatMap(({ rows }) => rows),
    (error: unknown) => error as Error,
  )

/**
 * The next callers, of another organization, get their own rows and all of them. Only the first may find that the connection
 * has to be ended: what came too much may arrive with its answer.
 */
async function expectOwnRows(executor: Executor): Promise<void> {
  const own = [B.id, 'item']
  const first = await outcomeOf(executor.run(B, [read]))
  if (first instanceof Error) expect(first).toBeInstanceOf(UnavailableError)
  else expect(first).toEqual([own, own, own])
  expect(await outcomeOf(executor.run(B, [read]))).toEqual([own, own, own])
}

const isOwn = (of: Call): unknown[][] => Array<unknown[]>(3).fill([A.id, of === read ? 'item' : 'misunderstood'])

/** Every way in which one message too many, too few or in the wrong place changes an answer. */
function changesOf(answer: readonly Message[]): [string, Changed][] {
  const changes: [string, Changed][] = []
  const add = (name: string, now: readonly Message[], later?: readonly Message[]): void => {
    changes.push([name, later === undefined ? { now } : { now, later }])
  }
  answer.forEach((one, at) => {
    const [before, behind] = [answer.slice(0, at), answer.slice(at + 1)]
    const place = `${one.type} at ${at}`
    add(`early ReadyForQuery before ${place}`, [...before, readyForQuery], [one, ...behind])
    add(`ReadyForQuery before ${place}`, [...before, readyForQuery, one, ...behind])
    add(`${place} twice`, [...before, one, ...answer.slice(at)])
    // Without ReadyForQuery the server is silent: that is another test's.
    if (one.type !== 'Z') add(`${place} left out`, [...before, ...behind])
    const [next, ...rest] = behind
    if (next && next.type !== one.type) add(`${place} and ${next.type} swapped`, [...before, next, one, ...rest])
  })
  add('a second ReadyForQuery later', answer, [readyForQuery])
  add('the whole answer twice', [...answer, ...answer])
  add('the whole answer again later', answer, answer)
  return changes
}

/** The same call for each change, until there is none left: what changes there are, only an answer tells. */
async function forEachChange(attempt: (pick: (answer: readonly Message[]) => Changed) => Promise<void>): Promise<void> {
  let changes: [string, Changed][] = []
  for (let index = 0; index === 0 || index < changes.length; index++) {
    let name = ''
    await attempt((answer) => {
      changes = changesOf(answer)
      const [picked, changed] = changes[index] as [string, Changed]
      name = picked
      return changed
    }).catch((error: unknown) => {
      throw new Error(`${name}: ${String(error)}`)
    })
  }
  expect(changes.length).toBeGreaterThan(10)
}

const calls = [
  { what: 'read', one: read, failure: UnavailableError },
  { what: 'write', one: write, failure: CommitUnknownError },
]
const lone = [
  { blocks: false, of: 0, isPrepared: false },
  { blocks: false, of: 1, isPrepared: true },
  { blocks: true, of: 0, isPrepared: true },
  { blocks: true, of: 1, isPrepared: false },
]

const pools = [
  ['a pool of its own', () => ({ connectionString: proxy.url }), lone],
  ['a pool of the host’s', () => hostPool(), lone.slice(2)],
] as const

const error = Buffer.from('SERROR\0VERROR\0CXX000\0Mstray\0\0', 'latin1')
const strays: [string, Message][] = [
  ['ReadyForQuery', readyForQuery],
  ['ParseComplete', message('1')],
  ['BindComplete', message('2')],
  ['CloseComplete', message('3')],
  ['NoData', message('n')],
  ['ParameterDescription', message('t', Buffer.alloc(2))],
  ['RowDescription', message('T', Buffer.alloc(2))],
  ['DataRow', message('D', Buffer.alloc(2))],
  ['CommandComplete', message('C', Buffer.from('SELECT 0\0'))],
  ['EmptyQueryResponse', message('I')],
  ['PortalSuspended', message('s')],
  ['CopyInResponse', message('G', Buffer.alloc(3))],
  ['CopyOutResponse', message('H', Buffer.alloc(3))],
  ['CopyData', message('d')],
  ['CopyDone', message('c')],
  ['BackendKeyData', message('K', Buffer.alloc(8))],
  ['ErrorResponse', message('E', error)],
  ['a message that nobody knows', message('?')],
]

describe.each(pools)('%s', (_name, pool, cases) => {
  const through = (options: object): Executor => open({ pool: pool(), ...options })

  test.each(cases)(
    'a lone call that is answered in disorder is right or typed, and the next caller gets its own rows: %o',
    async ({ blocks, of, isPrepared }) => {
      const { one, failure } = calls[of] as (typeof calls)[number]
      await forEachChange(async (pick) => {
        const executor = through({ blocks })
        if (isPrepared) await executor.run(A, [one])
        else await executor.ping()
        const changed = answers.change(pick)
        const running = outcomeOf(executor.run(A, [one]))
        const sendRest = await changed
        const outcome = await running
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(failure)
        else expect(outcome).toEqual(isOwn(one))
        const { filter } = proxy
        // The rest arrives when the next caller, if it has the same connection, waits for its answer.
        proxy.filter = (bytes, direction, connection) => {
          proxy.filter = filter
          sendRest()
          return filter(bytes, direction, connection)
        }
        await expectOwnRows(executor)
        await executor.close({ drain: 0 })
      })
    },
  )

  test('a transaction whose call is answered in disorder ends, writes nothing, and says so', async () => {
    await forEachChange(async (pick) => {
      const executor = through({})
      const transaction = await executor.begin(A)
      await transaction.run([read])
      const changed = answers.change(pick)
      const running = outcomeOf(transaction.run([write]))
      const sendRest = await changed
      const outcome = await running
      sendRest()
      if (outcome instanceof Error) {
        // A status that says that no transaction is open says that a statement ended it.
        expect([UnavailableError, UnsafeStatementError]).toContain(outcome.constructor)
        await expect(transaction.run([read])).rejects.toThrow(TenantryError)
        await expect(transaction.commit()).rejects.toThrow(TenantryError)
      } else {
        expect(outcome).toEqual(isOwn(write))
        await transaction.rollback()
      }
      await expectOwnRows(executor)
      await executor.close({ drain: 0 })
    })
    expect(await stored()).toBe(0)
  })

  test.each(calls)(
    'a commit after a $what that is answered in disorder is right or typed',
    async ({ one, failure }) => {
      await forEachChange(async (pick) => {
        const executor = through({})
        const transaction = await executor.begin(A)
        await transaction.run([one])
        const changed = answers.change(pick)
        const running = outcomeOf(transaction.commit().then(() => []))
        const sendRest = await changed
        const outcome = await running
        sendRest()
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(failure)
        await transaction.rollback()
        await expectOwnRows(executor)
        await executor.close({ drain: 0 })
      })
    },
  )

  test('one ReadyForQuery too early: a read is unavailability, a write unknown, a transaction has written nothing', async () => {
    const early = (answer: readonly Message[]): Changed => ({ now: [readyForQuery], later: answer })
    const executor = through({})
    for (const { one, failure } of calls) {
      await executor.run(A, [one])
      void answers.change(early)
      expect(await failureOf(executor.run(A, [one]))).toBeInstanceOf(failure)
    }
    await executor.ping()
    void answers.change(early)
    expect(await failureOf(executor.run(A, [write], { readOnly: true }))).toBeInstanceOf(UnavailableError)
    const before = await stored()
    await executor.ping()
    const transaction = await executor.begin(A)
    await transaction.run([write])
    void answers.change(early)
    expect(await failureOf(transaction.run([write]))).toBeInstanceOf(UnavailableError)
    await expect(transaction.commit()).rejects.toThrow(UnavailableError)
    expect(await stored()).toBe(before)
  })

  test.each(strays)('%s to an idle connection ends it before anybody uses it', async (_name, stray) => {
    const executor = through({})
    await executor.run(A, [read])
    expect(proxy.connections).toBe(1)
    answers.last.sendToClient(joined([stray]))
    await expect.poll(() => proxy.connections, { interval: 5, timeout: 20_000 }).toBe(0)
    await expectOwnRows(executor)

    const transaction = await executor.begin(A)
    await transaction.run([write])
    answers.last.sendToClient(joined([stray]))
    await expect.poll(() => proxy.connections, { interval: 5, timeout: 20_000 }).toBe(0)
    await expect(transaction.run([write])).rejects.toThrow(TenantryError)
    await expect(transaction.commit()).rejects.toThrow(TenantryError)
    expect(await stored()).toBe(0)
  })

  test('an answer that goes on after its error ends the connection', async () => {
    const executor = through({})
    const refused = call('select 1 / $1::int', 0)
    expect(await failureOf(executor.run(A, [refused]))).toBeInstanceOf(InvalidInputError)
    const pid = await valueOf(executor, A, backend)
    void answers.change((answer) => ({
      now: answer.flatMap((one) => (one.type === 'E' ? [one, message('C', Buffer.from('SELECT 1\0'))] : [one])),
    }))
    expect(await failureOf(executor.run(A, [refused]))).toBeInstanceOf(UnavailableError)
    await expectOwnRows(executor)
    expect(await valueOf(executor, A, backend)).not.toBe(pid)
  })

  test('a connection serves no more when the server reports another way to write dates', async () => {
    const executor = through({})
    const pid = await valueOf(executor, A, backend)
    answers.last.sendToClient(joined([message('S', Buffer.from('DateStyle\0German, DMY\0'))]))
    await expectOwnRows(executor)
    expect(await valueOf(executor, A, backend)).not.toBe(pid)
  })

  test('messages that a server may send at any time do not end the connection', async () => {
    const executor = through({})
    await executor.run(A, [read])
    const notice = message('N', Buffer.from('SNOTICE\0C00000\0Mhear\0\0', 'latin1'))
    const parameter = message('S', Buffer.from('application_name\0other\0'))
    const notification = message('A', Buffer.from('\0\0\0\0channel\0payload\0'))
    const asides = [notice, parameter, notification]
    const passed = answers.change((answer) => ({ now: answer.flatMap((one) => [...asides, one]), later: asides }))
    const result = executor.run(A, [read])
    ;(await passed)()
    expect((await result)[0]?.rows).toEqual(isOwn(read))
    await expectOwnRows(executor)
    expect(proxy.connections).toBe(1)
  })
})

test('a length that no message can have ends the connection', async () => {
  const executor = open({ pool: { connectionString: proxy.url } })
  const pid = await valueOf(executor, A, backend)
  answers.last.sendToClient(Buffer.from([0x44, 0, 0, 0, 3]))
  await expectOwnRows(executor)
  expect(await valueOf(executor, A, backend)).not.toBe(pid)
})

test('the answer to a query that the host left running on its connection is not taken for the answer to a call', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  const executor = open({ pool })
  await executor.run(A, [read])
  const client = await pool.connect()
  const running = client.query('select pg_sleep(0.1)').catch(() => undefined)
  client.release()
  expect(await outcomeOf(executor.run(A, [write]))).toEqual(isOwn(write))
  expect(await outcomeOf(executor.run(B, [read]))).toEqual(Array(3).fill([B.id, 'item']))
  await running
  await executor.close()
  await pool.end()
})
