import type { PgTable } from 'drizzle-orm/pg-core'
import type { z } from 'zod'
import { DefinitionError } from './errors.js'
import type { Call, Result } from './executor.js'
import { newId, parseId } from './ids.js'
import { type Plan, type Planned, planned } from './planned.js'
import type { Query } from './query.js'
import { ReadableTable } from './readable-table.js'
import { auditedCall } from './rules.js'
import type { Scope } from './scope.js'
import { planInsertMany } from './statements/bulk-inserts.js'
import type { ChangeText } from './statements/change-text.js'
import { changeCondition, copyFilter, type Filter, type KeyValues } from './statements/filters.js'
import { type ChangeCall, planInsert, type PlannedChange, planPut } from './statements/inserts.js'
import { planLock, planLockReferred } from './statements/reads.js'
import { clearCall, lockCalls, planRemoval, planRemovalWhere, type Removal } from './statements/removals.js'
import { RoomInPlan } from './statements/reservations.js'
import { planReveal, type Revealed } from './statements/reveals.js'
import { assertNoSecret, hasSecret, planSealed, type RowToSeal } from './statements/sealed-rows.js'
import type { OwnStatement } from './statements/statement-cache.js'
import { planOf, primaryKeyOf } from './statements/table-plan.js'
import { callOf } from './statements/target.js'
import {
  type GuardedChange,
  planGuardedChange,
  planUpdate,
  planUpdateWhere,
  type Transition,
  transitionOf,
} from './statements/updates.js'
import { revisionOf } from './statements/update-options.js'
import type {
  InsertOptions,
  ManagedValues,
  PutOptions,
  RestoreOptions,
  RevealOptions,
  TableUse,
  UpdateRowOptions,
  Why,
} from './row-options.js'
import type { TableOptions } from './table-options.js'
import { given, parsed, without } from './row-values.js'
import { ownItems, ownOf, type Values } from './values.js'

const maxRows = 50_000

/** All verbs for one table inside one scope. A repository has one for its own table and others for its child tables. */
export class ScopedTable<Row extends object> extends ReadableTable<Row> {
  private readonly room: RoomInPlan | undefined

  constructor(
    scope: Scope,
    table: PgTable,
    private readonly given?: TableOptions,
    private readonly use?: TableUse,
  ) {
    super(scope, table, given, use)
    const { limit } = this.options
    this.room = limit === undefined ? undefined : new RoomInPlan(this.target, limit, scope.context)
  }

  /** The same table in another scope of this owner. */
  in(scope: Scope): ScopedTable<Row> {
    return new ScopedTable<Row>(scope, this.plan.table, this.given, this.use)
  }

  /** Locks the row: it waits for a change that is under way, and nobody else changes the row until the transaction ends. */
  lockRow(id: string): Query<Row> {
    return this.write(id, () => planLock(this.target, id))
  }

  /**
   * Locks the row that a column refers to: nobody deletes it, and only one caller at a time changes its links. Throws NotFoundError, and
   * DefinitionError unless the isolation is read committed, since a snapshot from before the lock would hide links that others made.
   */
  lockReferred(property: string, value: unknown): Query<void> {
    return this.write(undefined, () => planLockReferred(this.target, property, value))
  }

  insertRow(schema: z.ZodType, input: unknown, options?: InsertOptions): Query<Row> {
    const { managed, existing, event = 'create' } = ownOf(options)
    return this.write(undefined, () => {
      const values = given(schema, input, managed)
      const before =
        existing === undefined ? this.room?.forRows([values]) : this.room?.forUnique(values, existing, 'keeps')
      const plan = (values: Values, before?: readonly Call[]) =>
        this.audited(event, true, planInsert(this.target, values, existing), before)
      if (!hasSecret(this.plan, values)) return plan(values, before)
      if (existing !== undefined)
        throw new DefinitionError(`${this.plan.resource}: an existing row cannot be returned where a column is sealed`)
      return this.sealed([{ id: newId(), ...values }], before, ([row = {}], before) => plan(row, before))
    })
  }

  /** All or none, in one statement: 50,000 rows at most, each with the same fields. */
  insertRows(schema: z.ZodType, inputs: readonly unknown[], options?: ManagedValues): Query<Row[]> {
    return this.bulk(schema, inputs, options, 'rows', undefined, ({ rows }) => rows.map(this.target.readRow))
  }

  /** `insertRows` without reading the rows back, for measurements and the like. Returns the number of rows. */
  appendRows(schema: z.ZodType, inputs: readonly unknown[], options?: ManagedValues): Query<number> {
    return this.bulk(schema, inputs, options, 'nothing', undefined, ({ rowCount }) => rowCount)
  }

  /** Makes a row of a table without an id, or returns the one that is there. */
  linkRow(schema: z.ZodType, input: unknown): Query<Row> {
    return this.insertRow(schema, input, { existing: primaryKeyOf(this.plan) })
  }

  /** Makes those rows that are not there yet, and returns how many are new. */
  linkRows(schema: z.ZodType, inputs: readonly unknown[]): Query<number> {
    return this.bulk(schema, inputs, undefined, 'nothing', primaryKeyOf(this.plan), ({ rowCount }) => rowCount)
  }

  /** Deletes a row of a table without an id. Returns whether it was there. */
  unlinkRow(schema: z.ZodType, input: unknown): Query<boolean> {
    return this.write(undefined, () => {
      const key = changeCondition(this.plan, parsed(schema, input))
      const { call, read } = planRemovalWhere(this.target, 'delete', key)
      const one = { call, diagnose: undefined, read: (result: Result) => read(result, undefined) > 0 }
      return this.audited('unlink', true, one)
    })
  }

  /** Inserts, or changes the row that has the same unique key, which `key` names by its index. */
  putRow(schema: z.ZodType, input: unknown, key: string, options?: PutOptions): Query<Row> {
    return this.write(undefined, () => {
      const { managed, guard, event = 'put' } = ownOf(options)
      const values = given(schema, input, managed)
      if (hasSecret(this.plan, values))
        throw new DefinitionError(
          `${this.plan.resource}: putRow cannot write a sealed column; lock the row, then insert or update it`,
        )
      const before = this.room?.forUnique(values, key, 'changes')
      return this.audited(event, true, planPut(this.target, values, key, guard), before)
    })
  }

  updateRow(schema: z.ZodType, id: string, patch: unknown, options?: UpdateRowOptions): Query<Row> {
    const { options: asked, managed, guard, event = 'update' } = ownOf(options)
    return this.write(id, () => {
      const values = given(schema, patch, managed)
      const revision = asked === undefined ? undefined : revisionOf(asked)
      const row = parseId(id)
      const before = this.room?.forChange(row, values)
      const plan = (values: Values, before?: readonly Call[]) =>
        this.audited(event, true, planUpdate(this.target, row, values, { revision, guard }), before)
      if (!hasSecret(this.plan, values)) return plan(values, before)
      return this.sealed([{ ...values, id: row }], before, ([sealed = {}], before) =>
        plan(without(sealed, 'id'), before),
      )
    })
  }

  /** Changes every row that matches and returns their number. A filter that asks for nothing is refused. */
  updateRows(filter: Filter<Row>, patch: Values, schema?: z.ZodType): Query<number> {
    return this.write(undefined, () => {
      const values = schema === undefined ? patch : parsed(schema, patch)
      this.room?.assertNotSummed(values)
      assertNoSecret(this.plan, values)
      const asked = this.plan.audited ? copyFilter(filter) : filter
      const change = planUpdateWhere(this.target, changeCondition(this.plan, asked), values)
      return this.audited('update', false, change, undefined, asked)
    })
  }

  /**
   * Opens sealed columns of one row, which its id or a unique key names. Asks for `<resource>:reveal` unless told otherwise. The audit log
   * notes it, whether the table is audited or not.
   */
  revealRow<Name extends string>(
    key: string | KeyValues<Row>,
    columns: readonly Name[],
    options?: RevealOptions,
  ): Promise<Revealed<Name>> {
    const { permission = `${this.permission}:reveal` } = ownOf(options)
    const { rules } = this.scope.context
    const read = this.scope.query(() => {
      rules.authorize(permission, this.plan.isProject && typeof key === 'string' ? key : this.project)
      const { call, read } = planReveal(this.target, rules, key, columns)
      const reveal = { plan: this.plan, event: 'reveal', isOne: true, columns }
      return planned(rules.audit(reveal, call, this.scope.context), read)
    })
    return this.scope.track(Promise.resolve(read))
  }

  /** Deletes the row for good. */
  deleteRow(id: string): Query<Row> {
    return this.removal('delete', id)
  }

  /** Deletes or hides every row that matches and returns their number. */
  deleteRows(filter: Filter<Row>, removal: 'delete' | 'hide' = 'delete'): Query<number> {
    return this.write(undefined, () => {
      const asked = this.plan.audited ? copyFilter(filter) : filter
      const change = planRemovalWhere(this.target, removal, changeCondition(this.plan, asked))
      return this.audited('delete', false, change, undefined, asked)
    })
  }

  /** Soft delete: every read hides the row from now on. */
  hideRow(id: string): Query<Row> {
    return this.removal('hide', id)
  }

  /** Brings a hidden row back. Throws ConflictError when its name was taken meanwhile. */
  restoreRow(id: string, options?: RestoreOptions): Query<Row> {
    const { reserves } = ownOf(options)
    return this.removal('restore', id, (row) => [...(this.room?.forRestored(row) ?? []), ...(reserves?.(row) ?? [])])
  }

  /** Deletes the row for good, hidden or not, after emptying what refers to it; one round trip, all or nothing. */
  purgeRow(id: string): Query<Row> {
    const { references } = this.options
    return this.removal('purge', id, (row) => [
      ...lockCalls(this.target, references, row),
      ...references.map((reference) => {
        const change = { plan: planOf(reference.table), event: 'update', isOne: false }
        return auditedCall(this.scope.context, change, clearCall(this.target, reference, row))
      }),
    ])
  }

  /** Changes the status, if it is one of those that it may be changed from. */
  transitionRow(id: string, transition: Transition): Query<Row> {
    const change = transitionOf(this.plan, transition)
    return this.guardedRow(transition.verb, id, change, () => [transition.to, transition.from])
  }

  /** Changes the row if it is in a state that allows it. `event` is the domain's word for it, such as `cancel`. */
  guardedRow(event: string, id: string, change: GuardedChange, values: () => readonly unknown[]): Query<Row> {
    return this.guardedRowOf(event, () => parseId(id), change, values)
  }

  /** The same, where the id is read from an object of the caller's. What `id` throws rejects the query. */
  guardedRowOf(event: string, id: () => string, change: GuardedChange, values: () => readonly unknown[]): Query<Row> {
    return this.write(undefined, () => {
      const row = id()
      return this.audited(event, true, planGuardedChange(this.target, row, change, values()))
    })
  }

  /** Runs a statement of a repository's own. What `values` throws rejects the query. */
  run<T>(
    statement: OwnStatement,
    values: () => readonly unknown[],
    read: (result: Result, diagnosis: Result | undefined) => T,
    why?: Why,
  ): Query<T> {
    if (!statement.changes) {
      // The statement may return anything, so a role in single projects is not enough.
      return this.scope.query(() => {
        this.authorize('read', undefined)
        return planned(callOf(this.target, statement, values()), read)
      })
    }
    return this.write(undefined, () => {
      const all = values()
      const call = callOf(this.target, statement, all) as ChangeCall
      const diagnose = why === undefined ? undefined : callOf(this.target, why.statement, all.slice(0, why.takes))
      return this.audited(statement.event, false, { call, diagnose, read })
    })
  }

  /** The rows that a statement of a repository's own returns. */
  runRows(statement: OwnStatement, values: () => readonly unknown[]): Query<Row[]> {
    return this.run(statement, values, (result) => this.rowsOf(result))
  }

  rowsOf({ rows }: Result): Row[] {
    return rows.map(this.target.readRow)
  }

  private removal(
    removal: Removal,
    id: string,
    before: (row: string) => readonly Call[] | undefined = () => undefined,
  ): Query<Row> {
    return this.write(id, () => {
      const row = parseId(id)
      // Hiding is how a row of the table is deleted.
      const event = removal === 'hide' ? 'delete' : removal
      return this.audited(event, true, planRemoval(this.target, removal, row), before(row))
    })
  }

  private bulk<T>(
    schema: z.ZodType,
    inputs: readonly unknown[],
    options: ManagedValues | undefined,
    returned: 'rows' | 'nothing',
    unless: string | undefined,
    read: (result: Result) => T,
  ): Query<T> {
    return this.write(undefined, () => {
      const { managed } = ownOf(options)
      const rows = ownItems(inputs, 'rows', maxRows).map((input) => given(schema, input, managed))
      // Which of them are new is known only afterwards.
      if (unless !== undefined && this.room !== undefined)
        throw new DefinitionError(
          `${this.plan.resource}: linkRows cannot count towards a limit of the plan; use linkRow`,
        )
      const before = this.room?.forRows(rows)
      const plan = (rows: readonly Values[], before?: readonly Call[]) => {
        const change = planInsertMany(this.target, rows, { returned, unless })
        const made: PlannedChange<T> = { ...change, read: (result, diagnosis) => read(change.read(result, diagnosis)) }
        return this.audited('create', false, made, before)
      }
      if (!rows.some((row) => hasSecret(this.plan, row))) return plan(rows, before)
      const withIds = rows.map((row) => ({ id: newId(), ...row }))
      return this.sealed(withIds, before, plan)
    })
  }

  private write<T>(id: string | undefined, plan: () => Plan<T>): Query<T> {
    return this.scope.query(() => {
      this.authorize('write', id)
      return plan()
    })
  }

  private audited<T>(
    event: string,
    isOne: boolean,
    { call, diagnose, read }: PlannedChange<T>,
    before?: readonly Call[],
    filter?: unknown,
  ): Planned<T> {
    const audited = auditedCall(this.scope.context, { plan: this.plan, event, isOne, filter }, call)
    // A text of a repository's own over a table that is not audited has no parts.
    const change = call.statement.change as ChangeText | undefined
    if (change?.upsert?.mayMiss !== true) return planned(audited, read, diagnose, before)
    // A row that was made after the statement began has old values that only the next statement sees.
    return planned(audited, (result, again) => read(again ?? result, undefined), audited, before)
  }

  private sealed<T>(
    rows: readonly RowToSeal[],
    before: readonly Call[] | undefined,
    plan: (rows: readonly Values[], before: readonly Call[]) => Planned<T>,
  ): Plan<T> {
    return planSealed(this.target, this.scope.context.rules, rows, (sealed, checks) =>
      plan(sealed, [...(before ?? []), ...checks]),
    )
  }
}
