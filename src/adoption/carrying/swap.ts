import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import type { Session } from '../../database/session.js'
import { inHome } from '../home.js'
import { carryWaiting, drain, drainBatch } from './carry.js'
import type { Carrying, ProgressOf } from './carrying.js'
import { forget, isOfCarried, record, takenSteps } from './carrying-home.js'
import { carryingRetries, carryingTransaction, inTime, lockTogether } from './carrying-transaction.js'
import { assertRightMasterKey } from './complete-organizations.js'
import { type Proof, proved } from './proof.js'
import { assertSameTables, step } from './step.js'
import { closeStatements, sourcesOf } from './watch.js'
import { reopen } from './way-back.js'

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
  return step(session, schema, dataKeys, { after: 'prove' }, async (carrying, shapes) => {
    const { home } = carrying
    if ((await takenSteps(session, home)).includes('swap')) return { isProved: true, tables: [], unplaced: [] }
    assertSameTables(shapes)
    await assertRightMasterKey(session, dataKeys)
    const isWaiting = await close(carrying)
    return finish(carrying, isWaiting, onProgress).catch(async (error: unknown) => {
      await reopenAfter(carrying, error)
      throw error
    })
  })
}

/** What is done while the earlier tables are closed. */
async function finish(carrying: Carrying, isWaiting: boolean, onProgress: ProgressOf | undefined): Promise<Proof> {
  const { session, home } = carrying
  if (isWaiting) await carryWaiting(carrying)
  const proof = await proved(carrying, { onProgress })
  if (proof.isProved)
    await carryingTransaction(session, 'swap', async () => {
      await countInvoices(carrying)
      await record(session, home, 'swap')
      await forget(session, home, 'closing')
    })
  else await reopen(carrying, true)
  return proof
}

/** The most notes that are carried while writers wait. */
const mostUnderLock = 200

/**
 * Carries what was written meanwhile, and closes the earlier tables in a moment when that is little. Returns whether something was carried in
 * that moment, for which rows that stay may have waited.
 */
async function close(carrying: Carrying): Promise<boolean> {
  const { session, home, tables } = carrying
  for (let attempt = 1; ; attempt += 1) {
    await drain(carrying)
    await carryWaiting(carrying)
    const drained = await carryingTransaction(session, 'swap', async () => {
      await lockTogether(
        session,
        sourcesOf(tables).map(({ source }) => source),
      )
      const [row] = await session.query<{ notes: number }>(
        `select pg_catalog.count(*)::float8 as notes from ${inHome(home, 'changes')}`,
      )
      const notes = row?.notes ?? 0
      if (notes > mostUnderLock) return undefined
      await inTime(session, () => drainAll(carrying))
      for (const statement of closeStatements(home, tables)) await session.query(statement)
      await record(session, home, 'closing')
      return notes
    })
    if (drained !== undefined) return drained > 0
    if (attempt === carryingRetries.attempts)
      throw new MigrationError(
        `nothing was closed: each of ${carryingRetries.attempts} attempts found more than ${mostUnderLock} new writes. Run swap again when less is written`,
      )
  }
}

/** Nobody writes now, so that this ends. */
async function drainAll(carrying: Carrying): Promise<void> {
  for (;;) {
    const { taken, kept } = await drainBatch(carrying)
    if (taken === 0) return
    if (taken === kept)
      throw new MigrationError(
        `rows of tenantry cannot be removed, although their earlier rows are gone, because other rows refer to them: ${kept}. Nothing was closed: look for what was written into the tables of tenantry`,
      )
  }
}

/** The comparison could not come to its end, such as because the connection was lost. */
const reopenAfter = (carrying: Carrying, error: unknown): Promise<void> =>
  reopen(carrying, true).catch(() => {
    throw new MigrationError(
      `${error instanceof Error ? error.message : String(error)}. The earlier tables are closed: run tenantry adopt platform swap again, or open them with tenantry adopt platform down`,
    )
  })

/** The next invoice of an organization gets the number behind those that were carried. */
const countInvoices = ({ session, home }: Carrying): Promise<unknown> =>
  session.query(
    `update platform.subscriptions t set next_invoice_number = greatest(t.next_invoice_number, n.last + 1)
     from (select i.org_id, pg_catalog.max(i.number) as last from platform.invoices i group by i.org_id) n
     where n.org_id = t.org_id and n.last is not null and ${isOfCarried(home)}`,
  )
