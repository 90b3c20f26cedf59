import type { PgTable } from 'drizzle-orm/pg-core'
import type { z } from 'zod'
import type { Row as RowOf } from '../schema/shared/rows.js'
import type { Result } from './executor.js'
import type { Query } from './query.js'
import type { Scope } from './scope.js'
import type {
  InsertOptions,
  ManagedValues,
  PutOptions,
  PutSchema,
  RestoreOptions,
  RevealOptions,
  UpdateRowOptions,
  Why,
} from './row-options.js'
import { ScopedTable } from './scoped-table.js'
import type { TableOptions } from './table-options.js'
import type { CountableField, CountOf, RangedField, SummableField } from './statements/aggregates.js'
import type { ChangeText } from './statements/change-text.js'
import type { Filter, KeyValues } from './statements/filters.js'
import type { Include, Included, Including } from './statements/includes.js'
import { ownStatement } from './statements/own-statements.js'
import type { Revealed } from './statements/reveals.js'
import type { OwnStatement } from './statements/statement-cache.js'
import type { ListOptions, Page, PageContent, PageOf, StreamOptions } from './statements/pages.js'
import type { Field, Selected, SelectOptions } from './statements/selections.js'
import type { TablePlan } from './statements/table-plan.js'
import type { GuardedChange, Transition } from './statements/updates.js'
import type { Values } from './values.js'

export interface RepositoryOptions extends TableOptions {}

/**
 * One table, seen from inside one organization. Every statement says `org_id = $1`, and row security checks it. Reads are
 * public; a repository declares the writes that its table has.
 */
export abstract class ScopedRepository<Row extends object, Related extends object = object> {
  /** The repository's own table, with every verb. */
  protected readonly rows: ScopedTable<Row>

  constructor(
    protected readonly scope: Scope,
    table: PgTable,
    options?: RepositoryOptions,
  ) {
    this.rows = new ScopedTable(scope, table, options)
  }

  /** The row, or undefined: missing, deleted and another organization's are the same. `select … where org_id = $1 and id = $2`. */
  find(id: string): Query<Row | undefined>
  /** The row with related rows: `org.agents.find(id, { include: { project: true } })`. */
  find<Asked extends Include<Related>, Name extends Field<Row> = Field<Row>>(
    id: string,
    options: Including<Related, Asked> & SelectOptions<Name>,
  ): Query<Included<Selected<Row, Name>, Related, Asked> | undefined>
  /** Some fields of the row: `org.agents.find(id, { select: ['id', 'name'] })`. */
  find<Name extends Field<Row>>(
    id: string,
    options: SelectOptions<Name> | undefined,
  ): Query<Selected<Row, Name> | undefined>
  find(id: string, options?: SelectOptions<Field<Row>>): Query<object | undefined> {
    return this.rows.find(id, options)
  }

  /** The row. Throws NotFoundError: missing, deleted and another organization's are the same. */
  get(id: string): Query<Row>
  /** The row with related rows: `org.workflows.get(id, { include: { schedules: { limit: 10, orderBy: 'name' } } })`. */
  get<Asked extends Include<Related>, Name extends Field<Row> = Field<Row>>(
    id: string,
    options: Including<Related, Asked> & SelectOptions<Name>,
  ): Query<Included<Selected<Row, Name>, Related, Asked>>
  /** Some fields of the row: `org.agents.get(id, { select: ['id', 'name'] })`. */
  get<Name extends Field<Row>>(id: string, options: SelectOptions<Name> | undefined): Query<Selected<Row, Name>>
  get(id: string, options?: SelectOptions<Field<Row>>): Query<object> {
    return this.rows.get(id, options)
  }

  /** The rows with these ids, in the order of the ids. Ids without a row are left out. */
  findMany(ids: readonly string[]): Query<Row[]> {
    return this.rows.findMany(ids)
  }

  /** The rows with these ids, in their order. Throws NotFoundError when one of them is not there. */
  getMany(ids: readonly string[]): Query<Row[]> {
    return this.rows.getMany(ids)
  }

  /** One page, each row with related rows: `org.agents.list({ status: 'active', include: { project: true } })`. */
  list<Asked extends Include<Related>, Name extends Field<Row> = Field<Row>, Total extends boolean = false>(
    options: ListOptions<Row> & Including<Related, Asked> & PageContent<Name, Total>,
  ): Query<PageOf<Included<Selected<Row, Name>, Related, Asked>, Total>>
  /** One page, newest first: `org.agents.list({ status: 'active', limit: 20, after: page.next })`. */
  list<Name extends Field<Row> = Field<Row>, Total extends boolean = false>(
    options?: ListOptions<Row> & PageContent<Name, Total>,
  ): Query<PageOf<Selected<Row, Name>, Total>>
  list(options?: ListOptions<Row>): Query<Page<object>> {
    return this.rows.list(options)
  }

  /** Every row with related rows, page by page. */
  stream<Asked extends Include<Related>, Name extends Field<Row> = Field<Row>>(
    options: StreamOptions<Row, Name> & Including<Related, Asked>,
  ): AsyncGenerator<Included<Selected<Row, Name>, Related, Asked>, void, undefined>
  /** Every row, page by page: `for await (const agent of org.agents.stream({ status: 'active' }))`. */
  stream<Name extends Field<Row> = Field<Row>>(
    options?: StreamOptions<Row, Name>,
  ): AsyncGenerator<Selected<Row, Name>, void, undefined>
  stream(options?: StreamOptions<Row, Field<Row>>): AsyncGenerator<object, void, undefined> {
    return this.rows.stream(options)
  }

  count(filter?: Filter<Row>): Query<number> {
    return this.rows.count(filter)
  }

  exists(filter?: Filter<Row>): Query<boolean> {
    return this.rows.exists(filter)
  }

  /** How many rows have each value of the field, the most frequent first: `org.tasks.countBy('status')`. At most 1,000 values. */
  countBy<Name extends CountableField<Row>>(field: Name, filter?: Filter<Row>): Query<CountOf<Row, Name>[]> {
    return this.rows.countBy(field, filter) as Query<CountOf<Row, Name>[]>
  }

  /** The sum of the field, or null where no row has a value. A decimal comes as text, with all its digits. */
  sum<Name extends SummableField<Row>>(field: Name, filter?: Filter<Row>): Query<NonNullable<Row[Name]> | null> {
    return this.rows.sum(field, filter)
  }

  /** The smallest value of the field, or null where no row has a value. */
  min<Name extends RangedField<Row>>(field: Name, filter?: Filter<Row>): Query<NonNullable<Row[Name]> | null> {
    return this.rows.extreme('min', field, filter)
  }

  /** The greatest value of the field, or null where no row has a value. */
  max<Name extends RangedField<Row>>(field: Name, filter?: Filter<Row>): Query<NonNullable<Row[Name]> | null> {
    return this.rows.extreme('max', field, filter)
  }

  /** Names of the table and its columns, for the repository's own statements. */
  protected get plan(): TablePlan {
    return this.rows.plan
  }

  /** Another table of the same owner, with the same verbs and the same permission. */
  protected child<Table extends PgTable>(table: Table, options?: TableOptions): ScopedTable<RowOf<Table>> {
    return new ScopedTable(this.scope, table, options, { permission: this.rows.permission })
  }

  /** Several steps that take effect together, on a repository like this one: `this.atomically(async (inner) => …)`. */
  protected atomically<T>(work: (inner: this) => Promise<T>): Promise<T> {
    return this.scope.steps((scope) => work(Reflect.construct(this.constructor, [scope]) as this))
  }

  /** The row that a unique key names, such as `{ username }`. */
  protected findRow(key: KeyValues<Row>): Query<Row | undefined> {
    return this.rows.findRow(key)
  }

  /** Locks the row: it waits for a change that is under way, and nobody else changes the row until the transaction ends. */
  protected lockRow(id: string): Query<Row> {
    return this.rows.lockRow(id)
  }

  /** Throws ConflictError when a unique value is taken, BrokenReferenceError when a parent is not there. */
  protected insertRow(schema: z.ZodType, input: unknown, options?: InsertOptions): Query<Row> {
    return this.rows.insertRow(schema, input, options)
  }

  /** All or none, in one statement: 50,000 rows at most, each with the same fields. */
  protected insertRows(schema: z.ZodType, inputs: readonly unknown[], options?: ManagedValues): Query<Row[]> {
    return this.rows.insertRows(schema, inputs, options)
  }

  /** `insertRows` without reading the rows back, for measurements and the like. Returns the number of rows. */
  protected appendRows(schema: z.ZodType, inputs: readonly unknown[], options?: ManagedValues): Query<number> {
    return this.rows.appendRows(schema, inputs, options)
  }

  /** Makes a row of a table without an id, or returns the one that is there. */
  protected linkRow(schema: z.ZodType, input: unknown): Query<Row> {
    return this.rows.linkRow(schema, input)
  }

  /** Deletes a row of a table without an id. Returns whether it was there. */
  protected unlinkRow(schema: z.ZodType, input: unknown): Query<boolean> {
    return this.rows.unlinkRow(schema, input)
  }

  /** Inserts, or changes the row that has the same unique key, which `key` names by its index. */
  protected putRow<Schema extends z.ZodType>(
    schema: PutSchema<Row, Schema>,
    input: unknown,
    key: string,
    options?: PutOptions,
  ): Query<Row> {
    return this.rows.putRow(schema, input, key, options)
  }

  /** Throws NotFoundError, VersionConflictError for another revision, and what the guard refuses with. */
  protected updateRow(schema: z.ZodType, id: string, patch: unknown, options?: UpdateRowOptions): Query<Row> {
    return this.rows.updateRow(schema, id, patch, options)
  }

  /**
   * Changes every row that matches and returns their number. A filter that asks for nothing is refused. With a schema the values are
   * input, which it parses.
   */
  protected updateRows(filter: Filter<Row>, values: Values, schema?: z.ZodType): Query<number> {
    return this.rows.updateRows(filter, values, schema)
  }

  /**
   * Opens sealed columns of one row, which its id or a unique key names. Asks for `<resource>:reveal` unless told otherwise. Undefined
   * stands for an empty column. Throws NotFoundError, and DecryptError for a value that does not open.
   */
  protected revealRow<Name extends string>(
    key: string | KeyValues<Row>,
    columns: readonly Name[],
    options?: RevealOptions,
  ): Promise<Revealed<Name>> {
    return this.rows.revealRow(key, columns, options)
  }

  /** Deletes the row for good. */
  protected deleteRow(id: string): Query<Row> {
    return this.rows.deleteRow(id)
  }

  /** Deletes every row that matches and returns their number. A filter that asks for nothing is refused. */
  protected deleteRows(filter: Filter<Row>): Query<number> {
    return this.rows.deleteRows(filter)
  }

  /** Hides every row that matches and returns their number. A filter that asks for nothing is refused. */
  protected hideRows(filter: Filter<Row>): Query<number> {
    return this.rows.deleteRows(filter, 'hide')
  }

  /** Soft delete: every read hides the row from now on. */
  protected hideRow(id: string): Query<Row> {
    return this.rows.hideRow(id)
  }

  /** Brings a hidden row back. Throws ConflictError when its name was taken meanwhile. */
  protected restoreRow(id: string, options?: RestoreOptions): Query<Row> {
    return this.rows.restoreRow(id, options)
  }

  /** Deletes the row for good, hidden or not, after emptying what refers to it; one round trip, all or nothing. */
  protected purgeRow(id: string): Query<Row> {
    return this.rows.purgeRow(id)
  }

  /** Changes the status, if it is one of those that it may be changed from. */
  protected transitionRow(id: string, transition: Transition): Query<Row> {
    return this.rows.transitionRow(id, transition)
  }

  /**
   * Changes the row if it is in a state that allows it. `event` is the domain's word for it, such as `cancel`.
   */
  protected guardedRow(event: string, id: string, change: GuardedChange, values: () => readonly unknown[]): Query<Row> {
    return this.rows.guardedRow(event, id, change, values)
  }

  /**
   * A query of the repository's own. `$1` is the organization, and the text must say so for each of its tables. It is compiled once
   * for each class and name.
   */
  protected query(name: string, text: (table: TablePlan) => string): OwnStatement {
    return ownStatement(this.plan, this.constructor, name, false, text)
  }

  /**
   * The same for a change; `name` is its event in the audit log. For an audited table the change is given in its parts, so that the
   * same statement can write the entry.
   */
  protected change(name: string, text: (table: TablePlan) => string | ChangeText): OwnStatement {
    return ownStatement(this.plan, this.constructor, name, true, text)
  }

  /**
   * Runs a statement of the repository's own. What `values` throws rejects the query. `read` gets the answer of `why` where the statement
   * returned no row and changed none.
   */
  protected run<T>(
    statement: OwnStatement,
    values: () => readonly unknown[],
    read: (result: Result, diagnosis: Result | undefined) => T,
    why?: Why,
  ): Query<T> {
    return this.rows.run(statement, values, read, why)
  }

  /** The rows of this table that a statement of the repository's own returned. */
  protected rowsOf(result: Result): Row[] {
    return this.rows.rowsOf(result)
  }

  /** Runs a statement of the repository's own that returns rows of this table. */
  protected runRows(statement: OwnStatement, values: () => readonly unknown[]): Query<Row[]> {
    return this.rows.runRows(statement, values)
  }
}
