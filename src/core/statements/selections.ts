import { BoundedMap } from '../bounded-map.js'
import { InvalidInputError } from '../errors.js'
import { ownItems, readOptions } from '../values.js'
import type { ColumnPlan } from './column-plan.js'
import { rowReader } from './row-reader.js'
import type { TablePlan } from './table-plan.js'
import type { Target } from './target.js'

export type Field<Row> = Extract<keyof Row, string>

/** A row with some of its fields. */
export type Selected<Row, Name extends keyof Row> = [Field<Row>] extends [Name] ? Row : Pick<Row, Name>

export interface SelectOptions<Name extends string> {
  /** The fields that are read; by default all of them. */
  readonly select?: readonly Name[] | undefined
}

/** The columns that a read returns. */
export interface Selection<Row> {
  /** Stands in the keys of statements. Empty for a default read. */
  readonly shape: string
  readonly columns: readonly ColumnPlan[]
  /** As they stand behind `select`. */
  readonly sql: string
  readonly readRow: (values: readonly unknown[]) => Row
}

type ReadRow = TablePlan['readRow']

/** A reader is compiled, so it is kept. Selections may come from requests, so their number is limited. */
const capacity = 200
const readers = new WeakMap<TablePlan, BoundedMap<string, Selection<ReturnType<ReadRow>>>>()

/** The options of a read by id. */
export const selectionOf = <Row>(target: Target<Row>, options: unknown): Selection<Row> =>
  readSelection(target, readOptions(options, ['select']).select)

/** The named fields in the order of the table, so that the order of the names makes no further statement. */
export function readSelection<Row>({ plan, readRow }: Target<Row>, select: unknown): Selection<Row> {
  if (select === undefined) return { shape: '', columns: plan.columns, sql: plan.selected, readRow }
  const names = new Set(ownItems(select, 'select', plan.columns.length))
  if (names.size === 0) throw new InvalidInputError('select', `is empty; ${fieldsOf(plan)}`)
  const columns = plan.columns.filter(({ property }) => names.delete(property))
  for (const name of names) {
    const shown = typeof name === 'string' ? `"${name.slice(0, 60)}" is not a field to select` : 'must hold text'
    throw new InvalidInputError('select', `${shown}; ${fieldsOf(plan)}`)
  }
  return keptSelection(plan, columns) as Selection<Row>
}

function keptSelection(plan: TablePlan, columns: readonly ColumnPlan[]): Selection<ReturnType<ReadRow>> {
  const known = readers.get(plan) ?? new BoundedMap<string, Selection<ReturnType<ReadRow>>>(capacity)
  readers.set(plan, known)
  const sql = columns.map((column) => column.sql).join(', ')
  const found = known.get(sql)
  if (found !== undefined) return found
  const made = { shape: sql, columns, sql, readRow: rowReader(columns) }
  known.set(sql, made)
  return made
}

const fieldsOf = ({ columns }: TablePlan): string =>
  `the fields are ${columns.map(({ property }) => property).join(', ')}`
