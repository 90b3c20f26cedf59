import { expect, test } from 'vitest'
import type { Call } from '../../src/core/executor.js'
import { PoolTimeoutError, ScopeClosedError, TimeoutError, UnavailableError } from '../../src/core/errors.js'
import { backendOf, blocked, count, known, read, until, useSharedReads } from '../support/shared-reads.js'
import { A, B, failureOf, person, valueOf } from '../support/toy-schema.js'

// Who waits for a connection that short reads share, for how long, and how they stop.

const shared = useSharedReads()

const repeated = <T>(value: T, times: number): T[] => Array.from({ length: times }, () => value)

const isCancel = (bytes: Buffer): boolean => bytes.length === 16 && bytes.readInt32BE(4) === 80_877_102

test('an aborted read with others behind it is not waited for, and not cancelled', async () => {
  const executor = shared.open()
  await known(executor, count, blocked)
  const controller = new AbortController()
  const { signal } = controller
  await shared.block()
  const long = failureOf(executor.run(A, [blocked], { signal }))
  const behind = valueOf(executor, B, count)
  await until(shared.isBlocked)
  let cancels = 0
  shared.proxy.filter = (bytes) => {
    if (isCancel(bytes)) cancels++
    return bytes
  }
  controller.abort()
  expect(await long).toBeInstanceOf(TimeoutError)
  await shared.arrived()
  expect(await shared.isBlocked()).toBe(true)
  expect(cancels).toBe(0)
  await shared.unblock()
  expect(await behind).toBe(10)
  expect(await valueOf(executor, A, count)).toBe(10)
})

test('an aborted read with nothing behind it has ended on the server when its caller goes on', async () => {
  const executor = shared.open()
  await known(executor, blocked)
  const controller = new AbortController()
  await shared.block()
  const aborted = failureOf(executor.run(A, [blocked], { signal: controller.signal }))
  await until(shared.isBlocked)
  controller.abort()
  expect(await aborted).toBeInstanceOf(TimeoutError)
  expect(await shared.isBlocked()).toBe(false)
})

test('nothing is sent behind a read while it is being cancelled', async () => {
  const executor = shared.open()
  await known(executor, count, blocked)
  const controller = new AbortController()
  await shared.block()
  const long = failureOf(executor.run(A, [blocked], { signal: controller.signal }))
  await until(shared.isBlocked)
  const answers = shared.holdAnswers()
  controller.abort()
  const later = valueOf(executor, B, count)
  await until(async () => !(await shared.isBlocked()))
  await shared.arrived()
  expect(answers.sent).toBe(0)
  answers.release()
  expect(await long).toBeInstanceOf(TimeoutError)
  expect(await later).toBe(10)
})

test('an aborted read behind another one is not waited for', async () => {
  const executor = shared.open()
  await known(executor, count, blocked)
  const controller = new AbortController()
  await shared.block()
  const front = valueOf(executor, A, blocked)
  const behind = failureOf(executor.run(B, [count], { signal: controller.signal }))
  await until(shared.isBlocked)
  controller.abort()
  expect(await behind).toBeInstanceOf(TimeoutError)
  expect(await shared.isBlocked()).toBe(true)
  await shared.unblock()
  expect(await front).toBe(1)
})

test('an organization with one read does not wait for all of one with a thousand', async () => {
  const executor = shared.open()
  await known(executor, count)
  let answered = 0
  const flood = Promise.all(Array.from({ length: 1_000 }, () => valueOf(executor, A, count).then(() => answered++)))
  await valueOf(executor, B, count)
  // At most as many as were sent before it, and those of one more turn.
  expect(answered).toBeLessThanOrEqual(128)
  await flood
})

test('while a transaction waits, nothing more is sent on the connection that it will get', async () => {
  const executor = shared.open()
  await known(executor, count, blocked)
  const { running } = await shared.startBlocked(executor)
  const begun = executor.begin(A)
  const answers = shared.holdAnswers()
  const behind = valueOf(executor, B, count)
  await shared.arrived()
  expect(answers.sent).toBe(0)
  answers.release()
  await shared.unblock()
  await running
  await (await begun).rollback()
  expect(await behind).toBe(10)
})

test('when the transaction does not wait any more, reads share the connection again', async () => {
  const executor = shared.open()
  await known(executor, count, blocked)
  const { running } = await shared.startBlocked(executor)
  const controller = new AbortController()
  const begun = failureOf(executor.begin(A, { signal: controller.signal }))
  controller.abort()
  expect(await begun).toBeInstanceOf(TimeoutError)
  const answers = shared.holdAnswers()
  const behind = valueOf(executor, B, count)
  await until(() => answers.sent === 1)
  answers.release()
  await shared.unblock()
  await running
  expect(await behind).toBe(10)
})

test('a transaction has its turn while reads never end, and reads while transactions never do', async () => {
  const executor = shared.open()
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
  const executor = shared.open({ connectionTimeoutMillis: 1_000 })
  await known(executor, count)
  const holding = await executor.begin(A)
  await holding.run([count])
  const controller = new AbortController()
  const aborted = failureOf(executor.run(B, [count], { signal: controller.signal }))
  const waiting = [A, B, A, B].map((binding) => failureOf(executor.run(binding, [count, count])))
  await new Promise((resolve) => setImmediate(resolve))
  controller.abort()
  expect(await aborted).toMatchObject({ name: 'TimeoutError' })
  for (const one of waiting) {
    expect(await one).toBeInstanceOf(PoolTimeoutError)
    expect((await one).message).toMatch(/1 of at most 1 .* are open, and \d more calls wait/)
  }
  await holding.commit()
  expect(await valueOf(executor, A, count)).toBe(10)
})

test('a read does not wait for a shorter time because another one waited before it', async () => {
  const executor = shared.open({ connectionTimeoutMillis: 1_000 })
  await known(executor, count)
  const holding = await executor.begin(A)
  await holding.run([count])
  const controller = new AbortController()
  const early = failureOf(executor.run(A, [count], { signal: controller.signal }))
  await shared.database.admin.query('select pg_sleep(0.5)')
  controller.abort()
  expect(await early).toMatchObject({ name: 'TimeoutError' })
  const start = performance.now()
  expect(await failureOf(executor.run(B, [count]))).toBeInstanceOf(PoolTimeoutError)
  // A timer may fire a little early.
  expect(performance.now() - start).toBeGreaterThan(900)
  await holding.commit()
})

test('where no connection may be shared, all who wait are served one after the other', async () => {
  const executor = shared.open({}, { isPooled: true })
  await known(executor, count)
  const asked: Promise<unknown>[] = []
  for (let round = 0; round < 10; round++) {
    asked.push(valueOf(executor, round % 2 === 0 ? A : B, count))
    await new Promise<void>((resolve) => {
      process.nextTick(resolve)
    })
  }
  expect(new Set(await Promise.all(asked))).toEqual(new Set([10]))
})

test('nobody is let in front of those who wait', async () => {
  const executor = shared.open()
  const people: Call = read('select count(*)::int from platform.users')
  await known(executor, count, blocked)
  await valueOf(executor, person, people)
  await shared.block()
  const first = executor.run(A, repeated(count, 20))
  const second = executor.run(B, [...repeated(count, 19), blocked])
  // Forty calls are more than a connection takes at once.
  const waiting = valueOf(executor, person, people)
  await first
  await until(shared.isBlocked)
  const answers = shared.holdAnswers()
  const later = valueOf(executor, A, count)
  await shared.arrived()
  expect(answers.sent).toBe(0)
  answers.release()
  await shared.unblock()
  await second
  expect([await waiting, await later]).toEqual([1, 10])
})

test('who waits is let in when there is room, though the connection is not free', async () => {
  const executor = shared.open()
  const people: Call = read('select count(*)::int from platform.users')
  await known(executor, count, blocked)
  await valueOf(executor, person, people)
  await shared.block()
  const sent = shared.countSent()
  const first = executor.run(A, repeated(count, 31))
  const second = executor.run(B, [blocked])
  const waiting = valueOf(executor, person, people)
  await first
  await until(shared.isBlocked)
  await until(() => sent() === 3)
  await shared.unblock()
  await second
  expect(await waiting).toBe(1)
})

test('a transaction that waited behind a read gets the connection after it, and no later read', async () => {
  const executor = shared.open()
  await known(executor, count, blocked)
  const holding = await executor.begin(A)
  await holding.run([count])
  await shared.block()
  const reading = valueOf(executor, B, blocked)
  await new Promise((resolve) => setImmediate(resolve))
  const begun = executor.begin(A)
  await holding.commit()
  await until(shared.isBlocked)
  const answers = shared.holdAnswers()
  const later = valueOf(executor, A, count)
  await shared.arrived()
  expect(answers.sent).toBe(0)
  answers.release()
  await shared.unblock()
  await reading
  await (await begun).rollback()
  expect(await later).toBe(10)
})

test('reads that wait when the tenancy is closed are told so', async () => {
  const executor = shared.open()
  await known(executor, count)
  const holding = await executor.begin(A)
  await holding.run([count])
  const waiting = [A, B, A].map((binding) => failureOf(executor.run(binding, [count])))
  await new Promise((resolve) => setImmediate(resolve))
  await executor.close({ drain: 0 })
  for (const one of waiting) expect(await one).toBeInstanceOf(ScopeClosedError)
})

test('no read is sent behind another one once the tenancy is being closed', async () => {
  const executor = shared.open()
  await known(executor, count, blocked)
  const { running } = await shared.startBlocked(executor)
  const closed = executor.close()
  expect(await failureOf(executor.run(B, [count]))).toBeInstanceOf(ScopeClosedError)
  await shared.unblock()
  expect(await running).toBe(1)
  await closed
})

test('reads that wait for a server that is gone are told so', async () => {
  const executor = shared.open({ max: 2 })
  await known(executor, count)
  await shared.block()
  const asked = Promise.all([A, B, A, B].map((binding) => failureOf(valueOf(executor, binding, blocked))))
  await until(shared.isBlocked)
  await shared.proxy.close()
  for (const failure of await asked) expect(failure).toBeInstanceOf(UnavailableError)
  await shared.unblock()
  const waiting = [A, B, A, B].map((binding) => failureOf(executor.run(binding, [count])))
  for (const one of waiting) expect(await one).toBeInstanceOf(UnavailableError)
})

test('nothing is sent behind a read on a connection that has lived for maxLifetimeSeconds', async () => {
  const executor = shared.open({ maxLifetimeSeconds: 0.1 })
  await known(executor, blocked, backendOf)
  const first = await valueOf(executor, A, backendOf)
  const { running } = await shared.startBlocked(executor)
  await shared.database.admin.query('select pg_sleep(0.15)')
  const answers = shared.holdAnswers()
  const later = valueOf(executor, B, backendOf)
  await shared.arrived()
  expect(answers.sent).toBe(0)
  await shared.unblock()
  answers.release()
  await running
  expect(await later).not.toBe(first)
})
