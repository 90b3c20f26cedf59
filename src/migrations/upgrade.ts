import type { PgTable } from 'drizzle-orm/pg-core'
import type { Session } from '../database/session.js'
import { type Bootstrapped, bootstrapGrants, bootstrapRoles, type BootstrapOptions } from '../access/bootstrap.js'
import { closedExtensions } from '../access/extensions.js'
import { entriesOf, type InventoryEntry, setKey } from '../access/inventory.js'
import { manifestOf } from '../access/manifest.js'
import { type SqlFunction, sqlFunctions } from '../access/functions.js'
import { prepareBookkeeping } from './bookkeeping.js'
import { declarationsOf } from './declarations.js'
import { withMigrationLock } from '../database/session-lock.js'
import {
  type MigrationSet,
  migrateUp,
  platformMigrations,
  requireMigratable,
  type Step,
  type UpTarget,
} from './migrator.js'
import { record, recordTakenBack } from './recorded.js'
import { bringPermissions } from '../access/permissions.js'
import { withContext } from '../database/session-failure.js'
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

/** What a build knows of the database. */
export interface Build {
  readonly sets: readonly MigrationSet[]
  readonly tables: readonly PgTable[]
  /** Default: the library's. */
  readonly functions?: readonly SqlFunction[]
}

/** Everything that a database needs to serve this build: roles, the migrations of each set, rights, permissions. */
export function upgrade(session: Session, build: Build, options: UpgradeOptions = {}): Promise<Upgraded> {
  const { sets, tables, functions } = build
  const chosen = options.only ?? sets
  return withMigrationLock(session, options, async () => {
    const roles = await bootstrapRoles(session, options)
    await requireRoles(session)
    await requireMigratable(session, chosen)
    await recordBrought(session, build, chosen)
    const steps = await migrateUp(session, chosen, options)
    // What was recorded and is still missing, because the run went only to an earlier migration.
    await recordTakenBack(withContext(session, 'the record of what migrations brought'))
    const grants = await bootstrapGrants(session, await declarationsOf(tables, sets, functions), options)
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

/** Before the migrations, so that there is no moment in which an older build finds what is recorded nowhere. */
async function recordBrought(session: Session, build: Build, chosen: readonly MigrationSet[]): Promise<void> {
  const { sets, tables, functions = sqlFunctions } = build
  const platform = setKey(platformMigrations.bookkeeping)
  const own = sets.map(({ bookkeeping }) => setKey(bookkeeping)).find((key) => key !== platform) ?? platform
  const setOf = (schema: string) => (schema === 'platform' ? platform : own)
  const keys = new Set(chosen.map(({ bookkeeping }) => setKey(bookkeeping)))
  const entries = entriesOf(manifestOf(tables, functions), { platform, setOf }).filter(({ set }) => keys.has(set))
  const context = withContext(session, 'the record of what migrations brought')
  await prepareBookkeeping(context, platformMigrations.bookkeeping)
  await record(context, [...chosen.map(setEntry), ...entries])
}

function setEntry({ name, bookkeeping }: MigrationSet): InventoryEntry {
  const key = setKey(bookkeeping)
  return { set: key, what: 'set', name: key, facts: { name, ...bookkeeping } }
}
