import { sql } from 'drizzle-orm'
import {
  boolean,
  date,
  foreignKey,
  index,
  integer,
  numeric,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { agents } from '../../src/schema/agents.js'
import { organizationMembers } from '../../src/schema/members.js'
import { ciphertext } from '../../src/schema/shared/ciphertext.js'
import {
  createdAt,
  currency,
  id,
  literal,
  lowerCaseCheck,
  money,
  numberCheck,
  orgId,
  softDelete,
  state,
  stateCheck,
  timestamps,
} from '../../src/schema/shared/columns.js'
import { orgIsolation, systemAccess, tenantTable, userTable } from '../../src/schema/shared/isolation.js'
import { json } from '../../src/schema/shared/json.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { attributedTo, attribution } from '../../src/schema/shared/references.js'
import { crm } from './faults/planted-fault.js'

// What an application adds to the platform: in a Postgres schema of its own, and in public.

export const countries = crm.table(
  'countries',
  { code: text('code').notNull(), name: text('name').notNull(), ...timestamps() },
  (t) => [primaryKey({ name: 'countries_pkey', columns: [t.code] })],
)
declareTable(countries, { kind: 'catalog' })

export const regions = crm.table(
  'regions',
  { id: id(), country: text('country').notNull(), createdBy: attribution('created_by'), ...timestamps() },
  (t) => [
    primaryKey({ name: 'regions_pkey', columns: [t.id] }),
    foreignKey({ name: 'regions_country_fkey', columns: [t.country], foreignColumns: [countries.code] }),
    ...attributedTo('regions', t.createdBy),
  ],
)
declareTable(regions, { kind: 'catalog' })

export const contacts = crm.table(
  'contacts',
  {
    orgId: orgId(),
    id: id(),
    email: text('email').notNull(),
    country: text('country').notNull(),
    ownerId: uuid('owner_id').notNull(),
    apiToken: ciphertext('api_token'),
    details: json<{ readonly phone?: string }>('details').notNull().default({}),
    ...timestamps(),
    ...softDelete(),
  },
  (t) => [
    primaryKey({ name: 'contacts_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('contacts_email_key').on(t.orgId, t.email).where(literal('deleted_at is null')),
    index('contacts_email_prefix_idx').on(t.orgId, sql`${t.email} collate "C"`),
    foreignKey({ name: 'contacts_country_fkey', columns: [t.country], foreignColumns: [countries.code] }),
    foreignKey({
      name: 'contacts_owner_fkey',
      columns: [t.orgId, t.ownerId],
      foreignColumns: [organizationMembers.orgId, organizationMembers.userId],
    }).onDelete('cascade'),
    index('contacts_owner_idx').on(t.orgId, t.ownerId),
    index('contacts_country_idx').on(t.country),
    lowerCaseCheck('contacts_email_check', 'email'),
    ...tenantTable('contacts', t),
  ],
)
declareTable(contacts, { kind: 'tenant', audited: true })

const dealStatuses = ['open', 'won', 'lost'] as const

export const deals = crm.table(
  'deals',
  {
    orgId: orgId(),
    id: id(),
    title: text('title').notNull(),
    status: state('status', dealStatuses).notNull().default('open'),
    contactId: uuid('contact_id').notNull(),
    agentId: uuid('agent_id'),
    parentId: uuid('parent_id'),
    value: money('value').notNull(),
    currency: currency().notNull(),
    probability: numeric('probability', { precision: 5, scale: 2 }),
    closesOn: date('closes_on'),
    tags: text('tags').array(),
    importedId: uuid('imported_id'),
    replacedBy: uuid('replaced_by'),
    signedBy: uuid('signed_by'),
    scores: numeric('scores', { precision: 5, scale: 2 }).array(),
    // Both names are as long as they may be.
    numberOfTheOfficeThatKeepsTheContractOnPaperX: text('number_of_the_office_that_keeps_the_contract_on_paper_x'),
    remindAt: timestamp('remind_at', { withTimezone: true, precision: 3 }),
    createdBy: attribution('created_by'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'deals_pkey', columns: [t.orgId, t.id] }),
    unique('deals_imported_key').on(t.orgId, t.importedId),
    foreignKey({
      name: 'deals_contact_fkey',
      columns: [t.orgId, t.contactId],
      foreignColumns: [contacts.orgId, contacts.id],
    }).onDelete('cascade'),
    foreignKey({
      name: 'deals_agent_fkey',
      columns: [t.orgId, t.agentId],
      foreignColumns: [agents.orgId, agents.id],
    }),
    foreignKey({
      name: 'deals_parent_fkey',
      columns: [t.orgId, t.parentId],
      foreignColumns: [t.orgId, t.id],
    }).onDelete('cascade'),
    foreignKey({
      name: 'deals_replaced_by_fkey',
      columns: [t.orgId, t.replacedBy],
      foreignColumns: [t.orgId, t.id],
    }),
    index('deals_replaced_by_idx').on(t.orgId, t.replacedBy),
    index('deals_of_one_status_in_an_order_in_which_they_close_idx').on(t.orgId, t.status, t.closesOn),
    index('deals_contact_idx').on(t.orgId, t.contactId),
    index('deals_agent_idx').on(t.orgId, t.agentId),
    index('deals_parent_idx').on(t.orgId, t.parentId),
    index('deals_remind_at_idx').on(t.remindAt).where(literal('remind_at is not null')),
    stateCheck('deals_status_check', 'status', dealStatuses),
    numberCheck('deals_value_check', 'value', 'value >= 0'),
    numberCheck('deals_probability_check', 'probability', 'probability between 0 and 100'),
    ...attributedTo('deals', t.createdBy, t.orgId),
    ...tenantTable('deals', t),
  ],
)
declareTable(deals, {
  kind: 'tenant',
  audited: true,
  loose: ['imported_id', 'signed_by'],
  sweeps: ['deals_remind_at_idx'],
})

/** In the currency of its deal. */
export const payments = crm.table(
  'payments',
  { orgId: orgId(), id: id(), dealId: uuid('deal_id').notNull(), amount: money('amount'), createdAt: createdAt() },
  (t) => [
    primaryKey({ name: 'payments_pkey', columns: [t.orgId, t.id] }),
    foreignKey({
      name: 'payments_deal_fkey',
      columns: [t.orgId, t.dealId],
      foreignColumns: [deals.orgId, deals.id],
    }).onDelete('cascade'),
    index('payments_deal_idx').on(t.orgId, t.dealId),
    numberCheck('payments_amount_check', 'amount'),
    ...tenantTable('payments', t),
  ],
)
declareTable(payments, { kind: 'tenant', appendOnly: true })

/** What was done to deals, also to those that are gone. */
export const dealEvents = crm.table(
  'deal_events',
  { orgId: orgId(), id: id(), dealId: uuid('deal_id').notNull(), doneBy: uuid('done_by'), createdAt: createdAt() },
  (t) => [
    primaryKey({ name: 'deal_events_pkey', columns: [t.orgId, t.createdAt, t.id] }),
    orgIsolation(),
    systemAccess(),
  ],
)
declareTable(dealEvents, { kind: 'tenant', appendOnly: true, partitionedBy: 'created_at', outlives: true })

export const preferences = pgTable(
  'preferences',
  {
    userId: uuid('user_id').notNull(),
    id: id(),
    digest: boolean('digest').notNull().default(true),
    hour: integer('hour').notNull().default(8),
    ...timestamps(),
  },
  (t) => [primaryKey({ name: 'preferences_pkey', columns: [t.userId, t.id] }), ...userTable('preferences', t)],
)
declareTable(preferences, { kind: 'user' })
