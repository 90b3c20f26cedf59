import { z } from 'zod'
import { ConflictError } from '../core/errors.js'
import { newId, parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import type { TablePlan } from '../core/statements/table-plan.js'
import { type GuardedChange, refusedVerb } from '../core/statements/updates.js'
import { ownItems, ownProperties, parseInput } from '../core/values.js'
import { type Agent, agents } from '../schema/agents.js'
import { type Schedule, schedules } from '../schema/schedules.js'
import { clock } from '../schema/shared/clock.js'
import type { JsonValue } from '../schema/shared/json.js'
import * as shape from '../schema/shared/shapes.js'
import { type NewTask, newTask, type Task, taskPatch, type TaskPatch, tasks } from '../schema/tasks.js'
import { type Workflow, workflows } from '../schema/workflows.js'

export interface TaskRelations {
  readonly workflow: Workflow | null
  readonly agent: Agent | null
  readonly schedule: Schedule | null
  readonly parent: Task | null
  readonly children: Task[]
}

const options = {
  includes: {
    workflow: { one: workflows, by: 'workflowId' },
    agent: { one: agents, by: 'agentId' },
    schedule: { one: schedules, by: 'scheduleId' },
    parent: { one: tasks, by: 'parentId' },
    children: { many: tasks, by: 'parentId' },
  },
}

const owner = shape.label(200)
const leaseSeconds = shape.int(1, 86_400)

export const claimOptions = z.strictObject({
  /** The name of the worker, for people who look at the queue. */
  owner,
  /** Default: 1. */
  limit: shape.int(1, 1000).optional(),
  /** The length of the lease, 60 seconds by default; `heartbeat` extends it. */
  leaseSeconds: leaseSeconds.optional(),
  /** Only tasks of these kinds; by default every kind. */
  kinds: z
    .custom<readonly string[]>()
    .transform((kinds) => ownItems(kinds, 'kinds', 100))
    .pipe(z.array(shape.label(100)).min(1))
    .optional(),
})
const heartbeatOptions = z.strictObject({
  /** How long the lease lasts from now: 60 seconds by default. */
  leaseSeconds: leaseSeconds.optional(),
})
const completion = z.strictObject({ output: shape.json.optional() })
const failure = z.strictObject({
  error: shape.json.optional(),
  /** The time until the next attempt. Default: twice as long after each attempt, one hour at most. */
  retryInSeconds: shape.int(0, 86_400 * 30).optional(),
})

export interface ClaimOptions extends z.input<typeof claimOptions> {}
/** The fields that a worker needs to finish a task. The task that `claim` returned has both. */
export interface Lease {
  readonly id: string
  readonly leaseToken: string
}
export interface ClaimedTask extends Task {
  leaseToken: string
}
export interface HeartbeatOptions extends z.input<typeof heartbeatOptions> {}
export interface Completion extends z.input<typeof completion> {}
export interface Failure extends z.input<typeof failure> {}

const defaultLease = 60
const leaseEnd = (place: string) => `statement_timestamp() + pg_catalog.make_interval(secs => ${place})`

const unfinished = ['queued', 'running']
const released = '"lease_owner" = null, "lease_token" = null, "lease_expires_at" = null'
// Twice as long after each attempt: 2, 4, 8 … seconds, an hour at most.
const backoff = 'pg_catalog.make_interval(secs => least(3600, pg_catalog.power(2, least("attempt", 12))))'
// A Citus cluster takes only immutable functions inside of CASE, and a sum of a timestamptz depends on the time zone.
const later = (interval: string) => `(clock.now at time zone 'UTC' + ${interval}) at time zone 'UTC'`
const retry = '"attempt" < "max_attempts"'

/** `also` is a further condition of the tasks `t`. The parameters are the organization and those of `claimValues`. */
export function claimText(table: TablePlan, ofWorkflows: TablePlan, also = 'true'): string {
  const t = table.as('t')
  const w = ofWorkflows.as('w')
  const { sql, selected, visible } = table
  return `with due as (
      select t."id" from ${t.sql}
      where ${t.visible} and t."status" = 'queued' and t."run_at" <= statement_timestamp() and ${also}
        and ($5::text[] is null or t."kind" = any($5::text[]))
        and (t."workflow_id" is null or exists (
          select from ${w.sql} where ${w.visible} and w."id" = t."workflow_id" and w."status" <> 'archived'
        ))
      order by t."priority", t."run_at", t."id"
      limit $4::bigint
      for no key update of t skip locked
    )
    update ${sql} set
      "status" = 'running', "attempt" = "attempt" + 1, "lease_owner" = $2::text, "lease_token" = $6::uuid, "lease_expires_at" = ${leaseEnd('$3::float8')},
      "started_at" = least("started_at", statement_timestamp()), "updated_at" = statement_timestamp()
    where ${visible} and "id" = any(array(select "id" from due))
    returning ${selected}`
}

/** With a new lease token, which all tasks of the claim have. */
export function claimValues(asked: Omit<z.output<typeof claimOptions>, 'limit'> & { limit: number }): unknown[] {
  const { owner, limit, leaseSeconds = defaultLease, kinds = null } = asked
  return [owner, leaseSeconds, limit, kinds, newId()]
}

/** Holds for a running task that lost its lease. */
export const leaseIsExpired = '"lease_expires_at" < statement_timestamp()'

/** Queues a task again that lost its lease, or fails it when it has no attempts left. `from` is the clock that `set` reads. */
export const requeued = {
  set: `"status" = case when ${retry} then 'queued' else 'failed' end,
    "finished_at" = case when ${retry} then null else clock.now end,
    ${released}, "updated_at" = statement_timestamp()`,
  from: clock,
}

/**
 * The organization's tasks. A worker claims them under a lease, and only that worker can finish them until the lease is lost; a
 * finished task never changes. Times are the database's.
 */
export class Tasks extends ScopedRepository<Task, TaskRelations> {
  constructor(scope: Scope) {
    super(scope, tasks, options)
  }

  /** When a queued or running task has the same `dedupeKey`, returns that task and creates no second one. */
  enqueue(values: NewTask): Query<Task> {
    return this.insertRow(newTask, values, { existing: 'tasks_dedupe_key' })
  }

  /** Throws ConflictError when the task is no longer queued. */
  update(id: string, patch: TaskPatch): Query<Task> {
    return this.updateRow(taskPatch, id, patch, { guard: waiting })
  }

  /**
   * Claims the most urgent tasks that are due: priority, then time. No task is given to two workers, and no call waits for another.
   * Tasks of deleted or archived workflows are skipped. Pass the returned task to `heartbeat`, `complete` and `fail`:
   * `org.tasks.complete(task, { output })`.
   */
  claim(options: ClaimOptions): Query<ClaimedTask[]> {
    const statement = this.change('claim', (table) => claimText(table, this.child(workflows).plan))
    return this.run(
      statement,
      () => {
        const { limit = 1, ...asked } = parseInput(claimOptions, options)
        return claimValues({ ...asked, limit })
      },
      (result) => this.rowsOf(result).sort(byUrgency) as ClaimedTask[],
    )
  }

  /** Extends the lease. Throws ConflictError when it was lost. */
  heartbeat(lease: Lease, options: HeartbeatOptions = {}): Query<Task> {
    return this.changeHeld('heartbeat', lease, heartbeat, () => {
      const { leaseSeconds = defaultLease } = parseInput(heartbeatOptions, options)
      return [leaseSeconds]
    })
  }

  /** Throws ConflictError when the lease was lost. */
  complete(lease: Lease, result: Completion = {}): Query<Task> {
    return this.changeHeld('complete', lease, complete, () => {
      const { output } = parseInput(completion, result)
      return [asJson(output)]
    })
  }

  /** Queues the task again while it has attempts left. Throws ConflictError when the lease was lost. */
  fail(lease: Lease, result: Failure = {}): Query<Task> {
    return this.changeHeld('fail', lease, fail, () => {
      const { error, retryInSeconds = null } = parseInput(failure, result)
      return [asJson(error), retryInSeconds]
    })
  }

  /** Ends a queued or running task. The lease of its worker is then refused. */
  cancel(id: string): Query<Task> {
    return this.guardedRow('cancel', id, cancel, () => [])
  }

  /** Queues tasks with an expired lease again, or fails them when they have no attempts left. */
  requeueExpired(): Query<Task[]> {
    // `is true` prevents the index over all organizations' leases, which would read the expired ones of every organization.
    const statement = this.change(
      'requeue',
      ({ sql, selected, visible }) => `update ${sql} set ${requeued.set} from ${requeued.from}
      where ${visible} and "status" = 'running' and (${leaseIsExpired}) is true
      returning ${selected}`,
    )
    return this.runRows(statement, () => [])
  }

  private changeHeld(
    event: string,
    lease: Lease,
    change: GuardedChange,
    values: () => readonly unknown[],
  ): Query<Task> {
    let token = ''
    const id = (): string => {
      const { id, leaseToken } = ownProperties(lease, 'lease')
      token = parseId(leaseToken, 'leaseToken')
      return parseId(id)
    }
    return this.rows.guardedRowOf(event, id, change, () => [token, ...values()])
  }
}

// An undefined value is SQL null, as in an insert, and not the null of JSON.
const asJson = (value: JsonValue = null): string | null => (value === null ? null : JSON.stringify(value))

const waiting = {
  when: `"status" = 'queued'`,
  ask: '"status"',
  refuse: () => new ConflictError('tasks', ['status'], 'tasks: only a queued task can be changed'),
}

const holdsLease = `"status" = 'running' and "lease_token" = $3::uuid`
const leaseLost = ([status]: readonly unknown[]) =>
  new ConflictError(
    'tasks',
    ['lease'],
    `tasks: only the worker that holds the lease of a running task can do this; the task is ${String(status)}, or was claimed again`,
  )

const heartbeat: GuardedChange = {
  set: `"lease_expires_at" = ${leaseEnd('$4::float8')}`,
  when: holdsLease,
  ask: '"status"',
  refuse: leaseLost,
}

const complete: GuardedChange = {
  set: `"status" = 'succeeded', "output" = $4::jsonb, "finished_at" = statement_timestamp(), ${released}`,
  when: holdsLease,
  ask: '"status"',
  refuse: leaseLost,
}

const fail: GuardedChange = {
  set: `"error" = $4::jsonb, ${released},
    "status" = case when ${retry} then 'queued' else 'failed' end,
    "finished_at" = case when ${retry} then null else clock.now end,
    "run_at" = case when ${retry} then ${later(`coalesce(pg_catalog.make_interval(secs => $5::float8), ${backoff})`)} else "run_at" end`,
  from: clock,
  when: holdsLease,
  ask: '"status"',
  refuse: leaseLost,
}

const cancel: GuardedChange = {
  set: `"status" = 'canceled', "finished_at" = statement_timestamp(), ${released}`,
  when: `"status" in ('queued', 'running')`,
  ask: '"status"',
  refuse: ([status]) => refusedVerb('tasks', 'cancel', String(status), unfinished),
}

export const byUrgency = (a: Task, b: Task): number =>
  a.priority - b.priority || a.runAt.getTime() - b.runAt.getTime() || (a.id < b.id ? -1 : 1)
