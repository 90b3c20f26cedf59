import { expect, test } from 'vitest'
import { analysePlatform } from '../../src/adoption/carrying/analyse-platform.js'
import { alone } from '../../src/adoption/carrying/carrying.js'
import { lastStep } from '../../src/adoption/carrying/undo-steps.js'
import type { Session } from '../../src/database/session.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { ownerSession, rowsOf } from '../support/adopting.js'
import { carrying, carryingKeys, oneOf, useEarlierPlatforms, type EarlierOptions } from '../support/carrying.js'
import { watched } from '../support/mortal-session.js'

const { database, earlier } = useEarlierPlatforms()

/** The same, carried and closed. */
async function swapped(schema: string, options?: EarlierOptions) {
  const platform = await earlier(schema, options)
  await platform.expand()
  await platform.backfill()
  expect(await platform.prove()).toMatchObject({ isProved: true, unplaced: [] })
  expect(await platform.swap()).toMatchObject({ isProved: true })
  return platform
}

async function withTenancy(work: (tenancy: Tenancy) => Promise<void>): Promise<void> {
  const tenancy = await openTenancy({ url: database.appUrl, keys: carryingKeys })
  try {
    await work(tenancy)
  } finally {
    await tenancy.close()
  }
}

const idsOf = async (session: Session, schema: string) =>
  (await oneOf(
    session,
    `select o.id as org, (select id from ${schema}.projects p where p.organization_id = o.id order by ref limit 1) as project
     from ${schema}.organizations o order by slug limit 1`,
  )) as { org: string; project: string }

const mendsOf = async (session: Session, schema: string): Promise<string[]> =>
  (await analysePlatform(session, schema)).findings
    .filter(({ needs }) => needs === 'mend')
    .map(({ message }) => message)

test('a key of a type that has an order of its own is told before one row is carried', async () => {
  const { session, expand } = await earlier('ordered', {
    isLarge: true,
    changes: [
      'create extension citext schema ordered',
      'alter table ordered.billing_plans alter id type ordered.citext',
    ],
  })
  const message = 'billing_plans.id is of type ordered.citext, which has an order of its own; it must be uuid or text'
  expect(await mendsOf(session, 'ordered')).toEqual([message])
  await expect(expand()).rejects.toThrow(message)
  await session.query('alter table ordered.billing_plans alter id type text')
  expect(await mendsOf(session, 'ordered')).toEqual([])
})

test('a second swap, or a backfill after it, changes nothing that the application has written', async () => {
  const { session, swap, backfill } = await swapped('twice')
  const { org, project } = await idsOf(session, 'twice')
  await withTenancy(async (tenancy) => {
    await tenancy.forOrg(org).projects.update(project, { name: 'Of the application' })
  })
  expect(await swap()).toMatchObject({ isProved: true })
  await expect(session.query('delete from twice.invoices')).rejects.toMatchObject({ code: '55000' })
  await expect(backfill({ again: true })).rejects.toThrow('swap is taken already')
  expect(await oneOf(session, `select name from platform.projects where id = '${project}'`)).toEqual({
    name: 'Of the application',
  })
})

test('a swap that was killed before its proof is no swap, and is undone or goes on', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('closing')
  await expand()
  await backfill()
  await prove()
  await session.query(`insert into tenantry_carry_closing.steps (name) values ('closing')`)
  await expect(contract()).rejects.toThrow('swap comes first')
  expect(await lastStep(session, 'closing')).toBe('swap')
  expect(await down()).toBe('swap')
  expect(await swap()).toMatchObject({ isProved: true })
})

test('contract empties also the secrets that the application has changed or deleted since the swap', async () => {
  const { session, contract } = await swapped('rotated')
  const { org, project } = await idsOf(session, 'rotated')
  await withTenancy(async (tenancy) => {
    await tenancy.forOrg(org).projects.credentials.rotate(project, { jwtSecret: 'a new one' })
  })
  await session.query(
    `delete from platform.projects where id = (select id from rotated.projects where id <> '${project}' order by ref limit 1)`,
  )
  expect(await contract()).toMatchObject({ tables: [{ inClear: 0 }, { inClear: 0 }] })
  expect(
    await oneOf(
      session,
      `select count(*)::int as clear from rotated.projects where database_password not like 'sealed %'`,
    ),
  ).toEqual({ clear: 0 })
})

test('a contract that was interrupted is undone, and secrets of rows that stay are counted', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('half', {
    changes: [`update half.projects set ref = 'x1' where ref = 'ref00000001'`],
  })
  const before = await rowsOf(session, 'half')
  await expand('projects', 'credentials', 'disk_config', 'compute_config', 'addons', 'usage_metrics')
  await backfill()
  await prove()
  await swap()
  expect(await contract()).toMatchObject({
    tables: [
      { table: 'projects', inClear: 1 },
      { table: 'credentials', inClear: 1 },
    ],
  })
  await session.query(`update tenantry_carry_half.steps set name = 'emptying' where name = 'contract'`)
  expect(await down()).toBe('contract')
  expect(await rowsOf(session, 'half')).toEqual(before)
})

test('invoices are counted on from the last one that was carried', async () => {
  const { session } = await swapped('numbered')
  const rows = await session.query(
    `select s.next_invoice_number - max(i.number) as ahead from platform.subscriptions s join platform.invoices i on i.org_id = s.org_id
     join numbered.organizations o on o.id = s.org_id group by s.org_id, s.next_invoice_number`,
  )
  expect(rows.map(({ ahead }) => ahead)).toEqual([1, 1])
})

test('an earlier use of an add-on takes the place of the one that is deleted while rows are carried', async () => {
  const { session, expand, backfill, prove } = await earlier('siblings')
  await expand()
  await backfill()
  const used = await oneOf(
    session,
    `select project_id, addon_type from siblings.addons group by 1, 2 having count(*) > 1 limit 1`,
  )
  await session.query(`delete from siblings.addons where project_id = $1 and status = 'active'`, [used.project_id])
  expect(await prove()).toMatchObject({ isProved: true, unplaced: [] })
  const kept = await session.query(
    `select status from platform.project_addons where project_id = $1 and addon_id = $2`,
    [used.project_id, used.addon_type],
  )
  expect(kept).toEqual([{ status: 'inactive' }])
})

test('a value that a cast would cut or round is told before, and never carried', async () => {
  const { session, expand, backfill, prove } = await earlier('cut', {
    changes: [
      `update cut.customer_profiles set country = 'Austria' where id = (select id from cut.customer_profiles limit 1)`,
      `alter table cut.addons alter price_per_unit type numeric`,
      `update cut.addons set price_per_unit = 0.004 where id = (select id from cut.addons where status = 'active' limit 1)`,
      `update cut.usage_metrics set period_end = period_start + interval '1 month' where id = (select id from cut.usage_metrics limit 1)`,
      `update cut.credits set status = 'frozen' where id = (select id from cut.credits limit 1)`,
    ],
  })
  expect(await mendsOf(session, 'cut')).toEqual([
    'customer_profiles has rows that have a country that does not fit into char(2)',
    'credits has rows that have a status that tenantry does not know',
    'usage_metrics has rows that are not about one day of UTC, as tenantry counts usage',
    'addons has rows that have a price_per_unit that does not fit into numeric(14, 2)',
  ])
  await expand('customer_profiles', 'credits', 'usage_metrics', 'addons')
  await backfill()
  expect(await prove()).toMatchObject({ isProved: true })
  expect(
    await oneOf(session, `select count(*)::int as rows from platform.customer_profiles where country = 'Au'`),
  ).toEqual({ rows: 0 })
})

test('values mean in tenantry what they meant before', async () => {
  const { session } = await swapped('meaning', {
    isLarge: true,
    changes: [
      `update meaning.tax_ids set status = null where id = (select id from meaning.tax_ids where status = 'active' limit 1)`,
      `update meaning.credits set status = 'void' where id = (select id from meaning.credits order by id limit 1)`,
      `update meaning.organization_members set joined_at = null, invited_at = now() where id = (select id from meaning.organization_members order by id limit 1)`,
      `update meaning.billing_plans set max_projects = null, limits = '{"max_projects": 3}' where id = 'tier_pro'`,
      `alter table meaning.subscriptions alter current_period_start type timestamp using to_timestamp(current_period_start) at time zone 'UTC'`,
    ],
  })
  expect(
    await oneOf(
      session,
      `select (select count(*)::int from platform.tax_ids t join meaning.tax_ids s on s.id = t.id where s.status is null) as unverified,
         (select count(*)::int from platform.credits t join meaning.credits s on s.id = t.id where s.status = 'void' and t.voided_at is not null) as voided,
         (select status from platform.organization_members t join meaning.organization_members s on s.id = t.id where s.joined_at is null) as member,
         (select max_projects from platform.billing_plans where id = 'tier_pro') as projects,
         (select json_agg(json_build_array(flag_key, enabled, default_value, rollout_percentage) order by flag_key) from platform.feature_flags where flag_key like '%meaning') as flags,
         (select bool_and(c.remaining = coalesce(sums.rest, -1)) from platform.credits c join meaning.credits s on s.id = c.id join lateral (
           select sum(case e.kind when 'grant' then e.amount else - e.amount end) as rest from platform.credit_entries e where e.credit_id = c.id) sums on true) as "addsUp"`,
    ),
  ).toEqual({
    unverified: 1,
    voided: 1,
    member: 'inactive',
    projects: 3,
    flags: [
      ['beta_of_meaning', true, false, 0],
      ['dashboard_of_meaning', true, false, 10],
    ],
    addsUp: true,
  })
})

test('the proof holds while somebody writes, in every time zone, and calls no function of a stranger', async () => {
  const { session, expand, backfill, prove } = await earlier('zoned')
  await session.query(`set timezone = 'Europe/Berlin'`)
  for (const statement of [
    'alter table zoned.tax_ids alter status drop default, alter status type varchar(20)',
    `create table public.called (what text)`,
    `create function public.equals(varchar, varchar) returns boolean language plpgsql as 'begin insert into public.called values ($1); return true; end'`,
    'create operator public.= (function = public.equals, leftarg = varchar, rightarg = varchar)',
    `create function public.equals(text, text) returns boolean language plpgsql as 'begin insert into public.called values ($1); return true; end'`,
    'create operator public.= (function = public.equals, leftarg = text, rightarg = text)',
    'set search_path = public, pg_catalog',
    `alter table zoned.subscriptions alter current_period_start type timestamp using timestamp '2026-03-01 00:00', alter current_period_end type timestamp using timestamp '2026-04-01 00:00'`,
  ])
    await session.query(statement)
  await expand()
  await backfill()
  const writer = await ownerSession(database.adminUrl)
  const end = new AbortController()
  const writing = (async () => {
    while (!end.signal.aborted)
      await writer.query(`update zoned.projects set name = name || '.' where ref = 'ref00000001'`)
  })()
  const proof = await prove()
  end.abort()
  await writing
  expect(proof).toMatchObject({ isProved: true, unplaced: [] })
  expect(await oneOf(session, 'select count(*)::int as calls from public.called')).toEqual({ calls: 0 })
  expect(
    await oneOf(
      session,
      `select count(*) > 0 and bool_and(t.current_period_start = timestamptz '2026-03-01 00:00Z') as "isUtc"
       from platform.subscriptions t join zoned.organizations o on o.id = t.org_id`,
    ),
  ).toEqual({ isUtc: true })
})

test('an earlier row that is deleted takes no row of the same id along that an organization of tenantry has', async () => {
  const { session, expand, backfill, prove } = await earlier('sameid')
  const { id } = await oneOf(session, 'select id from sameid.tax_ids order by value limit 1')
  for (const statement of [
    `insert into platform.organizations (id, name, slug, temporal_namespace) values (gen_random_uuid(), 'Not carried', 'not-carried', 'not-carried')`,
    `insert into platform.tax_ids (org_id, id, type, value, country) select id, '${id as string}', 'eu_vat', 'OTHER', 'DE' from platform.organizations where slug = 'not-carried'`,
  ])
    await session.query(statement)
  await expand()
  await backfill()
  await session.query('delete from sameid.tax_ids where id = $1', [id])
  expect(await prove()).toMatchObject({ isProved: true })
  expect(await session.query('select value from platform.tax_ids where id = $1', [id])).toEqual([{ value: 'OTHER' }])
})

test('rows go over in small batches, and on where it was stopped', async () => {
  const { session, expand, backfill, prove } = await earlier('paged', { isLarge: true })
  await expand()
  const stop = new AbortController()
  const stopping = await watched(database.adminUrl, (text, params) => {
    if (text.includes('"progress"') && params?.[0] === 'invoices' && text.startsWith('insert')) stop.abort()
  })
  const first = await carrying(stopping, 'paged').backfill({ batch: 3, signal: stop.signal })
  expect(first.isComplete).toBe(false)
  await expect(prove()).rejects.toThrow('backfill comes first')
  const rows = `select rows::int from tenantry_carry_paged.progress where table_name = 'invoices'`
  expect(await oneOf(session, rows)).toEqual({ rows: 3 })
  expect((await backfill({ batch: 3 })).isComplete).toBe(true)
  expect(await prove()).toMatchObject({ isProved: true })
  expect(await oneOf(session, rows)).toEqual({ rows: 20 })
})

test('two steps of one platform do not run at once', async () => {
  const { expand, backfill } = await earlier('twosteps')
  await expand()
  const other = await ownerSession(database.adminUrl)
  await alone(other, 'tenantry_carry_twosteps', async () => {
    await expect(backfill()).rejects.toThrow('another step is running on these tables')
  })
  expect((await backfill()).isComplete).toBe(true)
})

test('earlier rows with the id or the name of a row that tenantry has already are refused', async () => {
  const { session, expand } = await earlier('known')
  const { org } = await idsOf(session, 'known')
  await session.query(
    `insert into platform.organizations (id, name, slug, temporal_namespace) values ('${org}', 'Was there', 'was-there', 'was-there')`,
  )
  await expect(expand()).rejects.toThrow('organizations has rows with the id of a row that tenantry has already: 1')
  await session.query(
    `update platform.organizations set id = gen_random_uuid(), name = 'Organization 1 of known' where id = '${org}'`,
  )
  expect(await mendsOf(session, 'known')).toContain(
    'organizations has rows with the name_key of a row that tenantry has already (organizations_name_key)',
  )
})

test('the way back of the swap is refused for organizations and roles that were made since', async () => {
  const { session, down } = await swapped('since')
  const { org } = await idsOf(session, 'since')
  for (const statement of [
    `insert into platform.organizations (id, name, slug, temporal_namespace) values (gen_random_uuid(), 'Since', 'since-new', 'since-new')`,
    `insert into platform.roles (org_id, id, key, name) values ('${org}', gen_random_uuid(), 'auditor', 'Auditor')`,
  ])
    await session.query(statement)
  await expect(down()).rejects.toThrow(/roles: 1 new[^]*organizations: 1 new/)
})

test('a home of somebody else, and a trigger that cannot be silenced, are refused', async () => {
  const { session, expand } = await earlier('planted')
  await session.query('create schema tenantry_carry_planted authorization pg_database_owner')
  await expect(expand()).rejects.toThrow('the schema tenantry_carry_planted belongs to pg_database_owner')

  const { session: other, contract } = await swapped('always')
  await other.query('alter table always.credentials enable always trigger touched')
  await expect(contract()).rejects.toThrow(
    'credentials has a trigger that fires even in sessions that silence triggers',
  )
})

test('a platform that is shaped otherwise is told, and a table that cannot be carried can be left', async () => {
  const { session, expand, backfill, prove } = await earlier('shaped', {
    isLarge: true,
    changes: [
      'drop table shaped.organization_feature_flags',
      'create table shaped.organization_feature_flags (organization_id uuid, flag_id uuid, enabled boolean, primary key (organization_id, flag_id))',
      `create type shaped.state as enum ('active', 'canceled')`,
      'alter table shaped.subscriptions alter status drop default, alter status type shaped.state using status::shaped.state',
      'alter table shaped.projects drop column postgres_meta_url cascade',
      'alter table shaped.audit_logs drop column organization_id',
    ],
  })
  expect(await mendsOf(session, 'shaped')).toEqual([
    'organization_feature_flags needs a primary key of one column, id',
    'organization_feature_flags has no column from which id could be filled: add it',
    'audit_logs has no column from which org_id could be filled: add it',
  ])
  await expand('organization_feature_flags', 'audit_logs')
  await backfill()
  expect(await prove()).toMatchObject({ isProved: true, unplaced: [] })
})
