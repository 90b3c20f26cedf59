import { boolean, foreignKey, index, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { id, orgId, platform, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json, type JsonObject } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

/** Something an agent can call. `inputSchema` is a JSON Schema. */
export const tools = platform.table(
  'tools',
  {
    id: id().primaryKey(),
    key: text('key').notNull(),
    name: text('name').notNull(),
    description: text('description'),
    inputSchema: json<JsonObject>('input_schema').notNull().default({}),
    active: boolean('active').notNull().default(true),
    ...timestamps(),
  },
  (t) => [unique('tools_key_key').on(t.key)],
)
declareTable(tools, { kind: 'catalog' })

/** A tool as configured by one organization. */
export const organizationTools = platform.table(
  'organization_tools',
  {
    orgId: orgId(),
    id: id(),
    toolId: uuid('tool_id').notNull(),
    customConfig: json<JsonObject>('custom_config').notNull().default({}),
    enabled: boolean('enabled').notNull().default(true),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'organization_tools_pkey', columns: [t.orgId, t.id] }),
    unique('organization_tools_tool_key').on(t.orgId, t.toolId),
    foreignKey({ name: 'organization_tools_tool_fkey', columns: [t.toolId], foreignColumns: [tools.id] }),
    index('organization_tools_tool_idx').on(t.toolId),
    ...tenantTable('organization_tools', t),
  ],
)
declareTable(organizationTools, { kind: 'tenant', audited: true })

export const newTool = z.strictObject({
  key: shape.slug,
  name: shape.label(),
  description: shape.text(4000).nullish(),
  inputSchema: shape.jsonObject.optional(),
  active: z.boolean().optional(),
})
export const toolPatch = newTool.omit({ key: true }).partial()
export const newOrganizationTool = z.strictObject({
  toolId: shape.uuid,
  customConfig: shape.jsonObject.optional(),
  enabled: z.boolean().optional(),
})
export const organizationToolPatch = newOrganizationTool.omit({ toolId: true }).partial()
export const toolConfiguration = z.strictObject({ config: shape.jsonObject })
export const toolToEnable = z.strictObject({
  /** The key of the tool in the catalog: `web-search`. */
  tool: shape.slug,
  config: shape.jsonObject.optional(),
})

export interface Tool extends Row<typeof tools> {}
export interface NewTool extends z.input<typeof newTool> {}
export interface ToolPatch extends z.input<typeof toolPatch> {}
export interface OrganizationTool extends Row<typeof organizationTools> {}
export interface NewOrganizationTool extends z.input<typeof newOrganizationTool> {}
/** How the organization has set a tool up: what the JSON Schema of the tool allows. */
export type ToolConfig = JsonObject
export interface OrganizationToolPatch extends z.input<typeof organizationToolPatch> {}
