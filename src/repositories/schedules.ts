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
import { tasks } from '../schema/tasks.js'
import { workflows } from '../schema/workflows.js'

const dueOptions = z.strictObject({
  /** 100 unless told. */
  limit: shape.int(1, 1000).optional(),
  /** Now unless told, by the database's clock. */
  at: shape.instant.optional(),
})
export interface DueOptions extends z.input<typeof dueOptions> {}

const options = { references: referencesTo(schedules, [tasks]) }

/** When workflows run by themselves. `due` tells which have to be fired. */
export class Schedules extends ScopedRepository<Schedule> {
  constructor(scope: Scope) {
    super(scope, schedules, options)
  }

  /** Throws InvalidInputError for a cron expression or a time zone that is none, ConflictError when the name is taken. */
  create(values: NewSchedule): Query<Schedule> {
    return this.insertRow(scheduleWithNextRun, values)
  }

  /** With the `revision` that was read, throws VersionConflictError when the schedule was changed since. */
  update(id: string, patch: SchedulePatch, options: UpdateOptions = {}): Promise<Schedule> {
    return this.atomically(async (inner) => {
      const values = parseInput(schedulePatch, patch)
      checkPatch(values)
      revisionOf(options)
      const managed = movedRun(await inner.lockRow(id), values)
      return inner.updateRow(schedulePatch, id, values, { options, managed })
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

  /** Throws ConflictError when the name was taken meanwhile. */
  restore(id: string): Query<Schedule> {
    return this.restoreRow(id)
  }

  /** Deletes the schedule for good; the tasks of its runs stay. */
  purge(id: string): Query<Schedule> {
    return this.purgeRow(id)
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
export function nextRun(cron: string, timezone: string, from: Date): Date | null {
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
export function runToQueue({ cron, timezone, missedRuns }: Schedule, due: Date, at: Date): Date | undefined {
  const parsed = parseCron(cron, timezone)
  const following = parsed.nextRun(due)
  if (following === null || following > at) return due
  if (missedRuns === 'skip') return undefined
  // Croner looks before a moment, and `at` itself may be one of the runs.
  const [last = due] = parsed.previousRuns(1, new Date(at.getTime() + 1))
  return last
}
