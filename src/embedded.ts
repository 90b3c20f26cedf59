import type { Executor } from './core/executor.js'
import { openEmbedded } from './database/embedded.js'
import { openPGlite } from './database/pglite.js'
import { sessionOf } from './database/session.js'
import type { Declared } from './declared.js'
import { upgrade } from './migrations/upgrade.js'

/** The embedded database, migrated to the state that this build needs, under the application's role. */
export async function openEmbeddedDatabase(place: true | string, declared: Declared, debug = false): Promise<Executor> {
  const database = await openPGlite(place)
  try {
    await upgrade(sessionOf(database), declared)
    return await openEmbedded(database, { lookup: declared.lookup, debug })
  } catch (error) {
    await database.close()
    throw error
  }
}
