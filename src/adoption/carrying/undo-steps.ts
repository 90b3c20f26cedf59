import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import type { Session } from '../../database/session.js'
import { calmly } from './carrying.js'
import { type CarryingStep, forget, isMarked, isThere, record, takenSteps } from './carrying-home.js'
import { carryingSnapshot, carryingTransaction } from './carrying-transaction.js'
import { findEarlierPlatform } from './earlier-platform.js'
import { moveBack } from './move-schema.js'
import { assertMayEmpty, restoreSecrets } from './secrets-in-clear.js'
import { assertNoneDropped, isUnchanged, step } from './step.js'
import { madeBesides, reopen, undoExpand, writtenSince } from './way-back.js'

const ourTables = 'platform.organizations'

/** The step that `undoLast` would undo. */
export const lastStep = (session: Session, schema: string): Promise<CarryingStep | undefined> =>
  calmly(session, () => findLast(session, schema))

async function findLast(session: Session, schema: string): Promise<CarryingStep | undefined> {
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
  return step(session, schema, dataKeys, {}, async (carrying, shapes) => {
    const last = await findLast(session, schema)
    if (last === 'contract') await assertMayEmpty(carrying)
    if (!(await isThere(session, ourTables))) return { step: last, obstacles: [] }
    const isUsed = last === 'swap' && (await takenSteps(session, carrying.home)).includes('swap')
    if (isUsed || last === 'contract') assertNoneDropped(shapes)
    const obstacles = () =>
      isUsed
        ? writtenSince(carrying)
        : last === 'expand'
          ? madeBesides(carrying, isUnchanged(shapes))
          : Promise.resolve([])
    return { step: last, obstacles: await carryingSnapshot(session, `the way back of ${last}`, obstacles) }
  })
}

/**
 * Undoes the last step, also one that was interrupted, and returns its name. Undefined where none is taken. Refused where it is no longer the
 * `expected` one.
 */
export async function undoLast(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  expected?: CarryingStep,
): Promise<CarryingStep | undefined> {
  return step(session, schema, dataKeys, {}, async (carrying, shapes) => {
    const { home } = carrying
    const last = await findLast(session, schema)
    if (expected !== undefined && last !== expected)
      throw new MigrationError(`${expected} is not the last step any more. Nothing was done`)
    const isOurs = await isThere(session, ourTables)
    switch (last) {
      case 'move':
        await moveBack(session)
        break
      case 'expand':
        await undoExpand(carrying, isOurs, isUnchanged(shapes))
        break
      case 'swap':
        // Where it was interrupted, nobody has used the rows of ours yet.
        if (!isOurs || !(await takenSteps(session, home)).includes('swap')) {
          await reopen(carrying, true)
          break
        }
        assertNoneDropped(shapes)
        await reopen(carrying, false)
        break
      case 'contract':
        if (!isOurs)
          throw new MigrationError(
            `the secrets cannot be written in clear again, because the tables of tenantry that have them sealed were dropped. To open the earlier tables without them, drop the schema ${home} with cascade`,
          )
        assertNoneDropped(shapes)
        await assertMayEmpty(carrying)
        await carryingTransaction(session, 'the way back of contract', async () => {
          await record(session, home, 'emptying')
          await forget(session, home, 'contract')
        })
        await restoreSecrets(carrying)
        await forget(session, home, 'emptying')
        break
      case 'backfill':
      case 'prove':
        await forget(session, home, last)
        await forget(session, home, 'removing')
        break
      case undefined:
        break
    }
    return last
  })
}
