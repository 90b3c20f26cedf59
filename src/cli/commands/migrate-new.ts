import { InvalidInputError } from '../../core/errors.js'
import { type AddCommand, usageOf } from '../command.js'
import { withDrizzleKit } from '../drizzle-kit.js'

export const addNew: AddCommand = (program, run) =>
  program.command(
    'new',
    'Generates a migration from your tables, and drafts its down file',
    (command) =>
      command
        .usage(
          usageOf(
            'migrate new --name add_orders',
            'Has drizzle-kit compare your table definitions with the last migration and write the next one, and',
            'drafts its .down.sql. Read both: the draft does not cover what you write into the up file by hand.',
            '`migrate up` applies the migration in any case; `migrate down` and `migrate verify` refuse a draft',
            'until you delete its first line. On a terminal the command asks about renames; without one it refuses',
            'them. Needs drizzle-kit and your drizzle.config.ts, and no database.',
          ),
        )
        .option('name', { type: 'string', requiresArg: true, demandOption: true, describe: 'What it does: add_orders' })
        .example('$0 migrate new --name add_orders', 'after a change of your tables'),
    run(async ({ name }, context) => {
      const { findUpwards, loadDefinitions, minimalDrizzleConfig, readDrizzleConfig } =
        await import('../config-file.js')
      const { own } = await context.project()
      const config = own?.drizzleConfig ?? findUpwards(context.cwd, 'drizzle.config')
      if (config === undefined)
        throw new InvalidInputError(
          'drizzle.config.ts',
          `is neither in this folder nor above it. ${minimalDrizzleConfig}`,
        )
      const { schema, folder } = await readDrizzleConfig(config)
      const { newMigration } = await withDrizzleKit(() => import('../../migrations/generation/new-migration.js'))
      const definitions = own?.definitions ?? (await loadDefinitions(schema))
      const generated = await newMigration({ name, config, folder, definitions: { ...definitions } })
      if (generated === undefined) {
        return { lines: ['The tables have not changed: there is nothing to migrate.'], document: { generated: null } }
      }
      const { checkTables } = await import('../../lint/check-tables.js')
      const findings = checkTables({ ...definitions }, { except: own?.exceptRules ?? [] }).map(
        ({ rule, message }) => `${rule}: ${message}`,
      )
      return {
        lines: [
          `up:    ${generated.up}`,
          `down:  ${generated.down}`,
          'Read both, then delete the first line of the down file.',
          ...(findings.length === 0
            ? []
            : [
                'Mend what `tenantry check` finds; where that changes the tables, a further `migrate new` writes the change:',
                ...findings,
              ]),
        ],
        document: { generated, findings },
      }
    }),
  )
