import { InvalidInputError } from '../core/errors.js'
import { ownProperties, readOptions } from '../core/values.js'
import type { Org } from '../org.js'

/** Some of the values that a repository takes. A field that is undefined counts as not given. */
export type Given<Values> = { readonly [Field in keyof Values]?: Values[Field] | undefined }

// Kept for the whole process and not by each `factories(org)`: a second one for the same organization must not repeat a name.
const counts = new Map<string, number>()
const taken = new Set<string>()

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

/**
 * The first of the unused keys of a catalog that no earlier call took: two calls at once find the same ones unused. `place` is the
 * organization or project.
 */
export function takeUnused(field: string, place: string, unused: readonly string[]): string {
  const found = unused.find((key) => !taken.has(`${place} ${field} ${key}`))
  if (found === undefined) {
    throw new InvalidInputError(
      field,
      'must be given: everything in the catalog is in use here, or the catalog is empty and `npx tenantry seed` fills it',
    )
  }
  taken.add(`${place} ${field} ${found}`)
  return found
}
