import type { Argv } from 'yargs'
import { InvalidInputError, MigrationError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import type { MigrationSet } from '../migrations/migrator.js'
import type { StrayedSet } from '../migrations/strayed-sets.js'
import type { Project } from './config-file.js'

/** For commands that can be told which migrations to work on. */
export const targeted = <Args>(command: Argv<Args>, describe: string) =>
  command.option('to', { type: 'string', requiresArg: true, describe }).option('set', {
    type: 'string',
    requiresArg: true,
    describe: 'Only these migrations: tenantry, or own for yours',
  })

/** The sets that the arguments mean: one where a migration is named, else all. */
export function chooseSets(
  { sets }: Project,
  { set, to }: { readonly set: string | undefined; readonly to: string | undefined },
): readonly MigrationSet[] {
  const names = sets.map(({ name }) => name).join(' or ')
  if (set === undefined) {
    if (to === undefined || sets.length === 1) return sets
    throw new InvalidInputError('--to', `needs --set, ${names}: each has migrations of its own`)
  }
  const wanted = isPlatform(set) ? platform : set
  const chosen = sets.filter(({ name }) => name === wanted)
  if (chosen.length === 0) throw new InvalidInputError('--set', `must be ${names}`)
  return chosen
}

const platform = 'tenantry'

/** Whether only the library's migrations are meant: by their name, or by that of the schema of their tables. */
export const isPlatform = (set: string | undefined): boolean => set === platform || set === 'platform'

/** Throws when migrations are applied that this project does not have: what is run here would not know their tables. */
export async function requireEverySet(session: Session, project: Project, cwd: string, instead = ''): Promise<void> {
  const strayed = await strayedWarnings(session, project, cwd)
  if (strayed.length === 0) return
  const mend = 'Run this in the folder of the tenantry.config.ts that has them, or name that file with --config'
  throw new MigrationError([...strayed, `${mend}${instead}`].join('\n'))
}

/** What is applied and not in this project, a sentence each. */
export async function strayedWarnings(session: Session, project: Project, cwd: string): Promise<string[]> {
  const { strayedSets } = await import('../migrations/strayed-sets.js')
  return (await strayedSets(session, project.sets)).map(sentenceIn(project, cwd))
}

const sentenceIn =
  ({ own }: Project, cwd: string) =>
  ({ name, table, folder }: StrayedSet): string => {
    if (folder !== undefined) {
      return `${name}: ${folder} has none of the migrations that are applied to this database (${table})`
    }
    const where =
      own === undefined ? `no tenantry.config.ts was found from ${cwd} upwards` : `${own.file} does not have them`
    return `${name}: its migrations are applied to this database (${table}), and ${where}`
  }
