import type pg from 'pg'
import { expect, test } from 'vitest'
import { InvalidInputError, OrganizationSuspendedError, UnavailableError } from '../../src/core/errors.js'
import type { Call, Executor, Owner } from '../../src/core/executor.js'
import { unguardedStatement } from '../../src/core/statement.js'
import type { NodePostgresOptions } from '../../src/database/node-postgres.js'
import { countRoundTrips } from '../support/proxy.js'
import { backendOf, blocked, count, end, known, read, until, useSharedReads } from '../support/shared-reads.js'
import { A, B, failureOf, insertItem, suspended, valueOf } from '../support/toy-schema.js'

// Short reads of several organizations on one connection, each sent before those in front of it are answered.

const shared = useSharedReads()
const { database } = shared
const bound = read('select current_setting($1)', 'tenantry.org_id')

type Options = Omit<Partial<NodePostgresOptions>, 'pool'>

test('reads of two organizations are on their way at once, and each has its own rows', async () => {
  const executor = shared.open()
  await executor.run(B, [insertItem(B, 'more')])
  await known(executor, count, bound)
  const answers = shared.holdAnswers()
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

test('without row security, each keeps the organization that its own values name', async () => {
  const executor = shared.open()
  const named = read('select count(*)::int from platform.items where org_id = $1')
  const of = (owner: Owner): Call => ({ ...named, values: [owner.id] })
  await executor.run(B, [insertItem(B, 'more')])
  await known(executor, of(A))
  await database.admin.query('alter table platform.items disable row level security')
  try {
    const answers = shared.holdAnswers()
    const asked = Promise.all([A, B].map((owner) => valueOf(executor, owner, of(owner))))
    await until(() => answers.sent === 2)
    answers.release()
    expect(await asked).toEqual([10, 11])
  } finally {
    await database.admin.query('alter table platform.items enable row level security')
  }
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
  const executor = shared.open(pool, options)
  await known(executor, count, blocked)
  const answers = shared.holdAnswers()
  const first = valueOf(executor, A, count)
  const second = other(executor)
  await until(() => answers.sent > 0)
  await shared.arrived()
  expect(answers.sent).toBe(1)
  answers.release()
  expect(await first).toBe(10)
  await second
})

test('nothing is sent behind a read on which the server has worked for too long', async () => {
  const executor = shared.open({}, { slowAfter: 800 })
  // The shortest of these times counts.
  await known(executor, count, blocked, count, blocked, count, blocked)
  const { running } = await shared.startBlocked(executor)
  const answers = shared.holdAnswers()
  await database.admin.query('select pg_sleep(0.3)')
  const soon = valueOf(executor, B, count)
  await shared.arrived()
  expect(answers.sent).toBe(1)
  await database.admin.query('select pg_sleep(1.4)')
  const late = valueOf(executor, B, count)
  await shared.arrived()
  expect(answers.sent).toBe(1)
  await shared.unblock()
  answers.release()
  await running
  expect([await soon, await late]).toEqual([10, 10])
})

test('nothing is sent behind a megabyte, and something again when it is answered', async () => {
  const executor = shared.open()
  const length = read('select length($1::text)', '')
  await known(executor, count, length)
  for (let round = 0; round < 2; round++) {
    const answers = shared.holdAnswers()
    const big = valueOf(executor, A, { ...length, values: ['x'.repeat(1_048_576)] })
    const behind = valueOf(executor, B, count)
    await until(() => answers.answered === 1)
    await shared.arrived()
    expect(answers.sent).toBe(1)
    answers.release()
    expect([await big, await behind]).toEqual([1_048_576, 10])
  }
  const answers = shared.holdAnswers()
  const both = Promise.all([A, B].map((binding) => valueOf(executor, binding, count)))
  await until(() => answers.sent === 2)
  answers.release()
  expect(await both).toEqual([10, 10])
})

test('a free connection is taken before one that is in use', async () => {
  const executor = shared.open({ max: 2 })
  await known(executor, backendOf)
  const [first, second] = await Promise.all([executor.begin(A), executor.begin(B)])
  await Promise.all([first.commit(), second.commit()])
  const pids = await Promise.all([valueOf(executor, A, backendOf), valueOf(executor, B, backendOf)])
  expect(new Set(pids).size).toBe(2)
})

test('where there may be one more connection, a read does not go behind another one', async () => {
  const executor = shared.open({ max: 2 })
  await known(executor, count, blocked)
  await shared.block()
  const running = valueOf(executor, A, blocked)
  expect(await valueOf(executor, B, count)).toBe(10)
  await shared.unblock()
  await running
})

test('what the server refuses one read concerns no other, whoever is in front', async () => {
  const executor = shared.open()
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
  const executor = shared.open({ max: 2 })
  await known(executor, count, end(false))
  // The other connection is not free.
  const transaction = await executor.begin(A)
  await transaction.run([count])
  const [failure, one, two] = await Promise.all([
    failureOf(executor.run(A, [end(true)])),
    valueOf(executor, B, count),
    executor.run(suspended, [count]).catch((error: unknown) => error),
  ])
  expect(failure).toBeInstanceOf(UnavailableError)
  expect(one).toBe(10)
  expect(two).toBeInstanceOf(OrganizationSuspendedError)
  await transaction.commit()
})

test('a read that ends its own session is not asked again', async () => {
  let made = 0
  const executor = shared.open({}, { onConnect: () => Promise.resolve(void made++) })
  await known(executor, count, end(false))
  const [counted, failure] = await Promise.all([valueOf(executor, A, count), failureOf(executor.run(B, [end(true)]))])
  expect(counted).toBe(10)
  expect(failure).toBeInstanceOf(UnavailableError)
  expect(await valueOf(executor, A, count)).toBe(10)
  expect(made).toBe(2)
})

test.each<[string, (answers: Buffer) => Buffer]>([
  ['a message too few', (answers) => without(answers, 'C')],
  ['a message too many', (answers) => Buffer.concat([messageOf(answers, 'C'), answers])],
  ['the answers in another order', (answers) => swapped(answers)],
])('an answer with %s is believed by nobody, and what is behind it is asked again', async (_, change) => {
  const executor = shared.open()
  await known(executor, backendOf)
  const first = await valueOf(executor, A, backendOf)
  const answers = shared.holdAnswers()
  const asked = Promise.all([failureOf(valueOf(executor, A, backendOf)), valueOf(executor, B, backendOf)])
  await until(() => answers.answered === 2)
  answers.release(change)
  const [failure, other] = await asked
  expect(failure).toBeInstanceOf(UnavailableError)
  expect(typeof other).toBe('number')
  expect(other).not.toBe(first)
})

test('a read that leaves a transaction open takes no other into it', async () => {
  const executor = shared.open()
  const begin: Call = { statement: unguardedStatement('begin', 'read'), values: [] }
  const fine: Call = { statement: unguardedStatement('select 1 as fine', 'read'), values: [] }
  await known(executor, count, fine)
  // Measured as a short one, and then another text under the same name.
  Object.assign(fine.statement, begin.statement, { name: 'begin' })
  const [first, second] = await Promise.all([failureOf(executor.run(A, [fine])), valueOf(executor, B, count)])
  expect(first).toMatchObject({ code: 'unsafe_statement' })
  expect(second).toBe(10)
})

test('a changed column is noticed in every read that is under way, and each is repeated', async () => {
  const executor = shared.open()
  const all = read('select * from platform.items order by id limit 1')
  await known(executor, all)
  await database.admin.query('alter table platform.items add column late text')
  const asked = await Promise.all([A, B].map((binding) => executor.run(binding, [all])))
  for (const [result] of asked) expect(result?.columns).toContain('late')
  await database.admin.query('alter table platform.items drop column late')
})

test('a statement that is new to a connection is parsed once for all that are sent in the same tick', async () => {
  const executor = shared.open()
  await known(executor, count)
  shared.proxy.reset()
  await until(() => shared.proxy.connections === 0)
  const parses: number[] = []
  await executor.ping()
  shared.proxy.filter = (bytes, direction) => {
    if (direction === 'to server') parses.push(bytes.toString('latin1').split(count.statement.text).length - 1)
    return bytes
  }
  expect(await Promise.all([valueOf(executor, A, count), valueOf(executor, B, count)])).toEqual([10, 10])
  expect(parses.reduce((sum, one) => sum + one, 0)).toBe(1)
})

test('a read whose statement was not parsed, because the one in front was refused, is repeated', async () => {
  const executor = shared.open()
  await known(executor, count)
  shared.proxy.reset()
  await until(() => shared.proxy.connections === 0)
  await executor.ping()
  const [refused, counted] = await Promise.all([
    failureOf(valueOf(executor, suspended, count)),
    valueOf(executor, B, count),
  ])
  expect(refused).toBeInstanceOf(OrganizationSuspendedError)
  expect(counted).toBe(10)
})

test('what was refused, or could not be sent, costs the next call neither a round trip nor a parse', async () => {
  const executor = shared.open()
  const trips = countRoundTrips(shared.proxy)
  await executor.ping()
  const fresh = read('select 2 as never_parsed')
  expect(await failureOf(executor.run(suspended, [fresh]))).toBeInstanceOf(OrganizationSuspendedError)
  const unsendable = { ...read('select $1::text as unsendable'), values: [() => 1] }
  const unsent = read('select 3 as never_sent')
  expect(await failureOf(executor.run(A, [unsendable]))).toBeInstanceOf(InvalidInputError)
  expect(await failureOf(executor.run(A, [unsent, unsendable]))).toBeInstanceOf(InvalidInputError)
  const quotient = read('select 10 / $1::int')
  await valueOf(executor, A, { ...quotient, values: [5] })
  expect(await failureOf(executor.run(A, [{ ...quotient, values: [0] }]))).toBeInstanceOf(InvalidInputError)
  const { filter } = shared.proxy
  let isParsed = false
  shared.proxy.filter = (bytes, direction, connection) => {
    isParsed ||= bytes.includes(quotient.statement.text)
    return filter(bytes, direction, connection)
  }
  expect(await valueOf(executor, A, { ...quotient, values: [2] })).toBe(5)
  expect(isParsed).toBe(false)
  const before = trips()
  expect([await valueOf(executor, A, fresh), await valueOf(executor, A, unsent)]).toEqual([2, 3])
  expect(trips() - before).toBe(2)
  expect(await valueOf(executor, A, { ...unsendable, values: ['sent'] })).toBe('sent')
  expect(trips() - before).toBe(3)
})

/** The first message of that type. */
function messageOf(answers: Buffer, type: string): Buffer {
  let at = 0
  while (answers.toString('latin1', at, at + 1) !== type) at += 1 + answers.readInt32BE(at + 1)
  return answers.subarray(at, at + 1 + answers.readInt32BE(at + 1))
}

function without(answers: Buffer, type: string): Buffer {
  const message = messageOf(answers, type)
  const at = message.byteOffset - answers.byteOffset
  return Buffer.concat([answers.subarray(0, at), answers.subarray(at + message.length)])
}

/** The answers to two transactions, the second one first. */
function swapped(answers: Buffer): Buffer {
  const ready = messageOf(answers, 'Z')
  const at = ready.byteOffset - answers.byteOffset + ready.length
  return Buffer.concat([answers.subarray(at), answers.subarray(0, at)])
}
