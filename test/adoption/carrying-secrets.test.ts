import { beforeAll, expect, test } from 'vitest'
import type { Session } from '../../src/database/session.js'
import { openTenancy } from '../../src/tenancy.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { ownerSession, rowsOf } from '../support/adopting.js'
import { addFreePlan, carrying, carryingKeys, dataKeysFor } from '../support/carrying.js'
import { makeEarlierPlatform } from '../support/earlier-platform.js'

const database = useDatabase()

beforeAll(() => addFreePlan(database.admin))

/** An earlier platform that is carried and closed. */
async function swapped(schema: string) {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema, isLarge: false })
  const before = await rowsOf(session, schema)
  const steps = carrying(session, schema)
  await steps.expand()
  await steps.backfill()
  await steps.prove()
  await steps.swap()
  return { session, before, ...steps }
}

const secretsOf = (session: Session, schema: string) =>
  session.query<{ secret: string | null; updated: string }>(
    `select database_password as secret, updated_at::text as updated from ${schema}.projects
     union all select unnest(array[anon_key, service_role_key, jwt_secret]), updated_at::text from ${schema}.credentials order by 1, 2`,
  )

test('contract leaves no secret in clear, changes no other column, and the way back writes each one again', async () => {
  const { session, before, contract, down } = await swapped('emptied')
  const full = await secretsOf(session, 'emptied')
  await contract()
  const empty = await secretsOf(session, 'emptied')
  expect(empty.filter(({ secret }) => secret?.startsWith('sealed ') !== true)).toEqual([])
  expect(empty.map(({ updated }) => updated).toSorted()).toEqual(full.map(({ updated }) => updated).toSorted())
  const texts = full.map(({ secret }) => secret ?? '')
  for (const table of ['projects', 'credentials']) {
    const rows = await session.query<{ text: string }>(`select t::text as text from platform.${table} t`)
    expect(rows.filter(({ text }) => texts.some((secret) => text.includes(secret)))).toEqual([])
  }
  await contract()
  expect(await down()).toBe('contract')
  expect(await rowsOf(session, 'emptied')).toEqual(before)
})

test('a column that takes null is emptied to null, and one that was null stays so', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'nulls', isLarge: false })
  await session.query('alter table nulls.credentials alter jwt_secret drop not null')
  await session.query(
    'update nulls.credentials set jwt_secret = null where id = (select id from nulls.credentials order by id limit 1)',
  )
  const before = await rowsOf(session, 'nulls')
  const { expand, backfill, prove, swap, contract, downAll } = carrying(session, 'nulls')
  await expand()
  await backfill()
  await prove()
  await swap()
  await contract()
  const [row] = await session.query(
    'select count(*)::int as rows, count(jwt_secret)::int as clear from nulls.credentials',
  )
  expect(row).toEqual({ rows: 12, clear: 0 })
  await downAll()
  expect(await rowsOf(session, 'nulls')).toEqual(before)
})

test('a secret that does not open stops the emptying', async () => {
  const { session, before, contract } = await swapped('forged')
  await session.query(
    `update platform.credentials c set anon_key = o.anon_key from platform.credentials o
     where c.project_id = (select id from forged.projects order by ref limit 1) and o.project_id = (select id from forged.projects order by ref desc limit 1)`,
  )
  await expect(contract()).rejects.toThrow('a secret of credentials does not open, so nothing was emptied')
  expect(await rowsOf(session, 'forged')).toEqual(before)
})

test('the proof finds a secret that opens to another text than the one in clear', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'differing', isLarge: false })
  const { expand, backfill, prove } = carrying(session, 'differing')
  await expand()
  await backfill()
  const [project] = await session.query<{ id: string; org: string }>(
    'select id, organization_id as org from differing.projects order by ref limit 1',
  )
  const tenancy = await openTenancy({ url: database.appUrl, keys: carryingKeys })
  try {
    await tenancy
      .forOrg(project?.org ?? '')
      .projects.credentials.rotate(project?.id ?? '', { jwtSecret: 'another one' })
  } finally {
    await tenancy.close()
  }
  const { isProved, tables } = await prove()
  expect(isProved).toBe(false)
  expect(tables.filter(({ secrets }) => secrets > 0)).toMatchObject([{ name: 'credentials', secrets: 1, rows: 12 }])
})

test('with other keys nothing is sealed, emptied or written in clear', async () => {
  const { session, contract, before } = await swapped('keyed')
  const stranger = carrying(session, 'keyed', dataKeysFor(`test:${Buffer.alloc(32, 9).toString('base64')}`))
  await expect(stranger.contract()).rejects.toThrow('does not open, so nothing was emptied')
  expect(await rowsOf(session, 'keyed')).toEqual(before)
  await contract()
  const emptied = await rowsOf(session, 'keyed')
  await expect(stranger.down()).rejects.toThrow('set TENANTRY_KEYS to the keys that it was sealed with')
  expect(await rowsOf(session, 'keyed')).toEqual(emptied)

  await makeEarlierPlatform(session, { schema: 'later', isLarge: false })
  const other = carrying(session, 'later', dataKeysFor(`test:${Buffer.alloc(32, 9).toString('base64')}`))
  await other.expand()
  await expect(other.backfill()).rejects.toThrow('TENANTRY_KEYS')
})
