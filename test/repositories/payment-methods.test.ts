import { expect, test } from 'vitest'
import { ConflictError, ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { entriesOf } from '../support/audited-rows.js'
import { contend, race } from '../support/contenders.js'
import { type Team, useTeams } from '../support/use-teams.js'
import { behindChange } from '../support/waiting.js'

const teams = useTeams()
const card = () => ({ stripePaymentMethodId: `pm_${newId()}`, type: 'card', cardBrand: 'visa', cardLast4: '4242' })
const defaults = async ({ org }: Team) => (await org.paymentMethods.list({ isDefault: true })).items.map(({ id }) => id)

test('the first payment method is the default, a later one when it is asked for', async () => {
  const team = await teams.newTeam()
  const { paymentMethods } = team.org
  const first = await paymentMethods.add(card())
  expect(first).toMatchObject({ isDefault: true, cardLast4: '4242' })
  await expect(paymentMethods.add(card())).resolves.toMatchObject({ isDefault: false })
  const third = await paymentMethods.add(card(), { isDefault: true })
  expect(await defaults(team)).toEqual([third.id])
  expect(await paymentMethods.count()).toBe(3)
  await expect(paymentMethods.add({ ...card(), stripePaymentMethodId: first.stripePaymentMethodId })).rejects.toThrow(
    ConflictError,
  )

  await expect(paymentMethods.makeDefault(first.id)).resolves.toMatchObject({ id: first.id, isDefault: true })
  await expect(paymentMethods.makeDefault(first.id)).resolves.toMatchObject({ id: first.id, isDefault: true })
  expect(await defaults(team)).toEqual([first.id])
  await paymentMethods.update(first.id, { cardExpMonth: 12, cardExpYear: 2030 })
  await paymentMethods.remove(first.id)
  expect(await defaults(team)).toEqual([])
  await expect(paymentMethods.remove(first.id)).rejects.toThrow(NotFoundError)
  const entries = await entriesOf(teams.database.admin, team.id)
  expect(entries.filter(({ resource_type: type }) => type === 'payment_methods')).toMatchObject([
    { event_type: 'payment_methods.add', action: 'create', changes: { cardLast4: 'changed' } },
    { event_type: 'payment_methods.add' },
    { event_type: 'payment_methods.makeDefault', changes: { isDefault: { old: true, new: false } } },
    { event_type: 'payment_methods.add' },
    { event_type: 'payment_methods.makeDefault', resource_id: third.id },
    { event_type: 'payment_methods.makeDefault', changes: { isDefault: { old: false, new: true } } },
    { event_type: 'payment_methods.update' },
    { event_type: 'payment_methods.delete', action: 'delete' },
  ])
})

test('the default stays where another one cannot be made it', async () => {
  const [team, other] = [await teams.newTeam(), await teams.newTeam()]
  const first = await team.org.paymentMethods.add(card())
  const foreign = await other.org.paymentMethods.add(card())
  for (const id of [foreign.id, newId()])
    await expect(team.org.paymentMethods.makeDefault(id)).rejects.toThrow(NotFoundError)
  await expect(team.org.paymentMethods.makeDefault('x')).rejects.toThrow(InvalidInputError)
  await expect(team.org.paymentMethods.add({ ...card(), cardLast4: '42' }, { isDefault: true })).rejects.toThrow(
    'cardLast4',
  )
  await expect(team.org.paymentMethods.add(card(), { default: true } as never)).rejects.toThrow(InvalidInputError)
  expect(await defaults(team)).toEqual([first.id])
  const admin = await team.as((await team.join('admin')).userId)
  await expect(admin.paymentMethods.makeDefault('x')).rejects.toThrow(ForbiddenError)
  await expect(admin.paymentMethods.add({} as never)).rejects.toThrow(ForbiddenError)
})

test('another one is made the default while the default is being removed', async () => {
  const team = await teams.newTeam()
  const [first, second] = [await team.org.paymentMethods.add(card()), await team.org.paymentMethods.add(card())]
  const { admin } = teams.database
  const remove = () => admin.query('delete from platform.payment_methods where id = $1', [first.id])
  const made = await behindChange(admin, remove, () => team.org.paymentMethods.makeDefault(second.id))
  expect(made).toMatchObject({ id: second.id, isDefault: true })
  expect(await defaults(team)).toEqual([second.id])
})

race('twenty are added at once, and one is the default', async () => {
  const team = await teams.newTeam()
  const { won, lost } = await contend(() => team.org.paymentMethods.add(card()))
  expect(lost).toEqual([])
  expect(won.filter(({ isDefault }) => isDefault)).toHaveLength(1)
  expect(await defaults(team)).toHaveLength(1)
})

race('twenty are made the default at once, and one of them is in the end', async () => {
  const team = await teams.newTeam()
  const added = await Promise.all(Array.from({ length: 20 }, () => team.org.paymentMethods.add(card())))
  const { won, lost } = await contend((contender) => team.org.paymentMethods.makeDefault(added[contender]?.id ?? ''))
  expect(lost).toEqual([])
  expect(won.every(({ isDefault }) => isDefault)).toBe(true)
  expect(await defaults(team)).toHaveLength(1)
})
