import type { ErrorCode, JsonValue, Provider, ResolutionDetails } from '@openfeature/server-sdk'
import { InvalidInputError, TenantryError } from './core/errors.js'
import type { FlagReason } from './operations/flag-states.js'
import type { Org } from './org.js'

/**
 * The flags of one organization as a provider of OpenFeature: `OpenFeature.setProvider(orgId, new OrgFlagProvider(org))`. The scope alone
 * says which organization it is: nothing is read from the evaluation context.
 */
export class OrgFlagProvider implements Provider {
  readonly runsOn = 'server'
  readonly metadata = { name: 'tenantry' } as const
  readonly #org: Org

  /** Throws InvalidInputError for anything but the scope of an organization. */
  constructor(org: Org) {
    if (!isOrg(org)) throw new InvalidInputError('org', 'must be a scope, such as tenancy.forOrg(orgId)')
    this.#org = org
  }

  /** As `org.flags.evaluate(key)`. `flagMetadata.reason` is its reason. An unknown flag is FLAG_NOT_FOUND, with the default value. */
  async resolveBooleanEvaluation(flagKey: string, defaultValue: boolean): Promise<ResolutionDetails<boolean>> {
    try {
      const { value, reason } = await this.#org.flags.evaluate(flagKey)
      if (reason === 'unknown') return failed(defaultValue, 'FLAG_NOT_FOUND' as ErrorCode, 'there is no such flag')
      return { value, reason: reasons[reason], flagMetadata: { reason } }
    } catch (error) {
      // The SDK would take `code` of our errors for one of its own codes.
      if (error instanceof TenantryError) return failed(defaultValue, 'GENERAL' as ErrorCode, error.message)
      throw error
    }
  }

  /** Flags are booleans: TYPE_MISMATCH, with the default value. */
  resolveStringEvaluation(_: string, defaultValue: string): Promise<ResolutionDetails<string>> {
    return mismatched(defaultValue)
  }

  /** Flags are booleans: TYPE_MISMATCH, with the default value. */
  resolveNumberEvaluation(_: string, defaultValue: number): Promise<ResolutionDetails<number>> {
    return mismatched(defaultValue)
  }

  /** Flags are booleans: TYPE_MISMATCH, with the default value. */
  resolveObjectEvaluation<T extends JsonValue>(_: string, defaultValue: T): Promise<ResolutionDetails<T>> {
    return mismatched(defaultValue)
  }
}

/** By its method, because a second copy of the package has a class of its own. */
const isOrg = (org: unknown): boolean =>
  typeof org === 'object' && org !== null && typeof (org as Partial<Org>).flags?.evaluate === 'function'

/** The standard reasons of OpenFeature. */
const reasons: Readonly<Record<Exclude<FlagReason, 'unknown'>, string>> = {
  archived: 'DISABLED',
  disabled: 'DISABLED',
  override: 'TARGETING_MATCH',
  rollout: 'SPLIT',
  default: 'DEFAULT',
}

// The SDK is an optional peer, so its enumeration is not loaded: its values are these words.
const mismatched = <T>(value: T): Promise<ResolutionDetails<T>> =>
  Promise.resolve(failed(value, 'TYPE_MISMATCH' as ErrorCode, 'the flags of tenantry are booleans'))

const failed = <T>(value: T, errorCode: ErrorCode, errorMessage: string): ResolutionDetails<T> => ({
  value,
  reason: 'ERROR',
  errorCode,
  errorMessage,
})
