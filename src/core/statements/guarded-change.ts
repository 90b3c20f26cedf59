import { ConflictError, NotFoundError, type TenantryError } from '../errors.js'
import type { Call, Result } from '../executor.js'
import type { TablePlan } from './table-plan.js'
import { automatic } from './writes.js'

/** A change that is legal in some states of the row only. `$3` and on are its own values. */
export interface GuardedChange {
  readonly set: string
  /** Over the row as it is. */
  readonly when: string
  /** The error for a row that is there but not in such a state. */
  readonly refuse: (status: string) => TenantryError
}

/** One statement, so that of two contenders one wins; the other one is told the status that kept it out. */
export function guardedCall(
  plan: TablePlan,
  orgId: string,
  id: string,
  { set, when }: GuardedChange,
  values: readonly unknown[],
): Call {
  const target = `${plan.visible} and "id" = $2`
  const statement = plan.statements.get(`guarded ${set} ${when}`, () => {
    const sets = [set, ...automatic(plan, 'now()')].join(', ')
    return `update ${plan.sql} set ${sets} where ${target} and (${when}) returning ${plan.selected}`
  })
  const status = plan.statements.get('status', () => `select "status" from ${plan.sql} where ${target}`)
  return { statement, values: [orgId, id, ...values], why: { statement: status, values: [orgId, id] } }
}

export function guardedRow(plan: TablePlan, { refuse }: GuardedChange, { rows: [changed], why }: Result): unknown[] {
  if (changed !== undefined) return changed
  const [found] = why?.rows ?? []
  if (found === undefined) throw new NotFoundError(plan.resource)
  throw refuse(found[0] as string)
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
