import type { SetStatus } from '../../migrations/migrator.js'
import { type AddCommand, asOwner, connecting, usageOf } from '../command.js'
import { otherConfig, strayedWarnings } from '../migration-sets.js'
import { exit } from '../report.js'

export const addStatus: AddCommand = (program, run) =>
  program.command(
    'status',
    'Lists the migrations, applied and pending',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'migrate status',
            'Lists every migration and whether it is applied. Changes nothing and takes no lock. Pending ones',
            'are not a fault here; `migrate verify` makes a deployment stop at them. Ends with 3',
            'when a file was edited, is missing or was reordered after it was applied. Warns when the database has',
            'applied migrations that the nearest tenantry.config.ts does not name.',
          ),
        )
        .example('$0 migrate status', 'what is applied')
        .example('$0 migrate status --json', 'the same as JSON'),
    run(async (args, context) => {
      const { migrationStatus } = await import('../../migrations/migrator.js')
      const project = await context.project()
      const { statuses, warnings } = await asOwner(context, args, async (session) => ({
        statuses: await migrationStatus(session, project.sets),
        warnings: await strayedWarnings(session, { project, cwd: context.cwd }),
      }))
      return {
        lines: [
          ...statuses.flatMap(linesOf),
          ...warnings.map((warning) => `warning: ${warning}`),
          ...(warnings.length === 0 ? [] : [`Commands that write are refused here. ${otherConfig}`]),
        ],
        document: { sets: statuses, warnings },
        exit: statuses.some(({ faults }) => faults.length > 0) ? exit.findings : exit.fine,
      }
    }),
  )

function linesOf({ set, migrations, later, faults }: SetStatus): string[] {
  const pending = migrations.filter(({ state }) => state !== 'applied').length
  return [
    `${set}: ${migrations.length - pending} applied, ${pending} pending`,
    ...migrations.map(({ state, tag }) => `  ${state.padEnd(9)} ${tag}`),
    ...(later === 0 ? [] : [`  ${later} more, known only to a newer build`]),
    ...faults.map((fault) => `  fault: ${fault}`),
  ]
}
