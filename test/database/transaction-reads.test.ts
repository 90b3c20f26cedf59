import { afterEach, beforeEach, expect, test } from 'vitest'
import { InvalidInputError, NotFoundError, ScopeClosedError, TransactionAbortedError } from '../../src/core/errors.js'
import type { Call, Executor, Transaction } from '../../src/core/executor.js'
import { statement } from '../../src/core/statement.js'
import { countRoundTrips, type Proxy, startProxy } from '../support/proxy.js'
import { A, countNamed, failureOf, insertItem, unknown, useToySchema } from '../support/toy-schema.js'

const { database, open } = useToySchema()

let proxy: Proxy

beforeEach(async () => {
  proxy = await startProxy(database.appUrl)
})

afterEach(() => proxy.close())

const through = (pool = {}): Executor => open({ pool: { connectionString: proxy.url, ...pool } })

const read = (text: string, ...values: unknown[]): Call => ({ statement: statement(text, 'read'), values })
const count = read('select count(*)::int from platform.items')
const halve = (by: number): Call => read('select 10 / $1::int', by)

const valueIn = async (transaction: Transaction, one: Call): Promise<unknown> =>
  (await transaction.run([one]))[0]?.rows[0]?.[0]

test('reads of one tick go out in one write, and each has its own result', async () => {
  const executor = through()
  await executor.ping()
  const transaction = await executor.begin(A)
  const trips = countRoundTrips(proxy)
  const results = await Promise.all([count, halve(2), halve(5), count].map((one) => valueIn(transaction, one)))
  expect(results).toEqual([10, 5, 2, 10])
  expect(trips()).toBe(1)
  await transaction.commit()
})

test('at most 32 go out together', async () => {
  const executor = through()
  await executor.ping()
  const transaction = await executor.begin(A)
  const trips = countRoundTrips(proxy)
  await Promise.all(Array.from({ length: 33 }, () => valueIn(transaction, count)))
  expect(trips()).toBe(2)
  await transaction.rollback()
})

test('a write goes by itself, behind the reads before it and in front of those behind it', async () => {
  const executor = through()
  await executor.ping()
  const transaction = await executor.begin(A)
  const trips = countRoundTrips(proxy)
  const [before, also, , after] = await Promise.all([
    valueIn(transaction, count),
    valueIn(transaction, count),
    transaction.run([insertItem(A, 'between')]),
    valueIn(transaction, count),
  ])
  expect([before, also, after]).toEqual([10, 10, 11])
  expect(trips()).toBe(3)
  await transaction.rollback()
})

test('one that is refused fails with its error, those before it have their results, and those behind it were not run', async () => {
  const executor = through()
  const transaction = await executor.begin(A)
  await transaction.run([insertItem(A, 'kept')])
  const savepoint = transaction.savepoint()
  const outcomes = await Promise.allSettled([count, halve(0), count, count].map((one) => valueIn(transaction, one)))
  expect(outcomes).toMatchObject([
    { value: 11 },
    { reason: expect.any(InvalidInputError) as unknown },
    { reason: expect.any(TransactionAbortedError) as unknown },
    { reason: expect.any(TransactionAbortedError) as unknown },
  ])
  expect(transaction.isUsable).toBe(false)
  transaction.rollbackTo(savepoint)
  expect(await valueIn(transaction, count)).toBe(11)
  await transaction.commit()
  expect((await executor.run(A, [countNamed('kept')]))[0]?.rows).toEqual([[1]])
})

test('one that cannot be sent fails alone', async () => {
  const executor = through()
  const transaction = await executor.begin(A)
  const unsendable = read('select $1::text', () => 1)
  const [ten, failure, five] = await Promise.all([
    valueIn(transaction, count),
    failureOf(valueIn(transaction, unsendable)),
    valueIn(transaction, halve(2)),
  ])
  expect([ten, five]).toEqual([10, 5])
  expect(failure).toBeInstanceOf(InvalidInputError)
  await transaction.commit()
})

test('the refusal of the owner is that of all, and so is a lost connection', async () => {
  const executor = through()
  const refused = await executor.begin(unknown)
  const failures = await Promise.all([count, count].map((one) => failureOf(valueIn(refused, one))))
  expect(failures).toMatchObject([{ code: 'not_found' }, { code: 'not_found' }])
  expect(failures[0]).toBeInstanceOf(NotFoundError)
  const lost = await executor.begin(A)
  await valueIn(lost, count)
  const running = Promise.all([count, count].map((one) => failureOf(valueIn(lost, one))))
  proxy.reset()
  expect(await running).toMatchObject([{ code: 'unavailable' }, { code: 'unavailable' }])
  await lost.rollback()
})

test('with pipeline: false each goes by itself', async () => {
  const executor = through({ pipeline: false })
  await executor.ping()
  const transaction = await executor.begin(A)
  const trips = countRoundTrips(proxy)
  expect(await Promise.all([count, halve(2)].map((one) => valueIn(transaction, one)))).toEqual([10, 5])
  expect(trips()).toBe(2)
  await transaction.rollback()
})

test('a read that is asked for behind the end is refused, though it is of the same tick as one in front of it', async () => {
  const executor = through()
  for (const end of ['commit', 'rollback'] as const) {
    const transaction = await executor.begin(A)
    const [before, , behind] = await Promise.all([
      valueIn(transaction, count),
      transaction[end](),
      failureOf(valueIn(transaction, count)),
    ])
    expect(before).toBe(10)
    expect(behind).toBeInstanceOf(ScopeClosedError)
  }
})
