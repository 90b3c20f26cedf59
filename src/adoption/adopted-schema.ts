import { quoted } from '../core/statements/column-plan.js'
import type { Catalog, CatalogColumn, CatalogKey, CatalogReference, CatalogTable } from './catalog.js'
import { type Decisions, type OneWay, personColumn, type TableDecision, waysIn } from './decisions.js'
import { fitted, homeOf } from './home.js'
import { constantKey, type Owner, Owners, rowKey } from './owners.js'
import { type Root, rootOf } from './ways.js'

/** What becomes of a schema, as it is decided: every step is written from it. */
export interface AdoptedSchema {
  readonly schema: string
  /** The schema of what adoption needs until it is complete. */
  readonly home: string
  readonly tables: readonly AdoptedTable[]
  /** Tables that everybody reads. */
  readonly shared: readonly { readonly on: string; readonly table: CatalogTable }[]
  /** The roles of the application that may not use the schema yet. */
  readonly withoutUsage: readonly string[]
  /** The tables of which rows become organizations: the organizations, and people by whom rows are resolved. */
  readonly sources: readonly OrganizationSource[]
  /** Organizations that the decisions name by a slug. */
  readonly constants: readonly Constant[]
}

export interface OrganizationSource {
  readonly table: CatalogTable
  readonly on: string
  readonly id: CatalogColumn
  /** Begins the keys of its organizations. */
  readonly prefix: string
  /** Columns that give an organization its name and its slug. */
  readonly name: string | undefined
  readonly slug: string | undefined
  /** Whether the rows are the organizations: their ids are the keys, and a uuid stays the id. */
  readonly isRoot: boolean
  /** Whether an id that is no uuid becomes the external id, or finds the organization that has it. */
  readonly externalIds: 'kept' | 'same' | 'named' | 'none'
}

export interface Constant {
  /** Its key, as that of other organizations. */
  readonly key: string
  readonly id: string
  readonly name: string
  readonly slug: string
}

export interface AdoptedTable {
  readonly name: string
  /** Its name in SQL, with its schema. */
  readonly on: string
  readonly table: CatalogTable
  readonly primaryKey: {
    readonly name: string
    readonly columns: readonly CatalogColumn[]
    /** Whether the organization is in it already. */
    readonly isComplete: boolean
  }
  /** Where every row belongs to one organization. */
  readonly constant: Constant | undefined
  /** The organization of rows that no way reaches, where a decision names one. */
  readonly fallback: Constant | undefined
  /** The key of the organization of row `t`, where it is not constant. */
  readonly owner: Pick<Owner, 'joins' | 'sql' | 'id'> | undefined
  /** The same before the swap, when no two organizations have the same key. */
  readonly ownerBefore: Pick<Owner, 'joins' | 'sql' | 'id'> | undefined
  /** Columns of which a new value moves a row to another organization. */
  readonly wayColumns: readonly string[]
  /** The tables to which its ways lead, with the columns by which a row is found there. */
  readonly parents: readonly { readonly table: string; readonly columns: readonly string[] }[]
  /** Whether it had `org_id` with the id of the organization before. */
  readonly hadColumn: boolean
  /** Whether rows may be without an organization until `prove`. */
  readonly mayLack: boolean
  readonly isQuarantined: boolean
  /** Foreign keys to adopted tables, which get the organization on both sides. */
  readonly references: readonly CatalogReference[]
  /** Foreign keys that may lead to another organization, and end with the swap. */
  readonly dropped: readonly CatalogReference[]
  readonly uniqueKeys: readonly CatalogKey[]
}

/** Expects decisions that an analysis has found complete, and the ids of the organizations that they name by a slug. */
export function adoptedSchema(catalog: Catalog, decisions: Decisions, ids: ReadonlyMap<string, string>): AdoptedSchema {
  const { schema } = catalog
  const organizations = decisions.organizations ?? undefined
  const root = organizations && rootOf(organizations)
  const owners = new Owners(catalog, decisions, true)
  const before = new Owners(catalog, decisions)
  const constantOf = (slug: string, name = slug): Constant => ({
    key: constantKey(schema, slug),
    slug,
    name,
    id: idOf(ids, slug),
  })
  const everything =
    organizations !== undefined && 'constant' in organizations
      ? constantOf(organizations.constant.slug, organizations.constant.name)
      : undefined
  const tenants = catalog.tables.filter(({ name }) => decisions.tables[name]?.kind === 'tenant')
  const names = new Set(tenants.map(({ name }) => name))
  return {
    schema,
    home: homeOf(schema),
    tables: tenants.map((table) => adoptedTable(table, owners, before, decisions, names, root, everything, constantOf)),
    shared: catalog.tables
      .filter(({ name }) => decisions.tables[name]?.kind === 'shared')
      .map((table) => ({ on: `${quoted(schema)}.${quoted(table.name)}`, table })),
    withoutUsage: catalog.withoutUsage,
    sources: sourcesOf(catalog, owners, tenants, decisions, root),
    constants: constantSlugs(decisions).map((slug) => (slug === everything?.slug ? everything : constantOf(slug))),
  }
}

function idOf(ids: ReadonlyMap<string, string>, slug: string): string {
  const id = ids.get(slug)
  if (id === undefined) throw new TypeError(`the organization ${slug} has no id`)
  return id
}

/** The slugs of the organizations that the decisions name. */
export function constantSlugs(decisions: Decisions): string[] {
  const { organizations } = decisions
  const everything = organizations !== null && 'constant' in organizations ? [organizations.constant.slug] : []
  const resolved = resolutions(decisions).flatMap((one) => ('constant' in one ? [one.constant] : []))
  return [...new Set([...everything, ...resolved])]
}

type Resolution = Exclude<NonNullable<TableDecision['unreached']>, string>

const resolutions = ({ tables }: Decisions): Resolution[] =>
  Object.values(tables).flatMap(({ unreached }) => (typeof unreached === 'object' ? [unreached] : []))

function adoptedTable(
  table: CatalogTable,
  owners: Owners,
  before: Owners,
  decisions: Decisions,
  names: ReadonlySet<string>,
  root: Root | undefined,
  everything: Constant | undefined,
  constantOf: (slug: string) => Constant,
): AdoptedTable {
  const { name, primaryKey, foreignKeys, uniqueKeys } = table
  const had = table.columns.find((column) => column.name === 'org_id')
  const decision = decisions.tables[name]
  const unreached = decision?.unreached
  const owner = everything === undefined ? owners.resolvedOwnerOf(table, 't') : undefined
  const isAdopted = ({ target }: CatalogReference) => target.schema === decisions.schema && names.has(target.table)
  const isDropped = (key: CatalogReference) => decision?.crossing?.includes(key.name) ?? false
  return {
    name,
    on: `${quoted(decisions.schema)}.${quoted(name)}`,
    table,
    primaryKey: {
      name: table.primaryKeyName ?? '',
      columns: primaryKey.map((column) => columnOf(table, column)),
      isComplete: primaryKey.includes('org_id'),
    },
    constant: everything,
    fallback: typeof unreached === 'object' && 'constant' in unreached ? constantOf(unreached.constant) : undefined,
    owner,
    ownerBefore: everything === undefined ? before.resolvedOwnerOf(table, 't') : undefined,
    wayColumns: wayColumnsOf(table, decision),
    parents: parentsOf(table, decision, owners, root),
    hadColumn: had !== undefined,
    mayLack: had === undefined ? everything === undefined : had.isNullable,
    isQuarantined: unreached === 'quarantine',
    references: foreignKeys.filter((key) => isAdopted(key) && !isDropped(key) && !key.columns.includes('org_id')),
    dropped: foreignKeys.filter((key) => isAdopted(key) && isDropped(key)),
    uniqueKeys: uniqueKeys
      .filter(({ columns }) => !columns.includes('org_id'))
      .filter((key) => !(decision?.global?.includes(key.name) ?? false)),
  }
}

const columnOf = ({ name, columns }: CatalogTable, column: string): CatalogColumn => {
  const found = columns.find((one) => one.name === column)
  if (found === undefined) throw new TypeError(`${name} has no column ${column}`)
  return found
}

function wayColumnsOf({ foreignKeys }: CatalogTable, decision: TableDecision | undefined): string[] {
  const person = personColumn(decision?.unreached)
  const columnsOf = (way: OneWay): readonly string[] => {
    if ('column' in way) return [way.column]
    if ('mapped' in way) return [way.mapped.column]
    if ('parent' in way) return foreignKeys.find(({ name }) => name === way.parent)?.columns ?? []
    if ('row' in way) return [way.row.column]
    return [way.polymorphic.type, way.polymorphic.id]
  }
  return [...new Set([...waysIn(decision?.way).flatMap(columnsOf), ...(person === undefined ? [] : [person])])]
}

function parentsOf(
  { foreignKeys }: CatalogTable,
  decision: TableDecision | undefined,
  owners: Owners,
  root: Root | undefined,
): AdoptedTable['parents'] {
  const byKey = (table: string) => ({ table, columns: owners.tableOf(table).primaryKey })
  return waysIn(decision?.way).flatMap((way) => {
    if ('parent' in way) return foreignKeys.flatMap(({ name, target }) => (name === way.parent ? [target] : []))
    if ('row' in way) return [byKey(way.row.of)]
    if ('mapped' in way) return root === undefined ? [] : [{ table: root.table, columns: [way.mapped.to] }]
    return 'polymorphic' in way ? Object.values(way.polymorphic.tables).map(byKey) : []
  })
}

const usualNames = ['name', 'title', 'display_name', 'displayName', 'full_name', 'label', 'email', 'username', 'slug']
const usualSlugs = ['slug', 'handle', 'username', 'subdomain']

type SourceOptions = Partial<Pick<OrganizationSource, 'name' | 'slug' | 'externalIds'>>

function optionsOf(organizations: Decisions['organizations']): SourceOptions {
  if (organizations === null || 'constant' in organizations) return {}
  const { name, slug, externalIds } = 'personal' in organizations ? organizations.personal : organizations
  return { name, slug, ...(externalIds !== undefined && { externalIds }) }
}

function sourcesOf(
  catalog: Catalog,
  owners: Owners,
  tenants: readonly CatalogTable[],
  { organizations, tables }: Decisions,
  root: Root | undefined,
): OrganizationSource[] {
  const given = optionsOf(organizations)
  const source = (table: CatalogTable, id: string, isRoot: boolean): OrganizationSource => {
    const first = (usual: readonly string[]) =>
      usual.find((name) => table.columns.some((column) => column.name === name))
    const { name = first(usualNames), slug = first(usualSlugs), externalIds = 'kept' } = isRoot ? given : {}
    for (const column of [name, slug]) if (column !== undefined) owners.assertColumn(table, column, 'organizations')
    const on = `${quoted(catalog.schema)}.${quoted(table.name)}`
    const isKept = isRoot && columnOf(table, id).type !== 'uuid'
    const prefix = rowKey(catalog.schema, table.name, id)
    return {
      table,
      on,
      prefix,
      id: columnOf(table, id),
      name,
      slug,
      isRoot,
      externalIds: isKept ? externalIds : isRoot ? 'none' : 'named',
    }
  }
  const people = tenants.flatMap((table) => {
    if (personColumn(tables[table.name]?.unreached) === undefined) return []
    const found = owners.peopleOf(table)
    return found.name === root?.table ? [] : [found]
  })
  return [
    ...(root === undefined ? [] : [source(owners.tableOf(root.table), root.id, true)]),
    ...[...new Set(people)].map((table) => source(table, table.primaryKey[0] ?? '', false)),
  ]
}

/** The name of an object of a table that adoption makes. */
export const nameFor = (table: string, what: string): string => fitted(`${table}_${what}`)
