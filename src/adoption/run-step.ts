import { InvalidInputError, MigrationError } from '../core/errors.js'
import { withContext } from '../database/session-failure.js'
import type { Session } from '../database/session.js'
import { migrateDown, migrateUp, type MigrationSet, migrationStatus, type Step } from '../migrations/migrator.js'
import { readRecords } from '../migrations/bookkeeping.js'
import type { MigrateOptions } from '../migrations/progress.js'
import { backfill, type Backfilled, type BackfillOptions, type FilledTable, readProgress } from './backfill.js'
import { type StepName, stepNames } from './plan.js'
import { readOnly } from './read-only.js'
import { tagsOf, type WrittenPlan } from './plan-folder.js'

export interface AdoptionStatus {
  readonly steps: readonly {
    readonly name: StepName
    readonly state: 'applied' | 'pending' | 'half up' | 'half down'
  }[]
  /** Empty before `expand` and from `contract` on, and for a schema of which every row belongs to one organization. */
  readonly backfill: readonly FilledTable[]
}

/** Takes one step, and finishes it where an earlier run was interrupted. The steps before it must be complete. */
export async function takeStep(
  session: Session,
  plan: WrittenPlan,
  name: StepName,
  options: MigrateOptions = {},
): Promise<Step[]> {
  const { steps, backfill: filled } = await statusOf(session, plan)
  const before = steps.slice(0, stepNames.indexOf(name)).find(({ state }) => state !== 'applied')
  if (before !== undefined)
    throw new MigrationError(
      `${before.name} comes before ${name}, and is ${before.state}: run tenantry adopt ${before.name}`,
    )
  if (name === 'prove' && steps.some((step) => step.name === name && step.state === 'pending'))
    await assertFilled(session, plan, filled)
  return migrateUp(session, [plan.set], { ...options, to: tagsOf.get(name) ?? name })
}

/** Before a statement of `prove` runs, since it could not go on, and rows could not be filled again. */
async function assertFilled(direct: Session, plan: WrittenPlan, filled: readonly FilledTable[]): Promise<void> {
  const open = filled.filter(({ isDone }) => !isDone).map(({ name }) => name)
  if (open.length > 0)
    throw new MigrationError(`rows of ${open.join(', ')} are not filled yet: run tenantry adopt backfill`)
  const session = readOnly(withContext(direct, 'the check of what was filled'), 'pg_catalog')
  const reasons: string[] = []
  for (const { table, check } of plan.backfill) {
    const [row] = check === null ? [] : await session.query<{ wrong: number }>(check)
    if (row !== undefined && row.wrong > 0)
      reasons.push(`${row.wrong} rows of ${table} have no organization, or another one than their way leads to`)
  }
  if (reasons.length > 0)
    throw new MigrationError([...reasons, 'run tenantry adopt backfill --again, or mend them'].join('\n'))
}

/** A plan whose first step is taken describes the tables as they were before it, so another one would not fit them. */
export async function refusePlanInUse(session: Session, set: MigrationSet): Promise<void> {
  const { applied, unfinished } = await readRecords(withContext(session, set.name), set.bookkeeping)
  if (applied.length > 0 || unfinished !== undefined)
    throw new MigrationError('steps of an earlier plan are taken: undo them first with tenantry adopt down --all')
}

export function stepNamed(text: string): StepName {
  const found = stepNames.find((name) => name === text)
  if (found === undefined) throw new InvalidInputError('--to', `must be ${stepNames.join(', ')}`)
  return found
}

/** Undoes the last step, or all that come after `to`. */
export const undoSteps = (
  session: Session,
  plan: WrittenPlan,
  { to, all, ...options }: MigrateOptions & { readonly to?: StepName; readonly all?: boolean } = {},
): Promise<Step[]> =>
  migrateDown(session, [plan.set], {
    ...options,
    ...(all !== undefined && { all }),
    ...(to !== undefined && { to: tagsOf.get(to) ?? to }),
  })

/** Fills the rows. Refused before `expand`, and once `prove` has begun. */
export async function fillRows(
  session: Session,
  plan: WrittenPlan,
  options: BackfillOptions = {},
): Promise<Backfilled> {
  const { steps } = await statusOf(session, plan)
  const stateOf = (name: StepName) => steps.find((step) => step.name === name)?.state
  if (stateOf('expand') !== 'applied')
    throw new MigrationError('there is no column to fill yet: run tenantry adopt expand first')
  if (stateOf('prove') !== 'pending')
    throw new MigrationError(
      'every row is filled, and prove has begun: undo it with tenantry adopt down to fill rows again',
    )
  return backfill(session, plan.home, plan.backfill, options)
}

export async function statusOf(session: Session, plan: WrittenPlan): Promise<AdoptionStatus> {
  const [status] = await migrationStatus(session, [plan.set])
  const faults = status?.faults ?? []
  if (faults.length > 0) throw new MigrationError(faults.join('\n'))
  const steps = stepNames.map((name) => {
    const found = status?.migrations.find(({ tag }) => tag === tagsOf.get(name))
    return { name, state: found?.state ?? ('pending' as const) }
  })
  const own = withContext(session, 'the progress of the backfill')
  return { steps, backfill: await readProgress(own, plan.home, plan.backfill) }
}
