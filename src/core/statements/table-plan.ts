import { getTableColumns } from 'drizzle-orm'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { isSealed } from '../../schema/shared/ciphertext.js'
import { changeableColumns, factsOf } from '../../schema/shared/kinds.js'
import { BoundedMap } from '../bounded-map.js'
import { DefinitionError, InvalidInputError } from '../errors.js'
import type { Binding } from '../executor.js'
import { type ColumnPlan, planColumn, quoted } from './column-plan.js'
import { rowReader, type Selection } from './row-reader.js'
import { StatementCache } from './statement-cache.js'
import { keysOf, parentsOf, type ParentKey, type UniqueKey } from './table-keys.js'

/** A table in the text of a statement, under its own name or an alias. */
export interface TableNames {
  /** As it stands behind `from`, the alias included. */
  readonly sql: string
  /** The columns of a default read, for `select` and `returning`. */
  readonly selected: string
  /** The rows of the scope's owner: `"org_id" = $1`. `true` for a table that has no owner. */
  readonly owned: string
  /** The same without deleted rows: the predicate of every read. */
  readonly visible: string
}

/** Everything that statements need to know of a table, computed once. */
export interface TablePlan extends TableNames {
  readonly table: PgTable
  /** Its SQL name, which errors and cursors use. */
  readonly resource: string
  /** The resource in permissions where a repository names none. */
  readonly permission: string
  /** The columns of a default read: all but the sealed and the hidden ones. */
  readonly columns: readonly ColumnPlan[]
  readonly byProperty: ReadonlyMap<string, ColumnPlan>
  /** The sealed columns, which only the rule that seals may write, with the name that a ciphertext is bound to: `schema.table.column`. */
  readonly sealed: ReadonlyMap<string, string>
  /** Whether no default read returns the column, though it is not sealed: a list neither filters nor orders by it. */
  isHidden(column: ColumnPlan): boolean
  /** The column that names the owner of a row. Undefined for catalogs and other tables without owners. */
  readonly owner: { readonly column: ColumnPlan; readonly kind: 'org' | 'user' } | undefined
  /** The primary key without the owner's column: `id`, or the columns of a link between two tables. */
  readonly key: readonly ColumnPlan[]
  readonly hasId: boolean
  readonly audited: boolean
  readonly softDelete: boolean
  /** Whether its rows are projects: a role in one of them counts for it. */
  readonly isProject: boolean
  readonly revised: boolean
  readonly touched: boolean
  /** The columns that the application may change, by SQL name. */
  readonly changeable: readonly string[]
  /** References to soft-deletable tables, by their property. */
  readonly parents: ReadonlyMap<string, ParentKey>
  /** Unique keys, by the name of their index or constraint. */
  readonly keys: ReadonlyMap<string, UniqueKey>
  readonly statements: StatementCache
  /** Makes a row of the values of a default read. */
  readonly readRow: (values: readonly unknown[]) => Record<string, unknown>
  /** The default read. */
  readonly whole: Selection<Record<string, unknown>>
  /** Reads of some fields, by their SQL. They may come from requests, so their number is limited. */
  readonly selections: BoundedMap<string, Selection<Record<string, unknown>>>
  /** How many parameters the owner takes: `$1`, or none. In a plan within a parent the parent is `$2`. */
  readonly ownerPlaces: 0 | 1 | 2
  as(alias: string): TableNames
}

/** The plans of a table, by the properties that name the parents of its rows. */
type Plans = WeakMap<PgTable, Map<string, TablePlan>>

const plans = new WeakMap<PgTable, TablePlan>()
const unownedPlans = new WeakMap<PgTable, TablePlan>()
const childPlans: Plans = new WeakMap()
const plansWithin: Plans = new WeakMap()

export const planOf = (table: PgTable): TablePlan => known(plans, table, () => makePlan(table, ownerOf))

/** The plan over the rows of every owner, which only a scope of the system may have. */
export const planOfAllOwners = (table: PgTable): TablePlan =>
  known(unownedPlans, table, () => makePlan(table, () => undefined))

/** A reference to a soft-deletable row, which hides the rows that refer to it once it is deleted. */
export interface HidingParent {
  readonly property: string
  readonly parent: PgTable
}

/** The plan in which rows of a deleted parent are hidden, as deleted rows are. */
export const planOfChildren = (table: PgTable, parent: HidingParent): TablePlan =>
  knownOfChildren(childPlans, table, { hiding: [parent], within: undefined })

/**
 * The plan of the rows of one parent, the first of these: its id is `$2`. A row of another parent is not there, and neither is one of a
 * deleted parent. It is for rows that exist: an insert goes by another plan.
 */
export const planWithin = (table: PgTable, ...hiding: readonly [HidingParent, ...HidingParent[]]): TablePlan =>
  knownOfChildren(plansWithin, table, { hiding, within: hiding[0].property })

interface Hiding {
  readonly hiding: readonly HidingParent[]
  readonly within: string | undefined
}

const maxSelections = 200

const noParents: Hiding = { hiding: [], within: undefined }

function knownOfChildren(made: Plans, table: PgTable, parents: Hiding): TablePlan {
  const ofTable = known(made, table, () => new Map<string, TablePlan>())
  return known(ofTable, parents.hiding.map(({ property }) => property).join(), () => makePlan(table, ownerOf, parents))
}

function known<Key extends WeakKey | string, Value>(
  made: { get(key: Key): Value | undefined; set(key: Key, value: Value): unknown },
  key: Key,
  make: () => Value,
): Value {
  let value = made.get(key)
  if (value === undefined) {
    value = make()
    made.set(key, value)
  }
  return value
}

/** The value of the owner's parameter. Throws for a table whose rows belong to another kind of owner than the scope's. */
export function ownerValues(plan: TablePlan, binding: Binding): readonly [string] | readonly [] {
  const bound = binding.kind === 'system' ? binding.about : binding
  if (plan.owner === undefined) {
    if (binding.kind === 'system') return []
    throw new DefinitionError(
      `${plan.resource} belongs to no ${ownerWord(binding.kind)}: the scope cannot have a repository over it`,
    )
  }
  if (bound?.kind === plan.owner.kind) return [bound.id]
  throw new DefinitionError(
    `${plan.resource} belongs to ${aOwner(plan.owner.kind)}, and the scope is of ${scopeOf(bound)}`,
  )
}

const ownerWord = (kind: 'org' | 'user') => (kind === 'org' ? 'organization' : 'person')
const aOwner = (kind: 'org' | 'user') => (kind === 'org' ? 'an organization' : 'a person')
const scopeOf = (bound: { kind: 'org' | 'user' } | undefined) => (bound === undefined ? 'nobody' : aOwner(bound.kind))

/** The repository names the column, so an unknown name is the repository's mistake: DefinitionError. */
export function columnOf(plan: TablePlan, property: string): ColumnPlan {
  const column = plan.byProperty.get(property)
  if (column === undefined) throw new DefinitionError(`${plan.resource} has no column ${property}`)
  return column
}

/** The same for a column that is given a value. Refuses the owner's column: only the scope sets it. */
export function givenColumn(plan: TablePlan, property: string): ColumnPlan {
  const column = plan.byProperty.get(property)
  if (column === undefined) throw new InvalidInputError(property.slice(0, 60), `is not a field of ${plan.resource}`)
  if (column === plan.owner?.column)
    throw new InvalidInputError(property, 'cannot be set: only the scope sets the owner')
  return column
}

function makePlan(table: PgTable, findOwner: typeof ownerOf, { hiding, within } = noParents): TablePlan {
  const { name, schema } = getTableConfig(table)
  const all = Object.entries(getTableColumns(table)).map(([property, column]) => ({ property, column }))
  const byProperty = new Map(all.map(({ property, column }) => [property, planColumn(property, column)]))
  const named = (column: string) => byProperty.get(all.find((one) => one.column.name === column)?.property ?? '')
  const sealed = new Map(
    all
      .filter(({ column }) => isSealed(column))
      .map(({ property, column }) => [property, `${schema ?? 'public'}.${name}.${column.name}`]),
  )
  const hidden = new Set(factsOf(table)?.hidden?.map(quoted))
  const columns = [...byProperty.values()].filter(({ property, sql }) => !sealed.has(property) && !hidden.has(sql))
  const qualified = schema === undefined ? quoted(name) : `${quoted(schema)}.${quoted(name)}`
  const owner = findOwner(table, named)
  const softDelete = named('deleted_at') !== undefined
  const self = `${quoted(name)}.`
  const find = (property: string): ColumnPlan => byProperty.get(property) as ColumnPlan
  const names = (prefix: string, sql: string): TableNames => {
    const ofOwner = owner === undefined ? 'true' : `${prefix}${owner.column.sql} = $1`
    const live = hiding.map(({ property, parent }) => isLive(parent, (prefix || self) + find(property).sql)).join('')
    const owned = within === undefined ? ofOwner : `${ofOwner} and ${prefix}${find(within).sql} = $2${live}`
    return {
      sql,
      selected: columns.map((column) => prefix + column.sql).join(', '),
      owned,
      visible: owned + (softDelete ? ` and ${prefix}"deleted_at" is null` : '') + (within === undefined ? live : ''),
    }
  }
  const keys = keysOf(table, named, owner?.column)
  const hasId = named('id') !== undefined && named('id') !== owner?.column
  const own = names('', qualified)
  const readRow = rowReader(columns)
  return {
    ...own,
    as: (alias) => names(`${alias}.`, `${qualified} ${alias}`),
    table,
    resource: name,
    permission: factsOf(table)?.permission ?? name,
    columns,
    byProperty,
    sealed,
    isHidden: ({ sql }) => hidden.has(sql),
    owner,
    ownerPlaces: owner === undefined ? 0 : within === undefined ? 1 : 2,
    key: hasId ? [named('id') as ColumnPlan] : primaryKeyColumns(keys),
    hasId,
    audited: factsOf(table)?.audited ?? false,
    softDelete,
    isProject: factsOf(table)?.isProject ?? false,
    revised: named('revision') !== undefined,
    touched: named('updated_at') !== undefined,
    changeable: changeableColumns(table).map(quoted),
    parents: parentsOf(table, named, owner?.column),
    keys,
    statements: new StatementCache(),
    readRow,
    whole: { shape: '', columns, sql: own.selected, readRow },
    selections: new BoundedMap(maxSelections),
  }
}

function isLive(parent: PgTable, column: string): string {
  const { sql, visible } = planOf(parent).as('parent')
  return ` and exists (select from ${sql} where ${visible} and parent."id" = ${column})`
}

const primaryKeyColumns = (keys: ReadonlyMap<string, UniqueKey>): readonly ColumnPlan[] =>
  [...keys.values()].find(({ isPrimary }) => isPrimary)?.columns ?? []

/** The name of the primary key. Throws DefinitionError where it does not begin with the owner. */
export function primaryKeyOf({ keys, resource }: TablePlan): string {
  for (const [name, { isPrimary }] of keys) if (isPrimary) return name
  throw new DefinitionError(`${resource} has no primary key that begins with its owner`)
}

const isOwnRow = (table: PgTable): boolean => getTableConfig(table).policies.some(({ name }) => name === 'user_access')

/** By the declared kind. `organizations` and `users` belong to themselves. */
function ownerOf(table: PgTable, named: (column: string) => ColumnPlan | undefined): TablePlan['owner'] {
  const { name } = getTableConfig(table)
  const kind = factsOf(table)?.kind
  switch (kind) {
    case 'tenant':
      return { column: owning('org_id'), kind: 'org' }
    case 'control':
      return { column: named('org_id') ?? owning('id'), kind: 'org' }
    case 'user':
      return { column: named('user_id') ?? owning('id'), kind: 'user' }
    case 'global':
      return isOwnRow(table) ? { column: owning('id'), kind: 'user' } : undefined
    case 'catalog':
      return undefined
    case undefined:
      throw new DefinitionError(
        `${name} has no declared owner: call declareTable(${name}, { kind: 'tenant' }) below its definition, from the tenantry/schema that the application loads`,
      )
  }
  function owning(column: string): ColumnPlan {
    const found = named(column)
    if (found === undefined)
      throw new DefinitionError(`${name} is declared as ${String(kind)}, and has no column ${column}`)
    return found
  }
}
