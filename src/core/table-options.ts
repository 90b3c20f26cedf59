import { is } from 'drizzle-orm'
import { PgTable } from 'drizzle-orm/pg-core'
import { DefinitionError, InvalidInputError } from './errors.js'
import type { Parents } from './statements/parent-locks.js'
import { holdsNumbers } from './statements/column-plan.js'
import { type RelationPlans, readRelations, type Relations } from './statements/relations.js'
import type { Reference } from './statements/removals.js'
import type { TableLimit } from './statements/reservations.js'
import { columnOf, planOf, type TablePlan } from './statements/table-plan.js'
import { ownItems, ownProperties, readOptions, touch } from './values.js'

export interface TableOptions {
  /**
   * The resource in the permissions `<resource>:read` and `<resource>:write`. Default: that of `declareTable`, or else the name of the
   * table.
   */
  readonly permission?: string | undefined
  /**
   * The limit of the plan for these rows: `'max_tickets'` limits their number, `{ name: 'storage_gb', sum: 'sizeGb' }` the sum of a
   * column.
   */
  readonly limit?: string | { readonly name: string; readonly sum: string } | undefined
  /** Columns elsewhere that may refer to a row and are emptied before it is purged. */
  readonly references?: readonly Reference[] | undefined
  /**
   * References to soft-deletable rows that are not locked, each with the reason. Every other parent is locked when a row that refers
   * to it is made, so that no row is made under a deleted parent. The lock blocks updates of the parent until the transaction ends.
   */
  readonly unlockedParents?: Readonly<Record<string, string>> | undefined
  /** The relations that `include` can name: `{ agent: { one: agents, by: 'agentId' }, notes: { many: notes, by: 'ticketId' } }`. */
  readonly includes?: Relations | undefined
}

/** The same, checked against the table's definition. */
export interface ReadTableOptions {
  readonly permission: string | undefined
  readonly limit: TableLimit | undefined
  readonly references: readonly Reference[]
  readonly parents: Parents
  readonly relations: RelationPlans
}

export const tableOptionNames = ['permission', 'limit', 'references', 'unlockedParents', 'includes'] as const

const checked = new WeakMap<object, Map<TablePlan, ReadTableOptions>>()
const noOptions: TableOptions = {}

/** Throws DefinitionError for a name that the table does not have. Cached, because a repository is made for every request. */
export function readTableOptions(plan: TablePlan, options: TableOptions = noOptions): ReadTableOptions {
  const known = checked.get(options) ?? new Map<TablePlan, ReadTableOptions>()
  let read = known.get(plan)
  if (read === undefined) {
    read = check(plan, options)
    checked.set(options, known.set(plan, read))
  }
  return read
}

function check(plan: TablePlan, options: unknown): ReadTableOptions {
  const { permission, limit, references, unlockedParents, includes } = readOptions(options, tableOptionNames)
  const [id] = plan.hasId && plan.owner !== undefined ? plan.key : []
  if (id !== undefined && id.storedAs !== 'uuid')
    throw new DefinitionError(
      `${plan.resource}.id is ${id.storedAs}, and a repository finds rows by a uuid: use org.db for this table`,
    )
  // Their statements have no place for the id of a parent.
  if (plan.ownerPlaces === 2 && (limit !== undefined || references !== undefined))
    throw new DefinitionError(`${plan.resource}: the rows of one parent take no limit and no references`)
  return {
    permission: optionalText(permission, 'permission'),
    limit: limit === undefined ? undefined : readLimit(plan, limit),
    references: references === undefined ? [] : ownItems(references, 'references', 1000).map(readReference),
    parents: lockedParents(plan, unlockedParents),
    relations: readRelations(plan, includes),
  }
}

function optionalText(value: unknown, name: string): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  throw new InvalidInputError(name, `must be the name of a ${name}`)
}

function readLimit(plan: TablePlan, given: unknown): TableLimit {
  if (plan.owner?.kind !== 'org')
    throw new DefinitionError(`${plan.resource} belongs to no organization, so no plan can limit it`)
  if (typeof given === 'string') return { name: limitName(given), sum: undefined }
  const { name, sum } = readOptions(given, ['name', 'sum'], 'limit')
  if (typeof name !== 'string' || typeof sum !== 'string')
    throw new InvalidInputError(
      'limit',
      "must be the name of a limit, or have a name and a column: { name: 'storage_gb', sum: 'sizeGb' }",
    )
  const column = columnOf(plan, sum)
  if (!holdsNumbers(column))
    throw new DefinitionError(`${plan.resource}.${sum} holds no numbers, so a limit cannot add it up`)
  return { name: limitName(name), sum: column }
}

/** As in the limits of a plan. */
function limitName(name: string): string {
  if (/^[a-z][a-z0-9_]{0,62}$/.test(name)) return name
  throw new InvalidInputError('limit', 'must be at most 63 lower-case letters, digits and underscores, a letter first')
}

function readReference(given: unknown): Reference {
  const { table, property, through } = ownProperties(given, 'references')
  if (!touch('references', () => is(table, PgTable))) throw new InvalidInputError('references', 'must be a table')
  columnOf(planOf(table as PgTable), String(property))
  const reference = { table: table as PgTable, property: String(property) }
  return { ...reference, through: through === undefined ? undefined : readReference(through) }
}

function lockedParents(plan: TablePlan, unlocked: unknown): Parents {
  if (unlocked === undefined) return plan.parents
  const names = Object.keys(ownProperties(unlocked, 'unlockedParents'))
  const unknown = names.find((name) => !plan.parents.has(name))
  if (unknown === undefined) return new Map([...plan.parents].filter(([name]) => !names.includes(name)))
  throw new DefinitionError(`${plan.resource} refers to no soft-deletable row by ${unknown}`)
}
