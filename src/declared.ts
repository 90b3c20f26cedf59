import { existsSync } from 'node:fs'
import { DefinitionError, MigrationError } from './core/errors.js'
import { takenNames } from './core/relational-schema.js'
import { ownOf } from './core/values.js'
import type { FactsLookup } from './database/sqlstate.js'
import { type OwnPermission, ownPermissions, uncoveredTables, uncoveredText } from './access/own-permissions.js'
import type { Declarations } from './access/rights.js'
import { declarationsOf } from './migrations/declarations.js'
import { type MigrationSet, platformMigrations } from './migrations/migrator.js'
import { factsLookup } from './schema/constraints.js'
import { permissionCatalog } from './schema/built-in-roles.js'
import * as library from './schema/index.js'
import { ownTablesOf, platformTables } from './schema/tables.js'
import type { PgTable } from 'drizzle-orm/pg-core'

/** The host's own tables: the exports of their schema module, the folder of their migrations, and the permissions to use them. */
export interface OwnTables {
  /** All exports of the module: `import * as schema from './schema.js'`. */
  readonly schema: Readonly<Record<string, unknown>>
  /** The folder of their migrations, as an absolute path. */
  readonly migrations: string
  /** Default: `app_migrations.migrations`. */
  readonly bookkeeping?: { readonly schema: string; readonly table: string } | undefined
  /** As in your tenantry.config.ts: what each permission allows, such as `{ 'tickets:read': 'See tickets' }`. */
  readonly permissions?: Readonly<Record<string, string>> | undefined
  /** As in your tenantry.config.ts: the permissions of built-in roles, such as `{ member: ['tickets:read'] }`. */
  readonly roles?: Readonly<Record<string, readonly string[] | undefined>> | undefined
}

/** The declarations of this build: the library's own tables, and the host's. */
export interface Declared {
  readonly tables: readonly PgTable[]
  readonly sets: readonly MigrationSet[]
  readonly declarations: Declarations
  readonly permissions: readonly OwnPermission[]
  /** Every permission, the library's too. */
  readonly allPermissions: ReadonlySet<string>
  readonly lookup: FactsLookup
  /** On a cluster: the tables that are on every node and that the application changes, as `schema.name`. */
  readonly onEveryNode: ReadonlySet<string>
}

export async function declare(own: OwnTables | undefined): Promise<Declared> {
  assertBesideItsMigrations()
  if (own !== undefined) assertFreeNames(own)
  const ownTables = own === undefined ? [] : ownTablesOf(own.schema)
  const permissions = own === undefined ? [] : permissionsOf(own, ownTables)
  const tables = [...platformTables, ...ownTables]
  const sets = [platformMigrations, ...(own === undefined ? [] : [setOf(own)])]
  const declarations = await declarationsOf(tables, sets, permissions)
  const everywhere = declarations.tables.filter(
    ({ kind, placement }) => placement === 'reference' && kind !== 'catalog',
  )
  return {
    tables,
    sets,
    declarations,
    permissions,
    allPermissions: new Set([...Object.keys(permissionCatalog), ...permissions.map(({ key }) => key)]),
    lookup: factsLookup(tables),
    onEveryNode: new Set(everywhere.map(({ schema, name }) => `${schema}.${name}`)),
  }
}

function assertFreeNames(own: OwnTables): void {
  const taken = takenNames(library, own.schema)
  if (taken.length === 0) return
  throw new DefinitionError(
    `own.schema: tenantry/schema has exports named ${taken.join(', ')} too; export yours under other names`,
  )
}

/** Throws DefinitionError for invalid permissions, and for a table that asks for permissions not among them. */
function permissionsOf(own: OwnTables, tables: readonly PgTable[]): OwnPermission[] {
  const permissions = ownPermissions(ownOf(own), 'own.')
  const [uncovered] = uncoveredTables(tables, permissions)
  if (uncovered !== undefined) throw new DefinitionError(`own.schema: ${uncoveredText(uncovered)}`)
  return permissions
}

/** A bundler includes the code and leaves out the folder. */
function assertBesideItsMigrations(): void {
  const { folder } = platformMigrations
  if (existsSync(folder)) return
  throw new MigrationError(
    `${folder} is missing: tenantry reads its migrations from the folder of its package. Leave tenantry and pg out of the bundle, with esbuild by --packages=external`,
  )
}

/** The host's migrations as a set. */
export const setOf = (own: OwnTables): MigrationSet => ({
  name: 'own',
  folder: own.migrations,
  bookkeeping: (Object.hasOwn(own, 'bookkeeping') ? own.bookkeeping : undefined) ?? ownBookkeeping,
})

const ownBookkeeping = { schema: 'app_migrations', table: 'migrations' }
