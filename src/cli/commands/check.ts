import { type AddCommand, usageOf } from '../command.js'
import { exit } from '../report.js'

export const addCheck: AddCommand = (program, run) =>
  program.command(
    'check',
    'Checks the table definitions; needs no database',
    (command) =>
      command
        .usage(
          usageOf(
            'check',
            'Checks every table against the conventions that isolation relies on: the organization comes first in',
            'every key, the helper sets row security, foreign keys stay inside the organization. Also reports',
            'changes of your tables that no migration has, and differences between drizzle.config.ts and',
            'tenantry.config.ts. Ends with 3 when it finds something.',
          ),
        )
        .option('rules', {
          type: 'boolean',
          default: false,
          describe: 'List the rules with their reasons, and check nothing',
        })
        .example('$0 check', 'your tables and those of the library')
        .example('$0 check --rules', 'the rules and their reasons'),
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
