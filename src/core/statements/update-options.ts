import { InvalidInputError } from '../errors.js'
import { ownProperties } from '../values.js'

/** What a caller may ask of a change. */
export interface UpdateOptions {
  /** The revision that was read: the change is refused when the row has another one by now. */
  readonly revision?: number
}

const maxRevision = 2_147_483_647

export function revisionOf(options: unknown): number | undefined {
  const { revision, ...others } = ownProperties(options, 'options')
  const [unknown] = Object.keys(others)
  // A misspelt revision would be a change without one.
  if (unknown !== undefined) throw new InvalidInputError(unknown.slice(0, 60), 'is not an option')
  if (revision === undefined || isRevision(revision)) return revision
  throw new InvalidInputError('revision', 'must be the revision that was read')
}

const isRevision = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) <= maxRevision
