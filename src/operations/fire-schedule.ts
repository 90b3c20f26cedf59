import { z } from 'zod'
import { databaseTime } from '../core/database-time.js'
import { ConflictError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { parseInput } from '../core/values.js'
import { nextRun, runToQueue, Schedules } from '../repositories/schedules.js'
import { type Schedule, schedules } from '../schema/schedules.js'
import * as shape from '../schema/shared/shapes.js'
import { tasks } from '../schema/tasks.js'
import { workflows } from '../schema/workflows.js'

/** The result of firing a schedule. */
export interface Fired {
  /** The task of that run, new or existing; undefined when none was queued. */
  readonly taskId: string | undefined
  readonly schedule: Schedule
}

/** The organization's schedules with `fire`, which also reads the workflow and queues a task. */
export class OrgSchedules extends Schedules {
  /**
   * Queues the due run and moves the schedule to the next one. A run is queued once, however often and from however many places
   * this is called. A run is missed when the next one became due before it was fired: `skip` passes it over, `run_once` queues the
   * last of them. While the workflow is deleted or archived, nothing happens. `at` is the database's time by default.
   */
  fire(id: string, at?: Date): Promise<Fired> {
    return fireSchedule(this.scope, id, at)
  }
}

const fireOptions = z.strictObject({ at: shape.instant })
/** The permission to change schedules is enough to fire them, although that queues tasks. */
const permission = 'schedules'

function fireSchedule(scope: Scope, id: string, at: Date | undefined): Promise<Fired> {
  return scope.steps(async (inner) => {
    const given = at === undefined ? undefined : parseInput(fireOptions, { at }).at
    const rows = new ScopedTable<Schedule>(inner, schedules)
    // A second call waits here, and then finds the schedule moved on.
    const schedule = await rows.lockRow(id)
    if (!schedule.enabled) throw new ConflictError('schedules', ['enabled'], 'schedules: the schedule is not enabled')
    const now = given ?? (await databaseTime(inner))
    return (await fireLocked(inner, schedule, now)) ?? { taskId: undefined, schedule }
  })
}

/**
 * Fires a schedule that is enabled and locked. Undefined where it is not fired: it is not due, another call has fired it, or its
 * workflow does not run.
 */
export async function fireLocked(scope: Scope, schedule: Schedule, now: Date): Promise<Fired | undefined> {
  const { id, nextRunAt, cron, timezone, workflowId } = schedule
  if (nextRunAt === null || nextRunAt > now) return undefined
  if (!(await lockRunnable(scope, workflowId))) return undefined
  const run = runToQueue(schedule, nextRunAt, now)
  const taskId = run === undefined ? undefined : await queueRun(scope, schedule, run)
  const managed = { nextRunAt: nextRun(cron, timezone, now), lastRunAt: run }
  const rows = new ScopedTable<Schedule>(scope, schedules)
  return { taskId, schedule: await rows.updateRow(shape.noInput, id, {}, { managed, event: 'fire' }) }
}

/** Whether the workflow may run. It can be neither deleted nor archived until the transaction ends. */
function lockRunnable(scope: Scope, workflowId: string): Query<boolean> {
  const table = new ScopedTable(scope, workflows, undefined, { permission })
  const statement = ownStatement(
    table.plan,
    fireSchedule,
    'lock runnable',
    false,
    ({ sql, visible }) => `select from ${sql} where ${visible} and "id" = $2 and "status" <> 'archived' for share`,
  )
  return table.run(
    statement,
    () => [workflowId],
    ({ rowCount }) => rowCount === 1,
  )
}

/** Queues the task of that run. A schedule has one task for each moment: an existing one is returned. */
async function queueRun(scope: Scope, { id, workflowId, input }: Schedule, scheduledFor: Date): Promise<string> {
  const table = new ScopedTable<{ readonly id: string }>(scope, tasks, undefined, { permission })
  const managed = { kind: 'schedule', scheduleId: id, workflowId, scheduledFor, runAt: scheduledFor, input }
  return (await table.insertRow(shape.noInput, {}, { managed, existing: 'tasks_schedule_key' })).id
}
