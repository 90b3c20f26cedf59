import { InvalidInputError } from '../core/errors.js'
import { readOptions } from '../core/values.js'

/** How long sessions last, in seconds. */
export interface SessionOptions {
  /** From the sign-in on, however much the session is used. Default: 30 days. */
  readonly maxAge?: number | undefined
  /** Without any use. Default: 7 days. */
  readonly maxIdle?: number | undefined
  /**
   * For this many seconds after a refresh, the replaced refresh token gets the same new tokens and does not end the session (browser
   * tabs that refresh at once). 0 to 10. Default: 0.
   */
  readonly refreshGrace?: number | undefined
}

export type SessionPolicy = { readonly [Name in keyof SessionOptions]-?: number }

const day = 86_400
const limits = {
  maxAge: { usual: 30 * day, least: 60, most: 3650 * day },
  maxIdle: { usual: 7 * day, least: 60, most: 3650 * day },
  refreshGrace: { usual: 0, least: 0, most: 10 },
} as const

/** Throws InvalidInputError. */
export function sessionPolicy(options: unknown): SessionPolicy {
  const given = readOptions(options, ['maxAge', 'maxIdle', 'refreshGrace'], 'sessions')
  const read = (name: keyof SessionPolicy): number => {
    const { usual, least, most } = limits[name]
    const value = given[name] ?? usual
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    throw new InvalidInputError(`sessions.${name}`, `must be a whole number of seconds from ${least} to ${most}`)
  }
  return { maxAge: read('maxAge'), maxIdle: read('maxIdle'), refreshGrace: read('refreshGrace') }
}
