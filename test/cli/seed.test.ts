import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, tenantry } from './command-line.js'

const database = useDatabase()

const catalogs = ['billing_plans', 'addon_catalog', 'feature_flags', 'llms', 'tools']
let env: Record<string, string>
beforeEach(async () => {
  env = { DATABASE_ADMIN_URL: database.adminUrl }
  await database.admin.query(`truncate ${catalogs.map((name) => `platform.${name}`).join()} cascade`)
})

test('a catalog that cannot be filled leaves the others empty', async () => {
  await database.admin.query('alter table platform.tools rename to tools_away')
  expect(await tenantry(['seed', '--json'], { env })).toMatchObject({ code: 1, stderr: containing('platform.tools') })
  await database.admin.query('alter table platform.tools_away rename to tools')
  expect(await database.admin.query('select from platform.billing_plans')).toEqual([])
})

test('fills every catalog, and the plans say what they allow', async () => {
  const seeded = await tenantry(['seed', '--json'], { env })
  expect(seeded).toMatchObject({ code: 0, stderr: '' })
  const report = seeded.json() as { catalogs: { table: string; inserted: string[]; kept: number }[] }
  expect(report.catalogs.map(({ table }) => table)).toEqual(catalogs)
  expect(report.catalogs.every(({ inserted, kept }) => inserted.length > 0 && kept === 0)).toBe(true)

  const plans = await database.admin.query(
    'select id, price, max_projects, max_members, limits from platform.billing_plans order by sort_order',
  )
  expect(plans[0]).toEqual({
    id: 'tier_free',
    price: '0.00',
    max_projects: 2,
    max_members: 5,
    limits: { disk_gb: 8, bandwidth_gb: 5 },
  })
  expect(plans.map(({ id }) => id)).toEqual(['tier_free', 'tier_pro', 'tier_team', 'tier_enterprise'])
  const addons = await database.admin.query<{ addon_id: string; id: string }>(
    'select addon_id, id from platform.addon_catalog',
  )
  expect(addons.map(({ addon_id }) => addon_id).sort()).toEqual(['compute_instance', 'custom_domain', 'ipv4', 'pitr'])
  // UUIDs of version 7: an insert reveals nothing, and they sort by age.
  expect(addons.every(({ id }) => /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id))).toBe(true)
})

test('inserts what is absent, and changes nothing that is there', async () => {
  await tenantry(['seed'], { env })
  await database.admin.query(`update platform.billing_plans set price = 19, name = 'Ours' where id = 'tier_pro'`)
  await database.admin.query(`delete from platform.tools where key = 'web-search'`)
  const { stdout } = await tenantry(['seed'], { env })
  expect(stdout).toContain('billing_plans: nothing is missing\n')
  expect(stdout).toContain('tools: inserted web-search; 3 existed\n')
  expect(await database.admin.query(`select price, name from platform.billing_plans where id = 'tier_pro'`)).toEqual([
    { price: '19.00', name: 'Ours' },
  ])
})

test('is for the owner', async () => {
  expect(await tenantry(['seed'], { env: { DATABASE_URL: database.appUrl } })).toMatchObject({
    code: 1,
    stdout: '',
    stderr: containing('permission denied'),
  })
})

test('on a new embedded folder names the command for that folder', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tenantry-seed-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const data = join(directory, 'data')
  expect(await tenantry(['seed', '--embedded', data])).toMatchObject({
    code: 1,
    stderr: containing(`run npx tenantry migrate up --embedded ${data} first`),
  })
})
