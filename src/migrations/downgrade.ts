import type { OwnPermission } from '../access/own-permissions.js'
import { withContext } from '../database/session-failure.js'
import { withMigrationLock } from '../database/session-lock.js'
import type { Session } from '../database/session.js'
import { readApplied } from './bookkeeping.js'
import { holdsPermissions } from './inventory-view.js'
import {
  type DownTarget,
  migrateDown,
  type MigrationSet,
  platformMigrations,
  previewDown,
  type Step,
} from './migrator.js'
import { formerPermissions, removeOwnPermissions, type RemovedPermissions } from './bring-own-permissions.js'
import type { MigrateOptions } from './progress.js'

/** The migrations to undo, and the host's permissions, which are removed when none of the host's migrations is left. */
export interface DowngradeTarget {
  readonly sets: readonly MigrationSet[]
  readonly permissions?: readonly OwnPermission[]
}

export interface Downgraded {
  readonly steps: readonly Step[]
  readonly permissions: RemovedPermissions
}

/** Undoes migrations. When none of the host's is left, its permissions are removed too. */
export function downgrade(
  session: Session,
  from: DowngradeTarget,
  options: MigrateOptions & DownTarget = {},
): Promise<Downgraded> {
  return withMigrationLock(session, options, async () => {
    const steps = await migrateDown(session, from.sets, options)
    const keys = await permissionsToRemove(session, from, 0)
    return { steps, permissions: await removeOwnPermissions(session, keys, options) }
  })
}

/** What `downgrade` would undo, and the permissions that it would remove. Writes nothing. */
export async function previewDowngrade(
  session: Session,
  from: DowngradeTarget,
  target: DownTarget,
): Promise<{ readonly steps: readonly Step[]; readonly permissions: readonly string[] }> {
  const steps = await previewDown(session, from.sets, target)
  const ofOwn = steps.filter(({ set }) => set !== platformMigrations.name).length
  return { steps, permissions: await permissionsToRemove(session, from, ofOwn) }
}

/** The host's permissions in the database; none while more than `applied` of its migrations are applied. */
async function permissionsToRemove(
  session: Session,
  { sets, permissions = [] }: DowngradeTarget,
  applied: number,
): Promise<string[]> {
  const own = sets.find(({ name }) => name !== platformMigrations.name)
  if (own === undefined || !(await holdsPermissions(session))) return []
  const context = withContext(session, own.name)
  if ((await readApplied(context, own.bookkeeping)).length > applied) return []
  const keys = [...permissions.map(({ key }) => key), ...(await formerPermissions(session, own, permissions))]
  const rows = await context.query<{ key: string }>(
    'select key from platform.permissions where key = any($1::text[]) order by key',
    [keys],
  )
  return rows.map(({ key }) => key)
}
