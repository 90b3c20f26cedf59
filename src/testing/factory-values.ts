import { InvalidInputError } from '../core/errors.js'
import { ownProperties, readOptions } from '../core/values.js'
import type { Org } from '../org.js'

/** Some of the values that a repository takes. A field that is undefined counts as not given. */
export type Given<Values> = { readonly [Field in keyof Values]?: Values[Field] | undefined }

// Kept for the whole process and not by each `factories(org)`: a second one for the same organization must not repeat a name.
const counts = new Map<string, number>()
/** The number of the latest release of each key: infinite while a row is made with it. */
const takenUntil = new Map<string, number>()
let releases = 0

/** The next number of the kind in the organization, from 1. */
export function nextNumber(org: Org, kind: string): number {
  const place = `${org.id} ${kind}`
  const next = (counts.get(place) ?? 0) + 1
  counts.set(place, next)
  return next
}

/** A copy of what is given, without what is undefined. With `names`, other fields are refused. */
export function readGiven<Values extends object>(
  values: Given<Values> = {},
  names?: readonly (keyof Values & string)[],
): Partial<Values> {
  const own = names === undefined ? ownProperties(values) : readOptions(values, names)
  return Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)) as Partial<Values>
}

export interface CatalogEntry {
  readonly key: string
}

/**
 * Runs `create` with the first unused entry of a catalog that no other call is about to use. A key that was released after
 * `readUnused` began counts as used, because what it read may be older than that row. `place` is the organization or project.
 */
export async function withUnused<Entry extends CatalogEntry, T>(
  field: string,
  place: string,
  readUnused: () => Promise<readonly Entry[]>,
  create: (entry: Entry) => Promise<T>,
): Promise<T> {
  const start = releases
  const unused = await readUnused()
  const nameOf = ({ key }: Entry): string => `${place} ${field} ${key}`
  const found = unused.find((entry) => (takenUntil.get(nameOf(entry)) ?? 0) <= start)
  if (found === undefined) {
    throw new InvalidInputError(
      field,
      'must be given: everything in the catalog is in use here, or the catalog is empty and `npx tenantry seed` fills it',
    )
  }
  takenUntil.set(nameOf(found), Number.POSITIVE_INFINITY)
  try {
    return await create(found)
  } finally {
    releases += 1
    takenUntil.set(nameOf(found), releases)
  }
}
