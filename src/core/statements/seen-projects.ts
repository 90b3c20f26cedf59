import { NotFoundError } from '../errors.js'
import { type Planned, planned } from '../planned.js'
import { withCondition } from './filters.js'
import type { TablePlan } from './table-plan.js'

/** The ids of the projects that an actor may read. Undefined for all of them. */
export type Among = readonly string[] | undefined

const isAmong = (row: object, among: Among): boolean =>
  among === undefined || among.includes((row as { readonly id: string }).id)

/**
 * The row, unless the actor may not read it. It is read in any case, so that both cases take the same time. `by` has its id: the row
 * itself may be read without it.
 */
export const seen = <Row extends object>(
  plan: Planned<Row | undefined>,
  among: Among,
  by?: object,
): Planned<Row | undefined> =>
  among === undefined
    ? plan
    : {
        ...plan,
        read(result, diagnosis) {
          const row = plan.read(result, diagnosis)
          return row !== undefined && isAmong(by ?? row, among) ? row : undefined
        },
      }

/** Those of the rows that are there and that the actor may read. */
export const eachSeen = <Row extends object>(
  plan: Planned<readonly (Row | undefined)[]>,
  among: Among,
): Planned<Row[]> =>
  planned(plan.call, (result, diagnosis) =>
    plan.read(result, diagnosis).flatMap((row) => (row !== undefined && isAmong(row, among) ? [row] : [])),
  )

/** A row that the actor may not read is not found, and neither are rows of which one is such a row. */
export const allSeen = <Rows extends object | readonly object[]>(
  plan: Planned<Rows>,
  among: Among,
  { resource }: TablePlan,
  by?: object,
): Planned<Rows> =>
  among === undefined
    ? plan
    : {
        ...plan,
        read(result, diagnosis) {
          const rows = plan.read(result, diagnosis)
          const all: readonly object[] = Array.isArray(rows) ? rows : [by ?? rows]
          if (!all.every((row) => isAmong(row, among))) throw new NotFoundError(resource)
          return rows
        },
      }

/** The caller's filter, among these projects only. */
export const narrowed = <Given extends object>(filter: Given | undefined, among: Among): Given | undefined =>
  among === undefined ? filter : withCondition(filter, { id: { in: among } })
