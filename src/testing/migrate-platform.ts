import { openSession } from '../database/session.js'
import { platformMigrations } from '../migrations/migrator.js'
import { upgrade } from '../migrations/upgrade.js'
import { platformTables } from '../schema/tables.js'

/** Everything that this build needs of a database, in one that belongs to the tests. */
export async function migratePlatform(adminUrl: string): Promise<void> {
  const session = await openSession({ url: adminUrl })
  await upgrade(session, { sets: [platformMigrations], tables: platformTables }, { exclusiveDatabase: true })
  await session.close()
}
