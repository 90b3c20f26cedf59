import { performance } from 'node:perf_hooks'
import { InvalidInputError } from '../core/errors.js'
import type { Executor, Result } from '../core/executor.js'
import { SharedReads } from '../core/shared-reads.js'
import { statement } from '../core/statement.js'
import { readOptions } from '../core/values.js'
import { isInRollout } from './rollout.js'

/** How evaluations of feature flags are kept, in `openTenancy({ flags })`. */
export interface FlagCacheOptions {
  /**
   * For how many seconds one read of an organization's flags answers `evaluate` and `evaluateAll`: 0 to 3,600. With 0 each evaluation
   * reads. Default: 30.
   */
  readonly maxAge?: number | undefined
}

/**
 * What decided: `unknown`, there is no such flag; `archived`; `disabled`, the kill switch is off; `override`, that of the organization;
 * `rollout`, the percentage has reached the organization; `default`, the flag's default value.
 */
export type FlagReason = 'unknown' | 'archived' | 'disabled' | 'override' | 'rollout' | 'default'

export interface FlagEvaluation {
  readonly key: string
  /** Whether the flag is on. */
  readonly value: boolean
  readonly reason: FlagReason
}

/** Of one flag what decides for one organization. */
interface FlagState {
  readonly isArchived: boolean
  readonly enabled: boolean
  readonly defaultValue: boolean
  readonly percentage: number
  readonly override: FlagOverrideState | undefined
}

interface FlagOverrideState {
  readonly enabled: boolean
  /** The moment of the reader's clock at which it ends. */
  readonly ends: number
}

/** The flags of one organization by their keys. */
export type FlagStates = ReadonlyMap<string, FlagState>

/** Milliseconds since the process began. Nobody can set it. */
const processClock = (): number => performance.now()

/** Of organizations. */
const capacity = 1000
const usualAge = 30
const longestAge = 3600

/** Throws InvalidInputError. */
export function flagAge(options: unknown): number {
  const { maxAge = usualAge } = readOptions(options, ['maxAge'], 'flags')
  if (typeof maxAge === 'number' && Number.isInteger(maxAge) && maxAge >= 0 && maxAge <= longestAge) return maxAge
  throw new InvalidInputError('flags.maxAge', `must be a whole number of seconds from 0 to ${longestAge}`)
}

/** The reads that the callers of one tenancy share. Undefined with `maxAge: 0`. */
export function sharedFlags(
  executor: Executor,
  options: FlagCacheOptions | undefined,
  clock = processClock,
): SharedReads<FlagStates> | undefined {
  const maxAge = flagAge(options) * 1000
  if (maxAge === 0) return undefined
  const load = async (orgId: string): Promise<FlagStates> => {
    const begun = clock()
    const [result] = await executor.run({ kind: 'org', id: orgId }, [{ statement: allFlags, values: [orgId] }])
    return statesOf(result?.rows ?? [], begun)
  }
  return new SharedReads(load, { maxAge, capacity, clock })
}

/** `begun` is the moment at which the read was sent. An override counts as ended earlier than it is rather than later. */
export const statesOf = (rows: Result['rows'], begun: number): FlagStates =>
  new Map((rows as FlagRow[]).map((row) => [row[0], stateOf(row, begun)]))

type FlagRow = [
  key: string,
  isArchived: boolean,
  enabled: boolean,
  defaultValue: boolean,
  percentage: number,
  overriddenTo: boolean | null,
  /** How many seconds the override still has. Null where it does not expire. */
  secondsLeft: number | null,
]

function stateOf(row: FlagRow, begun: number): FlagState {
  const [, isArchived, enabled, defaultValue, percentage, overriddenTo, secondsLeft] = row
  const ends = secondsLeft === null ? Infinity : begun + secondsLeft * 1000
  return {
    isArchived,
    enabled,
    defaultValue,
    percentage,
    override: overriddenTo === null ? undefined : { enabled: overriddenTo, ends },
  }
}

/** What the flag is for the organization at a moment of the reader's clock. */
export function evaluationOf(states: FlagStates, key: string, orgId: string, now: number): FlagEvaluation {
  const state = states.get(key)
  const found = (value: boolean, reason: FlagReason): FlagEvaluation => ({ key, value, reason })
  if (state === undefined) return found(false, 'unknown')
  if (state.isArchived) return found(false, 'archived')
  if (!state.enabled) return found(false, 'disabled')
  if (state.override !== undefined && now < state.override.ends) return found(state.override.enabled, 'override')
  if (isInRollout(key, orgId, state.percentage)) return found(true, 'rollout')
  return found(state.defaultValue, 'default')
}

// The sub-select has the organization's overrides, so that the outer join is over its rows alone.
const flagsWhere = (condition: string): string => `
  select f.flag_key, f.archived_at is not null, f.enabled, f.default_value, f.rollout_percentage, o.enabled, o.seconds_left
  from platform.feature_flags f
  left join (
    select flag_id, enabled,
      extract(epoch from expires_at)::double precision - extract(epoch from statement_timestamp())::double precision as seconds_left
    from platform.organization_feature_flags where org_id = $1
  ) o on o.flag_id = f.id
  where ${condition}`

export const allFlags = statement(flagsWhere('true'), 'read')
export const oneFlag = statement(flagsWhere('f.flag_key = $2::text'), 'read')
