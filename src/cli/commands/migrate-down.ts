import { MigrationError } from '../../core/errors.js'
import type { SetStatus } from '../../migrations/migrator.js'
import { type AddCommand, asOwner, connecting, usageOf, whenRefused } from '../command.js'
import { chooseSets, requireEverySet, targeted, withEverySet } from '../migration-sets.js'
import { withProgress } from '../progress.js'

export const addDown: AddCommand = (program, run) =>
  program.command(
    'down',
    'Takes migrations back, the last one first',
    (command) =>
      targeted(connecting(command), 'Stop at this migration, which stays applied; given by its number or its name')
        .usage(
          usageOf(
            'migrate down',
            'Takes back the last migration, or as many as you say: yours before those of the library. What a',
            'migration made goes with all its rows, so a terminal is asked first, and without one nothing happens',
            'unless --yes is given.',
            whenRefused,
          ),
        )
        .option('all', { type: 'boolean', describe: 'Take back everything', conflicts: 'to' })
        .option('yes', { type: 'boolean', default: false, describe: 'Do not ask', alias: 'y' })
        .example('$0 migrate down', 'take back the last migration')
        .example('$0 migrate down --set own --to 0', 'all of your own but the first')
        .example('$0 migrate down --all --yes', 'leave nothing, without being asked'),
    run(async (args, context) => {
      const { migrateDown, migrationStatus } = await import('../../migrations/migrator.js')
      const { console } = context
      const project = await context.project()
      const sets = chooseSets(project, args)
      const all = args.all === true
      const target = { all, ...(args.to !== undefined && { to: args.to }) }
      const steps = await asOwner(context, args, async (session) => {
        const found = { project, cwd: context.cwd }
        await requireEverySet(session, found)
        const due = lastFirst(await migrationStatus(session, sets), { all, to: args.to })
        if (due.length > 0 && !args.yes) {
          const what = `This takes back ${due.join(', ')}, with all rows of the tables that they made.`
          if (!console.interactive) throw new MigrationError(`${what} Nothing was done: repeat it with --yes`)
          if (!(await console.confirm(`${what} Go on?`))) throw new MigrationError('Nothing was done')
        }
        return withProgress(console, (progress) =>
          withEverySet(session, found, progress, () => migrateDown(session, sets, { ...progress, ...target })),
        )
      })
      return {
        lines: [steps.length === 0 ? 'There was nothing to take back.' : `Migrations taken back: ${steps.length}.`],
        document: { takenBack: steps.map(({ set, tag }) => ({ set, tag })) },
      }
    }),
  )

/** What the migrator will take back, for the question. A target that does not exist is for the migrator to refuse. */
function lastFirst(sets: readonly SetStatus[], { all, to }: { all: boolean; to: string | undefined }): string[] {
  const applied = [...sets].reverse().flatMap(({ set, migrations }) => {
    const stays = migrations.findIndex(({ index, tag }) => to !== undefined && (tag === to || index === Number(to)))
    const due = migrations.filter(({ state, index }) => state !== 'pending' && index > stays)
    return due.map(({ tag }) => `${set} ${tag}`).reverse()
  })
  return all || to !== undefined ? applied : applied.slice(0, 1)
}
