import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  InvalidInputError,
  IsolationError,
  TransactionAbortedError,
  UnsafeStatementError,
} from '../../src/core/errors.js'
import type { Binding, Executor, Result } from '../../src/core/executor.js'
import { newId } from '../../src/core/ids.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { createOrganization, createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { call, valueOf } from '../support/toy-schema.js'

const database = useDatabase()
let pool: pg.Pool
let executor: Executor
let ada: Binding
let eve: Binding
let org: Binding

/** One connection for everybody, on the migrated schema. */
beforeAll(async () => {
  const { admin } = database
  pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  executor = openNodePostgres({ pool })
  ada = { kind: 'user', id: await createUser(admin, { email: 'ada@example.com' }) }
  eve = { kind: 'user', id: await createUser(admin, { email: 'eve@example.com' }) }
  org = { kind: 'org', id: await createOrganization(admin) }
})
beforeEach(async () => {
  await database.admin.query('update platform.users set first_name = null')
})
afterAll(async () => {
  await executor.close({ drain: 0 })
  await pool.end()
})

const backend = call('select pg_backend_pid()')
const emails = call('select string_agg(email, $1) from platform.users', ',')
const agents = call('select count(*)::int from platform.agents')
const rename = (name: string) => call('update platform.users set first_name = $1 returning email', name)

const firstOf = (results: readonly Result[]): unknown => results[0]?.rows[0]?.[0]

async function names(): Promise<unknown> {
  return database.admin.query('select email, first_name as name from platform.users order by email')
}

test('a person’s scope sees and changes their own row, one after the other over one connection', async () => {
  expect(await valueOf(executor, ada, emails)).toBe('ada@example.com')
  expect(await valueOf(executor, eve, emails)).toBe('eve@example.com')
  expect(await valueOf(executor, ada, rename('Ada'))).toBe('ada@example.com')
  expect(await valueOf(executor, { kind: 'user', id: newId() }, emails)).toBeNull()
  expect(await names()).toEqual([
    { email: 'ada@example.com', name: 'Ada' },
    { email: 'eve@example.com', name: null },
  ])
})

test('a person’s scope is none of an organization’s, nor the other way round, and leaves no binding', async () => {
  const before = await valueOf(executor, ada, backend)
  await expect(executor.run(ada, [agents])).rejects.toThrow(IsolationError)
  await expect(executor.run(org, [emails])).rejects.toThrow(IsolationError)
  expect(await valueOf(executor, org, agents)).toBe(0)
  expect(await valueOf(executor, ada, emails)).toBe('ada@example.com')
  const { rows } = await pool.query(
    "select current_setting('tenantry.org_id', true) as org, current_setting('tenantry.user_id', true) as person",
  )
  expect(rows).toEqual([{ org: '', person: '' }])
  expect(await valueOf(executor, org, backend)).toBe(before)
})

test('a person’s transaction is bound in each of its statements, and clean after its end', async () => {
  const transaction = await executor.begin(eve)
  const savepoint = transaction.savepoint()
  await expect(transaction.run([emails, agents])).rejects.toThrow(IsolationError)
  // Back to before the binding.
  transaction.rollbackTo(savepoint)
  expect(firstOf(await transaction.run([rename('Eve')]))).toBe('eve@example.com')
  await transaction.commit()
  expect(await names()).toContainEqual({ email: 'eve@example.com', name: 'Eve' })
  expect(await valueOf(executor, ada, emails)).toBe('ada@example.com')

  const failed = await executor.begin(eve)
  await failed.run([rename('Nobody')])
  await expect(failed.run([call('select 1 / $1::int', 0)])).rejects.toThrow(InvalidInputError)
  await expect(failed.commit()).rejects.toThrow(TransactionAbortedError)
  expect(await names()).toContainEqual({ email: 'eve@example.com', name: 'Eve' })
})

test('SQL text cannot rebind a person’s scope', async () => {
  for (const text of ['select platform.enter_user($1)', 'select platform.enter_org($1)']) {
    await expect(executor.run(ada, [call(text, eve.kind === 'user' ? eve.id : '')])).rejects.toThrow(
      UnsafeStatementError,
    )
  }
  await expect(executor.run({ kind: 'user', id: 'x' }, [emails])).rejects.toThrow(InvalidInputError)
})

test.each(['tenantry.user_id', 'tenantry.org_id'])(
  'what somebody left in %s ends the connection before anything of a person is read',
  async (setting) => {
    const pid = await valueOf(executor, ada, backend)
    await pool.query(`set ${setting} = '${newId()}'`)
    await expect(executor.run(ada, [emails])).rejects.toThrow(IsolationError)
    expect(await valueOf(executor, ada, backend)).not.toBe(pid)
    await pool.query(`set ${setting} = '${newId()}'`)
    const transaction = await executor.begin(ada)
    await expect(transaction.run([rename('Moved')])).rejects.toThrow(IsolationError)
    await transaction.rollback()
    expect(await valueOf(executor, ada, emails)).toBe('ada@example.com')
    expect(await names()).not.toContainEqual({ email: 'ada@example.com', name: 'Moved' })
  },
)
