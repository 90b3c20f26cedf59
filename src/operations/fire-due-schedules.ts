import { z } from 'zod'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { planOf, type TablePlan } from '../core/statements/table-plan.js'
import { parseInput } from '../core/values.js'
import { organizations } from '../schema/organizations.js'
import { type Schedule, schedules } from '../schema/schedules.js'
import * as shape from '../schema/shared/shapes.js'
import { workflows } from '../schema/workflows.js'
import { type Fired, fireLocked } from './fire-schedule.js'
import { allRows, operate, type SystemWork } from './system-operation.js'

const fireDueOptions = z.strictObject({
  /** The most schedules. Default: 100. */
  limit: shape.int(1, 1000).default(100),
  /** Default: now, by the database's clock. */
  at: shape.instant.optional(),
})
export interface FireDueOptions extends z.input<typeof fireDueOptions> {}

export interface FiredSchedule extends Fired {
  readonly orgId: string
}

/** A schedule that could not be fired. It stays due. */
export interface UnfiredSchedule {
  readonly orgId: string
  readonly scheduleId: string
  readonly error: unknown
}

export interface FiredSchedules {
  readonly fired: readonly FiredSchedule[]
  readonly failed: readonly UnfiredSchedule[]
}

/** The schedules of every organization. */
export class SystemSchedules {
  constructor(private readonly work: SystemWork) {}

  /**
   * Fires due schedules of every organization in turn, as `org.schedules.fire` does: each run is queued once, from however many places
   * this is called, and nobody waits. Suspended and deleted organizations are skipped, and deleted or archived workflows. Each schedule
   * is a transaction of its own; one that fails does not stop the others. Throws the error when all of them fail.
   */
  async fireDue(options: FireDueOptions = {}): Promise<FiredSchedules> {
    const { limit, at } = parseInput(fireDueOptions, options)
    const fired: FiredSchedule[] = []
    const failed: UnfiredSchedule[] = []
    const due = await dueSchedules(this.work, limit, at)
    for (const { orgId, scheduleId } of due) {
      try {
        const one = await this.fire(orgId, scheduleId, at)
        if (one !== undefined) fired.push({ orgId, ...one })
      } catch (error) {
        failed.push({ orgId, scheduleId, error })
      }
    }
    const [first] = failed
    if (first !== undefined && failed.length === due.length) throw first.error
    return { fired, failed }
  }

  /** Undefined where another call has it or has fired it, or its workflow does not run any more. */
  private fire(orgId: string, scheduleId: string, at: Date | undefined): Promise<Fired | undefined> {
    const work = async (scope: Scope): Promise<Fired | undefined> => {
      const due = await lockDue(scope, scheduleId, at)
      return due === undefined ? undefined : fireLocked(scope, due.schedule, at ?? due.now)
    }
    return operate(this.work, 'schedules.fire', { kind: 'org', id: orgId }, work, {
      isRecorded: (one) => one !== undefined,
      metadata: (one) => ({ scheduleId, taskId: one?.taskId ?? null }),
    })
  }
}

/** Whether the schedule `s` may be fired. `case`, because row security lets no `coalesce` into an index condition. */
const isDue = (moment: string) => `s."enabled" and s."deleted_at" is null
  and s."next_run_at" <= case when ${moment}::timestamptz is null then statement_timestamp() else ${moment}::timestamptz end`
const joined = () => `
  join ${planOf(organizations).as('o').sql} on o."id" = s."org_id" and o."status" = 'active' and o."deleted_at" is null
  join ${planOf(workflows).as('w').sql} on w."org_id" = s."org_id" and w."id" = s."workflow_id" and w."deleted_at" is null and w."status" <> 'archived'`

interface Due {
  readonly orgId: string
  readonly scheduleId: string
}

/** One of each organization in turn, so that none waits for the many of another one. */
function dueSchedules(work: SystemWork, limit: number, at: Date | undefined): Query<Due[]> {
  const rows = allRows<Schedule>(work.scopeAbout(undefined), schedules)
  const statement = ownStatement(
    rows.plan,
    dueSchedules,
    'due',
    false,
    (plan) => `select s."org_id", s."id" from ${plan.as('s').sql} ${joined()} where ${isDue('$1')}
      order by row_number() over (partition by s."org_id" order by s."next_run_at"), s."next_run_at" limit $2::bigint`,
  )
  return rows.run(
    statement,
    () => [at ?? null, limit],
    (result) => result.rows.map(([orgId, id]) => ({ orgId: orgId as string, scheduleId: id as string })),
  )
}

function lockDue(
  scope: Scope,
  id: string,
  at: Date | undefined,
): Query<{ readonly schedule: Schedule; readonly now: Date } | undefined> {
  const rows = new ScopedTable<Schedule>(scope, schedules)
  const statement = ownStatement(rows.plan, lockDue, 'lock', false, (plan: TablePlan) => {
    const s = plan.as('s')
    return `select ${s.selected}, statement_timestamp() from ${s.sql} ${joined()}
      where ${s.owned} and s."id" = $2 and ${isDue('$3')} for no key update of s skip locked`
  })
  return rows.run(
    statement,
    () => [id, at ?? null],
    (result) => {
      const [schedule] = rows.rowsOf(result)
      return schedule && { schedule, now: new Date(result.rows[0]?.at(-1) as string) }
    },
  )
}
