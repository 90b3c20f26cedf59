import { ConflictError, NotFoundError } from './errors.js'
import type { Call, Result } from './executor.js'
import type { TablePlan } from './table-plan.js'

/** A change of status that is legal from some of them only. */
export interface Transition {
  /** What it is called in the error: `activate`. */
  readonly verb: string
  readonly from: readonly string[]
  readonly to: string
}

/** Changes the status if it may, and says what it was otherwise: one statement, so that of two contenders one wins. */
export function transitionCall(plan: TablePlan, orgId: string, id: string, { from, to }: Transition): Call {
  const statement = plan.statements.get('transition', () => {
    const revision = plan.revised ? ', "revision" = "revision" + 1' : ''
    const ctes = [
      `target as (select "status" from ${plan.sql} where ${plan.visible} and "id" = $2 for no key update)`,
      `changed as (update ${plan.sql} set "status" = $3, "updated_at" = now()${revision} where ${plan.visible} and "id" = $2 and exists (select from target where "status" = any($4::text[])) returning ${plan.selected})`,
    ]
    return `with ${ctes.join(', ')} select target."status", exists (select from changed), changed.* from target left join changed on true`
  })
  return { statement, values: [orgId, id, to, from] }
}

/** The changed row. Throws ConflictError when the status does not allow the change. */
export function transitionedRow(plan: TablePlan, { verb, from }: Transition, { rows }: Result): unknown[] {
  const [status, changed, ...row] = rows[0] ?? []
  if (status === undefined) throw new NotFoundError(plan.resource)
  if (changed !== true) {
    throw new ConflictError(
      plan.resource,
      ['status'],
      `${plan.resource}: cannot ${verb} while it is ${status as string}; it must be ${from.join(' or ')}`,
    )
  }
  return row
}
