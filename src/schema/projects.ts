import { check, index, integer, primaryKey, text, unique, uniqueIndex } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { ciphertext } from './shared/ciphertext.js'
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

export const projectStatuses = [
  'active',
  'inactive',
  'paused',
  'coming_up',
  'going_down',
  'restoring',
  'upgrading',
  'unhealthy',
] as const

/** A deployment with its own database. A deleted project is hidden; its agents and workflows are not. */
export const projects = platform.table(
  'projects',
  {
    orgId: orgId(),
    id: id(),
    name: text('name').notNull(),
    slug: text('slug').notNull(),
    /** The project's name in host names and URLs: by default 20 random letters. Never changes. */
    ref: text('ref').notNull(),
    status: state('status', projectStatuses).notNull().default('active'),
    region: text('region'),
    databaseHost: text('database_host'),
    databasePort: integer('database_port'),
    databaseName: text('database_name'),
    databaseUser: text('database_user'),
    databasePassword: ciphertext('database_password'),
    metadata: json<JsonObject>('metadata').notNull().default({}),
    createdBy: attribution('created_by'),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    primaryKey({ name: 'projects_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('projects_slug_key').on(t.orgId, t.slug).where(literal('deleted_at is null')),
    // Not partial: a ref must never lead to another project than before.
    unique('projects_ref_key').on(t.orgId, t.ref),
    index('projects_status_idx').on(t.orgId, t.status, t.id),
    index('projects_created_at_idx').on(t.orgId, t.createdAt),
    index('projects_slug_prefix_idx').on(t.orgId, byBytes('slug')).where(literal('deleted_at is null')),
    lowerCaseCheck('projects_slug_check', 'slug'),
    check('projects_ref_check', literal(`ref ~ '^[a-z0-9][a-z0-9-]{2,39}$'`)),
    check('projects_database_port_check', literal('database_port between 1 and 65535')),
    stateCheck('projects_status_check', 'status', projectStatuses),
    ...attributedTo('projects', t.createdBy, t.orgId),
    ...tenantTable('projects', t),
  ],
)
declareTable(projects, { kind: 'tenant', audited: true, isProject: true })

export const newProject = z.strictObject({
  name: shape.label(),
  slug: shape.slug,
  ref: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{2,39}$/, 'must be 3 to 40 lower-case letters, digits and hyphens')
    .optional(),
  status: z.enum(projectStatuses).optional(),
  region: shape.label(63).nullish(),
  databaseHost: shape.label(255).nullish(),
  databasePort: shape.int(1, 65_535).nullish(),
  databaseName: shape.label(255).nullish(),
  databaseUser: shape.label(255).nullish(),
  metadata: shape.jsonObject.optional(),
})
export const projectPatch = newProject.omit({ ref: true }).partial()
/** Not among the columns, so that a password can never be written in plain text. */
export const projectSecrets = z.strictObject({ databasePassword: shape.secret })

export interface Project extends Row<typeof projects> {}
export interface NewProject extends z.input<typeof newProject> {}
export interface ProjectPatch extends z.input<typeof projectPatch> {}
export interface ProjectSecrets extends z.input<typeof projectSecrets> {}
