import { InvalidInputError } from '../errors.js'
import { ownItems, readOptions } from '../values.js'
import { rowReader, type Selection } from './row-reader.js'
import type { TablePlan } from './table-plan.js'
import type { Target } from './target.js'

export type Field<Row> = Extract<keyof Row, string>

/** A row with some of its fields. */
export type Selected<Row, Name extends keyof Row> = [Field<Row>] extends [Name] ? Row : Pick<Row, Name>

export interface SelectOptions<Name extends string> {
  /** The fields that are read; by default all of them. */
  readonly select?: readonly Name[] | undefined
}

/** The options of a read by id. */
export const selectionOf = <Row>(target: Target<Row>, options: unknown): Selection<Row> =>
  readSelection(target, options === undefined ? undefined : readOptions(options, ['select']).select)

/** The named fields in the order of the table, so that the order of the names makes no further statement. */
export function readSelection<Row>({ plan }: Target<Row>, select: unknown): Selection<Row> {
  return (select === undefined ? plan.whole : namedSelection(plan, select)) as Selection<Row>
}

function namedSelection(plan: TablePlan, select: unknown): TablePlan['whole'] {
  const names = new Set(ownItems(select, 'select', plan.columns.length))
  if (names.size === 0) throw new InvalidInputError('select', `is empty; ${fieldsOf(plan)}`)
  const columns = plan.columns.filter(({ property }) => names.delete(property))
  for (const name of names) {
    const shown = typeof name === 'string' ? `"${name.slice(0, 60)}" is not a field to select` : 'must hold text'
    throw new InvalidInputError('select', `${shown}; ${fieldsOf(plan)}`)
  }
  const sql = columns.map((column) => column.sql).join(', ')
  const found = plan.selections.get(sql)
  if (found !== undefined) return found
  // A reader is compiled, so it is kept.
  const made = { shape: sql, columns, sql, readRow: rowReader(columns) }
  plan.selections.set(sql, made)
  return made
}

const fieldsOf = ({ columns }: TablePlan): string =>
  `the fields are ${columns.map(({ property }) => property).join(', ')}`
