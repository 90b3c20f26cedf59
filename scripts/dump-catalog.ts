// `npm run db:dump`: writes the catalog that the migrations create to drizzle/schema.sql as text. Uses an embedded database.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MigrationError } from '../src/core/errors.js'
import { openSession } from '../src/database/session.js'
import { dumpCatalog } from './catalog/fingerprint.js'
import { downFaults, readFolder } from '../src/migrations/folder.js'
import { platformMigrations } from '../src/migrations/migrator.js'
import { upgrade } from '../src/migrations/upgrade.js'
import { platformTables } from '../src/schema/tables.js'

const faults = downFaults(await readFolder(platformMigrations.folder))
if (faults.length > 0) throw new MigrationError(faults.join('\n'))

const session = await openSession({ embedded: true })
try {
  await upgrade(session, { sets: [platformMigrations], tables: platformTables })
  const file = join(platformMigrations.folder, 'schema.sql')
  await writeFile(file, await dumpCatalog(session, { schemas: ['platform'] }))
  console.log(`written: ${file}`)
} finally {
  await session.close()
}
