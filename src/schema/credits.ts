import { foreignKey, index, primaryKey, smallint, text, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import {
  createdAt,
  currency,
  id,
  instant,
  literal,
  money,
  numberCheck,
  orgId,
  platform,
  state,
  stateCheck,
  timestamps,
} from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import { attributedTo, attribution } from './shared/references.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const creditEntryKinds = ['grant', 'spend', 'void'] as const

/** Money granted to an organization, and the rest of it. Spent by priority, then earliest expiry, then age. */
export const credits = platform.table(
  'credits',
  {
    orgId: orgId(),
    id: id(),
    amount: money('amount').notNull(),
    remaining: money('remaining').notNull(),
    currency: currency().notNull(),
    reason: text('reason'),
    /** Smaller numbers are spent first. */
    priority: smallint('priority').notNull().default(100),
    expiresAt: instant('expires_at'),
    voidedAt: instant('voided_at'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'credits_pkey', columns: [t.orgId, t.id] }),
    // The order in which credits are spent.
    index('credits_burn_idx').on(t.orgId, t.priority, t.expiresAt, t.id).where(literal('remaining > 0')),
    index('credits_expires_at_idx').on(t.orgId, t.expiresAt),
    numberCheck('credits_amount_check', 'amount', 'amount > 0'),
    numberCheck('credits_remaining_check', 'remaining', 'remaining >= 0 and remaining <= amount'),
    ...tenantTable('credits', t),
  ],
)
declareTable(credits, { kind: 'tenant', audited: true })

/** A grant, spend or write-off of one credit, in its currency. A spend creates one entry for each credit that it used. */
export const creditEntries = platform.table(
  'credit_entries',
  {
    orgId: orgId(),
    id: id(),
    creditId: uuid('credit_id').notNull(),
    kind: state('kind', creditEntryKinds).notNull(),
    amount: money('amount').notNull(),
    /** The purpose, as free text or an id of the caller. */
    reference: text('reference'),
    createdBy: attribution('created_by'),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'credit_entries_pkey', columns: [t.orgId, t.id] }),
    foreignKey({
      name: 'credit_entries_credit_fkey',
      columns: [t.orgId, t.creditId],
      foreignColumns: [credits.orgId, credits.id],
    }).onDelete('cascade'),
    index('credit_entries_credit_idx').on(t.orgId, t.creditId),
    numberCheck('credit_entries_amount_check', 'amount', 'amount > 0'),
    stateCheck('credit_entries_kind_check', 'kind', creditEntryKinds),
    ...attributedTo('credit_entries', t.createdBy, t.orgId),
    ...tenantTable('credit_entries', t),
  ],
)
declareTable(creditEntries, { kind: 'tenant', appendOnly: true })

const amount = shape.decimal(14, 2, 'positive')

export const newCredit = z.strictObject({
  amount,
  currency: shape.currency,
  reason: shape.text(1000).nullish(),
  priority: shape.int(-32_768, 32_767).optional(),
  expiresAt: shape.instant.nullish(),
})
/** Taken from as many credits of the currency as needed. If they do not suffice, nothing is taken. */
export const newCreditSpend = z.strictObject({
  amount,
  currency: shape.currency,
  reference: shape.label(255).nullish(),
})

export interface Credit extends Row<typeof credits> {}
export interface NewCredit extends z.input<typeof newCredit> {}
export interface CreditEntry extends Row<typeof creditEntries> {}
export interface NewCreditSpend extends z.input<typeof newCreditSpend> {}
