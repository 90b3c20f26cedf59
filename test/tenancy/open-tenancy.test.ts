import { eq, sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import {
  ConflictError,
  InvalidInputError,
  InvalidOrgIdError,
  NotFoundError,
  OrganizationSuspendedError,
  ScopeClosedError,
  UnsafeRoleError,
  UnsafeStatementError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { agents, tasks } from '../../src/schema/index.js'
import { openTenancy } from '../../src/tenancy.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()
const { newOrg } = bench

const keys = `test:${Buffer.alloc(32, 1).toString('base64')}`

test('the owner’s connection is refused, with what is wrong and what mends it', async () => {
  const opening = openTenancy({ url: bench.database.adminUrl, keys })
  await expect(opening).rejects.toThrow(UnsafeRoleError)
  await expect(opening).rejects.toThrow(/superuser/)
  await expect(openTenancy({ url: bench.database.systemUrl, keys })).rejects.toThrow(UnsafeRoleError)
})

test('a missing url and keys that are none are errors that say what to set', async () => {
  await expect(openTenancy({ url: undefined, keys })).rejects.toThrow(/DATABASE_URL/)
  await expect(openTenancy({ url: bench.database.appUrl, keys: 'short' })).rejects.toThrow(/TENANTRY_KEYS/)
})

test.each([
  ['mysql://me:secret_password@127.0.0.1/shop', /^url: has a scheme other than postgres or postgresql/],
  ['http://127.0.0.1:1/', /has a scheme other than/],
  ['socket:/tmp?db=shop', /has a scheme other than/],
  ['localhost:5432/shop', /has a scheme other than/],
  ['postgres:shop', /has a scheme other than/],
  ['not a url', /^url: must look like postgres:\/\//],
  ['', /^url: is empty; it must look like postgres:\/\//],
  ['  ', /^url: is empty/],
])('the url %j is refused before anything is opened', async (url, reason) => {
  for (const pool of [undefined, { max: 5 }, { host: '127.0.0.1', port: 1 }]) {
    const refused: unknown = await openTenancy({ url, ...(pool && { pool }), keys }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(InvalidInputError)
    expect((refused as Error).message).toMatch(reason)
    expect((refused as Error).message).not.toContain('secret_password')
  }
  const inPool = openTenancy({ pool: { connectionString: url }, keys })
  await expect(inPool).rejects.toThrow(InvalidInputError)
})

test('a url that is undefined is missed, also beside options of the pool that name no server', async () => {
  const named = ['PGHOST', 'PGUSER', 'PGDATABASE'].filter((name) => process.env[name])
  for (const pool of [{}, { max: 5 }, { password: 'x', ssl: true }]) {
    const opening = openTenancy({ url: undefined, pool, keys })
    // With these variables pg knows where to connect to.
    if (named.length === 0) await expect(opening).rejects.toThrow(/^url: is missing; set DATABASE_URL/)
  }
})

test('a misspelt option of own is named with its place', async () => {
  const own = { schema: {}, migrations: '/nowhere', billing: {} }
  await expect(openTenancy({ keys, own })).rejects.toThrow(/^own\.billing: is not an option/)
})

test.each([
  ['k1:abc', 'the key k1 has 2 bytes, and must have 32'],
  [`k1:${Buffer.alloc(16).toString('base64')}`, 'the key k1 has 16 bytes, and must have 32'],
  ['abc', 'key 1 is not written as <id>:<base64>'],
])('the keys %j are refused with the reason, under the name of where they were given', async (given, reason) => {
  const opening = openTenancy({ url: bench.database.appUrl, keys: given })
  await expect(opening).rejects.toThrow(`keys: ${reason}`)
})

test('both names of the scheme are taken', async () => {
  for (const scheme of ['postgresql:', 'POSTGRES:']) {
    const tenancy = await openTenancy({ url: bench.database.appUrl.replace('postgres:', scheme), keys })
    await tenancy.close()
  }
})

test('the error for an unreachable server names host, port and cause', async () => {
  const opening = openTenancy({ url: 'postgres://me:secret_password@127.0.0.1:1/shop', keys })
  await expect(opening).rejects.toThrow(
    'the database at 127.0.0.1:1 cannot be reached: the connection was refused (ECONNREFUSED)',
  )
})

test('only the id of one organization opens a scope', () => {
  const { tenancy } = bench
  const id = newId()
  const others: unknown[] = [undefined, null, '', 7, [id], { toString: () => id }, Object(id), `${id}; select 1`]
  for (const other of [...others, `${id}\n`, `{${id}}`, id.replaceAll('-', ''), id.toUpperCase()]) {
    expect(() => tenancy.forOrg(other as string), String(other)).toThrow(InvalidOrgIdError)
  }
})

test('an unknown organization is not there, and a suspended one says so', async () => {
  const unknown = bench.tenancy.forOrg(newId())
  await expect(unknown.agents.list()).rejects.toThrow(NotFoundError)
  await expect(unknown.agents.create({ name: 'Ada', username: 'ada' })).rejects.toThrow(NotFoundError)

  const org = await newOrg()
  await bench.database.admin.query(`update platform.organizations set status = 'suspended' where id = $1`, [org.id])
  await expect(org.agents.list()).rejects.toThrow(OrganizationSuspendedError)
})

test('a scope that only reads writes nothing', async () => {
  const org = await newOrg({ readOnly: true })
  await expect(org.agents.count()).resolves.toBe(0)
  await expect(org.agents.create({ name: 'Ada', username: 'ada' })).rejects.toThrow(UnsafeStatementError)
  await expect(org.transaction((tx) => tx.agents.create({ name: 'Ada', username: 'ada' }))).rejects.toThrow(
    UnsafeStatementError,
  )
})

test('after close nothing is sent', async () => {
  const tenancy = await openTenancy({ url: bench.database.appUrl, keys })
  const org = tenancy.forOrg((await newOrg()).id)
  await tenancy.ping()
  await tenancy.close()
  await expect(org.agents.list()).rejects.toThrow(ScopeClosedError)
  await expect(tenancy.ping()).rejects.toThrow(ScopeClosedError)
})

test('Drizzle in the scope sees the organization’s rows alone, whatever it asks for', async () => {
  const [org, other] = await Promise.all([newOrg(), newOrg()])
  const ada = await org.agents.create({ name: 'Ada', username: 'ada', settings: { deep: [1, 'two', null] } })
  await other.agents.create({ name: 'Bob', username: 'bob' })
  await org.tasks.enqueue({ kind: 'greet', agentId: ada.id })

  const rows = await org.db.select().from(agents)
  expect(rows.map((row) => row.name)).toEqual(['Ada'])
  expect(rows[0]?.settings).toEqual({ deep: [1, 'two', null] })
  expect(rows[0]?.createdAt).toEqual(ada.createdAt)
  expect(await org.db.select().from(agents).where(eq(agents.orgId, other.id))).toEqual([])
  const joined = await org.db
    .select({ kind: tasks.kind, agent: agents.name })
    .from(tasks)
    .innerJoin(agents, eq(tasks.agentId, agents.id))
  expect(joined).toEqual([{ kind: 'greet', agent: 'Ada' }])
  expect(await org.db.delete(agents).where(eq(agents.orgId, other.id)).returning()).toEqual([])
  await expect(other.agents.count()).resolves.toBe(1)
})

test('SQL text in the scope cannot move the binding, and errors arrive as ours', async () => {
  const org = await newOrg()
  for (const text of [
    `select set_config('tenantry.org_id', '', true)`,
    `with x as (select platform.enter_org('${newId()}')) select 1`,
    'set local tenantry.org_id = 1',
    'begin',
    'commit',
    '/* hidden */ reset role',
    'select 1; select 2',
  ]) {
    const error: unknown = await org.db.execute(text).catch((refused: unknown) => refused)
    expect(error, text).toHaveProperty('code')
    expect((error as Error).message, text).not.toContain(org.id)
  }
  await org.agents.create({ name: 'Ada', username: 'ada' })
  const taken = org.db.insert(agents).values({ orgId: org.id, id: newId(), name: 'secret words', username: 'ada' })
  await expect(taken).rejects.toThrow(ConflictError)
  await expect(taken).rejects.not.toThrow(/secret words/)
})

test('a statement of the builder without returning says how many rows it changed', async () => {
  const org = await newOrg()
  const values = ['ada', 'eve', 'bob'].map((username) => ({ orgId: org.id, id: newId(), name: 'Ada', username }))
  const inserted = await org.db.insert(agents).values(values)
  expect(inserted.rowCount).toBe(3)
  const changed = await org.db.update(agents).set({ name: 'Eve' }).where(eq(agents.username, 'eve'))
  expect([changed, changed.rowCount]).toEqual([[], 1])
  expect((await org.db.execute(sql`select name from platform.agents where name = 'Ada'`)).rowCount).toBe(2)
  expect((await org.transaction((tx) => tx.db.delete(agents).where(eq(agents.name, 'nobody')))).rowCount).toBe(0)
})

test('inside a transaction Drizzle sees what the repositories wrote, and goes with it', async () => {
  const org = await newOrg()
  const work = org.transaction(async (tx) => {
    await tx.agents.create({ name: 'Ada', username: 'ada' })
    expect(await tx.db.select({ name: agents.name }).from(agents)).toEqual([{ name: 'Ada' }])
    throw new InvalidInputError('', 'changed my mind')
  })
  await expect(work).rejects.toThrow('changed my mind')
  await expect(org.agents.count()).resolves.toBe(0)
})
