import { type AddCommand, asOwner, connecting, usageOf } from '../command.js'
import { strayedWarnings } from '../migration-sets.js'
import { exit } from '../report.js'

export const addVerify: AddCommand = (program, run) =>
  program.command(
    'verify',
    'Ends with 3 unless every migration is sound and applied',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'migrate verify',
            'Tells a deployment whether it may go on: every applied file is unchanged, no migration is pending, missing,',
            'out of order or half done, and each has a down file that is no longer a draft. Migrations of a newer build are',
            'not a fault; applied migrations that the nearest tenantry.config.ts does not name are one, and so are permissions',
            'of the config that the database lacks or gives to other built-in roles.',
          ),
        )
        .example('$0 migrate verify', 'refuse to deploy onto a database that is behind'),
    run(async (args, context) => {
      const { verifyMigrations } = await import('../../migrations/migrator.js')
      const { permissionFaults } = await import('../../migrations/bring-own-permissions.js')
      const project = await context.project()
      const { own } = project
      const faults = await asOwner(context, args, async (session) => {
        const found = [
          ...(await strayedWarnings(session, { project, cwd: context.cwd })),
          ...(await verifyMigrations(session, project.sets)),
        ]
        // A run of `migrate up` that mends these brings the permissions too.
        if (found.length > 0 || own === undefined) return found
        return permissionFaults(session, own.set, own.permissions)
      })
      return {
        lines: faults.length === 0 ? ['Every migration is sound and applied.'] : faults,
        document: { faults },
        exit: faults.length === 0 ? exit.fine : exit.findings,
      }
    }),
  )
