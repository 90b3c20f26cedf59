import pg from 'pg'
import { expect, test } from 'vitest'
import { ConflictError, InvalidInputError, QueryError, UnsafeStatementError } from '../../src/core/errors.js'
import type { Executor } from '../../src/core/executor.js'
import { PreparedStatements } from '../../src/database/prepared-statements.js'
import { collectGarbage } from '../support/collected-garbage.js'
import { startProxy } from '../support/proxy.js'
import { A, B, call, countItems, failureOf, insertItem, useToySchema, valueOf } from '../support/toy-schema.js'

const { database, open } = useToySchema()

/** An executor over a pool of the host's with one connection, whose session the test can look at and disturb. */
function sharing(options: { isPooled?: boolean; blocks?: boolean; debug?: boolean } = {}): {
  pool: pg.Pool
  executor: Executor
} {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  return { pool, executor: open({ pool, ...options }) }
}

async function names(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>('select name from pg_prepared_statements order by name')
  return rows.map((row) => row.name)
}

test('a statement is parsed once per connection', async () => {
  const { pool, executor } = sharing()
  for (let round = 0; round < 3; round++) await executor.run(A, [countItems, countItems])
  const { rows } = await pool.query(
    'select generic_plans + custom_plans as runs from pg_prepared_statements where name = $1',
    [countItems.statement.name],
  )
  expect(rows).toEqual([{ runs: '6' }])
  await pool.end()
})

test('at most 300 keep their name, those used last', async () => {
  const { pool, executor } = sharing()
  const number = (index: number) => call(`select ${index}`)
  for (let index = 0; index < 340; index++) {
    await executor.run(A, [number(index)])
    if (index % 20 === 0) await executor.run(A, [number(0)])
  }
  const kept = await names(pool)
  expect(kept).toHaveLength(300)
  expect(kept).not.toContain(number(1).statement.name)
  const { rows } = await pool.query(
    'select generic_plans + custom_plans as runs from pg_prepared_statements where name = $1',
    [number(0).statement.name],
  )
  expect(rows).toEqual([{ runs: '18' }])
  expect(await valueOf(executor, A, number(1))).toBe(1)
  await pool.end()
})

test('over one connection, a tenancy with debug may send an explain, and one without it may not', async () => {
  const { pool, executor } = sharing({ debug: true })
  const plain = open({ pool })
  const explained = call('explain select count(*) from platform.items')
  for (let round = 0; round < 2; round++) {
    expect((await executor.run(A, [explained]))[0]?.rows).not.toEqual([])
    expect(await failureOf(plain.run(A, [explained]))).toBeInstanceOf(UnsafeStatementError)
  }
  await pool.end()
})

test('a batch of more statements than that goes through', async () => {
  const { pool, executor } = sharing()
  const calls = Array.from({ length: 310 }, (_, index) => call(`select ${index}`))
  for (let round = 0; round < 2; round++) {
    const results = await executor.run(A, calls)
    expect(results.map((result) => result.rows[0]?.[0])).toEqual(calls.map((_, index) => index))
  }
  await executor.run(A, [countItems])
  expect(await names(pool)).toHaveLength(300)
  await pool.end()
})

test('statements whose first batch failed are counted too, and work when it is repeated', async () => {
  const { pool, executor } = sharing()
  const failing = (index: number) => call(`select ${index} / $1::int`, index % 2)
  for (let index = 0; index < 620; index += 2) {
    await expect(executor.run(A, [call('select 1'), failing(index)])).rejects.toThrow(InvalidInputError)
  }
  expect((await names(pool)).length).toBeLessThanOrEqual(300)
  expect(await valueOf(executor, A, { ...failing(618), values: [1] })).toBe(618)
  await pool.end()
})

test.each([{ blocks: false }, { blocks: true }])(
  'statements that the session lost are parsed again, and the write is done once: %o',
  async (mode) => {
    const { pool, executor } = sharing(mode)
    const name = `deallocated ${mode.blocks}`
    await executor.run(A, [insertItem(A, name), countItems])
    await pool.query('deallocate all')
    await executor.run(A, [insertItem(A, name), countItems])
    await pool.query('discard all')
    await executor.run(A, [insertItem(A, name), countItems])
    expect(await valueOf(executor, A, call('select count(*)::int from platform.items where name = $1', name))).toBe(3)
    expect(pool.totalCount).toBe(1)
    await pool.end()
  },
)

test('a statement whose rows change their shape is parsed again, never misread', async () => {
  const { pool, executor } = sharing()
  const { admin } = database
  await admin.query('create table platform.shifting (a int)')
  await admin.query('grant select on platform.shifting to tenantry_app')
  await admin.query('insert into platform.shifting values (1)')
  const all = call('select * from platform.shifting')
  expect(await executor.run(A, [all])).toMatchObject([{ columns: ['a'], rows: [[1]] }])
  await admin.query("alter table platform.shifting add b text default 'z'")
  expect(await executor.run(A, [all])).toMatchObject([{ columns: ['a', 'b'], rows: [[1, 'z']] }])
  await admin.query('alter table platform.shifting alter a type text')
  expect(await executor.run(A, [all])).toMatchObject([{ columns: ['a', 'b'], rows: [['1', 'z']] }])
  await pool.end()
})

test('a transaction begins again when the session lost the statements of its start, and not later', async () => {
  const { pool, executor } = sharing({ debug: true })
  const first = await executor.begin(A)
  await first.run([countItems])
  await first.commit()
  await pool.query('deallocate all')
  const name = 'begun again'
  const second = await executor.begin(A)
  await second.run([insertItem(A, name), countItems])
  await second.commit()
  expect(await valueOf(executor, A, call('select count(*)::int from platform.items where name = $1', name))).toBe(1)

  await database.admin.query('create table platform.changing (a int)')
  await database.admin.query('grant select on platform.changing to tenantry_app')
  const all = call('select * from platform.changing')
  await executor.run(A, [all])
  const third = await executor.begin(A)
  await third.run([insertItem(A, name)])
  await database.admin.query('alter table platform.changing add b int')
  expect(await failureOf(third.run([all]))).toMatchObject({ code: 'retryable', reason: 'schema' })
  await third.rollback()
  expect(await executor.run(A, [all])).toMatchObject([{ columns: ['a', 'b'] }])
  expect(await valueOf(executor, A, call('select count(*)::int from platform.items where name = $1', name))).toBe(1)
  await pool.end()
})

test('an error that is not about a stale statement is not tried again', async () => {
  const { pool, executor } = sharing()
  await database.admin.query(`
    create function platform.refuse() returns int language plpgsql as
    $$ begin raise exception using errcode = '0A000'; end $$`)
  await database.admin.query('create sequence platform.tries')
  await database.admin.query('grant all on sequence platform.tries to tenantry_app')
  await database.admin.query('grant execute on function platform.refuse() to tenantry_app')
  const refused = call("select nextval('platform.tries'), platform.refuse()")
  await expect(executor.run(A, [refused])).rejects.toThrow(QueryError)
  const [row] = await database.admin.query('select last_value from platform.tries')
  expect(row).toEqual({ last_value: '1' })
  await pool.end()
})

test('a write that fails is not repeated', async () => {
  const executor = open()
  const twice = call("insert into platform.projects (org_id, id, slug) values ($1, gen_random_uuid(), 'once')", A.id)
  await executor.run(A, [twice])
  await expect(executor.run(A, [twice])).rejects.toThrow(ConflictError)
  expect(await valueOf(executor, A, call('select count(*)::int from platform.projects'))).toBe(1)
})

test.each([{ blocks: false }, { blocks: true }])('behind a transaction pooler nothing has a name: %o', async (mode) => {
  const { pool, executor } = sharing({ isPooled: true, ...mode })
  for (let round = 0; round < 2; round++) {
    const results = await executor.run(round === 0 ? A : B, [
      call('select $1::text as a', 'x'),
      call('select 1 as b, 2 as c'),
      call('update platform.items set quantity = 0 where false'),
    ])
    expect(results).toMatchObject([
      { columns: ['a'], rows: [['x']] },
      { columns: ['b', 'c'], rows: [[1, 2]] },
      { columns: [], rowCount: 0 },
    ])
    await expect(executor.run(A, [call('select 1 / $1::int', 0)])).rejects.toThrow(InvalidInputError)
  }
  const transaction = await executor.begin(A)
  await transaction.run([countItems])
  await transaction.commit()
  expect(await names(pool)).toEqual([])
  await pool.end()
})

test('a pooler is found out by the process number that it makes up', async () => {
  const proxy = await startProxy(database.appUrl)
  proxy.filter = (bytes, direction) => {
    // BackendKeyData: its type, its length of 12, and the number.
    const at = direction === 'to client' ? bytes.indexOf(Buffer.of(0x4b, 0, 0, 0, 12)) : -1
    if (at !== -1) bytes.writeInt32BE(bytes.readInt32BE(at + 5) + 1, at + 5)
    return bytes
  }
  const pool = new pg.Pool({ connectionString: proxy.url, max: 1 })
  const executor = open({ pool })
  await executor.run(A, [countItems])
  expect(await names(pool)).toEqual([])
  const told = open({ pool: { connectionString: proxy.url }, isPooled: false })
  expect(await valueOf(told, A, call('select count(*)::int from pg_prepared_statements'))).toBe(2)
  await pool.end()
  await proxy.close()
})

test('one name never stands for two texts', () => {
  const statements = new PreparedStatements(300)
  statements.find({ name: 'a', text: 'select 1', effect: 'read' })
  expect(() => statements.find({ name: 'a', text: 'select 2', effect: 'read' })).toThrow('two statements')
})

test('a connection keeps neither the values nor the rows of its last call of a statement', async () => {
  const executor = open()
  const selected = call('select $1::text')
  const send = async () => {
    const values = ['a secret']
    const results = await executor.run(A, [{ statement: selected.statement, values }])
    return [new WeakRef(values), new WeakRef(results[0]?.rows ?? values)]
  }
  const sent = await send()
  await executor.run(A, [countItems])
  await collectGarbage()
  expect(sent.map((one) => one.deref())).toEqual([undefined, undefined])
})
