import { newId } from '../../src/core/ids.js'
import type { Session } from '../../src/database/session.js'
import { ProjectAddons } from '../../src/operations/project-addons.js'
import { ProjectMembers } from '../../src/operations/project-members.js'
import type { Org } from '../../src/org.js'
import { ProjectCredentials } from '../../src/repositories/credentials.js'
import { DatabaseConnections, DatabaseMetrics, ProjectDatabases } from '../../src/repositories/databases.js'
import { ProjectCompute, ProjectDisk } from '../../src/repositories/infrastructure.js'
import { ProjectMetrics } from '../../src/repositories/project-metrics.js'
import {
  computeConfig,
  credentials,
  databaseConnectionLogs,
  databaseMetrics,
  databases,
  diskConfig,
  organizationMembers,
  projectAddons,
  projectMembers,
  projectMetrics,
  projects,
  rolePermissions,
  roles,
} from '../../src/schema/index.js'
import { createUser } from '../../src/testing/fixtures.js'
import type { ContractCase } from '../../src/testing/isolation-contract.js'
import { listEveryWay, projectOf } from './every-option.js'

const secrets = { anonKey: 'anon', serviceRoleKey: 'role', jwtSecret: 'jwt' }

const credentialsCase = {
  repository: ProjectCredentials,
  tables: [projects, credentials],
  make: async (org: Org) => {
    const id = await projectOf(org)
    await org.projects.credentials.create(id, secrets)
    return id
  },
  calls: {
    find: (all, id) => all.find(id),
    get: (all, id) => all.get(id),
    create: (all, id) => all.create(id, secrets),
    rotate: (all, id) => all.rotate(id, { anonKey: 'taken' }),
    reveal: (all, id) => all.reveal(id),
    setDatabasePassword: (all, id) => all.setDatabasePassword(id, 'taken'),
    revealDatabasePassword: (all, id) => all.revealDatabasePassword(id),
  },
  prepare: {
    create: async (org) => (await org.projects.create({ name: 'Two', slug: 'two' })).id,
  },
} satisfies ContractCase<ProjectCredentials>

const disk = { sizeGb: 20, ioBudget: 100, autoscaleGrowthPercent: 10 }
const machine = { instanceSize: 'small', cpuCores: '2.25', memoryGb: '4.75' } as const

const diskCase = {
  repository: ProjectDisk,
  tables: [projects, diskConfig],
  make: async (org: Org) => {
    const id = await projectOf(org)
    await org.projects.disk.configure(id, disk)
    return id
  },
  calls: {
    find: (all, id) => all.find(id),
    get: (all, id) => all.get(id),
    configure: (all, id) => all.configure(id, { ...disk, sizeGb: 30 }),
  },
} satisfies ContractCase<ProjectDisk>

const computeCase = {
  repository: ProjectCompute,
  tables: [projects, computeConfig],
  make: async (org: Org) => {
    const id = await projectOf(org)
    await org.projects.compute.configure(id, machine)
    return id
  },
  calls: {
    find: (all, id) => all.find(id),
    get: (all, id) => all.get(id),
    configure: (all, id) => all.configure(id, { ...machine, instanceSize: 'large' }),
  },
} satisfies ContractCase<ProjectCompute>

const moment = new Date(Date.UTC(2026, 0, 1))
const anHour = { from: moment, to: new Date(moment.getTime() + 3_600_000), step: 60 }

/** A project with a database that has the id of the project, so that one id names both in a call. */
async function databaseOf(org: Org, admin: Session): Promise<string> {
  const id = await projectOf(org)
  await admin.query(
    `insert into platform.databases (org_id, id, project_id, name, type) values ($1, $2, $2, 'main', 'postgresql')`,
    [org.id, id],
  )
  await org.projects.databases.create(id, { name: 'matrix', type: 'postgresql', connectionString: 'postgres://matrix' })
  await org.projects.databases.update(id, id, { connectionString: 'postgres://main' })
  return id
}

const databasesCase = {
  repository: ProjectDatabases,
  tables: [projects, databases],
  make: databaseOf,
  calls: {
    find: (all, id) => all.find(id, id),
    get: (all, id) => all.get(id, id),
    list: async (all, id) => [
      await all.list(id, { type: 'postgresql' }),
      await listEveryWay({ list: (options) => all.list(id, options) }, ['health', '-name'], { name: { prefix: 'ma' } }),
    ],
    create: (all, id) => all.create(id, { name: 'second', type: 'redis', connectionString: 'redis://second' }),
    update: (all, id) => all.update(id, id, { name: 'taken', connectionString: 'postgres://taken' }),
    delete: (all, id) => all.delete(id, id),
    restore: (all, id) => all.restore(id, id),
    reveal: (all, id) => all.reveal(id, id),
    recordHealth: (all, id) => all.recordHealth(id, id, { health: 'degraded' }),
  },
  prepare: {
    restore: (org, id) => org.projects.databases.delete(id, id),
  },
} satisfies ContractCase<ProjectDatabases>

const databaseMetricsCase = {
  repository: DatabaseMetrics,
  tables: [projects, databases, databaseMetrics],
  make: async (org, admin) => {
    const id = await databaseOf(org, admin)
    await org.projects.databases.metrics.record(id, id, [{ metricType: 'cpu', value: 1, recordedAt: moment }])
    return id
  },
  calls: {
    record: (all, id) => all.record(id, id, [{ metricType: 'cpu', value: 2 }]),
    query: (all, id) => all.query(id, id, { metricType: 'cpu', ...anHour }),
  },
} satisfies ContractCase<DatabaseMetrics>

const connectionsCase = {
  repository: DatabaseConnections,
  tables: [projects, databases, databaseConnectionLogs],
  make: async (org, admin) => {
    const id = await databaseOf(org, admin)
    await org.projects.databases.connections.log(id, id, { eventType: 'opened' })
    await org.projects.databases.connections.log(id, id, { eventType: 'opening' })
    return id
  },
  calls: {
    log: (all, id) => all.log(id, id, { eventType: 'closed' }),
    list: async (all, id) => [
      await all.list(id),
      await all.list(id, { databaseId: id }),
      await listEveryWay({ list: (options) => all.list(id, options) }, ['message', '-recordedAt'], {
        eventType: { prefix: 'open' },
      }),
    ],
  },
} satisfies ContractCase<DatabaseConnections>

const projectMetricsCase = {
  repository: ProjectMetrics,
  tables: [projects, projectMetrics],
  make: async (org: Org) => {
    const id = await projectOf(org)
    await org.projects.metrics.record(id, [{ cpuUsage: '1.5', recordedAt: moment }])
    return id
  },
  calls: {
    record: (all, id) => all.record(id, [{ cpuUsage: '2.5' }]),
    query: (all, id) => all.query(id, anHour),
  },
} satisfies ContractCase<ProjectMetrics>

const addonId = 'contract_addon'

const addonsCase = {
  repository: ProjectAddons,
  tables: [projects, projectAddons],
  make: async (org, admin) => {
    await admin.query(
      `insert into platform.addon_catalog (id, addon_id, name, type, variants) values ($1, $2, $2, 'test', $3)
       on conflict do nothing`,
      [newId(), addonId, JSON.stringify([{ variant: 'only', name: 'Only', price: '5.25', currency: 'USD' }])],
    )
    const id = await projectOf(org)
    await org.projects.addons.activate(id, { addonId })
    return id
  },
  calls: {
    list: (all, id) => all.list(id),
    activate: (all, id) => all.activate(id, { addonId }),
    changeVariant: (all, id) => all.changeVariant(id, addonId, { addonVariant: 'only', quantity: 2 }),
    deactivate: (all, id) => all.deactivate(id, addonId),
  },
  prepare: {
    activate: (org, id) => org.projects.addons.deactivate(id, addonId),
  },
} satisfies ContractCase<ProjectAddons>

const membersCase = {
  repository: ProjectMembers,
  tables: [roles, rolePermissions, organizationMembers, projects, projectMembers],
  // The project has the id of its member, so that one id names both in a call.
  make: async (org, admin) => {
    for (const key of ['worker', 'second'])
      await org.roles.create({ key, name: key, appliesTo: 'both', permissions: ['agents:read'] })
    const userId = await createUser(admin)
    await org.members.add({ userId, email: `${userId}@example.com`, role: 'worker' })
    await admin.query(`insert into platform.projects (org_id, id, name, slug, ref) values ($1, $2, 'One', 'one', $3)`, [
      org.id,
      userId,
      `ref-${userId}`.slice(0, 20),
    ])
    await org.projects.members.add(userId, { userId, role: 'worker' })
    const other = await createUser(admin)
    await org.members.add({ userId: other, email: `${other}@example.com`, role: 'worker' })
    await org.projects.members.add(userId, { userId: other, role: 'worker' })
    return userId
  },
  calls: {
    list: async (all, id) => [
      await all.list(id),
      await listEveryWay({ list: (options) => all.list(id, options) }, ['addedBy', '-userId'], {
        role: { prefix: 'work' },
      }),
    ],
    find: (all, id) => all.find(id, id),
    add: (all, id) => all.add(id, { userId: id, role: 'worker' }),
    changeRole: (all, id) => all.changeRole(id, id, 'second'),
    remove: (all, id) => all.remove(id, id),
  },
  prepare: {
    add: (org, id) => org.projects.members.remove(id, id),
  },
} satisfies ContractCase<ProjectMembers>

/** What belongs to projects, under its name there. */
export const projectCases = {
  addons: addonsCase,
  compute: computeCase,
  connections: connectionsCase,
  credentials: credentialsCase,
  databaseMetrics: databaseMetricsCase,
  databases: databasesCase,
  disk: diskCase,
  projectMembers: membersCase,
  projectMetrics: projectMetricsCase,
}
