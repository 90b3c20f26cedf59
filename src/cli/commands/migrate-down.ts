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
            'unless --yes is given.',
            whenRefused,
          ),
        )
        .option('all', { type: 'boolean', describe: 'Undo all migrations', conflicts: 'to' })
        .option('yes', { type: 'boolean', default: false, describe: 'Do not ask', alias: 'y' })
        .example('$0 migrate down', 'undo the last migration')
        .example('$0 migrate down --set own --to 0', 'all of your own but the first')
        .example('$0 migrate down --all --yes', 'undo everything, without the question'),
    run(async (args, context) => {
      const { migrateDown, previewDown } = await import('../../migrations/migrator.js')
      const { console } = context
      const project = await context.project()
      const sets = chooseSets(project, args)
      const target = { all: args.all === true, ...(args.to !== undefined && { to: args.to }) }
      const steps = await asOwner(context, args, async (session) => {
        const found = { project, cwd: context.cwd }
        await requireEverySet(session, found)
        const due = await previewDown(session, sets, target)
        if (due.length > 0 && !args.yes) {
          const named = due.map(({ set, tag }) => `${set} ${tag}`).join(', ')
          const what = `This undoes ${named} and drops what they created, tables with all rows.`
          if (!console.interactive) throw new MigrationError(`${what} Nothing was done: repeat it with --yes`)
          if (!(await console.confirm(`${what} Go on?`))) throw new MigrationError('Nothing was done')
        }
        return withProgress(console, (progress) =>
          withEverySet(session, found, progress, () => migrateDown(session, sets, { ...progress, ...target })),
        )
      })
      return {
        lines: [steps.length === 0 ? 'There was nothing to undo.' : `Migrations undone: ${steps.length}.`],
        document: { undone: steps.map(({ set, tag }) => ({ set, tag })) },
      }
    }),
  )
