import { sql } from 'drizzle-orm'
import { foreignKey, index, integer, primaryKey, text, unique, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { organizationMembers } from './members.js'
import { bytes } from './shared/ciphertext.js'
import { id, instant, literal, orgId, platform, softDelete, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const apiKeyStatuses = ['active', 'revoked'] as const

/** An API key of the organization. It belongs to a member, and ends with that membership. */
export const apiKeys = platform.table(
  'api_keys',
  {
    orgId: orgId(),
    id: id(),
    userId: uuid('user_id').notNull(),
    /** The member's epoch when the key was created. The key becomes invalid when the member's epoch rises. */
    authEpoch: integer('auth_epoch').notNull(),
    name: text('name').notNull(),
    /** `tk_<env>_` and the first 8 characters of the secret, by which a person recognises the key. */
    keyPrefix: text('key_prefix').notNull(),
    keyHash: bytes('key_hash').notNull(),
    pepperId: text('pepper_id').notNull(),
    lastFour: text('last_four').notNull(),
    scopes: text('scopes')
      .array()
      .notNull()
      .default(sql`'{}'::text[]`),
    /** Null is unlimited, 0 allows none. */
    rateLimitPerHour: integer('rate_limit_per_hour'),
    status: state('status', apiKeyStatuses).notNull().default('active'),
    lastUsedAt: instant('last_used_at'),
    expiresAt: instant('expires_at'),
    revokedAt: instant('revoked_at'),
    graceUntil: instant('grace_until'),
    rotatedFrom: uuid('rotated_from'),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    primaryKey({ name: 'api_keys_pkey', columns: [t.orgId, t.id] }),
    unique('api_keys_hash_key').on(t.orgId, t.keyHash),
    unique('api_keys_prefix_key').on(t.orgId, t.keyPrefix),
    // A key in its grace period frees its name for its successor.
    uniqueIndex('api_keys_name_key')
      .on(t.orgId, t.name)
      .where(literal('deleted_at is null and revoked_at is null and grace_until is null')),
    foreignKey({
      name: 'api_keys_user_fkey',
      columns: [t.orgId, t.userId],
      foreignColumns: [organizationMembers.orgId, organizationMembers.userId],
    }).onDelete('cascade'),
    foreignKey({
      name: 'api_keys_rotated_from_fkey',
      columns: [t.orgId, t.rotatedFrom],
      foreignColumns: [t.orgId, t.id],
    }),
    index('api_keys_member_idx').on(t.orgId, t.userId),
    index('api_keys_user_idx').on(t.userId, t.orgId),
    index('api_keys_rotated_from_idx').on(t.orgId, t.rotatedFrom),
    index('api_keys_created_at_idx').on(t.orgId, t.createdAt),
    stateCheck('api_keys_status_check', 'status', apiKeyStatuses),
    ...tenantTable('api_keys', t),
  ],
)
declareTable(apiKeys, {
  kind: 'tenant',
  audited: true,
  hidden: ['key_hash', 'pepper_id'],
  sweeps: ['api_keys_user_idx'],
})

/** The used part of a key's hourly limit. Written when the key is verified. */
export const apiKeyWindows = platform.table(
  'api_key_windows',
  {
    orgId: orgId(),
    apiKeyId: uuid('api_key_id').notNull(),
    windowStart: instant('window_start').notNull(),
    used: integer('used').notNull(),
    allowed: integer('allowed').notNull(),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'api_key_windows_pkey', columns: [t.orgId, t.apiKeyId, t.windowStart] }),
    foreignKey({
      name: 'api_key_windows_api_key_fkey',
      columns: [t.orgId, t.apiKeyId],
      foreignColumns: [apiKeys.orgId, apiKeys.id],
    }).onDelete('cascade'),
    index('api_key_windows_start_idx').on(t.windowStart),
    ...tenantTable('api_key_windows', t),
  ],
)
declareTable(apiKeyWindows, { kind: 'tenant', sweeps: ['api_key_windows_start_idx'] })

/** In SQL: whether a request with the key is still accepted. */
export const isLiveKey = (key: string): string =>
  `${key}.status = 'active' and ${key}.revoked_at is null and ${key}.deleted_at is null
    and (${key}.expires_at is null or ${key}.expires_at > statement_timestamp())`

export const newApiKey = z.strictObject({
  userId: shape.uuid,
  name: shape.label(),
  scopes: z.array(shape.label(100)).max(200).optional(),
  rateLimitPerHour: shape.int(0, shape.maxInt).nullish(),
  expiresAt: shape.instant.nullish(),
})
export const apiKeyPatch = newApiKey.pick({ name: true, rateLimitPerHour: true, expiresAt: true }).partial()

export interface ApiKey extends Omit<Row<typeof apiKeys>, 'keyHash' | 'pepperId'> {}
export interface NewApiKey extends z.input<typeof newApiKey> {}
export interface ApiKeyPatch extends z.input<typeof apiKeyPatch> {}
export interface ApiKeyWindow extends Row<typeof apiKeyWindows> {}
