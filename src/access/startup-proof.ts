import pg from 'pg'
import type { RoleFault } from '../core/errors.js'
import { asProof, asStatement, loginFindings, loginTables, type Proof } from './connection-proof.js'
import { partitionFindings } from './partition-findings.js'
import { functionFindings, functionTables, placeFindings, placeTables } from './schema-findings.js'
import {
  type AppliedMigrations,
  type DeclaredFunction,
  type Declarations,
  type ProvenFunction,
  declaredTables,
  differenceTable,
  rightsTables,
  tablesAsJson,
} from './rights.js'
import { digestOf } from './function-digest.js'
import { type Expected, readNewer, withNewer } from './newer.js'
import type { Finding } from './root-causes.js'
import type { Session } from '../database/session.js'
import { otherBookTable, policyTables, tableFindings } from './table-findings.js'

export interface StartupProofOptions {
  readonly role: 'tenantry_app' | 'tenantry_system'
  /** Tables, views and sequences of the host's own that the login may use: `public.countries`. */
  readonly allowRelations?: readonly string[]
  /** SECURITY DEFINER functions of the host's own that the login may execute: `public.slugify(text)`. */
  readonly allowFunctions?: readonly string[]
}

/**
 * The whole proof, once per process, as the login that will serve. What this build knows must be as it declares it; anything else
 * is accepted only as a newer build has recorded it. One round trip, and two more beside a newer build.
 */
export async function proveStartup(
  session: Pick<Session, 'query'>,
  declarations: Declarations,
  options: StartupProofOptions,
): Promise<Proof> {
  const undeclared = withoutKind(declarations)
  if (undeclared.length > 0) return { faults: undeclared, notes: [] }
  const { migrations } = declarations
  const expected = { tables: declaredTables(declarations), functions: declarations.functions.map(asProven) }
  const proof = await prove(session, declarations, expected, options)
  if (proof.faults.length === 0) return proof
  const newer = await readNewer(session, migrations)
  return newer.length === 0 ? proof : prove(session, declarations, withNewer(expected, newer), options)
}

async function prove(
  session: Pick<Session, 'query'>,
  declarations: Declarations,
  { tables, functions }: Expected,
  options: StartupProofOptions,
): Promise<Proof> {
  const { role, allowRelations = [], allowFunctions = [] } = options
  const params = [
    role,
    searchPathOf(declarations, options),
    tablesAsJson(tables, [role]),
    functionsAsJson(functions, role),
    migrationsAsJson(declarations.migrations),
    allowRelations,
    allowFunctions,
  ]
  try {
    return asProof(await session.query<Finding>(startupProof(declarations.migrations), params))
  } catch (error) {
    if (!unreadable.has((error as { code?: unknown }).code)) throw error
    // A table of applied migrations is missing or closed to the login: the catalogs tell which, and what mends it.
    return asProof(await session.query<Finding>(startupProof([]), params))
  }
}

/** The schemas that may be on the search_path of a login that is proved by these. */
export function searchPathOf(
  { tables }: Declarations,
  { allowRelations = [] }: Pick<StartupProofOptions, 'allowRelations'> = {},
): string[] {
  const allowed = allowRelations.flatMap((name) => /^(?:"([^"]+)"|([^".]+))\./.exec(name)?.slice(1) ?? [])
  return [...new Set([...tables.map(({ schema }) => schema), ...allowed.filter(Boolean)])]
}

/** Nobody has a right on such a table, so bootstrap would take those that it has. */
const withoutKind = ({ tables }: Declarations): RoleFault[] =>
  tables
    .filter(({ kind }) => kind === undefined)
    .map(({ schema, name }) => ({
      fault: 'a table is not declared',
      detail: `${schema}.${name}`,
      mend:
        'call declareTable right below the definition of the table. If it is called there, two copies of `tenantry/schema` are loaded ' +
        '(`npm ls tenantry`): the tables must import the one that openTenancy comes with',
    }))

// insufficient_privilege, undefined_table
const unreadable = new Set<unknown>(['42501', '42P01'])

const asProven = (fn: DeclaredFunction): ProvenFunction => ({
  signature: fn.signature,
  restore: fn.restore,
  digests: [digestOf(fn)],
  executableBy: fn.executableBy,
})

const functionsAsJson = (functions: readonly ProvenFunction[], role: string) =>
  JSON.stringify(
    functions.map(({ signature, restore, digests, executableBy, origin }) => ({
      signature,
      restore,
      digests,
      executable: executableBy.includes(role),
      origin,
    })),
  )

const migrationsAsJson = (migrations: readonly AppliedMigrations[]) =>
  JSON.stringify(migrations.flatMap(({ schema, table, known }) => known.map((one) => ({ schema, table, ...one }))))

const startupProof = (migrations: readonly AppliedMigrations[]) =>
  asStatement(
    [
      loginTables,
      grantees,
      migrationTables(migrations),
      placeTables,
      rightsTables('$3'),
      differenceTable,
      policyTables,
      otherBookTable,
      functionTables,
    ],
    {
      login: loginFindings,
      database: [...placeFindings, ...tableFindings, ...partitionFindings, ...functionFindings, ...migrationFindings],
    },
  )

/** Whose rights are looked at: everybody's, the login's and its role's. Those of any other role it reaches are not: to reach one is a fault. */
const grantees = `
grantee(oid, name, role) as materialized (
  select 0::pg_catalog.oid, 'public', null
  union all
  select here.role, pg_catalog.quote_ident($1), $1 from here where here.role is not null
  union all
  select here.login, pg_catalog.quote_ident(here.login_name), null from here where here.login is distinct from here.role
)`

/** `applied` reads the tables of `migrations`; `$5` are the migrations that this build knows. */
function migrationTables(migrations: readonly AppliedMigrations[]): string {
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

const migrationFindings = [
  `select 'the database was never migrated', here.database_name::text, 'npx tenantry migrate up', true
  from here where not exists (select from declared d where d.oid is not null)`,

  // Without its bookkeeping table a set was never applied, unless somebody has lost that table.
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
