import type { Binding, Call, Result, Statement } from '../executor.js'
import { NotFoundError } from '../errors.js'
import type { Parents } from './parent-locks.js'
import { ownerValues, type TablePlan } from './table-plan.js'

/** A table and the owner of its rows: the input of every planned call. */
export interface Target<Row> {
  readonly plan: TablePlan
  /** The value of the owner's parameter, if there is one. */
  readonly owner: readonly string[]
  readonly parents: Parents
  readonly readRow: (row: readonly unknown[]) => Row
}

/** `project` is the second owner of a plan with two, `planWithin`. */
export const targetOf = <Row>(
  plan: TablePlan,
  binding: Binding,
  parents: Parents,
  project: string | undefined,
): Target<Row> => ({
  plan,
  owner: [...ownerValues(plan, binding), ...(plan.ownerPlaces === 2 && project !== undefined ? [project] : [])],
  parents,
  readRow: plan.readRow as Target<Row>['readRow'],
})

export const callOf = (target: Target<unknown>, statement: Statement, values: readonly unknown[]): Call => ({
  statement,
  values: [...target.owner, ...values],
})

/** The number of the first parameter after the owner's. */
export const firstPlace = ({ ownerPlaces }: TablePlan): number => ownerPlaces + 1

export const firstRow = <Row>({ readRow }: Pick<Target<Row>, 'readRow'>, { rows: [row] }: Result): Row | undefined =>
  row === undefined ? undefined : readRow(row)

/** Throws NotFoundError: missing, deleted and another owner's are the same. */
export function onlyRow<Row>({ plan, readRow }: Pick<Target<Row>, 'plan' | 'readRow'>, { rows: [row] }: Result): Row {
  if (row === undefined) throw new NotFoundError(plan.resource)
  return readRow(row)
}
