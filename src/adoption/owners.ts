import { InvalidInputError } from '../core/errors.js'
import { quoted } from '../core/statements/column-plan.js'
import type { Catalog, CatalogColumn, CatalogReference, CatalogTable } from './catalog.js'
import { type Decisions, type OneWay, personColumn, type Way, waysIn } from './decisions.js'
import { type Root, rootOf } from './ways.js'
import { literal } from './sql.js'

/** How a query over a table tells the organization of each row: by a text that is a key of `rowKey` or `constantKey`. */
export interface Owner {
  /** Joins that add no row and take none away. */
  readonly joins: string
  /** Null where the way does not reach an organization. */
  readonly sql: string
  /** Whether the row names no parent at all. */
  readonly namesNothing: string
  /** The id of the row of the organizations, where it is one in every case. */
  readonly id: string | undefined
}

/** The key of the organization of a row: the same table may become organizations by another column, or another one by the same ids. */
export const rowKey = (schema: string, table: string, column: string): string =>
  `adopt ${JSON.stringify([schema, table, column])} `
export const constantKey = (schema: string, slug: string): string => `adopt ${JSON.stringify([schema])} ${slug}`

/** Writes the queries about one schema, as it is decided. */
export class Owners {
  private readonly root: Root | undefined
  private aliases = 0

  /** `isExpanded` says whether the tables have `org_id`. Then several organizations may have a row with the same key. */
  constructor(
    private readonly catalog: Catalog,
    private readonly decisions: Decisions,
    private readonly isExpanded = false,
  ) {
    this.root = decisions.organizations === null ? undefined : rootOf(decisions.organizations)
  }

  tableOf(name: string): CatalogTable {
    const table = this.catalog.tables.find((one) => one.name === name)
    if (table === undefined)
      throw new InvalidInputError('tables', `there is no table ${name} in ${this.catalog.schema}`)
    return table
  }

  /** Undefined for a table of another schema, and for one that is not looked at, such as a partition. */
  targetOf({ target }: CatalogReference): CatalogTable | undefined {
    if (target.schema !== this.catalog.schema) return undefined
    return this.catalog.tables.find(({ name }) => name === target.table)
  }

  from(name: string, alias: string): string {
    return `${quoted(this.catalog.schema)}.${quoted(name)} ${alias}`
  }

  /** The same, with the resolution of rows that the way of the table does not reach. */
  resolvedOwnerOf(table: CatalogTable, alias: string, seen: readonly string[] = []): Owner | undefined {
    const owner = this.ownerOf(table, alias, seen)
    const resolution = this.decisions.tables[table.name]?.unreached
    if (owner === undefined || typeof resolution !== 'object') return owner
    if ('constant' in resolution)
      return {
        ...owner,
        sql: `coalesce(${owner.sql}, ${literal(constantKey(this.catalog.schema, resolution.constant))})`,
        id: undefined,
      }
    const people = this.peopleOf(table)
    const id = people.primaryKey[0] ?? ''
    const isRoot = people.name === this.root?.table && id === this.root.id
    const person = this.personOf(table, alias, people, id)
    return {
      ...owner,
      joins: `${owner.joins}${person.joins}`,
      sql: `coalesce(${owner.sql}, ${this.keyOf(people.name, id, person.id)})`,
      id: isRoot && owner.id !== undefined ? `coalesce(${owner.id}, ${person.id})` : undefined,
    }
  }

  /** The people by whom the rows of the table are resolved that its way does not reach. */
  peopleOf(table: CatalogTable): CatalogTable {
    const { unreached } = this.decisions.tables[table.name] ?? {}
    const column = personColumn(unreached) ?? ''
    const field = `tables.${table.name}.unreached`
    this.assertColumn(table, column, 'unreached')
    if (typeof unreached === 'object' && 'personal' in unreached && typeof unreached.personal === 'object') {
      const people = this.tableOf(unreached.personal.of)
      if (people.primaryKey.length === 1) return people
      throw new InvalidInputError(field, `${people.name} has no primary key of one column`)
    }
    const key = table.foreignKeys.find(({ columns: [only, ...more] }) => only === column && more.length === 0)
    const people = key && this.targetOf(key)
    if (people === undefined || people.primaryKey.join() !== key?.target.columns.join())
      throw new InvalidInputError(
        field,
        `${column} is no foreign key to the primary key of a table of people in ${this.catalog.schema}: write { "column": "${column}", "of": … } with their table`,
      )
    return people
  }

  /** The id of the person of a row, as text. Where no foreign key says that there is such a person, a join does. */
  private personOf(
    table: CatalogTable,
    alias: string,
    people: CatalogTable,
    id: string,
  ): Pick<Owner, 'joins'> & { id: string } {
    const { unreached } = this.decisions.tables[table.name] ?? {}
    const column = personColumn(unreached) ?? ''
    const value = `${alias}.${quoted(column)}`
    const isKept = typeof unreached === 'object' && 'personal' in unreached && typeof unreached.personal === 'string'
    if (isKept) return { joins: '', id: `${value}::text` }
    const person = this.alias()
    const key = `${person}.${quoted(id)}`
    const same = equal(key, columnIn(people, id), value, columnIn(table, column))
    return { joins: ` left join ${this.from(people.name, person)} on ${same}`, id: `${key}::text` }
  }

  /** Undefined where the rows of the table belong to no organization, or nobody has said to which. */
  ownerOf(table: CatalogTable, alias: string, seen: readonly string[] = []): Owner | undefined {
    if (this.root?.table === table.name) {
      const id = `${alias}.${quoted(this.root.id)}::text`
      return { joins: '', sql: this.keyOf(table.name, this.root.id, id), namesNothing: 'false', id }
    }
    const decision = this.decisions.tables[table.name]
    if (decision?.kind !== 'tenant' || decision.way === undefined) return undefined
    if (seen.includes(table.name))
      throw new InvalidInputError(`tables.${table.name}.way`, `leads in a circle: ${[...seen, table.name].join(' → ')}`)
    return this.along(table, alias, decision.way, [...seen, table.name])
  }

  /** Whether rows that the way of the table does not reach are put aside. */
  isPutAside({ name }: CatalogTable): boolean {
    const { kind, unreached } = this.decisions.tables[name] ?? {}
    return kind === 'tenant' && unreached === 'quarantine'
  }

  /** Whether the way of the table is a column that holds the id of the organization, and that stays as it is. */
  keepsColumn(table: CatalogTable): boolean {
    const way = this.decisions.tables[table.name]?.way
    const isColumn = typeof way === 'object' && 'column' in way && way.column === 'org_id'
    return isColumn && columnIn(table, 'org_id')?.type === 'uuid'
  }

  /** Whether the key is the way itself, so that no row of it can lead into another organization. */
  isWay(table: CatalogTable, { name, columns, target }: CatalogReference): boolean {
    // Of several ways the first one counts wherever it reaches an organization.
    const [way] = waysIn(this.decisions.tables[table.name]?.way)
    if (way === undefined) return false
    if ('parent' in way) return way.parent === name
    return 'column' in way && columns.length === 1 && columns[0] === way.column && target.table === this.root?.table
  }

  assertColumn({ name, columns }: CatalogTable, column: string, field: string): void {
    if (!columns.some((one) => one.name === column))
      throw new InvalidInputError(`tables.${name}.${field}`, `${name} has no column ${column}`)
  }

  assertKey({ name, foreignKeys }: CatalogTable, key: string, field: string): void {
    if (!foreignKeys.some((one) => one.name === key))
      throw new InvalidInputError(`tables.${name}.${field}`, `${name} has no foreign key ${key}`)
  }

  /** The same by another way than the one that is decided. */
  along(table: CatalogTable, alias: string, way: Way, seen: readonly string[] = [table.name]): Owner | undefined {
    if (way === 'constant') return this.byConstant(table)
    if ('either' in way) return this.byFirst(way.either.map((one) => this.byOne(table, alias, one, seen)))
    return this.byOne(table, alias, way, seen)
  }

  private byOne(table: CatalogTable, alias: string, way: OneWay, seen: readonly string[]): Owner | undefined {
    if ('column' in way) return this.byColumn(table, alias, way.column, undefined)
    if ('mapped' in way) return this.byColumn(table, alias, way.mapped.column, way.mapped.to)
    if ('parent' in way) return this.byParent(table, alias, way.parent, seen)
    if ('row' in way) return this.byRow(table, alias, { id: way.row.column, of: way.row.of }, seen)
    return this.byWord(table, alias, way.polymorphic, seen)
  }

  private byConstant({ name }: CatalogTable): Owner {
    if (this.root !== undefined)
      throw new InvalidInputError(`tables.${name}.way`, `is "constant", and the organizations are ${this.root.table}`)
    return { joins: '', sql: `''`, namesNothing: 'false', id: undefined }
  }

  private byColumn(table: CatalogTable, alias: string, column: string, to: string | undefined): Owner {
    const { root } = this
    if (root === undefined)
      throw new InvalidInputError(`tables.${table.name}.way`, 'names a column, and there is no table of organizations')
    this.assertColumn(table, column, 'way')
    const other = table.foreignKeys.find(
      (key) => key.columns.length === 1 && key.columns[0] === column && this.targetOf(key)?.name !== root.table,
    )
    if (other !== undefined && to === undefined)
      throw new InvalidInputError(
        `tables.${table.name}.way`,
        `${column} refers to ${other.target.table}, and the organizations are ${root.table}`,
      )
    const key = to ?? root.id
    assertUnique(this.tableOf(root.table), key)
    const organization = this.alias()
    const value = `${alias}.${quoted(column)}`
    const same = equal(
      `${organization}.${quoted(key)}`,
      columnIn(this.tableOf(root.table), key),
      value,
      columnIn(table, column),
    )
    return {
      joins: ` left join ${this.from(root.table, organization)} on ${same}`,
      sql: this.keyOf(root.table, root.id, `${organization}.${quoted(root.id)}::text`),
      namesNothing: `${value} is null`,
      id: `${organization}.${quoted(root.id)}::text`,
    }
  }

  private byParent(table: CatalogTable, alias: string, name: string, seen: readonly string[]): Owner | undefined {
    const key = table.foreignKeys.find((one) => one.name === name)
    const target = key && this.targetOf(key)
    if (key === undefined || target === undefined)
      throw new InvalidInputError(
        `tables.${table.name}.way`,
        `${name} is no foreign key to a table of ${this.catalog.schema}`,
      )
    const parent = this.alias()
    const owner = this.resolvedOwnerOf(target, parent, seen)
    if (owner === undefined) return undefined
    const same = (to: string) => matches(key, alias, to)
    const own = key.columns.includes('org_id') ? '' : this.preferOwn(target, alias, parent, same)
    return {
      joins: ` left join ${this.from(target.name, parent)} on ${same(parent)}${own}${owner.joins}`,
      sql: owner.sql,
      namesNothing: key.columns.map((column) => `${alias}.${quoted(column)} is null`).join(' or '),
      id: owner.id,
    }
  }

  private byWord(
    table: CatalogTable,
    alias: string,
    { type, id, tables }: { type: string; id: string; tables: Readonly<Record<string, string>> },
    seen: readonly string[],
  ): Owner | undefined {
    this.assertColumn(table, type, 'way')
    const owners = Object.entries(tables).map(([word, of]) =>
      this.byRow(table, alias, { id, of, when: `${alias}.${quoted(type)}::text = ${literal(word)} and ` }, seen),
    )
    const owner = this.byFirst(owners)
    return owner && { ...owner, namesNothing: `${alias}.${quoted(type)} is null or ${alias}.${quoted(id)} is null` }
  }

  /** By a column that holds the primary key of a row, which no foreign key says. */
  private byRow(
    table: CatalogTable,
    alias: string,
    { id, of, when = '' }: { id: string; of: string; when?: string },
    seen: readonly string[],
  ): Owner | undefined {
    this.assertColumn(table, id, 'way')
    const target = this.tableOf(of)
    const [key, ...more] = target.primaryKey
    if (key === undefined || more.length > 0)
      throw new InvalidInputError(`tables.${table.name}.way`, `${of} has no primary key of one column`)
    const parent = this.alias()
    const owner = this.resolvedOwnerOf(target, parent, seen)
    const value = `${alias}.${quoted(id)}`
    const same = (to: string) => equal(`${to}.${quoted(key)}`, columnIn(target, key), value, columnIn(table, id))
    return (
      owner && {
        ...owner,
        joins: ` left join ${this.from(of, parent)} on ${when}${same(parent)}${this.preferOwn(target, alias, parent, same)}${owner.joins}`,
        namesNothing: `${value} is null`,
      }
    )
  }

  /** Of rows with the same key the one of the row's own organization counts, and others only where it has none. */
  private preferOwn(target: CatalogTable, from: string, parent: string, same: (alias: string) => string): string {
    if (!this.isExpanded || target.name === this.root?.table) return ''
    const own = this.alias()
    return ` and (${from}.org_id is null or ${parent}.org_id = ${from}.org_id or not exists (select from ${this.from(target.name, own)} where ${same(own)} and ${own}.org_id = ${from}.org_id))`
  }

  /** Undefined where one of the ways leads to rows without an organization. */
  private byFirst(owners: readonly (Owner | undefined)[]): Owner | undefined {
    const known = owners.filter((owner) => owner !== undefined)
    if (known.length === 0 || known.length < owners.length) return undefined
    return {
      joins: known.map((owner) => owner.joins).join(''),
      sql: `coalesce(${known.map((owner) => owner.sql).join(', ')})`,
      namesNothing: known.map((owner) => `(${owner.namesNothing})`).join(' and '),
      id: known.every(({ id }) => id !== undefined) ? `coalesce(${known.map(({ id }) => id).join(', ')})` : undefined,
    }
  }

  private keyOf(table: string, column: string, id: string): string {
    return `${literal(rowKey(this.catalog.schema, table, column))} || ${id}`
  }

  private alias(): string {
    this.aliases += 1
    return `a${this.aliases}`
  }
}

/** Whether row `alias` has no organization. A column that was there before may hold the id of nobody. */
export const hasNobody = (alias: string, hadColumn: boolean): string =>
  hadColumn
    ? `(${alias}.org_id is null or not exists (select from platform.organizations o where o.id = ${alias}.org_id))`
    : `${alias}.org_id is null`

const columnIn = ({ columns }: CatalogTable, name: string) => columns.find((column) => column.name === name)

/** Types that are compared as they are, so that an index serves. */
const family = (type: string): string => {
  if (['smallint', 'integer', 'bigint'].includes(type)) return 'integer'
  return /^(?:text|character varying)/.test(type) ? 'text' : type
}

/**
 * Whether two columns hold the same. A text that names a number or a uuid is turned into one, so that an index of the other column serves;
 * one that is written in another way names none.
 */
function equal(
  left: string,
  leftColumn: Compared | undefined,
  right: string,
  rightColumn: Compared | undefined,
): string {
  const [one, other] = [family(leftColumn?.type ?? ''), family(rightColumn?.type ?? '')]
  if (one === other) return `${left} = ${collated(right, leftColumn, rightColumn)}`
  if (other === 'text' && one === 'integer') return `${left} = ${readAs(right, '^(0|-?[1-9][0-9]{0,17})$', 'bigint')}`
  if (other === 'text' && one === 'uuid')
    return `${left} = ${readAs(right, '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', 'uuid')}`
  return `${left}::text = ${collated(`${right}::text`, leftColumn, rightColumn)}`
}

type Compared = Pick<CatalogColumn, 'type' | 'collation'>

/** Where each side has a collation of its own, the index of the left one serves. */
function collated(right: string, left: Compared | undefined, { collation }: Partial<Compared> = {}): string {
  const other = left?.collation ?? null
  return other === null || other === collation ? right : `${right} collate ${other}`
}

const readAs = (value: string, pattern: string, type: string): string =>
  `case when ${value} operator(pg_catalog.~) ${literal(pattern)} then ${value}::text::${type} end`

/** What joins the rows of a table with those that they refer to. */
export const matches = (
  { columns, target, collations, operators }: CatalogReference,
  from: string,
  to: string,
): string =>
  columns
    .map((column, place) => {
      const collation = collations[place] ?? null
      const value = `${from}.${quoted(column)}${collation === null ? '' : ` collate ${collation}`}`
      return `${to}.${quoted(target.columns[place] ?? '')} ${operators[place] ?? '='} ${value}`
    })
    .join(' and ')

/** A join to something else would count rows twice. */
export function assertUnique({ name, primaryKey, uniqueKeys }: CatalogTable, column: string): void {
  const keys = [primaryKey, ...uniqueKeys.filter(({ where }) => where === null).map((key) => key.columns)]
  if (!keys.some((key) => key.length === 1 && (key[0] === column || key[0] === quoted(column))))
    throw new InvalidInputError('organizations', `${name} has no unique key of ${column} alone`)
}
