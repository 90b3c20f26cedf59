import { foreignKey, index, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { organizationMembers } from './members.js'
import { projects } from './projects.js'
import { roles } from './roles.js'
import { id, orgId, platform, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import { attributedTo, attribution } from './shared/references.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

/** A member's role in one project. It only adds to the role in the organization. */
export const projectMembers = platform.table(
  'project_members',
  {
    orgId: orgId(),
    id: id(),
    projectId: uuid('project_id').notNull(),
    userId: uuid('user_id').notNull(),
    role: text('role').notNull(),
    addedBy: attribution('added_by'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'project_members_pkey', columns: [t.orgId, t.id] }),
    unique('project_members_project_user_key').on(t.orgId, t.projectId, t.userId),
    foreignKey({
      name: 'project_members_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }).onDelete('cascade'),
    // Refers to the member, not the person: only members of the organization can be in its projects.
    foreignKey({
      name: 'project_members_user_fkey',
      columns: [t.orgId, t.userId],
      foreignColumns: [organizationMembers.orgId, organizationMembers.userId],
    }).onDelete('cascade'),
    foreignKey({
      name: 'project_members_role_fkey',
      columns: [t.orgId, t.role],
      foreignColumns: [roles.orgId, roles.key],
    }),
    index('project_members_user_idx').on(t.orgId, t.userId),
    index('project_members_role_idx').on(t.orgId, t.role),
    ...attributedTo('project_members', t.addedBy, t.orgId),
    ...tenantTable('project_members', t),
  ],
)
declareTable(projectMembers, { kind: 'tenant', audited: true })

/** There is no patch: the role has a method of its own, which checks the caller's rights. */
export const newProjectMember = z.strictObject({
  projectId: shape.uuid,
  userId: shape.uuid,
  role: shape.label(63),
})

export interface ProjectMember extends Row<typeof projectMembers> {}
export interface NewProjectMember extends z.input<typeof newProjectMember> {}
