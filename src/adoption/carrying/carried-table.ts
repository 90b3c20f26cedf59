import { is, SQL } from 'drizzle-orm'
import { getTableConfig, type PgColumn, PgDialect } from 'drizzle-orm/pg-core'
import { quoted } from '../../core/statements/column-plan.js'
import { factsOf } from '../../schema/shared/kinds.js'
import { isSealed } from '../../schema/shared/ciphertext.js'
import type { Catalog, CatalogTable } from '../catalog.js'
import { literal } from '../sql.js'
import type { KnownTable } from './known-table.js'
import { knownTables } from './known-tables.js'

/** A table of an earlier platform with the SQL that carries its rows into one of ours. */
export interface CarriedTable {
  /** Names it where its progress is kept. */
  readonly name: string
  readonly from: CatalogTable
  /** The names in SQL of both tables. */
  readonly source: string
  readonly target: string
  /** The target without its quotes. */
  readonly to: string
  readonly key: { readonly name: string; readonly type: string }
  readonly isCatalog: boolean
  /** Whether a column of the target is the organization. */
  readonly hasOrganization: boolean
  /** The columns of the target, and the texts that give each its value. The sealed ones are not among them. */
  readonly columns: readonly { readonly name: string; readonly value: string }[]
  readonly sealed: readonly { readonly name: string; readonly from: string }[]
  readonly primaryKey: readonly string[]
  /** From the rows `s`, with what joins to them. */
  readonly rows: string
  readonly where: { readonly holds: string; readonly otherwise: string } | undefined
  /** Columns of the earlier table that have no place in ours. */
  readonly staying: readonly string[]
  /** The columns of the target to which nothing is carried, with the text of what they hold in a new row. */
  readonly others: readonly { readonly name: string; readonly value: string }[]
  /** Columns of ours that must have a value, and for which the earlier table has none. */
  readonly missing: readonly string[]
}

/** The known tables of a schema. */
export function carriedTables(catalog: Catalog): CarriedTable[] {
  const carried = knownTables.flatMap((known) => {
    const table = catalog.tables.find(({ name }) => name === known.from)
    return table === undefined ? [] : [carriedTable(catalog.schema, table, known)]
  })
  // A table may be carried into two of ours, and what one of them takes does not stay.
  return carried.map((one) => ({
    ...one,
    staying: one.staying.filter((column) =>
      carried.every(({ source, staying }) => source !== one.source || staying.includes(column)),
    ),
  }))
}

function carriedTable(schema: string, from: CatalogTable, known: KnownTable): CarriedTable {
  const { name: to, schema: ours = 'public', columns, primaryKeys } = getTableConfig(known.to)
  const inSchema = (text: string) => text.replaceAll('{schema}', quoted(schema))
  const has = (name: string) => from.columns.some((column) => column.name === name)
  /** The first text of which the table has all columns. */
  const usable = (texts: readonly string[]) => texts.find((text) => columnsIn(text).every(has))
  const sealed = Object.entries(known.sealed ?? {})
    .filter(([, column]) => has(column))
    .map(([name, from]) => ({ name, from }))
  const values = columns
    .filter((column) => !isSealed(column) && column.generated === undefined)
    .map((column) => {
      const given = known.values[column.name] ?? (has(column.name) ? `s.${quoted(column.name)}` : [])
      const value = usable(typeof given === 'string' ? [given] : given)
      return { column, value: value === undefined ? undefined : inSchema(value) }
    })
  const where = known.where && usable([known.where.holds]) !== undefined ? known.where : undefined
  const joins = inSchema(known.joins ?? '')
  const used = [...values.flatMap(({ value }) => (value === undefined ? [] : columnsIn(value))), ...columnsIn(joins)]
  const [key = 'id'] = from.primaryKey
  return {
    name: known.from === to ? to : `${known.from} to ${to}`,
    from,
    source: `${quoted(schema)}.${quoted(from.name)}`,
    target: `${quoted(ours)}.${quoted(to)}`,
    to,
    key: { name: key, type: from.columns.find(({ name }) => name === key)?.type ?? 'uuid' },
    isCatalog: factsOf(known.to)?.kind === 'catalog',
    hasOrganization: columns.some(({ name }) => name === 'org_id'),
    columns: values
      .filter(({ value }) => value !== undefined)
      .map(({ column, value = '' }) => ({ name: column.name, value: valueOf(column, value) })),
    sealed,
    others: [
      ...values
        .filter(({ value }) => value === undefined)
        .map(({ column }) => ({ name: column.name, value: newValueOf(column) })),
      ...columns
        .filter(({ generated }) => generated !== undefined)
        .map(({ name, generated }) => ({ name, value: is(generated?.as, SQL) ? sqlText(generated.as) : 'null' })),
    ],
    primaryKey: primaryKeys[0]?.columns.map(({ name }) => name) ?? ['id'],
    rows: `from ${quoted(schema)}.${quoted(from.name)} s ${joins}`,
    where: where && { ...where, holds: inSchema(where.holds) },
    staying: from.columns
      .map(({ name }) => name)
      .filter((name) => !used.includes(name) && !sealed.some((one) => one.from === name)),
    missing: values
      .filter(({ column, value }) => value === undefined && column.notNull && !column.hasDefault)
      .map(({ column }) => column.name),
  }
}

/** The columns of row `s` in a text. */
const columnsIn = (text: string): string[] =>
  [...text.matchAll(/\bs\.(?:"([^"]+)"|([a-z_][a-z0-9_]*))/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')

/** Where the earlier table has a null and ours may not, the default of ours. For a time that nobody recorded it is the beginning of time. */
function valueOf(column: PgColumn, text: string): string {
  const value = `(${text})::${column.getSQLType()}`
  if (!column.notNull || !column.hasDefault) return value
  return `coalesce(${value}, ${isInstant(column) ? `'epoch'::${column.getSQLType()}` : newValueOf(column)})`
}

function newValueOf(column: PgColumn): string {
  const given: unknown = column.default
  const value = given === undefined ? 'null' : is(given, SQL) ? sqlText(given) : asText(given)
  return `(${value})::${column.getSQLType()}`
}

const sqlText = (value: SQL): string => new PgDialect().sqlToQuery(value).sql

const isInstant = (column: PgColumn): boolean => column.getSQLType().startsWith('timestamp')

const asText = (value: unknown): string => literal(typeof value === 'string' ? value : JSON.stringify(value))

/** The rows of a table as those of ours: their earlier key as `key`, then the columns of ours. */
export const mapped = ({ key, columns, rows, where }: CarriedTable, only = 'true'): string =>
  `select s.${quoted(key.name)}::text as key, ${columns.map(({ name, value }) => `${value} as ${quoted(name)}`).join(', ')}
${rows} where ${only}${where === undefined ? '' : ` and ${where.holds}`}`
