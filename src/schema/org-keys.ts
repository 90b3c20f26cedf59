import { check, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { bytes } from './shared/ciphertext.js'
import { id, instant, literal, orgId, platform, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'

export const orgKeyStates = ['active', 'decrypt_only', 'destroyed'] as const

/**
 * The organization's data keys, each wrapped by a master key. When a data key is destroyed, every secret sealed with it is lost.
 */
export const orgKeys = platform.table(
  'org_keys',
  {
    orgId: orgId(),
    id: id(),
    kekId: text('kek_id').notNull(),
    wrapped: bytes('wrapped'),
    state: state('state', orgKeyStates).notNull().default('active'),
    destroyedAt: instant('destroyed_at'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'org_keys_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('org_keys_active_key').on(t.orgId).where(literal(`state = 'active'`)),
    stateCheck('org_keys_state_check', 'state', orgKeyStates),
    check('org_keys_wrapped_check', literal(`(state = 'destroyed') = (wrapped is null)`)),
    ...tenantTable('org_keys', t),
  ],
)
declareTable(orgKeys, { kind: 'tenant', audited: true, hidden: ['wrapped'] })

export interface OrgKey extends Row<typeof orgKeys> {}
