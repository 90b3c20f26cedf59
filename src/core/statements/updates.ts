import { ConflictError, DefinitionError, NotFoundError, VersionConflictError } from '../errors.js'
import type { Call, Result } from '../executor.js'
import type { Values } from '../values.js'
import type { Condition } from './filters.js'
import { automatic, changes, type Given, moment, propertiesOf, setList, shapeOf, valuesOf } from './given-values.js'
import type { Guard } from './guard.js'
import { changeCall, type PlannedChange } from './inserts.js'
import { aliveColumns, assertAlive, noLocks, parentIds, parentLocks, type ParentLocks } from './parent-locks.js'
import type { TablePlan } from './table-plan.js'
import { callOf, firstPlace, onlyRow, type Target } from './target.js'

/** A change that only some states of the row allow. Its own parameters follow those of the owner and the id. */
export interface GuardedChange extends Guard {
  readonly set: string
  /** A one-row sub-select that `set` reads, such as the clock: a cluster takes no clock inside of CASE or COALESCE of an update. */
  readonly from?: string
}

/** A change of SQL that every state of the row allows: only a row that is not there is refused. */
export const unguarded = (resource: string, set: string): GuardedChange => ({
  set,
  when: 'true',
  ask: 'true',
  refuse: () => new NotFoundError(resource),
})

/** Conditions of an update, besides that the row exists. */
export interface UpdateConditions {
  readonly revision: number | undefined
  readonly guard: Guard | undefined
}

export function planUpdate<Row>(
  target: Target<Row>,
  id: string,
  values: Values,
  conditions: UpdateConditions,
): PlannedChange<Row> {
  const all = changes(target.plan, values)
  if (conditions.revision !== undefined && !target.plan.revised) {
    throw new DefinitionError(
      `${target.plan.resource} has no revision to compare: give it a column \`revision: integer().notNull().default(1)\``,
    )
  }
  const locks = parentLocks(target.parents, all, firstPlace(target.plan))
  const isPlain = conditions.revision === undefined && conditions.guard === undefined && locks.parents.length === 0
  return isPlain ? plainUpdate(target, id, all) : checkedUpdate(target, id, all, locks, conditions)
}

function plainUpdate<Row>(target: Target<Row>, id: string, all: readonly Given[]): PlannedChange<Row> {
  const { plan } = target
  const place = firstPlace(plan)
  const statement = plan.statements.change(`update ${shapeOf(all)}`, () => ({
    verb: 'update',
    ctes: [],
    head: `update ${plan.sql} set ${setList(plan, all, place)}`,
    where: `${plan.visible} and "id" = $${place}`,
    returning: plan.selected,
    sets: propertiesOf(all),
  }))
  return {
    call: changeCall(target, statement, [id, ...valuesOf(all)]),
    diagnose: undefined,
    read: (result) => onlyRow(target.plan, target, result),
  }
}

/** An update with a diagnostic query: the row is gone, a parent is gone, or the row is in another state. */
function checkedUpdate<Row>(
  target: Target<Row>,
  id: string,
  all: readonly Given[],
  locks: ParentLocks,
  { revision, guard }: UpdateConditions,
): PlannedChange<Row> {
  const { plan, readRow } = target
  const place = firstPlace(plan)
  const state = [
    ...(revision === undefined ? [] : [`"revision" = $${place + all.length + 1}`]),
    ...(guard === undefined ? [] : [`(${guard.when})`]),
  ]
  const statement = plan.statements.change(`update ${shapeOf(all)} ${locks.shape} ${state.join()}`, () => ({
    verb: 'update',
    ctes: locks.ctes,
    head: `update ${plan.sql} set ${setList(plan, all, place)}`,
    where: [`${plan.visible} and "id" = $${place}`, ...state, ...locks.conditions].join(' and '),
    returning: plan.selected,
    sets: propertiesOf(all),
  }))
  const ask = revision === undefined && guard !== undefined ? guard.ask : 'true'
  return {
    call: changeCall(target, statement, [id, ...valuesOf(all), ...(revision === undefined ? [] : [revision])]),
    diagnose: whyUnchanged(target, id, locks, ask),
    read({ rows: [changed] }, diagnosis) {
      if (changed !== undefined) return readRow(changed)
      const found = foundRow(plan, diagnosis)
      assertAlive(plan, locks, found)
      if (revision !== undefined || guard === undefined) throw new VersionConflictError(plan.resource)
      throw guard.refuse(found.slice(locks.parents.length))
    },
  }
}

/** Selects the row, if it is there: for each parent whether it is alive, then the columns of the guard. */
function whyUnchanged(target: Target<unknown>, id: string, locks: ParentLocks, ask: string): Call {
  const { plan } = target
  const place = firstPlace(plan)
  const statement = plan.statements.get(`why unchanged ${locks.shape} ${ask}`, 'read', () => {
    const selected = [...aliveColumns(locks, place), ask].join(', ')
    return `select ${selected} from ${plan.sql} where ${plan.visible} and "id" = $${place}`
  })
  return callOf(target, statement, [id, ...parentIds(locks)])
}

function foundRow(plan: TablePlan, diagnosis: Result | undefined): readonly unknown[] {
  const [found] = diagnosis?.rows ?? []
  if (found === undefined) throw new NotFoundError(plan.resource)
  return found
}

/** Changes every row that matches, and returns their number. */
export function planUpdateWhere(target: Target<unknown>, where: Condition, values: Values): PlannedChange<number> {
  const { plan } = target
  const all = changes(plan, values)
  const offset = plan.ownerPlaces + where.values.length
  const locks = parentLocks(target.parents, all, offset)
  const statement = plan.statements.change(`update where ${shapeOf(all)} ${locks.shape} ${where.sql}`, () => ({
    verb: 'update',
    ctes: locks.ctes,
    head: `update ${plan.sql} set ${setList(plan, all, offset)}`,
    where: [plan.visible, `(${where.sql})`, ...locks.conditions].join(' and '),
    returning: '',
    sets: propertiesOf(all),
  }))
  return {
    call: changeCall(target, statement, [...where.values, ...valuesOf(all)]),
    diagnose: locks.parents.length === 0 ? undefined : whoIsAlive(target, locks),
    read({ rowCount }, diagnosis) {
      if (diagnosis !== undefined) assertAlive(plan, locks, diagnosis.rows[0] ?? [])
      return rowCount
    },
  }
}

function whoIsAlive(target: Target<unknown>, locks: ParentLocks): Call {
  const { plan } = target
  const text = () => `select ${aliveColumns(locks, plan.ownerPlaces).join(', ')}`
  return callOf(target, plan.statements.get(`alive ${locks.shape}`, 'read', text), parentIds(locks))
}

/** One statement, so that one of two contenders wins. The other one gets an error with the state of the row. */
export function planGuardedChange<Row>(
  target: Target<Row>,
  id: string,
  change: GuardedChange,
  values: readonly unknown[],
): PlannedChange<Row> {
  const { plan, readRow } = target
  const { set, when, refuse, ask } = change
  const row = `${plan.visible} and "id" = $${firstPlace(plan)}`
  const from = Object.hasOwn(change, 'from') ? change.from : undefined
  const statement = plan.statements.change(`guarded ${set} ${from ?? ''} ${when}`, () => ({
    verb: 'update',
    ctes: [],
    head: `update ${plan.sql} set ${[set, ...automatic(plan, moment)].join(', ')}`,
    ...(from === undefined ? {} : { from }),
    where: `${row} and (${when})`,
    returning: plan.selected,
  }))
  return {
    call: changeCall(target, statement, [id, ...values]),
    diagnose: whyUnchanged(target, id, noLocks, ask),
    read({ rows: [changed] }, diagnosis) {
      if (changed !== undefined) return readRow(changed)
      throw refuse(foundRow(plan, diagnosis))
    },
  }
}

/** A change of status that only some statuses allow. */
export interface Transition {
  /** Its name in the error: `activate`. */
  readonly verb: string
  readonly from: readonly string[]
  readonly to: string
}

/** `$3` is the new status, and `$4` the list of statuses that it may come from. */
export const transitionOf = (plan: TablePlan, { verb, from }: Transition): GuardedChange => ({
  set: `"status" = $${firstPlace(plan) + 1}`,
  when: `"status" = any($${firstPlace(plan) + 2}::text[])`,
  ask: '"status"',
  refuse: ([status]) => refusedVerb(plan.resource, verb, String(status), from),
})

export const refusedVerb = (resource: string, verb: string, status: string, from: readonly string[]): ConflictError =>
  new ConflictError(
    resource,
    ['status'],
    `${resource}: cannot ${verb} while it is ${status}; it must be ${from.join(' or ')}`,
  )
