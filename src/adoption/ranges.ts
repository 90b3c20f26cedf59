import { quoted } from '../core/statements/column-plan.js'
import type { BeforeRange } from './before.js'
import type { Reader } from './read-only.js'
import { qualified, type QualifiedTable } from './snapshot.js'

/** The rows that are proved: those of a table, and those that were moved from it. */
export interface Source {
  /** The table itself comes first. */
  readonly tables: readonly [QualifiedTable, ...QualifiedTable[]]
  /** Those of the primary key before the adoption. */
  readonly key: readonly string[]
  readonly columns: readonly string[]
}

type Ends = Pick<BeforeRange, 'first' | 'last'>

interface HashedRows {
  readonly rows: number
  readonly hash: string
}

/** What rows hold now, by the ranges that were found before. */
export interface HashedRanges {
  /** Undefined for a range of which no row is left. */
  readonly ranges: readonly (HashedRows | undefined)[]
  /** Rows below the first range and above the last one. */
  readonly newRows: number
}

interface KeyColumn {
  readonly name: string
  readonly type: string
  readonly collation: string | null
  readonly isArray: boolean
}

/** Divides the rows in the order of the primary key: it is that of `order by`, by the default operators of the types. */
export async function findRanges(reader: Reader, source: Source, rowsPerRange: number): Promise<Ends[]> {
  const columns = source.key.map((name) => `t.${quoted(name)}`)
  const found = await reader.query<{ key: string[]; starts: boolean; ends: boolean }>(
    `select ${keyText('r', source)} as key, (r.place - 1) % $1 = 0 as starts, r.place % $1 = 0 or r.is_last as ends
     from (
       select ${columns.map((column, place) => `${column} as k${place}`).join(', ')},
         pg_catalog.row_number() over w as place, pg_catalog.lead(true) over w is null as is_last
       from ${rowsOf(source)} t window w as (order by ${columns.join(', ')})
     ) r
     where (r.place - 1) % $1 = 0 or r.place % $1 = 0 or r.is_last order by r.place`,
    [rowsPerRange],
  )
  const firsts = found.filter(({ starts }) => starts)
  const lasts = found.filter(({ ends }) => ends)
  return firsts.map(({ key }, place) => ({ first: key, last: lasts[place]?.key ?? key }))
}

/** A row took 86 µs with 20,000 keys in one array, and 9 µs with 10,000 in parts of this many. */
const keysPerPart = 100

/**
 * Hashes the rows of each range: the sum of two hashes of 64 bits of each row, so that the order in which rows are read does not matter. A
 * range reaches to the first key of the next one.
 */
export async function hashRanges(reader: Reader, source: Source, ranges: readonly Ends[]): Promise<HashedRanges> {
  const key = await keyOf(reader, source)
  const last = ranges.at(-1)?.last ?? []
  const bounds = [...ranges.map(({ first }) => first), ...(ranges.length === 0 ? [] : [last])]
  const found = await reader.query<HashedRows & { range: number | null }>(hashOf(source, key, bounds.length), [
    JSON.stringify(bounds.map((values, n) => ({ n, ...Object.fromEntries(values.map((text, k) => [`k${k}`, text])) }))),
    JSON.stringify(last),
  ])
  const byRange = new Map(found.map(({ range, rows, hash }) => [range, { rows, hash }]))
  return { ranges: ranges.map((_, place) => byRange.get(place)), newRows: byRange.get(null)?.rows ?? 0 }
}

/**
 * `width_bucket` compares by the default operators of the type too, in the collation of the column. In an array it walks over keys of
 * varying length one by one, so the first keys of the parts are searched before the part.
 */
function hashOf(source: Source, key: readonly KeyColumn[], bounds: number): string {
  const columns = source.columns.map((name) => `t.${quoted(name)}`).join(', ')
  const own = keyValue(
    key,
    key.map(({ name }) => `t.${quoted(name)}`),
  )
  const bound = keyValue(
    key,
    key.map((_, place) => `b.k${place}`),
  )
  const types = key.map(({ type, collation }, place) => `k${place} ${type}${collation ? ` collate ${collation}` : ''}`)
  return `
with bounds as (
  select b.n, ${bound} as key from pg_catalog.json_to_recordset($1::text::json) as b(n int, ${types.join(', ')})
), parts as (
  select b.n / ${keysPerPart} as part, pg_catalog.array_agg(b.key order by b.n) as keys from bounds b group by 1
)
select h.range, pg_catalog.count(*)::float8 as rows, pg_catalog.sum(h.one)::text || ' ' || pg_catalog.sum(h.two)::text as hash
from (
  select pg_catalog.hashtextextended(s.content collate "C", 1) as one, pg_catalog.hashtextextended(s.content collate "C", 2) as two,
    case
      when s.place < ${bounds} then s.place - 1
      -- The last key, or one above it.
      when s.place = ${bounds} and ${keyText('s', source)} = $2::text::jsonb then ${bounds - 2}
    end as range
  from (
    select p.part * ${keysPerPart} + pg_catalog.width_bucket(${own}, p.keys) as place,
      -- The text of a row tells null from an empty text, and quotes what separates values.
      row(${columns})::text as content,
      ${key.map(({ name }, place) => `t.${quoted(name)} as k${place}`).join(', ')}
    from ${rowsOf(source)} t left join parts p on p.part = pg_catalog.width_bucket(${own}, (
      select pg_catalog.array_agg(b.key order by b.n) from bounds b where b.n % ${keysPerPart} = 0)) - 1
    -- Without it the text would be made twice.
    offset 0
  ) s
  -- Without it as many groups as keys would be expected, and the rows be sorted.
  offset 0
) h group by h.range`
}

/** An array of arrays has no elements to compare, and the key of several columns is compared as a row. */
const keyValue = (key: readonly KeyColumn[], columns: readonly string[]) =>
  key.length === 1 && key[0]?.isArray === false ? columns.join('') : `row(${columns.join(', ')})`

/** By the output functions of the types: a cast to text may be somebody's function. */
const keyText = (alias: string, { key }: Source) =>
  `pg_catalog.jsonb_build_array(${key.map((_, place) => `pg_catalog.format('%s', ${alias}.k${place})`).join(', ')})`

function rowsOf({ tables: [table, ...moved], columns }: Source): string {
  const names = columns.map(quoted).join(', ')
  const each = [table, ...moved].map((one) => `select ${names} from ${only(one)}`)
  return moved.length === 0 ? only(table) : `(${each.join(' union all ')})`
}

/** A table that inherits has rows of its own, which are proved there. */
const only = (table: QualifiedTable) => `${table.form === 'partitioned' ? '' : 'only '}${qualified(table)}`

async function keyOf(reader: Reader, { tables: [{ schema, name }], key }: Source): Promise<KeyColumn[]> {
  const columns = await reader.query<KeyColumn>(
    `select a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type, t.typcategory = 'A' as "isArray", (
       select pg_catalog.quote_ident(ln.nspname) || '.' || pg_catalog.quote_ident(l.collname)
       from pg_catalog.pg_collation l join pg_catalog.pg_namespace ln on ln.oid = l.collnamespace where l.oid = a.attcollation) as collation
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     join pg_catalog.pg_type t on t.oid = a.atttypid
     where n.nspname = $1 and c.relname = $2`,
    [schema, name],
  )
  return key.flatMap((one) => columns.find((column) => column.name === one) ?? [])
}
