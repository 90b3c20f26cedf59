import { expect, test } from 'vitest'
import { analysePlatform } from '../../src/adoption/carrying/analyse-platform.js'
import { ownerSession } from '../support/adopting.js'
import { carrying, countOf, dataKeysFor, isProved, oneOf, useEarlierPlatforms } from '../support/carrying.js'
import { watched } from '../support/mortal-session.js'

const { database, earlier } = useEarlierPlatforms()

test('an earlier organization with the id of one that tenantry got meanwhile neither overwrites nor deletes it', async () => {
  const { session, expand, backfill, prove, downAll } = await earlier('collided')
  await expand()
  await backfill()
  const { id } = await oneOf(
    session,
    `insert into platform.organizations (id, name, slug, temporal_namespace) values (gen_random_uuid(), 'Of tenantry', 'of-tenantry', 'of-tenantry') returning id`,
  )
  await session.query(
    `insert into platform.audit_logs (org_id, id, actor_kind, event_type, action, resource_type)
     values ($1, gen_random_uuid(), 'system', 'organizations.provision', 'create', 'organizations')`,
    [id],
  )
  await session.query(`insert into collided.organizations (id, name, slug) values ($1, 'Earlier', 'earlier')`, [id])
  await session.query(`insert into collided.tax_ids (organization_id, type, value) values ($1, 'eu_vat', 'EARLIER')`, [
    id,
  ])
  expect(await prove()).toMatchObject({
    isProved: false,
    unplaced: [
      'organizations has rows that have the id of a row that tenantry has already: 1',
      'tax_ids has rows that refer to a row that is not carried (organization): 1',
    ],
  })
  expect(await countOf(session, `from platform.tax_ids where value = 'EARLIER'`)).toBe(0)
  await downAll()
  expect(await oneOf(session, `select name from platform.organizations where id = '${id as string}'`)).toEqual({
    name: 'Of tenantry',
  })
  expect(await countOf(session, `from platform.audit_logs where org_id = '${id as string}'`)).toBe(1)
})

test('what is deleted after it was carried is not left behind by the way back', async () => {
  const { session, expand, backfill, prove, downAll } = await earlier('behind', { isLarge: true })
  await expand()
  await backfill()
  await session.query(`delete from behind.feature_flags where flag_key like 'beta%'`)
  expect(await prove()).toMatchObject(isProved)
  expect(await countOf(session, `from platform.feature_flags where flag_key = 'beta_of_behind'`)).toBe(0)
  const { id } = await oneOf(
    session,
    'delete from behind.organizations where id = (select id from behind.organizations limit 1) returning id',
  )
  await downAll()
  for (const table of ['organizations where id', 'audit_logs where org_id', 'roles where org_id'])
    expect(await countOf(session, `from platform.${table} = '${id as string}'`)).toBe(0)
})

test('a row that stayed because of another one is carried once that one has a place', async () => {
  const { session, expand, backfill, prove, swap } = await earlier('waiting', {
    changes: [`update waiting.projects set ref = 'x1' where ref = 'ref00000001'`],
  })
  await expand('projects')
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  expect(await countOf(session, 'from platform.credentials t join waiting.credentials s on s.id = t.id')).toBe(3)
  await session.query(`update waiting.projects set ref = 'ref00000001' where ref = 'x1'`)
  expect(await swap()).toMatchObject(isProved)
  expect(await countOf(session, 'from platform.credentials t join waiting.credentials s on s.id = t.id')).toBe(4)
})

test('a row of which the parent is gone is missing, also where nobody wrote it', async () => {
  const { session, expand, backfill, prove } = await earlier('joined', {
    changes: ['alter table joined.credentials drop constraint credentials_project_id_fkey'],
  })
  await expand()
  await backfill()
  await session.query(`delete from joined.projects where ref = 'ref00000001'`)
  const { tables, isProved: proved } = await prove()
  expect(proved).toBe(false)
  expect(tables.find(({ name }) => name === 'credentials')).toMatchObject({ missing: 1 })
})

test('audit entries of an organization that stays are not carried', async () => {
  const { session, expand, backfill, prove } = await earlier('unhoused', {
    isLarge: true,
    changes: [
      `update unhoused.organizations set name = (select name from unhoused.organizations order by slug limit 1)`,
    ],
  })
  await expand('organizations')
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  expect(
    await countOf(session, 'from platform.audit_logs l join unhoused.audit_logs s on s.id = l.id'),
  ).toBeGreaterThan(0)
  expect(
    await countOf(
      session,
      'from platform.audit_logs l where not exists (select from platform.organizations o where o.id = l.org_id)',
    ),
  ).toBe(0)
})

test('addresses do not change by the collation of their column, and the proof sees what it takes for equal', async () => {
  const { session, expand, backfill, prove } = await earlier('collated', {
    isLarge: true,
    changes: [
      `create collation collated.turkish (provider = icu, locale = 'tr')`,
      `create collation collated.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
      'alter table collated.users alter email type text collate collated.turkish',
      `update collated.users set email = 'INGRID@Example.com' where id = (select id from collated.users order by id limit 1)`,
      'alter table collated.projects alter name type text collate collated.loose',
    ],
  })
  await expand()
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  expect(await countOf(session, `from platform.users where email = 'ingrid@example.com'`)).toBe(1)
  await session.query('set session_replication_role = replica')
  await session.query(`update collated.projects set name = upper(name) where ref = 'ref00000001'`)
  await session.query('reset session_replication_role')
  expect((await prove()).tables.find(({ name }) => name === 'projects')).toMatchObject({ differing: 1 })
})

test('a credit that has expired or is consumed does not become money again', async () => {
  const { session, expand, backfill, prove } = await earlier('spent', {
    changes: [
      `update spent.credits set status = 'expired', expires_at = null, remaining = 99`,
      `update spent.credits set status = 'consumed' where id = (select id from spent.credits order by id limit 1)`,
    ],
  })
  await expand()
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  const credits = await session.query<{ status: string; remaining: string; isPast: boolean | null }>(
    `select s.status, t.remaining, t.expires_at < now() as "isPast" from platform.credits t join spent.credits s on s.id = t.id order by s.status limit 2`,
  )
  expect(credits).toMatchObject([
    { status: 'consumed', remaining: '0.00', isPast: null },
    { status: 'expired', remaining: '99.00', isPast: true },
  ])
})

test('a swap never carries many rows while writers wait', async () => {
  const { expand, backfill, prove } = await earlier('crowded')
  await expand()
  await backfill()
  await prove()
  const writer = await ownerSession(database.adminUrl)
  let locks = 0
  const crowded = await watched(database.adminUrl, async (text) => {
    if (!text.startsWith('lock table "crowded"')) return
    locks += 1
    if (locks === 1)
      await writer.query(
        `do $$ begin for n in 1..201 loop update crowded.projects set name = name || '.' where ref = 'ref00000001'; end loop; end $$`,
      )
  })
  expect(await carrying(crowded, 'crowded').swap()).toMatchObject(isProved)
  expect(locks).toBe(2)
})

test('organizations with numbered invoices and without a subscription are told', async () => {
  const { session } = await earlier('uncounted', {
    changes: [
      'delete from uncounted.subscriptions where id = (select id from uncounted.subscriptions order by id limit 1)',
    ],
  })
  const { findings } = await analysePlatform(session, 'uncounted')
  expect(findings.filter(({ kind }) => kind === 'numbers')).toEqual([
    expect.objectContaining({
      message: expect.stringMatching(/^organizations have numbered invoices and no subscription: 1\./) as unknown,
    }),
  ])
})

test('a secret that the server still has is told: in its statistics, and in a table that is not carried', async () => {
  const { session, expand, backfill, prove, swap, contract } = await earlier('statistics', {
    changes: [
      `update statistics.projects set database_password = 'common password'`,
      'analyze statistics.projects',
      'alter table statistics.projects alter database_password set statistics 0',
      'alter table statistics.credentials drop constraint credentials_pkey',
    ],
  })
  const { findings } = await analysePlatform(session, 'statistics', ['credentials'])
  expect(findings.map(({ message }) => message)).toContain(
    'credentials keeps anon_key, service_role_key, jwt_secret in clear: drop the table once nobody needs it',
  )
  await expand('credentials')
  await backfill()
  await prove()
  await swap()
  expect(await contract()).toEqual({
    statistics: ['projects.database_password'],
    oldStatistics: [],
    tables: [
      { table: 'projects', emptied: 4, inClear: 0 },
      { table: 'credentials', emptied: 0, inClear: 4 },
    ],
  })
})

test('the secrets of an organization of which the keys were destroyed are emptied, and stay so', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('shredded')
  await expand()
  await backfill()
  await prove()
  await swap()
  const { id } = await oneOf(
    session,
    `update platform.org_keys set wrapped = null, state = 'destroyed', destroyed_at = now()
     where org_id = (select id from shredded.organizations order by id limit 1) returning org_id as id`,
  )
  expect(await contract()).toMatchObject({
    tables: [
      { emptied: 4, inClear: 0 },
      { emptied: 4, inClear: 0 },
    ],
  })
  expect(await down()).toBe('contract')
  const sealed = await session.query<{ id: string }>(
    `select p.organization_id as id from shredded.projects p join shredded.credentials c on c.project_id = p.id
     where p.database_password like 'sealed %' and c.jwt_secret like 'sealed %' and c.anon_key like 'sealed %'`,
  )
  expect(sealed).toEqual([{ id }, { id }])
  expect(
    await countOf(
      session,
      `from shredded.projects where database_password like 'sealed %' and organization_id <> '${String(id)}'`,
    ),
  ).toBe(0)
})

test('a ring without the key that the database was used with is refused', async () => {
  const { session, expand, backfill } = await earlier('ringed')
  await expand()
  await backfill()
  const other = carrying(session, 'ringed', dataKeysFor(`other:${Buffer.alloc(32, 5).toString('base64')}`))
  await expect(other.backfill()).rejects.toThrow('has no key test, with which this database was used')
})
