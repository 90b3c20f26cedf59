import { is } from 'drizzle-orm'
import { getTableConfig, type IndexedColumn, PgTable } from 'drizzle-orm/pg-core'
import type { Row as RowOf } from '../../schema/shared/rows.js'
import { DefinitionError, InvalidInputError } from '../errors.js'
import { ownProperties, readOptions, touch } from '../values.js'
import { type ColumnPlan, quoted } from './column-plan.js'
import { type IncludedColumns, includedColumns } from './included-columns.js'
import { columnOf, planOf, type TablePlan } from './table-plan.js'

interface Related {
  /** The resource in the permission to read it, where its repository does not have that of its table. */
  readonly permission?: string | undefined
}

/** To one row, by the column of this table that refers to it. */
export interface ToOne extends Related {
  readonly one: PgTable
  readonly by: string
}

/** To the rows of another table that refer to this one by their column `by`. */
export interface ToMany extends Related {
  readonly many: PgTable
  readonly by: string
}

/** To the rows of another table that a table of links connects with this one. */
export interface ToManyThrough extends Related {
  readonly many: PgTable
  readonly through: PgTable
}

/** The relations that `include` can name. Each is found again in a composite foreign key of the tables. */
export type Relations = Readonly<Record<string, ToOne | ToMany | ToManyThrough>>

// oxlint-disable-next-line typescript/no-generated-empty-object-type -- what a repository has that declares none
export type NoRelations = Record<never, never>

/** What the relations add to a row. */
export type RelatedRows<Declared extends Relations> = {
  [Name in keyof Declared]: Declared[Name] extends { readonly one: infer Table extends PgTable }
    ? RowOf<Table> | null
    : Declared[Name] extends { readonly many: infer Table extends PgTable }
      ? RowOf<Table>[]
      : never
}

/** What a sub-select calls the row whose related rows it reads: no table is called so. */
export const outerRow = '"outer row"'

/** A relation, checked against the tables. */
export interface RelationPlan {
  /** Stands in the keys of statements. */
  readonly id: number
  readonly name: string
  /** Of the table that is included. */
  readonly plan: TablePlan
  /** What an actor must be allowed to read. Undefined for a catalog, which everybody reads. */
  readonly resource: string | undefined
  /** The same of the table of links between. */
  readonly linksResource?: string | undefined
  readonly isMany: boolean
  /** The column of the row that is read by which its related rows are found. */
  readonly key: ColumnPlan
  /** What connects its rows with the row that is read, as SQL. */
  readonly matches: string
  /** Whether an index has the rows of one parent in the usual order. */
  readonly isSorted: boolean
  readonly columns: IncludedColumns
}

export type RelationPlans = ReadonlyMap<string, RelationPlan>

/** Throws DefinitionError for a relation without a foreign key. */
export function readRelations(plan: TablePlan, declared: unknown): RelationPlans {
  if (declared === undefined) return none
  const names = Object.entries(ownProperties(declared, 'includes'))
  return new Map(names.map(([name, relation]) => [name, readRelation(plan, name, relation)]))
}

const none: RelationPlans = new Map()
let relationsMade = 0

function readRelation(plan: TablePlan, name: string, given: unknown): RelationPlan {
  const field = `includes.${name}`
  if (!/^[a-z]\w*$/i.test(name)) throw new InvalidInputError('includes', `cannot have the name ${name.slice(0, 60)}`)
  if (plan.byProperty.has(name)) throw new DefinitionError(`${plan.resource}: ${field} has the name of a column`)
  if (plan.owner === undefined) throw new DefinitionError(`${plan.resource}: ${field} needs a table with an owner`)
  const { one, many, by, through, permission } = readOptions(given, relationOptions, field)
  const isMany = one === undefined
  if ((one === undefined) === (many === undefined) || (by === undefined) === (through === undefined))
    throw new InvalidInputError(field, forms)
  const table = tableIn(isMany ? many : one, field)
  if (permission !== undefined && typeof permission !== 'string')
    throw new InvalidInputError(field, 'must have the name of a permission')
  const related = planOf(table)
  if (related.columns.length > maxColumns)
    throw new DefinitionError(`${plan.resource}: ${field} has more than ${maxColumns} columns`)
  const shared = {
    id: ++relationsMade,
    name,
    isMany,
    plan: related,
    resource: related.owner === undefined ? undefined : (permission ?? related.permission),
    columns: includedColumns(related.columns),
  }
  if (through !== undefined && isMany) {
    const links = planOf(tableIn(through, field))
    return {
      ...shared,
      linksResource: links.permission,
      ...matchesThrough(plan, links, related, field),
      isSorted: false,
    }
  }
  if (typeof by !== 'string') throw new InvalidInputError(field, forms)
  return isMany
    ? { ...shared, ...matchesMany(plan, related, by, field), isSorted: hasSortedIndex(related, columnOf(related, by)) }
    : { ...shared, ...matchesOne(plan, related, by, field), isSorted: false }
}

const forms = "must be { one, by }, { many, by } or { many, through }, such as { one: projects, by: 'projectId' }"
const relationOptions = ['one', 'many', 'by', 'through', 'permission'] as const
// The most arguments of a function in Postgres.
const maxColumns = 100

function tableIn(value: unknown, field: string): PgTable {
  if (touch(field, () => is(value, PgTable))) return value as PgTable
  throw new InvalidInputError(field, 'must have tables as `one`, `many` and `through`')
}

type Match = Pick<RelationPlan, 'key' | 'matches'>

function matchesOne(plan: TablePlan, related: TablePlan, by: string, field: string): Match {
  const column = columnOf(plan, by)
  const target = keysInto(plan, related).find(({ own }) => own === column.sql)
  if (target === undefined) throw noForeignKey(plan, plan, by, related, field)
  return { key: keyOf(plan, column.sql, field), matches: `${target.foreign} = ${outerRow}.${column.sql}` }
}

function matchesMany(plan: TablePlan, related: TablePlan, by: string, field: string): Match {
  const column = columnOf(related, by)
  const target = keysInto(related, plan).find(({ own }) => own === column.sql)
  if (target === undefined) throw noForeignKey(plan, related, by, plan, field)
  return { key: keyOf(plan, target.foreign, field), matches: `${column.sql} = ${outerRow}.${target.foreign}` }
}

function keyOf({ columns, resource }: TablePlan, sql: string, field: string): ColumnPlan {
  const column = columns.find((one) => one.sql === sql)
  if (column === undefined) throw new DefinitionError(`${resource}: ${field} goes by a hidden column`)
  return column
}

/** An array, because a cluster would ask every shard for a sub-select behind `in`. */
function matchesThrough(plan: TablePlan, links: TablePlan, related: TablePlan, field: string): Match {
  const [here, ...more] = keysInto(links, plan)
  const [there, ...others] = keysInto(links, related)
  if (here === undefined || there === undefined || more.length > 0 || others.length > 0)
    throw new DefinitionError(
      `${plan.resource}: ${field} needs one foreign key of ${links.resource} into ${plan.resource}, and one into ${related.resource}`,
    )
  const { sql, visible } = links
  const ids = `select ${there.own} from ${sql} where ${visible} and ${here.own} = ${outerRow}.${here.foreign}`
  return { key: keyOf(plan, here.foreign, field), matches: `${there.foreign} = any(array(${ids}))` }
}

interface KeyInto {
  /** The column that refers, and the one that it refers to, as SQL. */
  readonly own: string
  readonly foreign: string
}

/** The foreign keys from one table into another of the same owner, or into a catalog: each by one column beside the owner's. */
function keysInto(from: TablePlan, to: TablePlan): KeyInto[] {
  if (to.owner !== undefined && to.owner.kind !== from.owner?.kind) return []
  return getTableConfig(from.table).foreignKeys.flatMap((foreignKey) => {
    const { columns, foreignColumns, foreignTable } = foreignKey.reference()
    if (foreignTable !== to.table) return []
    const pairs = columns.map((column, index) => ({
      own: quoted(column.name),
      foreign: quoted(foreignColumns[index]?.name ?? ''),
    }))
    const others = pairs.filter(
      ({ own, foreign }) => own !== from.owner?.column.sql || foreign !== to.owner?.column.sql,
    )
    const [only] = others
    const isComposite = to.owner === undefined || others.length === pairs.length - 1
    return only !== undefined && others.length === 1 && isComposite ? [only] : []
  })
}

/** The row that a column of the table refers to by a composite foreign key. */
export function referenceOf(
  plan: TablePlan,
  column: ColumnPlan,
): { readonly parent: TablePlan; readonly foreign: string } {
  for (const foreignKey of getTableConfig(plan.table).foreignKeys) {
    const parent = planOf(foreignKey.reference().foreignTable)
    const key = keysInto(plan, parent).find(({ own }) => own === column.sql)
    if (key !== undefined && parent.owner !== undefined) return { parent, foreign: key.foreign }
  }
  throw new DefinitionError(`${plan.resource}.${column.property} has no composite foreign key`)
}

const noForeignKey = (plan: TablePlan, from: TablePlan, by: string, to: TablePlan, field: string) =>
  new DefinitionError(
    `${plan.resource}: ${field} needs a foreign key of ${from.resource} by its owner and ${by} into ${to.resource}`,
  )

/** Whether an index begins with the owner, the column and the key that a list is ordered by. */
function hasSortedIndex({ table, owner, key }: TablePlan, referring: ColumnPlan): boolean {
  const wanted = [owner?.column.sql, referring.sql, ...key.map(({ sql }) => sql)]
  return getTableConfig(table).indexes.some(({ config }) => {
    const names = config.columns.map((column) => quoted((column as IndexedColumn).name ?? ''))
    return config.where === undefined && wanted.every((name, index) => names[index] === name)
  })
}
