import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import { quoted } from '../../core/statements/column-plan.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { closeHome, inHome } from '../home.js'
import { analysePlatform } from './analyse-platform.js'
import {
  type CarriedRows,
  type Carrying,
  carryRows,
  type CarryOptions,
  drain,
  drainBatch,
  readCarried,
} from './carry.js'
import {
  type CarryingStep,
  carryingSteps,
  forgetStep,
  homeStatements,
  isThere,
  recordStep,
  takenSteps,
} from './carrying-home.js'
import { assertRightMasterKey } from './complete-organizations.js'
import { carryingTransaction } from './carrying-transaction.js'
import { compare, type Comparison, isEqual, othersInUse, type ProgressOf } from './compare.js'
import { type EarlierPlatform, findEarlierPlatform } from './earlier-platform.js'
import { moveBack, moveSchema } from './move-schema.js'
import { emptySecrets, restoreSecrets, rewriteTables } from './secrets-in-clear.js'
import { closeStatements, lockStatements, openStatements, unwatchStatements, watchStatements } from './watch.js'

const retries = { lockTimeout: 500, attempts: 30 }

export interface PlatformStatus {
  readonly schema: string
  readonly steps: readonly { readonly name: CarryingStep; readonly isTaken: boolean }[]
  /** Writes since `expand` that are not carried yet. */
  readonly waiting: number
  readonly tables: readonly CarriedRows[]
}

export async function platformStatus(session: Session, schema: string): Promise<PlatformStatus> {
  const { home, tables, schema: found } = await findEarlierPlatform(session, schema)
  const taken = await takenSteps(session, home)
  const isExpanded = taken.includes('expand')
  const [row] = isExpanded
    ? await session.query<{ waiting: number }>(
        `select pg_catalog.count(*)::float8 as waiting from ${inHome(home, 'changes')}`,
      )
    : []
  return {
    schema: found,
    steps: carryingSteps.map((name) => ({ name, isTaken: taken.includes(name) })),
    waiting: row?.waiting ?? 0,
    tables: isExpanded ? await readCarried(session, home, tables) : [],
  }
}

/** Gives the earlier tables another schema, so that ours get theirs. */
export async function takeMove(session: Session, schema: string): Promise<void> {
  const earlier = await findEarlierPlatform(session, schema)
  if (!earlier.isInTheWay)
    throw new MigrationError(
      `the tables of ${earlier.schema} are in nobody's way: go on with tenantry migrate up and tenantry adopt platform expand`,
    )
  await moveSchema(session, retries)
}

/** The statements of `expand`, in their order. */
export const expandStatements = (
  { home, tables }: EarlierPlatform,
  leave: readonly string[],
  isMade: boolean,
): string[] => [
  ...(isMade ? [] : homeStatements(home)),
  ...watchStatements(home, tables),
  ...leave.map(
    (name) => `insert into ${inHome(home, 'leaves')} values ('${name.replaceAll("'", "''")}') on conflict do nothing`,
  ),
  closeHome(home),
]

/** Notes from here on what is written, so that the rows can be carried while the application works. */
export async function takeExpand(session: Session, schema: string, leave: readonly string[]): Promise<void> {
  const earlier = await findEarlierPlatform(session, schema)
  const { home, isInTheWay, tables } = earlier
  if (isInTheWay)
    throw new MigrationError(
      'the schema platform has the name that the tables of tenantry need: run tenantry adopt platform move first',
    )
  if (!(await isThere(session, 'platform.organizations')))
    throw new MigrationError('the tables of tenantry are not in this database yet: run tenantry migrate up first')
  for (const name of leave)
    if (!tables.some(({ from }) => from.name === name))
      throw new MigrationError(`--leave names ${name}, which is no table that is carried`)
  const { findings } = await analysePlatform(session, schema, leave)
  const open = findings.filter(({ needs }) => needs === 'mend')
  if (open.length > 0)
    throw new MigrationError(
      ['Not every row has a place yet:', ...open.map(({ message }) => `- ${message}`)].join('\n'),
    )
  const own = withContext(session, 'expand')
  await carryingTransaction(session, 'expand', async () => {
    if ((await takenSteps(own, home)).includes('expand')) throw new MigrationError('expand was taken before')
    for (const statement of expandStatements(earlier, leave, await isThere(own, inHome(home, 'steps'))))
      await own.query(statement)
    await recordStep(own, home, 'expand')
  })
}

/** Carries the rows. May be interrupted, and goes on where it stopped. */
export async function takeBackfill(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  options: CarryOptions = {},
): Promise<{ readonly isComplete: boolean; readonly tables: readonly CarriedRows[] }> {
  const carrying = await carryingOf(session, schema, dataKeys, { after: 'expand', before: 'swap' })
  await assertRightMasterKey(session, dataKeys)
  await forgetStep(session, carrying.home, 'prove')
  const isComplete = await carryRows(carrying, options)
  if (isComplete) await recordStep(session, carrying.home, 'backfill')
  return { isComplete, tables: await readCarried(session, carrying.home, carrying.tables) }
}

export interface Proof {
  readonly isProved: boolean
  readonly tables: readonly Comparison[]
  /** Tables with rows that stay and that nobody has named in `--leave`, each with a reason. */
  readonly open: readonly string[]
}

/** Compares every row and every secret. Writers go on: what is written meanwhile is carried first, and compared again where it differs. */
export async function takeProve(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  onProgress?: ProgressOf,
): Promise<Proof> {
  const carrying = await carryingOf(session, schema, dataKeys, { after: 'backfill', before: 'swap' })
  const proof = await proved(carrying, onProgress)
  if (proof.isProved) await recordStep(session, carrying.home, 'prove')
  return proof
}

const rounds = 5

async function proved(carrying: Carrying, onProgress?: ProgressOf): Promise<Proof> {
  const { session, home } = carrying
  let tables: Comparison[] = []
  // A row may be written between the two readings of a comparison.
  for (let round = 0; round < rounds; round += 1) {
    await drain(carrying)
    tables = await compare(carrying, { ...(onProgress !== undefined && { onProgress }) })
    if (tables.every(isEqual)) break
  }
  const left = await readCarried(session, home, carrying.tables)
  const named = await session.query<{ name: string }>(`select table_name as name from ${inHome(home, 'leaves')}`)
  const open = left.flatMap((table) => {
    const { from, where } = carrying.tables.find(({ name }) => name === table.name) ?? {}
    if (from === undefined || named.some(({ name }) => name === from.name)) return []
    return table.left
      .filter(({ reason }) => reason !== where?.otherwise)
      .map(({ reason, rows }) => `${rows} rows of ${from.name} ${reason}`)
  })
  return { isProved: tables.every(isEqual) && open.length === 0, tables, open }
}

/** Closes the earlier tables, and proves once more. From here on the application writes ours. */
export async function takeSwap(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  onProgress?: ProgressOf,
): Promise<Proof> {
  const carrying = await carryingOf(session, schema, dataKeys, { after: 'prove', before: 'contract' })
  const { home, tables } = carrying
  await drain(carrying)
  await carryingTransaction(session, 'swap', async () => {
    for (const statement of lockStatements(tables)) await session.query(statement)
    // Nobody writes now, so that this ends.
    while ((await drainBatch(carrying)) > 0);
    for (const statement of [...openStatements(tables), ...closeStatements(home, tables)])
      await session.query(statement)
    await recordStep(session, home, 'swap')
  })
  const proof = await proved(carrying, onProgress)
  if (!proof.isProved) await reopen(carrying)
  return proof
}

const reopen = ({ session, home, tables }: Carrying): Promise<void> =>
  carryingTransaction(session, 'the way back of swap', async () => {
    for (const statement of openStatements(tables)) await session.query(statement)
    await forgetStep(session, home, 'swap')
  })

/** Empties the secrets in clear, each after its sealed value was opened and compared, and ends the watch over the earlier tables. */
export async function takeContract(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
): Promise<{ readonly emptied: readonly { readonly table: string; readonly emptied: number }[] }> {
  const carrying = await carryingOf(session, schema, dataKeys, { after: 'swap' })
  await assertMaySilence(session)
  const emptied = await emptySecrets(carrying)
  await rewriteTables(carrying)
  await recordStep(session, carrying.home, 'contract')
  return { emptied }
}

async function assertMaySilence(session: Session): Promise<void> {
  await session.query('begin')
  try {
    await session.query('set local session_replication_role = replica')
  } catch {
    throw new MigrationError(
      'this login may not silence triggers, which would change updated_at: grant set on parameter session_replication_role to it (Postgres 15 and later), or take this step as a superuser',
    )
  } finally {
    await session.query('rollback')
  }
}

/** Undoes the last step, and returns its name. Undefined where none is taken. */
export async function undoLast(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
): Promise<CarryingStep | undefined> {
  const { home } = await findEarlierPlatform(session, schema)
  const last = (await takenSteps(session, home)).at(-1)
  if (last === undefined) return undefined
  if (last === 'move') {
    await moveBack(session, retries)
    return last
  }
  const carrying = await carryingOf(session, schema, dataKeys, {})
  if (last === 'contract') {
    await assertMaySilence(session)
    await restoreSecrets(carrying)
  }
  if (last === 'swap') {
    refuseLoss(await compare(carrying), await othersInUse(carrying))
    await reopen(carrying)
  }
  if (last === 'expand') {
    await undoExpand(carrying)
    return last
  }
  await forgetStep(session, home, last)
  return last
}

/** What was written since the swap would be lost. */
function refuseLoss(tables: readonly Comparison[], others: readonly { table: string; rows: number }[]): void {
  const reasons = [
    ...tables
      .filter((table) => !isEqual(table))
      .map(({ name, missing, differing, extra, secrets }) =>
        [
          `${name}: `,
          [
            ...(extra > 0 ? [`${extra} rows are new`] : []),
            ...(differing > 0 ? [`${differing} rows are changed`] : []),
            ...(missing > 0 ? [`${missing} rows are deleted`] : []),
            ...(secrets > 0 ? [`${secrets} rows have other secrets`] : []),
          ].join(', '),
        ].join(''),
      ),
    ...others.map(({ table, rows }) => `${table}: ${rows} rows are new`),
  ]
  if (reasons.length > 0)
    throw new MigrationError(
      [
        'The way back would lose what was written since the swap:',
        ...reasons.map((one) => `- ${one}`),
        'Nothing was done',
      ].join('\n'),
    )
}

/** Removes what was carried: the organizations with all that belongs to them, and the people who are in no other one. */
async function undoExpand(carrying: Carrying): Promise<void> {
  const { session, home, tables } = carrying
  const others = await othersInUse(carrying)
  if (others.length > 0) refuseLoss([], others)
  const sourceOf = (to: string) => tables.find((table) => table.to === to)?.source
  const organizations = sourceOf('organizations')
  const people = sourceOf('users')
  await carryingTransaction(session, 'the way back of expand', async () => {
    for (const statement of unwatchStatements(tables)) await session.query(statement)
    if (organizations !== undefined) {
      await session.query(`delete from platform.audit_logs where org_id in (select o.id from ${organizations} o)`)
      await session.query(`delete from platform.organizations where id in (select o.id from ${organizations} o)`)
    }
    if (people !== undefined)
      await session.query(
        `delete from platform.users t where t.id in (select u.id from ${people} u)
         and not exists (select from platform.organization_members m where m.user_id = t.id)`,
      )
    // Plans and add-ons stay, since others may use those of the same name.
    const flags = sourceOf('feature_flags')
    if (flags !== undefined)
      await session.query(
        `delete from platform.feature_flags t where t.id in (select f.id from ${flags} f)
         and not exists (select from platform.organization_feature_flags o where o.flag_id = t.id)`,
      )
    const taken = await takenSteps(session, home)
    if (taken.includes('move')) {
      for (const name of ['expand', 'backfill', 'prove'] as const) await forgetStep(session, home, name)
      for (const name of ['changes', 'left_rows', 'progress', 'leaves'])
        await session.query(`delete from ${inHome(home, name)}`)
      const functions = await session.query<{ name: string }>(
        `select p.oid::pg_catalog.regprocedure::text as name from pg_catalog.pg_proc p where p.pronamespace = $1::text::pg_catalog.regnamespace`,
        [quoted(home)],
      )
      for (const { name } of functions) await session.query(`drop function ${name}`)
      return
    }
    await session.query(`drop schema ${quoted(home)} cascade`)
  })
}

interface Between {
  /** The step that must be taken. */
  readonly after?: CarryingStep
  /** The step that must not. */
  readonly before?: CarryingStep
}

async function carryingOf(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  { after, before }: Between,
): Promise<Carrying> {
  const { home, tables } = await findEarlierPlatform(session, schema)
  const taken = await takenSteps(session, home)
  if (after !== undefined && !taken.includes(after))
    throw new MigrationError(`${after} comes first, and is not complete: run tenantry adopt platform ${after}`)
  if (before !== undefined && taken.includes(before))
    throw new MigrationError(`${before} is taken already: undo it with tenantry adopt platform down`)
  return { session, home, tables, dataKeys }
}
