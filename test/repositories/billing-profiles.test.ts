import { expect, test } from 'vitest'
import { ConflictError, ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { entriesOf } from '../support/audited-rows.js'
import { contend, race } from '../support/contenders.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const vat = { type: 'eu_vat', value: 'DE123456789', country: 'DE' }

test('a tax number is added, verified and removed', async () => {
  const { org, id: orgId } = await teams.newTeam()
  const added = await org.taxIds.add(vat)
  expect(added).toMatchObject({ ...vat, status: 'pending' })
  await expect(org.taxIds.add(vat)).rejects.toThrow(ConflictError)
  await expect((await teams.newTeam()).org.taxIds.add(vat)).resolves.toMatchObject({ status: 'pending' })
  await expect(org.taxIds.verify(added.id)).resolves.toMatchObject({ status: 'verified' })
  await expect(org.taxIds.verify(added.id, 'unverified')).resolves.toMatchObject({ status: 'unverified' })
  for (const status of ['pending', 'yes', null, 1])
    await expect(org.taxIds.verify(added.id, status as never)).rejects.toThrow(InvalidInputError)
  expect((await org.taxIds.list()).items).toHaveLength(1)
  await org.taxIds.remove(added.id)
  expect(await org.taxIds.count()).toBe(0)
  const entries = await entriesOf(teams.database.admin, orgId)
  expect(entries.filter(({ resource_type: type }) => type === 'tax_ids')).toMatchObject([
    { event_type: 'tax_ids.add', action: 'create', changes: { value: 'changed' } },
    { event_type: 'tax_ids.verify', changes: { status: { old: 'pending', new: 'verified' } } },
    { event_type: 'tax_ids.verify', changes: { status: { old: 'verified', new: 'unverified' } } },
    { event_type: 'tax_ids.delete', action: 'delete' },
  ])
})

test('the billing profile is one for each organization, and set as a whole', async () => {
  const { org } = await teams.newTeam()
  await expect(org.billingProfile.find()).resolves.toBeUndefined()
  await expect(org.billingProfile.get()).rejects.toThrow(NotFoundError)
  const first = await org.billingProfile.set({
    companyName: 'Acme',
    line1: 'Main Street 1',
    line2: 'c/o Ada',
    country: 'DE',
  })
  expect(await org.billingProfile.get()).toEqual(first)
  const second = await org.billingProfile.set({ companyName: 'Acme', line1: 'High Street 2' })
  expect(second).toEqual({ ...first, line1: 'High Street 2', line2: null, country: null, updatedAt: second.updatedAt })
  expect(await org.billingProfile.find()).toEqual(second)
  for (const values of [{ country: 'Germany' }, { companyName: ' ' }, { email: 'a@b.example' }])
    await expect(org.billingProfile.set(values)).rejects.toThrow(InvalidInputError)
  expect(await org.billingProfile.get()).toEqual(second)
})

test('a field of the profile that is undefined counts as not given', async () => {
  const { org } = await teams.newTeam()
  await org.billingProfile.set({ companyName: 'Acme', line2: 'c/o Ada' })
  const set = await org.billingProfile.set({ companyName: 'Acme', line2: undefined, country: undefined })
  expect(set).toMatchObject({ companyName: 'Acme', line2: null, country: null })
})

race('twenty set the profile at once, and there is one', async () => {
  const { org, id } = await teams.newTeam()
  const { won } = await contend((contender) => org.billingProfile.set({ companyName: `Acme ${contender}` }))
  expect(won).toHaveLength(20)
  expect(new Set(won.map((profile) => profile.id)).size).toBe(1)
  const [row] = await teams.database.admin.query<{ count: number }>(
    'select count(*)::int as count from platform.customer_profiles where org_id = $1',
    [id],
  )
  expect(row?.count).toBe(1)
})

test('an admin sees how the organization is billed, and changes nothing of it', async () => {
  const team = await teams.newTeam()
  const admin = await team.as((await team.join('admin')).userId)
  await admin.billingProfile.find()
  await admin.taxIds.list()
  await expect(admin.billingProfile.set({ companyName: 'Acme' })).rejects.toThrow(ForbiddenError)
  await expect(admin.taxIds.add(vat)).rejects.toThrow(ForbiddenError)
})

test('plans are listed to anybody, by their order, without the archived ones', async () => {
  const plans = await teams.tenancy.plans.list()
  expect(plans.map(({ id }) => id)).toEqual(['tier_free', 'tier_pro', 'tier_team', 'tier_enterprise'])
  expect(plans[0]).toMatchObject({ maxProjects: 2, maxMembers: 5, active: true, interval: 'month' })
  const { plans: catalog } = teams.system().catalog
  const price = { price: '1', currency: 'EUR', interval: 'year' } as const
  await catalog.upsert({ id: 'tier_first', name: 'First', sortOrder: -1, ...price })
  await catalog.archive('tier_team')
  expect((await teams.tenancy.plans.list()).map(({ id }) => id)).toEqual([
    'tier_first',
    'tier_free',
    'tier_pro',
    'tier_enterprise',
  ])
})
