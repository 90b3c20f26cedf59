import { BrokenReferenceError, DefinitionError, InvalidInputError, RetryableError } from '../errors.js'
import type { Call, Result } from '../executor.js'
import { newId } from '../ids.js'
import { quoted } from './column-plan.js'
import { planFindBy } from './reads.js'
import type { Values } from '../values.js'
import type { ChangeStatement } from './statement-cache.js'
import { automatic, type Given, given, moment, places, propertiesOf, shapeOf, valuesOf } from './given-values.js'
import type { Guard } from './guard.js'
import { aliveColumns, assertAlive, givenParents, parentIds, parentLocks, type ParentLocks } from './parent-locks.js'
import type { UniqueKey } from './table-keys.js'
import type { TablePlan } from './table-plan.js'
import { callOf, type Target } from './target.js'

/** A call that changes rows, before the audit rule adds its entry. */
export interface ChangeCall extends Call {
  readonly statement: ChangeStatement
}

/** A planned change: its call, the query that tells why nothing was changed, and how the answer is read. */
export interface PlannedChange<T> {
  readonly call: ChangeCall
  readonly diagnose: Call | undefined
  readonly read: (result: Result, diagnosis: Result | undefined) => T
}

export const changeCall = (target: Target<unknown>, statement: ChangeStatement, values: readonly unknown[]) =>
  callOf(target, statement, values) as ChangeCall

/** The unique key of that name. The repository names it, so that an unknown name is a fault of the repository. */
export function keyOf(plan: TablePlan, name: string): UniqueKey {
  const key = plan.keys.get(name)
  if (key !== undefined) return key
  throw new DefinitionError(
    `${plan.resource} has no unique key ${name} that begins with its owner; there are ${[...plan.keys.keys()].join(', ')}`,
  )
}

/** `existing` names a unique key whose row is returned, unchanged, instead of a second one. */
export function planInsert<Row>(target: Target<Row>, values: Values, existing?: string): PlannedChange<Row> {
  const { plan } = target
  const all = given(plan, withId(plan, values))
  const locks = parentLocks(target.parents, all, plan.ownerPlaces)
  const key = existing === undefined ? undefined : keyOf(plan, existing)
  // A row with a null in the key conflicts with none.
  const wanted =
    key?.columns.some(({ property }) => !Object.hasOwn(values, property) || (values[property] ?? null) === null) ===
    true
      ? undefined
      : key
  const statement = plan.statements.change(
    `insert ${shapeOf(all)} ${locks.shape} ${wanted === undefined ? '' : String(existing)}`,
    () => ({
      verb: 'insert',
      ctes: locks.ctes,
      head: insertHead(plan, all, locks) + (wanted === undefined ? '' : keepExisting(plan, wanted)),
      where: '',
      returning: plan.selected,
      sets: propertiesOf(all),
      ...(wanted === undefined ? {} : { upsert: { changes: undefined } }),
    }),
  )
  const existingRow = wanted === undefined || plan.changeable.length > 0 ? undefined : rowWith(target, wanted, values)
  return insertion(target, statement, all, values, existingRow)
}

/** Inserts, or changes the row that has the same unique key, if it is in a state that the guard allows. */
export function planPut<Row>(target: Target<Row>, values: Values, keyName: string, guard?: Guard): PlannedChange<Row> {
  const { plan } = target
  const all = given(plan, withId(plan, values))
  const locks = parentLocks(target.parents, all, plan.ownerPlaces)
  const key = keyOf(plan, keyName)
  assertWholeKey(all, key)
  const kept = new Set(['id', ...key.columns.map(({ property }) => property)])
  const statement = plan.statements.change(`put ${keyName} ${shapeOf(all)} ${locks.shape} ${guard?.when ?? ''}`, () => {
    const sets = all
      .filter(({ column }) => !kept.has(column.property))
      .map(({ column }) => `${column.sql} = excluded.${column.sql}`)
    const update = [...sets, ...automatic(plan, 'excluded."updated_at"')].join(', ')
    const onConflict = ` on conflict ${key.conflict} do update set ${update}`
    const where = guard === undefined ? '' : `(${guard.when})`
    return {
      verb: 'insert',
      ctes: locks.ctes,
      head: insertHead(plan, all, locks, { setsMoment: plan.touched }) + onConflict,
      where,
      returning: plan.selected,
      sets: propertiesOf(all),
      // Only where it is audited does it need the old values.
      upsert: {
        changes: rowWithKey(plan, all, key),
        ...(plan.hasId && {
          reading: {
            head: insertHead(plan, all, locks, { setsMoment: plan.touched, readsBefore: true }) + onConflict,
            where: [...(where === '' ? [] : [where]), `${quoted(plan.resource)}."id" = excluded."id"`].join(' and '),
          },
        }),
        mayMiss: plan.audited && guard === undefined,
      },
    }
  })
  const put = insertion(target, statement, all, values)
  if (guard === undefined) {
    if (!plan.audited || locks.conditions.length > 0) return put
    return {
      ...put,
      read(result, diagnosis) {
        // Twice in a row somebody else has made the row after the statement began.
        if (result.rowCount === 0) throw new RetryableError('serialization')
        return put.read(result, diagnosis)
      },
    }
  }
  return {
    call: changeCall(target, statement, valuesOf(all)),
    diagnose: whyKept(target, keyName, all, locks, guard),
    read({ rows: [changed] }, diagnosis) {
      if (changed !== undefined) return target.readRow(changed)
      const [found] = diagnosis?.rows ?? []
      if (found === undefined) throw new BrokenReferenceError(plan.resource, givenParents(target.parents, values))
      assertAlive(plan, locks, found)
      // Somebody else has made the row after the statement began.
      if (found.at(-1) === true) throw new RetryableError('serialization')
      throw guard.refuse(found.slice(locks.parents.length))
    },
  }
}

/** Selects the row that was there: for each parent whether it is alive, what the guard asks, and whether the guard lets it be changed. */
function whyKept(
  target: Target<unknown>,
  keyName: string,
  all: readonly Given[],
  locks: ParentLocks,
  { ask, when }: Guard,
): Call {
  const { plan } = target
  const statement = plan.statements.get(
    `why kept ${keyName} ${shapeOf(all)} ${locks.shape} ${ask} ${when}`,
    'read',
    () => {
      const given = places(all, plan.ownerPlaces).map((place, index) => `${place} as ${all[index]?.column.sql ?? ''}`)
      const selected = [
        ...aliveColumns(locks, plan.ownerPlaces + all.length),
        ask,
        `(select ${when} from (select ${given.join(', ')}) as excluded)`,
      ]
      return `select ${selected.join(', ')} from ${plan.sql} where ${plan.visible} and ${rowWithKey(plan, all, keyOf(plan, keyName))}`
    },
  )
  return callOf(target, statement, [...valuesOf(all), ...parentIds(locks)])
}

const insertion = <Row>(
  target: Target<Row>,
  statement: ChangeStatement,
  all: readonly Given[],
  values: Values,
  diagnose?: Call,
): PlannedChange<Row> => ({
  call: changeCall(target, statement, valuesOf(all)),
  diagnose,
  read: (result, diagnosis) => insertedRow(target, values, diagnosis?.rows.length === 1 ? diagnosis : result),
})

const rowWith = <Row>(target: Target<Row>, { columns }: UniqueKey, values: Values): Call =>
  planFindBy(target, Object.fromEntries(columns.map(({ property }) => [property, values[property]]))).call

/** The condition of the row that conflicts with the given one. A column of the key that is not given is null. */
function rowWithKey(plan: TablePlan, all: readonly Given[], { columns, predicate, nullsAreEqual }: UniqueKey): string {
  const placed = places(all, plan.ownerPlaces)
  const same = columns.map((column) => {
    const place = placed[all.findIndex((one) => one.column === column)]
    if (place === undefined) return nullsAreEqual ? `${column.sql} is null` : 'false'
    return `${column.sql} ${nullsAreEqual && !column.notNull ? 'is not distinct from' : '='} ${place}`
  })
  return [plan.owned, ...same, ...(predicate === undefined ? [] : [`(${predicate})`])].join(' and ')
}

/** Throws InvalidInputError where the server would fill a column of the key: then nobody knows which row is meant. */
function assertWholeKey(all: readonly Given[], { columns }: UniqueKey): void {
  for (const column of columns) {
    if (!column.isFilled || all.some((one) => one.column === column)) continue
    throw new InvalidInputError(column.property, 'is required, because it is part of the key')
  }
}

const withId = (plan: TablePlan, values: Values): Values => (plan.hasId ? { id: newId(), ...values } : values)

/** `readsBefore`: the row has the id of the one that the statement has read as `before`, if there is one. */
function insertHead(
  plan: TablePlan,
  all: readonly Given[],
  locks: ParentLocks,
  { setsMoment = false, readsBefore = false } = {},
): string {
  const owner = plan.owner === undefined ? [] : [plan.owner.column.sql]
  // The default of `updated_at` is the start of the transaction.
  const [touched, now] = setsMoment ? [['"updated_at"'], [moment]] : [[], []]
  const columns = [...owner, ...all.map(({ column }) => column.sql), ...touched].join(', ')
  const values = places(all, plan.ownerPlaces).map((place, index) =>
    readsBefore && all[index]?.column.property === 'id' ? `coalesce((select "id" from before), ${place})` : place,
  )
  const row = [...owner.map(() => '$1::uuid'), ...values, ...now].join(', ')
  const into = `insert into ${plan.sql} (${columns})`
  if (locks.conditions.length > 0) return `${into} select ${row} where ${locks.conditions.join(' and ')}`
  // A Citus cluster takes no sub-select in VALUES.
  return readsBefore ? `${into} select ${row}` : `${into} values (${row})`
}

/**
 * Sets a column to itself, because `do nothing` would not return the row that is there. Where no column may be changed, a second
 * query reads that row.
 */
function keepExisting({ resource, changeable }: TablePlan, { conflict, columns }: UniqueKey): string {
  const column = columns.find(({ sql }) => changeable.includes(sql))?.sql ?? changeable.at(-1)
  if (column === undefined) return ` on conflict ${conflict} do nothing`
  return ` on conflict ${conflict} do update set ${column} = ${quoted(resource)}.${column}`
}

/** The inserted row. No row means that a parent is missing or deleted. */
function insertedRow<Row>({ plan, parents, readRow }: Target<Row>, values: Values, { rows: [row] }: Result): Row {
  if (row === undefined) throw new BrokenReferenceError(plan.resource, givenParents(parents, values))
  return readRow(row)
}
