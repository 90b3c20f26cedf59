import { ConflictError, NotFoundError, type TenantryError } from './errors.js'
import type { Call, Result } from './executor.js'
import type { TablePlan } from './table-plan.js'

/** A change that is legal in some states of the row only. `$3` and on are its own values. */
export interface GuardedChange {
  readonly set: string
  /** Over the row as it is, locked. */
  readonly when: string
  /** The error for a row that is there but not in such a state. */
  readonly refuse: (status: string) => TenantryError
}

/** One statement, so that of two contenders one wins and the other one learns why it did not. */
export function guardedCall(
  plan: TablePlan,
  orgId: string,
  id: string,
  { set, when }: GuardedChange,
  values: readonly unknown[],
): Call {
  const statement = plan.statements.get(`guarded ${set} ${when}`, () => {
    const sets = [
      set,
      ...(plan.touched ? ['"updated_at" = now()'] : []),
      ...(plan.revised ? ['"revision" = "revision" + 1'] : []),
    ]
    const ctes = [
      `target as (select * from ${plan.sql} where ${plan.visible} and "id" = $2 for no key update)`,
      `changed as (update ${plan.sql} set ${sets.join(', ')} where ${plan.visible} and "id" = $2 and exists (select from target where ${when}) returning ${plan.selected})`,
    ]
    return `with ${ctes.join(', ')} select target."status", exists (select from changed), changed.* from target left join changed on true`
  })
  return { statement, values: [orgId, id, ...values] }
}

export function guardedRow(plan: TablePlan, { refuse }: GuardedChange, { rows }: Result): unknown[] {
  const [status, changed, ...row] = rows[0] ?? []
  if (status === undefined) throw new NotFoundError(plan.resource)
  if (changed !== true) throw refuse(status as string)
  return row
}

/** A change of status that is legal from some of them only. */
export interface Transition {
  /** What it is called in the error: `activate`. */
  readonly verb: string
  readonly from: readonly string[]
  readonly to: string
}

/** With `$3` for the status to come and `$4` for those that it may come from. */
export const transitionOf = (plan: TablePlan, { verb, from }: Transition): GuardedChange => ({
  set: '"status" = $3',
  when: '"status" = any($4::text[])',
  refuse: (status) => refusedVerb(plan.resource, verb, status, from),
})

export const refusedVerb = (resource: string, verb: string, status: string, from: readonly string[]): ConflictError =>
  new ConflictError(
    resource,
    ['status'],
    `${resource}: cannot ${verb} while it is ${status}; it must be ${from.join(' or ')}`,
  )
