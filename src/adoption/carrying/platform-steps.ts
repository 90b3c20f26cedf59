import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import type { Session } from '../../database/session.js'
import type { Finding } from '../findings.js'
import { closeHome, inHome } from '../home.js'
import { assertMaySilence } from '../silence.js'
import { literal } from '../sql.js'
import { analysePlatform, shapeFindings } from './analyse-platform.js'
import { type CarriedRows, carryRows, type CarryOptions, drain, drainBatch, readCarried } from './carry.js'
import { isSame, mapped } from './carried-table.js'
import { alone, type Carrying, type ProgressOf } from './carrying.js'
import {
  type CarryingStep,
  carryingSteps,
  forget,
  homeStatements,
  isMarked,
  isThere,
  record,
  takenSteps,
} from './carrying-home.js'
import { carryingSnapshot, carryingTransaction, wholeReader } from './carrying-transaction.js'
import { compare, type Comparison, isEqual } from './compare.js'
import { assertRightMasterKey } from './complete-organizations.js'
import { findEarlierPlatform } from './earlier-platform.js'
import { moveBack, moveSchema } from './move-schema.js'
import { type EmptiedSecrets, emptySecrets, restoreSecrets, rewriteTables } from './secrets-in-clear.js'
import { closeStatements, lockStatements, watchStatements } from './watch.js'
import { othersInUse, reopen, undoExpand, writtenSince } from './way-back.js'

export interface PlatformStatus {
  readonly schema: string
  readonly steps: readonly { readonly name: CarryingStep; readonly state: 'taken' | 'half' | 'pending' }[]
  /** Writes since `expand` that are not carried yet. */
  readonly waiting: number
  readonly tables: readonly CarriedRows[]
}

export async function platformStatus(session: Session, schema: string): Promise<PlatformStatus> {
  const { home, tables, schema: found } = await findEarlierPlatform(session, schema)
  const taken = await takenSteps(session, home)
  const isExpanded = taken.includes('expand')
  const half = {
    swap: isExpanded && (await isMarked(session, home, 'closing')),
    contract: isExpanded && (await isMarked(session, home, 'emptying')),
  }
  const [row] = isExpanded
    ? await session.query<{ waiting: number }>(
        `select pg_catalog.count(*)::float8 as waiting from ${inHome(home, 'changes')}`,
      )
    : []
  return {
    schema: found,
    steps: carryingSteps.map((name) => ({
      name,
      state: taken.includes(name) ? 'taken' : half[name as keyof typeof half] ? 'half' : 'pending',
    })),
    waiting: row?.waiting ?? 0,
    tables: isExpanded ? await readCarried(session, home, tables) : [],
  }
}

interface Dry {
  /** Returns the statements, and runs none. */
  readonly isDry?: boolean
}

const ourTables = 'platform.organizations'

/** Gives the earlier tables another schema, so that those of tenantry get theirs. */
export async function takeMove(session: Session, schema: string, { isDry = false }: Dry = {}): Promise<string[]> {
  const earlier = await findEarlierPlatform(session, schema)
  if (!earlier.isInTheWay)
    throw new MigrationError(`${earlier.schema} does not have the name platform, so it need not move`)
  return moveSchema(session, isDry)
}

/** Notes from here on what is written, so that the rows can be carried while the application works. Does nothing where it was taken before. */
export async function takeExpand(
  session: Session,
  schema: string,
  leave: readonly string[],
  { isDry = false }: Dry = {},
): Promise<string[]> {
  const { home, isInTheWay, tables } = await findEarlierPlatform(session, schema)
  if (isInTheWay)
    throw new MigrationError(
      'the schema platform has the name that the tables of tenantry need: run tenantry adopt platform move first',
    )
  if (!(await isThere(session, ourTables)))
    throw new MigrationError('the tables of tenantry are not in this database yet: run tenantry migrate up first')
  if ((await takenSteps(session, home)).includes('expand')) return []
  for (const name of leave)
    if (!tables.some(({ from }) => from.name === name))
      throw new MigrationError(`--leave names ${name}, which is no table that is carried`)
  const { findings } = await analysePlatform(session, schema, leave)
  const open = [...findings, ...(await takenIds(session, tables))].filter(({ needs }) => needs === 'mend')
  if (open.length > 0)
    throw new MigrationError(
      [
        'These rows have no place in tenantry:',
        ...open.map(({ message }) => `- ${message}`),
        'Mend them in the earlier tables, or name their table with --leave; tenantry adopt platform analyse prints their ids',
      ].join('\n'),
    )
  return carryingTransaction(session, 'expand', async () => {
    const statements = [
      ...((await isThere(session, inHome(home, 'steps'))) ? [] : homeStatements(home)),
      ...watchStatements(home, withShape(tables)),
      ...leave.map((name) => `insert into ${inHome(home, 'leaves')} values (${literal(name)}) on conflict do nothing`),
      closeHome(home),
    ]
    if (isDry) return statements
    for (const statement of statements) await session.query(statement)
    await record(session, home, 'expand')
    return statements
  })
}

/** Rows that tenantry has already under the ids of earlier ones would be overwritten. */
async function takenIds(session: Session, tables: Carrying['tables']): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const table of withShape(tables).filter(({ isCatalog }) => !isCatalog)) {
    const [row] = await wholeReader(session).query<{ count: number }>(
      `select pg_catalog.count(*)::float8 as count from (${mapped(table)}) m join ${table.target} t on ${isSame(table)}`,
    )
    if (row !== undefined && row.count > 0)
      findings.push({
        table: table.from.name,
        kind: 'taken',
        needs: 'mend',
        message: `${table.from.name} has ${row.count} rows with the id of a row that tenantry has already`,
      })
  }
  return findings
}

const withShape = (tables: Carrying['tables']) => tables.filter((table) => shapeFindings(table).length === 0)

/** Carries the rows. May be interrupted, and goes on where it stopped. */
export async function takeBackfill(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  options: CarryOptions = {},
): Promise<{ readonly isComplete: boolean; readonly tables: readonly CarriedRows[] }> {
  return step(session, schema, dataKeys, { after: 'expand', before: 'swap' }, async (carrying) => {
    await assertRightMasterKey(session, dataKeys)
    await forget(session, carrying.home, 'prove')
    const isComplete = await carryRows(carrying, options)
    if (isComplete) await record(session, carrying.home, 'backfill')
    return { isComplete, tables: await readCarried(session, carrying.home, carrying.tables) }
  })
}

export interface Proof {
  readonly isProved: boolean
  readonly tables: readonly Comparison[]
  /** Rows that stay, and that nobody has left by name, in sentences. */
  readonly unplaced: readonly string[]
}

/** Compares every row and every secret. Writers go on: what they have written and is not carried yet is left out. */
export async function takeProve(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  onProgress?: ProgressOf,
): Promise<Proof> {
  return step(session, schema, dataKeys, { after: 'backfill', before: 'swap' }, async (carrying) => {
    await assertRightMasterKey(session, dataKeys)
    await drain(carrying)
    const proof = await proved(carrying, onProgress)
    if (proof.isProved) await record(session, carrying.home, 'prove')
    return proof
  })
}

async function proved(carrying: Carrying, onProgress?: ProgressOf): Promise<Proof> {
  const { session, home } = carrying
  const tables = await carryingSnapshot(session, 'the comparison', () => compare(carrying, onProgress))
  const left = await readCarried(session, home, carrying.tables)
  const named = await session.query<{ name: string }>(`select table_name as name from ${inHome(home, 'leaves')}`)
  const unplaced = left.flatMap((table) => {
    const { from, conditions = [] } = carrying.tables.find(({ name }) => name === table.name) ?? {}
    if (from === undefined || named.some(({ name }) => name === from.name)) return []
    const isMeant = (reason: string) =>
      conditions.some(({ otherwise, isFault }) => otherwise === reason && isFault !== true)
    return table.left
      .filter(({ reason }) => !isMeant(reason))
      .map(({ reason, rows }) => `${from.name} has ${rows === 1 ? '1 row' : `${rows} rows`} that ${reason}`)
  })
  return { isProved: tables.every(isEqual) && unplaced.length === 0, tables, unplaced }
}

/**
 * Closes the earlier tables, and proves once more. From here on the application writes ours. Does nothing where it was taken before, since ours
 * have newer rows by then.
 */
export async function takeSwap(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  onProgress?: ProgressOf,
): Promise<Proof> {
  return step(session, schema, dataKeys, { after: 'prove' }, async (carrying) => {
    const { home, tables } = carrying
    if ((await takenSteps(session, home)).includes('swap')) return { isProved: true, tables: [], unplaced: [] }
    await assertRightMasterKey(session, dataKeys)
    await drain(carrying)
    await carryingTransaction(session, 'swap', async () => {
      for (const statement of lockStatements(tables)) await session.query(statement)
      // Nobody writes now, so that this ends.
      while ((await drainBatch(carrying)) > 0);
      for (const statement of closeStatements(home, tables)) await session.query(statement)
      await record(session, home, 'closing')
    })
    const proof = await proved(carrying, onProgress)
    if (!proof.isProved) {
      await reopen(carrying, true)
      return proof
    }
    await carryingTransaction(session, 'swap', async () => {
      await countInvoices(carrying)
      await record(session, home, 'swap')
      await forget(session, home, 'closing')
    })
    return proof
  })
}

/** The next invoice of an organization gets the number behind those that were carried. */
const countInvoices = ({ session, tables }: Carrying): Promise<unknown> => {
  const organizations = tables.find(({ to }) => to === 'organizations')?.source
  return session.query(
    `update platform.subscriptions t set next_invoice_number = greatest(t.next_invoice_number, n.last + 1)
     from (select i.org_id, pg_catalog.max(i.number) as last from platform.invoices i group by i.org_id) n
     where n.org_id = t.org_id and n.last is not null and t.org_id in (select o.id from ${organizations} o)`,
  )
}

/** Empties the secrets in clear. Goes on where it was interrupted. */
export async function takeContract(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
): Promise<{ readonly tables: readonly EmptiedSecrets[] }> {
  return step(session, schema, dataKeys, { after: 'swap' }, async (carrying) => {
    await assertSilence(carrying)
    await record(session, carrying.home, 'emptying')
    const tables = await emptySecrets(carrying)
    await rewriteTables(carrying)
    await carryingTransaction(session, 'contract', async () => {
      await record(session, carrying.home, 'contract')
      await forget(session, carrying.home, 'emptying')
    })
    return { tables }
  })
}

/** Of the tables with secrets, which are emptied and written again without a trigger that fires. */
async function assertSilence({ session, tables }: Carrying): Promise<void> {
  const secret = tables.filter(({ sealed }) => sealed.length > 0)
  for (const { from } of secret)
    if (from.triggers.some(({ isNeverSilent }) => isNeverSilent))
      throw new MigrationError(
        `${from.name} has a trigger that fires even in sessions that silence triggers: make it an ordinary one with \`alter table … enable trigger\``,
      )
  await assertMaySilence(
    session,
    secret.map(({ from }) => from.name),
  )
}

/** The step that `undoLast` would undo. */
export async function lastStep(session: Session, schema: string): Promise<CarryingStep | undefined> {
  const { home } = await findEarlierPlatform(session, schema)
  const taken = await takenSteps(session, home)
  if (taken.includes('expand') && (await isMarked(session, home, 'emptying'))) return 'contract'
  if (taken.includes('expand') && (await isMarked(session, home, 'closing'))) return 'swap'
  return taken.at(-1)
}

export interface UndoPreview {
  readonly step: CarryingStep | undefined
  /** Rows for which it would be refused. */
  readonly obstacles: readonly string[]
}

/** The step that `undoLast` would undo. Changes nothing. */
export async function previewUndo(session: Session, schema: string, dataKeys: DataKeys): Promise<UndoPreview> {
  return step(session, schema, dataKeys, {}, async (carrying) => {
    const last = await lastStep(session, schema)
    if (last === 'contract') await assertSilence(carrying)
    if (!(await isThere(session, ourTables))) return { step: last, obstacles: [] }
    const isUsed = last === 'swap' && (await takenSteps(session, carrying.home)).includes('swap')
    const obstacles = () =>
      isUsed ? writtenSince(carrying) : last === 'expand' ? othersInUse(carrying) : Promise.resolve([])
    return { step: last, obstacles: await carryingSnapshot(session, `the way back of ${last}`, obstacles) }
  })
}

/** Undoes the last step, also one that was interrupted, and returns its name. Undefined where none is taken. */
export async function undoLast(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
): Promise<CarryingStep | undefined> {
  return step(session, schema, dataKeys, {}, async (carrying) => {
    const { home } = carrying
    const last = await lastStep(session, schema)
    const isOurs = await isThere(session, ourTables)
    switch (last) {
      case 'move':
        await moveBack(session)
        break
      case 'expand':
        await undoExpand(carrying, isOurs)
        break
      case 'swap':
        // Where it was interrupted, nobody has used the rows of ours yet.
        await reopen(carrying, !isOurs || !(await takenSteps(session, home)).includes('swap'))
        break
      case 'contract':
        if (!isOurs)
          throw new MigrationError(
            'the secrets cannot be written in clear again, because the tables of tenantry that have them sealed were dropped',
          )
        await assertSilence(carrying)
        await restoreSecrets(carrying)
        await carryingTransaction(session, 'the way back of contract', async () => {
          await forget(session, home, 'contract')
          await forget(session, home, 'emptying')
        })
        break
      case 'backfill':
      case 'prove':
        await forget(session, home, last)
        break
      case undefined:
        break
    }
    return last
  })
}

interface Between {
  /** The step that must be taken. */
  readonly after?: CarryingStep
  /** The step that must not. */
  readonly before?: CarryingStep
}

/** Runs a step while no other one runs. What has to be taken before is looked at inside, since another one may have just ended. */
async function step<T>(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  { after, before }: Between,
  work: (carrying: Carrying) => Promise<T>,
): Promise<T> {
  const { home, tables } = await findEarlierPlatform(session, schema)
  return alone(session, home, async () => {
    const taken = await takenSteps(session, home)
    if (after !== undefined && !taken.includes(after))
      throw new MigrationError(`${after} comes first, and is not complete: run tenantry adopt platform ${after}`)
    if (
      before !== undefined &&
      (taken.includes(before) || (after !== undefined && (await isMarked(session, home, 'closing'))))
    )
      throw new MigrationError(`${before} is taken already: undo it with tenantry adopt platform down`)
    return work({ session, home, tables: withShape(tables), dataKeys })
  })
}
