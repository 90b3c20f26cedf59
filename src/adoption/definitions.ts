import type { Session } from '../database/session.js'
import { type Catalog, type CatalogReference, type CatalogTable, readCatalog } from './catalog.js'
import { bare, columnNote, columnText, type ColumnUse } from './column-text.js'
import { indexText } from './index-text.js'
import { accessOf, commentOf, Imports, moduleNames, propertiesOf, propertyOf, stringOf } from './module-names.js'
import { readOnly } from './read-only.js'
import { type DetailedColumn, readDetails, type TableDetails } from './table-details.js'

/** Which tables are defined, and what their indexes are without those that a step has yet to drop. */
export interface Defined {
  readonly schema: string
  /** The tables that have rows of organizations. */
  readonly tenants: readonly string[]
  /** The tables that everybody reads. */
  readonly shared: readonly string[]
  readonly droppedIndexes: readonly string[]
}

export interface DefinitionsModule {
  readonly text: string
  /** Sequences of the tables of organizations. The application has the right to use them, which no definition says. */
  readonly sequences: readonly string[]
}

/** A module of Drizzle's definitions of the tables, as they are in the database now. Changes nothing. */
export async function definitionsModule(
  session: Session,
  { schema, tenants, shared, droppedIndexes }: Defined,
): Promise<DefinitionsModule> {
  const reader = readOnly(session, 'pg_catalog')
  const catalog = await readCatalog(reader, schema)
  const details = new Map((await readDetails(reader, schema)).map((one) => [one.name, one]))
  const tables = inOrder(catalog, [...tenants, ...shared]).flatMap((table): DefinedTable[] => {
    const found = details.get(table.name)
    if (found === undefined) return []
    const indexes = found.indexes.filter(({ name }) => !droppedIndexes.includes(name))
    return [{ table, details: { ...found, indexes }, isTenant: tenants.includes(table.name) }]
  })
  const sequences = tables.flatMap(({ table, isTenant }) => (isTenant ? table.sequences : []))
  return { text: moduleOf(catalog, tables), sequences }
}

interface DefinedTable {
  readonly table: CatalogTable
  readonly details: TableDetails
  readonly isTenant: boolean
}

/** A table comes after those to which it refers, as far as they do not refer to it too. */
function inOrder({ tables, schema }: Catalog, names: readonly string[]): CatalogTable[] {
  const ordered = new Set<CatalogTable>()
  const seen = new Set<string>()
  const add = (table: CatalogTable) => {
    if (seen.has(table.name)) return
    seen.add(table.name)
    for (const { target } of table.foreignKeys) {
      const found = tables.find(({ name }) => target.schema === schema && name === target.table)
      if (found !== undefined && names.includes(found.name)) add(found)
    }
    ordered.add(table)
  }
  for (const table of tables) if (names.includes(table.name)) add(table)
  return [...ordered]
}

function moduleOf(catalog: Catalog, tables: readonly DefinedTable[]): string {
  const imports = new Imports()
  const enums = enumsOf(catalog, tables)
  const names = moduleNames(
    catalog,
    tables.map(({ table }) => table.name),
    exportedNames(enums),
  )
  const others = [...new Set(enums.map(({ schema }) => schema))].filter(
    (name) => !['public', catalog.schema].includes(name),
  )
  const schemaOf = (name: string) => (name === catalog.schema ? names.schema : names.enum(name))
  const body = [
    ...(names.schema === undefined
      ? []
      : [`export const ${names.schema} = ${imports.drizzle('pgSchema')}(${stringOf(catalog.schema)})`]),
    ...others.map((name) => `export const ${names.enum(name)} = ${imports.drizzle('pgSchema')}(${stringOf(name)})`),
    ...enums.map(({ schema, name, words }) => {
      const make = schema === 'public' ? imports.drizzle('pgEnum') : `${schemaOf(schema)}.enum`
      const all = words.map(stringOf).join(', ')
      return `export const ${names.enum(`${schema}.${name}`)} = ${make}(${stringOf(name)}, [${all}])`
    }),
    ...tables.map((table) => new TableText(catalog, table, tables, { imports, names }).text()),
  ]
  return `${[head(catalog.schema), imports.lines().join('\n'), ...body].join('\n\n')}\n`
}

const head = (schema: string) =>
  [
    `The tables of the schema ${schema}, as tenantry adopt definitions found them. From here on this file is yours: change a table here,`,
    'and let tenantry migrate new write the migration.',
  ]
    .map(commentOf)
    .join('\n')

type Enum = NonNullable<DetailedColumn['enum']>

function enumsOf({ schema }: Catalog, tables: readonly DefinedTable[]): Enum[] {
  const all = tables.flatMap(({ details }) => details.columns.flatMap((column) => column.enum ?? []))
  const own = (one: Enum) => (one.schema === schema ? '' : one.schema)
  const unique = new Map(all.map((one) => [`${own(one)}.${one.name}`, one]))
  return [...unique].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, found]) => found)
}

const exportedNames = (enums: readonly Enum[]) =>
  new Map([
    ...enums.map(({ schema, name }) => [`${schema}.${name}`, name] as const),
    ...enums.map(({ schema }) => [schema, `${schema}_schema`] as const),
  ])

/** Writes the definition of one table. */
class TableText {
  private readonly properties: ReadonlyMap<string, string>
  private readonly references: readonly CatalogReference[]
  private readonly owner: CatalogReference | undefined

  constructor(
    private readonly catalog: Catalog,
    private readonly own: DefinedTable,
    private readonly tables: readonly DefinedTable[],
    private readonly use: ColumnUse,
  ) {
    this.properties = propertiesOf(own.details.columns.map(({ name }) => name))
    this.owner = own.isTenant
      ? own.table.foreignKeys.find(
          ({ columns, target }) =>
            columns.join() === 'org_id' && target.schema === 'platform' && target.table === 'organizations',
        )
      : undefined
    this.references = own.table.foreignKeys.filter((key) => this.targetOf(key) !== undefined)
  }

  text(): string {
    const { imports, names } = this.use
    const { table, details, isTenant } = this.own
    const name = names.table(table.name)
    const make = names.schema === undefined ? imports.drizzle('pgTable') : `${names.schema}.table`
    const keys = this.keys()
    const isOwned = isTenant ? `kind: 'tenant'` : `kind: 'catalog'`
    const facts = [
      isOwned,
      'adopted: true',
      ...this.listed('loose', this.loose()),
      ...this.listed('systemKeys', this.systemKeys()),
    ]
    return [
      ...this.notes(),
      `export const ${name} = ${make}(`,
      `  ${stringOf(table.name)},`,
      '  {',
      ...details.columns.flatMap((column) => {
        const note = columnNote(column)
        return [
          ...(note === undefined ? [] : [`    // ${note}`]),
          `    ${propertyOf(this.properties.get(column.name) ?? '')}: ${columnText(column, this.use)},`,
        ]
      }),
      '  },',
      ...(keys.length === 0 ? [] : ['  (t) => [', ...keys.map((line) => `    ${line}`), '  ],']),
      ')',
      ...this.systemNotes(),
      `${imports.tenantry('declareTable')}(${name}, { ${facts.join(', ')} })`,
      `export interface ${names.row(table.name)} extends ${imports.type('tenantry/schema', 'Row')}<typeof ${name}> {}`,
    ].join('\n')
  }

  private targetOf({ target }: CatalogReference): DefinedTable | undefined {
    return target.schema === this.catalog.schema
      ? this.tables.find(({ table }) => table.name === target.table)
      : undefined
  }

  private listed(fact: string, names: readonly string[]): string[] {
    return names.length === 0 ? [] : [`${fact}: [${names.map(stringOf).join(', ')}]`]
  }

  /** Foreign keys to tables that the module does not have. */
  private leftOut(): CatalogReference[] {
    return this.own.table.foreignKeys.filter((key) => key !== this.owner && !this.references.includes(key))
  }

  /** The ids of rows that no foreign key of the module checks. */
  private loose(): string[] {
    if (!this.own.isTenant) return []
    const checked = new Set(this.references.flatMap(({ columns }) => columns))
    return this.own.table.columns
      .filter(({ name, type }) => type === 'uuid' && name.endsWith('_id') && name !== 'org_id' && !checked.has(name))
      .map(({ name }) => name)
  }

  /** Unique keys in which no organization is. */
  private systemKeys(): string[] {
    if (!this.own.isTenant) return []
    return this.own.details.indexes
      .filter(({ isUnique, parts }) => isUnique && !parts.some(({ column }) => column === 'org_id'))
      .map(({ name }) => name)
  }

  private systemNotes(): string[] {
    return this.systemKeys().length === 0
      ? []
      : [
          '// systemKeys are unique in the whole table: whoever meets a conflict there learns that some organization has the value.',
        ]
  }

  private notes(): string[] {
    const leftOut = this.leftOut()
    const indexes = this.own.details.indexes.filter((index) => indexText(index, (name) => name, this.use) === undefined)
    const exclusions = this.own.table.exclusions
    const referring = new Set(leftOut.flatMap(({ columns }) => columns))
    const unchecked = this.loose().filter((name) => !referring.has(name))
    return [
      ...(leftOut.length === 0
        ? []
        : [
            '// Foreign keys that the database has besides, to tables that are not here:',
            ...leftOut.map(referenceNote),
          ]),
      ...(unchecked.length === 0
        ? []
        : [commentOf(`Ids that no foreign key of the database checks: ${unchecked.join(', ')}`)]),
      ...(indexes.length === 0
        ? []
        : [
            '// Indexes that the database has besides, and Drizzle has no words for:',
            ...indexes.map(({ definition }) => note(definition)),
          ]),
      ...(exclusions.length === 0
        ? []
        : [commentOf(`Exclusion constraints that the database has besides: ${exclusions.join(', ')}`)]),
    ]
  }

  private keys(): string[] {
    const { imports } = this.use
    const { table, details } = this.own
    const column = (name: string) => this.column('t', name)
    const primary = table.primaryKey.map(column).join(', ')
    return [
      ...(table.primaryKeyName === null
        ? []
        : [`${imports.drizzle('primaryKey')}({ name: ${stringOf(table.primaryKeyName)}, columns: [${primary}] }),`]),
      ...this.references.flatMap((key) => this.referenceLines(key)),
      ...details.indexes.flatMap((index) => indexText(index, column, this.use) ?? []),
      ...details.checks.map(
        ({ name, predicate }) =>
          `${imports.drizzle('check')}(${stringOf(name)}, ${imports.tenantry('literal')}(${stringOf(bare(predicate))})),`,
      ),
      ...(this.own.isTenant ? this.ownerLines() : []),
    ]
  }

  private column(of: string, name: string, properties = this.properties): string {
    return accessOf(of, properties.get(name) ?? name)
  }

  private referenceLines(key: CatalogReference): string[] {
    const { imports } = this.use
    const { name, columns, target, onDelete, onUpdate, emptied, deferral, isFull } = key
    const actions = `${onDelete === 'no action' ? '' : `.onDelete('${onDelete}')`}${onUpdate === 'no action' ? '' : `.onUpdate('${onUpdate}')`}`
    const besides = [
      ...(emptied.length === 0 || emptied.length === columns.length
        ? []
        : [`on delete ${onDelete} (${emptied.join(', ')})`]),
      ...(deferral === '' ? [] : [deferral.trim()]),
      ...(isFull ? ['match full'] : []),
    ]
    return [
      ...(besides.length === 0 ? [] : [commentOf(`In the database: ${besides.join(', ')}.`)]),
      `${imports.drizzle('foreignKey')}({`,
      `  name: ${stringOf(name)},`,
      `  columns: [${columns.map((one) => this.column('t', one)).join(', ')}],`,
      `  foreignColumns: ${this.foreignColumns(target)},`,
      `})${actions},`,
    ]
  }

  private foreignColumns({ table: name, columns }: CatalogReference['target']): string {
    const { imports, names } = this.use
    const place = (table: string) => this.tables.findIndex((one) => one.table.name === table)
    const target = this.tables[place(name)]
    if (target === undefined || target === this.own)
      return `[${columns.map((one) => this.column('t', one)).join(', ')}]`
    const properties = propertiesOf(target.details.columns.map((one) => one.name))
    const list = `[${columns.map((one) => this.column(names.table(name), one, properties)).join(', ')}]`
    if (place(name) < place(this.own.table.name)) return list
    // Two tables that refer to each other: TypeScript cannot infer the one from the other.
    const types = columns.map(() => imports.type('drizzle-orm/pg-core', 'AnyPgColumn')).join(', ')
    return `((): [${types}] => ${list})()`
  }

  /** The foreign key to the organization, and the policies. */
  private ownerLines(): string[] {
    const { imports } = this.use
    const { name } = this.own.table
    const helper = `...${imports.tenantry('tenantTable')}(${stringOf(name)}, t)`
    if (this.owner === undefined || this.owner.name === `${name}_org_fkey`) return [`${helper},`]
    return [
      '// tenantTable would give the foreign key another name than it has.',
      `${imports.drizzle('foreignKey')}({ name: ${stringOf(this.owner.name)}, columns: [t.orgId], foreignColumns: [${imports.tenantry('organizations')}.id] }).onDelete(`,
      `  'cascade',`,
      '),',
      `${helper}.slice(1),`,
    ]
  }
}

const note = (text: string) => commentOf(`  ${text}`)

const referenceNote = ({ name, columns, target, onDelete, onUpdate }: CatalogReference): string =>
  note(
    `${name} (${columns.join(', ')}) to ${target.schema}.${target.table} (${target.columns.join(', ')})${onDelete === 'no action' ? '' : ` on delete ${onDelete}`}${onUpdate === 'no action' ? '' : ` on update ${onUpdate}`}`,
  )
