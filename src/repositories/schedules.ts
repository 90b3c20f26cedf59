import { Cron } from 'croner'
import { z } from 'zod'
import { ConflictError, InvalidInputError, NotFoundError } from '../core/errors.js'
import { newId, parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import { revisionOf, type UpdateOptions } from '../core/statements/update-options.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { parseInput } from '../core/values.js'
import { referencesTo } from '../schema/references.js'
import {
  type NewSchedule,
  newSchedule,
  type Schedule,
  schedulePatch,
  type SchedulePatch,
  schedules,
} from '../schema/schedules.js'
import * as shape from '../schema/shared/shapes.js'
import { tasks } from '../schema/tasks.js'
import { workflows } from '../schema/workflows.js'

const fireOptions = z.strictObject({ at: shape.instant })
const dueOptions = z.strictObject({
  /** 100 unless told. */
  limit: shape.int(1, 1000).optional(),
  /** Now unless told, by the database's clock. */
  at: shape.instant.optional(),
})
export interface DueOptions extends z.input<typeof dueOptions> {}

/** What firing a schedule did. */
export interface Fired {
  /** The task of that run, new or there already; undefined when the run was missed and the policy skips it. */
  readonly taskId: string | undefined
  readonly schedule: Schedule
}

const references = referencesTo(schedules, [tasks])

/** When workflows run by themselves. `due` says which; `fire` queues the task and moves the schedule on. */
export class Schedules extends ScopedRepository<Schedule> {
  constructor(scope: Scope) {
    super(scope, schedules, { parents: { workflowId: workflows }, references })
  }

  /** Throws InvalidInputError for a cron expression or a time zone that is none, ConflictError when the name is taken. */
  create(values: NewSchedule): Query<Schedule> {
    return this.insert(scheduleWithNextRun, values)
  }

  /** With the `revision` that was read, throws VersionConflictError when the schedule was changed since. */
  update(id: string, patch: SchedulePatch, options?: UpdateOptions): Promise<Schedule> {
    return this.scope.transaction(async (scope) => {
      const inner = new Schedules(scope)
      const values = parseInput(schedulePatch, patch)
      checkPatch(values)
      const revision = revisionOf(options)
      await inner.lock(id)
      const managed = movedRun(await inner.get(id), values)
      return inner.modify(schedulePatch, id, values, { revision }, { managed })
    })
  }

  enable(id: string): Promise<Schedule> {
    return this.update(id, { enabled: true })
  }

  disable(id: string): Promise<Schedule> {
    return this.update(id, { enabled: false })
  }

  /** The schedules whose time has come, the longest waiting first. Those of deleted or archived workflows are passed over. */
  due(options: DueOptions = {}): Query<Schedule[]> {
    // `case`, for row security lets no `coalesce` into an index condition.
    const statement = this.statement(
      'due',
      ({ sql, selected }) => `select ${selected} from ${sql} s
        where "org_id" = $1 and "enabled" and "deleted_at" is null
          and "next_run_at" <= case when $2::timestamptz is null then statement_timestamp() else $2::timestamptz end
          and exists (
            select from "platform"."workflows" w
            where w."org_id" = $1 and w."id" = s."workflow_id" and w."deleted_at" is null and w."status" <> 'archived'
          )
        order by "next_run_at", "id"
        limit $3`,
    )
    return this.select(statement, () => {
      const { at = null, limit = 100 } = parseInput(dueOptions, options)
      return [at, limit]
    })
  }

  /**
   * Queues the run that is due and moves the schedule to the next one. However often and from however many places it is called,
   * a run is queued once. A run was missed when the next one came before anybody fired it: `skip` passes it over, `run_once`
   * queues the last of them. While its workflow is deleted or archived, nothing happens. `at` is now unless told, by the
   * database's clock.
   */
  fire(id: string, at?: Date): Promise<Fired> {
    return this.scope.transaction(async (scope) => {
      const inner = new Schedules(scope)
      const moment = at === undefined ? undefined : parseInput(fireOptions, { at }).at
      const now = await inner.lock(id)
      return inner.fireLocked(await inner.get(id), moment ?? now)
    })
  }

  /** Hides the schedule and frees its name. */
  delete(id: string): Query<Schedule> {
    return this.hide(id)
  }

  /** Throws ConflictError when the name was taken meanwhile. */
  restore(id: string): Query<Schedule> {
    return this.unhide(id)
  }

  /** Deletes the schedule for good; the tasks of its runs stay. */
  override purge(id: string): Query<Schedule> {
    return super.purge(id)
  }

  private async fireLocked(schedule: Schedule, at: Date): Promise<Fired> {
    const { id, enabled, nextRunAt, cron, timezone } = schedule
    if (!enabled) throw new ConflictError('schedules', ['enabled'], 'schedules: this one is not enabled')
    // Somebody else has fired it, or its time has not come.
    if (nextRunAt === null || nextRunAt > at) return { taskId: undefined, schedule }
    if (!(await this.lockWorkflow(schedule.workflowId))) return { taskId: undefined, schedule }
    const run = runToQueue(schedule, nextRunAt, at)
    const taskId = run === undefined ? undefined : await this.queueRun(schedule, run)
    const managed = { nextRunAt: nextRun(cron, timezone, at), lastRunAt: run }
    return { taskId, schedule: await this.modify(nothing, id, {}, {}, { managed }) }
  }

  /** Whether the workflow may run. It can be neither deleted nor archived until the transaction ends. */
  private lockWorkflow(workflowId: string): Query<boolean> {
    const statement = this.statement(
      'lock workflow',
      () => `select from "platform"."workflows"
        where "org_id" = $1 and "id" = $2 and "deleted_at" is null and "status" <> 'archived' for share`,
    )
    return this.run(
      'write',
      statement,
      () => [workflowId],
      ({ rowCount }) => rowCount === 1,
    )
  }

  /** Whoever comes second waits here, and then finds the schedule moved on. Gives the database's time. */
  private lock(id: string): Query<Date> {
    const statement = this.statement(
      'lock',
      ({ sql }) => `select statement_timestamp() from ${sql} where "org_id" = $1 and "id" = $2 for no key update`,
    )
    return this.run(
      'write',
      statement,
      () => [parseId(id)],
      ({ rows }) => {
        if (rows[0] === undefined) throw new NotFoundError('schedules')
        return new Date(rows[0][0] as string)
      },
    )
  }

  private queueRun({ id, workflowId, input }: Schedule, scheduledFor: Date): Query<string> {
    const statement = this.statement(
      'queue run',
      () => `insert into "platform"."tasks"
          ("org_id", "id", "schedule_id", "workflow_id", "scheduled_for", "run_at", "kind", "input")
        select s."org_id", $2::uuid, s."id", $4::uuid, $5::timestamptz, $5::timestamptz, 'schedule', $6::jsonb
        from "platform"."schedules" s where s."org_id" = $1 and s."id" = $3
        on conflict ("org_id", "schedule_id", "scheduled_for") do update set "scheduled_for" = excluded."scheduled_for"
        returning "id"`,
    )
    const values = () => [newId(), id, workflowId, scheduledFor, input === null ? null : JSON.stringify(input)]
    return this.run('write', statement, values, ({ rows }) => rows[0]?.[0] as string)
  }
}

const nothing = z.strictObject({})

const scheduleWithNextRun = newSchedule.transform((schedule, context) => {
  try {
    return { ...schedule, nextRunAt: firstRun(schedule.cron, schedule.timezone) }
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    for (const { field, reason } of error.faults) context.addIssue({ code: 'custom', path: [field], message: reason })
    return z.NEVER
  }
})

/** All that can be refused without the schedule: whether half of a plan is one does not depend on the other half. */
function checkPatch({ cron, timezone, ...others }: SchedulePatch): void {
  if ([cron, timezone, ...Object.values(others)].every((value) => value === undefined)) {
    throw new InvalidInputError('', 'there is nothing to change')
  }
  if (cron !== undefined || timezone !== undefined) firstRun(cron ?? '* * * * *', timezone ?? 'UTC')
}

/** The next run after a change. What does not touch the plan must not lose a run that is due. */
function movedRun(current: Schedule, { cron, timezone, enabled }: SchedulePatch): { nextRunAt?: Date } {
  const isMoved = (cron ?? current.cron) !== current.cron || (timezone ?? current.timezone) !== current.timezone
  const isWoken = enabled === true && !current.enabled
  if (!isMoved && !isWoken) return {}
  return { nextRunAt: firstRun(cron ?? current.cron, timezone ?? current.timezone) }
}

function firstRun(cron: string, timezone: string): Date {
  const first = nextRun(cron, timezone, new Date())
  if (first === null) throw new InvalidInputError('cron', 'names no moment that will ever come')
  return first
}

/** The first moment after `from`; null when there is none any more. */
function nextRun(cron: string, timezone: string, from: Date): Date | null {
  return parseCron(cron, timezone).nextRun(from)
}

function parseCron(cron: string, timezone: string): Cron {
  if (!isTimeZone(timezone)) throw new InvalidInputError('timezone', 'must be an IANA time zone such as Europe/Berlin')
  const refusal = new InvalidInputError('cron', 'must be five fields such as "0 9 * * 1-5", or six with seconds')
  // Croner takes a single date too, nicknames, and years.
  if (!/^\s*(\S+\s+){4,5}\S+\s*$/.test(cron)) throw refusal
  try {
    // Inheriting nothing: croner takes a `name`, which a second job of that name is refused for.
    return new Cron(cron, Object.assign(Object.create(null) as object, { timezone, paused: true }))
  } catch {
    throw refusal
  }
}

function isTimeZone(timezone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone })
    // Node takes offsets such as +01:00 as well, which know no daylight saving.
    return !/^[+-]/.test(timezone)
  } catch {
    return false
  }
}

/** The run to queue of those up to `at`, the first of which is `due`. */
function runToQueue({ cron, timezone, missedRuns }: Schedule, due: Date, at: Date): Date | undefined {
  const parsed = parseCron(cron, timezone)
  const following = parsed.nextRun(due)
  if (following === null || following > at) return due
  if (missedRuns === 'skip') return undefined
  // Croner looks before a moment, and `at` itself may be one of the runs.
  const [last = due] = parsed.previousRuns(1, new Date(at.getTime() + 1))
  return last
}
