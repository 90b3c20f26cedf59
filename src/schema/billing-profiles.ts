import { char, index, primaryKey, text, unique } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { id, orgId, platform, state, stateCheck, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const taxIdStatuses = ['pending', 'verified', 'unverified'] as const

const country = () => char('country', { length: 2 })

/** A tax number of the organization. A different number is a new row, because each is verified separately. */
export const taxIds = platform.table(
  'tax_ids',
  {
    orgId: orgId(),
    id: id(),
    type: text('type').notNull(),
    value: text('value').notNull(),
    country: country().notNull(),
    status: state('status', taxIdStatuses).notNull().default('pending'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'tax_ids_pkey', columns: [t.orgId, t.id] }),
    unique('tax_ids_value_key').on(t.orgId, t.type, t.value),
    index('tax_ids_status_idx').on(t.orgId, t.status),
    stateCheck('tax_ids_status_check', 'status', taxIdStatuses),
    ...tenantTable('tax_ids', t),
  ],
)
declareTable(taxIds, { kind: 'tenant', audited: true, personal: ['value'] })

/** The recipient of the invoices: one row for each organization. */
export const customerProfiles = platform.table(
  'customer_profiles',
  {
    orgId: orgId(),
    id: id(),
    companyName: text('company_name'),
    contactName: text('contact_name'),
    phone: text('phone'),
    line1: text('line1'),
    line2: text('line2'),
    city: text('city'),
    state: text('state'),
    postalCode: text('postal_code'),
    country: country(),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'customer_profiles_pkey', columns: [t.orgId, t.id] }),
    unique('customer_profiles_org_key').on(t.orgId),
    ...tenantTable('customer_profiles', t),
  ],
)
declareTable(customerProfiles, {
  kind: 'tenant',
  audited: true,
  personal: ['company_name', 'contact_name', 'phone', 'line1', 'line2', 'city', 'state', 'postal_code'],
})

export const newTaxId = z.strictObject({
  type: shape.label(63),
  value: shape.label(100),
  country: shape.country,
})
/** The result of the verification. */
export const taxIdPatch = z.strictObject({ status: z.enum(taxIdStatuses) }).partial()

export const newCustomerProfile = z.strictObject({
  companyName: shape.label().nullish(),
  contactName: shape.label().nullish(),
  phone: shape.label(40).nullish(),
  line1: shape.label().nullish(),
  line2: shape.label().nullish(),
  city: shape.label().nullish(),
  state: shape.label().nullish(),
  postalCode: shape.label(20).nullish(),
  country: shape.country.nullish(),
})
export const customerProfilePatch = newCustomerProfile.partial()

export interface TaxId extends Row<typeof taxIds> {}
export interface NewTaxId extends z.input<typeof newTaxId> {}
export interface TaxIdPatch extends z.input<typeof taxIdPatch> {}
export interface CustomerProfile extends Row<typeof customerProfiles> {}
export interface NewCustomerProfile extends z.input<typeof newCustomerProfile> {}
export interface CustomerProfilePatch extends z.input<typeof customerProfilePatch> {}
