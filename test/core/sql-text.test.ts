import pg from 'pg'
import { sql } from 'drizzle-orm'
import { inspect } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { IsolationError, TenantryError, UnsafeRoleError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { createLogin } from '../../src/access/logins.js'
import type { Org } from '../../src/org.js'
import { agents, projects } from '../../src/schema/index.js'
import { openTenancy } from '../../src/tenancy.js'
import { useTenancy } from '../support/use-tenancy.js'
import { keys } from '../faults/writers.js'

const bench = useTenancy()
const { newOrg, database } = bench

const theirsIn = async (org: Org): Promise<string[]> => {
  const rows = await database.admin.query<{ row: string }>(
    'select a::text as row from platform.agents a where org_id = $1 order by id',
    [org.id],
  )
  return rows.map(({ row }) => row)
}

test('SQL text that takes another organization’s rows finds none, and none arrive there', async () => {
  const [org, other] = [await newOrg(), await newOrg()]
  await other.agents.create({ name: 'Eve', username: 'eve' })
  await org.agents.create({ name: 'Ada', username: 'ada' })
  const before = await theirsIn(other)

  const copy = sql`insert into platform.agents (org_id, id, name, username)
    select ${org.id}, gen_random_uuid(), name, 'copied' from platform.agents where org_id = ${other.id}`
  await org.db.execute(copy)
  const merge = sql`merge into platform.agents a using (select ${other.id}::uuid as org_id) b on a.org_id = b.org_id
    when matched then update set name = 'merged'`
  await org.db.execute(merge)
  expect((await org.agents.list()).items.map(({ username }) => username)).toEqual(['ada'])

  for (const write of [
    sql`insert into platform.agents (org_id, id, name, username)
      select ${other.id}, gen_random_uuid(), name, 'planted' from platform.agents`,
    sql`merge into platform.agents a using (select 1) b on false
      when not matched then insert (org_id, id, name, username) values (${other.id}, gen_random_uuid(), 'x', 'planted')`,
    sql`update platform.agents set org_id = ${other.id}`,
    sql`insert into platform.agents (org_id, id, name, username) values (${org.id}, gen_random_uuid(), 'x', 'ada')
      on conflict (org_id, username) where deleted_at is null do update set org_id = ${other.id}`,
  ]) {
    await expect(org.db.execute(write)).rejects.toThrow(TenantryError)
  }
  expect(await theirsIn(other)).toEqual(before)
  expect(await org.agents.count()).toBe(1)
})

test('row security cannot be left out by the login, nor the binding be moved by any function', async () => {
  const other = await newOrg()
  const client = new pg.Client(database.appUrl)
  await client.connect()
  onTestFinished(() => client.end())
  await client.query('begin')
  await client.query('select platform.enter_org($1)', [(await newOrg()).id])
  const denied = /permission denied|would be affected by row-level security|another organization is bound|must be owner/
  for (const text of [
    'set local row_security = off; select * from platform.agents',
    `select set_config('tenantry.org_id', '${other.id}', true)`,
    `with moved as (select set_config('tenantry.org_id', '${other.id}', true)) select * from moved`,
    `select 1 union select length(set_config('tenantry.org_id', '${other.id}', true))`,
    `select 1 order by set_config('tenantry.org_id', '${other.id}', true)`,
    `select query_to_xml('select set_config(''tenantry.org_id'', ''${other.id}'', true)', true, true, '')`,
    "select lo_from_bytea(0, 'everybody’s')",
    'select lo_create(0)',
    `update pg_settings set setting = '${other.id}' where name = 'tenantry.org_id'`,
    `select platform.enter_org('${other.id}')`,
    'set role tenantry_system',
    'truncate platform.agents',
    'create table platform.mine (a int)',
    'create temporary table mine (a int)',
    'alter table platform.agents disable row level security',
    'drop policy org_isolation on platform.agents',
    'create function platform.mine() returns int language sql as $$ select 1 $$',
  ]) {
    await client.query('savepoint attempt')
    await expect(client.query(text), text).rejects.toThrow(denied)
    await client.query('rollback to savepoint attempt')
  }
  await client.query('rollback')
})

test('an uncommitted row of another organization blocks no call', async () => {
  const [org, other] = [await newOrg(), await newOrg()]
  await other.transaction(async (tx) => {
    await tx.agents.create({ name: 'Eve', username: 'same' })
    await tx.projects.create({ name: 'Shop', slug: 'same' })
    await tx.tasks.enqueue({ kind: 'mail', dedupeKey: 'same' })
    await tx.workflows.create({ name: 'Triage', slug: 'same' })
    await org.agents.create({ name: 'Ada', username: 'same' })
    await org.projects.create({ name: 'Shop', slug: 'same' })
    await org.tasks.enqueue({ kind: 'mail', dedupeKey: 'same' })
    await org.workflows.create({ name: 'Triage', slug: 'same' })
  })
  expect([await org.agents.count(), await other.agents.count()]).toEqual([1, 1])
})

test('no error of the database holds a value, SQL, or an id of another organization', async () => {
  const [org, other] = [await newOrg(), await newOrg()]
  const secret = 'swordfish'
  const { id } = await org.agents.create({ name: 'Ada', username: secret })
  const theirs = await other.projects.create({ name: 'Theirs', slug: 'theirs' })
  const insert = (values: Partial<typeof agents.$inferInsert>) =>
    org.db.insert(agents).values({ orgId: org.id, id: newId(), name: secret, username: newId().slice(-12), ...values })
  const failures = await Promise.all(
    [
      insert({ username: secret }),
      insert({ id }),
      insert({ projectId: theirs.id }),
      insert({ name: null as never }),
      insert({ username: secret.toUpperCase() }),
      insert({ status: secret as never }),
      insert({ orgId: other.id }),
      org.db.execute(sql`select ${secret}::int`),
      org.db.execute(sql`select ${secret}::uuid from platform.agents`),
      org.db.execute(sql`select ${secret} from platform.nowhere`),
      org.db.execute(sql`select 9999999999999 * ${'9999999999999'}::int8`),
      org.db
        .select()
        .from(projects)
        .where(sql`${projects.name} = ${secret} and ${secret}`),
    ].map(async (failing) => {
      try {
        await failing
        return undefined
      } catch (error) {
        return error as Error
      }
    }),
  )
  for (const [index, error] of failures.entries()) {
    expect(error, `${index}`).toBeInstanceOf(TenantryError)
    const told = [inspect(error, { depth: null, showHidden: true }), JSON.stringify(error), String(error?.cause)].join()
    for (const hidden of [secret, secret.toUpperCase(), other.id, theirs.id, 'insert into', 'select ']) {
      expect(told, `${index}`).not.toContain(hidden)
    }
  }
  expect(failures[6]).toBeInstanceOf(IsolationError)
})

test('a role that may get around row security from now on is refused by the next connection, and by the next start', async () => {
  const { admin } = database
  const login = `tenantry_later_${newId().slice(-12)}`
  const { password = '' } = await createLogin(admin, login)
  onTestFinished(async () => {
    await admin.query(`drop role if exists ${login}`)
  })
  const url = new URL(database.appUrl)
  url.username = login
  url.password = password
  const tenancy = await openTenancy({ url: url.href, pool: { max: 2 }, keys })
  onTestFinished(() => tenancy.close({ drain: 0 }))
  const org = tenancy.forOrg((await newOrg()).id)
  await admin.query(`alter role ${login} bypassrls`)
  await org.transaction(async (tx) => {
    expect(await tx.agents.count()).toBe(0)
    await expect(org.agents.count()).rejects.toThrow(UnsafeRoleError)
  })
  await expect(openTenancy({ url: url.href, keys })).rejects.toThrow(/bypasses row security/)
  await admin.query(`alter role ${login} nobypassrls`)
  await org.transaction(async () => {
    expect(await org.agents.count()).toBe(0)
  })

  onTestFinished(async () => {
    await admin.query('alter table platform.agents enable row level security')
    await admin.query('drop policy if exists planted on platform.agents')
  })
  await admin.query('alter table platform.agents disable row level security')
  await expect(openTenancy({ url: url.href, keys })).rejects.toThrow(/agents/)
  await admin.query('alter table platform.agents enable row level security')
  await admin.query('create policy planted on platform.agents to tenantry_app using (true)')
  await expect(openTenancy({ url: url.href, keys })).rejects.toThrow(/agents/)
  await admin.query('drop policy planted on platform.agents')
  await (await openTenancy({ url: url.href, keys })).close()
})
