import { is, SQL } from 'drizzle-orm'
import { getTableConfig, type PgColumn, PgDialect } from 'drizzle-orm/pg-core'
import { quoted } from '../../core/statements/column-plan.js'
import { factsOf } from '../../schema/shared/kinds.js'
import { isSealed } from '../../schema/shared/ciphertext.js'
import type { Catalog, CatalogTable } from '../catalog.js'
import { literal } from '../sql.js'
import { isLeft } from './carrying-home.js'
import type { Condition, KnownTable } from './known-table.js'
import { knownTables } from './known-tables.js'

interface CarriedColumn {
  readonly name: string
  readonly value: string
  readonly isText: boolean
}

/** A table of an earlier platform with the SQL that carries its rows into one of ours. */
export interface CarriedTable {
  /** Names it where its progress is kept. */
  readonly name: string
  readonly from: CatalogTable
  /** The names in SQL of both tables. */
  readonly source: string
  readonly target: string
  /** The target without its schema and its quotes. */
  readonly to: string
  readonly key: { readonly name: string; readonly type: string }
  readonly isCatalog: boolean
  /** Whether a column of the target is the organization. */
  readonly hasOrganization: boolean
  /** The columns of the target, and the texts that give each its value. The sealed ones are not among them. */
  readonly columns: readonly CarriedColumn[]
  /** The columns of the target to which nothing is carried, with the text of what they hold in a new row. */
  readonly unfilled: readonly { readonly name: string; readonly value: string }[]
  readonly sealed: readonly { readonly name: string; readonly from: string }[]
  /** The conflict target of the upsert. */
  readonly identity: readonly string[]
  /** SQL of our id, from the key of row `s` alone. Undefined for a table without ids. */
  readonly rowId: string | undefined
  /** What joins to the rows `s`. */
  readonly joins: string
  /** What has to hold of a row `s`, without the joins. */
  readonly conditions: readonly Condition[]
  readonly siblings: string | undefined
  /** Columns of the earlier table that have no place in ours. */
  readonly staying: readonly string[]
  /** Tables to which its rows have to be joined, and that the earlier platform lacks. */
  readonly lacking: readonly string[]
  /** Columns of ours that must have a value, and for which the earlier table has none. */
  readonly missing: readonly string[]
}

/** The known tables of a schema. */
export function carriedTables(catalog: Catalog): CarriedTable[] {
  const carried = knownTables.flatMap((known) => {
    const table = catalog.tables.find(({ name }) => name === known.from)
    return table === undefined ? [] : [carriedTable(catalog, table, known)]
  })
  // A table may be carried into two of ours: a column stays only if neither of them uses it.
  return carried.map((one, place) => ({
    ...one,
    name: carried.findIndex(({ name }) => name === one.name) === place ? one.name : `${one.name} again`,
    staying: one.staying.filter((column) =>
      carried.every(({ source, staying }) => source !== one.source || staying.includes(column)),
    ),
  }))
}

function carriedTable(catalog: Catalog, from: CatalogTable, known: KnownTable): CarriedTable {
  const { schema } = catalog
  const { name: to, schema: ours = 'public', columns, primaryKeys } = getTableConfig(known.to)
  const typeOf = (name: string) => from.columns.find((column) => column.name === name)?.type
  const has = (name: string) => typeOf(name) !== undefined
  const hasTable = (name: string) => catalog.tables.some((table) => table.name === name)
  const inSchema = (text: string) =>
    text
      .replaceAll('{schema}', () => quoted(schema))
      .replaceAll(/\{instant (s\.(\w+))\}/g, (_, value: string, column: string) => instantOf(value, typeOf(column)))
  /** The first text that uses only columns and tables which exist. */
  const usable = (texts: readonly string[]) =>
    texts.find((text) => columnsIn(text).every(has) && tablesIn(text).every(hasTable))
  const sealed = Object.entries(known.sealed ?? {})
    .filter(([, column]) => has(column))
    .map(([name, from]) => ({ name, from }))
  const values = columns
    .filter((column) => !isSealed(column) && column.generated === undefined)
    .map((column) => {
      const given = known.values[column.name] ?? (has(column.name) ? sameName(column) : [])
      const value = usable(typeof given === 'string' ? [given] : given)
      return { column, value: value === undefined ? undefined : inSchema(value) }
    })
  const joins = inSchema(known.joins ?? '')
  const conditions = (known.conditions ?? []).flatMap(({ holds, instead = [], ...rest }) => {
    const text = usable([holds, ...instead])
    return text === undefined ? [] : [{ ...rest, holds: inSchema(text) }]
  })
  const siblings = known.siblings?.find((text) => columnsOf(text).every(has))
  const used = [
    ...values.flatMap(({ value }) => (value === undefined ? [] : columnsIn(value))),
    ...columnsIn(joins),
    ...conditions.flatMap(({ holds }) => columnsIn(holds)),
    ...(siblings === undefined ? [] : columnsOf(siblings)),
  ]
  const [key = 'id'] = from.primaryKey
  const filled = values.flatMap(({ column, value }) => (value === undefined ? [] : [{ column, value }]))
  return {
    name: known.from === to ? to : `${known.from} to ${to}`,
    from,
    source: `${quoted(schema)}.${quoted(from.name)}`,
    target: `${quoted(ours)}.${quoted(to)}`,
    to,
    key: { name: key, type: typeOf(key) ?? 'uuid' },
    isCatalog: factsOf(known.to)?.kind === 'catalog',
    hasOrganization: columns.some(({ name }) => name === 'org_id'),
    columns: filled.map(({ column, value }) => ({
      name: column.name,
      value: valueOf(column, value),
      isText: /^(?:text|varchar|char)/.test(column.getSQLType()),
    })),
    sealed,
    unfilled: [
      ...values
        .filter(({ value }) => value === undefined)
        .map(({ column }) => ({ name: column.name, value: newValueOf(column) })),
      ...columns
        .filter(({ generated }) => generated !== undefined)
        .map(({ name, generated }) => ({ name, value: is(generated?.as, SQL) ? sqlText(generated.as) : 'null' })),
    ],
    identity: known.identity ?? primaryKeys[0]?.columns.map(({ name }) => name) ?? ['id'],
    rowId: filled.flatMap(({ column, value }) => (column.name === 'id' ? [valueOf(column, value)] : []))[0],
    joins,
    conditions: [
      ...conditions,
      ...filled.flatMap(({ column, value }) => {
        const holds = isWhole(column, value)
        // Values of joined rows are ids and addresses, which nothing cuts.
        return holds === undefined || columnsIn(value).length === 0
          ? []
          : [{ holds, otherwise: `have a ${column.name} that does not fit into ${column.getSQLType()}`, isFault: true }]
      }),
    ],
    siblings,
    staying: from.columns
      .map(({ name }) => name)
      .filter((name) => !used.includes(name) && !sealed.some((one) => one.from === name)),
    lacking: tablesIn(known.joins ?? '').filter((name) => !hasTable(name)),
    missing: values
      .filter(({ column, value }) => value === undefined && column.notNull && !column.hasDefault)
      .map(({ column }) => column.name),
  }
}

const sameName = (column: PgColumn): string =>
  isInstant(column) ? `{instant s.${column.name}}` : `s.${quoted(column.name)}`

/** Seconds since 1970 where the column is a number, or milliseconds where there are too many of them. */
const instantOf = (value: string, type: string | undefined): string =>
  /^(?:bigint|integer|numeric|double precision)/.test(type ?? '')
    ? `to_timestamp(case when ${value} > 100000000000 then ${value} / 1000.0 else ${value} end)`
    : `${value}::timestamptz`

/** The columns of row `s` in a text. */
const columnsIn = (text: string): string[] =>
  [...text.matchAll(/\bs\.(?:"([^"]+)"|([a-z_][a-z0-9_]*))/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')

const columnsOf = (siblings: string): string[] => [...siblings.matchAll(/\bo\.(\w+)/g)].map(([, name]) => name ?? '')

const tablesIn = (text: string): string[] => [...text.matchAll(/\{schema\}\.(\w+)/g)].map(([, name]) => name ?? '')

/** A null that our column refuses becomes its default; a null time becomes 1970-01-01. */
function valueOf(column: PgColumn, text: string): string {
  const type = column.getSQLType()
  const value = `${type.startsWith('numeric') ? exactly(text) : `(${text})`}::${type}`
  if (!column.notNull || !column.hasDefault) return value
  return `coalesce(${value}, ${isInstant(column) ? `'epoch'::${column.getSQLType()}` : newValueOf(column)})`
}

/** A cast would cut a longer text, and round a longer number, without a word. */
function isWhole(column: PgColumn, text: string): string | undefined {
  const type = column.getSQLType()
  const [, length] = /^char\((\d+)\)$/.exec(type) ?? []
  // Countries and currencies.
  if (length !== undefined) return `coalesce((${text})::text collate "C" ~ '^[A-Z]{${length}}$', true)`
  const exact = exactly(text)
  if (type.startsWith('numeric(')) return `${exact} is not distinct from ${exact}::${type}`
  if (/^(?:integer|smallint|bigint)$/.test(type)) return `${exact} is not distinct from pg_catalog.round(${exact})`
  return undefined
}

/** A number of binary digits loses some of them by a cast to numeric, and none by its text. */
const exactly = (text: string): string => `(${text})::text::numeric`

function newValueOf(column: PgColumn): string {
  const given: unknown = column.default
  const value = given === undefined ? 'null' : is(given, SQL) ? sqlText(given) : asText(given)
  return `(${value})::${column.getSQLType()}`
}

const sqlText = (value: SQL): string => new PgDialect().sqlToQuery(value).sql

const isInstant = (column: PgColumn): boolean => column.getSQLType().startsWith('timestamp')

const asText = (value: unknown): string => literal(typeof value === 'string' ? value : JSON.stringify(value))

/** That all conditions hold. One `and` for each, so that the planner can turn a subquery into a join. */
export const meets = ({ conditions }: CarriedTable): string =>
  conditions.length === 0 ? 'true' : conditions.map(({ holds }) => `(${holds})`).join(' and ')

/**
 * The rows of a table as those of ours: their earlier key as `key`, then the columns of ours. With a home, the rows
 * that are known to stay are left out before any cast: a value of theirs may have none.
 */
export const mapped = (table: CarriedTable, only = 'true', home?: string): string =>
  `select s.${quoted(table.key.name)}::text as key, ${table.columns.map(({ name, value }) => `${value} as ${quoted(name)}`).join(', ')}
from ${home === undefined ? table.source : placedRows(table, home)} s ${table.joins} where ${only} and ${meets(table)}`

// `offset 0` keeps the planner from reading a value first.
const placedRows = ({ name, source, key }: CarriedTable, home: string): string =>
  `(select s.* from ${source} s where not ${isLeft(home, name, `s.${quoted(key.name)}::text`)} offset 0)`

/** Of the keys in `$1`, the ids of ours. */
export const rowIds = ({ rowId, key }: CarriedTable): string =>
  `select ${rowId ?? 'null::uuid'} from pg_catalog.unnest($1::text[]::${key.type}[]) s(${quoted(key.name)})`

/** Why a row stays of which a joined row is missing. */
export const unjoined = 'belong to a row that is not there'

/** Why a row stays of which the id belongs to another row of ours. */
export const takenId = 'have the id of a row that tenantry has already'

export const repeatsAnother = 'repeat the values of another row in tenantry'

/** Why a row stays that a foreign key of ours refuses. */
export const refersToNone = (constraint: string): string => `${notCarried} (${constraint})`

const notCarried = 'refer to a row that is not carried'

/** The beginnings of the reasons that another row may remove. */
export const waitingReasons: readonly string[] = [unjoined, takenId, repeatsAnother, notCarried]

/** That row `s` is one of the keys in `$1`. */
export const isOneOf = ({ key }: CarriedTable): string => `s.${quoted(key.name)} = any ($1::text[]::${key.type}[])`

/** That row `t` of ours is the one of `m`. */
export const isSame = ({ identity, columns }: CarriedTable): string =>
  identity
    .map((name) => {
      const by = asIs(columns.find((column) => column.name === name))
      return `t.${quoted(name)}${by} = m.${quoted(name)}${by}`
    })
    .join(' and ')

/** Compares bytes: the collation of an earlier column may take different texts for equal. */
export const asIs = (column: CarriedColumn | undefined): string => (column?.isText === true ? ' collate "C"' : '')
