import { foreignKey, index, integer, primaryKey, text, unique, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { roles } from './roles.js'
import {
  id,
  instant,
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
import { declareTable } from './shared/kinds.js'
import { attributedTo, attribution } from './shared/references.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'
import { userKinds, users } from './users.js'

export const memberStatuses = ['active', 'inactive'] as const

/** A person in one organization, with the name and address used there. */
export const organizationMembers = platform.table(
  'organization_members',
  {
    orgId: orgId(),
    id: id(),
    userId: uuid('user_id').notNull(),
    email: text('email').notNull(),
    displayName: text('display_name'),
    role: text('role').notNull(),
    kind: state('kind', userKinds).notNull().default('person'),
    status: state('status', memberStatuses).notNull().default('active'),
    invitedAt: instant('invited_at'),
    invitedBy: attribution('invited_by'),
    joinedAt: instant('joined_at').notNull().defaultNow(),
    /** Rises when rights are revoked: sessions and keys with an older epoch become invalid at their next use. */
    authEpoch: integer('auth_epoch').notNull().default(0),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    primaryKey({ name: 'organization_members_pkey', columns: [t.orgId, t.id] }),
    // Not partial: adding a removed person revives the row, with a new epoch and without the old rights.
    unique('organization_members_user_key').on(t.orgId, t.userId),
    uniqueIndex('organization_members_email_key').on(t.orgId, t.email).where(literal('deleted_at is null')),
    foreignKey({
      name: 'organization_members_user_fkey',
      columns: [t.userId],
      foreignColumns: [users.id],
    }).onDelete('cascade'),
    foreignKey({
      name: 'organization_members_role_fkey',
      columns: [t.orgId, t.role],
      foreignColumns: [roles.orgId, roles.key],
    }),
    index('organization_members_user_idx').on(t.userId, t.orgId),
    index('organization_members_role_idx').on(t.orgId, t.role),
    index('organization_members_created_at_idx').on(t.orgId, t.createdAt),
    lowerCaseCheck('organization_members_email_check', 'email'),
    stateCheck('organization_members_kind_check', 'kind', userKinds),
    stateCheck('organization_members_status_check', 'status', memberStatuses),
    ...attributedTo('organization_members', t.invitedBy, t.orgId),
    ...tenantTable('organization_members', t),
  ],
)
declareTable(organizationMembers, { kind: 'control', audited: true, personal: ['email', 'display_name'] })

export const newMember = z.strictObject({
  userId: shape.uuid,
  email: shape.email,
  displayName: shape.label().nullish(),
  role: shape.label(63),
})
/** Role and status have methods of their own, which check the caller's rights. */
export const memberPatch = newMember.pick({ email: true, displayName: true }).partial()

export interface Member extends Row<typeof organizationMembers> {}
export interface NewMember extends z.input<typeof newMember> {}
export interface MemberPatch extends z.input<typeof memberPatch> {}
