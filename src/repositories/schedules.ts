import { Cron } from 'croner'
import { z } from 'zod'
import { InvalidInputError } from '../core/errors.js'
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
import { type Task, tasks } from '../schema/tasks.js'
import { type Workflow, workflows } from '../schema/workflows.js'

const dueOptions = z.strictObject({
  /** Default: 100. */
  limit: shape.int(1, 1000).optional(),
  /** Default: now, by the database's clock. */
  at: shape.instant.optional(),
})
export interface DueOptions extends z.input<typeof dueOptions> {}

export interface ScheduleRelations {
  readonly workflow: Workflow | null
  readonly tasks: Task[]
}

const options = {
  references: referencesTo(schedules, [tasks]),
  includes: { workflow: { one: workflows, by: 'workflowId' }, tasks: { many: tasks, by: 'scheduleId' } },
}

/** Schedules run workflows at set times. `due` lists the schedules that have to be fired. */
export class Schedules extends ScopedRepository<Schedule, ScheduleRelations> {
  constructor(scope: Scope) {
    super(scope, schedules, options)
  }

  /** Throws InvalidInputError for an invalid cron expression or time zone, ConflictError when the name is taken. */
  create(values: NewSchedule): Query<Schedule> {
    return this.insertRow(scheduleWithNextRun, values)
  }

  /** Throws VersionConflictError when `revision` is given and the schedule was changed since. */
  update(id: string, patch: SchedulePatch, options: UpdateOptions = {}): Promise<Schedule> {
    return this.updateAs('update', id, patch, options)
  }

  enable(id: string): Promise<Schedule> {
    return this.updateAs('enable', id, { enabled: true })
  }

  disable(id: string): Promise<Schedule> {
    return this.updateAs('disable', id, { enabled: false })
  }

  /** The due schedules, the longest waiting first. Schedules of deleted or archived workflows are left out. */
  due(options: DueOptions = {}): Query<Schedule[]> {
    // `case`, because row security lets no `coalesce` into an index condition.
    const statement = this.query('due', (table) => {
      const s = table.as('s')
      const w = this.child(workflows).plan.as('w')
      return `select ${s.selected} from ${s.sql}
        where ${s.visible} and s."enabled"
          and s."next_run_at" <= case when $2::timestamptz is null then statement_timestamp() else $2::timestamptz end
          and exists (
            select from ${w.sql} where ${w.visible} and w."id" = s."workflow_id" and w."status" <> 'archived'
          )
        order by s."next_run_at", s."id"
        limit $3::bigint`
    })
    return this.runRows(statement, () => {
      const { at = null, limit = 100 } = parseInput(dueOptions, options)
      return [at, limit]
    })
  }

  /** Hides the schedule and frees its name. */
  delete(id: string): Query<Schedule> {
    return this.hideRow(id)
  }

  /** Throws ConflictError when another schedule has taken the name. */
  restore(id: string): Query<Schedule> {
    return this.restoreRow(id)
  }

  /** Deletes the schedule for good. The tasks of its runs stay. */
  purge(id: string): Query<Schedule> {
    return this.purgeRow(id)
  }

  private updateAs(event: string, id: string, patch: SchedulePatch, options: UpdateOptions = {}): Promise<Schedule> {
    return this.atomically(async (inner) => {
      const values = parseInput(schedulePatch, patch)
      checkPatch(values)
      // Throws for an invalid revision before anything is sent.
      revisionOf(options)
      const managed = movedRun(await inner.lockRow(id), values)
      return inner.updateRow(schedulePatch, id, values, { options, managed, event })
    })
  }
}

const scheduleWithNextRun = newSchedule.transform((schedule, context) => {
  try {
    return { ...schedule, nextRunAt: firstRun(schedule.cron, schedule.timezone) }
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    for (const { field, reason } of error.faults) context.addIssue({ code: 'custom', path: [field], message: reason })
    return z.NEVER
  }
})

/** Every check that does not need the schedule. Cron and time zone can be checked separately. */
function checkPatch({ cron, timezone, ...others }: SchedulePatch): void {
  if ([cron, timezone, ...Object.values(others)].every((value) => value === undefined)) {
    throw new InvalidInputError('', 'there is nothing to change')
  }
  if (cron !== undefined || timezone !== undefined) firstRun(cron ?? '* * * * *', timezone ?? 'UTC')
}

/** The next run after a change. A change of other fields must not lose a run that is due. */
function movedRun(current: Schedule, { cron, timezone, enabled }: SchedulePatch): { nextRunAt?: Date } {
  const isMoved = (cron ?? current.cron) !== current.cron || (timezone ?? current.timezone) !== current.timezone
  const isWoken = enabled === true && !current.enabled
  if (!isMoved && !isWoken) return {}
  return { nextRunAt: firstRun(cron ?? current.cron, timezone ?? current.timezone) }
}

function firstRun(cron: string, timezone: string): Date {
  const first = nextRun(cron, timezone, new Date())
  if (first === null) throw new InvalidInputError('cron', 'matches no moment in the future')
  return first
}

/** The first moment after `from`; null when there is none. */
export function nextRun(cron: string, timezone: string, from: Date): Date | null {
  return parseCron(cron, timezone).nextRun(from)
}

function parseCron(cron: string, timezone: string): Cron {
  if (!isTimeZone(timezone)) throw new InvalidInputError('timezone', 'must be an IANA time zone such as Europe/Berlin')
  const refusal = new InvalidInputError('cron', 'must be five fields such as "0 9 * * 1-5", or six with seconds')
  // Croner also accepts a single date, nicknames, and years.
  if (!/^\s*(\S+\s+){4,5}\S+\s*$/.test(cron)) throw refusal
  try {
    // Without a prototype: croner reads `name`, and refuses a second job of the same name.
    return new Cron(cron, Object.assign(Object.create(null) as object, { timezone, paused: true }))
  } catch {
    throw refusal
  }
}

function isTimeZone(timezone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone })
    // Node also accepts offsets such as +01:00, which have no daylight saving time.
    return !/^[+-]/.test(timezone)
  } catch {
    return false
  }
}

/** The run to queue among those up to `at`. `due` is the first of them. */
export function runToQueue({ cron, timezone, missedRuns }: Schedule, due: Date, at: Date): Date | undefined {
  const parsed = parseCron(cron, timezone)
  const following = parsed.nextRun(due)
  if (following === null || following > at) return due
  if (missedRuns === 'skip') return undefined
  // Croner searches before a moment, and `at` itself may be one of the runs.
  const [last = due] = parsed.previousRuns(1, new Date(at.getTime() + 1))
  return last
}
