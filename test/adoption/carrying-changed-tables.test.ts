import { expect, test } from 'vitest'
import { ownerSession, rowsOf } from '../support/adopting.js'
import { carrying, countOf, isProved, useEarlierPlatforms } from '../support/carrying.js'
import { watched } from '../support/mortal-session.js'

const { database, earlier } = useEarlierPlatforms()

test('an earlier table that changed since expand stops every step but the way back', async () => {
  const { session, expand, backfill, prove, swap, downAll } = await earlier('reshaped')
  const before = await rowsOf(session, 'reshaped')
  await expand()
  const steps = { backfill, prove, swap }
  const refuseEach = async (message: string) => {
    for (const take of Object.values(steps)) await expect(take()).rejects.toThrow(message)
  }
  await backfill()
  await prove()
  await session.query('alter table reshaped.credentials drop constraint credentials_pkey')
  await refuseEach('credentials needs a primary key of one column, id')
  await session.query('alter table reshaped.credentials add primary key (id)')
  await session.query('alter table reshaped.tax_ids rename to fiscal_ids')
  await refuseEach('tax_ids is reshaped.fiscal_ids by now')
  await session.query('alter table reshaped.fiscal_ids rename to tax_ids')
  await session.query('alter table reshaped.projects rename database_password to db_password')
  await refuseEach('projects has lost database_password')
  await session.query('alter table reshaped.projects rename db_password to database_password')
  await session.query('alter table reshaped.organizations rename billing_email to mail')
  await refuseEach('organizations has lost billing_email')
  await session.query('alter table reshaped.organizations rename mail to billing_email')
  await session.query(
    'create table reshaped.feature_flags (id uuid primary key, flag_key text not null, flag_name text not null)',
  )
  await refuseEach('feature_flags can be carried since expand was taken, so that their writes were not noted')
  await session.query('drop table reshaped.feature_flags')
  expect(await prove()).toMatchObject(isProved)
  await session.query('alter table reshaped.tax_ids rename to fiscal_ids')
  await session.query('alter table reshaped.credentials drop constraint credentials_pkey')
  await downAll()
  const triggers = await session.query(
    `select t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid
     where c.relnamespace = 'reshaped'::regnamespace and t.tgname like 'zz_tenantry%'`,
  )
  expect(triggers).toEqual([])
  const { tax_ids: taxIds, ...others } = before
  expect(await rowsOf(session, 'reshaped')).toEqual({ ...others, fiscal_ids: taxIds })
})

test('an earlier table that is gone stops every step but the way back', async () => {
  const { session, expand, backfill, prove, swap, contract, down, downAll } = await earlier('dropped')
  await expand()
  await backfill()
  await prove()
  await session.query('create table kept_of_dropped as select * from dropped.disk_config')
  await session.query('drop table dropped.disk_config')
  for (const take of [backfill, prove, swap])
    await expect(take()).rejects.toThrow('earlier tables are gone since expand: disk_config')
  await downAll()
  await session.query('create table dropped.disk_config as select * from kept_of_dropped')
  await session.query('alter table dropped.disk_config add primary key (id)')
  await expand()
  await backfill()
  await prove()
  expect(await swap()).toMatchObject(isProved)
  // Without secrets, nothing is lost to contract.
  await session.query('drop table dropped.disk_config')
  await session.query('alter table dropped.credentials rename to credentials_old')
  await expect(contract()).rejects.toThrow('credentials is dropped.credentials_old by now')
  await session.query('alter table dropped.credentials_old rename to credentials')
  await session.query('alter table dropped.credentials rename jwt_secret to jwt_secret_old')
  await expect(contract()).rejects.toThrow('credentials has lost jwt_secret')
  await session.query('alter table dropped.credentials rename jwt_secret_old to jwt_secret')
  await expect(down()).rejects.toThrow('earlier tables are gone since expand: disk_config')
  expect((await contract()).tables.map(({ inClear }) => inClear)).toEqual([0, 0])
  await session.query('alter table dropped.credentials rename to credentials_old')
  await expect(down()).rejects.toThrow('credentials is dropped.credentials_old by now')
  await session.query('alter table dropped.credentials_old rename to credentials')
  await session.query('create table dropped.disk_config as select * from kept_of_dropped')
  await session.query('alter table dropped.disk_config add primary key (id)')
  await expect(down()).rejects.toThrow('disk_config was made anew, or lost its trigger')
  expect(await countOf(session, 'from platform.credentials t join dropped.projects p on p.id = t.project_id')).toBe(4)
})

test('secrets of a table that was not carried are never emptied, also where it could be by now', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('unwatched', {
    changes: ['alter table unwatched.credentials drop constraint credentials_pkey'],
  })
  await expand('credentials')
  await backfill()
  await prove()
  await session.query('alter table unwatched.credentials add primary key (id)')
  expect(await swap()).toMatchObject({ isProved: true })
  await session.query('alter table unwatched.projects drop constraint projects_pkey cascade')
  await expect(contract()).rejects.toThrow('projects needs a primary key of one column, id')
  await expect(down()).rejects.toThrow('projects needs a primary key of one column, id')
  await session.query('alter table unwatched.projects add primary key (id)')
  expect(await contract()).toMatchObject({
    tables: [
      { table: 'projects', inClear: 0 },
      { table: 'credentials', emptied: 0, inClear: 4 },
    ],
  })
  expect(await countOf(session, `from unwatched.credentials where anon_key not like 'sealed%'`)).toBe(4)
})

test('going over all rows again begins with those that were written meanwhile', async () => {
  const { session, expand, backfill, prove } = await earlier('unread', {
    changes: ['alter table unread.disk_config alter size_gb drop default, alter size_gb type text using size_gb::text'],
  })
  await expand()
  await backfill()
  await session.query(
    `update unread.disk_config set size_gb = 'big' where id = (select id from unread.disk_config order by id limit 1)`,
  )
  const { tables } = await backfill({ again: true })
  expect(tables.find(({ name }) => name === 'disk_config')?.left).toEqual([
    { reason: 'have a value that tenantry cannot hold (22P02)', rows: 1 },
  ])
  expect((await prove()).isProved).toBe(false)
})

test('a swap that cannot be recorded opens the earlier tables again', async () => {
  const { session, expand, backfill, prove } = await earlier('unrecorded')
  await expand()
  await backfill()
  await prove()
  const broken = await watched(database.adminUrl, (text) => {
    if (text.includes('next_invoice_number = greatest')) throw new Error('no lock')
  })
  await expect(carrying(broken, 'unrecorded').swap()).rejects.toThrow('swap: ')
  await session.query(`update unrecorded.projects set name = name || '.' where ref = 'ref00000001'`)
})

test('the way back of expand makes no writer wait for more than one lock', async () => {
  const { session, expand, backfill, down } = await earlier('together')
  await expand()
  await backfill()
  await down()
  const locks: string[] = []
  const seen = await watched(database.adminUrl, (text) => {
    if (/^(?:lock table|drop trigger)/.test(text)) locks.push(text)
  })
  await carrying(seen, 'together').down()
  expect(locks[0]).toMatch(/^lock table .*together\.addons.*together\.usage_metrics.* in access exclusive mode$/)
  expect(locks.filter((text) => text.startsWith('lock'))).toHaveLength(1)
  expect(
    await countOf(
      session,
      `from pg_trigger where tgname like 'zz_tenantry%' and tgrelid = 'together.addons'::regclass`,
    ),
  ).toBe(0)
})

test('a swap that is not proved lets writers in again at once, whoever reads the earlier tables', async () => {
  const { session, expand, backfill, prove, swap, downAll } = await earlier('readable')
  await expand()
  await backfill()
  await prove()
  await session.query('set session_replication_role = replica')
  await session.query(`update readable.projects set name = 'Unnoted' where ref = 'ref00000001'`)
  await session.query('reset session_replication_role')
  const reader = await ownerSession(database.adminUrl)
  await reader.query('begin')
  for (const table of ['projects', 'organizations']) await reader.query(`select from readable.${table}`)
  expect((await swap()).isProved).toBe(false)
  await session.query(`update readable.projects set name = 'Written' where ref = 'ref00000001'`)
  await reader.query('commit')
  expect(await swap()).toMatchObject(isProved)
  await expect(session.query('delete from readable.tax_ids')).rejects.toThrow('readable.tax_ids is closed')
  await downAll()
  expect(
    await countOf(
      session,
      `from pg_trigger where tgname like 'zz_tenantry%' and tgrelid = 'readable.tax_ids'::regclass`,
    ),
  ).toBe(0)
})

test('writers never wait long behind what is carried while the earlier tables are locked', async () => {
  const { session, expand, backfill, prove } = await earlier('unhurried')
  await expand()
  await backfill()
  await prove()
  await session.query(
    `create function public.dawdle() returns trigger language plpgsql as 'begin perform pg_catalog.pg_sleep(2); return new; end'`,
  )
  const writer = await ownerSession(database.adminUrl)
  let locks = 0
  const seen = await watched(database.adminUrl, async (text) => {
    if (!text.startsWith('lock table "unhurried"')) return
    locks += 1
    if (locks === 1) {
      await writer.query(`update unhurried.projects set name = name || '.' where ref = 'ref00000001'`)
      await writer.query(
        'create trigger dawdle before update on platform.projects for each row execute function dawdle()',
      )
    } else await writer.query('drop trigger if exists dawdle on platform.projects')
  })
  expect(await carrying(seen, 'unhurried').swap()).toMatchObject(isProved)
  expect(locks).toBeGreaterThanOrEqual(2)
})

test('what may stay is said before the swap', async () => {
  const { expand, backfill, prove, swap } = await earlier('decided')
  await expand()
  await backfill()
  await prove()
  await swap()
  await expect(expand('usage_metrics')).rejects.toThrow('swap is taken, and --leave is for the steps before it')
})

test('a renamed table of organizations is told as such', async () => {
  const { session, expand, down } = await earlier('nameless')
  await expand()
  await session.query('alter table nameless.organizations rename to companies')
  await expect(down()).rejects.toThrow('nameless has no table organizations any more: give it back its name')
})
