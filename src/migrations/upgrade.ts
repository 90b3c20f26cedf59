import type { PgTable } from 'drizzle-orm/pg-core'
import type { Session } from '../database/session.js'
import { type Bootstrapped, bootstrapGrants, bootstrapRoles, type BootstrapOptions } from '../access/bootstrap.js'
import { closedExtensions } from '../access/extensions.js'
import { declarationsOf } from './declarations.js'
import { withMigrationLock } from '../database/session-lock.js'
import { type MigrationSet, migrateUp, type Step, type UpTarget } from './migrator.js'
import { bringPermissions } from '../access/permissions.js'
import type { MigrateOptions } from './progress.js'
import { requireRoles } from '../access/roles.js'

export interface UpgradeOptions extends MigrateOptions, UpTarget, BootstrapOptions {
  readonly onProgress?: NonNullable<MigrateOptions['onProgress']>
  /** Which of the sets are applied. Default: all. Rights are set on everything that is there. */
  readonly only?: readonly MigrationSet[]
}

export interface Upgraded {
  readonly steps: readonly Step[]
  readonly bootstrap: Bootstrapped
  /** The permissions that are new to the database. */
  readonly permissions: readonly string[]
}

/** Everything that a database needs to serve this build: roles, the migrations of each set, rights, permissions. */
export function upgrade(
  session: Session,
  { sets, tables }: { readonly sets: readonly MigrationSet[]; readonly tables: readonly PgTable[] },
  options: UpgradeOptions = {},
): Promise<Upgraded> {
  return withMigrationLock(session, options, async () => {
    const roles = await bootstrapRoles(session, options)
    await requireRoles(session)
    const steps = await migrateUp(session, options.only ?? sets, options)
    const grants = await bootstrapGrants(session, await declarationsOf(tables, sets), options)
    return {
      steps,
      bootstrap: {
        done: [...roles.done, ...grants.done],
        remaining: [...roles.remaining, ...grants.remaining],
        advised: roles.advised,
        // Again: one of the migrations may have made an extension.
        extensions: await closedExtensions(session),
      },
      permissions: (await holdsPermissions(session)) ? await bringPermissions(session) : [],
    }
  })
}

/** Not yet, when the run went only to an early migration. */
async function holdsPermissions(session: Session): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>(
    `select pg_catalog.to_regclass('platform.role_permissions') is not null as found`,
  )
  return row?.found === true
}
