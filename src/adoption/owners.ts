import pg from 'pg'
import { InvalidInputError } from '../core/errors.js'
import { quoted } from '../core/statements/column-plan.js'
import type { Catalog, CatalogTable } from './catalog.js'
import type { Decisions, Way } from './decisions.js'
import { rootOf } from './ways.js'

/** How a query over a table tells the organization of each row. */
export interface Owner {
  /** Joins that add no row and take none away. */
  readonly joins: string
  /** Null where the way does not reach an organization. Text, so that ids of two types can be compared. */
  readonly sql: string
  /** Whether the row names no parent at all. Another row without an organization names one that is not there. */
  readonly namesNothing: string
}

/** Writes the queries about one schema, as it is decided. */
export class Owners {
  private aliases = 0

  constructor(
    private readonly catalog: Catalog,
    private readonly decisions: Decisions,
  ) {}

  tableOf(name: string): CatalogTable {
    const table = this.catalog.tables.find((one) => one.name === name)
    if (table === undefined)
      throw new InvalidInputError('tables', `there is no table ${name} in ${this.catalog.schema}`)
    return table
  }

  from(name: string, alias: string): string {
    return `${quoted(this.catalog.schema)}.${quoted(name)} ${alias}`
  }

  /** Undefined where the rows of the table belong to no organization, or nobody has said to which. */
  ownerOf(table: CatalogTable, alias: string, seen: readonly string[] = []): Owner | undefined {
    const { organizations, tables } = this.decisions
    if (organizations === null) return undefined
    const root = rootOf(organizations)
    if (root?.table === table.name) {
      return { joins: '', sql: `${alias}.${quoted(root.id)}::text`, namesNothing: 'false' }
    }
    const decision = tables[table.name]
    if (decision?.kind !== 'tenant' || decision.way === undefined) return undefined
    if (seen.includes(table.name))
      throw new InvalidInputError(`tables.${table.name}.way`, `leads in a circle: ${[...seen, table.name].join(' → ')}`)
    return this.along(table, alias, decision.way, [...seen, table.name])
  }

  private along(table: CatalogTable, alias: string, way: Way, seen: readonly string[]): Owner | undefined {
    if (way === 'constant') return { joins: '', sql: `''`, namesNothing: 'false' }
    if ('column' in way) return this.byColumn(table, alias, way.column, undefined)
    if ('mapped' in way) return this.byColumn(table, alias, way.mapped.column, way.mapped.to)
    if ('parent' in way) return this.byParent(table, alias, way.parent, seen)
    return this.byWord(table, alias, way.polymorphic, seen)
  }

  private byColumn(table: CatalogTable, alias: string, column: string, to: string | undefined): Owner {
    const root = this.decisions.organizations && rootOf(this.decisions.organizations)
    if (root === null || root === undefined)
      throw new InvalidInputError(`tables.${table.name}.way`, 'names a column, and there is no table of organizations')
    this.assertColumn(table, column)
    const key = to ?? root.id
    this.assertUnique(this.tableOf(root.table), key)
    const organization = this.alias()
    const value = `${alias}.${quoted(column)}`
    return {
      joins: ` left join ${this.from(root.table, organization)} on ${organization}.${quoted(key)} = ${value}`,
      sql: `${organization}.${quoted(root.id)}::text`,
      namesNothing: `${value} is null`,
    }
  }

  private byParent(table: CatalogTable, alias: string, name: string, seen: readonly string[]): Owner | undefined {
    const key = table.foreignKeys.find((one) => one.name === name)
    if (key === undefined || key.target.schema !== this.catalog.schema)
      throw new InvalidInputError(
        `tables.${table.name}.way`,
        `${name} is no foreign key to a table of ${this.catalog.schema}`,
      )
    const parent = this.alias()
    const owner = this.ownerOf(this.tableOf(key.target.table), parent, seen)
    if (owner === undefined) return undefined
    const on = key.columns.map(
      (column, place) => `${parent}.${quoted(key.target.columns[place] ?? '')} = ${alias}.${quoted(column)}`,
    )
    return {
      joins: ` left join ${this.from(key.target.table, parent)} on ${on.join(' and ')}${owner.joins}`,
      sql: owner.sql,
      namesNothing: key.columns.map((column) => `${alias}.${quoted(column)} is null`).join(' or '),
    }
  }

  private byWord(
    table: CatalogTable,
    alias: string,
    { type, id, tables }: { type: string; id: string; tables: Readonly<Record<string, string>> },
    seen: readonly string[],
  ): Owner | undefined {
    this.assertColumn(table, type)
    this.assertColumn(table, id)
    const owners = Object.entries(tables).map(([word, name]) => {
      const target = this.tableOf(name)
      const [key, ...more] = target.primaryKey
      if (key === undefined || more.length > 0)
        throw new InvalidInputError(`tables.${table.name}.way`, `${name} has no primary key of one column`)
      const parent = this.alias()
      const owner = this.ownerOf(target, parent, seen)
      const on = `${alias}.${quoted(type)}::text = ${pg.escapeLiteral(word)} and ${parent}.${quoted(key)}::text = ${alias}.${quoted(id)}::text`
      return owner && { ...owner, joins: ` left join ${this.from(name, parent)} on ${on}${owner.joins}` }
    })
    if (owners.length === 0 || owners.includes(undefined)) return undefined
    return {
      joins: owners.map((owner) => owner?.joins).join(''),
      sql: `coalesce(${owners.map((owner) => owner?.sql).join(', ')})`,
      namesNothing: `${alias}.${quoted(type)} is null or ${alias}.${quoted(id)} is null`,
    }
  }

  private assertColumn({ name, columns }: CatalogTable, column: string): void {
    if (!columns.some((one) => one.name === column))
      throw new InvalidInputError(`tables.${name}.way`, `${name} has no column ${column}`)
  }

  /** A join to something else would count rows twice. */
  private assertUnique({ name, primaryKey, uniqueKeys }: CatalogTable, column: string): void {
    const keys = [primaryKey, ...uniqueKeys.filter(({ where }) => where === null).map((key) => key.columns)]
    if (!keys.some((key) => key.length === 1 && (key[0] === column || key[0] === quoted(column))))
      throw new InvalidInputError('organizations', `${name} has no unique key of ${column} alone`)
  }

  private alias(): string {
    this.aliases += 1
    return `a${this.aliases}`
  }
}
