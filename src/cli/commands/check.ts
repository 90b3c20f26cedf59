import { type AddCommand, usageOf } from '../command.js'
import { exit } from '../report.js'

export const addCheck: AddCommand = (program, run) =>
  program.command(
    'check',
    'Looks for mistakes in table definitions; needs no database',
    (command) =>
      command
        .usage(
          usageOf(
            'check',
            'Holds every table against the conventions that isolation stands on: the organization in front of',
            'every key, row security by the helper, foreign keys that cannot leave the organization. Also tells',
            'when your tables have a change that no migration has, and when drizzle.config.ts and',
            'tenantry.config.ts disagree. Ends with 3 when it finds something.',
          ),
        )
        .option('rules', { type: 'boolean', default: false, describe: 'List the rules with their reasons instead' })
        .example('$0 check', 'your tables and those of the library')
        .example('$0 check --rules', 'what is looked for, and why'),
    run(async (args, context) => {
      const { checkProject, rules } = await import('./check-project.js')
      if (args.rules) {
        return { lines: rules.map(({ name, reason }) => `${name}: ${reason}`), document: { rules } }
      }
      const project = await context.project()
      const findings = await checkProject(project)
      return {
        lines:
          findings.length === 0
            ? [`${project.tables.length} tables are sound.`]
            : findings.map(({ rule, message }) => `${rule}: ${message}`),
        document: { tables: project.tables.length, findings },
        exit: findings.length === 0 ? exit.fine : exit.findings,
      }
    }),
  )
