import type { AdoptedTable } from './adopted-schema.js'
import { buildIndexes } from './steps/keys.js'

/** The lock of a step that others notice. Locks of milliseconds count only where the step takes no longer one. */
export interface LockEstimate {
  readonly step: 'expand' | 'backfill' | 'prove' | 'swap' | 'observe' | 'enforce' | 'contract'
  /** As Postgres calls it; of `backfill` that of a row. */
  readonly lock: 'ACCESS EXCLUSIVE' | 'SHARE UPDATE EXCLUSIVE' | 'FOR NO KEY UPDATE'
  /** Who waits for it. */
  readonly waiting: 'everybody' | 'writers of the same rows' | 'writers of the rows that are put aside' | 'nobody'
  /** About how long it is held. Null where only the catalog is changed, which takes milliseconds in each statement. */
  readonly ms: number | null
}

/** The most that a batch of the backfill is to take. */
const batchMs = 200

/** `readMs` is how long one scan of the table took. A concurrent build reads the table twice, and each constraint is validated by a scan. */
export function lockEstimates(table: AdoptedTable, readMs: number): LockEstimate[] {
  const { mayLack, references, isQuarantined } = table
  const scans = 1 + references.length + (mayLack ? 1 : 0) + 2 * buildIndexes(table).length
  const moment = (step: LockEstimate['step']): LockEstimate => ({
    step,
    lock: 'ACCESS EXCLUSIVE',
    waiting: 'everybody',
    ms: null,
  })
  return [
    moment('expand'),
    ...(mayLack
      ? [{ step: 'backfill', lock: 'FOR NO KEY UPDATE', waiting: 'writers of the same rows', ms: batchMs } as const]
      : []),
    {
      step: 'prove',
      lock: 'SHARE UPDATE EXCLUSIVE',
      waiting: isQuarantined ? 'writers of the rows that are put aside' : 'nobody',
      ms: scans * readMs,
    },
    ...(['swap', 'observe', 'enforce', 'contract'] as const).map(moment),
  ]
}
