import type { Role } from './roles.js'

/**
 * Every repository has `read` and `write`; a project's own tables (members, credentials, configurations, databases, metrics,
 * add-ons) count as `projects`. Keys are never renamed, because the roles of existing organizations contain them.
 */
const repositories = {
  organization: 'the organization and its settings',
  members: 'members',
  roles: 'roles and what they allow',
  invitations: 'invitations',
  api_keys: 'API keys',
  projects: 'projects and what belongs to them',
  subscriptions: 'the plan',
  invoices: 'invoices',
  payment_methods: 'payment methods',
  tax_ids: 'tax ids',
  customer_profiles: 'the billing address',
  credits: 'credits',
  usage: 'usage',
  billing_events: 'events of the payment provider',
  flags: 'feature flags of the organization',
  audit: 'the audit log',
  llms: 'language models',
  tools: 'tools',
  agents: 'agents',
  workflows: 'workflows',
  tasks: 'tasks',
  schedules: 'schedules',
} as const

const special = {
  'credentials:reveal': 'Show credentials, database passwords and connection strings',
  'llms:reveal': 'Show the keys of language models',
  'audit:export': 'Export the audit log',
} as const

type Repository = keyof typeof repositories
export type PermissionKey = `${Repository}:${'read' | 'write'}` | keyof typeof special

const names = Object.keys(repositories) as Repository[]
const reads = names.map((name): PermissionKey => `${name}:read`)

/** Every permission with its description. `tenantry migrate` adds those that a database lacks. */
export const permissionCatalog: Readonly<Record<PermissionKey, string>> = {
  ...(Object.fromEntries(
    names.flatMap((name) => [
      [`${name}:read`, `See ${repositories[name]}`],
      [`${name}:write`, `Change ${repositories[name]}`],
    ]),
  ) as Record<PermissionKey, string>),
  ...special,
}

export interface BuiltInRole extends Pick<Role, 'key' | 'name' | 'appliesTo'> {
  readonly description: string
  readonly permissions: readonly PermissionKey[]
}

const read = (...of: Repository[]) => of.map((name): PermissionKey => `${name}:read`)
const write = (...of: Repository[]) => of.flatMap((name): PermissionKey[] => [`${name}:read`, `${name}:write`])

const billing: Repository[] = [
  'subscriptions',
  'invoices',
  'payment_methods',
  'tax_ids',
  'customer_profiles',
  'credits',
]
const work: Repository[] = ['agents', 'workflows', 'tasks', 'schedules']

const isBillingWrite = (permission: PermissionKey) =>
  [...billing, 'billing_events'].some((name) => permission === `${name}:write`)

/**
 * The roles that every new organization gets. A permission added here reaches existing organizations with the next `tenantry
 * migrate up`.
 */
export const builtInRoles: readonly BuiltInRole[] = [
  {
    key: 'owner',
    name: 'Owner',
    description: 'Everything. An organization always has an active one.',
    appliesTo: 'both',
    permissions: Object.keys(permissionCatalog) as PermissionKey[],
  },
  {
    key: 'admin',
    name: 'Admin',
    description: 'Everything but changing how the organization pays.',
    appliesTo: 'both',
    permissions: (Object.keys(permissionCatalog) as PermissionKey[]).filter(
      (permission) => !isBillingWrite(permission),
    ),
  },
  {
    key: 'developer',
    name: 'Developer',
    description: 'Builds: projects with their credentials, agents, workflows, tools and keys.',
    appliesTo: 'both',
    permissions: [
      ...read('organization', 'members', 'roles', 'usage', 'flags', 'audit'),
      ...write('projects', 'api_keys', 'llms', 'tools', ...work),
      'credentials:reveal',
    ],
  },
  {
    key: 'manager',
    name: 'Manager',
    description: 'Runs the team: members, invitations and the work, without secrets or money.',
    appliesTo: 'organization',
    permissions: [
      ...read('organization', 'roles', 'projects', 'usage', 'flags', 'audit', 'llms', 'tools'),
      ...write('members', 'invitations', ...work),
    ],
  },
  {
    key: 'billing_admin',
    name: 'Billing admin',
    description: 'Plan, invoices, payment methods and credits, and the usage behind them.',
    appliesTo: 'organization',
    permissions: [...read('organization', 'members', 'projects', 'usage'), ...write(...billing)],
  },
  {
    key: 'member',
    name: 'Member',
    description: 'Works with agents, workflows, tasks and schedules.',
    appliesTo: 'organization',
    permissions: [
      ...read('organization', 'members', 'roles', 'projects', 'usage', 'flags', 'llms', 'tools'),
      ...write(...work),
    ],
  },
  {
    key: 'customer',
    name: 'Customer',
    description: 'A guest of the organization: sees its agents and workflows, and asks for work.',
    appliesTo: 'organization',
    permissions: [...read('organization', 'agents', 'workflows'), ...write('tasks')],
  },
  {
    key: 'read_only',
    name: 'Read only',
    description: 'Sees everything, changes nothing, reveals nothing.',
    appliesTo: 'both',
    permissions: reads,
  },
]
