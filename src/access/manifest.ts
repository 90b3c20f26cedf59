import { getTableColumns, getTableName, is } from 'drizzle-orm'
import { type ForeignKey, getTableConfig, PgDialect, type PgPolicy, PgRole, type PgTable } from 'drizzle-orm/pg-core'
import { type Placement, placementOf } from './distribution.js'
import { sqlFunctions } from './functions.js'
import { createFunction, type SqlFunction } from './sql-function.js'
import { type Grant, grantsOf } from './grants.js'
import { factsOf, type TableKind } from '../schema/shared/kinds.js'

export const runtimeRoles = ['tenantry_app', 'tenantry_system'] as const

/** The two roles of the application: one acts inside one organization, the system's across all of them. */
export type RuntimeRole = (typeof runtimeRoles)[number]

/** The declared tables and functions as plain data. Bootstrap grants the rights, the proofs compare them. */
export interface Manifest {
  readonly tables: readonly TableManifest[]
  readonly functions: readonly FunctionManifest[]
}

export interface TableManifest {
  readonly schema: string
  readonly name: string
  /** Undefined for a table that was never declared: no role has rights on it. */
  readonly kind: TableKind | undefined
  readonly columns: readonly string[]
  readonly rowSecurity: boolean
  readonly appendOnly: boolean
  readonly partitioned: boolean
  /** Where a Citus cluster keeps its rows. */
  readonly placement: Placement
  readonly policies: readonly PolicyManifest[]
  /** The foreign keys of the library that keep a reference within its organization: `name (columns) table (columns)`. */
  readonly foreignKeys: readonly string[]
  readonly grants: Readonly<Record<RuntimeRole, readonly Privilege[]>>
}

/** A permissive policy for all commands: it lets through rows with a `column` that equals the `binding`, or every row. */
export interface PolicyManifest {
  readonly name: string
  readonly role: RuntimeRole
  readonly rows: { readonly column: string; readonly binding: 'current_org' | 'current_user_id' } | 'all'
}

/** A right on a column, or without one on the whole table. */
export interface Privilege {
  readonly privilege: 'select' | 'insert' | 'update' | 'delete'
  readonly column?: string
}

export interface FunctionManifest extends SqlFunction {
  /** The statement that restores the declared function. */
  readonly restore: string
}

export const manifestOf = (tables: readonly PgTable[], functions: readonly SqlFunction[] = sqlFunctions): Manifest => ({
  tables: tables.map(describeTable),
  functions: functions.map(describeFunction),
})

function describeTable(table: PgTable): TableManifest {
  const { schema = 'public', name, policies, enableRLS, foreignKeys } = getTableConfig(table)
  const facts = factsOf(table)
  const grants = grantsOf(table)
  return {
    schema,
    name,
    kind: facts?.kind,
    columns: Object.values(getTableColumns(table)).map((column) => column.name),
    rowSecurity: enableRLS || policies.length > 0,
    appendOnly: facts?.appendOnly === true,
    partitioned: facts?.partitionedBy !== undefined,
    placement: placementOf(facts),
    policies: policies.flatMap(describePolicy),
    // Those of the host may have other names in its migrations.
    foreignKeys:
      schema === 'platform'
        ? foreignKeys.filter((key) => key.reference().columns.length > 1).map(describeForeignKey)
        : [],
    grants: {
      tenantry_app: privilegesOf(grants.tenantry_app),
      tenantry_system: privilegesOf(grants.tenantry_system),
    },
  }
}

function describeForeignKey(key: ForeignKey): string {
  const { columns, foreignTable, foreignColumns } = key.reference()
  const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name).join(', ')
  return `${key.getName()} (${names(columns)}) ${getTableName(foreignTable)} (${names(foreignColumns)})`
}

const describeFunction = (fn: SqlFunction): FunctionManifest => ({
  ...fn,
  restore: createFunction(fn).replace(/^create /, 'create or replace '),
})

const dialect = new PgDialect()
const boundRows = /^(\w+) = platform\.(current_org|current_user_id)\(\)$/

/** Returns nothing for a policy of any other form: no table may have one, and the proof reports it. */
function describePolicy(policy: PgPolicy): PolicyManifest[] {
  const role = runtimeRoles.find((name) => is(policy.to, PgRole) && policy.to.name === name)
  const using = policy.using === undefined ? '' : dialect.sqlToQuery(policy.using).sql
  const check = policy.withCheck === undefined ? '' : dialect.sqlToQuery(policy.withCheck).sql
  if (role === undefined || using !== check || (policy.for ?? 'all') !== 'all' || policy.as === 'restrictive') return []
  if (using === 'true') return [{ name: policy.name, role, rows: 'all' }]
  const [, column, binding] = boundRows.exec(using) ?? []
  if (column === undefined || (binding !== 'current_org' && binding !== 'current_user_id')) return []
  return [{ name: policy.name, role, rows: { column, binding } }]
}

function privilegesOf(grant: Grant): Privilege[] {
  const on = (privilege: 'select' | 'insert' | 'update', columns: '*' | readonly string[]): Privilege[] =>
    columns === '*' ? [{ privilege }] : columns.map((column) => ({ privilege, column }))
  return [
    ...on('select', grant.select),
    ...on('insert', grant.insert),
    ...on('update', grant.update),
    ...(grant.delete ? [{ privilege: 'delete' as const }] : []),
  ]
}
