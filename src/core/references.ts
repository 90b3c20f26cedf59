import type { PgTable } from 'drizzle-orm/pg-core'
import type { Call } from './executor.js'
import { columnOf, planOf } from './table-plan.js'

/** A nullable reference to a table. */
export interface Reference {
  readonly table: PgTable
  readonly property: string
  /** A reference to a table whose rows fall with the row: what refers to those is emptied as well. */
  readonly through?: Reference
}

/** Empties what refers to a row, so that it can be deleted and the referring rows stay. */
export function clearCall({ table, property, through }: Reference, orgId: string, id: string): Call {
  const plan = planOf(table)
  const column = columnOf(plan, property).sql
  const gone = through === undefined ? '= $2' : `in (${idsThrough(through)})`
  const statement = plan.statements.get(
    `clear ${property} ${gone}`,
    () => `update ${plan.sql} set ${column} = null where ${plan.owned} and ${column} ${gone}`,
  )
  return { statement, values: [orgId, id] }
}

function idsThrough({ table, property }: Reference): string {
  const plan = planOf(table)
  return `select "id" from ${plan.sql} where ${plan.owned} and ${columnOf(plan, property).sql} = $2`
}
