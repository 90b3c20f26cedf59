import type { Query } from '../core/query.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { PaymentMethods } from '../repositories/payment-methods.js'
import { billingEvents } from '../schema/billing-events.js'
import { type PaymentMethod, paymentMethods } from '../schema/payment-methods.js'
import type { Applying, Event } from './applied-event.js'

type Told = NonNullable<Event['paymentMethod']>

/**
 * Makes the payment method, changes the one with the provider's id, or removes it. Returns false where an event about this payment
 * method that is as new or newer came before.
 */
export async function receivePaymentMethod(applying: Applying, told: Told): Promise<boolean> {
  if (!(await isNewest(applying, told.id))) return false
  const { scope } = applying
  const known = await new ScopedTable<PaymentMethod>(scope, paymentMethods).findRow({ stripePaymentMethodId: told.id })
  const all = new PaymentMethods(scope)
  if ('isRemoved' in told) {
    if (known !== undefined) await all.remove(known.id)
    return true
  }
  const { id: stripePaymentMethodId, isDefault, type, ...details } = told
  if (known === undefined) {
    await all.add({ stripePaymentMethodId, type, ...details }, { isDefault })
    return true
  }
  if (Object.values(details).some((detail) => detail !== undefined)) await all.update(known.id, details)
  if (isDefault === true) await all.makeDefault(known.id)
  return true
}

/** By the events that are kept: a payment method that was removed has no row that could tell. */
function isNewest({ scope, provider, event }: Applying, id: string): Query<boolean> {
  const rows = new ScopedTable(scope, billingEvents)
  const later = ownStatement(
    rows.plan,
    receivePaymentMethod,
    'later',
    false,
    ({ sql, owned }) => `select from ${sql} where ${owned} and "provider" = $2::text and "event_id" <> $3::text
      and "payload" #>> '{paymentMethod,id}' = $4::text and "provider_created_at" >= $5::timestamptz limit 1`,
  )
  return rows.run(
    later,
    () => [provider, event.id, id, event.createdAt.toISOString()],
    ({ rowCount }) => rowCount === 0,
  )
}
