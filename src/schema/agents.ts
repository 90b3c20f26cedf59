import { foreignKey, index, integer, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { organizationLlms } from './llms.js'
import { projects } from './projects.js'
import {
  byBytes,
  id,
  literal,
  lowerCaseCheck,
  orgId,
  platform,
  softDelete,
  state,
  stateCheck,
  timestamps,
} from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json, type JsonObject } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import { attributedTo, attribution } from './shared/references.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'
import { organizationTools } from './tools.js'

export const agentStatuses = ['draft', 'active', 'paused'] as const

/** A configured assistant. Among the live agents of the organization its username is unique. */
export const agents = platform.table(
  'agents',
  {
    orgId: orgId(),
    id: id(),
    name: text('name').notNull(),
    username: text('username').notNull(),
    instructions: text('instructions'),
    status: state('status', agentStatuses).notNull().default('draft'),
    projectId: uuid('project_id'),
    organizationLlmId: uuid('organization_llm_id'),
    model: text('model'),
    settings: json<JsonObject>('settings').notNull().default({}),
    /** Rises with every change. An update may require the revision that was read. */
    revision: integer('revision').notNull().default(1),
    createdBy: attribution('created_by'),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    primaryKey({ name: 'agents_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('agents_username_key').on(t.orgId, t.username).where(literal('deleted_at is null')),
    // Both columns, so that an agent cannot point into another organization's project.
    foreignKey({
      name: 'agents_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }),
    foreignKey({
      name: 'agents_organization_llm_fkey',
      columns: [t.orgId, t.organizationLlmId],
      foreignColumns: [organizationLlms.orgId, organizationLlms.id],
    }),
    index('agents_project_idx').on(t.orgId, t.projectId),
    index('agents_organization_llm_idx').on(t.orgId, t.organizationLlmId),
    index('agents_status_idx').on(t.orgId, t.status, t.id),
    index('agents_created_at_idx').on(t.orgId, t.createdAt),
    index('agents_username_prefix_idx').on(t.orgId, byBytes('username')).where(literal('deleted_at is null')),
    lowerCaseCheck('agents_username_check', 'username'),
    stateCheck('agents_status_check', 'status', agentStatuses),
    ...attributedTo('agents', t.createdBy, t.orgId),
    ...tenantTable('agents', t),
  ],
)
declareTable(agents, { kind: 'tenant', audited: true })

/** A tool that an agent may call. */
export const agentTools = platform.table(
  'agent_tools',
  {
    orgId: orgId(),
    agentId: uuid('agent_id').notNull(),
    organizationToolId: uuid('organization_tool_id').notNull(),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'agent_tools_pkey', columns: [t.orgId, t.agentId, t.organizationToolId] }),
    foreignKey({
      name: 'agent_tools_agent_fkey',
      columns: [t.orgId, t.agentId],
      foreignColumns: [agents.orgId, agents.id],
    }).onDelete('cascade'),
    foreignKey({
      name: 'agent_tools_organization_tool_fkey',
      columns: [t.orgId, t.organizationToolId],
      foreignColumns: [organizationTools.orgId, organizationTools.id],
    }).onDelete('cascade'),
    index('agent_tools_organization_tool_idx').on(t.orgId, t.organizationToolId),
    ...tenantTable('agent_tools', t),
  ],
)
declareTable(agentTools, { kind: 'tenant', audited: true, permission: 'agents' })

export const newAgent = z.strictObject({
  name: shape.label(),
  username: shape.username,
  instructions: shape.text(100_000).nullish(),
  projectId: shape.uuid.nullish(),
  organizationLlmId: shape.uuid.nullish(),
  model: shape.label().nullish(),
  settings: shape.jsonObject.optional(),
})
export const agentPatch = newAgent.partial()

export interface Agent extends Row<typeof agents> {}
export interface NewAgent extends z.input<typeof newAgent> {}
export interface AgentPatch extends z.input<typeof agentPatch> {}
export interface AgentTool extends Row<typeof agentTools> {}
