import { hash } from 'node:crypto'
import { BrokenReferenceError, ConflictError, InvalidInputError, RetryableError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { planOf, type TablePlan } from '../core/statements/table-plan.js'
import { ownItems, parseInput } from '../core/values.js'
import { projects } from '../schema/projects.js'
import { newUsageEvent, type NewUsageEvent, type UsageEvent, usageEvents, usageMetrics } from '../schema/usage.js'

/** The result of `recordMany`. */
export interface RecordedUsage {
  /** How many events are new. */
  readonly recorded: number
  /** How many were recorded before, or stand in the list more than once. */
  readonly repeated: number
}

const maxEvents = 50_000
const options = { permission: 'usage' }

/** A checked event, as it is stored. */
interface Measured {
  readonly id: string
  readonly key: string
  readonly metric: string
  readonly quantity: string
  readonly projectId: string | null
  readonly at: Date
  readonly bodyHash: Buffer
}

/**
 * What the organization has used: events, each recorded once for its key, and their totals by UTC day. Events are never changed and never
 * refused because of a limit of the plan.
 */
export class Usage extends ScopedRepository<UsageEvent> {
  constructor(scope: Scope) {
    super(scope, usageEvents, options)
  }

  /** The event that was recorded under that key. */
  findByKey(key: string): Query<UsageEvent | undefined> {
    return this.findRow({ idempotencyKey: key })
  }

  /**
   * Records an event and adds it to the total of its day. The same event again changes nothing and returns the first one. Throws
   * ConflictError when another event has the key, BrokenReferenceError when the project is not there.
   */
  record(event: NewUsageEvent): Query<UsageEvent> {
    let given: Measured | undefined
    const values = () => {
      const { key, bodyHash, id, metric, quantity, projectId, at } = (given = measured(event))
      return [key, bodyHash, id, metric, quantity, projectId, at]
    }
    const why = this.query('recorded event', recordedEvent)
    return this.run(
      this.change('record', recordOne),
      values,
      (result, diagnosis) => {
        const { rows } = diagnosis?.rows.length === 1 ? diagnosis : result
        const [row] = this.rowsOf({ ...result, rows })
        if (row === undefined) throw notRecorded(given?.projectId)
        if (rows[0]?.at(-1) !== true) throw anotherBody(['key'])
        return row
      },
      { statement: why, takes: 2 },
    )
  }

  /**
   * Records up to 50,000 events in one statement: all of them, or none. Throws ConflictError when another event has one of the keys,
   * BrokenReferenceError when one of the projects is not there; both say which event of the list it is.
   */
  recordMany(events: readonly NewUsageEvent[]): Promise<RecordedUsage> {
    return this.atomically(async (inner) => {
      let all: Measured[] = []
      const recorded = await inner.run(
        inner.change('recordMany', recordAll),
        () => {
          all = measuredList(events)
          return columnsOf(all)
        },
        ({ rowCount }) => rowCount,
      )
      if (recorded < all.length) await inner.assertRecorded(all)
      return { recorded, repeated: all.length - recorded }
    })
  }

  /** Throws for the first event that is not there as it was given: its key belongs to another one, or its project is missing. */
  private assertRecorded(all: readonly Measured[]): Query<void> {
    return this.run(
      this.query('not recorded', firstNotRecorded),
      () => [all.map(({ key }) => key), all.map(({ bodyHash }) => bodyHash)],
      ({ rows: [row] }) => {
        if (row === undefined) return
        const [place, isThere] = row as [string, boolean]
        const index = Number(place) - 1
        throw isThere ? anotherBody([`${index}.key`]) : notRecorded(all[index]?.projectId, `${index}.projectId`)
      },
    )
  }
}

const anotherBody = (fields: readonly string[]): ConflictError =>
  new ConflictError(
    'usage_events',
    fields,
    `usage_events: ${fields.join(', ')}: another event was recorded under this key; a key belongs to one event`,
  )

/** Without a project only a concurrent removal of the event that had the key explains it. */
const notRecorded = (projectId: string | null | undefined, field = 'projectId') =>
  (projectId ?? null) === null ? new RetryableError('serialization') : new BrokenReferenceError('usage_events', [field])

/** Two spellings of one decimal, such as `1.50` and `1.5`, are the same event. */
function measured(event: unknown): Measured {
  const { key, metric, quantity, projectId = null, at } = parseInput(newUsageEvent, event)
  const exact = quantity.includes('.') ? quantity.replace(/\.?0+$/, '') : quantity
  const body = JSON.stringify([metric, exact, projectId, at.toISOString()])
  return { id: newId(), key, metric, quantity, projectId, at, bodyHash: hash('sha256', body, 'buffer') }
}

function measuredList(events: unknown): Measured[] {
  return ownItems(events, 'events', maxEvents).map((event, index) => {
    try {
      return measured(event)
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error
      throw new InvalidInputError(error.faults.map(({ field, reason }) => ({ field: inList(index, field), reason })))
    }
  })
}

const inList = (index: number, field: string) => ['events', String(index), ...(field === '' ? [] : [field])].join('.')

const columnsOf = (all: readonly Measured[]): unknown[] => [
  all.map(({ key }) => key),
  all.map(({ bodyHash }) => bodyHash),
  all.map(({ id }) => id),
  all.map(({ metric }) => metric),
  all.map(({ quantity }) => quantity),
  all.map(({ projectId }) => projectId),
  all.map(({ at }) => at),
]

const eventColumns = `"org_id", "idempotency_key", "body_hash", "id", "metric_type", "quantity", "project_id", "occurred_at"`

/**
 * Adds the events of `event` to the totals of their days. Every caller takes the rows in the same order, so that no two wait for each other.
 * A new total has the id of one of its events.
 */
const rollUp = (sql: string): string => `
  insert into ${sql} ("org_id", "id", "metric_type", "metric_value", "project_id", "period_start", "period_end", "updated_at")
  select $1::uuid, (pg_catalog.array_agg("id"))[1], "metric_type", sum("quantity"), "project_id", day, day + interval '1 day', statement_timestamp()
  from (select event.*, pg_catalog.date_trunc('day', "occurred_at", 'UTC') as day from event) added
  group by "metric_type", "project_id", day
  order by "metric_type" collate "C", "project_id", day
  on conflict ("org_id", "metric_type", "project_id", "period_start") do update
    set "metric_value" = ${sql}."metric_value" + excluded."metric_value", "updated_at" = excluded."updated_at"
  returning 1`

/**
 * The project is not locked. An event recorded while its project is being deleted counts as recorded before. The second part finds an
 * event that was there when the statement began.
 */
function recordOne({ sql, selected, owned }: TablePlan): string {
  const project = planOf(projects).as('p')
  return `with event as (
      insert into ${sql} (${eventColumns})
      select $1::uuid, $2::text, $3::bytea, $4::uuid, $5::text, $6::numeric, $7::uuid, $8::timestamptz
      where $7::uuid is null or exists (select from ${project.sql} where ${project.visible} and p."id" = $7::uuid)
      on conflict ("org_id", "idempotency_key") do nothing
      returning ${selected}
    ), total as (${rollUp(planOf(usageMetrics).sql)})
    select ${selected}, true from event
    union all
    select ${selected}, "body_hash" = $3::bytea from ${sql} where ${owned} and "idempotency_key" = $2::text`
}

const recordedEvent = ({ sql, selected, owned }: TablePlan): string =>
  `select ${selected}, "body_hash" = $3::bytea from ${sql} where ${owned} and "idempotency_key" = $2::text`

/**
 * The keys are inserted in one order, so that two lists with the same keys do not wait for each other. A key that is there twice is
 * inserted once.
 */
function recordAll({ sql }: TablePlan): string {
  const project = planOf(projects).as('p')
  return `with event as (
      insert into ${sql} (${eventColumns})
      select $1::uuid, given.key, given.body_hash, given.id, given.metric, given.quantity, given.project, given.at
      from unnest($2::text[], $3::bytea[], $4::uuid[], $5::text[], $6::numeric[], $7::uuid[], $8::timestamptz[])
        as given(key, body_hash, id, metric, quantity, project, at)
      where given.project is null or given.project = any(array(
        select p."id" from ${project.sql} where ${project.visible} and p."id" = any($7::uuid[])
      ))
      order by given.key collate "C"
      on conflict ("org_id", "idempotency_key") do nothing
      returning "id", "metric_type", "quantity", "project_id", "occurred_at"
    ), total as (${rollUp(planOf(usageMetrics).sql)})
    select 1 from event`
}

/** The place in the list, from 1, and whether an event has the key. */
function firstNotRecorded(table: TablePlan): string {
  const event = table.as('e')
  // A sub-select: without its condition on the organization, the outer join with the table itself ends the server process of a cluster.
  return `select given.place, e."body_hash" is not null
    from unnest($2::text[], $3::bytea[]) with ordinality as given(key, body_hash, place)
    left join (select e."idempotency_key", e."body_hash" from ${event.sql} where ${event.owned}) e on e."idempotency_key" = given.key
    where e."body_hash" is distinct from given.body_hash
    order by given.place limit 1`
}
