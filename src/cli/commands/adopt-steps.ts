import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Argv } from 'yargs'
import type { FilledTable } from '../../adoption/backfill.js'
import type { StepName } from '../../adoption/plan.js'
import type { WrittenPlan } from '../../adoption/plan-folder.js'
import { MigrationError } from '../../core/errors.js'
import { type AddCommand, asOwner, connecting, type Context, type GlobalOptions, usageOf } from '../command.js'
import { withBar, withProgress } from '../progress.js'
import { counted, exit } from '../report.js'
import { embeddedDirectory } from '../system-login.js'
import { decisionsFile } from './adopt-analyse.js'

const folderOption = {
  type: 'string',
  requiresArg: true,
  normalize: true,
  default: 'adopt',
  describe: 'The folder of the steps',
} as const

const withFolder = <Args extends GlobalOptions>(command: Argv<Args>) =>
  connecting(command).option('folder', folderOption)

async function readPlanOf({ cwd }: Context, folder: string): Promise<WrittenPlan> {
  const { readPlan } = await import('../../adoption/plan-folder.js')
  return readPlan(resolve(cwd, folder))
}

function assertDirectory({ cwd }: Context, { embedded }: { readonly embedded?: string | undefined }): void {
  if (embedded !== undefined) embeddedDirectory(cwd, embedded)
}

export const addPlan: AddCommand = (program, run) =>
  program.command(
    'plan',
    'Writes the steps that bring the tables under organizations',
    (command) =>
      withFolder(command)
        .usage(
          usageOf(
            'adopt plan',
            `Analyses the schema of ${decisionsFile} again, and writes the steps into a folder: for each an .sql file, and a .down.sql`,
            'file that undoes it. Changes nothing in the database. Read the files; you may change them until they are applied. Refused',
            'while something is undecided or has to be mended, and once the first step is taken.',
          ),
        )
        .option('schema', {
          type: 'string',
          requiresArg: true,
          default: 'public',
          describe: 'The schema of the tables',
        })
        .option('dry-run', { type: 'boolean', default: false, describe: 'Print the statements, and write no file' })
        .example('$0 adopt plan', 'writes adopt/0000_expand.sql and the others'),
    run(async (args, context) => {
      const { plan, stepNames } = await import('../../adoption/plan.js')
      const { adoptionSet, writePlan } = await import('../../adoption/plan-folder.js')
      const { readDecisions } = await import('../../adoption/decisions.js')
      const { refusePlanInUse } = await import('../../adoption/run-step.js')
      assertDirectory(context, args)
      const given = await readDecisions(resolve(context.cwd, decisionsFile), args.schema)
      if (given === undefined)
        throw new MigrationError(`there is no ${decisionsFile} in this folder: run tenantry adopt analyse first`)
      const folder = resolve(context.cwd, args.folder)
      const made = await asOwner(context, args, async (session) => {
        await refusePlanInUse(session, adoptionSet(args.schema, folder))
        return withBar(context.console, 'reading tables', (onProgress) => plan(session, given, onProgress))
      })
      const files = args.dryRun ? [] : await writePlan(folder, made)
      const statements = stepNames.flatMap((name) => [`-- ${name}`, ...made.steps[name].up.map((text) => `${text};`)])
      return {
        lines: args.dryRun
          ? statements
          : [
              ...files.filter((file) => file.endsWith('.sql')).map((file) => `Written: ${join(args.folder, file)}`),
              'Read them, then: tenantry adopt expand',
            ],
        document: { files, steps: made.steps, backfill: made.backfill },
      }
    }),
  )

const stepTexts: Readonly<Record<StepName, readonly [what: string, sentences: readonly string[], next: string]>> = {
  expand: [
    'Adds the column of the organization to every table',
    [
      'Adds `org_id` to every table, without rewriting one, makes the organizations that your decisions name, and triggers that give',
      'new rows theirs. Code that knows no organizations goes on as before.',
    ],
    'Then: tenantry adopt backfill',
  ],
  prove: [
    'Proves that every row has the right organization',
    [
      'Puts aside the rows that your decisions give to nobody, and has the server check that every row has an organization and that',
      'every child has that of its parent. Builds the keys with the organization in front beside the old ones. Reads every table, and',
      'holds no lock for longer than a moment. Refused until `adopt backfill` has filled every table.',
    ],
    'Then: tenantry adopt swap',
  ],
  swap: [
    'Replaces the old keys by those with the organization',
    [
      'From here on a primary key, a unique key and a foreign key hold within one organization: two may use the same id and the same',
      'name. Each statement takes milliseconds. Statements such as `on conflict (id)` need `(org_id, id)` from now on.',
    ],
    'The keys are those of organizations now.',
  ],
}

const addStep =
  (name: StepName): AddCommand =>
  (program, run) =>
    program.command(
      name,
      stepTexts[name][0],
      (command) =>
        withFolder(command)
          .usage(
            usageOf(
              `adopt ${name}`,
              ...stepTexts[name][1],
              'A lock that is not free in time is tried again. After an interruption the same command goes on where it stopped; `adopt down` undoes it.',
            ),
          )
          .option('lock-timeout', {
            type: 'number',
            requiresArg: true,
            default: 500,
            describe: 'Milliseconds to wait for a lock, during which writers wait behind it',
          })
          .option('dry-run', { type: 'boolean', default: false, describe: 'Print the statements, and run none' })
          .example(`$0 adopt ${name}`, 'with the files in adopt/'),
      run(async (args, context) => {
        const { takeStep } = await import('../../adoption/run-step.js')
        const { tagsOf } = await import('../../adoption/plan-folder.js')
        assertDirectory(context, args)
        const plan = await readPlanOf(context, args.folder)
        if (args.dryRun) {
          const text = await readFile(join(plan.set.folder, `${tagsOf.get(name) ?? name}.sql`), 'utf8')
          return { lines: [text.trimEnd()], document: { applied: [] } }
        }
        const taken = await asOwner(context, args, (session) =>
          withProgress(context.console, (progress) =>
            takeStep(session, plan, name, { ...progress, lockTimeout: args.lockTimeout, attempts: 30 }),
          ),
        )
        return {
          lines: taken.length === 0 ? [`${name} was applied before.`] : [stepTexts[name][2]],
          document: { applied: taken.map(({ tag }) => tag) },
        }
      }),
    )

export const addExpand = addStep('expand')
export const addProve = addStep('prove')
export const addSwap = addStep('swap')

export const addBackfill: AddCommand = (program, run) =>
  program.command(
    'backfill',
    'Gives every row its organization',
    (command) =>
      withFolder(command)
        .usage(
          usageOf(
            'adopt backfill',
            'Makes the organizations of their rows, and then fills `org_id` in the order of the primary keys. Each batch takes at most a',
            'fifth of a second and is committed with the key that it ended at: stop it at any moment, and the same command goes on there.',
            'It waits while somebody waits for a lock on the table, and while a replica is behind. Triggers on updates stay silent; for',
            'those the login needs the right `set on parameter session_replication_role`. Ends with 3 while rows are left that no way reaches',
            'and that your decisions give to nobody.',
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
          ...tables.map(filledLine),
          ...(tables.length === 0 ? ['There is nothing to fill: every row belongs to one organization.'] : []),
          isComplete ? 'Then: tenantry adopt prove' : 'It was stopped: the same command goes on.',
        ],
        document: { isComplete, tables },
      }
    }),
  )

const filledLine = ({ name, rows, filled, unreached }: FilledTable): string =>
  [
    `${name}  ${counted(rows, 'row')}`,
    `${filled} filled`,
    ...(unreached === 0 ? [] : [`${unreached} without an organization`]),
  ].join(', ')

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
        .option('yes', { type: 'boolean', default: false, describe: 'Do not ask', alias: 'y' })
        .example('$0 adopt down', 'undo the last step')
        .example('$0 adopt down --to expand', 'all after expand'),
    run(async (args, context) => {
      const { undoSteps, stepNamed } = await import('../../adoption/run-step.js')
      assertDirectory(context, args)
      const plan = await readPlanOf(context, args.folder)
      const to = args.to === undefined ? undefined : stepNamed(args.to)
      if (!args.yes) {
        const what = `This undoes ${args.all === true ? 'every step' : to === undefined ? 'the last step' : `all steps after ${to}`}.`
        if (!context.console.interactive) throw new MigrationError(`${what} Nothing was done: repeat it with --yes`)
        if (!(await context.console.confirm(`${what} Go on?`))) throw new MigrationError('Nothing was done')
      }
      const undone = await asOwner(context, args, (session) =>
        withProgress(context.console, (progress) =>
          undoSteps(session, plan, {
            ...progress,
            attempts: 30,
            ...(args.all === true && { all: true }),
            ...(to !== undefined && { to }),
          }),
        ),
      )
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
      return {
        lines: [...status.steps.map(({ name, state }) => `${name}  ${state}`), ...filled.map(filledLine)],
        document: status,
        exit: exit.fine,
      }
    }),
  )
