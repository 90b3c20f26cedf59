import { existsSync } from 'node:fs'
import { relative } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { checkTables, type Finding, rules } from '../checks/check-tables.js'
import { platformTables } from '../schema/tables.js'
import { type AddCommand, usageOf } from './command.js'
import { type OwnProject, readDrizzleConfig } from './config-file.js'
import { exit } from './report.js'

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
      if (args.rules) {
        return { lines: rules.map(({ name, reason }) => `${name}: ${reason}`), document: { rules } }
      }
      const { own, tables } = await context.project()
      const findings = [...checkTables(platformTables), ...(own === undefined ? [] : await checkOwn(own))]
      return {
        lines:
          findings.length === 0
            ? [`${tables.length} tables are sound.`]
            : findings.map(({ rule, message }) => `${rule}: ${message}`),
        document: { tables: tables.length, findings },
        exit: findings.length === 0 ? exit.fine : exit.findings,
      }
    }),
  )

async function checkOwn(own: OwnProject): Promise<Finding[]> {
  const { definitions, exceptRules } = own
  return [
    ...checkTables(definitions, { except: exceptRules }),
    ...(await checkDrizzleConfig(own)),
    ...(await checkGenerated(own)),
  ]
}

/** Otherwise drizzle-kit would write or apply something else than this does. */
async function checkDrizzleConfig({ file, drizzleConfig, set }: OwnProject): Promise<Finding[]> {
  if (!existsSync(drizzleConfig)) return []
  const { folder, bookkeeping } = await readDrizzleConfig(drizzleConfig)
  const differs = (what: string, theirs: string, ours: string) => ({
    rule: 'drizzle-config',
    table: '',
    message: `${drizzleConfig} has ${what} ${theirs}, and ${file} has ${ours}. Make them the same.`,
  })
  return [
    ...(folder === set.folder ? [] : [differs('out', folder, set.folder)]),
    ...(isDeepStrictEqual(bookkeeping, set.bookkeeping)
      ? []
      : [differs('migrations', JSON.stringify(bookkeeping), JSON.stringify(set.bookkeeping))]),
  ]
}

async function checkGenerated({ definitions, set: { folder } }: OwnProject): Promise<Finding[]> {
  // Only what generates migrations has drizzle-kit; the server that runs them does not.
  const { ungeneratedChanges } = await import('../migrations/definitions.js')
  return (await ungeneratedChanges(definitions, folder)).map((change) => ({
    rule: 'generated',
    table: '',
    message: `${change}. Run \`tenantry migrate new --name ...\`; the folder is ${relative(process.cwd(), folder)}.`,
  }))
}
