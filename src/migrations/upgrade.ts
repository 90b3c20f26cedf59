import type { PgTable } from 'drizzle-orm/pg-core'
import { MigrationError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import { type Bootstrapped, bootstrapGrants, bootstrapRoles, type BootstrapOptions } from '../access/bootstrap.js'
import { closedExtensions } from '../access/extensions.js'
import { entriesOf, setEntry, setKey } from '../access/inventory.js'
import { manifestOf } from '../access/manifest.js'
import { sqlFunctions } from '../access/functions.js'
import type { SqlFunction } from '../access/sql-function.js'
import { prepareBookkeeping, readApplied } from './bookkeeping.js'
import { declarationsOf } from './declarations.js'
import type { DistributedTable } from './distribution-plan.js'
import { startPlacing } from './placing.js'
import { withMigrationLock } from '../database/session-lock.js'
import {
  type MigrationSet,
  migrateUp,
  platformMigrations,
  requireMigratable,
  type Step,
  type UpTarget,
} from './migrator.js'
import { holdsPermissions, recordObjects, refreshInventory } from './inventory-view.js'
import {
  bringOwnPermissions,
  type BroughtPermissions,
  formerPermissions,
  removeOwnPermissions,
  type RemovedPermissions,
} from './bring-own-permissions.js'
import type { OwnPermission } from '../access/own-permissions.js'
import { bringPermissions } from '../access/permissions.js'
import { withContext } from '../database/session-failure.js'
import type { MigrateOptions } from './progress.js'
import { requireRoles } from '../access/roles.js'

export interface UpgradeOptions extends MigrateOptions, UpTarget, BootstrapOptions {
  readonly onProgress?: NonNullable<MigrateOptions['onProgress']>
  /** Also removes the permissions that an earlier config brought and this one does not name. */
  readonly dropPermissions?: boolean
  /** The sets whose migrations are applied; by default all. The rights are set on the tables of every set. */
  readonly only?: readonly MigrationSet[]
}

export interface Upgraded {
  readonly steps: readonly Step[]
  readonly bootstrap: Bootstrapped
  /** The permissions that are new to the database. */
  readonly permissions: readonly string[]
  /** The tables that were placed on the nodes of a cluster, where its tables are distributed. */
  readonly placed: readonly DistributedTable[]
  /** Undefined where the host's config was left out. */
  readonly own?: OwnPermissionsBrought
}

export interface OwnPermissionsBrought extends Pick<BroughtPermissions, 'given' | 'taken'> {
  /** Those that an earlier config brought and this one does not name. They are kept. */
  readonly former: readonly string[]
  readonly removed: RemovedPermissions
}

/** The declarations of a build. */
export interface Build {
  readonly sets: readonly MigrationSet[]
  readonly tables: readonly PgTable[]
  /** The host's permissions. */
  readonly permissions?: readonly OwnPermission[]
  /** Default: the library's. */
  readonly functions?: readonly SqlFunction[]
}

/** Brings a database to the state that this build needs: roles, the migrations of each set, rights, permissions. */
export function upgrade(session: Session, build: Build, options: UpgradeOptions = {}): Promise<Upgraded> {
  const { sets, tables, functions } = build
  const chosen = options.only ?? sets
  return withMigrationLock(session, options, async () => {
    await requireFreeSchema(session)
    const roles = await bootstrapRoles(session, options)
    await requireRoles(session)
    await requireMigratable(session, chosen)
    await recordBrought(session, build, chosen)
    const placing = await startPlacing(session, tables)
    const steps = await migrateUp(session, chosen, { ...options, ...placing.options })
    const placed = await placing.finish()
    const grants = await bootstrapGrants(
      session,
      await declarationsOf(tables, sets, build.permissions, functions),
      options,
    )
    const holds = await holdsPermissions(session)
    const permissions = holds ? await bringPermissions(session) : []
    const brought = holds ? await bringOwn(session, build, chosen, options) : undefined
    // Records what is applied now. Objects that are still missing, because the run stopped at an earlier migration, are left out.
    await refreshInventory(recording(session))
    return {
      steps,
      bootstrap: {
        done: [...roles.done, ...grants.done],
        remaining: [...roles.remaining, ...grants.remaining],
        advised: roles.advised,
        // Read again, because one of the migrations may have created an extension.
        extensions: await closedExtensions(session),
      },
      permissions: [...permissions, ...(brought?.added ?? [])],
      placed,
      ...(brought !== undefined && { own: brought }),
    }
  })
}

/** The first migration creates the schema. */
async function requireFreeSchema(session: Session): Promise<void> {
  if ((await readApplied(session, platformMigrations.bookkeeping)).length > 0) return
  const found = await session.query(`select from pg_catalog.pg_namespace n where n.nspname = 'platform'`)
  if (found.length > 0)
    throw new MigrationError(
      'there is a schema platform that is not that of tenantry: run tenantry adopt platform analyse if it has tables of an earlier platform, drop it if it is empty, and give it another name otherwise',
    )
}

async function bringOwn(
  session: Session,
  { permissions = [] }: Build,
  chosen: readonly MigrationSet[],
  options: UpgradeOptions,
): Promise<(OwnPermissionsBrought & BroughtPermissions) | undefined> {
  const own = chosen.find(({ name }) => name !== platformMigrations.name)
  if (own === undefined) return undefined
  const brought = await bringOwnPermissions(session, own, permissions, options)
  const former = await formerPermissions(session, own, permissions)
  if (options.dropPermissions !== true) return { ...brought, former, removed: { keys: [], roles: [] } }
  return { ...brought, former: [], removed: await removeOwnPermissions(session, former, options) }
}

/** Runs before the migrations, so that an older build never finds an object that is not recorded. */
async function recordBrought(session: Session, build: Build, chosen: readonly MigrationSet[]): Promise<void> {
  const { sets, tables, functions = sqlFunctions } = build
  const platform = setKey(platformMigrations.bookkeeping)
  const own = sets.map(({ bookkeeping }) => setKey(bookkeeping)).find((key) => key !== platform) ?? platform
  const setOf = (schema: string) => (schema === 'platform' ? platform : own)
  const keys = new Set(chosen.map(({ bookkeeping }) => setKey(bookkeeping)))
  const entries = entriesOf(manifestOf(tables, functions), { platform, setOf }).filter(({ set }) => keys.has(set))
  const context = recording(session)
  await prepareBookkeeping(context, platformMigrations.bookkeeping)
  for (const set of chosen) entries.push(await setAsApplied(context, set))
  await recordObjects(context, entries)
}

const setAsApplied = async (session: Session, { name, bookkeeping }: MigrationSet) =>
  setEntry({ name, ...bookkeeping, hashes: (await readApplied(session, bookkeeping)).map(({ hash }) => hash) })

const recording = (session: Session) => withContext(session, 'the record of what migrations brought')
