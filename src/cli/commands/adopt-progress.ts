import type { FilledTable } from '../../adoption/backfill.js'
import { MigrationError } from '../../core/errors.js'
import { type AddCommand, asOwner, usageOf } from '../command.js'
import { withBar, withProgress } from '../progress.js'
import { counted } from '../report.js'
import { assertDirectory, lockTimeoutOption, readPlanOf, withFolder } from './adopt-folder.js'

export const addBackfill: AddCommand = (program, run) =>
  program.command(
    'backfill',
    'Gives every row its organization',
    (command) =>
      withFolder(command)
        .usage(
          usageOf(
            'adopt backfill',
            'Fills `org_id` in the order of the primary keys. The size of a batch is chosen so that it takes about a tenth of a second, and',
            'each is committed with the key that it ended at: stop it at any moment, and the command without --again goes on there.',
            'It waits while somebody waits for a lock on the table, and while a replica is behind. Triggers on updates stay silent; for',
            'those the login needs the right `set on parameter session_replication_role`. Rows that no way reaches are counted; `adopt prove`',
            'refuses them unless your decisions put them aside.',
          ),
        )
        .option('again', {
          type: 'boolean',
          default: false,
          describe: 'Go over all rows once more, such as after rows were moved to another parent',
        })
        .example('$0 adopt backfill', 'after adopt expand'),
    run(async (args, context) => {
      const { fillRows } = await import('../../adoption/run-step.js')
      assertDirectory(context, args)
      const plan = await readPlanOf(context, args.folder)
      const { tables, isComplete } = await asOwner(context, args, (session) =>
        context.stoppable((signal) =>
          withBar(context.console, 'filling rows', (onProgress) =>
            fillRows(session, plan, { again: args.again, signal, ...(onProgress !== undefined && { onProgress }) }),
          ),
        ),
      )
      return {
        lines: [
          ...tables.map((table) => filledLine(table)),
          ...(tables.length === 0 ? ['There is nothing to fill: every row belongs to one organization.'] : []),
          isComplete
            ? 'Then: tenantry adopt prove'
            : 'It was stopped: tenantry adopt backfill, without --again, goes on.',
        ],
        document: { isComplete, tables },
      }
    }),
  )

const filledLine = ({ name, rows, filled, unreached }: FilledTable, became = 'without an organization'): string =>
  [`${name}  ${counted(rows, 'row')}`, `${filled} filled`, ...(unreached === 0 ? [] : [`${unreached} ${became}`])].join(
    ', ',
  )

export const addDown: AddCommand = (program, run) =>
  program.command(
    'down',
    'Undoes the last step',
    (command) =>
      withFolder(command)
        .usage(
          usageOf(
            'adopt down',
            'Undoes the last step, or all after `--to`. Your rows are as they were before; organizations that were made stay in `platform`.',
            'Refused where two organizations use a key by now that would have to be unique again.',
          ),
        )
        .option('to', { type: 'string', requiresArg: true, describe: 'The last step that stays' })
        .option('all', { type: 'boolean', describe: 'Undo all steps', conflicts: 'to' })
        .option('lock-timeout', lockTimeoutOption)
        .option('dry-run', { type: 'boolean', default: false, describe: 'Print the statements, and run none' })
        .option('yes', { type: 'boolean', default: false, describe: 'Do not ask', alias: 'y' })
        .example('$0 adopt down', 'undo the last step')
        .example('$0 adopt down --to expand', 'all after expand'),
    run(async (args, context) => {
      const { namesToUndo, previewUndo, undoSteps, stepNamed } = await import('../../adoption/run-step.js')
      assertDirectory(context, args)
      const plan = await readPlanOf(context, args.folder)
      const to = args.to === undefined ? undefined : stepNamed(args.to)
      if (args.dryRun) {
        const files = await asOwner(context, args, (session) => previewUndo(session, plan, { to, all: args.all }))
        return {
          lines: files.length === 0 ? ['There is nothing to undo.'] : files.map(({ text }) => text),
          document: { undone: [], statements: files.flatMap(({ statements }) => statements) },
        }
      }
      const undone = await asOwner(context, args, async (session) => {
        const names = args.yes ? [] : await namesToUndo(session, plan, { to, all: args.all })
        if (names.length > 0) {
          const what = `This undoes ${names.join(', ')}.`
          if (!context.console.interactive) throw new MigrationError(`${what} Nothing was done: repeat it with --yes`)
          if (!(await context.console.confirm(`${what} Go on?`))) throw new MigrationError('Nothing was done')
        }
        return withProgress(context.console, (progress) =>
          undoSteps(session, plan, { ...progress, lockTimeout: args.lockTimeout, attempts: 30, to, all: args.all }),
        )
      })
      return {
        lines: [undone.length === 0 ? 'There was nothing to undo.' : `Steps undone: ${undone.length}.`],
        document: { undone: undone.map(({ tag }) => tag) },
      }
    }),
  )

export const addStatus: AddCommand = (program, run) =>
  program.command(
    'status',
    'Shows which steps are taken',
    (command) =>
      withFolder(command)
        .usage(usageOf('adopt status', 'Shows which steps are taken, and how far rows are filled. Changes nothing.'))
        .example('$0 adopt status', 'with the files in adopt/'),
    run(async (args, context) => {
      const { statusOf } = await import('../../adoption/run-step.js')
      assertDirectory(context, args)
      const plan = await readPlanOf(context, args.folder)
      const status = await asOwner(context, args, (session) => statusOf(session, plan))
      const filled = status.backfill.filter(({ rows, isDone }) => rows > 0 || isDone)
      const isProved = status.steps.some(({ name, state }) => name === 'prove' && state === 'applied')
      return {
        lines: [
          ...status.steps.map(({ name, state }) => `${name}  ${state}`),
          ...filled.map((table) => filledLine(table, isProved ? 'put aside' : undefined)),
        ],
        document: status,
      }
    }),
  )
