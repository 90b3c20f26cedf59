import { z } from 'zod'
import { unlessAborted } from '../core/abort.js'
import { InvalidInputError, NotFoundError } from '../core/errors.js'
import type { Call } from '../core/executor.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import type { SharedReads } from '../core/shared-reads.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { statement } from '../core/statement.js'
import { ownProperties, parseInput, readOptions } from '../core/values.js'
import {
  type FlagOverride,
  type FlagOverrideValues,
  flagOverrideValues,
  newFlagOverride,
  organizationFeatureFlags,
} from '../schema/feature-flags.js'
import * as shape from '../schema/shared/shapes.js'
import { allFlags, evaluationOf, type FlagEvaluation, type FlagStates, oneFlag, statesOf } from './flag-states.js'
import { actingUser } from './role-rights.js'

export interface EvaluationOptions {
  /** Reads now. Default: an earlier read of the organization's flags answers, no older than `openTenancy({ flags: { maxAge } })`. */
  readonly strict?: boolean | undefined
}

/** An override together with the key of its flag. */
export interface KeyedFlagOverride extends FlagOverride {
  readonly flagKey: string
}

const tableOptions = { permission: 'flags' }
const key = shape.label(100)
const evaluateAllInput = z.strictObject({ strict: z.boolean().optional() })
const evaluateInput = evaluateAllInput.extend({ key })
const keyInput = z.strictObject({ key })
const overrideInput = flagOverrideValues.extend({ key })

/** The feature flags of the platform, as they are for this organization. */
export class Flags {
  constructor(private readonly scope: Scope) {}

  /**
   * Whether the flag is on, and why. Unknown and archived flags are off. It needs no permission. While an earlier read of the
   * organization's flags is fresh, nothing is sent, unless with `strict`. In a transaction and in a batch it always reads.
   */
  evaluate(key: string, options?: EvaluationOptions): Query<FlagEvaluation> {
    return this.read({
      asked: () => parseInput(evaluateInput, { ...given(options), key }),
      call: ({ key }) => ({ statement: oneFlag, values: [this.orgId, key] }),
      answer: (states, { key }, now) => evaluationOf(states, key, this.orgId, now),
    })
  }

  /** Every flag that is not archived, by its key. Otherwise as `evaluate`. */
  evaluateAll(options?: EvaluationOptions): Query<Readonly<Record<string, FlagEvaluation>>> {
    return this.read({
      asked: () => parseInput(evaluateAllInput, given(options)),
      call: () => ({ statement: allFlags, values: [this.orgId] }),
      answer: (states, _, now) => {
        const evaluations = [...states.keys()].map((key) => evaluationOf(states, key, this.orgId, now))
        return Object.fromEntries(
          evaluations.flatMap((one) => (one.reason === 'archived' ? [] : [[one.key, one] as const])),
        )
      },
    })
  }

  /** The organization's overrides in the order of the keys, expired ones and those of archived flags too. */
  overrides(): Query<KeyedFlagOverride[]> {
    const rows = this.rows(this.scope)
    const statement = ownStatement(
      rows.plan,
      Flags,
      'overrides',
      false,
      ({ sql, selected }) => `select ${selected},
          (select f.flag_key from platform.feature_flags f where f.id = flag_id) as flag_key
        from ${sql} where "org_id" = $1 order by flag_key`,
    )
    return rows.run(
      statement,
      () => [],
      (result) => rows.rowsOf(result).map((row, at) => ({ ...row, flagKey: result.rows[at]?.at(-1) as string })),
    )
  }

  /**
   * Switches the flag on or off for this organization, until `expiresAt` where it is given. It replaces an earlier override as a whole.
   * Throws NotFoundError for a flag that is unknown or archived.
   */
  override(key: string, values: FlagOverrideValues): Promise<KeyedFlagOverride> {
    return this.changing(async (scope, rows) => {
      const {
        key: flagKey,
        enabled,
        reason = null,
        expiresAt = null,
      } = parseInput(overrideInput, { ...ownProperties(values), key })
      const flag = await findFlag(scope, flagKey, expiresAt)
      if (flag === undefined || flag.isArchived) throw new NotFoundError('feature_flags')
      if (flag.isPast) throw new InvalidInputError('expiresAt', 'must be in the future')
      const override = { flagId: flag.id, enabled, reason, expiresAt }
      const managed = { setBy: actingUser(scope) ?? null }
      const event = 'override'
      const row = await rows.putRow(newFlagOverride, override, 'organization_feature_flags_flag_key', {
        managed,
        event,
      })
      return { ...row, flagKey }
    })
  }

  /** Removes the organization's override. Returns whether there was one. */
  clear(key: string): Promise<boolean> {
    return this.changing(async (scope, rows) => {
      const flag = await findFlag(scope, parseInput(keyInput, { key }).key)
      return flag !== undefined && (await rows.deleteRows({ flagId: flag.id })) > 0
    })
  }

  private get orgId(): string {
    return ownerId(this.scope, 'org')
  }

  private rows(scope: Scope): ScopedTable<FlagOverride> {
    return new ScopedTable<FlagOverride>(scope, organizationFeatureFlags, tableOptions)
  }

  private read<Asked extends z.output<typeof evaluateAllInput>, T>(evaluation: Evaluation<Asked, T>): Query<T> {
    const { context, isDirect } = this.scope
    const shared = context.rules.flags as SharedReads<FlagStates> | undefined
    if (isDirect && shared !== undefined) return this.readShared(evaluation, shared) as Query<T>
    return this.readNow(evaluation, evaluation.asked)
  }

  private async readShared<Asked extends z.output<typeof evaluateAllInput>, T>(
    evaluation: Evaluation<Asked, T>,
    shared: SharedReads<FlagStates>,
  ): Promise<T> {
    const asked = evaluation.asked()
    if (asked.strict === true) return this.readNow(evaluation, () => asked)
    const states = await unlessAborted(shared.get(this.orgId), this.scope.context.signal)
    return evaluation.answer(states, asked, shared.now())
  }

  private readNow<Asked, T>({ call, answer }: Evaluation<Asked, T>, ask: () => Asked): Query<T> {
    return this.scope.query(() => {
      const asked = ask()
      return planned(call(asked), ({ rows }) => answer(statesOf(rows, 0), asked, 0))
    })
  }

  private changing<T>(work: (scope: Scope, rows: ScopedTable<FlagOverride>) => Promise<T>): Promise<T> {
    const { flags } = this.scope.context.rules
    return this.scope.steps(
      async (scope) => {
        scope.context.rules.authorize(`${tableOptions.permission}:write`, undefined)
        return work(scope, this.rows(scope))
      },
      // Another call may have read, and kept, what was there before the commit.
      () => flags?.forget(this.orgId),
    )
  }
}

interface Evaluation<Asked, T> {
  readonly asked: () => Asked
  readonly call: (asked: Asked) => Call
  /** `now` is a moment of the clock that the states were read by. */
  readonly answer: (states: FlagStates, asked: Asked, now: number) => T
}

const given = (options: EvaluationOptions | undefined): object => readOptions(options, ['strict'])

interface FoundFlag {
  readonly id: string
  readonly isArchived: boolean
  /** Whether the end that was asked for has passed by the database's clock. */
  readonly isPast: boolean
}

const flagByKey = statement(
  `select id, archived_at is not null, coalesce($2::timestamptz <= statement_timestamp(), false)
   from platform.feature_flags where flag_key = $1::text`,
  'read',
)

const findFlag = (scope: Scope, flagKey: string, end: Date | null = null): Query<FoundFlag | undefined> =>
  scope.query(() =>
    planned({ statement: flagByKey, values: [flagKey, end?.toISOString() ?? null] }, ({ rows: [row] }) => {
      if (row === undefined) return undefined
      const [id, isArchived, isPast] = row as [string, boolean, boolean]
      return { id, isArchived, isPast }
    }),
  )
