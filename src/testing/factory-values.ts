import { InvalidInputError } from '../core/errors.js'
import { ownProperties, readOptions } from '../core/values.js'
import type { Org } from '../org.js'

/** Some of the values that a repository takes. A field that is undefined counts as not given. */
export type Given<Values> = { readonly [Field in keyof Values]?: Values[Field] | undefined }

// Kept for the whole process and not by each `factories(org)`: a second one for the same organization must not repeat a name.
const counts = new Map<string, number>()
/** The last call of each place and field. */
const latest = new Map<string, Promise<unknown>>()

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
 * Runs `create` with the first unused entry of a catalog. Calls for the same field and place, an organization or a project, run one after
 * the other, so that no two take the same entry.
 */
export function withUnused<Entry extends CatalogEntry, T>(
  field: string,
  place: string,
  readUnused: () => Promise<readonly Entry[]>,
  create: (entry: Entry) => Promise<T>,
): Promise<T> {
  const name = `${place} ${field}`
  const run = async (): Promise<T> => {
    const [unused] = await readUnused()
    if (unused === undefined) {
      throw new InvalidInputError(
        field,
        'must be given: everything in the catalog is in use here, or the catalog is empty and `npx tenantry seed` fills it',
      )
    }
    return create(unused)
  }
  // Also after a call that failed.
  const result = (latest.get(name) ?? Promise.resolve()).then(run, run)
  latest.set(name, result)
  return result
}
