import { expect, test } from 'vitest'
import { analysePlatform } from '../../src/adoption/carrying/analyse-platform.js'
import { openTenancy } from '../../src/tenancy.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { ownerSession, rowsOf } from '../support/adopting.js'
import { addFreePlan, carrying, carryingKeys, earlierPlatform } from '../support/carrying.js'

const database = useDatabase()

/** Each row of `addons` says what the add-on is, what it costs, and which project uses it. */
const script = [
  'create schema shop',
  'create table shop.organizations (id uuid primary key default gen_random_uuid(), name text not null, slug text not null unique)',
  `create table shop.projects (id uuid primary key default gen_random_uuid(), organization_id uuid not null references shop.organizations on delete cascade,
     name text not null, slug text not null, ref text not null unique)`,
  `create table shop.addons (id uuid primary key default gen_random_uuid(), project_id uuid not null references shop.projects on delete cascade, addon_type text not null,
     addon_variant text not null, quantity int default 1, price_per_unit numeric(10,2), status text default 'active', activated_at timestamptz default now(),
     deactivated_at timestamptz, created_at timestamptz default now())`,
  `insert into shop.organizations (name, slug) values ('Shop one', 'shop-one'), ('Shop two', 'shop-two')`,
  `insert into shop.projects (organization_id, name, slug, ref) select o.id, 'Project ' || n, 'p' || n, 'shop-' || o.slug || n from shop.organizations o, generate_series(1, 4) n`,
  `insert into shop.addons (project_id, addon_type, addon_variant, price_per_unit) select p.id, 'pitr', case when p.slug = 'p1' then 'pitr_7' else 'pitr_14' end,
     case when p.slug = 'p1' then 100 else 200 end from shop.projects p`,
  `insert into shop.addons (project_id, addon_type, addon_variant, price_per_unit, quantity) select p.id, 'disk_expansion', 'per_gb', 0.12, 40 from shop.projects p where slug = 'p2'`,
  `insert into shop.addons (project_id, addon_type, addon_variant, price_per_unit, status, activated_at, deactivated_at)
     select p.id, 'pitr', 'pitr_28', 400, 'inactive', now() - interval '1 year', now() - interval '1 month' from shop.projects p where slug = 'p3'`,
]

test('a table that mixes the catalog of add-ons with their use is split, and no use is lost', async () => {
  const session = await ownerSession(database.adminUrl)
  for (const statement of script) await session.query(statement)
  await session.query(
    `insert into platform.addon_catalog (id, addon_id, name, type, variants) values (gen_random_uuid(), 'pitr', 'Point in time', 'backup',
       '[{"variant": "pitr_7", "name": "Seven days", "price": "110.00", "currency": "USD"}]')`,
  )
  const before = await rowsOf(session, 'shop')
  const { findings } = await analysePlatform(session, 'shop')
  expect(findings.map(({ needs, message, rows }) => [needs, message, rows?.count])).toEqual([
    [
      'attention',
      'addons has rows that stay in shop: they are an earlier use of an add-on that the project has again, of which the last one is kept',
      2,
    ],
  ])
  const { expand, backfill, prove, swap, downAll } = carrying(session, 'shop')
  await expand()
  await backfill()
  // A use that is added, and one that ends, while the application works.
  await session.query(
    `insert into shop.addons (project_id, addon_type, addon_variant, price_per_unit) select id, 'ipv4', 'ipv4_default', 4 from shop.projects where slug = 'p4'`,
  )
  await session.query(
    `update shop.addons set status = 'inactive', deactivated_at = now() where addon_type = 'disk_expansion'`,
  )
  expect(await prove()).toMatchObject({ isProved: true, unplaced: [] })
  expect(await swap()).toMatchObject({ isProved: true, unplaced: [] })

  const catalog = await session.query('select addon_id, name, variants from platform.addon_catalog order by 1')
  expect(catalog).toEqual([
    {
      addon_id: 'disk_expansion',
      name: 'disk_expansion',
      variants: [{ variant: 'per_gb', name: 'per_gb', price: '0.12', currency: 'USD' }],
    },
    {
      addon_id: 'ipv4',
      name: 'ipv4',
      variants: [{ variant: 'ipv4_default', name: 'ipv4_default', price: '4.00', currency: 'USD' }],
    },
    {
      addon_id: 'pitr',
      name: 'Point in time',
      variants: [
        { variant: 'pitr_7', name: 'Seven days', price: '110.00', currency: 'USD' },
        expect.objectContaining({ variant: 'pitr_14', price: '200.00' }),
        expect.objectContaining({ variant: 'pitr_28', price: '400.00' }),
      ],
    },
  ])
  const [used] = await session.query(
    `select count(*)::int as uses, (select count(*)::int from platform.project_addons) as carried from shop.addons`,
  )
  expect(used).toEqual({ uses: 14, carried: 12 })

  const tenancy = await openTenancy({ url: database.appUrl, keys: carryingKeys })
  try {
    const [first] = await session.query<{ id: string; project: string }>(
      `select o.id, p.id as project from shop.organizations o join shop.projects p on p.organization_id = o.id where o.slug = 'shop-one' and p.slug = 'p3'`,
    )
    const { items } = await tenancy.forOrg(first?.id ?? '').projects.addons.list(first?.project ?? '')
    expect(items).toEqual([
      expect.objectContaining({ addonId: 'pitr', addonVariant: 'pitr_14', pricePerUnit: '200.00' }),
    ])
  } finally {
    await tenancy.close()
  }
  await downAll()
  const after = await rowsOf(session, 'shop')
  expect({ ...after, addons: '' }).toEqual({ ...before, addons: '' })
  expect(after.addons).toMatch(/^14 /)
})

test('two add-ons of one type are two, and what began later counts where nothing says when it was activated', async () => {
  await addFreePlan(database.admin)
  const { session, expand, backfill, prove } = await earlierPlatform(database.adminUrl, 'typed', {
    changes: [
      `alter table typed.addons add addon_id text`,
      `update typed.addons set addon_id = addon_type, addon_type = 'network'`,
      'alter table typed.addons drop activated_at',
      `insert into typed.addons (project_id, addon_id, addon_type, addon_variant, price_per_unit)
       select p.id, 'another', 'network', 'small', 1 from typed.projects p`,
    ],
  })
  const [before] = await session.query<{ used: number }>(
    'select count(distinct (project_id, addon_id))::int as used from typed.addons',
  )
  await expand()
  await backfill()
  expect(await prove()).toMatchObject({ isProved: true })
  const [after] = await session.query<{ used: number }>(
    'select count(*)::int as used from platform.project_addons t join typed.projects p on p.id = t.project_id',
  )
  expect(after).toEqual(before)
})

test('a plan with a price or a limit below nothing is told', async () => {
  const { session } = await earlierPlatform(database.adminUrl, 'priced', {
    isLarge: true,
    changes: [
      `update priced.billing_plans set price = -5 where id = 'tier_free'`,
      `update priced.billing_plans set max_projects = -3 where id = 'tier_pro'`,
    ],
  })
  const { findings } = await analysePlatform(session, 'priced')
  expect(findings.filter(({ needs }) => needs === 'mend').map(({ message }) => message)).toEqual([
    'billing_plans has rows that have a negative price',
    'billing_plans has rows that have a negative max_projects other than -1',
  ])
})
