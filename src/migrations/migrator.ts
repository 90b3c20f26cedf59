import { fileURLToPath } from 'node:url'
import { MigrationError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import {
  type Bookkeeping,
  type Direction,
  prepareBookkeeping,
  readAppliedIfAllowed,
  readRecords,
} from './bookkeeping.js'
import { withContext } from '../database/session-failure.js'
import { downFaults, type Migration, readFolder } from './folder.js'
import { compare, type History } from './history.js'
import { withMigrationLock } from '../database/session-lock.js'
import type { MigrateOptions } from './progress.js'
import { runScript } from './run-script.js'

/** A folder of migrations and the table that records which of them were applied. */
export interface MigrationSet {
  readonly name: string
  readonly folder: string
  readonly bookkeeping: Bookkeeping
  /** The schemas in which its statements look for names without one. Default: those of the login. */
  readonly searchPath?: string
}

/** The library's own tables. */
export const platformMigrations: MigrationSet = {
  name: 'tenantry',
  folder: fileURLToPath(new URL('../../drizzle', import.meta.url)),
  bookkeeping: { schema: 'platform_migrations', table: 'migrations' },
}

/** The last migration to apply, by its index or tag. */
export interface UpTarget {
  readonly to?: number | string
}

/** The last migration to keep, or everything. Default: only the last migration is undone. */
export interface DownTarget extends UpTarget {
  readonly all?: boolean
}

export interface Step {
  readonly set: string
  readonly tag: string
  readonly direction: Direction
}

export interface SetStatus {
  readonly set: string
  readonly migrations: readonly MigrationStatus[]
  /** The number of applied migrations that only a newer build has. */
  readonly later: number
  /** The faults that prevent applying and undoing. Each names a file. */
  readonly faults: readonly string[]
}

interface MigrationStatus {
  readonly index: number
  readonly tag: string
  /** `half up` and `half down`: a `-- no-transaction` file was interrupted, and the same command finishes it. */
  readonly state: 'applied' | 'pending' | 'half up' | 'half down'
}

/** Applies the pending migrations, set by set, and returns them. Checks every set before it changes the first. */
export function migrateUp(
  session: Session,
  sets: readonly MigrationSet[],
  options: MigrateOptions & UpTarget = {},
): Promise<Step[]> {
  return withMigrationLock(session, options, async () => {
    const steps: Step[] = []
    for (const { set, folder, history } of await histories(session, sets)) {
      if (history.half?.direction === 'down') {
        throw new MigrationError(`${history.half.migration.tag} is half undone; finish it with migrate down first`)
      }
      const target = indexOf(options.to, folder, sets)
      const due = history.pending.filter(({ index }) => index <= (target ?? Infinity))
      if (due.length > 0) await prepareBookkeeping(withContext(session, set.name), set.bookkeeping)
      for (const migration of due) steps.push(await step(session, set, history, migration, 'up', options))
    }
    return steps
  })
}

/**
 * Undoes migrations, the newest first, the sets in reverse order, and returns them. Checks every file that it needs before it runs
 * one.
 */
export function migrateDown(
  session: Session,
  sets: readonly MigrationSet[],
  options: MigrateOptions & DownTarget = {},
): Promise<Step[]> {
  return withMigrationLock(session, options, async () => {
    const due = await dueDown(session, sets, options)
    for (const { set } of due) await prepareBookkeeping(withContext(session, set.name), set.bookkeeping)
    const steps: Step[] = []
    for (const { set, history, migration } of due)
      steps.push(await step(session, set, history, migration, 'down', options))
    return steps
  })
}

/** What migrateDown would undo, in that order. Takes no lock and writes nothing. */
export async function previewDown(
  session: Session,
  sets: readonly MigrationSet[],
  target: DownTarget,
): Promise<Step[]> {
  const due = await dueDown(session, sets, target)
  return due.map(({ set, migration }) => ({ set: set.name, tag: migration.tag, direction: 'down' }))
}

async function dueDown(session: Session, sets: readonly MigrationSet[], { all, to }: DownTarget) {
  const backwards = (await histories(session, sets)).reverse()
  const due = backwards.flatMap(({ set, folder, history }) => {
    if (history.half?.direction === 'up') {
      throw new MigrationError(`${history.half.migration.tag} is half applied; finish it with migrate up first`)
    }
    const target = all ? -1 : indexOf(to, folder, sets)
    const chosen = history.applied.filter(({ index }) => index > (target ?? -1)).reverse()
    return chosen.map((migration) => ({ set, history, migration }))
  })
  if (all !== true && to === undefined) due.splice(1)
  const faults = downFaults(due.map(({ migration }) => migration))
  if (faults.length > 0) throw new MigrationError(faults.join('\n'))
  return due
}

/** Throws when one of the sets must not be changed, because a file is at fault or a newer build has migrated. */
export async function requireMigratable(session: Session, sets: readonly MigrationSet[]): Promise<void> {
  await histories(session, sets)
}

/**
 * Throws when a newer build has migrated. For operations that know only this build's tables and would revoke rights on the others.
 */
export async function requireNothingNewer(session: Session, sets: readonly MigrationSet[]): Promise<void> {
  const faults: string[] = []
  for (const set of sets) {
    const newest = (await readFolder(set.folder)).at(-1)?.when ?? -Infinity
    const applied = (await readAppliedIfAllowed(withContext(session, set.name), set.bookkeeping)) ?? []
    const later = applied.filter(({ when }) => when > newest)
    faults.push(...newerFaults(set, { later }, 'use that build'))
  }
  if (faults.length > 0) throw new MigrationError(faults.join('\n'))
}

/** The applied and the pending migrations. Takes no lock and writes nothing. */
export async function migrationStatus(session: Session, sets: readonly MigrationSet[]): Promise<SetStatus[]> {
  const statuses: SetStatus[] = []
  for (const set of sets) statuses.push(statusOf(await readHistory(session, set)))
  return statuses
}
/**
 * Every fault in the folders, such as an irreversible migration, and every difference between them and the database. Empty when
 * there is none. Migrations of a newer build are not a fault.
 */
export async function verifyMigrations(session: Session, sets: readonly MigrationSet[]): Promise<string[]> {
  const faults: string[] = []
  for (const set of sets) {
    try {
      const { folder, history } = await readHistory(session, set)
      const half =
        history.half &&
        `${history.half.migration.tag} was interrupted after statement ${history.half.statements}: run migrate again`
      faults.push(
        ...downFaults(folder),
        ...history.faults,
        ...(half === undefined ? [] : [half]),
        ...pendingFaults(set, folder, history),
      )
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error
      faults.push(...error.message.split('\n'))
    }
  }
  return faults
}

/** One line for a set of which nothing is applied. */
function pendingFaults(set: MigrationSet, folder: readonly Migration[], { pending }: History): string[] {
  if (pending.length > 1 && pending.length === folder.length) {
    return [`${set.name}: none of the ${pending.length} migrations is applied: run npx tenantry migrate up`]
  }
  return pending.map(({ up }) => `${set.name}: ${up.file} is not applied: run npx tenantry migrate up`)
}

function statusOf({ set, folder, history }: SetHistory): SetStatus {
  const applied = new Set(history.applied)
  const state = (migration: Migration) => {
    if (history.half?.migration === migration) return `half ${history.half.direction}` as const
    return applied.has(migration) ? 'applied' : 'pending'
  }
  return {
    set: set.name,
    migrations: folder.map((migration) => ({ index: migration.index, tag: migration.tag, state: state(migration) })),
    later: history.later.length,
    faults: history.faults,
  }
}

async function step(
  session: Session,
  set: MigrationSet,
  history: History,
  migration: Migration,
  direction: Direction,
  options: MigrateOptions,
): Promise<Step> {
  const script = migration[direction]
  if (script === undefined) throw new MigrationError(`${migration.tag} has no ${direction} file`)
  const from = history.half?.migration === migration ? history.half.statements : 0
  const { name, bookkeeping, searchPath } = set
  await runScript({ session, set: name, bookkeeping, searchPath, migration, direction, script, from, options })
  return { set: set.name, tag: migration.tag, direction }
}

interface SetHistory {
  readonly set: MigrationSet
  readonly folder: readonly Migration[]
  readonly history: History
}

async function readHistory(session: Session, set: MigrationSet): Promise<SetHistory> {
  const folder = await readFolder(set.folder)
  return { set, folder, history: compare(folder, await readRecords(withContext(session, set.name), set.bookkeeping)) }
}

/** Called under the lock. Throws when one of the sets must not be changed. */
async function histories(session: Session, sets: readonly MigrationSet[]): Promise<SetHistory[]> {
  refuseSharedTables(sets)
  const read: SetHistory[] = []
  for (const set of sets) read.push(await readHistory(session, set))
  const faults = read.flatMap(({ set, history }) => [
    ...history.faults,
    ...newerFaults(set, history, 'use that build to migrate'),
  ])
  if (faults.length > 0) throw new MigrationError(faults.join('\n'))
  return read
}

const newerFaults = ({ name }: MigrationSet, { later }: Pick<History, 'later'>, what: string): string[] =>
  later.length === 0 ? [] : [`${name}: the database has ${later.length} migration(s) of a newer build; ${what}`]

function refuseSharedTables(sets: readonly MigrationSet[]): void {
  const seen = new Map([['drizzle.__drizzle_migrations', "the host application's own drizzle migrations"]])
  for (const { name, bookkeeping } of sets) {
    const table = `${bookkeeping.schema}.${bookkeeping.table}`
    const other = seen.get(table)
    if (other !== undefined) {
      throw new MigrationError(`${name}: ${table} belongs to ${other}; give ${name} a bookkeeping table of its own`)
    }
    seen.set(table, name)
  }
}

function indexOf(
  to: number | string | undefined,
  folder: readonly Migration[],
  sets: readonly MigrationSet[],
): number | undefined {
  if (to === undefined) return undefined
  if (sets.length !== 1)
    throw new MigrationError('there are several sets of migrations: say to which one the target belongs')
  const found = folder.find(({ index, tag }) => tag === to || (/^\d+$/.test(String(to)) && index === Number(to)))
  if (found === undefined) throw new MigrationError(`there is no migration ${to}`)
  return found.index
}
