import { AsyncLocalStorage } from 'node:async_hooks'
import type pg from 'pg'
import { expect, test } from 'vitest'
import {
  InvalidInputError,
  NotFoundError,
  OrganizationSuspendedError,
  ScopeClosedError,
  UnavailableError,
} from '../../src/core/errors.js'
import type { Binding, Call, Executor } from '../../src/core/executor.js'
import type { NodePostgresOptions } from '../../src/database/node-postgres.js'
import { statement, unguardedStatement } from '../../src/core/statement.js'
import { A, B, failureOf, insertItem, suspended, unknown, useToySchema, valueOf } from '../support/toy-schema.js'

const { database, open: openToy } = useToySchema()

/** Knows each read that was measured for a fast one. */
const open = ({ slowAfter = 60_000, ...pool }: pg.PoolConfig & Pick<NodePostgresOptions, 'slowAfter'> = {}) =>
  openToy({ pool: { max: 4, ...pool }, slowAfter })

const read = (text: string, ...values: unknown[]): Call => ({ statement: statement(text, 'read'), values })

/** The same for all statements of one transaction, and for no others. */
const moment = read(`select pg_backend_pid() || ' ' || now()`)
const count = read('select count(*)::int from platform.items')
const bound = read('select current_setting($1, true)', 'tenantry.org_id')

/** The calls in one tick, each by itself. */
const inOneTick = (executor: Executor, binding: Binding, calls: readonly Call[]) =>
  Promise.all(calls.map((one) => valueOf(executor, binding, one)))

/** So that the executor has measured them. */
async function known(executor: Executor, ...calls: readonly Call[]): Promise<void> {
  for (const one of calls) await valueOf(executor, A, one)
}

const repeated = <T>(value: T, times: number): T[] => Array.from({ length: times }, () => value)

test('reads of one tick are one transaction, with one binding', async () => {
  const executor = open()
  await known(executor, moment)
  const [first, ...others] = await inOneTick(executor, A, repeated(moment, 5))
  expect(new Set([first, ...others]).size).toBe(1)
  expect(await valueOf(executor, A, moment)).not.toBe(first)
})

test('reads of two organizations are never together, and each sees its own rows', async () => {
  const executor = open()
  await known(executor, moment, bound, count)
  await executor.run(B, [insertItem(B, 'more')])
  const [a, b, ofA, ofB, countA, countB] = await Promise.all([
    valueOf(executor, A, moment),
    valueOf(executor, B, moment),
    valueOf(executor, A, bound),
    valueOf(executor, B, bound),
    valueOf(executor, A, count),
    valueOf(executor, B, count),
  ])
  expect(a).not.toBe(b)
  expect([ofA, ofB, countA, countB]).toEqual([A.id, B.id, 10, 11])
})

test('without row security, each read keeps the organization that its own values name', async () => {
  const executor = open({ connectionString: database.adminUrl })
  const count = read(`select count(*)::int || ' ' || now() from platform.items where org_id = $1`)
  const named = ({ id }: { readonly id: string }): Call => ({ ...count, values: [id] })
  await known(executor, named(A))
  await executor.run(B, [insertItem(B, 'more')])
  await valueOf(executor, B, named(B))
  const [a, again, b] = (await Promise.all([
    valueOf(executor, A, named(A)),
    valueOf(executor, A, named(A)),
    valueOf(executor, B, named(B)),
  ])) as string[]
  expect(again).toBe(a)
  expect([a, b].map((text) => text?.split(' ')[0])).toEqual(['10', '11'])
})

test('a statement that the server refuses fails alone', async () => {
  const executor = open()
  await known(executor, count)
  const halve = read('select 10 / $1::int', 2)
  await known(executor, halve)
  const [ten, five, failure, also] = await Promise.all([
    valueOf(executor, A, count),
    valueOf(executor, A, halve),
    failureOf(valueOf(executor, A, { ...halve, values: [0] })),
    valueOf(executor, A, count),
  ])
  expect([ten, five, also]).toEqual([10, 5, 10])
  expect(failure).toBeInstanceOf(InvalidInputError)
})

test('a value that cannot be sent fails alone', async () => {
  const executor = open()
  const echo = read('select $1::text', 'a')
  await known(executor, echo)
  const [said, failure] = await Promise.all([
    valueOf(executor, A, echo),
    failureOf(valueOf(executor, A, { ...echo, values: [() => 1] })),
  ])
  expect(said).toBe('a')
  expect(failure).toBeInstanceOf(InvalidInputError)
})

test('what is refused for the owner, and a pool that is closed, refuses all of them at once', async () => {
  const executor = open()
  await known(executor, moment)
  const failures = (binding: Binding) =>
    Promise.all(repeated(moment, 3).map((one) => failureOf(valueOf(executor, binding, one))))
  const isOne = (errors: readonly Error[]) => new Set(errors).size === 1
  const [ofSuspended, ofUnknown] = [await failures(suspended), await failures(unknown)]
  expect(ofSuspended[0]).toBeInstanceOf(OrganizationSuspendedError)
  expect(ofUnknown[0]).toBeInstanceOf(NotFoundError)
  await executor.close()
  const ofClosed = await failures(A)
  expect(ofClosed[0]).toBeInstanceOf(ScopeClosedError)
  expect([ofSuspended, ofUnknown, ofClosed].map(isOne)).toEqual([true, true, true])
})

test('a backend that is ended fails all of them, and costs the next read nothing', async () => {
  const executor = open({ max: 1 })
  const text = 'select pg_terminate_backend(pg_backend_pid()) where $1'
  const end = { statement: unguardedStatement(text, 'read'), values: [false] }
  await known(executor, moment, end)
  const failures = await Promise.all(
    [moment, { ...end, values: [true] }, moment].map((one) => failureOf(executor.run(A, [one]))),
  )
  expect(failures[0]).toBeInstanceOf(UnavailableError)
  expect(new Set(failures).size).toBe(1)
  expect(await valueOf(executor, A, count)).toBe(10)
})

test('a write sends the reads before it, and is not among them', async () => {
  const executor = open()
  await known(executor, moment)
  const before = inOneTick(executor, A, [moment, moment])
  const written = executor.run(A, [insertItem(A, 'one')])
  const after = inOneTick(executor, A, [moment, moment])
  await written
  const [first, second] = [new Set(await before), new Set(await after)]
  expect([first.size, second.size]).toEqual([1, 1])
  expect([...first]).not.toEqual([...second])
})

test('at most 32 are together', async () => {
  const executor = open()
  await known(executor, moment)
  const moments = await inOneTick(executor, A, repeated(moment, 33))
  expect(new Set(moments.slice(0, 32)).size).toBe(1)
  expect(moments[32]).not.toBe(moments[0])
})

test('a read that takes long goes alone, and so does one that nobody knows yet', async () => {
  const executor = open({ slowAfter: 400 })
  const long = read(`select pg_backend_pid() || ' ' || now() from pg_sleep($1)`, 0.5)
  await known(executor, moment, long)
  const fresh = read(`select pg_backend_pid() || ' ' || now() as fresh`)
  const [first, second, slow, unmeasured] = await inOneTick(executor, A, [moment, moment, long, fresh])
  expect(second).toBe(first)
  expect(slow).not.toBe(first)
  expect(unmeasured).not.toBe(first)
  // For another organization the same read may be fast.
  const short = { ...long, values: [0] }
  for (let time = 0; time < 2; time++) await valueOf(executor, B, short)
  const [third, fourth] = await inOneTick(executor, B, [short, moment])
  expect(fourth).toBe(third)
  const [fifth, sixth] = await inOneTick(executor, A, [short, moment])
  expect(sixth).not.toBe(fifth)
})

test('reads of a scope that only reads, and with another signal, go alone', async () => {
  const executor = open()
  await known(executor, moment)
  const at = async (options: Parameters<Executor['run']>[2]) =>
    (await executor.run(A, [moment], options))[0]?.rows[0]?.[0]
  const { signal } = new AbortController()
  const [one, two, signalled, readOnly] = await Promise.all([at({}), at({}), at({ signal }), at({ readOnly: true })])
  expect(two).toBe(one)
  expect(new Set([one, readOnly, signalled]).size).toBe(3)
})

test('an aborted signal ends all reads that have it', async () => {
  const executor = open()
  await known(executor, moment)
  const controller = new AbortController()
  const asked = [moment, moment].map((one) => failureOf(executor.run(A, [one], { signal: controller.signal })))
  controller.abort()
  expect(await Promise.all(asked)).toMatchObject([{ name: 'TimeoutError' }, { name: 'TimeoutError' }])
})

test('each caller goes on in its own asynchronous context', async () => {
  const executor = open()
  await known(executor, moment)
  const storage = new AsyncLocalStorage<number>()
  const seen = await Promise.all(
    [1, 2, 3].map((number) =>
      storage.run(number, async () => {
        await valueOf(executor, A, moment)
        return storage.getStore()
      }),
    ),
  )
  expect(seen).toEqual([1, 2, 3])
})

test('a pool with `pipeline: false` sends each read by itself', async () => {
  const executor = open({ pipeline: false })
  await known(executor, moment)
  expect(new Set(await inOneTick(executor, A, [moment, moment, moment])).size).toBe(3)
})

test('a changed column is repeated, and nobody notices', async () => {
  const executor = open()
  const all = read('select * from platform.items order by id limit 1')
  await known(executor, all, count)
  await database.admin.query('alter table platform.items add column late text')
  const [rows, counted] = await Promise.all([executor.run(A, [all]), valueOf(executor, A, count)])
  expect(rows[0]?.columns).toContain('late')
  expect(counted).toBe(10)
  await database.admin.query('alter table platform.items drop column late')
})
