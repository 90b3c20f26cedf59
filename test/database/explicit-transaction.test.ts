import pg from 'pg'
import { expect, test } from 'vitest'
import {
  CommitUnknownError,
  ConflictError,
  InvalidInputError,
  IsolationError,
  RetryableError,
  TimeoutError,
  UnavailableError,
} from '../../src/core/errors.js'
import { startProxy } from '../support/proxy.js'
import { A, B, backend, call, countItems, failureOf, insertItem, useToySchema, valueOf } from '../support/toy-schema.js'

const { database, open } = useToySchema()

const move = (to: string | null) => call('select platform.move_binding($1)', to)

async function stored(name: string): Promise<number> {
  const rows = await database.admin.query<{ n: number }>(
    'select count(*)::int as n from platform.items where name = $1',
    [name],
  )
  return rows[0]?.n ?? NaN
}

const valueIn = (results: readonly { rows: unknown[][] }[]): unknown => results[0]?.rows[0]?.[0]

test('the first calls take BEGIN and the binding with them, and each further one binds again', async () => {
  const proxy = await startProxy(database.appUrl)
  const executor = open({ pool: { connectionString: proxy.url } })
  await executor.ping()
  let writes = 0
  let sent = ''
  proxy.filter = (bytes, direction) => {
    if (direction === 'to server') {
      writes++
      sent += bytes.toString('latin1')
    }
    return bytes
  }
  const transaction = await executor.begin(A)
  expect(writes).toBe(0)
  await transaction.run([countItems])
  await transaction.run([countItems, countItems])
  // Nothing runs in these, so that nothing of them is sent.
  const [released, undone] = [transaction.savepoint(), transaction.savepoint()]
  transaction.rollbackTo(undone)
  transaction.release(released)
  const savepoint = transaction.savepoint()
  await transaction.run([countItems])
  transaction.rollbackTo(savepoint)
  expect(writes).toBe(3)
  await transaction.commit()
  expect(writes).toBe(4)
  expect(sent.match(/savepoint s\d/g)).toEqual([`savepoint ${savepoint}`, `savepoint ${savepoint}`])
  await (await executor.begin(A)).commit()
  await (await executor.begin(A)).rollback()
  expect(writes).toBe(4)
  await executor.close()
  await proxy.close()
})

test('the connection goes back clean', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  const executor = open({ pool })
  for (const end of ['commit', 'rollback'] as const) {
    const transaction = await executor.begin(A)
    await transaction.run([countItems])
    await transaction[end]()
    const { rows } = await pool.query("select current_setting('tenantry.org_id', true) as bound")
    expect(rows).toEqual([{ bound: '' }])
    expect(pool).toMatchObject({ totalCount: 1, idleCount: 1 })
  }
  await expect(pool.query('select * from platform.items')).rejects.toThrow('no organization is bound')
  await pool.end()
})

test('a transaction that starts with a savepoint is bound in front of it', async () => {
  const proxy = await startProxy(database.appUrl)
  const executor = open({ pool: { connectionString: proxy.url } })
  await executor.ping()
  let sent = ''
  proxy.filter = (bytes, direction) => {
    if (direction === 'to server') sent += bytes.toString('latin1')
    return bytes
  }
  const transaction = await executor.begin(A)
  transaction.release(transaction.savepoint())
  const outer = transaction.savepoint()
  transaction.savepoint()
  await transaction.run([countItems])
  transaction.release(outer)
  await transaction.commit()
  expect(sent.match(/begin|enter_org|savepoint s\d/g)?.slice(0, 4)).toEqual([
    'begin',
    'enter_org',
    `savepoint ${outer}`,
    'savepoint s3',
  ])
  await executor.close()
  await proxy.close()
})

test('calls that are not waited for go one after the other', async () => {
  const executor = open()
  const transaction = await executor.begin(A)
  const seen = await Promise.all(
    Array.from({ length: 20 }, () =>
      transaction.run([
        call("update platform.items set quantity = quantity + 1 where name = 'item' returning quantity"),
      ]),
    ),
  )
  expect(seen.map(valueIn)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1))
  const [, committed] = await Promise.all([transaction.run([insertItem(A, 'last')]), transaction.commit()])
  expect(committed).toBeUndefined()
  expect(await stored('last')).toBe(1)
})

test.each([
  ['to another organization', B.id],
  ['to none and then to another', null],
])('a binding that was moved %s is refused by the next statement', async (_, to) => {
  const executor = open()
  const pid = await valueOf(executor, A, backend)
  const transaction = await executor.begin(A)
  await transaction.run([insertItem(A, 'before the move')])
  if (to === null) await transaction.run([call('select platform.move_binding(null), platform.move_binding($1)', B.id)])
  else await transaction.run([move(to)])
  await expect(transaction.run([insertItem(B, 'after the move')])).rejects.toThrow(IsolationError)
  await expect(transaction.commit()).rejects.toThrow(IsolationError)
  await transaction.rollback()
  expect([await stored('before the move'), await stored('after the move')]).toEqual([0, 0])
  expect(await valueOf(executor, A, backend)).not.toBe(pid)
})

test('a binding that the last statement moved is refused by the closing write', async () => {
  const executor = open()
  const pid = await valueOf(executor, A, backend)
  const transaction = await executor.begin(A)
  const moving = call(
    `with moved as materialized (select platform.move_binding($1) as binding)
     insert into platform.items (org_id, id, name) select $1, gen_random_uuid(), 'last move' from moved where binding <> ''`,
    B.id,
  )
  await transaction.run([moving])
  await expect(transaction.commit()).rejects.toThrow(IsolationError)
  expect(await stored('last move')).toBe(0)
  expect(await valueOf(executor, A, backend)).not.toBe(pid)
})

test('of two serializable transactions that cross, the second is told by its commit to try again', async () => {
  const executor = open({ pool: { max: 2 } })
  await database.admin.query('create table platform.doctors (org_id uuid, on_call boolean)')
  await database.admin.query('grant select, update on platform.doctors to tenantry_app')
  await database.admin.query('insert into platform.doctors values ($1, true), ($1, true)', [A.id])
  const leave = call(
    `update platform.doctors set on_call = false where ctid = (select max(ctid) from platform.doctors where on_call)
     and (select count(*) from platform.doctors where on_call) > 1`,
  )
  const other = call(leave.statement.text.replace('max', 'min'))
  const one = await executor.begin(A, { isolation: 'serializable' })
  const two = await executor.begin(A, { isolation: 'serializable' })
  await one.run([leave])
  await two.run([other])
  await one.commit()
  await expect(two.commit()).rejects.toThrow(RetryableError)
  const [row] = await database.admin.query('select count(*)::int as n from platform.doctors where on_call')
  expect(row).toEqual({ n: 1 })
})

test('a constraint that is checked by the commit refuses it', async () => {
  const executor = open()
  await database.admin.query(
    'create table platform.late (a int constraint late_key unique deferrable initially deferred)',
  )
  await database.admin.query('grant select, insert on platform.late to tenantry_app')
  const twice = call('insert into platform.late values (1), (1)')
  const transaction = await executor.begin(A)
  await transaction.run([twice])
  await expect(transaction.commit()).rejects.toThrow(ConflictError)
  await expect(executor.run(A, [twice])).rejects.toThrow(ConflictError)
  expect(await valueOf(executor, A, call('select count(*)::int from platform.late'))).toBe(0)
})

test.each([
  ['XX000', CommitUnknownError],
  ['08006', CommitUnknownError],
  ['57P01', CommitUnknownError],
  ['23514', InvalidInputError],
])('a commit that fails with %s is %o', async (code, expected) => {
  const table = `platform.late_${code.toLowerCase()}`
  await database.admin.query(`create table ${table} (a int)`)
  await database.admin.query(
    `create function ${table}() returns trigger language plpgsql as $$ begin raise exception using errcode = '${code}'; end $$`,
  )
  await database.admin.query(
    `create constraint trigger late after insert on ${table} deferrable initially deferred for each row execute function ${table}()`,
  )
  await database.admin.query(`grant insert on ${table} to tenantry_app`)
  const insert = call(`insert into ${table} values (1)`)
  for (const executor of [open(), open({ blocks: true })]) {
    expect(await failureOf(executor.run(A, [insert]))).toBeInstanceOf(expected)
    const transaction = await executor.begin(A)
    await transaction.run([insert])
    expect(await failureOf(transaction.commit())).toBeInstanceOf(expected)
  }
})

test.each(['while it waits', 'while it runs'])(
  'a backend that is killed %s is a typed error, and the pool heals',
  async (when) => {
    const executor = open()
    const transaction = await executor.begin(A)
    const pid = valueIn(await transaction.run([backend]))
    await transaction.run([insertItem(A, 'killed')])
    const running = when === 'while it runs' ? failureOf(transaction.run([call('select pg_sleep(10)')])) : undefined
    await database.admin.query('select pg_terminate_backend($1)', [pid])
    expect((await running) ?? new UnavailableError()).toBeInstanceOf(UnavailableError)
    await expect(transaction.run([countItems])).rejects.toThrow(UnavailableError)
    await expect(transaction.commit()).rejects.toThrow(UnavailableError)
    await transaction.rollback()
    expect(await stored('killed')).toBe(0)
    expect(await valueOf(executor, B, countItems)).toBe(10)
  },
)

test('a transaction that idles for too long is ended by the server, and says so', async () => {
  const executor = open({ pool: { idle_in_transaction_session_timeout: 50 } })
  const transaction = await executor.begin(A)
  const pid = valueIn(await transaction.run([backend]))
  for (let alive = 1; alive > 0;) {
    const rows = await database.admin.query('select from pg_stat_activity where pid = $1', [pid])
    alive = rows.length
  }
  await expect(transaction.run([countItems])).rejects.toThrow(TimeoutError)
  await transaction.rollback()
  expect(await valueOf(executor, B, countItems)).toBe(10)
})

test('another handle inside a transaction takes another connection, or is told that there is none', async () => {
  const executor = open({ pool: { max: 1, connectionTimeoutMillis: 1_000 } })
  const transaction = await executor.begin(A)
  await transaction.run([countItems])
  await expect(executor.run(B, [countItems])).rejects.toMatchObject({ code: 'pool_timeout' })
  await transaction.commit()
  expect(await valueOf(executor, B, countItems)).toBe(10)
})
