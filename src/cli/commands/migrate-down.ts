import type { Step } from '../../migrations/migrator.js'
import type { RemovedPermissions } from '../../migrations/bring-own-permissions.js'
import { MigrationError } from '../../core/errors.js'
import { type AddCommand, asOwner, connecting, usageOf, whenRefused } from '../command.js'
import { chooseSets, requireEverySet, targeted, withEverySet } from '../migration-sets.js'
import { withProgress } from '../progress.js'

export const addDown: AddCommand = (program, run) =>
  program.command(
    'down',
    'Undoes migrations, the last one first',
    (command) =>
      targeted(connecting(command), 'Stop at this migration, which stays applied; given by its number or its name')
        .usage(
          usageOf(
            'migrate down',
            'Undoes the last migration, or as many as you ask for: yours before those of the library. What a',
            'migration created is dropped with all its rows, so the command asks first; without a terminal it is refused',
            'unless --yes is given. When none of your migrations is left, the permissions of your config are removed',
            'too, from every role.',
            whenRefused,
          ),
        )
        .option('all', { type: 'boolean', describe: 'Undo all migrations', conflicts: 'to' })
        .option('yes', { type: 'boolean', default: false, describe: 'Do not ask', alias: 'y' })
        .example('$0 migrate down', 'undo the last migration')
        .example('$0 migrate down --set own --to 0', 'all of your own but the first')
        .example('$0 migrate down --all --yes', 'undo everything, without the question'),
    run(async (args, context) => {
      const { downgrade, previewDowngrade } = await import('../../migrations/downgrade.js')
      const { console } = context
      const project = await context.project()
      const { permissions } = project
      const installed = { sets: chooseSets(project, args), permissions }
      const target = { all: args.all === true, ...(args.to !== undefined && { to: args.to }) }
      const { steps, permissions: removed } = await asOwner(context, args, async (session) => {
        const found = { project, cwd: context.cwd }
        await requireEverySet(session, found)
        const due = await previewDowngrade(session, installed, target)
        if (due.steps.length + due.permissions.length > 0 && !args.yes) {
          const what = [...undoing(due.steps), ...removing(due.permissions)].join(' ')
          if (!console.interactive) throw new MigrationError(`${what} Nothing was done: repeat it with --yes`)
          if (!(await console.confirm(`${what} Go on?`))) throw new MigrationError('Nothing was done')
        }
        return withProgress(console, (progress) =>
          withEverySet(session, found, progress, () => downgrade(session, installed, { ...progress, ...target })),
        )
      })
      return {
        lines: [
          steps.length === 0 ? 'There was nothing to undo.' : `Migrations undone: ${steps.length}.`,
          ...removedLines(removed),
        ],
        document: {
          undone: steps.map(({ set, tag }) => ({ set, tag })),
          removedPermissions: removed.keys,
          rolesThatLost: removed.roles,
        },
      }
    }),
  )

const undoing = (steps: readonly Step[]): string[] => {
  const named = steps.map(({ set, tag }) => `${set} ${tag}`).join(', ')
  return steps.length === 0 ? [] : [`This undoes ${named} and drops what they created, tables with all rows.`]
}

const removing = (keys: readonly string[]): string[] =>
  keys.length === 0 ? [] : [`This removes the permissions ${keys.join(', ')} from every role.`]

const maxShown = 20

/** The built-in roles are not listed: they lose what the config gave them. */
export function removedLines({ keys, roles }: RemovedPermissions): string[] {
  if (keys.length === 0) return []
  const losing = roles.map(({ organization, role, lost }) => `  ${role} of ${organization}: ${lost.join(', ')}`)
  return [
    `Permissions removed: ${keys.join(', ')}.`,
    ...(losing.length === 0 ? [] : [`Roles of the organizations' own that lost them: ${losing.length}`]),
    ...losing.slice(0, maxShown),
    ...(losing.length > maxShown ? [`  and ${losing.length - maxShown} more: --json lists all of them`] : []),
  ]
}
