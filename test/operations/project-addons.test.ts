import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  BrokenReferenceError,
  ConflictError,
  ForbiddenError,
  InvalidInputError,
  NotFoundError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { auditedRows, entriesOf, faultsOf } from '../support/audited-rows.js'
import { contend, race } from '../support/contenders.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
let made = 0

async function newProject() {
  const team = await teams.newTeam()
  const { id } = await team.org.projects.create({ name: 'One', slug: 'one' })
  return { team, org: team.org, id, addons: team.org.projects.addons }
}

const variant = (name: string, price: string, currency = 'USD') => ({ variant: name, name, price, currency })

/** An add-on of this test alone. */
async function newAddon(...variants: ReturnType<typeof variant>[]): Promise<string> {
  const addonId = `addon_${++made}`
  await teams.system().catalog.addons.upsert({ addonId, name: addonId, type: 'test', variants })
  return addonId
}

test('an add-on has the price of its activation, whatever the catalog says later', async () => {
  const { addons, id } = await newProject()
  const addonId = await newAddon(variant('small', '10.50'), variant('large', '99.99', 'EUR'))
  const active = await addons.activate(id, { addonId, addonVariant: 'small', quantity: 3 })
  expect(active).toMatchObject({ addonId, addonVariant: 'small', quantity: 3, pricePerUnit: '10.50', currency: 'USD' })
  const dearer = [variant('small', '20'), variant('large', '200', 'EUR')]
  await teams.system().catalog.addons.upsert({ addonId, name: addonId, type: 'test', variants: dearer })
  expect((await addons.list(id)).items).toMatchObject([{ ...active, amount: '31.50' }])
  expect(await addons.changeVariant(id, addonId, { quantity: 4 })).toMatchObject({ quantity: 4, pricePerUnit: '10.50' })
  const changed = await addons.changeVariant(id, addonId, { addonVariant: 'large' })
  expect(changed).toMatchObject({ addonVariant: 'large', quantity: 4, pricePerUnit: '200.00', currency: 'EUR' })
  await teams.system().catalog.addons.archive(addonId)
  expect((await addons.list(id)).totals).toEqual([{ currency: 'EUR', amount: '800.00' }])

  const ended = await addons.deactivate(id, addonId)
  expect(ended).toMatchObject({ status: 'inactive', pricePerUnit: '200.00' })
  expect(ended.deactivatedAt).toBeInstanceOf(Date)
  expect(await addons.list(id)).toMatchObject({ items: [{ status: 'inactive', amount: '800.00' }], totals: [] })
  await expect(addons.deactivate(id, addonId)).rejects.toThrow(ConflictError)
  await expect(addons.changeVariant(id, addonId, { quantity: 1 })).rejects.toThrow(
    'cannot changeVariant while it is inactive',
  )
  await expect(addons.activate(id, { addonId, addonVariant: 'small' })).rejects.toThrow('is no longer offered')
  await teams.system().catalog.addons.restore(addonId)
  expect(await addons.activate(id, { addonId, addonVariant: 'small' })).toMatchObject({
    id: active.id,
    status: 'active',
    quantity: 1,
    pricePerUnit: '20.00',
    deactivatedAt: null,
  })
})

test('what the catalog does not have is refused', async () => {
  const { addons, id } = await newProject()
  const addonId = await newAddon(variant('one', '1'), variant('two', '2'))
  await expect(addons.activate(id, { addonId: 'unknown' })).rejects.toThrow(BrokenReferenceError)
  await expect(addons.activate(id, { addonId, addonVariant: 'three' })).rejects.toThrow(InvalidInputError)
  await expect(addons.activate(id, { addonId })).rejects.toThrow(
    `a variant that the catalog has of ${addonId}: one, two`,
  )
  await expect(addons.activate(id, { addonId, addonVariant: 'one', quantity: 0 })).rejects.toThrow('quantity')
  await expect(addons.activate(newId(), { addonId, addonVariant: 'one' })).rejects.toThrow(BrokenReferenceError)
  await expect(addons.changeVariant(id, addonId, { addonVariant: 'one' })).rejects.toThrow(NotFoundError)
  await expect(addons.deactivate(id, addonId)).rejects.toThrow(NotFoundError)
  const only = await newAddon(variant('only', '5'))
  expect(await addons.activate(id, { addonId: only })).toMatchObject({ addonVariant: 'only' })
  await expect(addons.changeVariant(id, only, { addonVariant: 'other' })).rejects.toThrow(InvalidInputError)
  await expect(addons.changeVariant(id, only, {})).rejects.toThrow('there is nothing to change')
})

race('20 who activate one add-on leave one row, and 19 are told that it is active', async () => {
  const { team, addons, id } = await newProject()
  const addonId = await newAddon(variant('only', '5.25'))
  const before = await auditedRows(teams.database.admin, team.id)
  const earlier = (await entriesOf(teams.database.admin, team.id)).length
  const { won, lost } = await contend((n) => addons.activate(id, { addonId, quantity: n + 1 }))
  expect(won).toHaveLength(1)
  expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
  expect((await addons.list(id)).items).toMatchObject([{ quantity: won[0]?.quantity }])
  const entries = (await entriesOf(teams.database.admin, team.id)).slice(earlier)
  expect(faultsOf(before, await auditedRows(teams.database.admin, team.id), entries)).toEqual([])
})

test('those of a deleted project are hidden, and a role in the project reaches its own alone', async () => {
  const { team, org, addons, id } = await newProject()
  const { id: otherId } = await org.projects.create({ name: 'Two', slug: 'two' })
  const addonId = await newAddon(variant('only', '5'))
  await addons.activate(otherId, { addonId })
  const { userId } = await team.join('customer')
  await org.projects.members.add(id, { userId, role: 'developer' })
  const mine = (await team.as(userId)).projects.addons
  await mine.activate(id, { addonId })
  expect((await mine.list(id)).totals).toEqual([{ currency: 'USD', amount: '5.00' }])
  for (const call of [
    () => mine.list(otherId),
    () => mine.activate(otherId, { addonId }),
    () => mine.changeVariant(otherId, addonId, { quantity: 2 }),
    () => mine.deactivate(otherId, addonId),
  ])
    await expect(call()).rejects.toThrow(ForbiddenError)
  await org.projects.delete(id)
  expect(await addons.list(id)).toEqual({ items: [], totals: [] })
  await expect(addons.deactivate(id, addonId)).rejects.toThrow(NotFoundError)
  await expect(addons.activate(id, { addonId })).rejects.toThrow(BrokenReferenceError)
})

const cents = (money: string): bigint => {
  const [whole = '', places = ''] = money.split('.')
  return BigInt(whole + places.padEnd(2, '0'))
}

test('amounts and their sums are exact', async () => {
  const { org } = await newProject()
  const price = fc
    .tuple(fc.bigInt({ min: 0n, max: 999_999_999_999n }), fc.integer({ min: 0, max: 99 }))
    .map(([whole, places]) => `${whole}.${String(places).padStart(2, '0')}`)
  const line = fc.record({
    price,
    currency: fc.constantFrom('USD', 'EUR'),
    quantity: fc.integer({ min: 1, max: 2_147_483_647 }),
  })
  const runs = fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 4 }), async (lines) => {
    const { id } = await org.projects.create({ name: 'Project', slug: `project-${++made}` })
    const sums = new Map<string, bigint>()
    for (const { price, currency, quantity } of lines) {
      const addonId = await newAddon(variant('only', price, currency))
      await org.projects.addons.activate(id, { addonId, quantity })
      sums.set(currency, (sums.get(currency) ?? 0n) + cents(price) * BigInt(quantity))
    }
    const { items, totals } = await org.projects.addons.list(id)
    for (const { amount, pricePerUnit, quantity } of items)
      expect(cents(amount ?? '')).toBe(cents(pricePerUnit ?? '') * BigInt(quantity))
    expect(new Map(totals.map(({ currency, amount }) => [currency, cents(amount)]))).toEqual(sums)
  })
  await fc.assert(runs, { numRuns: 15, seed: 7 })
})
