import type { Reader } from './read-only.js'

/** What the definition of a table needs beside the catalog that the steps read. */
export interface TableDetails {
  readonly name: string
  readonly columns: readonly DetailedColumn[]
  readonly checks: readonly { readonly name: string; readonly predicate: string }[]
  /** Without the primary key, exclusion constraints and indexes that are not valid. */
  readonly indexes: readonly DetailedIndex[]
}

export interface DetailedColumn {
  readonly name: string
  /** The type of the elements, where it is an array. */
  readonly type: string
  /** 0 where it is no array. */
  readonly dimensions: number
  readonly isNullable: boolean
  readonly default: string | null
  readonly isStored: boolean
  readonly isVirtual: boolean
  readonly identity: Identity | null
  /** Whether the default comes from a sequence that is dropped with the column. */
  readonly isSerial: boolean
  readonly enum: { readonly schema: string; readonly name: string; readonly words: readonly string[] } | null
  /** What JavaScript gets of a type that Drizzle has no column for. */
  readonly value: 'number' | 'boolean' | 'string'
}

export interface Identity {
  readonly isAlways: boolean
  readonly start: string
  readonly increment: string
  readonly minimum: string
  readonly maximum: string
  readonly cache: string
  readonly isCycling: boolean
}

export interface DetailedIndex {
  readonly name: string
  readonly definition: string
  readonly isUnique: boolean
  readonly isConstraint: boolean
  /** `deferrable` and the like, or nothing. */
  readonly deferral: string
  readonly method: string
  readonly parts: readonly IndexPart[]
  readonly included: readonly string[]
  readonly where: string | null
}

export interface IndexPart {
  /** Null for an expression, and for a column in another collation than its own. */
  readonly column: string | null
  readonly text: string
  /** Null where it is the usual one of the type. */
  readonly operators: string | null
  readonly isDescending: boolean
  readonly isNullsFirst: boolean
}

/** Reads the catalog alone, and no row. Expects a session with the search path `pg_catalog`, which has every name told with its schema. */
export const readDetails = (session: Reader, schema: string): Promise<TableDetails[]> =>
  session.query<TableDetails>(findDetails, [schema])

const allOf = (row: string, from: string, order: string) =>
  `coalesce((select pg_catalog.jsonb_agg(${row} order by ${order}) from ${from}), '[]')`

const sequenceOf = (dependency: 'a' | 'i') =>
  `pg_catalog.pg_depend d join pg_catalog.pg_sequence s on s.seqrelid = d.objid
     where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid
       and d.refobjsubid = a.attnum and d.deptype = '${dependency}'`

const columns = allOf(
  `pg_catalog.jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(e.oid, a.atttypmod),
     'dimensions', case when e.oid = a.atttypid then 0 else greatest(a.attndims, 1) end, 'isNullable', not a.attnotnull,
     'default', pg_catalog.pg_get_expr(v.adbin, v.adrelid), 'isStored', a.attgenerated = 's', 'isVirtual', a.attgenerated = 'v',
     'identity', (select pg_catalog.jsonb_build_object('isAlways', a.attidentity = 'a', 'start', s.seqstart::text, 'increment', s.seqincrement::text,
       'minimum', s.seqmin::text, 'maximum', s.seqmax::text, 'cache', s.seqcache::text, 'isCycling', s.seqcycle) from ${sequenceOf('i')}),
     'isSerial', exists (select from ${sequenceOf('a')} and pg_catalog.pg_get_expr(v.adbin, v.adrelid)
       = pg_catalog.format('nextval(%L::regclass)', s.seqrelid::regclass)),
     'enum', case when e.typtype = 'e' then pg_catalog.jsonb_build_object('schema', en.nspname, 'name', e.typname, 'words',
       (select pg_catalog.jsonb_agg(w.enumlabel order by w.enumsortorder) from pg_catalog.pg_enum w where w.enumtypid = e.oid)) end,
     'value', (
       with recursive base(id, under) as (
         select e.oid, e.typbasetype union all select u.oid, u.typbasetype from base join pg_catalog.pg_type u on u.oid = base.under)
       select case when b.id::regtype in ('smallint', 'integer', 'real', 'double precision') then 'number'
         when b.id::regtype = 'boolean'::regtype then 'boolean' else 'string' end from base b where b.under = 0))`,
  `pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
   join pg_catalog.pg_type e on e.oid = case when t.typcategory = 'A' and t.typelem <> 0 then t.typelem else t.oid end
   join pg_catalog.pg_namespace en on en.oid = e.typnamespace
   left join pg_catalog.pg_attrdef v on v.adrelid = a.attrelid and v.adnum = a.attnum
   where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped`,
  'a.attnum',
)

const checks = allOf(
  `pg_catalog.jsonb_build_object('name', k.conname, 'predicate', pg_catalog.pg_get_expr(k.conbin, k.conrelid))`,
  `pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype = 'c'`,
  'k.conname',
)

const parts = `(
    select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'column', case when coll.oid is null then at.attname end,
      'text', pg_catalog.pg_get_indexdef(x.indexrelid, k.place::int, false) || coalesce(' collate ' || pg_catalog.quote_ident(coll.collname), ''),
      'operators', case when not oc.opcdefault then oc.opcname end, 'isDescending', o.bits & 1 <> 0, 'isNullsFirst', o.bits & 2 <> 0) order by k.place)
    from pg_catalog.unnest(x.indkey) with ordinality k(number, place)
    join pg_catalog.unnest(x.indclass) with ordinality cl(id, place) on cl.place = k.place
    join pg_catalog.pg_opclass oc on oc.oid = cl.id
    join pg_catalog.unnest(x.indoption) with ordinality o(bits, place) on o.place = k.place
    join pg_catalog.unnest(x.indcollation) with ordinality co(id, place) on co.place = k.place
    left join pg_catalog.pg_attribute at on at.attrelid = c.oid and at.attnum = k.number and k.number <> 0
    left join pg_catalog.pg_collation coll on coll.oid = co.id and co.id <> coalesce(at.attcollation, 100)
  )`

const indexes = allOf(
  `pg_catalog.jsonb_build_object('name', i.relname, 'definition', pg_catalog.pg_get_indexdef(i.oid), 'isUnique', x.indisunique,
     'isConstraint', u.oid is not null, 'deferral', case when u.condeferred then 'deferrable initially deferred' when u.condeferrable then 'deferrable'
       else '' end, 'method', m.amname, 'parts', ${parts}, 'included', coalesce((select pg_catalog.jsonb_agg(at.attname order by k.place)
       from pg_catalog.unnest(x.indkey) with ordinality k(number, place) join pg_catalog.pg_attribute at on at.attrelid = c.oid and at.attnum = k.number
       where k.place > x.indnkeyatts), '[]'), 'where', pg_catalog.pg_get_expr(x.indpred, x.indrelid))`,
  `pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid join pg_catalog.pg_am m on m.oid = i.relam
   left join pg_catalog.pg_constraint u on u.conindid = i.oid and u.contype = 'u' and u.conrelid = c.oid
   where x.indrelid = c.oid and not x.indisprimary and not x.indisexclusion and x.indisvalid`,
  'i.relname',
)

const findDetails = `
select c.relname as name, ${columns} as columns, ${checks} as checks, ${indexes} as indexes
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind in ('r', 'p') and c.relpersistence <> 't' and not c.relispartition
order by c.relname`
