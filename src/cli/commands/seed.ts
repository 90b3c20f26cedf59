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
            'Inserts the rows that are missing from the catalogs, all of them or none. An existing row is never',
            'changed, so your prices and flags stay as they are, and another run changes nothing.',
            whenRefused,
          ),
        )
        .example('$0 seed', 'after the first `migrate up`'),
    run(async (args, context) => {
      const { seed } = await import('../../migrations/seed.js')
      const project = await context.project()
      const seeded = await asOwner(context, args, async (session) => {
        await requireEverySet(session, { project, cwd: context.cwd })
        return seed(session, args.embedded)
      })
      return {
        lines: seeded.map(({ table, inserted, kept }) =>
          inserted.length === 0
            ? `${table}: nothing is missing`
            : `${table}: inserted ${inserted.join(', ')}${kept === 0 ? '' : `; ${kept} existed`}`,
        ),
        document: { catalogs: seeded },
      }
    }),
  )
