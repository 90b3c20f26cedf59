import { nilId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { planOf } from '../core/statements/table-plan.js'
import { leaseIsExpired, requeued } from '../repositories/tasks.js'
import { type Task, tasks } from '../schema/tasks.js'
import { allRows } from './system-operation.js'

/** Requeues at most `limit` tasks with an expired lease, or fails those without attempts left. Returns how many. */
export async function requeueExpired(scope: Scope, limit: number): Promise<number> {
  let requeued = 0
  let last = nilId
  while (requeued < limit) {
    const found = await organizationsWithExpired(scope, last)
    for (const id of found) {
      if (requeued < limit) requeued += await requeueIn(scope, id, limit - requeued)
      last = id
    }
    if (found.length === 0) return requeued
  }
  return requeued
}

const hasExpiredLease = `"status" = 'running' and ${leaseIsExpired}`

/** Some of the organizations that have running tasks with an expired lease: the first behind that one. */
export function organizationsWithExpired(scope: Scope, last: string): Query<string[]> {
  const rows = allRows<Task>(scope, tasks)
  const statement = ownStatement(
    rows.plan,
    organizationsWithExpired,
    'organizations',
    false,
    ({ sql }) => `select distinct "org_id" from ${sql} where ${hasExpiredLease} and "org_id" > $1::uuid
      order by "org_id" limit 100`,
  )
  return rows.run(
    statement,
    () => [last],
    (result) => result.rows.map(([id]) => id as string),
  )
}

/** Requeues at most `size` tasks of one organization, or fails those without attempts left. Tasks that somebody holds are skipped. */
export function requeueIn(scope: Scope, orgId: string, size: number): Query<number> {
  const statement = ownStatement(
    planOf(tasks),
    requeueIn,
    'requeue',
    true,
    ({ sql, visible }) => `with past as materialized (
        select "id" from ${sql} where ${visible} and ${hasExpiredLease}
        order by "lease_expires_at" limit $2::bigint for no key update skip locked
      )
      update ${sql} set ${requeued.set} from ${requeued.from}
      where ${visible} and "id" = any(array(select "id" from past))`,
  )
  return allRows<Task>(scope, tasks).run(
    statement,
    () => [orgId, size],
    ({ rowCount }) => rowCount,
  )
}
