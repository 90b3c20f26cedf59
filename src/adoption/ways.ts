import type { Catalog, CatalogColumn, CatalogReference, CatalogTable } from './catalog.js'
import type { Organizations, Way } from './decisions.js'

/** Names that tables of organizations have. */
const usual = [
  'organizations',
  'organisations',
  'orgs',
  'tenants',
  'workspaces',
  'teams',
  'accounts',
  'companies',
  'customers',
]

const singulars = (table: string): string[] => [
  table,
  table.replace(/ies$/, 'y'),
  table.replace(/(?:ses|xes|zes|ches|shes)$/, (ending) => ending.slice(0, -2)),
  table.replace(/s$/, ''),
]

/** The one table that is named as organizations are. Undefined where there is none, or more. */
export function proposedOrganizations({ tables }: Catalog): Organizations | undefined {
  const named = tables.filter(({ name }) => usual.some((word) => singulars(word).includes(name)))
  const [one] = named
  const [id, ...more] = one?.primaryKey ?? []
  if (one === undefined || named.length > 1 || id === undefined || more.length > 0) return undefined
  return { table: one.name, id }
}

/** The table whose rows are the organizations, and the column by which others refer to them. */
export function rootOf(organizations: Organizations): { readonly table: string; readonly id: string } | undefined {
  if ('constant' in organizations) return undefined
  return 'personal' in organizations ? organizations.personal : organizations
}

/**
 * The ways of each table to its organization, the best one first: a column of its own, then the shortest path, and of those one that is
 * never null. Tables without a way are left out.
 */
export function waysOf(catalog: Catalog, organizations: Organizations): ReadonlyMap<string, readonly Way[]> {
  if ('constant' in organizations) return new Map(catalog.tables.map(({ name }) => [name, ['constant']]))
  const root = rootOf(organizations)
  if (root === undefined) return new Map()
  const found = new Map<string, Way[]>()
  for (const table of catalog.tables) {
    if (table.name === root.table) continue
    const own = columnsTo(table, root, catalog)
    if (own.length > 0) found.set(table.name, own)
  }
  // Each round adds the tables that are one step further away.
  for (;;) {
    const next = catalog.tables.flatMap((table) => {
      if (table.name === root.table || found.has(table.name)) return []
      const paths = pathsFrom(table, catalog.schema, found)
      return paths.length > 0 ? [[table.name, paths] as const] : []
    })
    if (next.length === 0) return found
    for (const [name, paths] of next) found.set(name, paths)
  }
}

/** Columns with a foreign key to the organizations, and those that are named and typed as if they had one. */
function columnsTo(table: CatalogTable, root: { table: string; id: string }, { schema, tables }: Catalog): Way[] {
  const referring = table.foreignKeys.flatMap(({ columns: [column, ...more], target }) =>
    column !== undefined &&
    more.length === 0 &&
    target.schema === schema &&
    target.table === root.table &&
    target.columns[0] === root.id
      ? [column]
      : [],
  )
  const type = tables.find(({ name }) => name === root.table)?.columns.find(({ name }) => name === root.id)?.type
  const names = singulars(root.table).flatMap((word) => [`${word}_id`, `${word}Id`])
  const named = table.columns
    .filter((column) => column.type === type && names.includes(column.name) && !referring.includes(column.name))
    .map(({ name }) => name)
  return [...referring.toSorted(notNullFirst(table, (name) => [name])), ...named].map((column) => ({ column }))
}

function pathsFrom(table: CatalogTable, schema: string, found: ReadonlyMap<string, readonly Way[]>): Way[] {
  return table.foreignKeys
    .filter(({ target }) => target.schema === schema && found.has(target.table))
    .toSorted(notNullFirst(table, ({ columns }: CatalogReference) => columns))
    .map(({ name }) => ({ parent: name }))
}

function notNullFirst<T>({ columns }: CatalogTable, columnsOf: (one: T) => readonly string[]) {
  const isNullable = (one: T) =>
    columns.some((column: CatalogColumn) => column.isNullable && columnsOf(one).includes(column.name))
  return (a: T, b: T): number => Number(isNullable(a)) - Number(isNullable(b))
}

/** A pair of columns such as `subject_type` and `subject_id`, of which the second has no foreign key. */
export interface PolymorphicPair {
  readonly type: string
  readonly id: string
}

export function polymorphicPairs({ columns, foreignKeys }: CatalogTable): PolymorphicPair[] {
  return columns.flatMap(({ name }) => {
    const stem = /^(.+?)(?:_type|Type)$/.exec(name)?.[1]
    const id = columns.find((other) => other.name === `${stem}_id` || other.name === `${stem}Id`)?.name
    const refers = foreignKeys.some((key) => id !== undefined && key.columns.includes(id))
    return id === undefined || refers ? [] : [{ type: name, id }]
  })
}

/** The table that a word in a column of types means: `Task`, `tasks` or `App\\Models\\Task` are `tasks`. Undefined where none is meant. */
export function tableMeant(word: string, { tables }: Catalog): string | undefined {
  const last = word.split(/[\\/.:]/).at(-1) ?? word
  const snake = last.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
  return tables.find(({ name }) => name.toLowerCase() === snake || singulars(name.toLowerCase()).includes(snake))?.name
}
