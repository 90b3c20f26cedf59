import { sql } from 'drizzle-orm'
import { boolean, check, index, text, unique, uniqueIndex } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { bytes } from './shared/ciphertext.js'
import { id, instant, literal, platform, softDelete, state, stateCheck, timestamps } from './shared/columns.js'
import { orgIsolation, systemAccess } from './shared/isolation.js'
import { json, type JsonObject } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const organizationStatuses = ['active', 'suspended'] as const

/** A customer. All other rows belong to one. A suspended organization refuses every read and write at once. */
export const organizations = platform.table(
  'organizations',
  {
    id: id().primaryKey(),
    name: text('name').notNull(),
    // A stored column, because lower() in an index is not leakproof, so row security could not use it.
    nameKey: text('name_key')
      .notNull()
      .generatedAlwaysAs(sql`lower(name)`),
    slug: text('slug').notNull(),
    /** The host's own id for this customer. */
    externalId: text('external_id'),
    billingEmail: text('billing_email'),
    temporalNamespace: text('temporal_namespace').notNull(),
    status: state('status', organizationStatuses).notNull().default('active'),
    suspendedAt: instant('suspended_at'),
    suspendedReason: text('suspended_reason'),
    settings: json<JsonObject>('settings').notNull().default({}),
    allowUserManagement: boolean('allow_user_management').notNull().default(false),
    /** Makes provisioning repeatable: the same key returns the same organization. */
    provisionKey: text('provision_key'),
    /** A digest of what was asked for with that key, because the names may have changed since. */
    provisionHash: bytes('provision_hash'),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    uniqueIndex('organizations_name_key').on(t.nameKey).where(literal('deleted_at is null')),
    uniqueIndex('organizations_slug_key').on(t.slug).where(literal('deleted_at is null')),
    uniqueIndex('organizations_external_id_key').on(t.externalId).where(literal('deleted_at is null')),
    // Not partial, so that a new organization never finds the workflows of a deleted one.
    unique('organizations_temporal_namespace_key').on(t.temporalNamespace),
    unique('organizations_provision_key').on(t.provisionKey),
    index('organizations_created_at_idx').on(t.createdAt),
    check('organizations_slug_check', literal(`slug ~ '^[a-z0-9](-?[a-z0-9])*$' and length(slug) <= 63`)),
    stateCheck('organizations_status_check', 'status', organizationStatuses),
    orgIsolation('id'),
    systemAccess(),
  ],
)
declareTable(organizations, { kind: 'control', audited: true, hidden: ['provision_hash'], personal: ['billing_email'] })

export const newOrganization = z.strictObject({
  name: shape.label(),
  slug: shape.slug,
  externalId: shape.label(255).nullish(),
  billingEmail: shape.email.nullish(),
  temporalNamespace: shape.label(255).optional(),
  settings: shape.jsonObject.optional(),
})
export const organizationPatch = newOrganization.omit({ externalId: true, temporalNamespace: true }).partial()

export interface Organization extends Omit<Row<typeof organizations>, 'provisionHash'> {}
export interface NewOrganization extends z.input<typeof newOrganization> {}
export interface OrganizationPatch extends z.input<typeof organizationPatch> {}
