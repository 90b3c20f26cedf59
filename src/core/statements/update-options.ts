import { InvalidInputError } from '../errors.js'
import { readOptions } from '../values.js'

/** Options of an update. */
export interface UpdateOptions {
  /** The revision that was read: the change is refused when the row has another one by now. */
  readonly revision?: number | undefined
}

const maxRevision = 2_147_483_647

export function revisionOf(options: unknown): number | undefined {
  const { revision } = readOptions(options, ['revision'])
  if (revision === undefined || isRevision(revision)) return revision
  throw new InvalidInputError('revision', 'must be the `revision` of the row that was read')
}

const isRevision = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) <= maxRevision
