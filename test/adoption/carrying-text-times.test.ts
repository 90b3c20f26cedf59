import { expect, test } from 'vitest'
import { analysePlatform } from '../../src/adoption/carrying/analyse-platform.js'
import { isProved, oneOf, useEarlierPlatforms } from '../support/carrying.js'

const { earlier } = useEarlierPlatforms()

test('a time that is a text is read alike by every login, and refused where day and month could be taken for each other', async () => {
  const { session, expand, backfill, prove } = await earlier('dated', {
    changes: [
      `alter table dated.tax_ids alter created_at drop default, alter created_at type text using '2026-04-03 10:00:00+00'`,
      `update dated.tax_ids set created_at = '03/04/2026' where id = (select id from dated.tax_ids order by id limit 1)`,
    ],
  })
  await session.query(`set datestyle = 'SQL, DMY'`)
  const { findings } = await analysePlatform(session, 'dated')
  expect(findings.filter(({ needs }) => needs === 'mend')).toMatchObject([
    { table: 'tax_ids', message: expect.stringContaining('03/04/2026') as unknown },
  ])
  await session.query(`update dated.tax_ids set created_at = '2026-04-03 10:00:00+00'`)
  await expand()
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  expect(
    await oneOf(
      session,
      `select distinct to_char(t.created_at at time zone 'UTC', 'YYYY-MM-DD HH24') as time from platform.tax_ids t join dated.tax_ids o on o.id = t.id`,
    ),
  ).toEqual({ time: '2026-04-03 10' })
})
