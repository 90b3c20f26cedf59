import { index, primaryKey, text, unique } from 'drizzle-orm/pg-core'
import { bytes } from './shared/ciphertext.js'
import { id, instant, orgId, platform, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json, type JsonValue } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'

export const idempotencyStates = ['queued', 'done'] as const

/** A request that must take effect once, with its answer. Inserted in the transaction of the effect. */
export const idempotencyKeys = platform.table(
  'idempotency_keys',
  {
    orgId: orgId(),
    id: id(),
    key: text('key').notNull(),
    /** The owner of the key: two actors may use the same key. */
    actor: text('actor').notNull().default(''),
    requestHash: bytes('request_hash').notNull(),
    state: state('state', idempotencyStates).notNull().default('queued'),
    result: json<JsonValue>('result'),
    expiresAt: instant('expires_at').notNull(),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'idempotency_keys_pkey', columns: [t.orgId, t.id] }),
    unique('idempotency_keys_key_key').on(t.orgId, t.actor, t.key),
    index('idempotency_keys_expires_at_idx').on(t.expiresAt),
    stateCheck('idempotency_keys_state_check', 'state', idempotencyStates),
    ...tenantTable('idempotency_keys', t),
  ],
)
declareTable(idempotencyKeys, { kind: 'tenant', sweeps: ['idempotency_keys_expires_at_idx'] })

export interface IdempotencyKey extends Row<typeof idempotencyKeys> {}
