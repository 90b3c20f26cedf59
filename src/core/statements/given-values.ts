import { InvalidInputError } from '../errors.js'
import type { Values } from '../values.js'
import type { ColumnPlan } from './column-plan.js'
import { givenColumn, type TablePlan } from './table-plan.js'

/** A value that a statement writes, and its column. */
export interface Given {
  readonly column: ColumnPlan
  readonly value: unknown
}

export function given(plan: TablePlan, values: Values): Given[] {
  const all: Given[] = []
  for (const property of Object.keys(values)) {
    const value = values[property]
    if (value === undefined) continue
    const column = givenColumn(plan, property)
    all.push({ column, value: column.encode(value) })
  }
  return all
}

/** The given values of an update, which needs at least one. */
export function changes(plan: TablePlan, values: Values): Given[] {
  const all = given(plan, values)
  if (all.length === 0) throw new InvalidInputError('', 'there is nothing to change')
  return all
}

/** The cache key of the given columns. */
export const shapeOf = (all: readonly Given[]): string => propertiesOf(all).join()

export const propertiesOf = (all: readonly Given[]): string[] => all.map(({ column }) => column.property)

export const valuesOf = (all: readonly Given[]): unknown[] => all.map(({ value }) => value)

/** The parameters after the first `offset`, each cast to the type of its column. */
export const places = (all: readonly Given[], offset: number): string[] =>
  all.map(({ column }, index) => `$${offset + index + 1}::${column.writtenAs}`)

/** The moment of a change. Unlike `now()`, the start of the transaction, it is after every lock that was taken before. */
export const moment = 'statement_timestamp()'

/** The columns that every update sets: `updated_at` and `revision`. */
export function automatic(plan: TablePlan, now: string): string[] {
  return [
    ...(plan.touched ? [`"updated_at" = ${now}`] : []),
    ...(plan.revised ? [`"revision" = ${plan.sql}."revision" + 1`] : []),
  ]
}

export const setList = (plan: TablePlan, all: readonly Given[], offset: number): string =>
  [
    ...places(all, offset).map((place, index) => `${all[index]?.column.sql ?? ''} = ${place}`),
    ...automatic(plan, moment),
  ].join(', ')
