import type { PgTable } from 'drizzle-orm/pg-core'
import type { Call } from '../executor.js'
import { columnOf, planOf, type TablePlan } from './table-plan.js'

/** A nullable reference to a table. */
export interface Reference {
  readonly table: PgTable
  readonly property: string
  /** A reference to a table whose rows fall with the row: what refers to those is emptied as well. */
  readonly through?: Reference | undefined
}

/** Empties what refers to a row, so that it can be deleted and the referring rows stay. */
export function clearCall(reference: Reference, orgId: string, id: string): Call {
  const { table, property } = reference
  const through = throughOf(reference)
  const plan = planOf(table)
  const column = columnOf(plan, property).sql
  const gone = through === undefined ? '= $2' : `in (${idsThrough(through)})`
  const statement = plan.statements.get(
    `clear ${property} ${gone}`,
    () => `update ${plan.sql} set ${column} = null where ${plan.owned} and ${column} ${gone}`,
  )
  return { statement, values: [orgId, id] }
}

/**
 * Waits for whoever is about to refer to a row, and for the rows that fall with it, so that what refers to them can be emptied
 * completely. These come first: whoever holds one of them may be waiting for the row.
 */
export function lockCalls(plan: TablePlan, references: readonly Reference[], orgId: string, id: string): Call[] {
  const falling = references.flatMap((reference) => throughOf(reference) ?? [])
  const locks = [
    ...falling.map(({ table, property }) => ({ plan: planOf(table), property })),
    ...(references.length === 0 ? [] : [{ plan, property: 'id' }]),
  ]
  return locks.map(({ plan, property }) => {
    const { sql, owned } = plan
    const text = () => `select from ${sql} where ${owned} and ${columnOf(plan, property).sql} = $2 for update`
    return { statement: plan.statements.get(`lock by ${property}`, text), values: [orgId, id] }
  })
}

const throughOf = (reference: Reference): Reference | undefined =>
  Object.hasOwn(reference, 'through') ? reference.through : undefined

function idsThrough({ table, property }: Reference): string {
  const plan = planOf(table)
  return `select "id" from ${plan.sql} where ${plan.owned} and ${columnOf(plan, property).sql} = $2`
}
