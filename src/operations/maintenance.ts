import { z } from 'zod'
import { InvalidInputError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { readScopeOptions } from '../core/scopes/scope-options.js'
import { statement } from '../core/statement.js'
import { parseInput, readOptions } from '../core/values.js'
import * as shape from '../schema/shared/shapes.js'
import { notSealedFacts } from './audit-chains.js'
import { checkPartitions, type PartitionAlarm } from './partition-alarm.js'
import type { NotSealed } from './seal-audit-log.js'
import { ask } from './stored-keys.js'
import { type MaintenanceKind, type Retention, sweeps } from './sweeps.js'
import { operate, type SystemWork } from './system-operation.js'

export interface MaintenanceOptions {
  /** The most rows of each kind. Default: 100,000. */
  readonly limit?: number | undefined
  /** How many days a session is kept after it expired or was revoked. Default: 30. */
  readonly keepSessionDays?: number | undefined
  /** How many days an unanswered invitation is kept after it expired. Default: 30. */
  readonly keepInvitationDays?: number | undefined
  /** Stops after the running batch. What is done stays done, and the next pass goes on with the rest. */
  readonly signal?: AbortSignal | undefined
  /** Called after each batch, which is a transaction of at most 1,000 rows. */
  readonly onProgress?: ((progress: MaintenanceProgress) => void | Promise<void>) | undefined
}

export interface MaintenanceProgress {
  readonly kind: MaintenanceKind
  /** The rows of this kind so far. */
  readonly rows: number
  /** How many kinds are finished. */
  readonly done: number
  /** How many kinds there are. */
  readonly total: number
}

/** What one pass did. */
export interface Maintained {
  /** How many rows were removed, queued again, rolled or sealed, by kind. */
  readonly rows: Readonly<Record<MaintenanceKind, number>>
  /** False when the limit or the signal ended the pass: there may be more. */
  readonly isComplete: boolean
  /** False without master keys: no audit entries are sealed then. */
  readonly hasKeys: boolean
  /**
   * Why new audit entries are not sealed though others were before: there are no keys, or the active one is not that of this database.
   * Otherwise null.
   */
  readonly sealingStopped: 'no keys' | 'wrong key' | null
  /** The organizations of which an audit entry could not be sealed, even alone. Everything else was done. */
  readonly notSealed: readonly NotSealed[]
  readonly partitions: PartitionAlarm
}

const batchSize = 1000
const kinds = Object.keys(sweeps) as MaintenanceKind[]
const numbers = z.strictObject({
  limit: shape.int(1, shape.maxInt).default(100_000),
  keepSessionDays: shape.int(0, 36_500).default(30),
  keepInvitationDays: shape.int(0, 36_500).default(30),
})
const names = [...numbers.keyof().options, 'signal', 'onProgress'] as const

/** Ends and removes what is past, for a cron job. */
export class Maintenance {
  constructor(private readonly work: SystemWork) {}

  /**
   * One pass: task leases, idempotency keys, hourly windows of API keys, invitations and sessions that are past, subscriptions
   * without a payment provider, and audit entries to seal, in short transactions of at most 1,000 rows. It may be stopped, repeated,
   * and run twice at once. A pass that did something is recorded once.
   */
  async run(options?: MaintenanceOptions): Promise<Maintained> {
    const given = readRun(options)
    const pass = new Pass(this.work, given)
    try {
      await pass.sweep()
    } catch (error) {
      // What was done before the failure is recorded too, if the database still answers.
      await this.record(pass).catch(() => undefined)
      throw error
    }
    await this.record(pass)
    const partitions = await checkPartitions(this.work)
    const { rows, isComplete, notSealed } = pass
    const hasKeys = this.work.chainKeys !== undefined
    return { rows, isComplete, hasKeys, sealingStopped: await whyStopped(this.work, pass), notSealed, partitions }
  }

  private async record({ rows, isComplete, notSealed }: Pass): Promise<void> {
    if (notSealed.length === 0 && Object.values(rows).every((count) => count === 0)) return
    const metadata = () => ({ rows, isComplete, ...notSealedFacts(notSealed) })
    await operate(this.work, 'maintenance.run', undefined, () => Promise.resolve(), { metadata })
  }
}

async function whyStopped(work: SystemWork, { hasWrongKey }: Pass): Promise<Maintained['sealingStopped']> {
  if (hasWrongKey) return 'wrong key'
  if (work.chainKeys !== undefined) return null
  return (await hasStoppedSealing(work.scopeAbout(undefined))) ? 'no keys' : null
}

const hasStoppedSealing = (scope: Scope): Query<boolean> =>
  ask(scope, findUnsealed, [], ({ rows: [row] }) => row?.[0] === true)

const findUnsealed = statement(
  `select exists (select 1 from platform.audit_seals where seq > 0 limit 1)
     and exists (select 1 from platform.audit_logs where seq is null limit 1)`,
  'read',
)

type Run = ReturnType<typeof readRun>

function readRun(options: unknown) {
  const { signal, onProgress, ...asked } = readOptions(options, names)
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new InvalidInputError('onProgress', 'must be a function')
  }
  return {
    ...parseInput(numbers, asked),
    signal: readScopeOptions({ signal }).signal,
    onProgress: onProgress as MaintenanceOptions['onProgress'],
  }
}

/** The state of one pass. */
class Pass {
  readonly rows = Object.fromEntries(kinds.map((kind) => [kind, 0])) as Record<MaintenanceKind, number>
  notSealed: readonly NotSealed[] = []
  hasWrongKey = false
  private done = 0

  constructor(
    private readonly work: SystemWork,
    private readonly run: Run,
  ) {}

  get isComplete(): boolean {
    return this.done === kinds.length
  }

  async sweep(): Promise<void> {
    for (const kind of kinds) await this.sweepKind(kind)
  }

  private async sweepKind(kind: MaintenanceKind): Promise<void> {
    const { limit, keepSessionDays, keepInvitationDays, signal, onProgress } = this.run
    const retention: Retention = { sessionDays: keepSessionDays, invitationDays: keepInvitationDays }
    const next = sweeps[kind](this.work, retention)
    while (signal?.aborted !== true && this.rows[kind] < limit) {
      const {
        rows,
        isLast,
        notSealed = [],
        hasWrongKey = false,
      } = await next(Math.min(batchSize, limit - this.rows[kind]))
      if (notSealed.length > 0) this.notSealed = notSealed
      this.hasWrongKey ||= hasWrongKey
      this.rows[kind] += rows
      if (isLast) this.done += 1
      await onProgress?.({ kind, rows: this.rows[kind], done: this.done, total: kinds.length })
      if (isLast) return
    }
  }
}
