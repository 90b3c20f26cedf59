import pg from 'pg'
import type { AppliedMigrations } from './rights.js'

/** `applied` reads the bookkeeping tables of `migrations`; `$5` is the list of migrations that this build knows. */
export function migrationTables(migrations: readonly AppliedMigrations[]): string {
  const rows = migrations.map(
    ({ schema, table }) =>
      `select ${pg.escapeLiteral(schema)}, ${pg.escapeLiteral(table)}, created_at, hash
       from ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`,
  )
  const books = migrations.map(({ schema, table }) => `(${pg.escapeLiteral(schema)}, ${pg.escapeLiteral(table)})`)
  return `
book("schema", "table") as (values ${[...books, '(null, null)'].join(', ')}),
applied("schema", "table", "when", hash) as materialized (
  ${[`select null::text, null::text, null::bigint, null::text where false`, ...rows].join(' union all ')}
),
known as materialized (
  select * from pg_catalog.jsonb_to_recordset($5::jsonb) as k("schema" text, "table" text, name text, "when" bigint, hash text)
)
`
}

/** Needs `declared`, `place` and the tables of migrationTables. */
export const migrationFindings: readonly string[] = [
  `select 'the database was never migrated', here.database_name::text, 'npx tenantry migrate up', true
  from here where not exists (select from declared d where d.oid is not null)`,

  // A set without a bookkeeping table was never applied, unless that table was lost.
  `select 'migrations are not applied', pg_catalog.string_agg(k.name, ', ' order by k."when"),
    case when place.owner is not null and k."schema" = 'platform_migrations' and pg_catalog.count(*) = k.all_of_them
      then pg_catalog.format('restore %I.%I from a backup: the tables are there, so their migrations were applied', k."schema", k."table")
      else 'npx tenantry migrate up' end, true
  from (select known.*, pg_catalog.count(*) over (partition by "schema", "table") as all_of_them from known) k
  join declared b on b.schema = k."schema" and b.name = k."table"
  cross join place
  where b.oid is null
    or exists (select from book where book."schema" = k."schema" and book."table" = k."table")
      and not exists (select from applied a where a."schema" = k."schema" and a."table" = k."table" and a."when" = k."when")
  group by k."schema", k."table", k.all_of_them, place.owner`,

  `select 'a migration was edited after it was applied', k.name,
    'restore the file as it was when it was applied, and write the change as a further migration', true
  from known k join applied a on a."schema" = k."schema" and a."table" = k."table" and a."when" = k."when" where a.hash <> k.hash`,
]

/** A finding where some of the host's permissions, the given parameter, are not in the catalog. */
export const permissionsMissing = (
  permissions: string,
): string => `select 'permissions are not in the catalog' as fault, pg_catalog.string_agg(w.key, ', ' order by w.key) as detail,
    'npx tenantry migrate up' as mend, true as "isFault"
  from pg_catalog.unnest(${permissions}::text[]) w(key)
  where not exists (select from platform.permissions p where p.key = w.key)
  having pg_catalog.count(*) > 0`

/** `$8` is the list of the host's permissions. */
export const permissionFindings: readonly string[] = [permissionsMissing('$8')]
