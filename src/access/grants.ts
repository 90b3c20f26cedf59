import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { changeableColumns, factsOf } from '../schema/shared/kinds.js'

/** The rights of one role on one table. Columns have SQL names; `'*'` is the whole table. Other roles have no rights. */
export interface Grant {
  readonly select: '*' | readonly string[]
  readonly insert: '*' | readonly string[]
  readonly update: readonly string[]
  readonly delete: boolean
}

export interface TableGrants {
  readonly tenantry_app: Grant
  readonly tenantry_system: Grant
}

const nothing: Grant = { select: [], insert: [], update: [], delete: false }
const read: Grant = { ...nothing, select: '*' }
const append: Grant = { ...read, insert: '*' }

// Tables on which a role has fewer rights than their kind allows.
const exceptions: Readonly<Record<string, Partial<TableGrants>>> = {
  organizations: {
    // The right to update also permits `for no key update`, the row lock of plan limits.
    tenantry_app: { ...read, update: ['name', 'slug', 'billing_email', 'settings', 'updated_at'] },
  },
  users: {
    tenantry_app: {
      select: [
        'id',
        'external_id',
        'email',
        'username',
        'first_name',
        'last_name',
        'avatar_url',
        'phone',
        'mfa_enabled',
        'kind',
        'status',
        'email_confirmed_at',
        'banned_until',
        'metadata',
        'created_at',
        'updated_at',
        'deleted_at',
      ],
      // A person's row is written by register_user.
      insert: [],
      update: ['username', 'first_name', 'last_name', 'avatar_url', 'phone', 'metadata', 'updated_at'],
      delete: false,
    },
  },
  user_sessions: {
    tenantry_app: {
      ...append,
      update: [
        'token_hash',
        'refresh_hash',
        'pepper_id',
        'generation',
        'rotated_at',
        'active_org_id',
        'active_org_epoch',
        'ip_address',
        'user_agent',
        'idle_expires_at',
        'last_activity_at',
        'revoked_at',
        'revoked_reason',
        'updated_at',
      ],
    },
  },
  roles: {
    // The key is read-only because members and invitations refer to it; only provisioning makes a role built in.
    tenantry_app: {
      ...read,
      insert: ['org_id', 'id', 'key', 'name', 'description', 'applies_to', 'created_at', 'updated_at'],
      update: ['name', 'description', 'applies_to', 'updated_at', 'deleted_at'],
      delete: true,
    },
  },
  subscriptions: {
    tenantry_app: {
      ...read,
      update: [
        'plan_id',
        'plan_name',
        'cancel_at_period_end',
        'canceled_at',
        'spend_cap_enabled',
        'updated_at',
        'next_invoice_number',
      ],
    },
  },
  billing_events: { tenantry_app: { ...append, update: ['processed_at'] } },
  org_keys: { tenantry_app: read },
  audit_seals: { tenantry_app: read },
  audit_logs: { tenantry_system: { ...append, update: ['seq', 'prev_hash', 'hash'] } },
  system_audit_logs: { tenantry_app: nothing, tenantry_system: append },
}

/** The grants of both roles on a table: those of its kind, unless it is an exception of the library's own schema. */
export function grantsOf(table: PgTable): TableGrants {
  const { name, schema } = getTableConfig(table)
  return { ...usualGrants(table), ...(schema === 'platform' ? exceptions[name] : undefined) }
}

function usualGrants(table: PgTable): TableGrants {
  const facts = factsOf(table)
  const everything: Grant = { ...append, update: changeableColumns(table), delete: true }
  const rows: Grant = { ...append, delete: true }
  if (facts === undefined) return { tenantry_app: nothing, tenantry_system: nothing }
  if (facts.kind === 'catalog') return { tenantry_app: read, tenantry_system: everything }
  if (facts.appendOnly) return { tenantry_app: append, tenantry_system: rows }
  return { tenantry_app: everything, tenantry_system: everything }
}
