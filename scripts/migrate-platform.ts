import { openSession } from '../src/database/session.js'
import { platformMigrations } from '../src/migrations/migrator.js'
import { upgrade } from '../src/migrations/upgrade.js'
import { platformTables } from '../src/schema/tables.js'

/** Everything that this build needs of a database, in one that belongs to the tests. */
export async function migratePlatform(adminUrl: string): Promise<void> {
  const session = await openSession({ url: adminUrl })
  await upgrade(session, { sets: [platformMigrations], tables: platformTables }, { exclusiveDatabase: true })
  await session.close()
}
