import { addonCatalog, projectAddons } from '../../schema/addons.js'
import { credentials } from '../../schema/credentials.js'
import { databaseConnectionLogs, databaseMetrics, databases } from '../../schema/databases.js'
import { computeConfig, diskConfig } from '../../schema/infrastructure.js'
import { projectMetrics } from '../../schema/project-metrics.js'
import { inProject, type KnownTable } from './known-table.js'

const inDatabase = 'join {schema}.databases d on d.id = s.database_id join {schema}.projects p on p.id = d.project_id'

const addonStatus = `case when s.status::text = 'cancelled' then 'inactive' else s.status::text end`

/** The column that names the add-on of a row. */
const addonColumns = ['addon_id', 'addon_type']

/** Whether row `o` is of the same add-on in the same project as another one. */
const sameAddon = (row: string, column: string) => `o.project_id = ${row}.project_id and o.${column} = ${row}.${column}`

/** Of several uses the active one counts, and then the last. */
const rank = (row: string, begun: string) =>
  `(coalesce(${row}.status::text = 'active', false), coalesce(${row}.${begun}, 'epoch'), ${row}.id)`

const isLastUse = addonColumns.flatMap((column) =>
  ['activated_at', 'created_at'].map(
    (begun) => `not exists (select from {schema}.addons o where ${sameAddon('s', column)}
          and ${rank('o', begun)} > ${rank('s', begun)})`,
  ),
)

const sameEntry = (row: string) => `o.addon_id = ${row}.addon_id`

/** What belongs to a project. */
export const projectsBefore: readonly KnownTable[] = [
  {
    from: 'credentials',
    to: credentials,
    joins: inProject,
    values: { org_id: 'p.organization_id' },
    sealed: { anon_key: 'anon_key', service_role_key: 'service_role_key', jwt_secret: 'jwt_secret' },
  },
  {
    from: 'disk_config',
    to: diskConfig,
    joins: inProject,
    values: {
      org_id: 'p.organization_id',
      autoscale_growth_percent: ['s.autoscale_growth_percent', '50'],
    },
  },
  { from: 'compute_config', to: computeConfig, joins: inProject, values: { org_id: 'p.organization_id' } },
  {
    from: 'databases',
    to: databases,
    joins: inProject,
    values: {
      org_id: 'p.organization_id',
      type: `case s.type::text when 'postgres' then 'postgresql' else s.type::text end`,
      status: `case s.status::text when 'maintenance' then 'inactive' else s.status::text end`,
      health: [
        's.health',
        `case s.health_check_status::text when 'unhealthy' then 'down' else s.health_check_status::text end`,
      ],
      health_checked_at: ['s.health_checked_at', 's.last_health_check_at'],
    },
    sealed: { connection_string: 'connection_string' },
  },
  {
    from: 'database_metrics',
    to: databaseMetrics,
    joins: inDatabase,
    values: {
      org_id: 'p.organization_id',
      recorded_at: ['s.recorded_at', 's."timestamp"', 's.created_at'],
      created_at: ['s.created_at', 's."timestamp"'],
    },
  },
  {
    from: 'database_connection_logs',
    to: databaseConnectionLogs,
    joins: inDatabase,
    values: { org_id: 'p.organization_id', recorded_at: ['s.recorded_at', 's.created_at'] },
  },
  {
    from: 'project_metrics',
    to: projectMetrics,
    joins: inProject,
    values: {
      org_id: 'p.organization_id',
      recorded_at: ['s.recorded_at', 's."timestamp"', 's.created_at'],
    },
  },
  {
    from: 'addon_catalog',
    to: addonCatalog,
    conditions: [
      {
        holds: `not exists (select from {schema}.addon_catalog o where ${sameEntry('s')} and o.id < s.id)`,
        otherwise: 'repeat the addon_id of another row',
        isFault: true,
      },
    ],
    siblings: [sameEntry('{row}')],
    values: {},
    identity: ['addon_id'],
  },
  {
    from: 'project_addons',
    to: projectAddons,
    joins: inProject,
    values: {
      org_id: 'p.organization_id',
      addon_id: ['s.addon_id', 's.addon_type'],
      currency: ['upper(s.currency)', `'USD'`],
      status: addonStatus,
      activated_at: ['s.activated_at', 's.created_at'],
    },
  },
  {
    // The catalog of add-ons is made of the same rows, as far as they say what an add-on is.
    from: 'addons',
    to: projectAddons,
    joins: inProject,
    conditions: [
      {
        holds: 's.project_id is not null',
        otherwise: 'are in no project: only their prices are carried, into the catalog',
      },
      {
        holds: isLastUse[0] ?? '',
        instead: isLastUse.slice(1),
        otherwise: 'are an earlier use of an add-on that the project has again, of which the last one is kept',
      },
    ],
    siblings: addonColumns.map((column) => sameAddon('{row}', column)),
    values: {
      org_id: 'p.organization_id',
      addon_id: ['s.addon_id', 's.addon_type'],
      price_per_unit: ['s.price_per_unit', 's.price'],
      currency: ['upper(s.currency)', `'USD'`],
      status: addonStatus,
    },
  },
]
