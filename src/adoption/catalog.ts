import { type CatalogMark, indexDefinition, marks } from './catalog-marks.js'
import { homeOf } from './home.js'
import type { Reader } from './read-only.js'
import { isEnforced } from './sql.js'

/** The schema that is to be adopted, as the catalog of the server tells it. A partition is told with its table. */
export interface Catalog {
  readonly schema: string
  readonly tables: readonly CatalogTable[]
  /** Functions of the schema that run with the rights of their owner, for whom row security may not apply. */
  readonly definerFunctions: readonly string[]
  /** The names of all its tables, indexes, views and sequences. */
  readonly relations: readonly string[]
  /** The roles of the application that may not use it yet. */
  readonly withoutUsage: readonly string[]
  /** Publications that send rows of all organizations to their subscribers. */
  readonly publications: readonly { readonly name: string; readonly tables: readonly string[] }[]
}

export interface CatalogTable {
  readonly name: string
  readonly form: 'table' | 'partitioned' | 'unlogged' | 'foreign' | 'inherited' | 'typed'
  /** With its indexes. */
  readonly bytes: number
  readonly columns: readonly CatalogColumn[]
  /** Empty where the table has none. */
  readonly primaryKey: readonly string[]
  readonly primaryKeyName: string | null
  /** As the server prints it, such as `PRIMARY KEY (id)`. */
  readonly primaryKeyDefinition: string | null
  /** The names of its constraints of every kind. */
  readonly constraints: readonly string[]
  readonly uniqueKeys: readonly CatalogKey[]
  readonly foreignKeys: readonly CatalogReference[]
  /** Foreign keys of every schema that lead to it. */
  readonly referrers: readonly CatalogReferrer[]
  readonly indexes: readonly CatalogIndex[]
  readonly marks: readonly CatalogMark[]
  readonly triggers: readonly CatalogTrigger[]
  /** Those that do something else, or something besides, where its rows are written. */
  readonly rules: readonly CatalogRule[]
  /** Views that read it with the rights of their owner, and materialized ones. */
  readonly views: readonly string[]
  /** Views and rules that group by its primary key: without the key they are invalid. */
  readonly viewsOnPrimaryKey: readonly string[]
  /** Functions with a BEGIN ATOMIC body, rules and policies that the server lets nobody drop a key under. */
  readonly keyUsers: readonly { readonly key: string; readonly name: string }[]
  readonly exclusions: readonly string[]
  /** Sequences of which its columns take their defaults. */
  readonly sequences: readonly string[]
  /** Roles other than the owner, and those of tenantry, that have rights on it. */
  readonly grantees: readonly string[]
  readonly policies: readonly CatalogPolicy[]
  readonly hasRowSecurity: boolean
  /** The index by which subscribers find its rows, where it is not that of the primary key. */
  readonly replicaIdentity: string | null
  /** Whether roles of the application have rights on it already. */
  readonly isGranted: boolean
  readonly isForced: boolean
  /** Whether a step of an adoption has given its rows their organization. */
  readonly isAdopted: boolean
}

export interface CatalogColumn {
  readonly name: string
  readonly type: string
  readonly isNullable: boolean
  readonly isGenerated: boolean
  /** Its name in SQL. Null where the type has none. */
  readonly collation: string | null
  /** Whether other texts count as the same. */
  readonly isLoose: boolean
  /**
   * Of a column of the primary key that is not compared by operators of `pg_catalog`: `<`, `<=`, `=`, `>=` and `>` of its index in SQL, with
   * their schema. Null otherwise.
   */
  readonly operators: readonly string[] | null
}

export interface CatalogKey {
  readonly name: string
  /** The statement that makes its index. */
  readonly definition: string
  readonly isConstraint: boolean
  /** `deferrable` and the like, as it follows the constraint, or nothing. */
  readonly deferral: string
  /** Its columns and expressions, as the server prints them. */
  readonly columns: readonly string[]
  readonly where: string | null
}

export interface CatalogReference {
  readonly name: string
  readonly columns: readonly string[]
  readonly target: { readonly schema: string; readonly table: string; readonly columns: readonly string[] }
  readonly onDelete: string
  readonly onUpdate: string
  /** Of each column the collation of its target, where it is another one: without it the server could not compare them. */
  readonly collations: readonly (string | null)[]
  /** Of each column the operator that finds the row of the target, in SQL. */
  readonly operators: readonly string[]
  /** As the server prints it, such as `FOREIGN KEY (task_id) REFERENCES public.tasks(id)`. */
  readonly definition: string
  /** The columns that `set null` or `set default` empties. Empty where it is all of them. */
  readonly emptied: readonly string[]
  readonly isFull: boolean
  /** Whether every row of now is known to keep it. */
  readonly isValidated: boolean
  /** Whether the server checks it at all. */
  readonly isEnforced: boolean
  /** Whether triggers of the server that check it are disabled. */
  readonly isDisabled: boolean
  readonly deferral: string
}

export interface CatalogReferrer {
  readonly name: string
  readonly schema: string
  readonly table: string
}

export interface CatalogIndex {
  readonly name: string
  /** The statement that makes it. */
  readonly definition: string
  /** Its columns, where it is a plain index that sorts them upwards, and has no predicate. */
  readonly plainColumns: readonly string[] | null
  readonly bytes: number
  /** Since the statistics were reset. */
  readonly scans: number
  /** The operators that are not leakproof: under row security they do not use the index. */
  readonly leaking: readonly string[]
}

export interface CatalogRule {
  readonly name: string
  readonly firesOnUpdate: boolean
  readonly firesOnInsert: boolean
  readonly firesOnDelete: boolean
  /** Whether it fires in sessions that silence others. */
  readonly isNeverSilent: boolean
}

export interface CatalogTrigger extends CatalogRule {
  readonly function: string
  /** Whether it may change a row before it is stored. */
  readonly isBeforeRow: boolean
}

/** Whether a trigger or a rule of the table has to stay silent while a step writes its rows. */
export const fires = (
  { triggers, rules }: Pick<CatalogTable, 'triggers' | 'rules'>,
  on: 'firesOnUpdate' | 'firesOnInsert' | 'firesOnDelete',
): boolean => [...triggers, ...rules].some((one) => one[on])

export interface CatalogPolicy {
  readonly name: string
  readonly isRestrictive: boolean
  /** The statement that makes it. */
  readonly definition: string
}

/** Reads the catalog alone, and no row. */
export async function readCatalog(session: Reader, schema: string): Promise<Catalog> {
  const tables = await session.query<CatalogTable>(findTables, [schema, homeOf(schema)])
  const functions = await session.query<{ name: string }>(findDefinerFunctions, [schema])
  const relations = await session.query<{ name: string }>(findRelations, [schema])
  const withoutUsage = await session.query<{ name: string }>(findWithoutUsage, [schema, [...applicationRoles]])
  const publications = await session.query<Catalog['publications'][number]>(findPublications, [schema])
  return {
    schema,
    tables,
    definerFunctions: functions.map(({ name }) => name),
    relations: relations.map(({ name }) => name),
    withoutUsage: withoutUsage.map(({ name }) => name),
    publications,
  }
}

/** The policies that tables have from `observe` and `enforce` on. */
export const isOurs = ({ name }: CatalogPolicy): boolean =>
  ['org_observed', 'org_isolation', 'system_access'].includes(name)

/** The application's logins are members of one of them. */
export const applicationRoles = ['tenantry_app', 'tenantry_system'] as const

const namesOf = (numbers: string) => `coalesce((
    select pg_catalog.jsonb_agg(a.attname order by k.place) from pg_catalog.unnest(${numbers}) with ordinality k(number, place)
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.number), '[]')`

const allOf = (row: string, from: string, order: string) =>
  `coalesce((select pg_catalog.jsonb_agg(${row} order by ${order}) from ${from}), '[]')`

/** A table or an index, with its partitions. */
const tree = (alias: string) =>
  `(select ${alias}.oid as relid union select p.relid::oid from pg_catalog.pg_partition_tree(${alias}.oid) p) part`

const collationOf = (attribute: string) =>
  `(select pg_catalog.format('%I.%I', ln.nspname, l.collname) from pg_catalog.pg_collation l join pg_catalog.pg_namespace ln on ln.oid = l.collnamespace
     where l.oid = ${attribute}.attcollation)`

/** An operator `p`, with its schema where that is another than `pg_catalog`. */
const operatorName = `(select case own.nspname when 'pg_catalog' then p.oprname::text else pg_catalog.format('operator(%I.%s)', own.nspname, p.oprname) end
     from pg_catalog.pg_namespace own where own.oid = p.oprnamespace)`

/** Those by which the index of the primary key is sorted, from `<` to `>`. */
const operators = `(
     select pg_catalog.jsonb_agg(${operatorName} order by o.amopstrategy)
     from pg_catalog.pg_index x
     join rows from (pg_catalog.unnest(x.indkey), pg_catalog.unnest(x.indclass)) k(number, class) on k.number = a.attnum
     join pg_catalog.pg_opclass oc on oc.oid = k.class
     join pg_catalog.pg_amop o on o.amopfamily = oc.opcfamily and o.amoplefttype = oc.opcintype and o.amoprighttype = oc.opcintype and o.amoppurpose = 's'
     join pg_catalog.pg_operator p on p.oid = o.amopopr
     where x.indrelid = c.oid and x.indisprimary
     having pg_catalog.bool_or(p.oprnamespace <> 'pg_catalog'::regnamespace))`

const columns = allOf(
  `pg_catalog.jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'isNullable', not a.attnotnull,
     'isGenerated', a.attgenerated <> '', 'collation', ${collationOf('a')}, 'operators', ${operators},
     'isLoose', exists (select from pg_catalog.pg_collation l where l.oid = a.attcollation and not l.collisdeterministic))`,
  `pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped`,
  'a.attnum',
)

const deferral = (constraint: string) =>
  `case when ${constraint}.condeferred then ' deferrable initially deferred' when ${constraint}.condeferrable then ' deferrable' else '' end`

const uniqueKeys = allOf(
  `pg_catalog.jsonb_build_object('name', i.relname, 'definition', ${indexDefinition},
     'isConstraint', u.oid is not null, 'deferral', ${deferral('u')},
     'columns', (select pg_catalog.jsonb_agg(pg_catalog.pg_get_indexdef(x.indexrelid, n, false) order by n)
       from pg_catalog.generate_series(1, x.indnkeyatts::int) n),
     'where', pg_catalog.pg_get_expr(x.indpred, x.indrelid))`,
  `pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
   left join pg_catalog.pg_constraint u on u.conindid = i.oid and u.contype = 'u'
   where x.indrelid = c.oid and x.indisunique and not x.indisprimary and not x.indisexclusion and x.indisvalid`,
  'i.relname',
)

const action = (code: string) =>
  `case ${code} when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default' when 'r' then 'restrict' else 'no action' end`

const foreignKeys = allOf(
  `pg_catalog.jsonb_build_object('name', f.conname, 'columns', ${namesOf('f.conkey')},
     'onDelete', ${action('f.confdeltype')}, 'onUpdate', ${action('f.confupdtype')}, 'emptied', ${namesOf('f.confdelsetcols')},
     'collations', (
       select pg_catalog.jsonb_agg(case when a.attcollation <> b.attcollation and b.attcollation <> 0 then ${collationOf('b')} end order by k.place)
       from rows from (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey)) with ordinality k(number, target, place)
       join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
       join pg_catalog.pg_attribute b on b.attrelid = t.oid and b.attnum = k.target),
     'operators', (select pg_catalog.jsonb_agg(${operatorName} order by k.place) from pg_catalog.unnest(f.conpfeqop) with ordinality k(id, place)
       join pg_catalog.pg_operator p on p.oid = k.id),
     'definition', pg_catalog.pg_get_constraintdef(f.oid), 'isFull', f.confmatchtype = 'f', 'isValidated', f.convalidated, 'isEnforced', ${isEnforced('f')},
     'isDisabled', exists (select from pg_catalog.pg_trigger g where g.tgconstraint = f.oid and g.tgenabled = 'D'), 'deferral', ${deferral('f')},
     'target', pg_catalog.jsonb_build_object('schema', tn.nspname, 'table', t.relname, 'columns', (
       select pg_catalog.jsonb_agg(a.attname order by k.place) from pg_catalog.unnest(f.confkey) with ordinality k(number, place)
       join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = k.number)))`,
  `pg_catalog.pg_constraint f join pg_catalog.pg_class t on t.oid = f.confrelid join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
   where f.conrelid = c.oid and f.contype = 'f' and f.conparentid = 0`,
  'f.conname',
)

const referrers = allOf(
  `pg_catalog.jsonb_build_object('name', f.conname, 'schema', n.nspname, 'table', r.relname)`,
  `pg_catalog.pg_constraint f join pg_catalog.pg_class r on r.oid = f.conrelid join pg_catalog.pg_namespace n on n.oid = r.relnamespace
   where f.confrelid = c.oid and f.contype = 'f' and f.conparentid = 0`,
  'f.conname',
)

/** Operators of the indexed types, and functions of indexed expressions. */
const leaking = `(
    select pg_catalog.jsonb_agg(distinct leak) from (
      select p.oprname || ' on ' || pg_catalog.format_type(o.amoplefttype, null) as leak
      from pg_catalog.unnest(x.indclass) class(oid)
      join pg_catalog.pg_opclass oc on oc.oid = class.oid
      join pg_catalog.pg_amop o on o.amopfamily = oc.opcfamily and o.amoplefttype = oc.opcintype and o.amoppurpose = 's'
      join pg_catalog.pg_operator p on p.oid = o.amopopr
      join pg_catalog.pg_proc f on f.oid = p.oprcode
      where not f.proleakproof and o.amoprighttype = oc.opcintype
      union all
      -- pg_depend has no entry for built-in functions.
      select p.proname || '()' from pg_catalog.regexp_matches(x.indexprs::text, ':(?:op)?funcid ([0-9]+)', 'g') called(id)
      join pg_catalog.pg_proc p on p.oid = called.id[1]::oid where not p.proleakproof
    ) found)`

const indexes = allOf(
  `pg_catalog.jsonb_build_object('name', i.relname, 'definition', ${indexDefinition},
     'plainColumns', case when x.indpred is null and x.indexprs is null and not x.indisunique and x.indnatts = x.indnkeyatts
         and m.amname = 'btree' and not exists (select from pg_catalog.unnest(x.indoption) o(bits) where o.bits <> 0)
         and not exists (select from pg_catalog.unnest(x.indclass) k(class) join pg_catalog.pg_opclass p on p.oid = k.class where not p.opcdefault)
       then (select pg_catalog.jsonb_agg(a.attname order by k.place) from pg_catalog.unnest(x.indkey) with ordinality k(number, place)
         join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.number) end,
     'bytes', (select pg_catalog.sum(pg_catalog.pg_relation_size(part.relid))::float8 from ${tree('i')}),
     'scans', (select coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_numscans(part.relid)), 0)::float8 from ${tree('i')}), 'leaking', coalesce(${leaking}, '[]'))`,
  `pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid join pg_catalog.pg_am m on m.oid = i.relam
   where x.indrelid = c.oid`,
  'i.relname',
)

/** Bits of the type of a trigger: 1 is ROW, 2 BEFORE, 4 INSERT, 8 DELETE, 16 UPDATE. */
const triggers = allOf(
  `pg_catalog.jsonb_build_object('name', t.tgname, 'function', t.tgfoid::regproc::text, 'firesOnInsert', t.tgtype & 4 <> 0,
     'firesOnDelete', t.tgtype & 8 <> 0, 'firesOnUpdate', t.tgtype & 16 <> 0, 'isBeforeRow', t.tgtype & 3 = 3,
     'isNeverSilent', t.tgenabled in ('A', 'R'))`,
  // Those of an adoption that has begun are not somebody's.
  `pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal and t.tgname not like 'zz\\_tenantry\\_%'`,
  't.tgname',
)

const rules = allOf(
  `pg_catalog.jsonb_build_object('name', r.rulename, 'firesOnUpdate', r.ev_type = '2', 'firesOnInsert', r.ev_type = '3', 'firesOnDelete', r.ev_type = '4',
     'isNeverSilent', r.ev_enabled in ('A', 'R'))`,
  `pg_catalog.pg_rewrite r where r.ev_class = c.oid and r.ev_type <> '1' and r.ev_enabled <> 'D'`,
  'r.rulename',
)

const views = allOf(
  `v.name`,
  `(select distinct w.oid::regclass::text as name from pg_catalog.pg_depend d join pg_catalog.pg_rewrite r on r.oid = d.objid
     join pg_catalog.pg_class w on w.oid = r.ev_class
     where d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
       and d.refobjid = c.oid and w.relkind in ('v', 'm')
       and not coalesce(w.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false)) v`,
  'v.name',
)

const constraints = allOf('k.conname', 'pg_catalog.pg_constraint k where k.conrelid = c.oid', 'k.conname')

const exclusions = allOf(
  'k.conname',
  `pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype = 'x'`,
  'k.conname',
)

/** Those that its columns own, or take values of. Those of identity columns need no rights of their own. */
const sequences = allOf(
  `q.name`,
  `(select s.oid::regclass::text as name from pg_catalog.pg_depend d join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
     where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid
       and d.deptype = 'a'
     union
     select s.oid::regclass::text from pg_catalog.pg_attrdef v
     join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = v.oid and d.refclassid = 'pg_catalog.pg_class'::regclass
     join pg_catalog.pg_class s on s.oid = d.refobjid and s.relkind = 'S' where v.adrelid = c.oid) q`,
  'q.name',
)

const grantees = allOf(
  'g.name',
  `(select distinct case when a.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee)::text end as name
     from pg_catalog.aclexplode(c.relacl) a where a.grantee <> c.relowner) g where g.name not in ('tenantry_app', 'tenantry_system')`,
  'g.name',
)

/** A view that groups by the primary key depends on the constraint. */
const viewsOnPrimaryKey = allOf(
  'v.name',
  `(select distinct r.ev_class::regclass::text as name from pg_catalog.pg_depend d join pg_catalog.pg_rewrite r on r.oid = d.objid
     join pg_catalog.pg_constraint k on k.oid = d.refobjid and k.conrelid = c.oid and k.contype = 'p'
     where d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refclassid = 'pg_catalog.pg_constraint'::regclass) v`,
  'v.name',
)

/** Views that group by the primary key are told for themselves. */
const keyUsers = allOf(
  `pg_catalog.jsonb_build_object('key', u.key, 'name', u.name)`,
  `(select distinct k.conname as key, pg_catalog.pg_describe_object(d.classid, d.objid, 0) as name
     from pg_catalog.pg_depend d join pg_catalog.pg_constraint k on k.oid = d.refobjid and k.conrelid = c.oid and k.contype in ('p', 'u')
     where d.refclassid = 'pg_catalog.pg_constraint'::regclass and (d.classid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_policy'::regclass)
       or d.classid = 'pg_catalog.pg_rewrite'::regclass and k.contype = 'u')) u`,
  'u.key, u.name',
)

const policies = allOf(
  `pg_catalog.jsonb_build_object('name', p.polname, 'isRestrictive', not p.polpermissive, 'definition',
     pg_catalog.format('create policy %I on %s as %s for %s to %s', p.polname, c.oid::regclass,
       case when p.polpermissive then 'permissive' else 'restrictive' end,
       case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
       (select pg_catalog.string_agg(case when r.id = 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(r.id)) end, ', ')
         from pg_catalog.unnest(p.polroles) r(id)))
     || coalesce(' using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', '')
     || coalesce(' with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''))`,
  'pg_catalog.pg_policy p where p.polrelid = c.oid',
  'p.polname',
)

const findTables = `
select c.relname as name,
  case when c.relkind = 'f' then 'foreign' when c.relpersistence = 'u' then 'unlogged' when c.relkind = 'p' then 'partitioned'
    when exists (select from pg_catalog.pg_inherits h where h.inhrelid = c.oid or h.inhparent = c.oid) then 'inherited'
    when c.reloftype <> 0 then 'typed' else 'table' end as form,
  (select pg_catalog.sum(pg_catalog.pg_total_relation_size(part.relid))::float8 from ${tree('c')}) as bytes,
  ${columns} as columns,
  coalesce((select ${namesOf('k.conkey')} from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype = 'p'), '[]') as "primaryKey",
  (select k.conname from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype = 'p') as "primaryKeyName",
  ${uniqueKeys} as "uniqueKeys", ${foreignKeys} as "foreignKeys", ${referrers} as referrers, ${indexes} as indexes, ${marks} as marks, ${triggers} as triggers, ${rules} as rules, ${keyUsers} as "keyUsers", ${views} as views,
  ${viewsOnPrimaryKey} as "viewsOnPrimaryKey", ${exclusions} as exclusions, ${sequences} as sequences,
  ${grantees} as grantees, ${policies} as policies,
  (select pg_catalog.pg_get_constraintdef(k.oid) from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype = 'p') as "primaryKeyDefinition",
  ${constraints} as constraints,
  (select i.relname from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
    where x.indrelid = c.oid and x.indisreplident and c.relreplident = 'i') as "replicaIdentity",
  exists (select from pg_catalog.aclexplode(c.relacl) a join pg_catalog.pg_roles r on r.oid = a.grantee
    where r.rolname in ('tenantry_app', 'tenantry_system'))
  or exists (select from pg_catalog.pg_attribute a cross join pg_catalog.aclexplode(a.attacl) g join pg_catalog.pg_roles r on r.oid = g.grantee
    where a.attrelid = c.oid and not a.attisdropped and r.rolname in ('tenantry_app', 'tenantry_system')) as "isGranted",
  c.relrowsecurity as "hasRowSecurity", c.relforcerowsecurity as "isForced",
  exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped and (
    exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and t.tgname = 'zz_tenantry_org_id')
    -- From the step prove on.
    or exists (select from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype = 'f' and k.conkey = array[a.attnum]
      and k.confrelid = (
        select o.oid from pg_catalog.pg_class o join pg_catalog.pg_namespace p on p.oid = o.relnamespace
        where p.nspname = 'platform' and o.relname = 'organizations'))
    -- Where everything belongs to one organization.
    or a.attnotnull and a.atthasdef and exists (select from pg_catalog.pg_namespace h where h.nspname = $2))) as "isAdopted"
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and not c.relispartition
  -- What an extension made is not somebody's.
  and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by c.relname`

const findDefinerFunctions = `
select p.oid::regprocedure::text as name from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname = $1 and p.prosecdef
  and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
order by name`

const findPublications = `
select t.pubname as name, pg_catalog.jsonb_agg(t.tablename order by t.tablename) as tables
from pg_catalog.pg_publication_tables t where t.schemaname = $1 group by t.pubname order by t.pubname`

const findRelations = `
select c.relname as name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 order by 1`

const findWithoutUsage = `
select r.rolname as name from pg_catalog.pg_roles r, pg_catalog.pg_namespace n
where n.nspname = $1 and r.rolname = any ($2::text[]) and not pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage') order by 1`
