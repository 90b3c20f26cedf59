import { expect, test } from 'vitest'
import { previewUndo } from '../../src/adoption/carrying/undo-steps.js'
import { carryingKeys, countOf, dataKeysFor, oneOf, useEarlierPlatforms } from '../support/carrying.js'

const { earlier } = useEarlierPlatforms()

const addTaxId = (schema: string) =>
  `insert into platform.tax_ids (org_id, id, country, type, value)
   select o.id, gen_random_uuid(), 'DE', 'eu_vat', 'DE123456789' from ${schema}.organizations o order by o.slug limit 1 returning id`

test('the way back of expand is refused, with numbers, where tenantry has rows in carried tables that were not carried', async () => {
  const { session, expand, backfill, prove, swap, down } = await earlier('added')
  await expand()
  await backfill()
  await prove()
  await swap()
  expect(await down()).toBe('swap')
  const { id } = await oneOf(session, addTaxId('added'))
  // Deleted rows of the earlier tables that are still to be removed from tenantry are none of them.
  await session.query('delete from added.credentials where id = (select id from added.credentials order by id limit 1)')
  expect(await down()).toBe('prove')
  expect(await down()).toBe('backfill')
  const lost = 'tax_ids: 1 new'
  expect(await previewUndo(session, 'added', dataKeysFor(carryingKeys))).toEqual({ step: 'expand', obstacles: [lost] })
  await expect(down()).rejects.toThrow(`would lose what was written in tenantry:\n- ${lost}\nNothing was done`)
  expect(await countOf(session, `from platform.tax_ids where id = '${String(id)}'`)).toBe(1)
  await session.query('delete from platform.tax_ids where id = $1', [id])
  expect(await down()).toBe('expand')
  expect(await countOf(session, 'from platform.organizations')).toBe(0)
})
