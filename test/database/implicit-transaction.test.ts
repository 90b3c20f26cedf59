import pg from 'pg'
import { expect, test } from 'vitest'
import {
  InvalidInputError,
  IsolationError,
  NotFoundError,
  OrganizationSuspendedError,
  QueryError,
  TimeoutError,
  UnavailableError,
  UnsafeStatementError,
} from '../../src/core/errors.js'
import type { Executor } from '../../src/core/executor.js'
import {
  A,
  B,
  backend,
  call,
  countItems,
  countNamed,
  failureOf,
  insertItem,
  person,
  suspended,
  unknown,
  useToySchema,
  valueOf,
} from '../support/toy-schema.js'

const { database, open } = useToySchema()

const system = { kind: 'system', about: undefined } as const
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

test.each(modes)('row security shows the bound organization and no other: %o', async (mode) => {
  const executor = open(mode)
  expect(await valueOf(executor, A, countItems)).toBe(10)
  expect(await valueOf(executor, A, call('select count(*)::int from platform.items where org_id = $1', B.id))).toBe(0)
  expect(await valueOf(executor, B, call('select distinct org_id from platform.items'))).toBe(B.id)
})

test.each(modes)('the binding ends with the batch, and without one nothing is read: %o', async (mode) => {
  const executor = open(mode)
  await executor.run(A, [countItems])
  expect(await valueOf(executor, system, boundTo)).toBe('')
  await expect(executor.run(system, [countItems])).rejects.toThrow(IsolationError)
})

test.each(modes)('a failed batch leaves the connection as it was: %o', async (mode) => {
  const executor = open(mode)
  const before = await valueOf(executor, A, backend)
  expect(await failureOf(executor.run(A, [divide]))).toBeInstanceOf(InvalidInputError)
  expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  expect(await valueOf(executor, B, backend)).toBe(before)
})

test.each(modes)('all calls take effect, or none: %o', async (mode) => {
  const executor = open(mode)
  const name = `half ${mode.blocks}`
  await expect(executor.run(A, [insertItem(A, name), divide])).rejects.toThrow(InvalidInputError)
  expect(await stored(name)).toBe(0)
  const results = await executor.run(A, [insertItem(A, name), insertItem(A, name), countNamed(name)])
  expect(results.map((result) => result.rowCount)).toEqual([1, 1, 1])
  expect(results[2]?.rows).toEqual([[2]])
})

test.each(modes)('a row for another organization is refused by the wall: %o', async (mode) => {
  const executor = open(mode)
  await expect(executor.run(A, [insertItem(B, 'smuggled')])).rejects.toThrow(IsolationError)
  expect(await stored('smuggled')).toBe(0)
})

test.each(modes)(
  'an organization that is suspended or unknown is told apart, and nothing is done: %o',
  async (mode) => {
    const executor = open(mode)
    await expect(executor.run(suspended, [insertItem(suspended, 'refused')])).rejects.toThrow(
      OrganizationSuspendedError,
    )
    await expect(executor.run(unknown, [insertItem(unknown, 'refused')])).rejects.toThrow(NotFoundError)
    await expect(executor.run({ kind: 'org', id: "x' or 1=1" }, [countItems])).rejects.toThrow(InvalidInputError)
    expect(await stored('refused')).toBe(0)
  },
)

test('a person sees their own row, and no organization’s', async () => {
  const executor = open()
  const [users] = await executor.run(person, [call('select name from platform.users')])
  expect(users?.rows).toEqual([['Ada']])
  await expect(executor.run(person, [countItems])).rejects.toThrow(IsolationError)
  await expect(executor.run(A, [call('select name from platform.users')])).rejects.toThrow(IsolationError)
})

test('a value that cannot be sent leaves nothing on the wire', async () => {
  const executor = open()
  const before = await valueOf(executor, A, backend)
  await expect(executor.run(A, [countItems, call('select $1', () => 1)])).rejects.toThrow(InvalidInputError)
  expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  expect(await valueOf(executor, A, backend)).toBe(before)
})

test('a text that is not a query or a write is not sent, nor are the calls beside it', async () => {
  const executor = open()
  for (const text of [
    'commit',
    'begin',
    "set tenantry.org_id = 'x'",
    'copy platform.items from stdin',
    'discard all',
  ]) {
    await expect(executor.run(A, [insertItem(A, 'beside'), call(text)])).rejects.toThrow(UnsafeStatementError)
  }
  expect(await stored('beside')).toBe(0)
  expect(await valueOf(executor, A, countItems)).toBeGreaterThanOrEqual(10)
})

test('what we send ourselves is not the caller’s to send, though the connection has it prepared', async () => {
  const executor = open({ blocks: true })
  const transaction = await executor.begin(A)
  await transaction.run([insertItem(A, 'ours')])
  for (const text of ['begin', 'commit', 'rollback']) {
    await expect(transaction.run([call(text)])).rejects.toThrow(UnsafeStatementError)
  }
  await expect(transaction.run([call('select platform.enter_org($1)', A.id)])).rejects.toThrow(UnsafeStatementError)
  await transaction.rollback()
  for (const text of ['begin', 'commit', 'rollback']) {
    await expect(executor.run(A, [insertItem(A, 'ours'), call(text)])).rejects.toThrow(UnsafeStatementError)
  }
  expect(await stored('ours')).toBe(0)
})

test('one text is one statement', async () => {
  const executor = open({ debug: true })
  const error = await failureOf(executor.run(A, [call('select 1; select 2')]))
  expect(error).toBeInstanceOf(QueryError)
  expect(error).toMatchObject({ debug: { sqlstate: '42601' } })
})

test('200 callers of two organizations over one connection each see their own', async () => {
  const executor = open()
  const seen = await Promise.all(
    Array.from({ length: 200 }, (_, index) => valueOf(executor, index % 2 === 0 ? A : B, boundTo)),
  )
  expect(seen).toEqual(seen.map((_, index) => (index % 2 === 0 ? A.id : B.id)))
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

test.each(modes)('a read-only batch writes nothing: %o', async (mode) => {
  const executor = open(mode)
  await expect(executor.run(A, [insertItem(A, 'read only')], { readOnly: true })).rejects.toThrow(UnsafeStatementError)
  expect(await executor.run(A, [countNamed('read only')], { readOnly: true })).toMatchObject([{ rows: [[0]] }])
  const name = `after read only ${mode.blocks}`
  await executor.run(A, [insertItem(A, name)])
  expect(await stored(name)).toBe(1)
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

test('a result knows its columns and counts, with rows and without', async () => {
  const executor = open()
  const update = call("update platform.items set quantity = 1 where name = 'item'")
  const none = call('select id, name from platform.items where false')
  const returning = call("update platform.items set quantity = 2 where name = 'item' returning name, quantity")
  for (const round of ['parsed', 'prepared']) {
    const [updated, empty, returned] = await executor.run(A, [update, none, returning])
    expect(updated, round).toEqual({ rows: [], columns: [], rowCount: 10 })
    expect(empty).toEqual({ rows: [], columns: ['id', 'name'], rowCount: 0 })
    expect(returned).toMatchObject({ columns: ['name', 'quantity'], rowCount: 10 })
    expect(returned?.rows[0]).toEqual(['item', 2])
  }
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
