import type pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  OrganizationSuspendedError,
  PoolTimeoutError,
  ScopeClosedError,
  TimeoutError,
  UnavailableError,
} from '../../src/core/errors.js'
import type { Call, Executor, Owner } from '../../src/core/executor.js'
import { statement, unguardedStatement } from '../../src/core/statement.js'
import type { NodePostgresOptions } from '../../src/database/node-postgres.js'
import { interceptAnswers } from '../support/answers.js'
import { type ProxiedConnection, type Proxy, startProxy } from '../support/proxy.js'
import { A, B, failureOf, insertItem, suspended, useToySchema, valueOf } from '../support/toy-schema.js'

// Short reads of several organizations on one connection, each sent before those in front of it are answered.

const { database, open: openToy } = useToySchema()

let proxy: Proxy

beforeEach(async () => {
  proxy = await startProxy(database.appUrl)
})

afterEach(async () => {
  await database.admin.query('select pg_advisory_unlock_all()')
  await proxy.close()
})

type Options = Omit<Partial<NodePostgresOptions>, 'pool'>

/** One connection, for which each read that was measured is a short one. */
const open = (pool: pg.PoolConfig = {}, options: Options = {}): Executor =>
  openToy({ pool: { connectionString: proxy.url, max: 1, ...pool }, slowAfter: 60_000, ...options })

const read = (text: string, ...values: unknown[]): Call => ({ statement: statement(text, 'read'), values })
const count = read('select count(*)::int from platform.items')
const bound = read('select current_setting($1)', 'tenantry.org_id')
/** Waits for a lock that `database.admin` may hold. */
const blocked: Call = {
  statement: unguardedStatement('select 1 from pg_advisory_xact_lock_shared($1)', 'read'),
  values: [7],
}
const block = () => database.admin.query('select pg_advisory_lock(7)')
const unblock = () => database.admin.query('select pg_advisory_unlock(7)')

/** So that the executor has measured them, and the connection has them prepared. */
async function known(executor: Executor, ...calls: readonly Call[]): Promise<void> {
  for (const one of calls) await valueOf(executor, A, one)
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve))
}

const isBlocked = async (): Promise<boolean> =>
  (await database.admin.query(`select from pg_locks where locktype = 'advisory' and not granted`)).length > 0

/** Keeps what the server answers, until `release`. `sent` is how many transactions were sent to it since. */
function holdAnswers(): { readonly sent: number; release(): void } {
  const sync = Buffer.from([0x53, 0, 0, 0, 4])
  const held: [ProxiedConnection, Buffer][] = []
  let sent = Buffer.alloc(0)
  proxy.filter = (bytes, direction, connection) => {
    if (direction === 'to server') {
      sent = Buffer.concat([sent, bytes])
      return bytes
    }
    held.push([connection, bytes])
    return undefined
  }
  return {
    get sent() {
      let count = 0
      for (let at = sent.indexOf(sync); at !== -1; at = sent.indexOf(sync, at + 1)) count++
      return count
    },
    release() {
      proxy.filter = (bytes) => bytes
      for (const [connection, bytes] of held) connection.sendToClient(bytes)
    },
  }
}

test('reads of two organizations are on their way at once, and each has its own rows', async () => {
  const executor = open()
  await executor.run(B, [insertItem(B, 'more')])
  await known(executor, count, bound)
  const answers = holdAnswers()
  const asked = Promise.all([
    valueOf(executor, A, count),
    valueOf(executor, B, count),
    executor.run(A, [bound, count]),
    executor.run(B, [bound, count]),
  ])
  await until(() => answers.sent === 2)
  answers.release()
  const [ofA, ofB, bothOfA, bothOfB] = await asked
  expect([ofA, ofB]).toEqual([10, 11])
  expect(bothOfA.map(({ rows }) => rows[0]?.[0])).toEqual([A.id, 10])
  expect(bothOfB.map(({ rows }) => rows[0]?.[0])).toEqual([B.id, 11])
})

test.each<[string, (executor: Executor) => Promise<unknown>, pg.PoolConfig, Options]>([
  ['a write', (executor) => executor.run(B, [insertItem(B, 'one')]), {}, {}],
  ['a read that nobody knows yet', (executor) => valueOf(executor, B, read('select 1 as fresh')), {}, {}],
  ['a read-only scope', (executor) => executor.run(B, [count], { readOnly: true }), {}, {}],
  ['the first call of a transaction', async (executor) => (await executor.begin(B)).rollback(), {}, {}],
  ['each read, with `pipeline: false`', (executor) => valueOf(executor, B, count), { pipeline: false }, {}],
  ['each read, behind a pooler', (executor) => valueOf(executor, B, count), {}, { isPooled: true }],
  ['each read, on a cluster', (executor) => valueOf(executor, B, count), {}, { blocks: true }],
  ['each read, where maxUses counts them', (executor) => valueOf(executor, B, count), { maxUses: 1_000 }, {}],
])('%s has a connection to itself', async (_, other, pool, options) => {
  const executor = open(pool, options)
  await known(executor, count, blocked)
  const answers = holdAnswers()
  const first = valueOf(executor, A, count)
  const second = other(executor)
  await until(() => answers.sent > 0)
  // What is sent in the same tick is there after a statement on another connection.
  await database.admin.query('select 1')
  expect(answers.sent).toBe(1)
  answers.release()
  expect(await first).toBe(10)
  await second
})

test('nothing is sent behind a read on which the server has worked for too long', async () => {
  const executor = open({}, { slowAfter: 100 })
  // The shortest of these times counts.
  await known(executor, count, blocked, count, blocked, count, blocked)
  await block()
  const running = valueOf(executor, A, blocked)
  await until(isBlocked)
  await database.admin.query('select pg_sleep(0.25)')
  const answers = holdAnswers()
  const behind = valueOf(executor, B, count)
  await database.admin.query('select 1')
  expect(answers.sent).toBe(0)
  answers.release()
  await unblock()
  await running
  expect(await behind).toBe(10)
})

test('a free connection is taken before one that is in use', async () => {
  const executor = open({ max: 2 })
  const pid = read('select pg_backend_pid()')
  await known(executor, pid)
  const [first, second] = await Promise.all([executor.begin(A), executor.begin(B)])
  await Promise.all([first.commit(), second.commit()])
  const pids = await Promise.all([valueOf(executor, A, pid), valueOf(executor, B, pid)])
  expect(new Set(pids).size).toBe(2)
})

test('what the server refuses one read concerns no other, whoever is in front', async () => {
  const executor = open()
  const division = read('select 10 / $1::int')
  const divide = (by: number): Call => ({ ...division, values: [by] })
  await known(executor, count, bound, divide(1))
  const asked: { binding: Owner; call: Call; outcome: unknown }[] = []
  for (let number = 0; number < 60; number++) {
    const binding = [A, B, suspended][number % 3] as Owner
    const call = [count, bound, divide(number % 2)][Math.floor(number / 3) % 3] as Call
    const isRefused = binding === suspended || call.values[0] === 0
    asked.push({ binding, call, outcome: isRefused ? expect.any(Error) : call === bound ? binding.id : 10 })
  }
  // Each in a tick of its own, so that reads of one organization are not together.
  const seen: Promise<unknown>[] = []
  for (const { binding, call } of asked) {
    seen.push(valueOf(executor, binding, call).catch((error: unknown) => error))
    await new Promise<void>((resolve) => {
      process.nextTick(resolve)
    })
  }
  expect(await Promise.all(seen)).toEqual(asked.map(({ outcome }) => outcome))
  expect(await failureOf(valueOf(executor, suspended, count))).toBeInstanceOf(OrganizationSuspendedError)
})

test('when the server ends a session, those behind the read that it answered are asked again', async () => {
  const executor = open({ max: 2 })
  const end = { statement: unguardedStatement('select pg_terminate_backend(pg_backend_pid()) where $1', 'read') }
  await known(executor, count, { ...end, values: [false] })
  // The other connection is not free.
  const transaction = await executor.begin(A)
  await transaction.run([count])
  const [failure, one, two] = await Promise.all([
    failureOf(executor.run(A, [{ ...end, values: [true] }])),
    valueOf(executor, B, count),
    executor.run(suspended, [count]).catch((error: unknown) => error),
  ])
  expect(failure).toBeInstanceOf(UnavailableError)
  expect(one).toBe(10)
  expect(two).toBeInstanceOf(OrganizationSuspendedError)
  await transaction.commit()
})

test.each<[string, 'one too few' | 'one too many']>([
  ['too few', 'one too few'],
  ['too many', 'one too many'],
])('an answer with %s messages shifts no answer behind it', async (_, change) => {
  const executor = open()
  await executor.run(B, [insertItem(B, 'more')])
  await known(executor, count)
  const answers = interceptAnswers(proxy)
  const changed = answers.change((all) => ({
    now: all.flatMap((one, index) => {
      if (one.type !== 'C' || index > all.findIndex(({ type }) => type === 'Z')) return [one]
      return change === 'one too few' ? [] : [one, one]
    }),
  }))
  const [first, second] = await Promise.all([
    failureOf(valueOf(executor, A, count)),
    valueOf(executor, B, count),
    changed,
  ])
  expect(first).toBeInstanceOf(UnavailableError)
  expect(second).toBe(11)
})

test('a read that leaves a transaction open takes no other into it', async () => {
  const executor = open()
  const begin: Call = { statement: unguardedStatement('begin', 'read'), values: [] }
  const fine: Call = { statement: unguardedStatement('select 1 as fine', 'read'), values: [] }
  await known(executor, count, fine)
  // Measured as a short one, and then another text under the same name.
  Object.assign(fine.statement, begin.statement, { name: 'begin' })
  const [first, second] = await Promise.all([failureOf(executor.run(A, [fine])), valueOf(executor, B, count)])
  expect(first).toMatchObject({ code: 'unsafe_statement' })
  expect(second).toBe(10)
})

test('an aborted read with others behind it is not waited for, and not cancelled', async () => {
  const executor = open()
  await known(executor, count, blocked)
  const controller = new AbortController()
  const { signal } = controller
  await block()
  const long = failureOf(executor.run(A, [blocked], { signal }))
  const behind = valueOf(executor, B, count)
  await until(isBlocked)
  controller.abort()
  expect(await long).toBeInstanceOf(TimeoutError)
  expect(await isBlocked()).toBe(true)
  await unblock()
  expect(await behind).toBe(10)
  expect(await valueOf(executor, A, count)).toBe(10)
})

test('an aborted read behind another one is not waited for', async () => {
  const executor = open()
  await known(executor, count, blocked)
  const controller = new AbortController()
  await block()
  const front = valueOf(executor, A, blocked)
  const behind = failureOf(executor.run(B, [count], { signal: controller.signal }))
  await until(isBlocked)
  controller.abort()
  expect(await behind).toBeInstanceOf(TimeoutError)
  expect(await isBlocked()).toBe(true)
  await unblock()
  expect(await front).toBe(1)
})

test('an organization with one read does not wait for all of one with a thousand', async () => {
  const executor = open()
  await known(executor, count)
  let answered = 0
  const flood = Promise.all(Array.from({ length: 1_000 }, () => valueOf(executor, A, count).then(() => answered++)))
  await valueOf(executor, B, count)
  // At most as many as were sent before it, and those of one more turn.
  expect(answered).toBeLessThanOrEqual(128)
  await flood
})

test('a transaction has its turn while reads never end, and reads while transactions never do', async () => {
  const executor = open()
  await known(executor, count)
  let isOver = false
  const readers = Array.from({ length: 8 }, async (_, index) => {
    while (!isOver) await valueOf(executor, index % 2 === 0 ? A : B, count)
  })
  for (let round = 0; round < 5; round++) {
    const transaction = await executor.begin(A)
    expect(await transaction.run([count])).toMatchObject([{ rows: [[10]] }])
    await transaction.commit()
  }
  isOver = true
  await Promise.all(readers)
  isOver = false
  const writers = Array.from({ length: 8 }, async () => {
    while (!isOver) {
      const transaction = await executor.begin(A)
      await transaction.run([count])
      await transaction.rollback()
    }
  })
  for (let round = 0; round < 5; round++) expect(await valueOf(executor, B, count)).toBe(10)
  isOver = true
  await Promise.all(writers)
})

test('a read waits for a connection as long as any other call, and can be aborted', async () => {
  const executor = open({ connectionTimeoutMillis: 200 })
  await known(executor, count)
  const holding = await executor.begin(A)
  await holding.run([count])
  const controller = new AbortController()
  const aborted = failureOf(executor.run(B, [count], { signal: controller.signal }))
  const waiting = [A, B, A, B].map((binding) => failureOf(executor.run(binding, [count, count])))
  controller.abort()
  expect(await aborted).toBeInstanceOf(TimeoutError)
  for (const one of waiting) {
    expect(await one).toBeInstanceOf(PoolTimeoutError)
    expect((await one).message).toMatch(/1 of at most 1 .* are open, and \d more calls wait/)
  }
  await holding.commit()
  expect(await valueOf(executor, A, count)).toBe(10)
})

test('reads that wait when the tenancy is closed are told so', async () => {
  const executor = open()
  await known(executor, count)
  const holding = await executor.begin(A)
  await holding.run([count])
  const waiting = [A, B, A].map((binding) => failureOf(executor.run(binding, [count])))
  await new Promise((resolve) => setImmediate(resolve))
  await executor.close({ drain: 0 })
  for (const one of waiting) expect(await one).toBeInstanceOf(ScopeClosedError)
})

test('reads that wait for a server that is gone are told so', async () => {
  const executor = open({ max: 2 })
  await known(executor, count)
  await block()
  const asked = Promise.all([A, B, A, B].map((binding) => failureOf(valueOf(executor, binding, blocked))))
  await until(isBlocked)
  await proxy.close()
  for (const failure of await asked) expect(failure).toBeInstanceOf(UnavailableError)
  await unblock()
  const waiting = [A, B, A, B].map((binding) => failureOf(executor.run(binding, [count])))
  for (const one of waiting) expect(await one).toBeInstanceOf(UnavailableError)
  proxy = await startProxy(database.appUrl)
})

test('a changed column is noticed in every read that is under way, and each is repeated', async () => {
  const executor = open()
  const all = read('select * from platform.items order by id limit 1')
  await known(executor, all)
  await database.admin.query('alter table platform.items add column late text')
  const asked = await Promise.all([A, B].map((binding) => executor.run(binding, [all])))
  for (const [result] of asked) expect(result?.columns).toContain('late')
  await database.admin.query('alter table platform.items drop column late')
})

test('a statement that is new to a connection is parsed once for all that are sent in the same tick', async () => {
  const executor = open()
  await known(executor, count)
  proxy.reset()
  await until(() => proxy.connections === 0)
  const parses: number[] = []
  await executor.ping()
  proxy.filter = (bytes, direction) => {
    if (direction === 'to server') parses.push(bytes.toString('latin1').split(count.statement.text).length - 1)
    return bytes
  }
  expect(await Promise.all([valueOf(executor, A, count), valueOf(executor, B, count)])).toEqual([10, 10])
  expect(parses.reduce((sum, one) => sum + one, 0)).toBe(1)
})

test('a read whose statement was not parsed, because the one in front was refused, is repeated', async () => {
  const executor = open()
  await known(executor, count)
  proxy.reset()
  await until(() => proxy.connections === 0)
  await executor.ping()
  const [refused, counted] = await Promise.all([
    failureOf(valueOf(executor, suspended, count)),
    valueOf(executor, B, count),
  ])
  expect(refused).toBeInstanceOf(OrganizationSuspendedError)
  expect(counted).toBe(10)
})

test('a connection that never rests still ends after maxLifetimeSeconds', async () => {
  const executor = open({ maxLifetimeSeconds: 0.05 })
  const pid = read('select pg_backend_pid()')
  await known(executor, pid)
  const first = await valueOf(executor, A, pid)
  let isOver = false
  const readers = Array.from({ length: 4 }, async (_, index) => {
    while (!isOver) isOver ||= (await valueOf(executor, index % 2 === 0 ? A : B, pid)) !== first
  })
  await Promise.all(readers)
})
