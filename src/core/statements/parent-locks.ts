import { BrokenReferenceError } from '../errors.js'
import type { Values } from '../values.js'
import type { Given } from './given-values.js'
import type { ParentKey } from './table-keys.js'
import { planOf, type TablePlan } from './table-plan.js'

/** The references to soft-deletable rows that a repository locks, by their property. */
export type Parents = ReadonlyMap<string, ParentKey>

interface Parent {
  readonly property: string
  readonly plan: TablePlan
  readonly target: string
  readonly id: unknown
  readonly place: number
}

/** The live parents of a row, locked against being soft-deleted: `for key share` would not stop that, `for share` does. */
export interface ParentLocks {
  readonly parents: readonly Parent[]
  readonly shape: string
  readonly ctes: readonly string[]
  readonly conditions: readonly string[]
}

export const noLocks: ParentLocks = { parents: [], shape: '', ctes: [], conditions: [] }

export function parentLocks(keys: Parents, all: readonly Given[], offset: number): ParentLocks {
  if (keys.size === 0 || !all.some(({ column, value }) => value !== null && keys.has(column.property))) return noLocks
  const parents = all.flatMap(({ column: { property }, value }, index) => {
    const key = keys.get(property)
    if (key === undefined || value === null) return []
    return [{ property, plan: planOf(key.table), target: key.target, id: value, place: offset + index + 1 }]
  })
  return {
    parents,
    shape: parents.map(({ property }) => property).join(),
    ctes: parents.map(
      ({ plan: { sql, visible }, target, place }) =>
        `parent_${place} as (select 1 from ${sql} where ${visible} and "${target}" = $${place} for share)`,
    ),
    conditions: parents.map(({ place }) => `exists (select from parent_${place})`),
  }
}

export const givenParents = (keys: Parents, values: Values): string[] =>
  [...keys.keys()].filter((name) => Object.hasOwn(values, name) && (values[name] ?? null) !== null)

/** Columns of a select that tell for each parent whether it is alive. Their parameters follow the first `offset`. */
export const aliveColumns = ({ parents }: ParentLocks, offset: number): string[] =>
  parents.map(
    ({ plan: { sql, visible }, target }, index) =>
      `exists (select from ${sql} where ${visible} and "${target}" = $${offset + index + 1})`,
  )

export const parentIds = ({ parents }: ParentLocks): unknown[] => parents.map(({ id }) => id)

/** Throws BrokenReferenceError for the parents that `aliveColumns` found missing. */
export function assertAlive(plan: TablePlan, { parents }: ParentLocks, found: readonly unknown[]): void {
  const missing = parents.filter((_, index) => found[index] !== true)
  if (missing.length === 0) return
  throw new BrokenReferenceError(
    plan.resource,
    missing.map(({ property }) => property),
  )
}
