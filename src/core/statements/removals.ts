import type { PgTable } from 'drizzle-orm/pg-core'
import type { Call } from '../executor.js'
import type { ChangeText } from './change-text.js'
import type { Condition } from './filters.js'
import { automatic, moment } from './given-values.js'
import { type ChangeCall, changeCall, type PlannedChange } from './inserts.js'
import { columnOf, planOf, type TablePlan } from './table-plan.js'
import { callOf, firstPlace, onlyRow, type Target } from './target.js'

export type Removal = 'delete' | 'hide' | 'restore' | 'purge'

/** Deletes, hides, restores or purges a row. Returns the row: after the change, or as it was before it was deleted. */
export function planRemoval<Row>(target: Target<Row>, removal: Removal, id: string): PlannedChange<Row> {
  const { plan } = target
  const statement = plan.statements.change(removal, () => removalText(plan, removal))
  return {
    call: changeCall(target, statement, [id]),
    diagnose: undefined,
    read: (result) => onlyRow(target.plan, target, result),
  }
}

const deletedAt = ['deletedAt']

function removalText(plan: TablePlan, removal: Removal): ChangeText {
  const isId = `"id" = $${firstPlace(plan)}`
  const touched = ['', ...automatic(plan, moment)].join(', ')
  const text = { ctes: [], returning: plan.selected }
  switch (removal) {
    case 'delete':
      return { ...text, verb: 'delete', head: `delete from ${plan.sql}`, where: `${plan.visible} and ${isId}` }
    case 'purge':
      return { ...text, verb: 'delete', head: `delete from ${plan.sql}`, where: `${plan.owned} and ${isId}` }
    case 'hide':
      return {
        ...text,
        verb: 'update',
        head: `update ${plan.sql} set "deleted_at" = ${moment}${touched}`,
        where: `${plan.visible} and ${isId}`,
        sets: deletedAt,
      }
    case 'restore':
      return {
        ...text,
        verb: 'update',
        head: `update ${plan.sql} set "deleted_at" = null${touched}`,
        where: `${plan.owned} and "deleted_at" is not null and ${isId}`,
        sets: deletedAt,
      }
  }
}

/** Deletes or hides every row that matches, and returns their number. */
export function planRemovalWhere(
  target: Target<unknown>,
  removal: 'delete' | 'hide',
  where: Condition,
): PlannedChange<number> {
  const { plan } = target
  const statement = plan.statements.change(`${removal} where ${where.sql}`, () => ({
    ...removalText(plan, removal),
    where: `${plan.visible} and (${where.sql})`,
    returning: '',
  }))
  return {
    call: changeCall(target, statement, where.values),
    diagnose: undefined,
    read: ({ rowCount }) => rowCount,
  }
}

/** A nullable reference to a table. */
export interface Reference {
  readonly table: PgTable
  readonly property: string
  /** A reference to a table whose rows fall with the row: what refers to those is emptied as well. */
  readonly through?: Reference | undefined
}

/** Empties what refers to a row, so that it can be deleted and the referring rows stay. */
export function clearCall(target: Target<unknown>, { table, property, through }: Reference, id: string): ChangeCall {
  const plan = planOf(table)
  const column = columnOf(plan, property).sql
  const place = firstPlace(plan)
  const gone = through === undefined ? `= $${place}` : `= any(array(${idsThrough(through)}))`
  const statement = plan.statements.change(`clear ${property} ${gone}`, () => ({
    verb: 'update',
    ctes: [],
    head: `update ${plan.sql} set ${column} = null`,
    where: `${plan.owned} and ${column} ${gone}`,
    returning: '',
    sets: [property],
  }))
  return changeCall(target, statement, [id])
}

/**
 * Locks a row and the rows that are deleted with it, so that no new reference to them appears while the existing ones are emptied.
 * The rows that are deleted with it come first: a transaction that holds one of them may be waiting for the row.
 */
export function lockCalls(target: Target<unknown>, references: readonly Reference[], id: string): Call[] {
  const falling = references.flatMap(({ through }) => (through === undefined ? [] : [through]))
  const locks = [
    ...falling.map(({ table, property }) => ({ plan: planOf(table), property })),
    ...(references.length === 0 ? [] : [{ plan: target.plan, property: 'id' }]),
  ]
  return locks.map(({ plan, property }) => {
    const { sql, owned } = plan
    const text = () =>
      `select from ${sql} where ${owned} and ${columnOf(plan, property).sql} = $${firstPlace(plan)} for update`
    return callOf(target, plan.statements.get(`lock by ${property}`, 'read', text), [id])
  })
}

function idsThrough({ table, property }: Reference): string {
  const plan = planOf(table)
  return `select "id" from ${plan.sql} where ${plan.owned} and ${columnOf(plan, property).sql} = $${firstPlace(plan)}`
}
