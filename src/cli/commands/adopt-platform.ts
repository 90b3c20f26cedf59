import type { Argv } from 'yargs'
import type { PlatformAnalysis } from '../../adoption/carrying/analyse-platform.js'
import type { CarriedRows } from '../../adoption/carrying/carry.js'
import type { Finding } from '../../adoption/findings.js'
import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import { type AddCommand, asOwner, connecting, type Context, type GlobalOptions, usageOf } from '../command.js'
import { withBar } from '../progress.js'
import { counted, exit, type Report } from '../report.js'
import { assertDirectory } from './adopt-folder.js'
import { contractReport, previewReport, proofReport } from './adopt-platform-reports.js'

export const addPlatform: AddCommand = (program, run) =>
  program.command('platform', 'Carries the tables of an earlier platform into those of tenantry', (group) =>
    [addAnalyse, addMove, addExpand, addBackfill, addProve, addSwap, addContract, addStatus, addDown]
      .reduce((all, add) => add(all, run), group)
      .demandCommand(1, 'Name a command, such as analyse; tenantry adopt platform --help lists them in their order'),
  )

const keysEnvironment = '  TENANTRY_KEYS       the master keys of the application, under which secrets are sealed'

/** The options of each of these commands. */
const onSchema = <Args extends GlobalOptions>(
  command: Argv<Args>,
  name: string,
  sentences: readonly string[],
  usesKeys = false,
) =>
  connecting(command)
    .usage(usageOf(`adopt platform ${name}`, ...sentences))
    .option('schema', {
      type: 'string',
      requiresArg: true,
      default: 'platform',
      describe: 'The schema in which the earlier tables are, or were before the move',
    })
    .epilogue(usesKeys ? keysEnvironment : '')

const leaveOption = {
  type: 'string',
  array: true,
  requiresArg: true,
  default: [] as string[],
  describe: 'Leave the rows of this table behind that tenantry refuses; may be repeated',
} as const

const addAnalyse: AddCommand = (group, run) =>
  group.command(
    'analyse',
    'Finds what has a place in tenantry, and what stays',
    (command) =>
      onSchema(command, 'analyse', [
        'Reads the tables of an earlier platform, changes nothing, and tells where their rows go: which secrets are sealed, which columns',
        'and tables stay where they are, and which rows tenantry would refuse. Ends with 3 while there are such rows, unless their table',
        'is named with --leave.',
      ])
        .option('leave', leaveOption)
        .example('$0 adopt platform analyse', 'the tables in the schema platform')
        .example('$0 adopt platform analyse --schema public', 'organizations, projects, addons … of another schema'),
    run(async (args, context) => {
      const { analysePlatform } = await import('../../adoption/carrying/analyse-platform.js')
      assertDirectory(context, args)
      const analysis = await asOwner(context, args, (session) => analysePlatform(session, args.schema, args.leave))
      return {
        lines: analysisLines(analysis),
        document: analysis,
        exit: analysis.findings.some(({ needs }) => needs === 'mend') ? exit.findings : exit.fine,
      }
    }),
  )

function analysisLines({ tables, findings }: PlatformAnalysis): string[] {
  const those = (needs: Finding['needs'], title: string) => {
    const found = findings.filter((finding) => finding.needs === needs)
    return found.length === 0 ? [] : ['', title, ...found.map(findingLine)]
  }
  return [
    ...unrepeated(tables).map(({ table, to, rows, sealed, staying }) =>
      [
        `${table}  ${counted(rows, 'row')} to ${to}`,
        ...(sealed.length === 0 ? [] : [`sealed: ${sealed.join(', ')}`]),
        ...(staying.length === 0 ? [] : [`staying: ${staying.join(', ')}`]),
      ].join('; '),
    ),
    ...those('mend', 'To mend in the earlier tables, or to leave there with --leave:'),
    ...those('attention', 'To know:'),
  ]
}

/** A table may be carried into one of ours twice. */
const unrepeated = (tables: PlatformAnalysis['tables']) =>
  tables.filter((one, place) => tables.findIndex(({ table, to }) => table === one.table && to === one.to) === place)

const findingLine = ({ message, rows }: Finding): string =>
  rows === undefined
    ? `- ${message}`
    : `- ${message} (${counted(rows.count, 'row')}${rows.sample.length === 0 ? '' : `: ${rows.sample.join(', ')}`})`

const dryRunOption = { type: 'boolean', default: false, describe: 'Print the statements, and run none' } as const

const addMove: AddCommand = (group, run) =>
  group.command(
    'move',
    'Gives the earlier tables the schema platform_before',
    (command) =>
      onSchema(command, 'move', [
        'Renames the schema platform to platform_before, in a moment and without touching a row, because the tables of tenantry need its name.',
        'Functions of which the text names the schema are made again with the new name. Your application has to name platform_before',
        'from then on. Only for tables in the schema platform.',
      ])
        .option('dry-run', dryRunOption)
        .example('$0 adopt platform move', 'afterwards: tenantry migrate up'),
    run(async (args, context) => {
      const { takeMove } = await import('../../adoption/carrying/platform-steps.js')
      assertDirectory(context, args)
      return asOwner(context, args, async (session) => {
        const statements = await takeMove(session, args.schema, { isDry: args.dryRun })
        if (args.dryRun) return dryRun(statements)
        return taken(
          'move',
          'The application has to name platform_before from now on. Then: tenantry migrate up, tenantry seed, and tenantry adopt platform expand',
        )
      })
    }),
  )

const dryRun = (statements: readonly string[]): Report => ({
  lines: statements.map((text) => `${text};`),
  document: { applied: [], statements },
})

const taken = (name: string, next: string): Report => ({ lines: [next], document: { applied: [name] } })

const addExpand: AddCommand = (group, run) =>
  group.command(
    'expand',
    'Notes what is written from here on',
    (command) =>
      onSchema(command, 'expand', [
        'Gives each earlier table a trigger that notes the keys of the rows that are written, so that they are carried again: the application',
        'works as before. Refused while rows have no place in tenantry, unless their table is named with --leave. Run again, it only adds to',
        'these tables.',
      ])
        .option('leave', leaveOption)
        .option('dry-run', dryRunOption)
        .example('$0 adopt platform expand --leave usage_metrics', 'usage that is not of one day stays'),
    run(async (args, context) => {
      const { takeExpand } = await import('../../adoption/carrying/platform-steps.js')
      assertDirectory(context, args)
      return asOwner(context, args, async (session) => {
        const { statements, wasTaken } = await takeExpand(session, args.schema, args.leave, { isDry: args.dryRun })
        if (args.dryRun) return dryRun(statements)
        if (wasTaken)
          return {
            lines: [
              statements.length === 0
                ? 'expand was taken before.'
                : `expand was taken before. Rows of ${args.leave.join(', ')} may stay from now on.`,
            ],
            document: { applied: [] },
          }
        return taken('expand', 'Then: tenantry adopt platform backfill')
      })
    }),
  )

const addBackfill: AddCommand = (group, run) =>
  group.command(
    'backfill',
    'Carries the rows, and seals their secrets',
    (command) =>
      onSchema(
        command,
        'backfill',
        [
          'Carries each row into the table of tenantry, in small batches by the order of the keys, gives each organization its built-in roles and',
          'a key, and seals secrets under it. Then it carries what was written meanwhile. Stop it at any moment: the command without --again',
          'goes on there.',
        ],
        true,
      )
        .option('again', { type: 'boolean', default: false, describe: 'Go over all rows once more' })
        .example('$0 adopt platform backfill', 'after adopt platform expand'),
    run(async (args, context) => {
      const { takeBackfill } = await import('../../adoption/carrying/platform-steps.js')
      assertDirectory(context, args)
      const keys = await dataKeysOfCommand(context)
      const result = await asOwner(context, args, (session) =>
        context.stoppable((signal) =>
          withBar(context.console, 'carrying rows', (onProgress) =>
            takeBackfill(session, args.schema, keys, {
              again: args.again,
              signal,
              ...(onProgress !== undefined && { onProgress }),
            }),
          ),
        ),
      )
      return {
        lines: [
          ...result.tables.flatMap(carriedLines),
          result.isComplete
            ? 'Then: tenantry adopt platform prove'
            : 'It was stopped: tenantry adopt platform backfill, without --again, goes on.',
        ],
        document: result,
      }
    }),
  )

const carriedLines = ({ name, rows, left }: CarriedRows): string[] => [
  `${name}  ${counted(rows, 'row')}`,
  ...left.map((one) => `  rows that stay, since they ${one.reason}: ${one.rows}`),
]

async function dataKeysOfCommand({ cwd, env }: Context): Promise<DataKeys> {
  const { dataKeysOf } = await import('../../encryption/data-keys.js')
  const { keyringProvider, lateProvider } = await import('../../encryption/key-providers.js')
  const { neededKeyring } = await import('../../encryption/keyring.js')
  // Some steps need none.
  return dataKeysOf(lateProvider(() => keyringProvider(neededKeyring(cwd, env))))
}

const addProve: AddCommand = (group, run) =>
  group.command(
    'prove',
    'Compares every row and every secret',
    (command) =>
      onSchema(
        command,
        'prove',
        [
          'Carries what was written meanwhile, compares each row of tenantry with the earlier one, and opens each sealed secret and compares',
          'it with the one in clear. Ends with 3 while a row is missing or differs, or stays without being named with --leave.',
        ],
        true,
      ).example('$0 adopt platform prove', 'after adopt platform backfill'),
    run(async (args, context) => {
      const { takeProve } = await import('../../adoption/carrying/platform-steps.js')
      assertDirectory(context, args)
      const keys = await dataKeysOfCommand(context)
      const proof = await asOwner(context, args, (session) =>
        withBar(context.console, 'comparing rows', (onProgress) => takeProve(session, args.schema, keys, onProgress)),
      )
      return proofReport(
        proof,
        'Then: tenantry adopt platform swap',
        'Not proved. Mend the rows in the earlier tables, or leave their table: tenantry adopt platform expand --leave …; then run tenantry adopt platform backfill --again',
      )
    }),
  )

const addSwap: AddCommand = (group, run) =>
  group.command(
    'swap',
    'Closes the earlier tables: from here on tenantry has the rows',
    (command) =>
      onSchema(
        command,
        'swap',
        [
          'Waits for running transactions that write, carries their last rows, and closes the earlier tables: they are read as before, and a',
          'write is refused with SQLSTATE 55000. Then it compares everything once more, and opens the tables again where something differs.',
          'Switch the application over right afterwards.',
        ],
        true,
      ).example('$0 adopt platform swap', 'after adopt platform prove'),
    run(async (args, context) => {
      const { takeSwap } = await import('../../adoption/carrying/swap.js')
      assertDirectory(context, args)
      const keys = await dataKeysOfCommand(context)
      const proof = await asOwner(context, args, (session) =>
        withBar(context.console, 'comparing rows', (onProgress) => takeSwap(session, args.schema, keys, onProgress)),
      )
      return proofReport(
        proof,
        'The rows are in tenantry: switch the application to it now. Once it has worked for a while: tenantry adopt platform contract',
        'Not proved, so the earlier tables are open again. Mend the rows above, then run tenantry adopt platform backfill --again, and prove',
      )
    }),
  )

const addContract: AddCommand = (group, run) =>
  group.command(
    'contract',
    'Empties the secrets in clear',
    (command) =>
      onSchema(
        command,
        'contract',
        [
          'Opens every sealed secret, and then empties those in clear, which the swap has found equal; then writes the tables anew, for which',
          'readers wait, so that their files do not hold the secrets. Write-ahead logs and backups of before do: change the secrets that matter.',
          'The earlier tables stay until you drop them.',
        ],
        true,
      ).example('$0 adopt platform contract', 'once the application has worked with tenantry for a while'),
    run(async (args, context) => {
      const { takeContract } = await import('../../adoption/carrying/platform-steps.js')
      assertDirectory(context, args)
      const keys = await dataKeysOfCommand(context)
      return contractReport(await asOwner(context, args, (session) => takeContract(session, args.schema, keys)))
    }),
  )

const addStatus: AddCommand = (group, run) =>
  group.command(
    'status',
    'Shows which steps are taken',
    (command) =>
      onSchema(command, 'status', ['Shows which steps are taken, and how far the rows are carried. Changes nothing.']),
    run(async (args, context) => {
      const { platformStatus } = await import('../../adoption/carrying/platform-status.js')
      assertDirectory(context, args)
      const status = await asOwner(context, args, (session) => platformStatus(session, args.schema))
      return {
        lines: [
          ...status.steps.map(({ name, state }) => `${name}  ${state}`),
          ...status.tables.flatMap(carriedLines),
          ...(status.waiting === 0 ? [] : [`${counted(status.waiting, 'write')} to be carried`]),
        ],
        document: status,
      }
    }),
  )

const addDown: AddCommand = (group, run) =>
  group.command(
    'down',
    'Undoes the last step',
    (command) =>
      onSchema(
        command,
        'down',
        [
          'Undoes the last step. The earlier tables are as they were, and the secrets that tenantry still has are written in clear again. Undoing the',
          'swap is refused, with numbers, where rows of the carried organizations were written in tenantry since. Undoing expand deletes these',
          'organizations from tenantry.',
        ],
        true,
      )
        .option('dry-run', {
          type: 'boolean',
          default: false,
          describe: 'Tell which step would be undone and what prevents it, and undo nothing',
        })
        .option('yes', { type: 'boolean', default: false, describe: 'Do not ask', alias: 'y' })
        .example('$0 adopt platform down --yes', 'undo the last step'),
    run(async (args, context) => {
      const { lastStep, previewUndo, undoLast } = await import('../../adoption/carrying/undo-steps.js')
      assertDirectory(context, args)
      if (args.dryRun) {
        const keys = await dataKeysOfCommand(context)
        return previewReport(await asOwner(context, args, (session) => previewUndo(session, args.schema, keys)))
      }
      const undone = await asOwner(context, args, async (session) => {
        const last = await lastStep(session, args.schema)
        if (last !== undefined && !args.yes) {
          const what = `This undoes ${last}${last === 'expand' ? ', and deletes the carried organizations from tenantry' : ''}.`
          if (!context.console.interactive) throw new MigrationError(`${what} Nothing was done: repeat it with --yes`)
          if (!(await context.console.confirm(`${what} Go on?`))) throw new MigrationError('Nothing was done')
        }
        return undoLast(session, args.schema, await dataKeysOfCommand(context), last)
      })
      return {
        lines: [undone === undefined ? 'There was nothing to undo.' : `Undone: ${undone}.`],
        document: { undone: undone === undefined ? [] : [undone] },
      }
    }),
  )
