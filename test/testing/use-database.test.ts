import { afterAll, expect, test } from 'vitest'
import { UnavailableError } from '../../src/core/errors.js'
import { openSession } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'

// Registered before the hooks of useDatabase, so that it runs after them.
afterAll(async () => {
  await expect(database.admin.query('select 1')).rejects.toThrow()
})

const database = useDatabase()
let early: unknown
try {
  early = database.appUrl
} catch (error) {
  early = error
}

test('its urls cannot be read while the file loads', () => {
  expect(early).toBeInstanceOf(UnavailableError)
})

test('the application connects as a member of its one role, and as nothing more', async () => {
  expect(await rolesOf(database.appUrl)).toEqual({ super: false, reached: ['tenantry_app'] })
  expect(await rolesOf(database.systemUrl)).toEqual({ super: false, reached: ['tenantry_system'] })
})

test('all urls lead to the same database, and admin is its owner', async () => {
  const of = async (url: string) => {
    const session = await openSession({ url })
    const [row] = await session.query<{ name: string }>('select current_database() as name')
    await session.close()
    return row?.name
  }
  const [own] = await database.admin.query<{ name: string; owner: boolean }>(
    'select datname as name, pg_has_role(datdba, $1) as owner from pg_database where datname = current_database()',
    ['usage'],
  )
  expect(own?.owner).toBe(true)
  expect(await of(database.appUrl)).toBe(own?.name)
  expect(await of(database.systemUrl)).toBe(own?.name)
  expect(await of(database.adminUrl)).toBe(own?.name)
})

async function rolesOf(url: string): Promise<unknown> {
  const session = await openSession({ url })
  const [row] = await session.query(`
    select rolsuper as super, array(
      select rolname::text from pg_roles where pg_has_role(current_user, oid, 'member') and rolname <> current_user order by 1
    ) as reached
    from pg_roles where rolname = current_user`)
  await session.close()
  return row
}
