import type { Argv } from 'yargs'
import { InvalidInputError, MigrationError } from '../core/errors.js'
import type { LockOptions } from '../database/session-lock.js'
import type { Session } from '../database/session.js'
import type { MigrationSet } from '../migrations/migrator.js'
import type { StrayedSet } from '../migrations/strayed-sets.js'
import type { Context } from './command.js'
import type { Project } from './config-file.js'

/** The options of commands that work on some of the migrations. */
export const targeted = <Args>(command: Argv<Args>, describe: string) =>
  command.option('to', { type: 'string', requiresArg: true, describe }).option('set', {
    type: 'string',
    requiresArg: true,
    describe: 'Only these migrations: tenantry (or platform) for those of the library, own for yours',
  })

/** The sets that the arguments name: one where a migration is named, otherwise all. */
export function chooseSets(
  { sets, own }: Project,
  { set, to }: { readonly set: string | undefined; readonly to: string | undefined },
): readonly MigrationSet[] {
  const names = sets.map(({ name }) => name).join(' or ')
  if (set === undefined) {
    if (to === undefined || sets.length === 1) return sets
    throw new InvalidInputError('--to', `needs --set, ${names}: each set has its own migrations`)
  }
  const wanted = isPlatform(set) ? platform : set
  const chosen = sets.filter(({ name }) => name === wanted)
  if (chosen.length > 0) return chosen
  const missing = own === undefined && set === 'own' ? ': no tenantry.config.ts was found, pass it with --config' : ''
  throw new InvalidInputError('--set', `must be ${names}${missing}`)
}

const platform = 'tenantry'

/** Whether `--set` names the library's migrations: by their name, or by the schema of their tables. */
const isPlatform = (set: string | undefined): boolean => set === platform || set === 'platform'

/** Where a command looked for migrations, and what it found. */
export type Found = Pick<Context, 'cwd'> & { readonly project: Project }

/** Throws when migrations are applied that this project does not have: the command would not know their tables. */
export async function requireEverySet(session: Session, found: Found, also = ''): Promise<void> {
  const strayed = await strayedWarnings(session, found)
  if (strayed.length > 0) throw new MigrationError([...strayed, `Nothing was done. ${otherConfig}${also}`].join('\n'))
}

/** Checks under the lock of the migrator: another run may just be applying a set's first migration. */
export async function withEverySet<T>(
  session: Session,
  found: Found,
  options: LockOptions,
  work: () => Promise<T>,
): Promise<T> {
  const { withMigrationLock } = await import('../database/session-lock.js')
  return withMigrationLock(session, options, async () => {
    await requireEverySet(session, found)
    return work()
  })
}

/** The project to migrate. When sets are missing from it, it is the library's part only, and only if `--set` names that. */
export async function projectToMigrate(session: Session, found: Found, set: string | undefined): Promise<Project> {
  if (!isPlatform(set)) {
    await requireEverySet(
      session,
      found,
      `. The library's migrations alone can be applied here: migrate up --set ${platform}`,
    )
    return found.project
  }
  const isWhole = (await strayedWarnings(session, found)).length === 0
  const { platformProject } = await import('./config-file.js')
  return isWhole ? found.project : platformProject
}

/** The mend for sets that are missing from the config. */
export const otherConfig =
  'Run this in the folder of the tenantry.config.ts that names them, or pass that file with --config'

/** One sentence for each set that has applied migrations and is missing from this project. */
export async function strayedWarnings(session: Session, { project, cwd }: Found): Promise<string[]> {
  const { strayedSets } = await import('../migrations/strayed-sets.js')
  return (await strayedSets(session, project.sets)).map((strayed) => sentence(strayed, project, cwd))
}

function sentence({ name, table, instead }: StrayedSet, { own }: Project, cwd: string): string {
  const applied = `${name}: its migrations are applied to this database (${table}), but`
  if (instead !== undefined) {
    const { folder, edited } = instead
    const who = own === undefined || name === platform ? 'this version of tenantry has' : `${own.file} names`
    const changed = edited.map(
      (file) => `. ${file} was edited after it was applied: restore it if this is the right folder`,
    )
    return `${applied} none of them is in ${folder}, the folder that ${who}${changed.join('')}`
  }
  if (own === undefined) return `${applied} no tenantry.config.ts was found in ${cwd} or above it`
  const { schema, table: records } = own.set.bookkeeping
  return `${applied} ${own.file} does not name them: its own migrations are recorded in ${schema}.${records}`
}
