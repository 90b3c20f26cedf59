import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import { apply, earlier, type Entry, id } from './bad-input-side.js'

const disk = () => ({
  sizeGb: 20,
  ioBudget: 1,
  autoscaleEnabled: true,
  autoscaleGrowthPercent: 5,
  autoscaleLimitGb: 50,
})
const machine = () => ({ instanceSize: 'small', cpuCores: '2.25', memoryGb: '4' })
const database = () => ({ name: newId(), type: 'redis', config: { a: [1] }, connectionString: 'redis://here' })
const hour = () => ({ from: earlier, to: '2020-01-01T01:00:00Z', step: 60, empty: true })

const keysOfProject = () => ({ anonKey: 'anon', serviceRoleKey: 'role', jwtSecret: 'jwt' })

/** What belongs to projects, by its place there. */
const ofParts: Readonly<Record<string, Readonly<Record<string, Entry['args']>>>> = {
  credentials: {
    find: id('projects'),
    get: id('projects'),
    create: ({ ids }) => [ids.projects, keysOfProject()],
    rotate: ({ ids }) => [ids.projects, keysOfProject()],
    reveal: ({ ids }) => [ids.projects, ['anonKey', 'jwtSecret']],
    setDatabasePassword: ({ ids }) => [ids.projects, 'password'],
    revealDatabasePassword: id('projects'),
  },
  members: {
    list: ({ ids }) => [ids.projects, { limit: 5, role: 'developer' }],
    find: ({ ids }) => [ids.projects, newId()],
    add: ({ ids }) => [ids.projects, { userId: newId(), role: 'developer' }],
    changeRole: ({ ids }) => [ids.projects, newId(), 'developer'],
    remove: ({ ids }) => [ids.projects, newId()],
  },
  disk: {
    find: id('projects'),
    get: id('projects'),
    configure: ({ ids }) => [ids.projects, disk()],
  },
  compute: {
    find: id('projects'),
    get: id('projects'),
    configure: ({ ids }) => [ids.projects, machine()],
  },
  databases: {
    find: ({ ids }) => [ids.projects, newId()],
    get: ({ ids }) => [ids.projects, newId()],
    list: ({ ids }) => [ids.projects, { limit: 5, type: 'redis' }],
    create: ({ ids }) => [ids.projects, database()],
    update: ({ ids }) => [ids.projects, newId(), { status: 'error', connectionString: 'redis://there' }],
    delete: ({ ids }) => [ids.projects, newId()],
    restore: ({ ids }) => [ids.projects, newId()],
    reveal: ({ ids }) => [ids.projects, newId()],
    recordHealth: ({ ids }) => [ids.projects, newId(), { health: 'down', healthCheckedAt: earlier }],
  },
  'databases.metrics': {
    record: ({ ids }) => [ids.projects, newId(), [{ metricType: 'cpu', value: 1.5, recordedAt: earlier }]],
    query: ({ ids }) => [ids.projects, newId(), { metricType: 'cpu', aggregate: 'last', ...hour() }],
  },
  'databases.connections': {
    log: ({ ids }) => [ids.projects, newId(), { eventType: 'opened', message: 'hello', recordedAt: earlier }],
    list: ({ ids }) => [ids.projects, { databaseId: newId(), limit: 5 }],
  },
  metrics: {
    record: ({ ids }) => [ids.projects, [{ recordedAt: earlier, cpuUsage: '1.5', queryCount: 3 }]],
    query: ({ ids }) => [ids.projects, { metrics: ['cpuUsage'], ...hour() }],
  },
  addons: {
    list: id('projects'),
    activate: ({ ids }) => [ids.projects, { addonId: 'pitr', addonVariant: 'pitr_7', quantity: 2 }],
    changeVariant: ({ ids }) => [ids.projects, 'pitr', { addonVariant: 'pitr_14', quantity: 1 }],
    deactivate: ({ ids }) => [ids.projects, 'pitr'],
  },
}

/** An unknown role shows only when the roles are read. */
const decidedByMembers = new Set(['members.add', 'members.changeRole'])

const partOf = (org: Org, path: string): object =>
  path.split('.').reduce((part: object, name) => Reflect.get(part, name) as object, org.projects)

export const ofProjectParts = Object.entries(ofParts).flatMap(([path, methods]) =>
  Object.entries(methods).map(([name, args]): Entry => ({
    name: `projects.${path}.${name}`,
    args,
    call: ({ org }, given) => apply(partOf(org, path), name, given),
    asksFirst: decidedByMembers.has(`${path}.${name}`),
  })),
)
