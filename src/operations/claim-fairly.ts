import { z } from 'zod'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { planOf } from '../core/statements/table-plan.js'
import { parseInput } from '../core/values.js'
import { byUrgency, type ClaimedTask, claimOptions, claimText, claimValues } from '../repositories/tasks.js'
import { organizations } from '../schema/organizations.js'
import * as shape from '../schema/shared/shapes.js'
import { type Task, tasks } from '../schema/tasks.js'
import { workflows } from '../schema/workflows.js'
import { requeueExpired } from './requeue-leases.js'
import { allRows, operate, type SystemWork } from './system-operation.js'

const fairOptions = claimOptions.extend({
  /** The most tasks of all organizations together. Default: 100. */
  limit: shape.int(1, 1000).default(100),
  /** The most tasks of one organization. Default: as many as `limit` leaves. */
  perOrg: shape.int(1, 1000).default(1000),
})
const requeueOptions = z.strictObject({
  /** The most tasks. Default: 1000. */
  limit: shape.int(1, 100_000).default(1000),
})

export interface FairClaimOptions extends z.input<typeof fairOptions> {}
export interface RequeueOptions extends z.input<typeof requeueOptions> {}

/** More organizations with due tasks than this are drawn from at random. */
const maxOrganizations = 10_000

/** The tasks of every organization, for workers that serve all of them. */
export class SystemTasks {
  constructor(private readonly work: SystemWork) {}

  /**
   * Claims due tasks of every organization in turn: a second one of an organization only after each has got its first. No task is given
   * to two workers. Suspended and deleted organizations are skipped, and tasks of deleted or archived workflows. Each task has its
   * `orgId` and its lease: `tenancy.forOrg(task.orgId).tasks.complete(task)`.
   */
  async claimFair(options: FairClaimOptions): Promise<ClaimedTask[]> {
    const asked = parseInput(fairOptions, options)
    return operate(this.work, 'tasks.claimFair', undefined, (scope) => claimFairly(scope, asked), {
      isRecorded: (claimed) => claimed.length > 0,
      metadata: (claimed) => ({
        owner: asked.owner,
        tasks: claimed.length,
        organizations: new Set(claimed.map(({ orgId }) => orgId)).size,
      }),
    })
  }

  /** Queues running tasks with an expired lease again, or fails those without attempts left. Returns how many. */
  async requeueExpired(options: RequeueOptions = {}): Promise<number> {
    const { limit } = parseInput(requeueOptions, options)
    return operate(this.work, 'tasks.requeueExpired', undefined, (scope) => requeueExpired(scope, limit), {
      isRecorded: (requeued) => requeued > 0,
      metadata: (requeued) => ({ tasks: requeued }),
    })
  }
}

type FairClaim = z.output<typeof fairOptions>

/** An organization with that many due tasks, as far as it may get them. */
interface Waiting {
  readonly orgId: string
  readonly due: number
}

async function claimFairly(scope: Scope, asked: FairClaim): Promise<ClaimedTask[]> {
  const claimed: ClaimedTask[] = []
  let waiting: readonly Waiting[] = await waitingOrganizations(scope, asked)
  while (waiting.length > 0 && claimed.length < asked.limit) {
    const shares = sharesOf(waiting, asked.limit - claimed.length)
    const served = waiting.flatMap(({ orgId, due }, place) => {
      const share = shares[place] ?? 0
      return share === 0 ? [] : [{ orgId, share, left: due - share }]
    })
    const answers = await scope.batch((all) => served.map(({ orgId, share }) => claimIn(all, orgId, asked, share)))
    claimed.push(...answers.flat())
    // Who got less than its share has nothing more: the others are claimed by somebody else, or their workflow does not run.
    const others = served.flatMap(({ orgId, share, left }, place) =>
      left > 0 && answers[place]?.length === share ? [{ orgId, due: left }] : [],
    )
    waiting = [...waiting.filter((_, place) => shares[place] === 0), ...others]
  }
  return claimed
}

/** One for each in turn, until nothing is left to give. */
function sharesOf(waiting: readonly Waiting[], left: number): number[] {
  const shares = waiting.map(() => 0)
  for (let turn = 0, before = -1; left > 0 && left !== before; turn++) {
    before = left
    waiting.forEach(({ due }, place) => {
      if (left === 0 || due <= turn) return
      shares[place] = turn + 1
      left--
    })
  }
  return shares
}

/**
 * In a random order: where there are more organizations than tasks to claim, none always comes behind the same others. It reads the
 * index entry of each due task, 10,000 in some milliseconds.
 */
function waitingOrganizations(scope: Scope, { kinds, perOrg }: FairClaim): Query<Waiting[]> {
  const rows = allRows<Task>(scope, tasks)
  const o = planOf(organizations).as('o').sql
  const statement = ownStatement(
    rows.plan,
    waitingOrganizations,
    'waiting',
    false,
    ({ sql }) => `select w."org_id", least(w.due, $2::bigint)::int from (
        select "org_id", count(*) as due from ${sql}
        where "status" = 'queued' and "run_at" <= statement_timestamp() and ($1::text[] is null or "kind" = any($1::text[]))
        group by "org_id"
      ) w join ${o} on o."id" = w."org_id" and o."status" = 'active' and o."deleted_at" is null
      order by random() limit ${maxOrganizations}`,
  )
  return rows.run(
    statement,
    () => [kinds ?? null, perOrg],
    (result) => result.rows.map(([orgId, due]) => ({ orgId: orgId as string, due: due as number })),
  )
}

/** The organization may have been suspended since it was found. */
const isOpen = () =>
  `exists (select from ${planOf(organizations).sql} where "id" = $1 and "status" = 'active' and "deleted_at" is null)`

function claimIn(scope: Scope, orgId: string, asked: FairClaim, limit: number): Query<ClaimedTask[]> {
  const statement = ownStatement(planOf(tasks), claimIn, 'claim', true, (table) =>
    claimText(table, planOf(workflows), isOpen()),
  )
  const rows = allRows<Task>(scope, tasks)
  return rows.run(
    statement,
    () => [orgId, ...claimValues({ ...asked, limit })],
    (result) => rows.rowsOf(result).sort(byUrgency) as ClaimedTask[],
  )
}
