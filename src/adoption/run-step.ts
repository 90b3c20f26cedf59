import { readFile } from 'node:fs/promises'
import { InvalidInputError, MigrationError } from '../core/errors.js'
import { quoted } from '../core/statements/column-plan.js'
import { ConnectionLost, LockNotFree, withContext } from '../database/session-failure.js'
import { withMigrationLock } from '../database/session-lock.js'
import type { Session } from '../database/session.js'
import { migrateDown, migrateUp, type MigrationSet, migrationStatus, type Step } from '../migrations/migrator.js'
import { readRecords, recordDone, recordUnfinished } from '../migrations/bookkeeping.js'
import { type Migration, readFolder } from '../migrations/folder.js'
import { hashOfFirst } from '../migrations/history.js'
import { retriedTransaction } from '../migrations/lock-retries.js'
import type { Script } from '../migrations/script.js'
import type { MigrateOptions } from '../migrations/progress.js'
import {
  backfill,
  type Backfilled,
  type BackfillOptions,
  type FilledTable,
  readProgress,
  withBackfillLock,
} from './backfill.js'
import { readCatalog } from './catalog.js'
import { driftOf, sourceDriftOf } from './drift.js'
import { type StepName, stepNames } from './plan.js'
import { readOnly } from './read-only.js'
import { assertMaySilence } from './silence.js'
import { tagOf, type WrittenPlan } from './plan-folder.js'

export interface AdoptionStatus {
  readonly steps: readonly {
    readonly name: StepName
    readonly state: 'applied' | 'pending' | 'half up' | 'half down'
  }[]
  /** Empty before `expand` and from `contract` on, and for a schema of which every row belongs to one organization. */
  readonly backfill: readonly FilledTable[]
}

export interface TakeOptions extends MigrateOptions {
  /** Asked under the lock of the migrator before a step of which nothing has run. With false nothing is done. */
  readonly mayBegin?: () => Promise<boolean>
}

/** Takes one step, and finishes it where an earlier run was interrupted. The steps before it must be complete. */
export const takeStep = (
  session: Session,
  plan: WrittenPlan,
  name: StepName,
  options: TakeOptions = {},
): Promise<Step[]> =>
  // Checked under the lock: after a way back that another session has just finished, the migrator would apply the steps before this one too.
  withMigrationLock(session, options, () => {
    const take = () => takeStepAlone(session, plan, name, options)
    // Filling rows again would delete the progress that is checked.
    return name === 'prove' ? withBackfillLock(session, plan.home, take) : take()
  })

async function takeStepAlone(
  session: Session,
  plan: WrittenPlan,
  name: StepName,
  { mayBegin = () => Promise.resolve(true), ...options }: TakeOptions,
): Promise<Step[]> {
  const { steps, backfill: filled } = await statusOf(session, plan)
  const before = steps.slice(0, stepNames.indexOf(name)).find(({ state }) => state !== 'applied')
  const halfDown = steps.find(({ state }) => state === 'half down')
  if (halfDown !== undefined)
    throw new MigrationError(`${halfDown.name} is half undone: finish that with tenantry adopt down`)
  if (before !== undefined)
    throw new MigrationError(
      `${before.name} comes before ${name}, and is ${before.state}: run tenantry adopt ${before.name}`,
    )
  const state = steps.find((step) => step.name === name)?.state
  if (state !== 'applied') await refuseDrift(session, plan, steps)
  if (state === 'pending') {
    if (!(await mayBegin())) return []
    if (name === 'prove') {
      await assertMaySilence(session, silencedTables(plan))
      await assertFilled(session, plan, filled)
    }
    // Some ways have no foreign key that keeps them.
    if (name === 'enforce' || name === 'contract') await assertWays(session, plan)
  }
  try {
    const taken = await migrateUp(session, [plan.set], { ...options, to: tagOf(name) })
    // A policy that was added since would let rows of others through.
    if (name === 'enforce') await refuseDrift(session, plan, (await statusOf(session, plan)).steps)
    return taken
  } catch (error) {
    if (!(error instanceof MigrationError) || error instanceof LockNotFree || error instanceof ConnectionLost)
      throw error
    throw new MigrationError(
      `${error.message}. Mend that and run the same command again${undoneWhole.includes(name) ? ', or undo the step with tenantry adopt down' : ''}`,
    )
  }
}

async function refuseDrift(
  session: Session,
  { schema, tables, sources }: WrittenPlan,
  steps: AdoptionStatus['steps'],
): Promise<void> {
  const isApplied = (name: StepName) => steps.some((step) => step.name === name && step.state === 'applied')
  const catalog = await readCatalog(readOnly(session, 'pg_catalog'), schema)
  const applied = {
    expand: isApplied('expand'),
    swap: isApplied('swap'),
    observe: isApplied('observe'),
    enforce: isApplied('enforce'),
  }
  const isHalf = steps.some(({ state }) => state === 'half up')
  const drift = [...sourceDriftOf(catalog, sources), ...driftOf(catalog, tables, applied, isHalf)]
  if (drift.length === 0) return
  const [here] = await session.query<{ name: string }>('select pg_catalog.current_database() as name')
  throw new MigrationError(
    [
      `The tables in the database ${here?.name ?? ''} are not as they were when this was planned:`,
      ...drift.map((one) => `- ${one}`),
      'Take that back until the adoption is complete, or undo the steps with tenantry adopt down --all and plan again.',
    ].join('\n'),
  )
}

/** Before a statement of `prove` runs, since it could not go on, and rows could not be filled again. */
async function assertFilled(direct: Session, plan: WrittenPlan, filled: readonly FilledTable[]): Promise<void> {
  const open = filled.filter(({ isDone }) => !isDone).map(({ name }) => name)
  if (open.length > 0)
    throw new MigrationError(`rows of ${open.join(', ')} are not filled yet: run tenantry adopt backfill`)
  await assertWays(direct, plan)
}

async function assertWays(direct: Session, plan: WrittenPlan): Promise<void> {
  const session = readOnly(withContext(direct, 'the check of what was filled'), 'pg_catalog')
  const reasons: string[] = []
  for (const { table, check } of plan.backfill) {
    const [row] = check === null ? [] : await session.query<{ wrong: number }>(check)
    if (row !== undefined && row.wrong > 0)
      reasons.push(`${row.wrong} rows of ${table} have no organization, or another one than their way leads to`)
  }
  for (const { name } of plan.tables) {
    const [row] = await session.query<{ rows: number }>(
      `select pg_catalog.count(*)::float8 as rows from ${quoted(plan.schema)}.${quoted(name)} t
       join platform.organizations o on o.id = t.org_id where o.deleted_at is not null`,
    )
    if (row !== undefined && row.rows > 0)
      reasons.push(
        `${row.rows} rows of ${name} belong to organizations that are deleted in tenantry: restore these, or delete the rows`,
      )
  }
  if (reasons.length > 0)
    throw new MigrationError(
      [...reasons, 'Mend them; before prove, tenantry adopt backfill --again does it'].join('\n'),
    )
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

/** Which steps are undone. Default: the last. */
export interface UndoTarget {
  /** The last step that stays. */
  readonly to?: StepName | undefined
  readonly all?: boolean | undefined
}

/** Undoes the last step, or all that come after `to`. A step that could not be finished is undone too, where its way back allows it. */
export async function undoSteps(
  session: Session,
  plan: WrittenPlan,
  { to, all, ...options }: MigrateOptions & UndoTarget = {},
): Promise<Step[]> {
  return withMigrationLock(session, options, async () => {
    const { half } = await stepsToUndo(session, plan, { to, all })
    if (half !== undefined) await beginUndoing(session, plan, half)
    return migrateDown(session, [plan.set], {
      ...options,
      ...(all !== undefined && { all }),
      ...(to !== undefined && { to: tagOf(to) }),
    })
  })
}

/** A file of SQL that would be run. */
export interface PreviewedFile {
  readonly text: string
  readonly statements: readonly string[]
}

/** What `takeStep` would run. Reads the folder alone. */
export const previewStep = async (plan: WrittenPlan, name: StepName): Promise<PreviewedFile> =>
  previewed((await migrationOf(plan, name)).up)

/** The names of the steps that `undoSteps` would undo, the last first. Throws what it would throw before it changes something. */
export const namesToUndo = async (
  session: Session,
  plan: WrittenPlan,
  target: UndoTarget = {},
): Promise<readonly StepName[]> => (await stepsToUndo(session, plan, target)).names

/** What `undoSteps` would run, in that order. Throws what it would throw before it changes something. Changes nothing. */
export async function previewUndo(
  session: Session,
  plan: WrittenPlan,
  target: UndoTarget = {},
): Promise<PreviewedFile[]> {
  const { names } = await stepsToUndo(session, plan, target)
  return Promise.all(names.map(async (name) => previewed(await wayBackOf(plan, name))))
}

const previewed = async ({ file, statements }: Script): Promise<PreviewedFile> => ({
  text: (await readFile(file, 'utf8')).trimEnd(),
  statements: statements.map(({ text }) => text),
})

/** The steps that are to be undone, the last first, and the one of them that is half taken. Refused where one cannot be undone. */
async function stepsToUndo(
  session: Session,
  plan: WrittenPlan,
  { to, all }: UndoTarget,
): Promise<{ readonly names: readonly StepName[]; readonly half: StepName | undefined }> {
  const { steps } = await statusOf(session, plan)
  const kept = all === true ? -1 : to === undefined ? lastOf(steps) - 1 : stepNames.indexOf(to)
  const half = steps.find(({ state }) => state === 'half up')?.name
  if (half !== undefined) refuseHalf(half, kept)
  const undone = steps.filter(({ name, state }) => kept < stepNames.indexOf(name) && state !== 'pending')
  const isUndone = (name: StepName) => undone.some((step) => step.name === name)
  if (isUndone('enforce')) await refuseDeclared(session, plan)
  if (isUndone('prove')) await assertMaySilence(session, silencedTables(plan))
  if (undone.some(({ name, state }) => name === 'swap' && state === 'applied'))
    await refuseWayBack(session, plan, 'swap')
  if (isUndone('prove')) await refuseWayBack(session, plan, 'prove')
  if (isUndone('expand')) await refuseWayBack(session, plan, 'expand')
  return { names: undone.map(({ name }) => name).toReversed(), half }
}

/** Without its policies, a table that migrations of the host declare would keep the rights that they give the application. */
async function refuseDeclared(direct: Session, { schema, tables }: WrittenPlan): Promise<void> {
  const session = withContext(direct, 'the declared tables')
  const [found] = await session.query<{ isThere: boolean }>(
    `select pg_catalog.to_regclass('platform_migrations.inventory') is not null as "isThere"`,
  )
  if (found?.isThere !== true) return
  const declared = await session.query<{ name: string; set: string }>(
    `select i.name, i."set" from platform_migrations.inventory i where i.what = 'table' and i.name = any ($1::text[]) order by 1`,
    [tables.map(({ name }) => `${schema}.${name}`)],
  )
  if (declared.length > 0)
    throw new MigrationError(
      `${declared.map(({ name }) => name).join(', ')} are declared by applied migrations of your own, which give the application rights on them: undo these first with tenantry migrate down`,
    )
}

const lastOf = (steps: AdoptionStatus['steps']): number => steps.findLastIndex(({ state }) => state !== 'pending')

/** The ways back of these can begin in the middle: they drop what is there. */
const undoneWhole: readonly StepName[] = ['expand', 'prove']

function refuseHalf(name: StepName, kept: number): void {
  if (kept >= stepNames.indexOf(name))
    throw new MigrationError(
      `${name} is half taken: finish it with tenantry adopt ${name}, or name a step before it in --to`,
    )
  if (!undoneWhole.includes(name))
    throw new MigrationError(`${name} is half taken: finish it with tenantry adopt ${name}, and undo it afterwards`)
}

/** Records that a step of which some statements have run is being undone, so that its way back runs as a whole. */
async function beginUndoing(direct: Session, plan: WrittenPlan, name: StepName): Promise<void> {
  const session = withContext(direct, 'the record of the steps')
  const { when, hash } = await migrationOf(plan, name)
  const down = await wayBackOf(plan, name)
  await retriedTransaction(session, { lockTimeout: 1000, attempts: 10 }, async () => {
    await recordDone(session, plan.set.bookkeeping, 'up', { when, hash })
    const nothing = { when, direction: 'down', statements: 0, hash: hashOfFirst(down, 0) } as const
    await recordUnfinished(session, plan.set.bookkeeping, nothing)
  })
}

async function migrationOf({ set }: WrittenPlan, name: StepName): Promise<Migration> {
  const found = (await readFolder(set.folder)).find(({ tag }) => tag === tagOf(name))
  if (found === undefined) throw new MigrationError(`${set.folder} has no files of ${name}`)
  return found
}

async function wayBackOf(plan: WrittenPlan, name: StepName): Promise<Script> {
  const { down } = await migrationOf(plan, name)
  if (down === undefined) throw new MigrationError(`${name} has no way back`)
  return down
}

/** Runs the first statement of a way back, which changes nothing, before a later step is undone. The plan may have none. */
async function refuseWayBack(session: Session, plan: WrittenPlan, name: StepName): Promise<void> {
  const [check] = (await wayBackOf(plan, name)).statements
  // The file begins with a comment. Only a statement that counts rows is such a check: another one may change something.
  if (check === undefined || !/^(?:--.*\n|\s)*do [^]*\btenantry_count bigint;/.test(check.text)) return
  await readOnly(withContext(session, 'the way back'), 'pg_catalog').query(check.text)
}

/** Fills the rows. Refused before `expand`, and once `prove` has begun. */
export const fillRows = (session: Session, plan: WrittenPlan, options: BackfillOptions = {}): Promise<Backfilled> =>
  withBackfillLock(session, plan.home, () => fillRowsAlone(session, plan, options))

async function fillRowsAlone(session: Session, plan: WrittenPlan, options: BackfillOptions): Promise<Backfilled> {
  const { steps } = await statusOf(session, plan)
  const stateOf = (name: StepName) => steps.find((step) => step.name === name)?.state
  if (stateOf('expand') !== 'applied')
    throw new MigrationError('there is no column to fill yet: run tenantry adopt expand first')
  if (stateOf('prove') !== 'pending')
    throw new MigrationError(
      'every row is filled, and prove has begun: undo it with tenantry adopt down to fill rows again',
    )
  await refuseDrift(session, plan, steps)
  await assertMaySilence(
    session,
    plan.backfill.filter(({ isSilent }) => isSilent).map(({ table }) => table),
  )
  return backfill(session, plan.home, plan.backfill, options)
}

const silencedTables = ({ tables }: WrittenPlan): string[] =>
  tables.filter(({ isSilenced }) => isSilenced).map(({ name }) => name)

export async function statusOf(session: Session, plan: WrittenPlan): Promise<AdoptionStatus> {
  const [status] = await migrationStatus(session, [plan.set])
  const faults = status?.faults ?? []
  if (faults.length > 0) throw new MigrationError(faults.join('\n'))
  const steps = stepNames.map((name) => {
    const found = status?.migrations.find(({ tag }) => tag === tagOf(name))
    return { name, state: found?.state ?? ('pending' as const) }
  })
  const own = withContext(session, 'the progress of the backfill')
  return { steps, backfill: await readProgress(own, plan.home, plan.backfill) }
}
