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
import { formerPermissions, removeOwnPermissions, type RemovedPermissions } from './own-permissions.js'
import type { MigrateOptions } from './progress.js'

/** The migrations to undo, and the host's permissions, which are removed with the last of the host's migrations. */
export interface Installed {
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
  installed: Installed,
  options: MigrateOptions & DownTarget = {},
): Promise<Downgraded> {
  return withMigrationLock(session, options, async () => {
    const steps = await migrateDown(session, installed.sets, options)
    const keys = await leavingWith(session, installed, 0)
    return { steps, permissions: await removeOwnPermissions(session, keys, options) }
  })
}

/** What `downgrade` would undo, and the permissions that it would remove. Writes nothing. */
export async function previewDowngrade(
  session: Session,
  installed: Installed,
  target: DownTarget,
): Promise<{ readonly steps: readonly Step[]; readonly permissions: readonly string[] }> {
  const steps = await previewDown(session, installed.sets, target)
  const ofOwn = steps.filter(({ set }) => set !== platformMigrations.name).length
  return { steps, permissions: await leavingWith(session, installed, ofOwn) }
}

/** The host's permissions in the database, if so many of its migrations are applied. */
async function leavingWith(
  session: Session,
  { sets, permissions = [] }: Installed,
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
