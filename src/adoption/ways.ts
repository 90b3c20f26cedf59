import type { Catalog, CatalogColumn, CatalogReference, CatalogTable } from './catalog.js'
import type { Organizations, Way } from './decisions.js'

/** Names that tables of organizations have. */
const usual = ['organizations', 'organisations', 'orgs', 'tenants', 'workspaces', 'teams']
/** Names that tables of something else have too, such as of the accounts of people at providers, or of those who buy from an organization. */
const ambiguous = ['accounts', 'companies', 'customers']

/** The name of a table in lower case, and what may be its singular. */
function namesOf(table: string): string[] {
  const name = table.toLowerCase()
  return [
    name,
    name.replace(/ies$/, 'y'),
    name.replace(/(?:ses|xes|zes|ches|shes)$/, (ending) => ending.slice(0, -2)),
    name.replace(/s$/, ''),
  ]
}

/**
 * The one table that is named as organizations are. One with an ambiguous name counts where there is no other, and where rows refer to it as
 * far as foreign keys tell. Undefined where there is none, or more.
 */
export function proposedOrganizations({ tables }: Catalog): Organizations | undefined {
  const namedBy = (words: readonly string[]) =>
    tables.filter(({ name }) => words.some((word) => namesOf(word).includes(name.toLowerCase())))
  const hasKeys = tables.some(({ foreignKeys }) => foreignKeys.length > 0)
  const clear = namedBy(usual)
  const named =
    clear.length > 0 ? clear : namedBy(ambiguous).filter(({ referrers }) => !hasKeys || referrers.length > 0)
  const [one] = named
  const [id, ...more] = one?.primaryKey ?? []
  if (one === undefined || named.length > 1 || id === undefined || more.length > 0) return undefined
  return { table: one.name, id }
}

/** Whether a tool for migrations keeps its records there. */
export const isBookkeeping = (table: string): boolean =>
  /^(?:schema_migrations|schema_info|ar_internal_metadata|_prisma_migrations|__drizzle_migrations|knex_migrations(?:_lock)?|sequelizemeta|typeorm_metadata|migrations|alembic_version|django_migrations|flyway_schema_history|databasechangelog(?:lock)?|goose_db_version|pgmigrations|__efmigrationshistory)$/i.test(
    table,
  )

/** The table whose rows are the organizations, and the column by which others refer to them. */
export interface Root {
  readonly table: string
  readonly id: string
}

/** Undefined where every row belongs to one organization. */
export function rootOf(organizations: Organizations): Root | undefined {
  if ('constant' in organizations) return undefined
  return 'personal' in organizations ? organizations.personal : organizations
}

/** Columns with a foreign key to the organizations, and those that are named and typed as if they had one. */
export function columnWays(table: CatalogTable, root: Root, { schema, tables }: Catalog): Way[] {
  const keys = table.foreignKeys.flatMap(({ columns: [column, ...more], target }) =>
    column !== undefined && more.length === 0 && target.schema === schema && target.table === root.table
      ? [{ column, to: target.columns[0] ?? '' }]
      : [],
  )
  const type = tables.find(({ name }) => name === root.table)?.columns.find(({ name }) => name === root.id)?.type
  const names = idsOf(root.table)
  const named = table.columns
    .filter(({ name }) => names.includes(name.toLowerCase()))
    .filter((column) => column.type === type && !table.foreignKeys.some((key) => key.columns.includes(column.name)))
    .map(({ name }) => ({ column: name }))
  const referring = keys
    .toSorted(notNullFirst(table, ({ column }) => [column]))
    .map(({ column, to }): Way => (to === root.id ? { column } : { mapped: { column, to } }))
  return [...referring, ...named]
}

/** Foreign keys to tables whose rows have an organization. */
export const parentWays = (
  table: CatalogTable,
  schema: string,
  hasWay: (table: string) => boolean,
  neverNull = false,
): Way[] =>
  table.foreignKeys
    .filter(({ target }) => target.schema === schema && target.table !== table.name && hasWay(target.table))
    .filter(({ columns }) => !neverNull || !columns.some((name) => isNullable(table, name)))
    .toSorted(notNullFirst(table, ({ columns }: CatalogReference) => columns))
    .map(({ name }) => ({ parent: name }))

/** Columns that are named and typed as if they had a foreign key to a table whose rows have an organization. */
export function rowWays(table: CatalogTable, { tables }: Catalog, hasWay: (table: string) => boolean): Way[] {
  const words = polymorphicPairs(table).map(({ id }) => id)
  const free = table.columns
    .filter(({ name }) => !words.includes(name) && !table.primaryKey.includes(name))
    .filter(({ name }) => !table.foreignKeys.some(({ columns }) => columns.includes(name)))
  return free.toSorted(notNullFirst(table, ({ name }) => [name])).flatMap((column) => {
    const targets = tables.filter(
      (target) => target.name !== table.name && hasWay(target.name) && hasKeyOf(column, target),
    )
    const named = targets.filter(({ name }) => idsOf(name).includes(column.name.toLowerCase()))
    const [of, ...more] = named.length > 0 ? named : targets.filter((target) => hasOwnKey(column, target))
    return of === undefined || more.length > 0 ? [] : [{ row: { column: column.name, of: of.name } }]
  })
}

const idsOf = (table: string): string[] => namesOf(table).flatMap((word) => [`${word}_id`, `${word}id`])

const hasKeyOf = ({ type }: CatalogColumn, { primaryKey: [key, ...more], columns }: CatalogTable): boolean =>
  more.length === 0 && columns.some((one) => one.name === key && one.type === type)

/** Whether the column is called as the key of the table, which is not called `id` and is no row of another table. */
const hasOwnKey = ({ name }: CatalogColumn, { primaryKey: [key], foreignKeys }: CatalogTable): boolean =>
  name === key && key.toLowerCase() !== 'id' && !foreignKeys.some(({ columns }) => columns.includes(key))

const isNullable = ({ columns }: CatalogTable, name: string): boolean =>
  columns.some((column) => column.name === name && column.isNullable)

function notNullFirst<T>(table: CatalogTable, columnsOf: (one: T) => readonly string[]) {
  const mayBeNull = (one: T) => columnsOf(one).some((name) => isNullable(table, name))
  return (a: T, b: T): number => Number(mayBeNull(a)) - Number(mayBeNull(b))
}

/** A pair of columns such as `subject_type` and `subject_id`, of which the second has no foreign key. */
export interface PolymorphicPair {
  readonly type: string
  readonly id: string
}

export function polymorphicPairs({ columns, foreignKeys, primaryKey }: CatalogTable): PolymorphicPair[] {
  return columns.flatMap(({ name }) => {
    const stem = /^(.+?)(?:_type|Type)$/.exec(name)?.[1]
    const id = columns.find((other) => other.name === `${stem}_id` || other.name === `${stem}Id`)?.name
    const refers = foreignKeys.some((key) => id !== undefined && key.columns.includes(id))
    return id === undefined || refers || primaryKey.includes(id) ? [] : [{ type: name, id }]
  })
}

/** The table that a word in a column of types means: `Task`, `tasks` or `App\Models\Task` are `tasks`. Undefined where none is meant. */
export function tableMeant(word: string, { tables }: Catalog): CatalogTable | undefined {
  const last = word.split(/[\\/.:]/).at(-1) ?? word
  const snake = last.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
  return tables.find(({ name }) => namesOf(name).includes(snake) || namesOf(name).includes(last.toLowerCase()))
}
