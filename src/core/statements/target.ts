import type { Call, Result, Statement } from '../executor.js'
import { NotFoundError } from '../errors.js'
import type { Parents } from './parent-locks.js'
import type { TablePlan } from './table-plan.js'

/** A table as one scope sees it: what every planned call starts from. */
export interface Target<Row> {
  readonly plan: TablePlan
  /** What the owner's place of each statement is filled with. */
  readonly owner: readonly string[]
  readonly parents: Parents
  readonly readRow: (row: readonly unknown[]) => Row
}

export const callOf = (target: Target<unknown>, statement: Statement, values: readonly unknown[]): Call => ({
  statement,
  values: [...target.owner, ...values],
})

/** The place of the first value behind the owner's. */
export const firstPlace = ({ ownerPlaces }: TablePlan): number => ownerPlaces + 1

export const firstRow = <Row>({ readRow }: Target<Row>, { rows: [row] }: Result): Row | undefined =>
  row === undefined ? undefined : readRow(row)

/** Throws NotFoundError: missing, deleted and another owner's are the same. */
export function onlyRow<Row>({ plan, readRow }: Target<Row>, { rows: [row] }: Result): Row {
  if (row === undefined) throw new NotFoundError(plan.resource)
  return readRow(row)
}
