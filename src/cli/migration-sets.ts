import type { Argv } from 'yargs'
import { InvalidInputError } from '../core/errors.js'
import type { MigrationSet } from '../migrations/migrator.js'
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
  const chosen = sets.filter(({ name }) => name === set)
  if (chosen.length === 0) throw new InvalidInputError('--set', `must be ${names}`)
  return chosen
}
