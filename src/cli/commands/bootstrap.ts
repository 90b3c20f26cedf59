import type { Bootstrapped } from '../../access/bootstrap.js'
import type { CarriedOut } from '../../access/carry-out.js'
import { type AddCommand, asOwner, connecting, usageOf, whenRefused } from '../command.js'
import { withEverySet } from '../migration-sets.js'
import { withProgress } from '../progress.js'
import { exit, type ExitCode } from '../report.js'

export const addBootstrap: AddCommand = (program, run) =>
  program.command(
    'bootstrap',
    'Creates the two roles and sets their rights',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'bootstrap',
            'Creates tenantry_app and tenantry_system, revokes what a database grants to PUBLIC, and grants',
            'both roles exactly the declared rights on the tables that exist. It is a part of `migrate up`; run',
            'it alone after a change of rights, or on a further database of the same server. To create the roles, the login',
            'needs CREATEROLE (`alter role <owner> createrole`, by a superuser) the first time on a server. Statements that it',
            'may not run are printed, and the command ends with 3. Running it again changes nothing. It also prints the grants',
            'for extensions with functions that the application may not execute; that is not a fault.',
            whenRefused,
          ),
        )
        .option('exclusive-database', {
          type: 'boolean',
          default: false,
          describe: 'The database is used by nothing else: also forbid temporary tables',
        })
        .example('$0 bootstrap', 'roles and rights')
        .example('$0 bootstrap --exclusive-database', 'the same, and no temporary tables'),
    run(async (args, context) => {
      const { bootstrap } = await import('../../access/bootstrap.js')
      const { declarationsOf } = await import('../../migrations/declarations.js')
      const { requireNothingNewer } = await import('../../migrations/migrator.js')
      const project = await context.project()
      const { tables, sets } = project
      const declarations = await declarationsOf(tables, sets)
      const done = await asOwner(context, args, (session) =>
        withProgress(context.console, (progress) =>
          withEverySet(session, { project, cwd: context.cwd }, progress, async () => {
            await requireNothingNewer(session, sets)
            return bootstrap(session, declarations, { ...progress, exclusiveDatabase: args.exclusiveDatabase })
          }),
        ),
      )
      return {
        lines: [
          ...(done.done.length + done.remaining.length === 0 ? ['Roles and rights are as declared.'] : []),
          ...(done.done.length === 0 ? [] : ['Done:', ...done.done.map((sql) => `  ${sql};`)]),
          ...bootstrapLines(done),
        ],
        document: done,
        exit: exitOf(done),
      }
    }),
  )

/** The statements that another role has to run. */
export const bootstrapLines = (bootstrapped: Bootstrapped): string[] => [
  ...remainingLines(bootstrapped),
  ...block(
    'Advised: otherwise SQL text in org.db can call set_config, and so switch to another organization, or create large objects, which ' +
      'every organization can read. Only a superuser may run it. If you have none, run no SQL text that you do not trust:',
    bootstrapped.advised,
  ),
  ...bootstrapped.extensions.flatMap(({ extension, grants }) =>
    block(
      `The application may not execute the functions of ${extension}. If it calls them, run as their owner:`,
      grants,
    ),
  ),
]

export const remainingLines = ({ remaining }: CarriedOut): string[] =>
  block(
    'These statements are needed, but the role that ran this command may not run them. Run them as a role that may:',
    remaining,
  )

export const block = (title: string, statements: readonly string[]): string[] =>
  statements.length === 0 ? [] : ['', title, ...statements.map((sql) => `  ${sql};`)]

export const exitOf = ({ remaining }: CarriedOut): ExitCode => (remaining.length === 0 ? exit.fine : exit.findings)
