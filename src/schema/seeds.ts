import type { NewAddon } from './addons.js'
import type { NewBillingPlan } from './billing-plans.js'
import type { NewFeatureFlag } from './feature-flags.js'
import type { NewLlm } from './llms.js'
import type { NewTool } from './tools.js'

// The first rows of the catalogs. Afterwards the host owns them: prices, plans and flags are changed in the database, and a seed
// never overwrites existing rows.

export const seededPlans: readonly NewBillingPlan[] = [
  {
    id: 'tier_free',
    name: 'Free',
    description: 'To try it out.',
    price: '0',
    currency: 'USD',
    interval: 'month',
    features: ['2 projects', '5 members', '8 GB of disk', '5 GB of bandwidth', 'Community support'],
    limits: { disk_gb: 8, bandwidth_gb: 5 },
    maxProjects: 2,
    maxMembers: 5,
    sortOrder: 10,
  },
  {
    id: 'tier_pro',
    name: 'Pro',
    description: 'For products in production.',
    price: '25',
    currency: 'USD',
    interval: 'month',
    features: ['10 projects', '25 members', '100 GB of disk', '250 GB of bandwidth', 'Support by email'],
    limits: { disk_gb: 100, bandwidth_gb: 250 },
    maxProjects: 10,
    maxMembers: 25,
    sortOrder: 20,
  },
  {
    id: 'tier_team',
    name: 'Team',
    description: 'For companies with several teams.',
    price: '599',
    currency: 'USD',
    interval: 'month',
    features: ['50 projects', '200 members', '1 TB of disk', '2.5 TB of bandwidth', 'Support within a working day'],
    limits: { disk_gb: 1000, bandwidth_gb: 2500 },
    maxProjects: 50,
    maxMembers: 200,
    sortOrder: 30,
  },
  {
    id: 'tier_enterprise',
    name: 'Enterprise',
    description: 'Without limits, with a contact of your own.',
    price: '2500',
    currency: 'USD',
    interval: 'month',
    features: ['Unlimited projects and members', 'Unlimited disk and bandwidth', 'Support around the clock'],
    limits: { disk_gb: null, bandwidth_gb: null },
    maxProjects: null,
    maxMembers: null,
    sortOrder: 40,
  },
]

const monthly = (prices: Readonly<Record<string, readonly [name: string, price: string]>>) =>
  Object.entries(prices).map(([variant, [name, price]]) => ({ variant, name, price, currency: 'USD' }))

export const seededAddons: readonly NewAddon[] = [
  {
    addonId: 'pitr',
    name: 'Point-in-time recovery',
    type: 'backup',
    description: 'Go back to any moment of the last days.',
    variants: monthly({ pitr_7: ['7 days', '100'], pitr_14: ['14 days', '200'], pitr_28: ['28 days', '400'] }),
  },
  {
    addonId: 'custom_domain',
    name: 'Custom domain',
    type: 'network',
    description: 'The project answers under a domain of your own.',
    variants: monthly({ cd_default: ['Custom domain', '10'] }),
  },
  {
    addonId: 'ipv4',
    name: 'Dedicated IPv4 address',
    type: 'network',
    description: 'For networks that do not speak IPv6.',
    variants: monthly({ ipv4_default: ['IPv4 address', '4'] }),
  },
  {
    addonId: 'compute_instance',
    name: 'Compute',
    type: 'compute',
    description: 'More processor and memory for the database of the project.',
    variants: monthly({
      ci_micro: ['Micro', '10'],
      ci_small: ['Small', '15'],
      ci_medium: ['Medium', '60'],
      ci_large: ['Large', '110'],
      ci_xlarge: ['XL', '210'],
      ci_2xlarge: ['2XL', '410'],
      ci_4xlarge: ['4XL', '960'],
      ci_8xlarge: ['8XL', '1870'],
      ci_12xlarge: ['12XL', '2800'],
      ci_16xlarge: ['16XL', '3730'],
    }),
  },
]

export const seededFlags: readonly NewFeatureFlag[] = [
  {
    flagKey: 'agents',
    flagName: 'Agents',
    description: 'Agents with tools and language models.',
    enabled: true,
    defaultValue: true,
  },
  {
    flagKey: 'workflows',
    flagName: 'Workflows',
    description: 'Workflows, their tasks and schedules.',
    enabled: true,
    defaultValue: true,
  },
  {
    flagKey: 'audit-export',
    flagName: 'Export of the audit log',
    description: 'Download the audit log as NDJSON.',
    enabled: true,
    defaultValue: false,
  },
  {
    flagKey: 'usage-alerts',
    flagName: 'Usage alerts',
    description: 'Tell the organization before it reaches a limit of its plan.',
    enabled: false,
    defaultValue: false,
  },
]

// Without models: the host decides which ones it offers, and they change by the week.
export const seededLlms: readonly NewLlm[] = [
  { key: 'openai', name: 'OpenAI', provider: 'openai' },
  { key: 'anthropic', name: 'Anthropic', provider: 'anthropic' },
  { key: 'google', name: 'Google Gemini', provider: 'google' },
  { key: 'mistral', name: 'Mistral', provider: 'mistral' },
  { key: 'azure-openai', name: 'Azure OpenAI', provider: 'azure' },
  { key: 'bedrock', name: 'Amazon Bedrock', provider: 'aws' },
  { key: 'ollama', name: 'Ollama', provider: 'ollama' },
]

const objectOf = (properties: Readonly<Record<string, { readonly type: string; readonly description: string }>>) => ({
  type: 'object',
  properties: { ...properties },
  required: Object.keys(properties),
  additionalProperties: false,
})

export const seededTools: readonly NewTool[] = [
  {
    key: 'http-request',
    name: 'HTTP request',
    description: 'Calls a URL and gives the answer.',
    inputSchema: objectOf({
      method: { type: 'string', description: 'GET, POST, PUT, PATCH or DELETE' },
      url: { type: 'string', description: 'Where to send it' },
    }),
  },
  {
    key: 'web-search',
    name: 'Web search',
    description: 'Finds pages on the web.',
    inputSchema: objectOf({ query: { type: 'string', description: 'What to look for' } }),
  },
  {
    key: 'sql-query',
    name: 'SQL query',
    description: 'Reads from a database of the project.',
    inputSchema: objectOf({
      database: { type: 'string', description: 'The id of the database' },
      query: { type: 'string', description: 'One SELECT statement' },
    }),
  },
  {
    key: 'send-email',
    name: 'Send email',
    description: 'Sends an email.',
    inputSchema: objectOf({
      to: { type: 'string', description: 'The address' },
      subject: { type: 'string', description: 'The subject' },
      body: { type: 'string', description: 'The text' },
    }),
  },
]
