import { clusterSettings } from '../database/cluster.js'
import type { Session } from '../database/session.js'
import { placed, readPlacements, strays } from './distribution.js'
import { readMissingObjects } from './node-objects.js'
import { isUnreadable } from './newer-build.js'
import { permissionsMissing } from './migration-findings.js'
import type { Declarations } from './rights.js'
import type { Finding } from './root-causes.js'

/**
 * What keeps declared tables from working on a Citus cluster. Nothing where no table is distributed: then the database works like that of a
 * plain server.
 */
export async function clusterFindings(
  session: Pick<Session, 'query'>,
  { tables, permissions = [] }: Pick<Declarations, 'tables' | 'permissions'>,
): Promise<Finding[]> {
  const wanted = new Map(tables.map(({ schema, name, placement }) => [`${schema}.${name}`, placement]))
  const found = (await readPlacements(session)).map((table) => ({
    ...table,
    wanted: wanted.get(`${table.schema}.${table.name}`),
  }))
  const missing = await missingPermissions(session, permissions)
  if (found.every(({ placement }) => placement === 'local')) return missing
  const declared = found.flatMap((table) => (table.wanted === undefined ? [] : [{ ...table, wanted: table.wanted }]))
  const others = declared.filter((table) => table.placement !== table.wanted)
  return [
    ...others.map((table) =>
      asFault(
        'a table is not distributed by its kind',
        `${table.label} is ${placed(table.placement)}, and should be ${placed(table.wanted)}`,
        'npx tenantry distribute',
      ),
    ),
    ...strays(declared.filter((table) => table.placement === table.wanted)).map(({ label, placement }) =>
      asFault(
        'a table lies apart from the others of its organizations or people',
        `${label} is ${placed(placement)}, and not in one group with the other tables that are`,
        `select undistribute_table('${label}'); -- and then: npx tenantry distribute`,
      ),
    ),
    ...(await settingFindings(session)),
    ...(await readMissingObjects(session)).map((what) =>
      asFault(
        'a node of the cluster lacks what a call needs',
        `${what} is on the coordinator alone`,
        'npx tenantry distribute',
      ),
    ),
    ...missing,
  ]
}

/** None where the table is not there or may not be read: the proof names it. */
async function missingPermissions(session: Pick<Session, 'query'>, permissions: readonly string[]): Promise<Finding[]> {
  if (permissions.length === 0) return []
  try {
    const found = await session.query<Omit<Finding, 'about'>>(permissionsMissing('$1'), [permissions])
    return found.map((one) => ({ ...one, about: 'database' }))
  } catch (error) {
    if (isUnreadable(error)) return []
    throw error
  }
}

async function settingFindings(session: Pick<Session, 'query'>): Promise<Finding[]> {
  const found = await session.query<{ name: string; setting: string; source: string; login: string; database: string }>(
    `select name, setting, source, pg_catalog.quote_ident(session_user) as login, pg_catalog.quote_ident(pg_catalog.current_database()) as database
     from pg_catalog.pg_settings where name = any ($1)`,
    [Object.keys(clusterSettings)],
  )
  return found
    .filter(({ name, setting }) => setting !== clusterSettings[name])
    .map(({ name, setting, source, login, database }) => {
      const mends: Readonly<Record<string, string>> = {
        client: `remove ${name} from the connection options`,
        user: `alter role ${login} reset ${name}`,
        'database user': `alter role ${login} in database ${database} reset ${name}`,
      }
      const mend = mends[source] ?? 'npx tenantry distribute # and connect again'
      return asFault('a setting is unsafe', `${name} = ${setting}`, mend)
    })
}

const asFault = (fault: string, detail: string, mend: string): Finding => ({
  fault,
  detail,
  mend,
  isFault: true,
  about: 'database',
})
