import { exitOf, remainingLines } from './bootstrap.js'
import { type AddCommand, asOwner, connecting, usageOf, whenRefused } from '../command.js'
import { withEverySet } from '../migration-sets.js'
import { withProgress } from '../progress.js'
import { exit } from '../report.js'

export const addPartitions: AddCommand = (program, run) =>
  program.command('partitions', 'Creates and drops the monthly partitions', (group) =>
    [addEnsure, addDrop].reduce((all, add) => add(all, run), group).demandCommand(1, 'Name a command: ensure or drop'),
  )

const tableOption = {
  type: 'string',
  requiresArg: true,
  describe: 'Only this table, such as audit_logs',
} as const

const addEnsure: AddCommand = (program, run) =>
  program.command(
    'ensure',
    'Creates the partitions of the coming months',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'partitions ensure --months 3',
            'Creates the partition of this month and of the months after it, and any missing month since the oldest.',
            'Rows without a partition wait in the default one, and are moved in the same transaction. Only the',
            'owner has rights on a partition, and each has the row security of its table; rights on existing ones',
            'are revoked. Run it daily: it changes nothing when nothing is missing.',
            whenRefused,
          ),
        )
        .option('months', {
          type: 'number',
          requiresArg: true,
          default: 3,
          describe: 'The number of months after this one',
        })
        .option('table', tableOption)
        .example('$0 partitions ensure --months 3', 'for every partitioned table'),
    run(async (args, context) => {
      const { ensurePartitions, partitionedTables } = await import('../../migrations/partitions.js')
      const project = await context.project()
      const tables = partitionedTables(project.tables, args.table)
      const { made, closed } = await asOwner(context, args, (session) =>
        withProgress(context.console, (progress) =>
          withEverySet(session, { project, cwd: context.cwd }, progress, () =>
            ensurePartitions(session, tables, { ...progress, months: args.months }),
          ),
        ),
      )
      return {
        lines: [
          ...(made.length === 0 ? ['No partition is missing.'] : []),
          ...made.map(
            ({ partition, moved }) => `${partition} created${moved === 0 ? '' : `, ${moved} rows moved into it`}`,
          ),
          ...closed.done.map((sql) => `${sql};`),
          ...remainingLines(closed),
        ],
        document: { made, closed },
        exit: exitOf(closed),
      }
    }),
  )

const addDrop: AddCommand = (program, run) =>
  program.command(
    'drop',
    'Drops whole months with their rows',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'partitions drop --before 2026-01',
            'Drops the partitions of all months before the given one, with their rows. A month of the',
            'audit log stays until all its entries are sealed; the command then names it and ends with 3.',
            'Rows in the default partition stay, whatever their month.',
            whenRefused,
          ),
        )
        .option('before', {
          type: 'string',
          requiresArg: true,
          demandOption: true,
          describe: 'The first month to keep',
        })
        .option('table', tableOption)
        .example('$0 partitions drop --before 2026-01 --table project_metrics', 'the metrics of the years before 2026'),
    run(async (args, context) => {
      const { dropPartitions, partitionedTables } = await import('../../migrations/partitions.js')
      const project = await context.project()
      const tables = partitionedTables(project.tables, args.table)
      const { dropped, kept } = await asOwner(context, args, (session) =>
        withProgress(context.console, (progress) =>
          withEverySet(session, { project, cwd: context.cwd }, progress, () =>
            dropPartitions(session, tables, { ...progress, before: args.before }),
          ),
        ),
      )
      return {
        lines: [
          ...dropped.map(({ partition }) => `${partition} dropped`),
          ...kept.map(({ partition, reason }) => `${partition} stays: ${reason}`),
          ...(dropped.length + kept.length === 0 ? [`No partition is older than ${args.before}.`] : []),
        ],
        document: { dropped, kept },
        exit: kept.length === 0 ? exit.fine : exit.findings,
      }
    }),
  )
