import type { PgTable } from 'drizzle-orm/pg-core'
import type { z } from 'zod'
import { InvalidInputError, NotFoundError } from './errors.js'
import type { Call, Result, Statement } from './executor.js'
import { comparableValue, compileFilter, type Filter } from './statements/filters.js'
import {
  type GuardedChange,
  guardedCall,
  guardedRow,
  type Transition,
  transitionOf,
} from './statements/guarded-change.js'
import { parseId } from './ids.js'
import { insertedAll, insertManyCall } from './statements/insert-many.js'
import { type ListOptions, listStatement, type Page, readListOptions, readPage } from './statements/pages.js'
import type { Query } from './query.js'
import { clearCall, lockCalls, type Reference } from './statements/references.js'
import { revisionOf, type UpdateOptions } from './statements/update-options.js'
import type { AuditedWrite, Scope } from './scope.js'
import { classKey, ownText } from './statements/statement-cache.js'
import { columnOf, planOf, type TablePlan } from './statements/table-plan.js'
import { ownItems, ownOf, ownProperties, parseInput, type Values } from './values.js'
import * as writes from './statements/writes.js'

export interface RepositoryOptions {
  /** Whose `read` and `write` an actor needs; the table's own name unless told. */
  readonly permission?: string | undefined
  /** Soft-deletable tables that a row hangs on: their row must live when this one is made. */
  readonly parents?: writes.Parents | undefined
  /** Columns elsewhere that may refer to a row and are emptied before it is purged. */
  readonly references?: readonly Reference[] | undefined
}

const maxIds = 100_000
const maxRows = 50_000

/**
 * One table, seen from inside one organization. Every statement says `org_id = $1`, and row security checks it. Reads are
 * public; a repository declares the writes that its table has.
 */
export abstract class ScopedRepository<Row extends object> {
  protected readonly plan: TablePlan
  private readonly permission: string
  private readonly parents: writes.Parents
  private readonly references: readonly Reference[]
  private readonly readRow: (row: readonly unknown[]) => Row

  constructor(
    protected readonly scope: Scope,
    table: PgTable,
    options?: RepositoryOptions,
  ) {
    const { permission, parents, references } = ownOf(options)
    this.plan = planOf(table)
    this.permission = permission ?? this.plan.resource
    this.parents = ownOf(parents) as writes.Parents
    this.references = references ?? []
    this.readRow = this.plan.readRow as (row: readonly unknown[]) => Row
  }

  /** `select … where org_id = $1 and id = $2`. Undefined: missing, deleted and another organization's are the same. */
  find(id: string): Query<Row | undefined> {
    return this.read(
      () => this.call(this.findStatement(), [parseId(id)]),
      ({ rows }) => this.first(rows),
    )
  }

  /** Throws NotFoundError: missing, deleted and another organization's are the same. */
  get(id: string): Query<Row> {
    return this.read(
      () => this.call(this.findStatement(), [parseId(id)]),
      ({ rows }) => this.only(rows),
    )
  }

  /** The rows with these ids that there are, in the order of the ids. */
  findMany(ids: readonly string[]): Query<Row[]> {
    return this.byIds(ids, (found) => found.filter((row) => row !== undefined))
  }

  /** Throws NotFoundError when one of them is not there. */
  getMany(ids: readonly string[]): Query<Row[]> {
    return this.byIds(ids, (found) =>
      found.map((row) => {
        if (row === undefined) throw new NotFoundError(this.plan.resource)
        return row
      }),
    )
  }

  /** One page, newest first: `org.agents.list({ status: 'active', limit: 20, after: page.next })`. */
  list(options?: ListOptions<Row>): Query<Page<Row>> {
    let request: ReturnType<typeof readListOptions>
    return this.read(
      () => {
        request = readListOptions(this.plan, this.scope.context, options)
        const { statement, values } = listStatement(this.plan, request)
        return this.call(statement, values)
      },
      ({ rows }) => readPage(this.plan, this.scope.context, request, rows, this.readRow),
    )
  }

  /** Every row, page by page: `for await (const agent of org.agents.stream({ status: 'active' }))`. */
  async *stream(options?: Omit<ListOptions<Row>, 'after' | 'before'>): AsyncGenerator<Row, void, undefined> {
    const given = ownProperties(options ?? {}, 'options')
    const { limit = 500 } = given
    let after: string | undefined
    do {
      const page: Page<Row> = await this.list({
        ...given,
        limit,
        ...(after === undefined ? {} : { after }),
      } as ListOptions<Row>)
      yield* page.items
      after = page.next
    } while (after !== undefined)
  }

  count(filter?: Filter<Row>): Query<number> {
    return this.read(
      () => this.filtered('count', filter, (where) => `select count(*)::int from ${this.plan.sql} where ${where}`),
      ({ rows }) => rows[0]?.[0] as number,
    )
  }

  exists(filter?: Filter<Row>): Query<boolean> {
    // In an order that the primary key gives: without one, a server that expects to come across a row soon reads the whole table.
    const order = this.plan.hasId ? ' order by "id"' : ''
    return this.read(
      () => this.filtered('exists', filter, (where) => `select from ${this.plan.sql} where ${where}${order} limit 1`),
      ({ rowCount }) => rowCount === 1,
    )
  }

  /** The row that a unique key names. Its values are compared as they are: an object from a request is no filter here. */
  protected findWhere(key: Filter<Row>): Query<Row | undefined> {
    const text = (where: string) => `select ${this.plan.selected} from ${this.plan.sql} where ${where} limit 1`
    return this.read(
      () => {
        for (const [property, value] of Object.entries(key)) comparableValue(columnOf(this.plan, property), value)
        return this.filtered('find', key, text)
      },
      ({ rows }) => this.first(rows),
    )
  }

  /** `managed` are values that the library gives; `existing` is a key whose row is given instead of a second one. */
  protected insert(
    schema: z.ZodType,
    input: unknown,
    options?: { managed?: Values | undefined; existing?: writes.ConflictTarget | undefined },
  ): Query<Row> {
    const { managed, existing } = ownOf(options)
    let values: Values = {}
    return this.write(
      'create',
      () => {
        values = Object.assign(parsed(schema, input), managed)
        return writes.insertCall(this.plan, this.orgId, values, this.parents, existing)
      },
      (result) => this.readRow(writes.insertedRow(this.plan, this.parents, values, result)),
    )
  }

  /** All or none, in one statement: 50,000 rows at most, each with the same fields. */
  protected insertMany(schema: z.ZodType, inputs: readonly unknown[], managed: Values = {}): Query<Row[]> {
    const { prepare, read } = this.bulk(schema, inputs, managed, 'rows')
    return this.write('create', prepare, (result) => read(result).rows.map(this.readRow))
  }

  /** `insertMany` for what nobody reads back at once, such as measurements. Gives the number of rows. */
  protected append(schema: z.ZodType, inputs: readonly unknown[], managed: Values = {}): Query<number> {
    const { prepare, read } = this.bulk(schema, inputs, managed, 'nothing')
    return this.write('create', prepare, (result) => read(result).rowCount)
  }

  /** Inserts, or changes the row that has the same key. */
  protected upsert(schema: z.ZodType, input: unknown, target: writes.ConflictTarget, managed: Values = {}): Query<Row> {
    let values: Values = {}
    return this.write(
      'update',
      () => {
        values = Object.assign(parsed(schema, input), managed)
        return writes.upsertCall(this.plan, this.orgId, values, this.parents, target)
      },
      (result) => this.readRow(writes.insertedRow(this.plan, this.parents, values, result)),
    )
  }

  /** `options` are the caller's; of the library's, `managed` are values that it gives, and `only` names a state that the row must be in. */
  protected modify(
    schema: z.ZodType,
    id: string,
    patch: unknown,
    options?: UpdateOptions,
    library?: { managed?: Values | undefined; only?: writes.Conditions['only'] },
  ): Query<Row> {
    const { managed, only } = ownOf(library)
    let read = ({ rows }: Result): readonly unknown[] => this.onlyRaw(rows)
    return this.write(
      'update',
      () => {
        const values = Object.assign(parsed(schema, patch), managed)
        const conditions = { parents: this.parents, revision: revisionOf(options), only }
        if (!writes.needsCheck(values, conditions)) return writes.updateCall(this.plan, this.orgId, parseId(id), values)
        const checked = writes.checkedUpdate(this.plan, this.orgId, parseId(id), values, conditions)
        read = checked.read
        return checked.call
      },
      (result) => this.readRow(read(result)),
    )
  }

  /** Changes every row that matches and gives their number. A filter that asks for nothing is refused. */
  protected modifyWhere(filter: Filter<Row>, values: Values): Query<number> {
    let read = ({ rowCount }: Result): number => rowCount
    return this.write(
      'update',
      () => {
        const update = writes.updateWhere(this.plan, this.orgId, this.condition(filter), values, this.parents)
        read = update.read
        return update.call
      },
      (result) => read(result),
    )
  }

  /** Deletes the row for good. */
  protected erase(id: string): Query<Row> {
    return this.verb('delete', 'delete', id)
  }

  protected eraseWhere(filter: Filter<Row>): Query<number> {
    return this.write(
      'delete',
      () => {
        const { sql, values } = this.condition(filter)
        const text = () => `delete from ${this.plan.sql} where ${this.plan.visible} and (${sql})`
        return this.call(this.plan.statements.get(`delete where ${sql}`, text), values)
      },
      ({ rowCount }) => rowCount,
    )
  }

  /** Soft delete: every read hides the row from now on. */
  protected hide(id: string): Query<Row> {
    return this.verb('hide', 'delete', id)
  }

  /** Brings a hidden row back. Throws ConflictError when its name was taken meanwhile. */
  protected unhide(id: string): Query<Row> {
    return this.verb('restore', 'restore', id)
  }

  /** Changes the status, if it is one of those that it may be changed from. */
  protected transition(id: string, transition: Transition): Query<Row> {
    return this.changeIf(id, transitionOf(this.plan, transition), () => [transition.to, transition.from])
  }

  /** Changes the row if it is in a state that allows it. */
  protected changeIf(id: string, change: GuardedChange, values: () => readonly unknown[]): Query<Row> {
    return this.write(
      'update',
      () => guardedCall(this.plan, this.orgId, parseId(id), change, values()),
      (result) => this.readRow(guardedRow(this.plan, change, result)),
    )
  }

  /** Deletes the row for good, hidden or not, after emptying what refers to it; one round trip, all or nothing. */
  protected purge(id: string): Query<Row> {
    return this.scope.together(
      () => {
        this.authorize('write')
        const row = parseId(id)
        const cleared = this.references.map((reference) => clearCall(reference, this.orgId, row))
        const locked = lockCalls(this.plan, this.references, this.orgId, row)
        return [...locked, ...cleared, this.call(writes.verbStatement(this.plan, 'purge'), [row])]
      },
      (results) => this.only(results.at(-1)?.rows ?? []),
    )
  }

  /**
   * A statement of the repository's own. `$1` is the organization, and the text must say so for each of its tables. It is
   * compiled once per name.
   */
  protected statement(name: string, text: (plan: TablePlan) => string): Statement {
    const label = `${this.constructor.name || this.plan.resource}: the statement ${name}`
    return this.plan.statements.get(
      `own ${classKey(this.constructor)} ${name}`,
      () => ownText(label, text(this.plan)),
      label,
    )
  }

  /** Runs a statement of the repository's own that gives rows of this table. */
  protected select(statement: Statement, values: () => readonly unknown[]): Query<Row[]> {
    return this.run('read', statement, values, ({ rows }) => rows.map(this.readRow))
  }

  /** Runs a statement of the repository's own that changes rows of this table and gives them. */
  protected change(statement: Statement, values: () => readonly unknown[]): Query<Row[]> {
    return this.run('write', statement, values, ({ rows }) => rows.map(this.readRow))
  }

  /** Runs a statement of the repository's own. What `values` throws is the query's rejection. */
  protected run<T>(
    what: 'read' | 'write',
    statement: Statement,
    values: () => readonly unknown[],
    read: (result: Result) => T,
  ): Query<T> {
    const prepare = () => this.call(statement, values())
    return what === 'read' ? this.read(prepare, read) : this.write('update', prepare, read)
  }

  private get orgId(): string {
    return this.scope.context.orgId
  }

  private bulk(schema: z.ZodType, inputs: readonly unknown[], managed: Values, returned: 'rows' | 'nothing') {
    let rows: Values[] = []
    const prepare = () => {
      rows = manyParsed(schema, inputs, managed)
      return insertManyCall(this.plan, this.orgId, rows, this.parents, returned)
    }
    return { prepare, read: (result: Result) => insertedAll(this.plan, this.parents, rows, result) }
  }

  private call(statement: Statement, values: readonly unknown[]): Call {
    return { statement, values: [this.orgId, ...values] }
  }

  private read<T>(prepare: () => Call, read: (result: Result) => T): Query<T> {
    return this.scope.query(() => {
      this.authorize('read')
      return prepare()
    }, read)
  }

  private write<T>(action: AuditedWrite['action'], prepare: () => Call, read: (result: Result) => T): Query<T> {
    return this.scope.query(() => {
      this.authorize('write')
      const call = prepare()
      if (!this.plan.audited) return call
      return { ...call, ...this.scope.context.ports.audit?.({ resource: this.plan.resource, action }, call) }
    }, read)
  }

  private verb(verb: 'delete' | 'hide' | 'restore', action: AuditedWrite['action'], id: string): Query<Row> {
    return this.write(
      action,
      () => this.call(writes.verbStatement(this.plan, verb), [parseId(id)]),
      ({ rows }) => this.only(rows),
    )
  }

  private authorize(what: 'read' | 'write'): void {
    this.scope.context.ports.authorize?.(`${this.permission}:${what}`)
  }

  private byIds<T>(ids: readonly string[], read: (found: (Row | undefined)[]) => T): Query<T> {
    let wanted: string[] = []
    return this.read(
      () => {
        wanted = ownItems(ids, 'ids', maxIds).map((id) => parseId(id, 'ids'))
        const text = () =>
          `select ${this.plan.selected} from ${this.plan.sql} where ${this.plan.visible} and "id" = any($2::uuid[])`
        return this.call(this.plan.statements.get('find many', text), [wanted])
      },
      ({ rows }) => {
        const position = this.plan.columns.findIndex((column) => column.property === 'id')
        const found = new Map(rows.map((row) => [row[position], row]))
        return read(wanted.map((id) => this.first([found.get(id)])))
      },
    )
  }

  private findStatement(): Statement {
    return this.plan.statements.get(
      'find',
      () => `select ${this.plan.selected} from ${this.plan.sql} where ${this.plan.visible} and "id" = $2`,
    )
  }

  private filtered(name: string, filter: Filter<Row> | undefined, text: (where: string) => string): Call {
    const { sql, values } = compileFilter(this.plan, filter ?? {}, 1, 'read')
    const where = sql === '' ? this.plan.visible : `${this.plan.visible} and (${sql})`
    return this.call(
      this.plan.statements.get(`${name} ${sql}`, () => text(where)),
      values,
    )
  }

  private condition(filter: Filter<Row>): writes.Where {
    const condition = compileFilter(this.plan, filter, 1, 'change')
    if (condition.sql === '') throw new InvalidInputError('filter', 'asks for nothing, which would change every row')
    return condition
  }

  private first(rows: readonly (readonly unknown[] | undefined)[]): Row | undefined {
    return rows[0] === undefined ? undefined : this.readRow(rows[0])
  }

  private only(rows: readonly (readonly unknown[])[]): Row {
    return this.readRow(this.onlyRaw(rows))
  }

  private onlyRaw(rows: readonly (readonly unknown[])[]): readonly unknown[] {
    if (rows[0] === undefined) throw new NotFoundError(this.plan.resource)
    return rows[0]
  }
}

const manyParsed = (schema: z.ZodType, inputs: unknown, managed: Values): Values[] =>
  ownItems(inputs, 'rows', maxRows).map((input) => Object.assign(parsed(schema, input), managed))

const parsed = (schema: z.ZodType, input: unknown): Values => parseInput(schema, input) as Values
