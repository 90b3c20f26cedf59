import { foreignKey, index, integer, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
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

export const workflowStatuses = ['draft', 'active', 'archived'] as const

/** A definition for an external workflow engine. An archived workflow no longer runs: its schedules and tasks are skipped. */
export const workflows = platform.table(
  'workflows',
  {
    orgId: orgId(),
    id: id(),
    name: text('name').notNull(),
    slug: text('slug').notNull(),
    description: text('description'),
    definition: json<JsonObject>('definition').notNull().default({}),
    status: state('status', workflowStatuses).notNull().default('draft'),
    projectId: uuid('project_id'),
    /** Rises with every change. An update may require the revision that was read. */
    revision: integer('revision').notNull().default(1),
    createdBy: attribution('created_by'),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    primaryKey({ name: 'workflows_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('workflows_slug_key').on(t.orgId, t.slug).where(literal('deleted_at is null')),
    foreignKey({
      name: 'workflows_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }),
    index('workflows_status_idx').on(t.orgId, t.status, t.id),
    index('workflows_project_idx').on(t.orgId, t.projectId),
    index('workflows_created_at_idx').on(t.orgId, t.createdAt),
    index('workflows_slug_prefix_idx').on(t.orgId, byBytes('slug')).where(literal('deleted_at is null')),
    lowerCaseCheck('workflows_slug_check', 'slug'),
    stateCheck('workflows_status_check', 'status', workflowStatuses),
    ...attributedTo('workflows', t.createdBy, t.orgId),
    ...tenantTable('workflows', t),
  ],
)
declareTable(workflows, { kind: 'tenant', audited: true })

export const newWorkflow = z.strictObject({
  name: shape.label(),
  slug: shape.slug,
  description: shape.text(4000).nullish(),
  definition: shape.jsonObject.optional(),
  projectId: shape.uuid.nullish(),
})
export const workflowPatch = newWorkflow.partial()

export interface Workflow extends Row<typeof workflows> {}
export interface NewWorkflow extends z.input<typeof newWorkflow> {}
export interface WorkflowPatch extends z.input<typeof workflowPatch> {}
