import type { Binding, Call, Result, Statement } from '../executor.js'
import { DefinitionError, NotFoundError } from '../errors.js'
import type { ColumnPlan } from './column-plan.js'
import type { Parents } from './parent-locks.js'
import { ownerValues, type TablePlan } from './table-plan.js'

/** The cells of related rows, which an `include` puts behind the columns of a row. */
export interface IncludedCells {
  /** Says what the text depends on. */
  readonly shape: string
  /** The text of a read, with sub-selects for the related rows. */
  readonly extendText: (text: string) => string
  /** The values that follow those of the call. */
  readonly values: readonly unknown[]
  /** The columns of the row that its relations go by. */
  readonly keys: readonly ColumnPlan[]
  /** Adds the related rows to a row that was read from these columns. */
  readonly extend: <Row>(row: Row, cells: readonly unknown[], columns: readonly ColumnPlan[]) => Row
}

/** A table and the owner of its rows: the input of every planned call. */
export interface Target<Row> {
  readonly plan: TablePlan
  /** The values of the owner's parameters: none, one, or in a plan within a parent two. */
  readonly owner: readonly string[]
  readonly included?: IncludedCells
  readonly parents: Parents
  readonly readRow: (row: readonly unknown[]) => Row
}

/** `project` is the second owner of a plan with two, `planWithin`. */
export function targetOf<Row>(
  plan: TablePlan,
  binding: Binding,
  parents: Parents,
  project: string | undefined,
): Target<Row> {
  const owner = ownerValues(plan, binding)
  return {
    plan,
    owner: plan.ownerPlaces === 2 ? [...owner, parentOf(plan, project)] : owner,
    parents,
    readRow: plan.readRow as Target<Row>['readRow'],
  }
}

function parentOf({ resource }: TablePlan, project: string | undefined): string {
  if (project === undefined)
    throw new DefinitionError(`${resource}: a plan within a parent needs the id of that parent`)
  return project
}

/** A read of the target, with what it includes. */
export const readStatement = ({ plan, included }: Target<unknown>, shape: string, text: () => string): Statement =>
  included === undefined
    ? plan.statements.get(shape, 'read', text)
    : plan.statements.get(`${shape} with ${included.shape}`, 'read', () => included.extendText(text()))

export const callOf = (target: Target<unknown>, statement: Statement, values: readonly unknown[]): Call => ({
  statement,
  values:
    target.included === undefined
      ? [...target.owner, ...values]
      : [...target.owner, ...values, ...target.included.values],
})

/** The number of the first parameter after the owner's. */
export const firstPlace = ({ ownerPlaces }: TablePlan): number => ownerPlaces + 1

export const firstRow = <Row>({ readRow }: Pick<Target<Row>, 'readRow'>, { rows: [row] }: Result): Row | undefined =>
  row === undefined ? undefined : readRow(row)

/** Throws NotFoundError: missing, deleted and another owner's are the same. */
export function onlyRow<Row>(
  { resource }: TablePlan,
  { readRow }: Pick<Target<Row>, 'readRow'>,
  { rows: [row] }: Result,
): Row {
  if (row === undefined) throw new NotFoundError(resource)
  return readRow(row)
}
