import { inventory } from './inventory.js'
import type { FunctionManifest, Privilege, TableManifest } from './manifest.js'

/** The tables and functions that a database must have, and the migrations that create them. */
export interface Declarations {
  readonly tables: readonly DeclaredTable[]
  readonly functions: readonly FunctionManifest[]
  readonly migrations: readonly AppliedMigrations[]
  /** The host's permissions, which the catalog must have. */
  readonly permissions?: readonly string[]
}

/** A table as the proof expects it: the part of its declaration that the server compares with its catalogs. */
export interface DeclaredTable extends Omit<TableManifest, 'appendOnly' | 'foreignKeys' | 'grants' | 'placement'> {
  /** Undefined where this build does not know it. */
  readonly placement?: TableManifest['placement']
  /** Those that must be there, in the form of the manifest. */
  readonly foreignKeys?: readonly string[]
  readonly grants: Partial<TableManifest['grants']>
  /** Rights that a newer build has recorded: they are allowed, but not required. */
  readonly also?: Readonly<Record<string, readonly RecordedRight[]>>
  /**
   * Undefined for a table that this build declares. `newer`: only a newer build declares it. `record`: the table of that record.
   */
  readonly origin?: 'newer' | 'record'
}

/** A right in the record of a newer build, which may know more privileges. */
export interface RecordedRight {
  readonly privilege: string
  readonly column?: string
}

/** A function that the proof expects in the database. Its definition must have one of the digests. */
export interface ExpectedFunction {
  readonly signature: string
  readonly digests: readonly string[]
  readonly executableBy: readonly string[]
  /** Its form is that of resultOf. Undefined where only a newer build declares the function. */
  readonly result?: string
  readonly restore: string
  /** Only a newer build declares it. */
  readonly origin?: 'newer'
}

/** The bookkeeping table of applied migrations, and the migrations that this build knows. */
export interface AppliedMigrations {
  readonly schema: string
  readonly table: string
  readonly known: readonly { readonly name: string; readonly when: number; readonly hash: string }[]
}

/** The declared tables, the bookkeeping tables and the inventory, with the columns that a proof reads. */
export const declaredTables = ({ tables, migrations }: Declarations): DeclaredTable[] => [
  ...tables,
  ...migrations.map(({ schema, table }): DeclaredTable => ({
    schema,
    name: table,
    kind: 'global',
    columns: ['id', 'hash', 'created_at'],
    rowSecurity: false,
    partitioned: false,
    policies: [],
    grants: { tenantry_app: readApplied, tenantry_system: readApplied },
  })),
  {
    ...inventory,
    kind: 'global',
    columns: [],
    rowSecurity: false,
    partitioned: false,
    policies: [],
    grants: { tenantry_app: [{ privilege: 'select' }], tenantry_system: [{ privilege: 'select' }] },
    origin: 'record',
  },
]

const readApplied: readonly Privilege[] = [
  { privilege: 'select', column: 'created_at' },
  { privilege: 'select', column: 'hash' },
]

/** Finds what to_regprocedure would find, which fails where the session may not use the schema. */
export const functionNamed = (signature: string) => `(
  select p.oid from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname = pg_catalog.split_part(${signature}, '.', 1)
    and p.proname = pg_catalog.split_part(pg_catalog.split_part(${signature}, '.', 2), '(', 1)
    and ${typesAsText('pg_catalog.oidvectortypes(p.proargtypes)')} =
      ${typesAsText(`pg_catalog.rtrim(pg_catalog.split_part(${signature}, '(', 2), ')')`)}
)`

/** Without spaces, and without the quotes that the server prints around every name while quote_all_identifiers is on. */
const typesAsText = (types: string) => `pg_catalog.replace(pg_catalog.replace(${types}, ', ', ','),
      case pg_catalog.current_setting('quote_all_identifiers') when 'on' then '"' else '' end, '')`

/** The parameter of `declared`. Short, because the server parses it at every start. */
export function tablesAsJson(tables: readonly DeclaredTable[], roles: readonly string[]): string {
  return JSON.stringify(
    tables.map(({ schema, name, rowSecurity, partitioned, policies, foreignKeys, grants, also, origin }) => ({
      schema,
      name,
      rowSecurity,
      partitioned,
      policies,
      foreignKeys,
      rights: rightsOf(grants, roles),
      also: also && rightsOf(also, roles),
      origin,
    })),
  )
}

const rightsOf = (grants: Readonly<Record<string, readonly RecordedRight[]>>, roles: readonly string[]) =>
  roles.flatMap((role) => (grants[role] ?? []).map(({ privilege, column }) => [role, privilege, column ?? '']))

/** `declared`: the declared tables as they are in the database. `tables` is the parameter of tablesAsJson. */
export const declaredCte = (tables: string) => `
declared as materialized (
  select t.*, pg_catalog.format('%I.%I', t.schema, t.name) as label, n.oid as namespace, c.oid, c.relkind, c.relrowsecurity, c.relowner
  from pg_catalog.jsonb_to_recordset(${tables}::jsonb)
    as t(schema text, name text, "rowSecurity" boolean, partitioned boolean, policies jsonb, "foreignKeys" text[], rights jsonb, also jsonb, origin text)
  left join pg_catalog.pg_namespace n on n.nspname = t.schema
  left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.name
)`

/**
 * `wanted` and `held`: rights as rows, where a column of '' stands for the whole table; and `declared`. Needs `grantee (oid, name,
 * role)`: the roles that are compared.
 */
export const rightsCtes = (tables: string) => `${declaredCte(tables)},
wanted as materialized (
  select d.oid, g.oid as grantee, r ->> 1 as privilege, r ->> 2 as "column"
  from declared d cross join lateral pg_catalog.jsonb_array_elements(d.rights) r join grantee g on g.role = r ->> 0
  where d.oid is not null
),
held as materialized (
  select c.oid, a.grantee, pg_catalog.lower(a.privilege_type) as privilege, '' as "column", a.is_grantable
  from pg_catalog.pg_class c cross join lateral pg_catalog.aclexplode(c.relacl) a
  -- That the login owns something is a fault of its own.
  where c.relacl is not null and a.grantee <> c.relowner and a.grantee = any (array(select g.oid from grantee g))
    -- What everybody may read of the catalogs is the server's own affair.
    and (a.grantee <> 0 or c.relnamespace <> all (array(
      select n.oid from pg_catalog.pg_namespace n where n.nspname in ('pg_catalog', 'information_schema'))))
  union all
  select t.attrelid, a.grantee, pg_catalog.lower(a.privilege_type), t.attname::text, a.is_grantable
  from pg_catalog.pg_attribute t cross join lateral pg_catalog.aclexplode(t.attacl) a join pg_catalog.pg_class c on c.oid = t.attrelid
  where a.grantee <> c.relowner and t.attacl is not null and not t.attisdropped and a.grantee = any (array(select g.oid from grantee g))
    and (a.grantee <> 0 or t.attrelid >= 16384)
)`

/** `difference`: the rights on declared tables that are missing, in excess, or held with an undeclared grant option. */
export const differenceCte = `
difference as materialized (
  select 'missing' as state, w.* from wanted w
  where not exists (
    select from held h
    where h.oid = w.oid and h.grantee = w.grantee and h.privilege = w.privilege and h."column" = w."column")
  union all
  select case when a."right" then 'grantable' else 'excess' end, h.oid, h.grantee, h.privilege, h."column"
  from held h
  join declared d on d.oid = h.oid
  join grantee g on g.oid = h.grantee
  left join wanted w on w.oid = h.oid and w.grantee = h.grantee and w.privilege = h.privilege and w."column" = h."column"
  cross join lateral (
    select w.oid is not null or coalesce(d.also operator(pg_catalog.@>)
      pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_array(g.role, h.privilege, h."column")), false)
  ) as a("right")
  where not a."right" or h.is_grantable
)`
