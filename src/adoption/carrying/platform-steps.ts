import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import type { Session } from '../../database/session.js'
import type { Finding } from '../findings.js'
import { closeHome, inHome } from '../home.js'
import { literal } from '../sql.js'
import { analysePlatform } from './analyse-platform.js'
import { type CarriedRows, carryRows, type CarryOptions, carryWaiting, drain, readCarried } from './carry.js'
import { type CarriedTable, isSame, mapped } from './carried-table.js'
import { alone, type Carrying, type ProgressOf } from './carrying.js'
import { forget, homeStatements, isMarked, isThere, record, roots, rootsOf, takenSteps } from './carrying-home.js'
import { carryingTransaction, lockTogether, wholeReader } from './carrying-transaction.js'
import { assertRightMasterKey } from './complete-organizations.js'
import { type EarlierPlatform, findEarlierPlatform } from './earlier-platform.js'
import { moveSchema } from './move-schema.js'
import { type Proof, proved } from './proof.js'
import {
  assertMayEmpty,
  assertSealed,
  type EmptiedSecrets,
  emptySecrets,
  keptInClear,
  type Rewritten,
  rewriteTables,
} from './secrets-in-clear.js'
import { assertSameShapes, assertSameTables, step, withShape } from './step.js'
import { sourcesOf, watchStatements } from './watch.js'

interface Dry {
  /** Returns the statements, and runs none. */
  readonly isDry?: boolean
}

/** Gives the earlier tables another schema, so that those of tenantry get theirs. */
export async function takeMove(session: Session, schema: string, { isDry = false }: Dry = {}): Promise<string[]> {
  const earlier = await findEarlierPlatform(session, schema)
  if (!earlier.isInTheWay)
    throw new MigrationError(`${earlier.schema} does not have the name platform, so it need not move`)
  return moveSchema(session, isDry)
}

export interface Expanded {
  readonly statements: readonly string[]
  /** Whether it was taken before. */
  readonly wasTaken: boolean
}

/**
 * Notes from here on what is written, so that the rows can be carried while the application works. Where it was taken before, it only adds to
 * the tables of which rows may stay. Returns the statements.
 */
export async function takeExpand(
  session: Session,
  schema: string,
  leave: readonly string[],
  { isDry = false }: Dry = {},
): Promise<Expanded> {
  const earlier = await findEarlierPlatform(session, schema)
  return alone(session, earlier.home, () => expandAlone(session, earlier, leave, isDry))
}

async function expandAlone(
  session: Session,
  { schema, home, isInTheWay, hasOurs, tables }: EarlierPlatform,
  leave: readonly string[],
  isDry: boolean,
): Promise<Expanded> {
  if (isInTheWay)
    throw new MigrationError(
      'the schema platform has the name that the tables of tenantry need: run tenantry adopt platform move first',
    )
  if (!hasOurs)
    throw new MigrationError('the tables of tenantry are not in this database yet: run tenantry migrate up first')
  for (const name of leave)
    if (!tables.some(({ from }) => from.name === name))
      throw new MigrationError(`--leave ${name}: there is no such table among those that are carried`)
  const leaving = leave.map(
    (name) => `insert into ${inHome(home, 'leaves')} values (${literal(name)}) on conflict do nothing`,
  )
  const steps = await takenSteps(session, home)
  if (steps.includes('expand')) {
    if (leaving.length > 0 && (steps.includes('swap') || (await isMarked(session, home, 'closing'))))
      throw new MigrationError('swap is taken, and --leave is for the steps before it')
    // Notes the rows that already stay, so that the next drain removes what is left of them in ours.
    const noted = tables
      .filter(({ from }) => leave.includes(from.name))
      .map(
        ({ name, from }) =>
          `insert into ${inHome(home, 'changes')} (table_name, key) select ${literal(from.name)}, l.key from ${inHome(home, 'left_rows')} l where l.table_name = ${literal(name)}`,
      )
    const statements = [...leaving, ...noted]
    if (!isDry)
      await carryingTransaction(session, 'expand', async () => {
        for (const statement of statements) await session.query(statement)
      })
    return { statements, wasTaken: true }
  }
  const isPrepared = await isThere(session, inHome(home, 'steps'))
  const { findings } = await analysePlatform(session, schema, leave)
  const readable = tables.filter(
    ({ from }) => !findings.some(({ table, kind }) => table === from.name && kind === 'unreadable'),
  )
  const taken = await takenIds(session, readable, isPrepared ? home : undefined)
  const open = [...findings, ...taken].filter(({ needs }) => needs === 'mend')
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
      ...(isPrepared ? [] : homeStatements(home)),
      ...watchStatements(home, withShape(tables)),
      ...leaving,
      closeHome(home),
    ]
    if (isDry) return { statements, wasTaken: false }
    await lockTogether(
      session,
      sourcesOf(withShape(tables)).map(({ source }) => source),
    )
    for (const statement of statements) await session.query(statement)
    await record(session, home, 'expand')
    return { statements, wasTaken: false }
  })
}

/**
 * Rows that tenantry has already under the ids of earlier ones would be overwritten. In a home that stayed, people and flags are known that
 * were carried before; they would be overwritten where tenantry has changed them since.
 */
async function takenIds(session: Session, tables: Carrying['tables'], home: string | undefined): Promise<Finding[]> {
  const findings: Finding[] = []
  const count = async (table: CarriedTable, condition: string, what: string) => {
    const [row] = await wholeReader(session).query<{ count: number }>(
      `select pg_catalog.count(*)::float8 as count from (${mapped(table)}) m join ${table.target} t on ${isSame(table)} where ${condition}`,
    )
    if (row !== undefined && row.count > 0)
      findings.push({
        table: table.from.name,
        kind: 'taken',
        needs: 'mend',
        message: `${table.from.name} has rows ${what}: ${row.count}`,
      })
  }
  for (const table of withShape(tables)) {
    const isKnown = home !== undefined && roots.includes(table.to) ? `t.id in (${rootsOf(home, table.to)})` : 'false'
    if (!table.isCatalog) await count(table, `not (${isKnown})`, 'with the id of a row that tenantry has already')
    if (isKnown !== 'false' && table.columns.some(({ name }) => name === 'updated_at'))
      await count(
        table,
        `${isKnown} and t.updated_at > m.updated_at`,
        'that tenantry has changed since they were carried before: write the changes into the earlier rows too',
      )
  }
  return findings
}

export interface BackfillOptions extends CarryOptions {
  /** Goes over all rows again, and removes those of ours that no earlier row leads to. */
  readonly again?: boolean
}

/** Carries the rows. May be interrupted, and goes on where it stopped. */
export async function takeBackfill(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  { again = false, ...options }: BackfillOptions = {},
): Promise<{ readonly isComplete: boolean; readonly tables: readonly CarriedRows[] }> {
  return step(session, schema, dataKeys, { after: 'expand', before: 'swap' }, async (carrying, shapes) => {
    assertSameTables(shapes)
    await assertRightMasterKey(session, dataKeys)
    await forget(session, carrying.home, 'prove')
    if (again) await beginAgain(carrying)
    const isComplete = await carryRows(carrying, options)
    if (isComplete) await record(session, carrying.home, 'backfill')
    return { isComplete, tables: await readCarried(session, carrying.home, carrying.tables) }
  })
}

/** After an interruption, a backfill without `again` finishes the removal. */
const beginAgain = ({ session, home }: Carrying): Promise<void> =>
  carryingTransaction(session, 'the backfill', async () => {
    await session.query(`delete from ${inHome(home, 'progress')}`)
    await forget(session, home, 'backfill')
    await record(session, home, 'removing')
  })

/** Compares every row and every secret. Writers go on: what they have written and is not carried yet is left out. */
export async function takeProve(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  onProgress?: ProgressOf,
): Promise<Proof> {
  return step(session, schema, dataKeys, { after: 'backfill', before: 'swap' }, async (carrying, shapes) => {
    assertSameTables(shapes)
    await assertRightMasterKey(session, dataKeys)
    await forget(session, carrying.home, 'prove')
    await drain(carrying)
    await carryWaiting(carrying)
    // What was kept for rows that came later is removed by now.
    const { kept } = await drain(carrying)
    const proof = await proved(carrying, { onProgress, kept })
    if (proof.isProved) await record(session, carrying.home, 'prove')
    return proof
  })
}

export interface Contracted extends Rewritten {
  readonly tables: readonly EmptiedSecrets[]
}

/** Empties the secrets in clear. Goes on where it was interrupted. */
export async function takeContract(session: Session, schema: string, dataKeys: DataKeys): Promise<Contracted> {
  return step(session, schema, dataKeys, { after: 'swap' }, async (carrying, shapes) => {
    assertSameShapes(shapes)
    await assertMayEmpty(carrying)
    await assertSealed(carrying)
    await record(session, carrying.home, 'emptying')
    const emptied = await emptySecrets(carrying)
    const rewritten = await rewriteTables(carrying)
    await carryingTransaction(session, 'contract', async () => {
      await record(session, carrying.home, 'contract')
      await forget(session, carrying.home, 'emptying')
    })
    const { tables } = await findEarlierPlatform(session, schema)
    const others = tables.filter(({ from }) => !carrying.tables.some((table) => table.from.name === from.name))
    return { tables: [...emptied, ...(await keptInClear(session, others))], ...rewritten }
  })
}
