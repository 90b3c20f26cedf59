import { boolean, integer, primaryKey, text, unique, uniqueIndex } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { id, literal, orgId, platform, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

/** A payment method at the provider, with the details by which a person recognises it. At most one is the default. */
export const paymentMethods = platform.table(
  'payment_methods',
  {
    orgId: orgId(),
    id: id(),
    stripePaymentMethodId: text('stripe_payment_method_id').notNull(),
    type: text('type').notNull(),
    cardBrand: text('card_brand'),
    cardLast4: text('card_last4'),
    cardExpMonth: integer('card_exp_month'),
    cardExpYear: integer('card_exp_year'),
    isDefault: boolean('is_default').notNull().default(false),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'payment_methods_pkey', columns: [t.orgId, t.id] }),
    unique('payment_methods_stripe_payment_method_key').on(t.orgId, t.stripePaymentMethodId),
    uniqueIndex('payment_methods_default_key').on(t.orgId).where(literal('is_default')),
    ...tenantTable('payment_methods', t),
  ],
)
declareTable(paymentMethods, {
  kind: 'tenant',
  audited: true,
  personal: ['card_last4', 'card_exp_month', 'card_exp_year'],
})

export const newPaymentMethod = z.strictObject({
  stripePaymentMethodId: shape.label(255),
  type: shape.label(63),
  cardBrand: shape.label(63).nullish(),
  cardLast4: z
    .string()
    .regex(/^\d{4}$/, 'must be four digits')
    .nullish(),
  cardExpMonth: shape.int(1, 12).nullish(),
  cardExpYear: shape.int(2000, 9999).nullish(),
})
/** The default has a method of its own, which resets the previous one. */
export const paymentMethodPatch = newPaymentMethod.omit({ stripePaymentMethodId: true, type: true }).partial()

export interface PaymentMethod extends Row<typeof paymentMethods> {}
export interface NewPaymentMethod extends z.input<typeof newPaymentMethod> {}
export interface PaymentMethodPatch extends z.input<typeof paymentMethodPatch> {}
