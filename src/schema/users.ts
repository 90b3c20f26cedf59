import { boolean, index, inet, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import {
  createdAt,
  id,
  instant,
  literal,
  lowerCaseCheck,
  platform,
  softDelete,
  state,
  stateCheck,
  timestamps,
} from './shared/columns.js'
import { systemAccess, userAccess, userTable } from './shared/isolation.js'
import { json, type JsonObject } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const userStatuses = ['active', 'suspended'] as const

/** A person, known once, whatever organizations they belong to. Last sign-in is read from the sessions: no hot column here. */
export const users = platform.table(
  'users',
  {
    id: id().primaryKey(),
    /** The id that the host's auth provider gave. */
    externalId: text('external_id'),
    email: text('email').notNull(),
    username: text('username'),
    firstName: text('first_name'),
    lastName: text('last_name'),
    avatarUrl: text('avatar_url'),
    phone: text('phone'),
    /** Only for hosts that sign people in themselves. The application's role can never read it. */
    passwordHash: text('password_hash'),
    mfaEnabled: boolean('mfa_enabled').notNull().default(false),
    status: state('status', userStatuses).notNull().default('active'),
    emailConfirmedAt: instant('email_confirmed_at'),
    bannedUntil: instant('banned_until'),
    metadata: json<JsonObject>('metadata').notNull().default({}),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    uniqueIndex('users_email_key').on(t.email).where(literal('deleted_at is null')),
    uniqueIndex('users_username_key').on(t.username).where(literal('deleted_at is null')),
    uniqueIndex('users_external_id_key').on(t.externalId).where(literal('deleted_at is null')),
    index('users_created_at_idx').on(t.createdAt),
    lowerCaseCheck('users_email_check', 'email'),
    lowerCaseCheck('users_username_check', 'username'),
    stateCheck('users_status_check', 'status', userStatuses),
    userAccess('id'),
    systemAccess(),
  ],
)
declareTable(users, { kind: 'global' })

/** What happened to a person's account: signing in, reuse of a token, revocation, profile changes. */
export const userAuditLogs = platform.table(
  'user_audit_logs',
  {
    userId: uuid('user_id').notNull(),
    id: id(),
    eventType: text('event_type').notNull(),
    sessionId: uuid('session_id'),
    ipAddress: inet('ip_address'),
    userAgent: text('user_agent'),
    metadata: json<JsonObject>('metadata'),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'user_audit_logs_pkey', columns: [t.userId, t.createdAt, t.id] }),
    ...userTable('user_audit_logs', t),
  ],
)
declareTable(userAuditLogs, { kind: 'user', appendOnly: true })

export const newUser = z.strictObject({
  /** The host's own id for the person; made here otherwise. */
  id: shape.uuid.optional(),
  email: shape.email,
  externalId: shape.label(255).nullish(),
  username: shape.username.nullish(),
  firstName: shape.label().nullish(),
  lastName: shape.label().nullish(),
  avatarUrl: shape.url.nullish(),
  phone: shape.label(40).nullish(),
  metadata: shape.jsonObject.optional(),
})
/** What a person may change about themselves. Another email address is the system's to confirm. */
export const userPatch = newUser.omit({ id: true, email: true, externalId: true }).partial()

export interface User extends Omit<Row<typeof users>, 'passwordHash'> {}
export interface NewUser extends z.input<typeof newUser> {}
export interface UserPatch extends z.input<typeof userPatch> {}
export interface UserAuditLog extends Row<typeof userAuditLogs> {}
