import type { ProofFault } from '../core/errors.js'
import { asProof, asStatement, loginFindings, loginCtes, type Proof } from './connection-proof.js'
import { isCluster } from '../database/cluster.js'
import { clusterFindings } from './cluster-findings.js'
import { migrationFindings, migrationTables, permissionFindings } from './migration-findings.js'
import { partitionFindings } from './partition-findings.js'
import { functionFindings, functionCtes, placeFindings, placeCtes } from './schema-findings.js'
import {
  type AppliedMigrations,
  type Declarations,
  type ExpectedFunction,
  declaredTables,
  differenceCte,
  rightsCtes,
  tablesAsJson,
} from './rights.js'
import { digestOf, resultOf } from './function-digest.js'
import type { FunctionManifest } from './manifest.js'
import { type Expected, isUnreadable, readNewer, withNewer } from './newer-build.js'
import type { Finding } from './root-causes.js'
import type { Session } from '../database/session.js'
import { otherBookTable, policyCtes, tableFindings } from './table-findings.js'

export interface StartupProofOptions {
  readonly role: 'tenantry_app' | 'tenantry_system'
  /** Tables, views and sequences of the host that the login may use: `public.countries`. */
  readonly allowRelations?: readonly string[]
  /** Functions of the host that the login may execute although they are SECURITY DEFINER or written in C: `public.slugify(text)`. */
  readonly allowFunctions?: readonly string[]
  /** Whether the database is one of a Citus cluster. It is asked where this is undefined. */
  readonly isCluster?: boolean
}

/**
 * The whole proof, once per process, with the application's login. What this build knows must match its declarations; anything else
 * is accepted only if a newer build has recorded it. One round trip, and two more beside a newer build; on a cluster two more again.
 */
export async function proveStartup(
  session: Pick<Session, 'query'>,
  declarations: Declarations,
  options: StartupProofOptions,
): Promise<Proof> {
  const undeclared = undeclaredTables(declarations)
  if (undeclared.length > 0) return { faults: undeclared, notes: [] }
  const { migrations } = declarations
  const expected = { tables: declaredTables(declarations), functions: declarations.functions.map(asExpected) }
  const onCluster = options.isCluster ?? (await isCluster(session))
  const cluster = onCluster ? await clusterFindings(session, declarations) : []
  // A cluster plans a query with a distributed table as a whole, and the application may not read what is under the views of this one.
  const asked = onCluster ? { ...declarations, permissions: [] } : declarations
  const proof = await prove(session, asked, expected, cluster, options)
  if (proof.faults.length === 0) return proof
  const newer = await readNewer(session, migrations)
  return newer.length === 0 ? proof : prove(session, asked, withNewer(expected, newer), cluster, options)
}

async function prove(
  session: Pick<Session, 'query'>,
  declarations: Declarations,
  { tables, functions }: Expected,
  cluster: readonly Finding[],
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
  const { migrations, permissions = [] } = declarations
  try {
    const found =
      permissions.length === 0
        ? await session.query<Finding>(startupProof(migrations), params)
        : await session.query<Finding>(startupProof(migrations, permissionFindings), [...params, permissions])
    return asProof([...found, ...cluster])
  } catch (error) {
    if (!isUnreadable(error)) throw error
    // A bookkeeping table or the permissions are missing, or the login may not read them. Run again without reading these tables: the
    // findings about the catalogs then name the table and say how to mend it.
    return asProof(await session.query<Finding>(startupProof([]), params))
  }
}

/** The schemas that may be on the search_path of a login that is proved with these declarations. */
export function searchPathOf(
  { tables }: Declarations,
  { allowRelations = [] }: Pick<StartupProofOptions, 'allowRelations'> = {},
): string[] {
  const allowed = allowRelations.flatMap((name) => /^(?:"([^"]+)"|([^".]+))\./.exec(name)?.slice(1) ?? [])
  return [...new Set([...tables.map(({ schema }) => schema), ...allowed.filter(Boolean)])]
}

/** A fault for each table without declareTable. Such a table has no declared rights, so bootstrap would revoke all of them. */
const undeclaredTables = ({ tables }: Declarations): ProofFault[] =>
  tables
    .filter(({ kind }) => kind === undefined)
    .map(({ schema, name }) => ({
      fault: 'a table is not declared',
      detail: `${schema}.${name}`,
      mend:
        'call declareTable right below the definition of the table. If you already call it there, two copies of `tenantry/schema` are loaded ' +
        '(`npm ls tenantry`): the tables must import the copy that openTenancy uses',
    }))

const asExpected = (fn: FunctionManifest): ExpectedFunction => ({
  signature: fn.signature,
  restore: fn.restore,
  digests: [digestOf(fn)],
  result: resultOf(fn.returns),
  executableBy: fn.executableBy,
})

const functionsAsJson = (functions: readonly ExpectedFunction[], role: string) =>
  JSON.stringify(
    functions.map(({ signature, restore, digests, result, executableBy, origin }) => ({
      signature,
      restore,
      digests,
      result,
      executable: executableBy.includes(role),
      origin,
    })),
  )

const migrationsAsJson = (migrations: readonly AppliedMigrations[]) =>
  JSON.stringify(migrations.flatMap(({ schema, table, known }) => known.map((one) => ({ schema, table, ...one }))))

const startupProof = (migrations: readonly AppliedMigrations[], further: readonly string[] = []) =>
  asStatement(
    [
      loginCtes,
      grantees,
      migrationTables(migrations),
      placeCtes,
      rightsCtes('$3'),
      differenceCte,
      policyCtes,
      otherBookTable,
      functionCtes,
    ],
    {
      login: loginFindings,
      database: [
        ...placeFindings,
        ...tableFindings,
        ...partitionFindings,
        ...functionFindings,
        ...migrationFindings,
        ...further,
      ],
    },
  )

/**
 * The rights of PUBLIC, the login and its role are compared. Other roles that the login reaches are left out: reaching one is a
 * fault.
 */
const grantees = `
grantee(oid, name, role) as materialized (
  select 0::pg_catalog.oid, 'public', null
  union all
  select here.role, pg_catalog.quote_ident($1), $1 from here where here.role is not null
  union all
  select here.login, pg_catalog.quote_ident(here.login_name), null from here where here.login is distinct from here.role
)`
