import { type AddCommand, asOwner, connecting, usageOf, whenRefused } from '../command.js'
import { requireEverySet } from '../migration-sets.js'

export const addSeed: AddCommand = (program, run) =>
  program.command(
    'seed',
    'Fills the catalogs: plans, add-ons, flags, language models, tools',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'seed',
            'Inserts what the catalogs do not have yet, all of it or nothing. A row that is there is never',
            'changed, so prices and flags that you have set stay as they are, and running it again does nothing.',
            whenRefused,
          ),
        )
        .example('$0 seed', 'after the first `migrate up`'),
    run(async (args, context) => {
      const { seed } = await import('../../migrations/seed.js')
      const project = await context.project()
      const seeded = await asOwner(context, args, async (session) => {
        await requireEverySet(session, { project, cwd: context.cwd })
        return seed(session)
      })
      return {
        lines: seeded.map(({ table, inserted, kept }) =>
          inserted.length === 0
            ? `${table}: nothing is absent`
            : `${table}: inserted ${inserted.join(', ')}${kept === 0 ? '' : `; ${kept} were there`}`,
        ),
        document: { catalogs: seeded },
      }
    }),
  )
