import { MigrationError } from '../../core/errors.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { type Catalog, readCatalog } from '../catalog.js'
import { inHome } from '../home.js'
import { readOnly } from '../read-only.js'
import { type CarriedTable, carriedTables } from './carried-table.js'
import { calmly } from './carrying.js'
import { carryingHome, isSchema, isThere, schemaBefore } from './carrying-home.js'
import { staying } from './known-tables.js'

/** A schema with tables of an earlier platform. */
export interface EarlierPlatform {
  readonly schema: string
  readonly home: string
  readonly catalog: Catalog
  readonly tables: readonly CarriedTable[]
  /** Known tables of which the rows stay where they are, and tables that are not known. */
  readonly stayingTables: readonly { readonly name: string; readonly reason: string }[]
  /** Whether the tables of tenantry are in this database too. */
  readonly hasOurs: boolean
  /** Whether it has the name of the schema of tenantry, and has to make room. */
  readonly isInTheWay: boolean
}

/** Throws where the schema has none. The one that has made room for tenantry is found under its former name. */
export const findEarlierPlatform = (session: Session, named: string): Promise<EarlierPlatform> =>
  calmly(session, () => find(withContext(session, 'the earlier tables'), named))

async function find(session: Session, named: string): Promise<EarlierPlatform> {
  const schema = named === 'platform' && (await isSchema(session, carryingHome(schemaBefore))) ? schemaBefore : named
  if (!(await isSchema(session, schema))) throw new MigrationError(`there is no schema ${schema} in this database`)
  const hasOurs = await isMigrated(session)
  if (schema === 'platform' && hasOurs)
    throw new MigrationError(
      'the schema platform is that of tenantry already: name the one of the earlier tables with --schema',
    )
  const catalog = await readCatalog(readOnly(session, 'pg_catalog'), schema)
  const tables = carriedTables(catalog)
  if (
    !tables.some(({ to }) => to === 'organizations') &&
    (await isThere(session, inHome(carryingHome(schema), 'steps')))
  )
    throw new MigrationError(`${schema} has no table organizations any more: give it back its name`)
  if (!tables.some(({ to }) => to === 'organizations'))
    throw new MigrationError(
      `${schema} has no table organizations, and so is no earlier platform: bring its tables under organizations with tenantry adopt analyse --schema ${schema}${schema === 'platform' ? ', after you have given the schema another name' : ''}`,
    )
  await refuseForeignHome(session, carryingHome(schema))
  const known = new Set(tables.map(({ from }) => from.name))
  return {
    schema,
    home: carryingHome(schema),
    catalog,
    tables,
    stayingTables: catalog.tables
      .filter(({ name }) => !known.has(name))
      .map(({ name }) => ({
        name,
        reason: Object.hasOwn(staying, name) ? (staying[name] ?? '') : 'it is not known: it keeps its rows',
      })),
    hasOurs,
    isInTheWay: schema === 'platform',
  }
}

/** Whoever may create schemas could have made it, with triggers that run with the rights of this login. */
async function refuseForeignHome(session: Session, home: string): Promise<void> {
  const [row] = await session.query<{ owner: string }>(
    `select n.nspowner::pg_catalog.regrole::text as owner from pg_catalog.pg_namespace n
     where n.nspname = $1 and n.nspowner <> (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user)`,
    [home],
  )
  if (row !== undefined)
    throw new MigrationError(
      `the schema ${home} belongs to ${row.owner}: connect as the role that took the earlier steps, or drop it if nobody took any`,
    )
}

/** Whether a migration of tenantry is applied: an earlier platform may have functions of the same names. */
async function isMigrated(session: Session): Promise<boolean> {
  if (!(await isThere(session, 'platform_migrations.migrations'))) return false
  const [row] = await session.query<{ found: boolean }>(
    'select exists (select from platform_migrations.migrations) as found',
  )
  return row?.found === true
}
