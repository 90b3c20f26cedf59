import { isCluster } from '../src/database/cluster.js'
import { openSession } from '../src/database/session.js'
import { distribute } from '../src/migrations/distribute.js'
import { platformMigrations } from '../src/migrations/migrator.js'
import { upgrade } from '../src/migrations/upgrade.js'
import { platformTables } from '../src/schema/tables.js'

/** Migrates a test database to the state that this build needs. */
export async function migratePlatform(adminUrl: string): Promise<void> {
  const session = await openSession({ url: adminUrl })
  await upgrade(session, { sets: [platformMigrations], tables: platformTables }, { exclusiveDatabase: true })
  if (await isCluster(session)) await distribute(session, platformTables)
  await session.close()
}
