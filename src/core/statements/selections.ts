import { InvalidInputError } from '../errors.js'
import { ownItems } from '../values.js'
import type { ColumnPlan } from './column-plan.js'
import { rowReader, type Selection } from './row-reader.js'
import type { TablePlan } from './table-plan.js'
import type { IncludedCells, Target } from './target.js'

export type Field<Row> = Extract<keyof Row, string>

/** A row with some of its fields. */
export type Selected<Row, Name extends keyof Row> = [Field<Row>] extends [Name] ? Row : Pick<Row, Name>

export interface SelectOptions<Name extends string> {
  /** The fields that are read; by default all of them. */
  readonly select?: readonly Name[] | undefined
}

/** The named fields in the order of the table, so that the order of the names makes no further statement. */
export function readSelection<Row>({ plan, included }: Target<Row>, select: unknown): Selection<Row> {
  const selection = (select === undefined ? plan.whole : namedSelection(plan, select)) as Selection<Row>
  return included === undefined ? selection : withKeys(selection, included)
}

/** Relations go by columns of the row, which are read although they are not selected. */
function withKeys<Row>({ shape, columns, readRow }: Selection<Row>, { keys, extend }: IncludedCells): Selection<Row> {
  const all = withColumns(columns, keys)
  return { shape, columns: all, sql: sqlOf(all), readRow: (cells) => extend(readRow(cells), cells, all) }
}

/** The columns, and behind them those of the others that are not among them. */
export function withColumns(columns: readonly ColumnPlan[], others: readonly ColumnPlan[]): readonly ColumnPlan[] {
  const missing = others.filter((column) => !columns.includes(column))
  return missing.length === 0 ? columns : [...columns, ...new Set(missing)]
}

const sqlOf = (columns: readonly ColumnPlan[]): string => columns.map(({ sql }) => sql).join(', ')

function namedSelection(plan: TablePlan, select: unknown): TablePlan['whole'] {
  const names = new Set(ownItems(select, 'select', plan.columns.length))
  if (names.size === 0) throw new InvalidInputError('select', `is empty; ${fieldsOf(plan)}`)
  const columns = plan.columns.filter(({ property }) => names.delete(property))
  for (const name of names) {
    const shown = typeof name === 'string' ? `"${name.slice(0, 60)}" is not a field to select` : 'must hold text'
    throw new InvalidInputError('select', `${shown}; ${fieldsOf(plan)}`)
  }
  const sql = sqlOf(columns)
  const found = plan.selections.get(sql)
  if (found !== undefined) return found
  // A reader is compiled, so it is kept.
  const made = { shape: sql, columns, sql, readRow: rowReader(columns) }
  plan.selections.set(sql, made)
  return made
}

const fieldsOf = ({ columns }: TablePlan): string =>
  `the fields are ${columns.map(({ property }) => property).join(', ')}`
