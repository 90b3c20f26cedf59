import { join, resolve } from 'node:path'
import { MigrationError } from '../../core/errors.js'
import { type AddCommand, asOwner, usageOf } from '../command.js'
import { withBar } from '../progress.js'
import { decisionsFile } from './adopt-analyse.js'
import { assertDirectory, withFolder } from './adopt-folder.js'

export const addPlan: AddCommand = (program, run) =>
  program.command(
    'plan',
    'Writes the steps that bring the tables under organizations',
    (command) =>
      withFolder(command)
        .usage(
          usageOf(
            'adopt plan',
            `Analyses the schema of ${decisionsFile} again, and writes the steps into a folder: for each an .sql file, and a .down.sql`,
            'file that undoes it. Changes nothing in the database. Read the files; you may change them until they are applied. Refused',
            'while something is undecided or has to be mended, and once the first step is taken.',
          ),
        )
        .option('schema', {
          type: 'string',
          requiresArg: true,
          default: 'public',
          describe: 'The schema of the tables',
        })
        .option('dry-run', { type: 'boolean', default: false, describe: 'Print the statements, and write no file' })
        .example('$0 adopt plan', 'writes adopt/0000_expand.sql and the others'),
    run(async (args, context) => {
      const { plan, stepNames } = await import('../../adoption/plan.js')
      const { adoptionSet, writePlan } = await import('../../adoption/plan-folder.js')
      const { readDecisions } = await import('../../adoption/decisions.js')
      const { refusePlanInUse } = await import('../../adoption/run-step.js')
      assertDirectory(context, args)
      const given = await readDecisions(resolve(context.cwd, decisionsFile), args.schema)
      if (given === undefined)
        throw new MigrationError(`there is no ${decisionsFile} in this folder: run tenantry adopt analyse first`)
      const folder = resolve(context.cwd, args.folder)
      const made = await asOwner(context, args, async (session) => {
        await refusePlanInUse(session, adoptionSet(args.schema, folder))
        return withBar(context.console, 'reading tables', (onProgress) => plan(session, given, onProgress))
      })
      const files = args.dryRun ? [] : await writePlan(folder, made)
      const statements = stepNames.flatMap((name) => [`-- ${name}`, ...made.steps[name].up.map((text) => `${text};`)])
      return {
        lines: args.dryRun
          ? statements
          : [
              ...files.filter((file) => file.endsWith('.sql')).map((file) => `Written: ${join(args.folder, file)}`),
              'Read them, then: tenantry adopt verify --before, and tenantry adopt expand',
            ],
        document: { files, steps: made.steps, backfill: made.backfill },
      }
    }),
  )
