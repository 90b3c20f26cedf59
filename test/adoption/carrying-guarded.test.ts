import { expect, test } from 'vitest'
import type { Session } from '../../src/database/session.js'
import { ownerSession } from '../support/adopting.js'
import { watched } from '../support/mortal-session.js'
import { carrying, countOf, isProved, oneOf, useEarlierPlatforms } from '../support/carrying.js'

const { database, earlier } = useEarlierPlatforms()

/** An organization that tenantry has of its own, and its id. */
async function ownOrganization(session: Session, slug: string): Promise<string> {
  const { id } = await oneOf(
    session,
    `with made as (insert into platform.organizations (id, name, slug, temporal_namespace)
       values (gen_random_uuid(), '${slug}', '${slug}', '${slug}') returning id),
     role as (insert into platform.roles (org_id, id, key, name, applies_to) select id, gen_random_uuid(), 'member', 'Member', 'organization' from made)
     select id from made`,
  )
  return String(id)
}

test('a person stays who belongs to an organization of tenantry too, and is known to another expand', async () => {
  const { session, expand, backfill, prove, downAll } = await earlier('sharing', { isLarge: true })
  await expand()
  await backfill()
  const org = await ownOrganization(session, 'their-own')
  const { id: gone } = await oneOf(session, 'select id from sharing.users order by email limit 1')
  const { id: kept } = await oneOf(session, 'select id from sharing.users order by email offset 1 limit 1')
  await session.query(
    `insert into platform.organization_members (org_id, id, user_id, email, role)
     select $1, gen_random_uuid(), u.id, u.email, 'member' from platform.users u where u.id = any ($2::uuid[])`,
    [org, [gone, kept]],
  )
  const members = () => countOf(session, `from platform.organization_members where org_id = '${org}'`)
  await session.query('delete from sharing.organization_invitations')
  await session.query('delete from sharing.users where id = $1', [gone])
  expect(await prove()).toMatchObject(isProved)
  expect(await members()).toBe(2)
  await downAll()
  expect(await members()).toBe(2)
  expect(await countOf(session, `from platform.users where email like '%@sharing.example.com'`)).toBe(2)

  await expand()
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  await session.query('delete from platform.organizations where id = $1', [org])
  await downAll()
  expect(await countOf(session, `from platform.users where id = '${String(kept)}'`)).toBe(0)
  expect(await oneOf(session, `select to_regnamespace('tenantry_carry_sharing') as home`)).toEqual({ home: null })
})

test('an organization that tenantry refuses by now stays as it was until its table is named', async () => {
  const { session, expand, backfill, prove } = await earlier('refused')
  await expand()
  await backfill()
  const { id } = await oneOf(session, 'select id from refused.organizations order by slug limit 1')
  const projects = () => countOf(session, `from platform.projects where org_id = '${String(id)}'`)
  const before = await projects()
  expect(before).toBeGreaterThan(0)
  const { name } = await oneOf(session, `select name from refused.organizations where id = '${String(id)}'`)
  await session.query(
    `update refused.organizations set name = (select name from refused.organizations order by slug desc limit 1) where id = $1`,
    [id],
  )
  const refused = {
    isProved: false,
    unplaced: ['organizations has rows that repeat the values of another row in tenantry (organizations_name_key): 1'],
  }
  expect(await prove()).toMatchObject(refused)
  expect(await projects()).toBe(before)
  await backfill({ again: true })
  expect(await prove()).toMatchObject(refused)
  expect(await projects()).toBe(before)
  await session.query('update refused.organizations set name = $1 where id = $2', [name, id])
  expect(await prove()).toMatchObject(isProved)

  await session.query(
    `update refused.organizations set name = (select name from refused.organizations order by slug desc limit 1) where id = $1`,
    [id],
  )
  expect(await prove()).toMatchObject(refused)
  await expand('organizations')
  expect((await prove()).isProved).toBe(false)
  expect(await countOf(session, `from platform.organizations where id = '${String(id)}'`)).toBe(0)
  // What belonged to it went with it.
  await backfill({ again: true })
  expect(await prove()).toMatchObject(isProved)
  expect(await projects()).toBe(0)
})

test('the swap counts no invoices of an organization that was not carried', async () => {
  const { session, expand, backfill, prove, swap } = await earlier('miscounted')
  const org = await ownOrganization(session, 'counts-itself')
  await session.query(
    `insert into platform.subscriptions (org_id, id, plan_id, plan_name, current_period_start, current_period_end, next_invoice_number)
     values ($1, gen_random_uuid(), 'tier_free', 'Free', now(), now() + interval '1 month', 3)`,
    [org],
  )
  await session.query(
    `insert into platform.invoices (org_id, id, number, subtotal, tax, total, amount_due, amount_paid, currency, status, finalized_at)
     values ($1, gen_random_uuid(), 7, 1, 0, 1, 1, 0, 'USD', 'open', now())`,
    [org],
  )
  await expand('organizations')
  await backfill()
  await session.query(`insert into miscounted.organizations (id, name, slug) values ($1, 'Earlier', 'earlier-one')`, [
    org,
  ])
  await prove()
  expect(await swap()).toMatchObject(isProved)
  expect(
    await oneOf(session, `select next_invoice_number as next from platform.subscriptions where org_id = '${org}'`),
  ).toEqual({
    next: 3,
  })
})

test('rows that miss their plan do not stay because organizations may', async () => {
  const { session, expand, backfill, prove } = await earlier('planless', { isLarge: true })
  await expand('organizations')
  await backfill()
  await session.query(
    `update planless.subscriptions set plan_id = 'none' where id = (select id from planless.subscriptions order by id limit 1)`,
  )
  expect(await prove()).toMatchObject({
    isProved: false,
    unplaced: ['subscriptions has rows that refer to a row that is not carried (subscriptions_plan_fkey): 1'],
  })
})

test('a person who stays for another organization, and is refused by now, is no equal row', async () => {
  const { session, expand, backfill, prove } = await earlier('outdated', { isLarge: true })
  await expand('users', 'feature_flags')
  await backfill()
  const org = await ownOrganization(session, 'keeps-them')
  const { id } = await oneOf(session, 'select id from outdated.users order by email limit 1')
  await session.query(
    `insert into platform.organization_members (org_id, id, user_id, email, role)
     select $1, gen_random_uuid(), u.id, u.email, 'member' from platform.users u where u.id = $2`,
    [org, id],
  )
  await session.query(
    `update outdated.users set email = (select upper(email) from outdated.users order by email desc limit 1) where id = $1`,
    [id],
  )
  expect(await prove()).toMatchObject({
    isProved: false,
    unplaced: expect.arrayContaining([
      'users has rows of which tenantry keeps an older state, because it refuses the new one and another organization uses them: 1',
    ]) as unknown,
  })
})

test('a second expand asks before it takes back what tenantry has changed of a person since', async () => {
  const { session, expand, backfill, downAll } = await earlier('twice', { isLarge: true })
  await expand()
  await backfill()
  const org = await ownOrganization(session, 'changes-them')
  const { id } = await oneOf(session, 'select id from twice.users order by email limit 1')
  const own = `insert into platform.organization_members (org_id, id, user_id, email, role)
     select $1, gen_random_uuid(), u.id, u.email, 'member' from platform.users u where u.id = $2`
  await session.query(own, [org, id])
  await downAll()
  await session.query('update platform.users set mfa_enabled = true, updated_at = now() where id = $1', [id])
  await expect(expand()).rejects.toThrow('users has rows that tenantry has changed since they were carried before')
  await session.query('update twice.users set mfa_enabled = true where id = $1', [id])
  await expand()
})

test('what an organization of tenantry says about a person is no less a use of them', async () => {
  const { session, expand, backfill, prove } = await earlier('named', { isLarge: true })
  await expand()
  await backfill()
  const org = await ownOrganization(session, 'names-them')
  const { id } = await oneOf(session, 'select id from named.users order by email limit 1')
  await session.query(
    `insert into platform.projects (org_id, id, name, slug, ref, created_by) values ($1, gen_random_uuid(), 'Own', 'own', 'own00000001', $2)`,
    [org, id],
  )
  await session.query('delete from named.organization_invitations')
  await session.query('delete from named.users where id = $1', [id])
  expect(await prove()).toMatchObject(isProved)
  expect(await oneOf(session, `select created_by from platform.projects where org_id = '${org}'`)).toEqual({
    created_by: id,
  })
})

test('nobody is taken from an organization of tenantry that adds them in the moment of their removal', async () => {
  const { session, expand, backfill } = await earlier('raced', { isLarge: true })
  await expand()
  await backfill()
  const org = await ownOrganization(session, 'in-time')
  const { id } = await oneOf(session, 'select id from raced.users order by email limit 1')
  await session.query('delete from raced.organization_invitations')
  await session.query('delete from raced.users where id = $1', [id])
  const own = await ownerSession(database.adminUrl)
  await own.query('begin')
  await own.query(
    `insert into platform.organization_members (org_id, id, user_id, email, role)
     select $1, gen_random_uuid(), u.id, u.email, 'member' from platform.users u where u.id = $2`,
    [org, id],
  )
  let tries = 0
  const patient = await watched(database.adminUrl, async (text) => {
    if (/from "platform"."users" .*for update nowait$/s.test(text) && ++tries === 2) await own.query('commit')
  })
  const proving = carrying(patient, 'raced').prove()
  expect(await proving).toMatchObject(isProved)
  expect(await countOf(own, `from platform.organization_members where org_id = '${org}'`)).toBe(1)
})

test('an organization, a person or a flag of which the earlier row went unseen is found, and removed by another backfill', async () => {
  const { session, expand, backfill, prove } = await earlier('unseen', { isLarge: true })
  await expand()
  await backfill()
  await session.query('set session_replication_role = replica')
  for (const table of ['organizations', 'users', 'feature_flags'])
    await session.query(
      `delete from unseen.${table} where id = (select id from unseen.${table} order by created_at, id limit 1)`,
    )
  await session.query('reset session_replication_role')
  const { tables } = await prove()
  for (const name of ['organizations', 'users', 'feature_flags'])
    expect(tables.find((table) => table.name === name)).toMatchObject({ extra: 1 })
  await backfill({ again: true })
  for (const name of ['organizations', 'users', 'feature_flags'])
    expect((await prove()).tables.find((table) => table.name === name)).toMatchObject({ extra: 0 })
  expect((await prove()).isProved).toBe(false)
})

test('a project that gets its organization late brings what belongs to it', async () => {
  const { session, expand, backfill, prove } = await earlier('late', {
    changes: ['alter table late.projects alter organization_id drop not null'],
  })
  const { id, org } = await oneOf(session, 'select id, organization_id as org from late.projects order by ref limit 1')
  await session.query('update late.projects set organization_id = null where id = $1', [id])
  await expand('projects', 'credentials', 'addons', 'disk_config', 'compute_config', 'usage_metrics')
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  await session.query('update late.projects set organization_id = $1 where id = $2', [org, id])
  expect(await prove()).toMatchObject(isProved)
  expect(await countOf(session, `from platform.credentials where project_id = '${String(id)}'`)).toBe(1)
})

test('an invoice loses its subscription with the earlier one, and a row to which others refer stops the proof', async () => {
  const { session, expand, backfill, prove } = await earlier('unsubscribed', {
    changes: [
      'alter table unsubscribed.invoices add subscription_id uuid',
      `update unsubscribed.invoices i set subscription_id = s.id from unsubscribed.subscriptions s where s.organization_id = i.organization_id`,
    ],
  })
  await expand('subscriptions')
  await backfill()
  const { id } = await oneOf(session, 'select id from unsubscribed.subscriptions order by id limit 1')
  const { id: refused } = await oneOf(session, 'select id from unsubscribed.subscriptions order by id desc limit 1')
  await session.query('delete from unsubscribed.subscriptions where id = $1', [id])
  expect(await prove()).toMatchObject(isProved)
  expect(await countOf(session, `from platform.invoices where subscription_id = '${String(id)}'`)).toBe(0)
  await session.query(`update unsubscribed.subscriptions set plan_id = 'none' where id = $1`, [refused])
  expect(await prove()).toMatchObject({
    isProved: false,
    unplaced: ['rows of tenantry must go, since their earlier rows are gone or refused, and others refer to them: 1'],
  })
  await session.query(`update unsubscribed.subscriptions set plan_id = 'tier_free' where id = $1`, [refused])
  expect(await prove()).toMatchObject(isProved)
})

test('tables of the application that refer to what was carried close the way back, and keep an organization', async () => {
  const { session, expand, backfill, prove, down } = await earlier('referred')
  await expand()
  await backfill()
  await session.query(
    `create table public.orders (id int primary key, org_id uuid not null references platform.organizations on delete cascade)`,
  )
  await session.query(
    `create table public.builds (id int primary key, org_id uuid not null, project_id uuid not null,
       foreign key (org_id, project_id) references platform.projects on delete cascade)`,
  )
  const { id } = await oneOf(session, 'select id from referred.organizations order by slug limit 1')
  const { id: other } = await oneOf(session, 'select id from referred.organizations order by slug desc limit 1')
  await session.query('insert into public.orders values (1, $1)', [id])
  await session.query(
    'insert into public.builds select 1, p.org_id, p.id from platform.projects p where p.org_id = $1 limit 1',
    [other],
  )
  await session.query('set session_replication_role = replica')
  await session.query('delete from referred.organizations where id = any ($1::uuid[])', [[id, other]])
  await session.query('reset session_replication_role')
  await backfill({ again: true })
  await prove()
  expect(await countOf(session, 'from public.orders')).toBe(1)
  expect(await countOf(session, `from platform.organizations where id in ('${String(id)}', '${String(other)}')`)).toBe(
    2,
  )
  await down()
  await down()
  await expect(down()).rejects.toThrow(
    'public.builds: 1 that refer to platform.projects\n- public.orders: 1 that refer to platform.organizations',
  )
  expect(await countOf(session, 'from public.orders')).toBe(1)
  await session.query('drop table public.orders, public.builds')
})
