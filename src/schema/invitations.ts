import { index, integer, primaryKey, text, unique, uniqueIndex } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { bytes } from './shared/ciphertext.js'
import { id, instant, literal, lowerCaseCheck, orgId, platform, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import { attributedTo, attribution } from './shared/references.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

const pending = 'accepted_at is null and declined_at is null and revoked_at is null'

/**
 * An invitation to an address. Each organization has at most one pending invitation to an address; the token itself is never
 * stored.
 */
export const organizationInvitations = platform.table(
  'organization_invitations',
  {
    orgId: orgId(),
    id: id(),
    email: text('email').notNull(),
    /** No foreign key: a settled invitation must not prevent the deletion of a role. Accepting checks the role again. */
    role: text('role').notNull(),
    tokenHash: bytes('token_hash').notNull(),
    pepperId: text('pepper_id').notNull(),
    invitedBy: attribution('invited_by'),
    expiresAt: instant('expires_at').notNull(),
    acceptedAt: instant('accepted_at'),
    acceptedBy: attribution('accepted_by'),
    revokedAt: instant('revoked_at'),
    declinedAt: instant('declined_at'),
    sentCount: integer('sent_count').notNull().default(1),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'organization_invitations_pkey', columns: [t.orgId, t.id] }),
    unique('organization_invitations_token_key').on(t.orgId, t.tokenHash),
    uniqueIndex('organization_invitations_email_key').on(t.orgId, t.email).where(literal(pending)),
    // People look up their invitations across organizations, by their confirmed address.
    index('organization_invitations_email_idx').on(t.email).where(literal(pending)),
    lowerCaseCheck('organization_invitations_email_check', 'email'),
    ...attributedTo('organization_invitations', t.invitedBy, t.orgId),
    ...attributedTo('organization_invitations', t.acceptedBy, t.orgId),
    ...tenantTable('organization_invitations', t),
  ],
)
declareTable(organizationInvitations, {
  kind: 'control',
  audited: true,
  hidden: ['token_hash', 'pepper_id'],
  personal: ['email'],
  sweeps: ['organization_invitations_email_idx'],
})

/**
 * In SQL: neither accepted, declined nor revoked. Written so that it does not fit the index over everybody's invitations, in which the
 * organization is not.
 */
export const isUnsettled = (invitation: string): string =>
  `coalesce(${invitation}.accepted_at, ${invitation}.declined_at, ${invitation}.revoked_at) is null`

/** In SQL: unsettled, and not expired by the database's clock. */
export const isPendingInvitation = (invitation: string): string =>
  `${isUnsettled(invitation)} and ${invitation}.expires_at > statement_timestamp()`

export const newInvitation = z.strictObject({
  email: shape.email,
  role: shape.label(63),
  /** Default: in seven days. */
  expiresAt: shape.instant.optional(),
})

export interface Invitation extends Omit<Row<typeof organizationInvitations>, 'tokenHash' | 'pepperId'> {}
export interface NewInvitation extends z.input<typeof newInvitation> {}

export type InvitationState = 'pending' | 'accepted' | 'declined' | 'revoked' | 'expired'

/** What became of an invitation. Whether it has expired is told by the caller's clock; accepting asks the database's. */
export function invitationState(
  { acceptedAt, declinedAt, revokedAt, expiresAt }: Invitation,
  now: Date = new Date(),
): InvitationState {
  if (acceptedAt !== null) return 'accepted'
  if (declinedAt !== null) return 'declined'
  if (revokedAt !== null) return 'revoked'
  return expiresAt > now ? 'pending' : 'expired'
}
