import { hash } from 'node:crypto'
import type { PGlite } from '@electric-sql/pglite'
import { proveStartup } from './access/startup-proof.js'
import { UnsafeRoleError } from './core/errors.js'
import type { Executor } from './core/executor.js'
import { openEmbedded } from './database/embedded.js'
import type { Contents } from './database/pglite-image.js'
import { openPGlite } from './database/pglite.js'
import { type Session, sessionOf } from './database/session.js'
import { type Declared, declare } from './declared.js'
import { upgrade } from './migrations/upgrade.js'

/**
 * The embedded database, migrated to the state that this build needs, under the application's role. `prepare` runs as the
 * owner, after the migrations and before the application's role is taken.
 */
export async function openEmbeddedDatabase(
  place: true | string,
  declared: Declared,
  debug = false,
  prepare?: (owner: Session) => Promise<unknown>,
): Promise<Executor> {
  const database = await openMigrated(place, declared)
  try {
    const session = sessionOf(database)
    await prepare?.(session)
    const executor = await openEmbedded(database, { lookup: declared.lookup, debug })
    if (declared.sets.length > 1) await assertMigrated(session, declared)
    return executor
  } catch (error) {
    await database.close()
    throw error
  }
}

const unmigrated = ['a table is missing', 'a column is missing']

/** Throws UnsafeRoleError for a definition of the host's that no migration has. Nothing else is proved: there is one role, and no server. */
async function assertMigrated(session: Session, { declarations }: Declared): Promise<void> {
  const { faults } = await proveStartup(session, declarations, { role: 'tenantry_app', isCluster: false })
  const missing = faults.filter(({ fault }) => unmigrated.includes(fault))
  if (missing.length > 0) throw new UnsafeRoleError(missing)
}

/** The same under the role of its owner. */
export async function openMigrated(place: true | string, declared: Declared): Promise<PGlite> {
  const database = await openPGlite(place, await migrated())
  try {
    await upgrade(sessionOf(database), declared)
    return database
  } catch (error) {
    await database.close()
    throw error
  }
}

/** A database with the library's tables, which takes longer to migrate than to load. The host's own are added afterwards. */
async function migrated(): Promise<Contents> {
  const library = await declare(undefined)
  return {
    name: `migrated-${hash('sha256', JSON.stringify(library.declarations)).slice(0, 16)}`,
    async prepare(database) {
      await upgrade(sessionOf(database), library)
    },
  }
}
