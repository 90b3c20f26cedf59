import { foreignKey, index, inet, integer, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { organizations } from './organizations.js'
import { bytes } from './shared/ciphertext.js'
import { id, instant, platform, timestamps } from './shared/columns.js'
import { userTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

/**
 * A sign-in of a person on one device. A refresh replaces its token and raises its generation; the use of an older token reveals a
 * theft.
 */
export const userSessions = platform.table(
  'user_sessions',
  {
    userId: uuid('user_id').notNull(),
    id: id(),
    tokenHash: bytes('token_hash').notNull(),
    refreshHash: bytes('refresh_hash'),
    pepperId: text('pepper_id').notNull(),
    generation: integer('generation').notNull().default(0),
    rotatedAt: instant('rotated_at'),
    activeOrgId: uuid('active_org_id'),
    /** The member's epoch when this organization was chosen. When it differs, the choice is void. */
    activeOrgEpoch: integer('active_org_epoch'),
    ipAddress: inet('ip_address'),
    userAgent: text('user_agent'),
    expiresAt: instant('expires_at').notNull(),
    idleExpiresAt: instant('idle_expires_at').notNull(),
    lastActivityAt: instant('last_activity_at').notNull().defaultNow(),
    revokedAt: instant('revoked_at'),
    revokedReason: text('revoked_reason'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'user_sessions_pkey', columns: [t.userId, t.id] }),
    unique('user_sessions_token_key').on(t.userId, t.tokenHash),
    foreignKey({
      name: 'user_sessions_active_org_fkey',
      columns: [t.activeOrgId],
      foreignColumns: [organizations.id],
    }).onDelete('set null'),
    index('user_sessions_active_org_idx').on(t.activeOrgId),
    index('user_sessions_expires_at_idx').on(t.expiresAt),
    ...userTable('user_sessions', t),
  ],
)
declareTable(userSessions, {
  kind: 'user',
  hidden: ['token_hash', 'refresh_hash', 'pepper_id'],
  sweeps: ['user_sessions_expires_at_idx'],
})

/** In SQL: whether the session has neither expired nor been revoked. */
export const isLiveSession = (session: string): string =>
  `${session}.revoked_at is null and ${session}.expires_at > statement_timestamp()`

export const newUserSession = z.strictObject({
  activeOrg: shape.uuid.optional(),
  ip: shape.ip.optional(),
  userAgent: shape.text(1000).optional(),
})

export interface UserSession extends Omit<Row<typeof userSessions>, 'tokenHash' | 'refreshHash' | 'pepperId'> {}
export interface NewUserSession extends z.input<typeof newUserSession> {}
