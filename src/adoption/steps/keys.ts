import { quoted } from '../../core/statements/column-plan.js'
import { type AdoptedTable, nameFor } from '../adopted-schema.js'
import type { CatalogKey, CatalogReference } from '../catalog.js'
import { fitted } from '../home.js'
import { bodyOf, literal } from '../sql.js'

/** The name of what is built beside a key or an index of this name, until it takes its place. */
export const besideOf = (name: string): string => fitted(`${name}_org`)

/** The name of an index on the columns of a replaced key, for code that knows no organizations. */
const aloneOf = (name: string): string => fitted(`${name}_alone`)

const primaryKeyNames = ({ primaryKey }: AdoptedTable) => primaryKey.columns.map(({ name }) => name)

const list = (columns: readonly string[]) => columns.map(quoted).join(', ')
const organizationFirst = (columns: readonly string[]) => list(['org_id', ...columns])

interface NewIndex {
  readonly name: string
  readonly isUnique: boolean
  /** Its columns and what follows them. */
  readonly rest: string
}

/** The keys with the organization in front, and an index for each foreign key with which the primary key does not begin. */
const lastingIndexes = (table: AdoptedTable): NewIndex[] => [
  ...replacedKeys(table).map(({ name, rest }) => ({ name: besideOf(name), isUnique: true, rest: `(org_id, ${rest}` })),
  ...referenceIndexes(table).map(({ name, columns }) => ({
    name,
    isUnique: false,
    rest: `(${organizationFirst(columns)})`,
  })),
]

/** A statement that does not name `org_id` cannot use an index that begins with it. */
const passingIndexes = (table: AdoptedTable): NewIndex[] =>
  replacedKeys(table).map(({ name, rest }) => ({
    name: aloneOf(name),
    isUnique: false,
    rest: `(${rest.replace(/ NULLS NOT DISTINCT/, '')}`,
  }))

function replacedKeys(table: AdoptedTable): { name: string; rest: string }[] {
  const { primaryKey, uniqueKeys } = table
  return [
    ...table.table.indexes
      .filter(({ name }) => name === primaryKey.name && !primaryKey.isComplete)
      .map((index) => ({ name: index.name, rest: restOf(index) })),
    ...uniqueKeys.map((key) => ({ name: key.name, rest: restOf(key) })),
  ]
}

const build = ({ on }: AdoptedTable, { name, isUnique, rest }: NewIndex): string =>
  `create ${isUnique ? 'unique ' : ''}index concurrently if not exists ${quoted(name)} on ${on} ${rest}`

export const buildIndexes = (table: AdoptedTable): string[] =>
  [...lastingIndexes(table), ...passingIndexes(table)].map((index) => build(table, index))

export const buildPassingIndexes = (table: AdoptedTable): string[] =>
  passingIndexes(table).map((index) => build(table, index))

export const passingNames = (table: AdoptedTable): string[] => passingIndexes(table).map(({ name }) => name)

/** The names of the indexes that are built beside the others. */
export const newNames = (table: AdoptedTable): string[] =>
  [...lastingIndexes(table), ...passingIndexes(table)].map(({ name }) => name)

/** The names of the indexes that the swap renames, and of those that its way back builds. */
export const swappedNames = (table: AdoptedTable): string[] =>
  replacedKeys(table).flatMap(({ name }) => [besideOf(name), rebuiltName(name)])

/** The names of relations that the steps and their ways back give. */
export const relationNames = (table: AdoptedTable): string[] => [
  ...newNames(table),
  ...replacedKeys(table).map(({ name }) => rebuiltName(name)),
]

/** The same of constraints. */
export const constraintNames = (table: AdoptedTable): string[] => [
  organizationKeyOf(table),
  setCheckOf(table),
  ...table.references.flatMap(({ name }) => [besideOf(name), rebuiltName(name)]),
  ...table.dropped.map(({ name }) => rebuiltName(name)),
]

export const organizationKeyOf = ({ name }: AdoptedTable): string => nameFor(name, 'org_fkey')
export const setCheckOf = ({ name }: AdoptedTable): string => nameFor(name, 'org_id_set')

/** For before the builds: `if not exists` takes an index of another kind with the same name for ours. */
export const refuseTakenNames = (schema: string, names: readonly string[]): string =>
  `do ${bodyOf(`
declare
  tenantry_taken text;
begin
${takenName(schema, names)}
end`)}`

/** The same among other statements, with a variable `tenantry_taken`. */
export const takenName = (schema: string, names: readonly string[]): string =>
  `  select c.relname into tenantry_taken from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = ${literal(schema)} and c.relname = any (array[${names.map(literal).join(', ')}]::text[]) order by 1 limit 1;
  if found then
    raise exception '%.% has a name that an index of tenantry is to get: rename it', ${literal(schema)}, tenantry_taken;
  end if;`

export const dropIndex = (schema: string, name: string): string =>
  `drop index concurrently if exists ${quoted(schema)}.${quoted(name)}`

/** Counts the values of a key that several rows have, into a variable `tenantry_count`. */
export function countReused(from: string, { columns, where, sparesNull }: ReusedKey): string {
  const conditions = [
    ...(sparesNull ? columns.map((column) => `${column} is not null`) : []),
    ...(where === null ? [] : [where]),
  ]
  return `  select count(*) into tenantry_count from (
    select from ${from} ${conditions.length === 0 ? '' : `where ${conditions.join(' and ')} `}group by ${columns.join(', ')} having count(*) > 1
  ) keys;`
}

interface ReusedKey {
  /** Columns and expressions in SQL. */
  readonly columns: readonly string[]
  readonly where: string | null
  /** Whether rows with null are not the same. */
  readonly sparesNull: boolean
}

export const reusedKey = ({ columns, where, definition }: CatalogKey): ReusedKey => ({
  columns,
  where,
  sparesNull: !definition.includes(' NULLS NOT DISTINCT'),
})

export const reusedPrimaryKey = (table: AdoptedTable): ReusedKey => ({
  columns: primaryKeyNames(table).map(quoted),
  where: null,
  sparesNull: true,
})

/** Its columns for a message. */
export const wordsOf = ({ columns }: ReusedKey): string =>
  columns.map((column) => column.replaceAll('"', '')).join(', ')

// A name in quotes may contain the words that follow it.
const identifier = '(?:"(?:[^"]|"")*"|[^\\s".]+)'
const afterTable = new RegExp(
  `^CREATE (?:UNIQUE )?INDEX ${identifier} ON (?:ONLY )?${identifier}(?:\\.${identifier})? USING \\w+ \\(([\\s\\S]*)$`,
)

/** The columns of a key in the definition of the server, with what follows them. */
function restOf({ name, definition }: Pick<CatalogKey, 'name' | 'definition'>): string {
  const [, rest] = afterTable.exec(definition) ?? []
  if (rest === undefined) throw new TypeError(`the index ${name} has no definition: ${definition}`)
  return rest
}

/** What gives a replaced key or index its marks again. `hasOrganization` says whether the organization is in front now. */
export const marksOf = (
  { table }: AdoptedTable,
  { name }: { readonly name: string },
  hasOrganization = false,
): string[] =>
  table.marks
    .filter(({ of, kind }) => of === name && kind !== 'policy')
    .map(({ statement, shifted }) => (hasOrganization ? shifted : statement))

/** The name of an old key while it is built again. */
export const rebuiltName = (name: string): string => fitted(`${name}_before`)

/** Builds the old keys again. */
export const buildOldKeys = (table: AdoptedTable): string[] =>
  replacedKeys(table).map(({ name, rest }) =>
    build(table, { name: rebuiltName(name), isUnique: true, rest: `(${rest}` }),
  )

/** For each foreign key an index that begins with its columns, unless the primary key does. */
export function referenceIndexes(table: AdoptedTable): { name: string; columns: readonly string[] }[] {
  const wanted = new Map(
    table.references
      .map(({ columns }) => columns)
      .filter((columns) => !startsWith(primaryKeyNames(table), columns))
      .map((columns) => [columns.join(), columns]),
  )
  const names = new Set<string>()
  return [...wanted.values()].map((columns) => {
    const plain = nameFor(table.name, `org_${columns.join('_')}_idx`)
    // `a_b, c` and `a, b_c` are joined to the same.
    const name = names.has(plain) ? nameFor(table.name, `org_${columns.join('__')}_idx`) : plain
    names.add(name)
    return { name, columns }
  })
}

const startsWith = (key: readonly string[], columns: readonly string[]) =>
  columns.every((column) => key.slice(0, columns.length).includes(column))

/** A child whose organization is another than that of its parent is found here. */
export function proveReference(table: AdoptedTable, key: CatalogReference): string[] {
  const name = quoted(besideOf(key.name))
  const { schema, table: parent, columns } = key.target
  return [
    `alter table ${table.on} add constraint ${name} foreign key (${organizationFirst(key.columns)}) references ${quoted(schema)}.${quoted(parent)} (${organizationFirst(
      columns,
    )})${actionsOf(key)} not valid`,
    `alter table ${table.on} validate constraint ${name}`,
  ]
}

/** What becomes of the row when its parent is changed or deleted, as before: the organization is never emptied. */
function actionsOf({ columns, onDelete, onUpdate, emptied, deferral }: CatalogReference): string {
  const empties = onDelete.startsWith('set')
  const emptying = empties ? ` (${(emptied.length === 0 ? columns : emptied).map(quoted).join(', ')})` : ''
  const updating = onUpdate === 'no action' ? '' : ` on update ${onUpdate}`
  const deleting = onDelete === 'no action' ? '' : ` on delete ${onDelete}${emptying}`
  return `${updating}${deleting}${deferral}`
}
