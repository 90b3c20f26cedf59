import { openSession } from '../../src/database/session.js'
import { databaseSetup } from '../../src/testing/vitest.js'

/** The roles that the logins of the tests are members of. */
async function migrate(adminUrl: string): Promise<void> {
  const session = await openSession({ url: adminUrl })
  for (const role of ['tenantry_app', 'tenantry_system']) {
    const found = await session.query('select from pg_roles where rolname = $1', [role])
    if (found.length === 0) await session.query(`create role ${role}`)
  }
  await session.close()
}

export default databaseSetup({ migrate })
