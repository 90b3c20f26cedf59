import type { Argv } from 'yargs'
import type { Observation } from '../../adoption/observations.js'
import type { StepName } from '../../adoption/plan.js'
import type { WrittenPlan } from '../../adoption/plan-folder.js'
import { InvalidInputError } from '../../core/errors.js'
import type { Session } from '../../database/session.js'
import { type AddCommand, asOwner, type Context, type GlobalOptions, usageOf } from '../command.js'
import { withProgress } from '../progress.js'
import { counted, exit, type Report } from '../report.js'
import { assertDirectory, lockTimeoutOption, readPlanOf, withFolder } from './adopt-folder.js'

const stepTexts: Readonly<Record<StepName, readonly [what: string, sentences: readonly string[], next: string]>> = {
  expand: [
    'Adds the column of the organization to every table',
    [
      'Adds `org_id` to every table, without rewriting one, makes the organizations, and triggers that give',
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
    'Then: tenantry adopt observe',
  ],
  observe: [
    'Reports each use of a row outside of its organization',
    [
      'Gives the roles of the application their rights on the tables, and each table a policy that hides nothing, and reports each',
      'transaction in which no organization is bound, or another one than that of the row: as a warning, on a channel, and in',
      'numbers. Row security does not bind the owner of the tables: let the application use a login of its own.',
    ],
    'Then: tenantry adopt observe --report, until nothing is found and every table was used',
  ],
  enforce: [
    'Lets only the rows of the bound organization through',
    [
      'Replaces the policies that report by those that hide. A login of the application sees the rows of the bound organization',
      'alone. Logins outside of tenantry, such as one for reports, see none; the owner, superusers and tenantry_system see all.',
      'Refused with 3 while something is found, and while a table was used by fewer transactions than --min-transactions.',
    ],
    'Then: tenantry adopt contract',
  ],
  contract: [
    'Removes what only the adoption needed',
    [
      'Drops the triggers that give new rows their organization, the counters, and the indexes that others replace. From here on a',
      'new row gets the bound organization, and is refused where none is bound. Rows that were put aside stay where they are.',
    ],
    'The tables are adopted. Then: tenantry adopt definitions',
  ],
}

/** The options of a command that takes a step. */
const stepping = <Args extends GlobalOptions>(command: Argv<Args>, name: StepName) =>
  withFolder(command)
    .usage(
      usageOf(
        `adopt ${name}`,
        ...stepTexts[name][1],
        'A lock that is not free in time is tried again. After an interruption the same command goes on where it stopped.',
      ),
    )
    .option('lock-timeout', lockTimeoutOption)
    .option('dry-run', { type: 'boolean', default: false, describe: 'Print the statements, and run none' })
    .example(`$0 adopt ${name}`, 'with the files in adopt/')

interface StepArguments {
  readonly folder: string
  readonly embedded: string | undefined
  readonly lockTimeout: number
  readonly dryRun: boolean
}

/** Takes a step, unless `refusalOf` returns a report that says why not. */
async function reportStep(
  name: StepName,
  args: StepArguments,
  context: Context,
  refusalOf: (session: Session, plan: WrittenPlan) => Promise<Report | undefined> = () => Promise.resolve(undefined),
): Promise<Report> {
  const { previewStep, takeStep } = await import('../../adoption/run-step.js')
  assertDirectory(context, args)
  const plan = await readPlanOf(context, args.folder)
  if (args.dryRun) {
    const { text, statements } = await previewStep(plan, name)
    return { lines: [text], document: { applied: [], statements } }
  }
  return asOwner(context, args, async (session) => {
    let refusal: Report | undefined
    const mayBegin = async () => {
      refusal = await refusalOf(session, plan)
      return refusal === undefined
    }
    const taken = await withProgress(context.console, (progress) =>
      takeStep(session, plan, name, { ...progress, lockTimeout: args.lockTimeout, attempts: 30, mayBegin }),
    )
    return (
      refusal ?? {
        lines: taken.length === 0 ? [`${name} was applied before.`] : [stepTexts[name][2]],
        document: { applied: taken.map(({ tag }) => tag) },
      }
    )
  })
}

const addStep =
  (name: 'expand' | 'prove' | 'swap' | 'contract'): AddCommand =>
  (program, run) =>
    program.command(
      name,
      stepTexts[name][0],
      (command) => stepping(command, name),
      run((args, context) => reportStep(name, args, context)),
    )

export const addExpand = addStep('expand')
export const addProve = addStep('prove')
export const addSwap = addStep('swap')
export const addContract = addStep('contract')

export const addObserve: AddCommand = (program, run) =>
  program.command(
    'observe',
    stepTexts.observe[0],
    (command) =>
      stepping(command, 'observe')
        .option('report', { type: 'boolean', describe: 'Show what was counted so far' })
        .option('reset', {
          type: 'boolean',
          describe: 'Count from zero again, such as after code was mended',
        })
        .conflicts('report', 'reset')
        .example('$0 adopt observe --report', 'ends with 3 while something was found'),
    run(async (args, context) => {
      if (args.report !== true && args.reset !== true) return reportStep('observe', args, context)
      assertDirectory(context, args)
      if (args.dryRun)
        throw new InvalidInputError('--dry-run', 'is for taking the step: leave it out with --report and --reset')
      const { readObservations, resetObservations, unobservedSessions } = await import('../../adoption/observations.js')
      const plan = await readPlanOf(context, args.folder)
      const place = { home: plan.home, tables: plan.tables }
      const { observations, unobserved } = await asOwner(context, args, async (session) => {
        if (args.reset === true) await resetObservations(session, place)
        return {
          observations: await readObservations(session, place),
          unobserved: await unobservedSessions(session, plan.schema, plan.tables),
        }
      })
      const isFound = observations.some(({ unbound, another }) => unbound + another > 0)
      return {
        lines: [
          ...observations.map(observationLine),
          ...(unobserved === 0
            ? []
            : [
                `${counted(unobserved, 'other session')} with the rights of the owner: row security does not bind them, and nothing that they use is observed. Let the application log in as a member of tenantry_app`,
              ]),
        ],
        document: { tables: observations, unobserved },
        exit: isFound ? exit.findings : exit.fine,
      }
    }),
  )

const observationLine = ({ table, transactions, unbound, another, since }: Observation): string =>
  `${table}  ${counted(transactions, 'transaction')} since ${since.toISOString()}: ${unbound} unbound, ${another} of another organization`

export const addEnforce: AddCommand = (program, run) =>
  program.command(
    'enforce',
    stepTexts.enforce[0],
    (command) =>
      stepping(command, 'enforce').option('min-transactions', {
        type: 'number',
        requiresArg: true,
        default: 1000,
        describe: 'The fewest transactions that must have used each table while it was observed',
      }),
    run((args, context) =>
      reportStep('enforce', args, context, async (session, plan) => {
        const { obstaclesToEnforce, readObservationsIfAny } = await import('../../adoption/observations.js')
        const tables = plan.tables
        const observations = await readObservationsIfAny(session, { home: plan.home, tables })
        const findings = obstaclesToEnforce(observations, args.minTransactions)
        if (findings.length === 0) return undefined
        return {
          lines: ['Nothing was done:', ...findings.map(({ message }) => `- ${message}`)],
          document: { applied: [], findings },
          exit: exit.findings,
        }
      }),
    ),
  )
