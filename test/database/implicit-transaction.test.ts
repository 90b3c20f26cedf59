import pg from 'pg'
import { expect, test } from 'vitest'
import { InvalidInputError, IsolationError, QueryError, TimeoutError, UnavailableError } from '../../src/core/errors.js'
import type { Executor } from '../../src/core/executor.js'
import { A, B, backend, call, countItems, failureOf, insertItem, useToySchema, valueOf } from '../support/toy-schema.js'

const { database, open } = useToySchema()

const divide = call('select 1 / $1::int', 0)
const boundTo = call('select current_setting($1, true)', 'tenantry.org_id')

/** On each of the two ways to send a batch, since nothing may differ between them. */
const modes = [{ blocks: false }, { blocks: true }]

async function admin<Row>(text: string, params?: unknown[]): Promise<Row[]> {
  return database.admin.query<Row>(text, params)
}

async function stored(name: string): Promise<number> {
  const [row] = await admin<{ n: number }>('select count(*)::int as n from platform.items where name = $1', [name])
  return row?.n ?? NaN
}

test.each(modes)('the binding ends with the call, and without one nothing is read: %o', async (mode) => {
  const executor = open(mode)
  await executor.run(A, [countItems])
  const system = { kind: 'system', about: undefined } as const
  expect(await valueOf(executor, system, boundTo)).toBe('')
  await expect(executor.run(system, [countItems])).rejects.toThrow(IsolationError)
})

test.each(modes)('a failed call leaves the connection as it was: %o', async (mode) => {
  const executor = open(mode)
  const before = await valueOf(executor, A, backend)
  expect(await failureOf(executor.run(A, [divide]))).toBeInstanceOf(InvalidInputError)
  expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  expect(await valueOf(executor, B, backend)).toBe(before)
})

test('a value that cannot be sent leaves nothing on the wire', async () => {
  const executor = open()
  const before = await valueOf(executor, A, backend)
  await expect(executor.run(A, [countItems, call('select $1', () => 1)])).rejects.toThrow(InvalidInputError)
  expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  expect(await valueOf(executor, A, backend)).toBe(before)
})

test('one text is one statement', async () => {
  const executor = open({ debug: true })
  const error = await failureOf(executor.run(A, [call('select 1; select 2')]))
  expect(error).toBeInstanceOf(QueryError)
  expect(error).toMatchObject({ debug: { sqlstate: '42601' } })
})

test.each(modes)('failures between them disturb nobody, and cost no connection: %o', async (mode) => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 4 })
  const executor = open({ pool, ...mode })
  const seen = await Promise.all(
    Array.from({ length: 300 }, (_, index) =>
      executor.run(index % 2 === 0 ? A : B, index % 7 === 0 ? [boundTo, divide] : [boundTo, countItems]).then(
        ([first]) => first?.rows[0]?.[0],
        (error: unknown) => (error instanceof InvalidInputError ? 'refused' : error),
      ),
    ),
  )
  expect(seen).toEqual(seen.map((_, index) => (index % 7 === 0 ? 'refused' : index % 2 === 0 ? A.id : B.id)))
  expect(pool).toMatchObject({ totalCount: 4, idleCount: 4 })
  await pool.end()
})

test('a statement that is cancelled, or takes too long, is a timeout; the next caller finds a clean connection', async () => {
  const executor = open({ pool: { statement_timeout: 100 } })
  const before = await valueOf(executor, A, backend)
  expect(await failureOf(executor.run(A, [call('select pg_sleep(10)')]))).toBeInstanceOf(TimeoutError)
  expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  const patient = open()
  const pid = await valueOf(patient, A, backend)
  const running = failureOf(patient.run(A, [call('select pg_sleep(10)')]))
  await untilActive(pid)
  await admin('select pg_cancel_backend($1)', [pid])
  expect(await running).toBeInstanceOf(TimeoutError)
  expect(await valueOf(patient, B, boundTo)).toBe(B.id)
  expect([await valueOf(executor, A, backend), await valueOf(patient, A, backend)]).toEqual([before, pid])
})

test('a lock that does not become free is a timeout', async () => {
  const executor = open({ pool: { lock_timeout: 50 } })
  await admin('begin')
  await admin('lock table platform.projects')
  await expect(executor.run(A, [call('select * from platform.projects')])).rejects.toThrow(TimeoutError)
  await admin('rollback')
  expect(await valueOf(executor, B, boundTo)).toBe(B.id)
})

test('a killed backend is a typed error, and the pool heals', async () => {
  const executor = open()
  const pid = await valueOf(executor, A, backend)
  const running = failureOf(executor.run(A, [insertItem(A, 'killed'), call('select pg_sleep(10)')]))
  await untilActive(pid)
  await admin('select pg_terminate_backend($1)', [pid])
  // It had not come to its commit when the server said so: certainly nothing was written.
  expect(await running).toBeInstanceOf(UnavailableError)
  expect(await stored('killed')).toBe(0)
  expect(await valueOf(executor, B, boundTo)).toBe(B.id)
})

test('SQL that moves the binding is refused by the second entry, and its connection is ended', async () => {
  const executor = open()
  const pid = await valueOf(executor, A, backend)
  // What a CTE with set_config would do on a server where it cannot be revoked.
  const moving = call(
    `with moved as materialized (select platform.move_binding($1) as binding)
     insert into platform.items (org_id, id, name) select $1, gen_random_uuid(), 'moved' from moved where binding <> ''`,
    B.id,
  )
  await expect(executor.run(A, [moving], { reenter: true })).rejects.toThrow(IsolationError)
  expect(await stored('moved')).toBe(0)
  expect(await valueOf(executor, A, backend)).not.toBe(pid)
})

test('a binding that somebody left on the session ends the connection before anything is read', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  const executor = open({ pool })
  const pid = await valueOf(executor, A, backend)
  await pool.query(`set tenantry.org_id = '${B.id}'`)
  await expect(executor.run(A, [countItems])).rejects.toThrow(IsolationError)
  expect(await valueOf(executor, A, backend)).not.toBe(pid)
  expect(await valueOf(executor, A, boundTo)).toBe(A.id)
  await executor.close()
  await pool.end()
})

test.each(modes)('ping answers, and says when it cannot: %o', async (mode) => {
  await expect(open(mode).ping()).resolves.toBeUndefined()
  const nowhere: Executor = open({ pool: { connectionString: 'postgres://127.0.0.1:1/none' } })
  await expect(nowhere.ping()).rejects.toThrow(UnavailableError)
})

async function untilActive(pid: unknown): Promise<void> {
  for (;;) {
    const [row] = await admin<{ busy: boolean }>(
      "select wait_event = 'PgSleep' as busy from pg_stat_activity where pid = $1",
      [pid],
    )
    if (row?.busy) return
  }
}
