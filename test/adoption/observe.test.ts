import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { observe } from '../../src/adoption/steps/observe.js'
import { obstaclesToEnforce, readObservations, resetObservations } from '../../src/adoption/observations.js'
import { proveStartup } from '../../src/access/startup-proof.js'
import { openSession } from '../../src/database/session.js'
import { declare } from '../../src/declared.js'
import { MigrationError } from '../../src/core/errors.js'
import type { Notice } from '../../src/core/observed-warnings.js'
import { useDatabase } from '../../src/testing/vitest.js'

const database = useDatabase()

const one = '00000000-0000-4000-8000-0000000000a1'
const two = '00000000-0000-4000-8000-0000000000b2'
const odd = `o"dd'; \\ $$ täble`
const place = {
  home: 'tenantry_adopt_shop',
  schema: 'shop',
  tables: [{ name: 'tasks' }, { name: odd }, { name: 'guarded' }],
}
const { up, down } = observe(place)
const oddTable = `shop.${pg.escapeIdentifier(odd)}`

/** A login to which row security applies. */
let app: pg.Client
let warnings: Notice[] = []
let owner: string

beforeAll(async () => {
  owner = new URL(database.appUrl).username.replace(/_app$/, '_owner')
  for (const statement of [
    `create role ${owner}`,
    `grant create on database ${new URL(database.adminUrl).pathname.slice(1)} to ${owner}`,
    `set role ${owner}`,
    'create schema shop',
    'create schema tenantry_adopt_shop',
    'create table shop.tasks (id int primary key, org_id uuid, title text)',
    `create table ${oddTable} (id int primary key, org_id uuid)`,
    'create table shop.guarded (id int primary key, org_id uuid, is_open boolean)',
    'create policy open on shop.guarded using (is_open)',
    'alter table shop.guarded enable row level security',
    'create view shop.seen as select * from shop.tasks',
    'create view shop.invoked with (security_invoker = true) as select * from shop.tasks',
    'grant usage on schema shop to tenantry_app, tenantry_system',
    'grant all on all tables in schema shop to tenantry_app, tenantry_system',
  ])
    await database.admin.query(statement)
})

beforeEach(async () => {
  for (const table of ['tasks', 'guarded', pg.escapeIdentifier(odd)]) await asOwner(`truncate shop.${table}`)
  await asOwner(`insert into shop.tasks values (1, '${one}', 'secret'), (2, '${two}', 'secret'), (3, null, 'secret')`)
  await asOwner(`insert into ${oddTable} values (1, '${one}')`)
  await asOwner(`insert into shop.guarded values (1, '${one}', true), (2, '${one}', false)`)
  for (const statement of up) await asOwner(statement)
  app = await connected(database.appUrl)
})
afterEach(async () => {
  await app.end()
  for (const statement of down) await asOwner(statement)
})
afterAll(async () => {
  await database.admin.query('reset role')
  await database.admin.query('drop schema shop, tenantry_adopt_shop cascade')
  await database.admin.query(`drop owned by ${owner}`)
  await database.admin.query(`drop role ${owner}`)
})

async function asOwner<Row>(statement: string): Promise<Row[]> {
  return database.admin.query<Row>(statement)
}

async function connected(connectionString: string): Promise<pg.Client> {
  warnings = []
  const client = new pg.Client({ connectionString })
  client.on('notice', (notice) => warnings.push(notice))
  await client.connect()
  return client
}

async function all(text: string, values: unknown[] = []): Promise<unknown[]> {
  return (await app.query<Record<string, unknown>>({ text, values })).rows.flatMap((row) => Object.values(row))
}

/** The kinds and tables of the warnings since the last call. */
const told = () => warnings.splice(0).map(({ code, table }) => `${code} ${table}`)

const counts = async () =>
  Object.fromEntries(
    (await readObservations(database.admin, place)).map(({ table, transactions, unbound, another }) => [
      table,
      [transactions, unbound, another],
    ]),
  )

async function transaction(work: () => Promise<unknown>, { bind = '', end = 'commit', begin = 'begin' } = {}) {
  await app.query(begin)
  if (bind !== '') await app.query(`set local tenantry.org_id = '${bind}'`)
  const result = await work()
  await app.query(end)
  return result
}

const ids = 'select id from shop.tasks order by id'
const byId = { name: 'by id', text: 'select id from shop.tasks where id = $1', values: [1] }
const ofOne = 'select id from shop.tasks where id = 1'

describe('rows', () => {
  test('are all visible, and inserted, updated and deleted', async () => {
    for (const bind of ['', one, two]) {
      await transaction(
        async () => {
          expect(await all(ids)).toEqual([1, 2, 3])
          expect(
            await all(
              `insert into shop.tasks values (4, '${one}'), (5, null) on conflict (id) do update set title = 'x' returning id`,
            ),
          ).toEqual([4, 5])
          expect(await all('update shop.tasks set title = id::text returning id')).toHaveLength(5)
          expect(await all(`update shop.tasks set org_id = '${two}' where id = 1 returning org_id`)).toEqual([two])
          expect(await all('delete from shop.tasks where id > 1 returning id')).toHaveLength(4)
        },
        { bind, end: 'rollback' },
      )
    }
  })

  test('that policies of the table hide stay hidden, and row security stays after the step is taken back', async () => {
    const visible = 'select id from shop.guarded'
    expect(await all(visible)).toEqual([1])
    expect(told()).toEqual(['TN101 guarded'])
    for (const statement of down) await asOwner(statement)
    expect(await all(visible)).toEqual([1])
    expect(told()).toEqual([])
    for (const statement of up) await asOwner(statement)
  })

  test('are estimated as without the policy, and both functions run once in a statement', async () => {
    await asOwner('insert into shop.tasks select id, null from generate_series(10, 2000) id')
    await asOwner('analyze shop.tasks')
    const plan = (await all('explain (analyze, timing off, costs on) select * from shop.tasks')).join('\n')
    expect(plan).toMatch(/Seq Scan on tasks .*rows=19[89]\d .*rows=1994\b/)
    expect(plan.match(/Result .*loops=1\)/g)).toHaveLength(2)
    const bound = (await transaction(() => all(`explain (analyze, timing off) ${ofOne}`), { bind: one })) as string[]
    expect(bound.join('\n')).toContain('never executed')
  })
})

describe('a warning', () => {
  test('is raised for each table and kind once in a transaction, and none where the organization is right', async () => {
    await transaction(
      async () => {
        await all(ofOne)
        await all(`select * from ${oddTable}`)
        await all(`update shop.tasks set title = 'x' where id = 1`)
        await all(`insert into shop.tasks values (7, '${one}')`)
        expect(told()).toEqual([])
        await all(ids)
        await all(ids)
        expect(told()).toEqual(['TN102 tasks'])
      },
      { bind: one },
    )
    await transaction(async () => {
      await all(ids)
      await all(ofOne)
      await all(`insert into shop.tasks values (8, '${one}')`)
      await all(`select * from ${oddTable}`)
      expect(told()).toEqual(['TN101 tasks', `TN101 ${odd}`])
      await all(`set local tenantry.org_id = '${two}'`)
      await all(ofOne)
      await all(ofOne)
      expect(told()).toEqual(['TN102 tasks'])
    })
    await all(ofOne)
    await all(ofOne)
    expect(told()).toEqual(['TN101 tasks', 'TN101 tasks'])
  })

  test.each([
    ['a row of another organization', ids, two],
    ['a row without an organization', 'select id from shop.tasks where id = 3', one],
    ['an insert for another organization', `insert into shop.tasks values (9, '${two}')`, one],
    ['an insert without an organization', 'insert into shop.tasks values (9)', one],
    ['a row that is given away', `update shop.tasks set org_id = '${two}' where id = 1`, one],
    ['a delete', 'delete from shop.tasks where id = 2', one],
  ])('says another for %s', async (_, text, bind) => {
    await transaction(() => all(text), { bind })
    expect(told()).toEqual(['TN102 tasks'])
  })

  test('names the table, and neither ids nor values', async () => {
    await all(ids)
    await transaction(() => all(`select * from ${oddTable}`), { bind: two })
    const [unbound, another] = warnings
    expect(unbound).toMatchObject({
      severity: 'WARNING',
      code: 'TN101',
      schema: 'shop',
      table: 'tasks',
      message: 'no organization is bound where shop.tasks is used',
    })
    expect(another).toMatchObject({
      code: 'TN102',
      table: odd,
      message: `another organization is bound than that of a row in ${oddTable}`,
    })
    for (const warning of warnings) {
      const fields = Object.values(warning).join(' ')
      for (const value of [one, two, 'secret']) expect(fields).not.toContain(value)
    }
  })

  test('comes through a view with the rights of the caller, and not of the owner, to whom row security does not apply', async () => {
    expect(await all('select id from shop.seen')).toHaveLength(3)
    expect(told()).toEqual([])
    expect(await all('select id from shop.invoked')).toHaveLength(3)
    expect(told()).toEqual(['TN101 tasks'])
  })

  test('is raised in statements with limits, under a name, and of a cursor', async () => {
    await transaction(async () => {
      await all(`set local statement_timeout = '5s'`)
      await all(`set local lock_timeout = '1s'`)
      await all('declare c cursor for select id from shop.tasks order by id')
      expect(await all('fetch 2 from c')).toEqual([1, 2])
      expect(await all('fetch 2 from c')).toEqual([3])
      expect(told()).toEqual(['TN101 tasks'])
    })
    for (let run = 0; run < 8; run++) {
      const { rows } = await app.query(byId)
      expect(rows).toHaveLength(1)
    }
    expect(told()).toHaveLength(8)
    await transaction(() => app.query(byId), { bind: one })
    expect(told()).toEqual([])
    await expect(
      transaction(async () => {
        await all(`set local statement_timeout = '50ms'`)
        await all('select id, pg_sleep(10) from shop.tasks')
      }),
    ).rejects.toMatchObject({ code: '57014' })
    await app.query('rollback')
  })

  test('is not raised for the system, which works across organizations', async () => {
    await app.end()
    app = await connected(database.systemUrl)
    expect(await all(ids)).toHaveLength(3)
    expect(told()).toEqual([])
    expect(await counts()).toMatchObject({ tasks: [0, 0, 0] })
  })
})

describe('no statement fails', () => {
  test('of a login without any right on the schema of the adoption', async () => {
    const rights = `select has_schema_privilege('tenantry_adopt_shop', 'usage')`
    expect(await all(rights)).toEqual([false])
    await expect(all('select tenantry_adopt_shop.bound(1, current_user)')).rejects.toMatchObject({ code: '42501' })
    expect(await all(ids)).toHaveLength(3)
  })

  test('of the library, in whose proof at the start no function of the adoption is found', async () => {
    const { declarations } = await declare(undefined)
    const session = await openSession({ url: database.appUrl })
    const { faults } = await proveStartup(session, declarations, { role: 'tenantry_app' })
    await session.close()
    expect(faults.filter((fault) => JSON.stringify(fault).includes('tenantry_adopt'))).toEqual([])
  })

  test('in a read-only transaction, which is told and not counted', async () => {
    const twice = async () => [...(await all(ids)), ...(await all(ids))]
    expect(await transaction(twice, { begin: 'begin read only' })).toHaveLength(6)
    expect(told()).toEqual(['TN101 tasks'])
    expect(await counts()).toMatchObject({ tasks: [0, 0, 0] })
  })

  test.each(['garbage', '', "'' or true", one.toUpperCase(), one.replaceAll('-', ''), `{${one}}`])(
    'while the setting is %j',
    async (bind) => {
      await transaction(async () => {
        await app.query(`set local tenantry.org_id = ${pg.escapeLiteral(bind)}`)
        expect(await all(ids)).toHaveLength(3)
        expect(await all(ofOne)).toEqual([1])
      })
      expect(told()).toEqual([/^\{?[0-9a-f]{8}/i.test(bind) ? 'TN102 tasks' : 'TN101 tasks'])
    },
  )

  test('where a function that is called parallel safe reads the table in a parallel plan, from Postgres 17 on', async () => {
    const [version = 0] = (await all(`select current_setting('server_version_num')::int / 10000`)) as number[]
    await asOwner(
      `create function shop.counted() returns bigint language sql stable parallel safe as 'select count(*) from shop.tasks'`,
    )
    await transaction(
      async () => {
        await all(`set local ${version < 16 ? 'force_parallel_mode' : 'debug_parallel_query'} = on`)
        await all('set local parallel_setup_cost = 0')
        const counted = expect(all('select shop.counted() + count(*) * 0 from pg_class'))
        await (version < 17 ? counted.rejects.toThrow('parallel') : counted.resolves.toEqual(['3']))
      },
      { end: 'rollback' },
    )
    await asOwner('drop function shop.counted()')
  })
})

describe('the counts', () => {
  test('have each transaction once, however it ended', async () => {
    const mayQuickly = `select has_function_privilege('set_config(text,text,boolean)', 'execute') as may`
    expect(await asOwner(mayQuickly)).toEqual([{ may: false }])
    const some = async () => {
      await all(ids)
      await all(ids)
      await all(ofOne)
    }
    await transaction(() => all(ofOne), { bind: one })
    expect(await counts()).toEqual({ tasks: [1, 0, 0], [odd]: [0, 0, 0], guarded: [0, 0, 0] })
    await transaction(some, { bind: one })
    await transaction(some, { bind: two, end: 'rollback' })
    await transaction(some)
    await all(`select * from ${oddTable}`)
    expect(await counts()).toEqual({ tasks: [4, 1, 2], [odd]: [1, 1, 0], guarded: [0, 0, 0] })
    // Also where the organization changes within it.
    await transaction(async () => {
      for (const bind of ['', one, 'garbage', two]) {
        await all(`set local tenantry.org_id = '${bind}'`)
        await all(ofOne)
      }
    })
    expect(await counts()).toMatchObject({ tasks: [5, 2, 3] })
    // The rollback to a savepoint forgets what was counted since.
    await transaction(async () => {
      await all('savepoint s')
      await some()
      await all('rollback to s')
      await some()
      await all('release s')
      await some()
    })
    expect(await counts()).toMatchObject({ tasks: [7, 4, 3] })
  })

  test('begin again after a reset, of the tables that are named', async () => {
    await all(ids)
    await all(`select * from ${oddTable}`)
    const [before] = await readObservations(database.admin, place)
    await resetObservations(database.admin, { ...place, tables: [{ name: 'tasks' }] })
    const [after] = await readObservations(database.admin, place)
    expect(await counts()).toMatchObject({ tasks: [0, 0, 0], [odd]: [1, 1, 0] })
    expect(after?.since.getTime()).toBeGreaterThan(before?.since.getTime() ?? NaN)
    await all(ids)
    expect(await counts()).toMatchObject({ tasks: [1, 1, 0] })
  })

  test('say what keeps the policies from being enforced', async () => {
    const only = { ...place, tables: [{ name: 'tasks' }] }
    const kinds = async (least: number) =>
      obstaclesToEnforce(await readObservations(database.admin, only), least).map(({ table, kind, message }) => [
        table,
        kind,
        message.replace(/since .*?Z/, 'since then'),
      ])
    expect(await kinds(2)).toEqual([['tasks', 'seldom used', '0 transactions used tasks since then, and 2 are wanted']])
    for (let run = 0; run < 2; run++) await transaction(() => all(ofOne), { bind: one })
    expect(await kinds(2)).toEqual([])
    await all(ids)
    await transaction(() => all(ids), { bind: two })
    expect(await kinds(2)).toEqual([
      ['tasks', 'unbound', '1 transaction used tasks with no organization bound since then'],
      ['tasks', 'another', '1 transaction used rows of tasks that are not of the bound organization since then'],
    ])
  })

  test('cannot be read where nothing is observed', async () => {
    await expect(readObservations(database.admin, { ...place, home: 'nowhere' })).rejects.toThrow(MigrationError)
    const other = { ...place, tables: [{ name: 'others' }] }
    await expect(readObservations(database.admin, other)).rejects.toThrow('others: not observed by tenantry_adopt_shop')
  })
})

describe('the step', () => {
  test('shows each row at each moment, and leaves nothing when it is taken back', async () => {
    for (const statement of down) {
      await asOwner(statement)
      expect(await all(ids)).toHaveLength(3)
    }
    const before = await catalog()
    for (const statement of up) {
      await asOwner(statement)
      expect(await all(ids)).toHaveLength(3)
      expect(await all('select id from shop.guarded')).toEqual([1])
    }
    expect(await catalog()).not.toEqual(before)
    for (const statement of down) await asOwner(statement)
    expect(await catalog()).toEqual(before)
    for (const statement of up) await asOwner(statement)
  })

  test('counts too where the owner may call set_config', async () => {
    await database.admin.query('reset role')
    const quick = { home: 'tenantry_adopt_"q', schema: 'q"', tables: [{ name: 'tasks' }] }
    const steps = observe(quick)
    await database.admin.query('create schema "q"""')
    await database.admin.query('create schema "tenantry_adopt_""q"')
    await database.admin.query(`create table "q""".tasks as select 1 as id, '${one}'::uuid as org_id`)
    await database.admin.query('grant usage on schema "q""" to tenantry_app')
    await database.admin.query('grant select on "q""".tasks to tenantry_app')
    for (const statement of steps.up) await database.admin.query(statement)
    await transaction(async () => {
      await all('select * from "q""".tasks')
      await all('select * from "q""".tasks')
      await all(ids)
    })
    expect(told()).toEqual(['TN101 tasks', 'TN101 tasks'])
    expect(await readObservations(database.admin, quick)).toMatchObject([{ transactions: 1, unbound: 1, another: 0 }])
    for (const statement of steps.down) await database.admin.query(statement)
    await database.admin.query('drop schema "q""", "tenantry_adopt_""q" cascade')
    await database.admin.query(`set role ${owner}`)
  })
})

/** The tables, functions and policies of both schemas, with what the server says of them. */
const catalog = () =>
  asOwner(`
    select 'table' as kind, c.relname::text as name, c.relkind::text || c.relrowsecurity || c.relforcerowsecurity || coalesce(c.relacl::text, '') as text
    from pg_class c where c.relnamespace in ('shop'::regnamespace, 'tenantry_adopt_shop'::regnamespace)
    union all select 'function', p.oid::regprocedure::text, p.prosrc || coalesce(p.proacl::text, '') from pg_proc p
    where p.pronamespace in ('shop'::regnamespace, 'tenantry_adopt_shop'::regnamespace)
    union all select 'policy', p.tablename || ' ' || p.policyname, p.permissive || p.roles::text || p.cmd || coalesce(p.qual, '') || coalesce(p.with_check, '')
    from pg_policies p where p.schemaname = 'shop' order by 1, 2, 3`)
