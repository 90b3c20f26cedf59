import { z } from 'zod'
import { BrokenReferenceError, ConflictError } from '../core/errors.js'
import { newId, parseId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import type { ListOptions, PageContent, PageOf } from '../core/statements/pages.js'
import type { Field, Selected } from '../core/statements/selections.js'
import { planOf, planWithin, type TablePlan } from '../core/statements/table-plan.js'
import type { GuardedChange } from '../core/statements/updates.js'
import { type BucketRange, bucketOf, bucketRange, checkRange, filled } from '../core/time-buckets.js'
import { ownItems, ownProperties, parseInput } from '../core/values.js'
import {
  type Database,
  type DatabaseConnectionLog,
  databaseConnectionLogs,
  type DatabaseHealth,
  databaseHealth,
  databaseMetrics,
  databasePatch,
  type DatabasePatch,
  databases,
  databaseSecrets,
  type DatabaseSecrets,
  type NewDatabase,
  newDatabase,
  type NewDatabaseConnectionLog,
  newDatabaseConnectionLog,
  type NewDatabaseMetric,
  newDatabaseMetric,
} from '../schema/databases.js'
import { inProject } from '../schema/in-project.js'
import { projects } from '../schema/projects.js'
import type { Secret } from '../schema/shared/secret.js'
import * as shape from '../schema/shared/shapes.js'

/** A database, with its connection string where it has one. */
export interface DatabaseValues extends Omit<NewDatabase, 'projectId'>, Partial<DatabaseSecrets> {}
export interface DatabaseChanges extends DatabasePatch, Partial<DatabaseSecrets> {}

const options = { permission: 'projects' }
const inDatabase = { property: 'databaseId', parent: databases }
const secrets = databaseSecrets.partial().shape
const newWithSecret = newDatabase.extend(secrets)
const patchWithSecret = databasePatch.extend(secrets)

// The given time, or else that of the statement: both functions pass over a null. A cluster takes no clock inside of COALESCE, and a
// clock in FROM beside the audited row fails there.
const checkedAt = 'least($5::timestamptz, greatest(statement_timestamp(), $5::timestamptz))'

const newerHealth: GuardedChange = {
  set: `"health" = $4::text, "health_checked_at" = ${checkedAt}`,
  when: `"health_checked_at" is null or "health_checked_at" <= ${checkedAt}`,
  ask: 'true',
  refuse: () => new ConflictError('databases', ['healthCheckedAt'], 'databases: a later check is recorded already'),
}

/**
 * The databases of projects, each named by its project and its id: that of another project is not there. Deleted databases are hidden,
 * and so are those of a deleted project. The connection string is stored encrypted, and only `reveal` gives it.
 */
export class ProjectDatabases {
  constructor(private readonly scope: Scope) {}

  /** The measurements of databases. */
  get metrics(): DatabaseMetrics {
    return new DatabaseMetrics(this.scope)
  }

  /** What happened to the connections of databases. */
  get connections(): DatabaseConnections {
    return new DatabaseConnections(this.scope)
  }

  find(projectId: string, id: string): Query<Database | undefined> {
    return this.of(projectId).find(id)
  }

  /** Throws NotFoundError. */
  get(projectId: string, id: string): Query<Database> {
    return this.of(projectId).get(id)
  }

  /** One page of the project's databases, newest first. */
  list<Name extends Field<Database> = Field<Database>, Total extends boolean = false>(
    projectId: string,
    asked?: ListOptions<Database> & PageContent<Name, Total>,
  ): Query<PageOf<Selected<Database, Name>, Total>> {
    return this.of(projectId).list(asked)
  }

  /** Throws ConflictError when the project has a database of that name, BrokenReferenceError when there is no such project. */
  create(projectId: string, values: DatabaseValues): Query<Database> {
    const project = parseId(projectId, 'projectId')
    const rows = new ScopedTable<Database>(this.scope, databases, options, { project })
    return rows.insertRow(newWithSecret, { ...ownProperties(values), projectId })
  }

  /** Throws ConflictError when the name is taken. */
  update(projectId: string, id: string, changes: DatabaseChanges): Query<Database> {
    return this.of(projectId).updateRow(patchWithSecret, id, changes)
  }

  /** Hides the database and frees its name. */
  delete(projectId: string, id: string): Query<Database> {
    return this.of(projectId).hideRow(id)
  }

  /** Throws ConflictError when another database of the project has taken the name. */
  restore(projectId: string, id: string): Query<Database> {
    return this.of(projectId).restoreRow(id)
  }

  /** The connection string, undefined where none is set. Needs `credentials:reveal`. */
  reveal(projectId: string, id: string): Promise<Secret | undefined> {
    const revealed = this.of(projectId).revealRow({ id }, ['connectionString'], { permission: 'credentials:reveal' })
    return this.scope.track(revealed.then(({ connectionString }) => connectionString))
  }

  /** Notes how a check of the database went. Throws ConflictError when the result of a later check is there. */
  recordHealth(projectId: string, id: string, result: DatabaseHealth): Query<Database> {
    return this.of(projectId).guardedRow('recordHealth', id, newerHealth, () => {
      const { health, healthCheckedAt } = parseInput(databaseHealth, result)
      return [health, healthCheckedAt ?? null]
    })
  }

  private of(projectId: string): ScopedTable<Database> {
    const use = { project: parseId(projectId, 'projectId'), plan: planWithin(databases, inProject) }
    return new ScopedTable<Database>(this.scope, databases, options, use)
  }
}

const aggregates = {
  min: 'min("value")',
  max: 'max("value")',
  avg: 'avg("value")',
  sum: 'sum("value")',
  count: 'count(*)',
  last: '(pg_catalog.array_agg("value" order by "recorded_at" desc, "id" desc))[1]',
} as const

export type MetricAggregate = keyof typeof aggregates

export interface DatabaseMetricQuery extends BucketRange {
  readonly metricType: string
  /** `last` is the latest value. Default: `avg`. */
  readonly aggregate?: MetricAggregate | undefined
}

export interface MetricBucket {
  /** When the bucket begins. */
  readonly at: Date
  /** Null in a bucket without measurements. */
  readonly value: number | null
}

const maxRows = 50_000
const metricQuery = bucketRange
  .extend({ metricType: shape.label(100), aggregate: z.enum(keysOf(aggregates)).optional() })
  .superRefine(checkRange)

/** The measurements of databases. Those of a deleted database or project are hidden with it. */
export class DatabaseMetrics {
  constructor(private readonly scope: Scope) {}

  /**
   * Appends measurements, 50,000 at most, in one statement: all or none. Without `recordedAt` it is the moment of the insert. Returns
   * their number. Throws BrokenReferenceError when the project has no such database.
   */
  record(projectId: string, databaseId: string, measurements: readonly NewDatabaseMetric[]): Query<number> {
    return this.scope.query(() => {
      const owners = authorized(this.scope, 'write', projectId, databaseId)
      const rows = ownItems(measurements, 'rows', maxRows).map((row) => parseInput(newDatabaseMetric, row))
      const statement = ownStatement(planOf(databaseMetrics), DatabaseMetrics, 'record', true, recordText)
      const lists = [
        rows.map(() => newId()),
        rows.map(({ metricType }) => metricType),
        rows.map(({ value }) => value),
        rows.map(({ recordedAt }) => recordedAt ?? null),
      ]
      return planned({ statement, values: [...owners, ...lists] }, ({ rowCount }) => {
        if (rowCount !== rows.length) throw new BrokenReferenceError('database_metrics', ['databaseId'])
        return rowCount
      })
    })
  }

  /** One value for each bucket in which something was recorded, oldest first. */
  query(projectId: string, databaseId: string, range: DatabaseMetricQuery): Query<MetricBucket[]> {
    return this.scope.query(() => {
      const owners = authorized(this.scope, 'read', projectId, databaseId)
      const { metricType, aggregate = 'avg', ...asked } = parseInput(metricQuery, range)
      const plan = planOf(databaseMetrics)
      const statement = ownStatement(plan, DatabaseMetrics, `buckets ${aggregate}`, false, (table) =>
        bucketsText(table, aggregate),
      )
      const values = [...owners, metricType, asked.from, asked.to, asked.step]
      return planned({ statement, values }, ({ rows }) => {
        const found = rows.map(([at, value]): MetricBucket => ({
          at: new Date(at as string),
          value: value as number | null,
        }))
        return asked.empty === true ? filled(found, asked, (at) => ({ at, value: null })) : found
      })
    })
  }
}

/** What happened to the connections of databases. What belongs to a deleted database or project is hidden with it. */
export class DatabaseConnections {
  constructor(private readonly scope: Scope) {}

  /** Appends an event. Throws BrokenReferenceError when the project has no such database. */
  log(projectId: string, databaseId: string, event: NewDatabaseConnectionLog): Query<DatabaseConnectionLog> {
    return this.scope.query(() => {
      const owners = authorized(this.scope, 'write', projectId, databaseId)
      const { eventType, message = null, recordedAt = null } = parseInput(newDatabaseConnectionLog, event)
      const plan = planOf(databaseConnectionLogs)
      const statement = ownStatement(plan, DatabaseConnections, 'log', true, logText)
      return planned({ statement, values: [...owners, newId(), eventType, message, recordedAt] }, ({ rows: [row] }) => {
        if (row === undefined) throw new BrokenReferenceError('database_connection_logs', ['databaseId'])
        return plan.readRow(row) as unknown as DatabaseConnectionLog
      })
    })
  }

  /** One page of the project's events, newest first; with `databaseId` those of one database. */
  list<Name extends Field<DatabaseConnectionLog> = Field<DatabaseConnectionLog>, Total extends boolean = false>(
    projectId: string,
    asked?: ListOptions<DatabaseConnectionLog> & PageContent<Name, Total>,
  ): Query<PageOf<Selected<DatabaseConnectionLog, Name>, Total>> {
    const use = {
      project: parseId(projectId, 'projectId'),
      plan: planWithin(databaseConnectionLogs, inProject, inDatabase),
    }
    const rows = new ScopedTable<DatabaseConnectionLog>(this.scope, databaseConnectionLogs, options, use)
    const { orderBy = '-recordedAt', ...given } = ownProperties(asked ?? {}, 'options')
    return rows.list({ ...given, orderBy } as ListOptions<DatabaseConnectionLog> & PageContent<Name, Total>)
  }
}

/** Checks the permission. The owners are the first parameters: the organization `$1`, the project `$2`, and the database `$3`. */
function authorized(scope: Scope, what: 'read' | 'write', projectId: string, databaseId: string): readonly string[] {
  const project = parseId(projectId, 'projectId')
  scope.context.rules.authorize(`projects:${what}`, project)
  return [ownerId(scope, 'org'), project, parseId(databaseId, 'databaseId')]
}

const liveProject = `from ${planOf(projects).sql} where ${planOf(projects).visible} and "id" = $2`
const liveDatabase = `from ${planOf(databases).sql} where ${planOf(databases).visible} and "project_id" = $2 and "id" = $3`
const lockParents = `with live_project as (select 1 ${liveProject} for share), live_database as (select 1 ${liveDatabase} for share)`
const areLocked = 'exists (select from live_project) and exists (select from live_database)'

const recordText = ({ sql }: TablePlan): string =>
  `${lockParents} insert into ${sql} ("org_id", "database_id", "id", "metric_type", "value", "recorded_at")
   select $1::uuid, $3::uuid, id, metric_type, value, coalesce(recorded_at, statement_timestamp())
   from unnest($4::uuid[], $5::text[], $6::float8[], $7::timestamptz[]) as given(id, metric_type, value, recorded_at)
   where ${areLocked} returning 1`

const logText = ({ sql, selected }: TablePlan): string =>
  `${lockParents} insert into ${sql} ("org_id", "project_id", "database_id", "id", "event_type", "message", "recorded_at")
   select $1::uuid, $2::uuid, $3::uuid, $4::uuid, $5::text, $6::text, coalesce($7::timestamptz, statement_timestamp())
   where ${areLocked} returning ${selected}`

const bucketsText = ({ sql, visible }: TablePlan, aggregate: MetricAggregate): string =>
  `select ${bucketOf('"recorded_at"', '$7', '$5')}, ${aggregates[aggregate]}::float8 from ${sql}
   where ${visible} and "database_id" = $3 and "metric_type" = $4::text
     and "recorded_at" >= $5::timestamptz and "recorded_at" < $6::timestamptz
     and exists (select ${liveProject}) and exists (select ${liveDatabase}) group by 1 order by 1`

function keysOf<Key extends string>(object: Readonly<Record<Key, unknown>>): [Key, ...Key[]] {
  return Object.keys(object) as [Key, ...Key[]]
}
