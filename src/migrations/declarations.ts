import type { PgTable } from 'drizzle-orm/pg-core'
import type { OwnPermission } from '../access/own-permissions.js'
import type { Declarations } from '../access/rights.js'
import type { SqlFunction } from '../access/sql-function.js'
import { manifestOf } from '../access/manifest.js'
import { readFolder } from './folder.js'
import type { MigrationSet } from './migrator.js'

/**
 * The tables, functions and permissions that a database must have for this build, from the table definitions and the migration
 * folders. Bootstrap and the proofs use them.
 */
export async function declarationsOf(
  tables: readonly PgTable[],
  sets: readonly MigrationSet[],
  permissions: readonly OwnPermission[] = [],
  functions?: readonly SqlFunction[],
): Promise<Declarations> {
  const migrations = await Promise.all(
    sets.map(async ({ folder, bookkeeping }) => ({
      ...bookkeeping,
      known: (await readFolder(folder)).map(({ tag, when, hash }) => ({ name: tag, when, hash })),
    })),
  )
  return { ...manifestOf(tables, functions), migrations, permissions: permissions.map(({ key }) => key) }
}
