import { BrokenReferenceError, InvalidInputError, NotFoundError, VersionConflictError } from '../errors.js'
import type { Call, Result, Statement } from '../executor.js'
import { newId } from '../ids.js'
import { type ColumnPlan, columnOf, givenColumn, planOf, type TablePlan } from './table-plan.js'
import type { Values } from '../values.js'
import type { PgTable } from 'drizzle-orm/pg-core'

/** Tables that a row hangs on and that can be soft-deleted, by the property that refers to them. */
export type Parents = Readonly<Record<string, PgTable>>

interface Given {
  readonly column: ColumnPlan
  readonly value: unknown
}

function given(plan: TablePlan, values: Values): Given[] {
  const all: Given[] = []
  for (const property of Object.keys(values)) {
    const value = values[property]
    if (value === undefined) continue
    const column = givenColumn(plan, property)
    all.push({ column, value: column.encode(value) })
  }
  return all
}

const shapeOf = (all: readonly Given[]): string => all.map(({ column }) => column.property).join()

/** `$1` is the organization in every statement. */
const places = (all: readonly Given[], offset: number) =>
  all.map(({ column }, index) => `$${offset + index + 1}::${column.writtenAs}`)

/** The live parents of a row, locked against being soft-deleted: `for key share` would not stop that, `for share` does. */
interface Locks {
  readonly parents: readonly { readonly property: string; readonly plan: TablePlan; readonly id: unknown }[]
  readonly shape: string
  readonly ctes: readonly string[]
  readonly conditions: readonly string[]
}

function parentLocks(tables: Parents, all: readonly Given[], offset: number): Locks {
  if (!all.some(({ column, value }) => value !== null && tables[column.property] !== undefined)) return noLocks
  const parents = all.flatMap(({ column: { property }, value }, index) => {
    const table = tables[property]
    if (table === undefined || value === null) return []
    return [{ property, plan: planOf(table), id: value, place: offset + index + 1 }]
  })
  return {
    parents,
    shape: parents.map(({ property }) => property).join(),
    ctes: parents.map(
      ({ plan: { sql, visible }, place }) =>
        `parent_${place} as (select 1 from ${sql} where ${visible} and "id" = $${place} for share)`,
    ),
    conditions: parents.map(({ place }) => `exists (select from parent_${place})`),
  }
}

const noLocks: Locks = { parents: [], shape: '', ctes: [], conditions: [] }

const withLocks = ({ ctes }: Locks): string => (ctes.length === 0 ? '' : `with ${ctes.join(', ')} `)

const givenParents = (parents: Parents, values: Values): string[] =>
  Object.keys(parents).filter((name) => (values[name] ?? null) !== null)

/** `existing` names a key whose row is given, unchanged, instead of a second one. */
export function insertCall(
  plan: TablePlan,
  orgId: string,
  values: Values,
  parents: Parents,
  target?: ConflictTarget,
): Call {
  const all = given(plan, plan.hasId ? { id: newId(), ...values } : values)
  const locks = parentLocks(parents, all, 1)
  // Nothing conflicts with an empty key, and the server need not look.
  const existing = target?.properties.some((property) => (values[property] ?? null) === null) ? undefined : target
  const statement = plan.statements.get(`insert ${shapeOf(all)} ${locks.shape} ${existing !== undefined}`, () => {
    const conflict = existing === undefined ? '' : keep(plan, existing)
    return `${insertText(plan, all, locks)} ${conflict} returning ${plan.selected}`
  })
  return { statement, values: [orgId, ...all.map(({ value }) => value)] }
}

function insertText(plan: TablePlan, all: readonly Given[], locks: Locks): string {
  const columns = ['"org_id"', ...all.map(({ column }) => column.sql)].join(', ')
  const row = ['$1::uuid', ...places(all, 1)].join(', ')
  const into = `insert into ${plan.sql} (${columns})`
  if (locks === noLocks) return `${into} values (${row})`
  return `${withLocks(locks)}${into} select ${row} where ${locks.conditions.join(' and ')}`
}

/** A change that changes nothing: without one, nothing would be returned for the row that is there. */
function keep(plan: TablePlan, target: ConflictTarget): string {
  const [first = ''] = keyColumns(plan, target)
  return `${onConflict(plan, target)} do update set ${first} = excluded.${first}`
}

const keyColumns = (plan: TablePlan, { properties }: ConflictTarget): string[] =>
  properties.map((property) => columnOf(plan, property).sql)

const onConflict = (plan: TablePlan, target: ConflictTarget): string =>
  `on conflict ("org_id", ${keyColumns(plan, target).join(', ')})${whereOf(target, ' where ')}`

const whereOf = (target: ConflictTarget, before: string): string =>
  Object.hasOwn(target, 'where') && target.where !== undefined ? before + target.where : ''

/** The inserted row. Without one, a parent was not there, or not alive any more. */
export function insertedRow(plan: TablePlan, parents: Parents, values: Values, result: Result): unknown[] {
  const row = result.rows[0]
  if (row === undefined) throw new BrokenReferenceError(plan.resource, givenParents(parents, values))
  return row
}

/** What a unique key of the table is made of, without the organization. */
export interface ConflictTarget {
  readonly properties: readonly string[]
  /** The predicate of a partial key, as the table states it. */
  readonly where?: string | undefined
}

export function upsertCall(
  plan: TablePlan,
  orgId: string,
  values: Values,
  parents: Parents,
  target: ConflictTarget,
): Call {
  const all = given(plan, plan.hasId ? { id: newId(), ...values } : values)
  const locks = parentLocks(parents, all, 1)
  const kept = new Set(['id', ...target.properties])
  const statement = plan.statements.get(
    `upsert ${target.properties.join()} ${whereOf(target, '')} ${shapeOf(all)} ${locks.shape}`,
    () => {
      const sets = all
        .filter(({ column }) => !kept.has(column.property))
        .map(({ column }) => `${column.sql} = excluded.${column.sql}`)
      return [
        insertText(plan, all, locks),
        onConflict(plan, target),
        `do update set ${[...sets, ...automatic(plan, 'excluded."updated_at"')].join(', ')}`,
        `returning ${plan.selected}`,
      ].join(' ')
    },
  )
  return { statement, values: [orgId, ...all.map(({ value }) => value)] }
}

/** What every change sets by itself. */
export function automatic(plan: TablePlan, now: string): string[] {
  return [
    ...(plan.touched ? [`"updated_at" = ${now}`] : []),
    ...(plan.revised ? [`"revision" = ${plan.sql}."revision" + 1`] : []),
  ]
}

const setList = (plan: TablePlan, all: readonly Given[], offset: number): string =>
  [
    ...all.map(({ column }, index) => `${column.sql} = $${offset + index + 1}::${column.writtenAs}`),
    ...automatic(plan, 'now()'),
  ].join(', ')

export function updateCall(plan: TablePlan, orgId: string, id: string, values: Values): Call {
  const all = changes(plan, values)
  const statement = plan.statements.get(
    `update ${shapeOf(all)}`,
    () =>
      `update ${plan.sql} set ${setList(plan, all, 2)} where ${plan.visible} and "id" = $2 returning ${plan.selected}`,
  )
  return { statement, values: [orgId, id, ...all.map(({ value }) => value)] }
}

function changes(plan: TablePlan, values: Values): Given[] {
  const all = given(plan, values)
  if (all.length === 0) throw new InvalidInputError('', 'there is nothing to change')
  return all
}

/** What an update may depend on, beside the row's being there. */
export interface Conditions {
  readonly parents: Parents
  readonly revision?: number | undefined
  /** A state of the row, and the error for any other. */
  readonly only?: { readonly when: string; readonly refuse: () => Error } | undefined
}

export const needsCheck = (values: Values, { parents, revision, only }: Conditions): boolean =>
  revision !== undefined || only !== undefined || givenParents(parents, values).length > 0

/** An update that must say why it changed nothing: the row is gone, a parent is, or it is not as it was expected. */
export function checkedUpdate(
  plan: TablePlan,
  orgId: string,
  id: string,
  values: Values,
  { parents, revision, only }: Conditions,
): { call: Call; read: (result: Result) => unknown[] } {
  const all = changes(plan, values)
  const locks = parentLocks(parents, all, 2)
  const state = [
    ...(revision === undefined ? [] : [`"revision" = $${all.length + 3}`]),
    ...(only === undefined ? [] : [`(${only.when})`]),
  ]
  const conditions = [`${plan.visible} and "id" = $2`, ...state, ...locks.conditions].join(' and ')
  const statement = plan.statements.get(
    `update ${shapeOf(all)} ${locks.shape} ${state.join()}`,
    () =>
      `${withLocks(locks)}update ${plan.sql} set ${setList(plan, all, 2)} where ${conditions} returning ${plan.selected}`,
  )
  const call = {
    statement,
    values: [orgId, id, ...all.map(({ value }) => value), ...(revision === undefined ? [] : [revision])],
    why: whyUnchanged(plan, orgId, id, locks),
  }
  const refuse = () => (revision === undefined ? only?.refuse() : undefined) ?? new VersionConflictError(plan.resource)
  return { call, read: (result) => checkedRow(plan, locks, refuse, result) }
}

/** A row if there is one to change, and for each parent whether it is there. */
function whyUnchanged(plan: TablePlan, orgId: string, id: string, { parents, shape }: Locks): Call {
  const statement = plan.statements.get(
    `why unchanged ${shape}`,
    () => `select ${['true', ...alive(parents, 2)].join(', ')} from ${plan.sql} where ${plan.visible} and "id" = $2`,
  )
  return { statement, values: [orgId, id, ...parents.map((parent) => parent.id)] }
}

const alive = (parents: Locks['parents'], offset: number): string[] =>
  parents.map(
    ({ plan: { sql, visible } }, index) =>
      `exists (select from ${sql} where ${visible} and "id" = $${offset + index + 1})`,
  )

function checkedRow(
  plan: TablePlan,
  { parents }: Locks,
  refuse: () => Error,
  { rows: [changed], why }: Result,
): unknown[] {
  if (changed !== undefined) return changed
  const [found] = why?.rows ?? []
  if (found === undefined) throw new NotFoundError(plan.resource)
  assertAlive(plan, parents, found.slice(1))
  throw refuse()
}

function assertAlive(plan: TablePlan, parents: Locks['parents'], found: readonly unknown[]): void {
  const missing = parents.filter((_, index) => found[index] !== true)
  if (missing.length === 0) return
  throw new BrokenReferenceError(
    plan.resource,
    missing.map(({ property }) => property),
  )
}

export interface Where {
  readonly sql: string
  readonly values: readonly unknown[]
}

/** That no row was changed is an answer like any other, unless a parent is why. */
export function updateWhere(
  plan: TablePlan,
  orgId: string,
  where: Where,
  values: Values,
  parents: Parents,
): { call: Call; read: (result: Result) => number } {
  const all = changes(plan, values)
  const offset = 1 + where.values.length
  const locks = parentLocks(parents, all, offset)
  const conditions = [plan.visible, `(${where.sql})`, ...locks.conditions].join(' and ')
  const statement = plan.statements.get(
    `update where ${shapeOf(all)} ${locks.shape} ${where.sql}`,
    () => `${withLocks(locks)}update ${plan.sql} set ${setList(plan, all, offset)} where ${conditions}`,
  )
  const call = { statement, values: [orgId, ...where.values, ...all.map(({ value }) => value)] }
  if (locks.parents.length === 0) return { call, read: ({ rowCount }) => rowCount }
  return { call: { ...call, why: whoIsAlive(plan, orgId, locks) }, read: (result) => changedRows(plan, locks, result) }
}

function whoIsAlive(plan: TablePlan, orgId: string, { parents, shape }: Locks): Call {
  const statement = plan.statements.get(`alive ${shape}`, () => `select ${alive(parents, 1).join(', ')}`)
  return { statement, values: [orgId, ...parents.map((parent) => parent.id)] }
}

function changedRows(plan: TablePlan, { parents }: Locks, { rowCount, why }: Result): number {
  if (why !== undefined) assertAlive(plan, parents, why.rows[0] ?? [])
  return rowCount
}

type Verb = 'delete' | 'hide' | 'restore' | 'purge'

/** The four ways to end a row or bring it back. Each gives the row as it then is, or was. */
export function verbStatement(plan: TablePlan, verb: Verb): Statement {
  return plan.statements.get(verb, () => {
    const touched = automatic(plan, 'now()')
      .map((set) => `, ${set}`)
      .join('')
    switch (verb) {
      case 'delete':
        return `delete from ${plan.sql} where ${plan.visible} and "id" = $2 returning ${plan.selected}`
      case 'purge':
        return `delete from ${plan.sql} where ${plan.owned} and "id" = $2 returning ${plan.selected}`
      case 'hide':
        return `update ${plan.sql} set "deleted_at" = now()${touched} where ${plan.visible} and "id" = $2 returning ${plan.selected}`
      case 'restore':
        return `update ${plan.sql} set "deleted_at" = null${touched} where ${plan.owned} and "deleted_at" is not null and "id" = $2 returning ${plan.selected}`
    }
  })
}
